//! From records to a verdict: each key's history is linearizable, and nothing that was acknowledged is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;
use simpledynamo_verify::{
    Event, History, HistoryError, KeyHistory, Limits, Outcome as Known, Ticks, TimeUnit, Verdict, Window,
    check_key,
};

use crate::call::{Call, Told};
use crate::record::{Outcome, Record};

/// Clients with this number and higher ones read what is left when all is over.
pub(crate) const FIRST_READER: u32 = 1_000_000;

/// What was found about some records.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// How many keys there are.
    pub keys: usize,
    /// How many operations were checked.
    pub operations: usize,
    /// The keys whose history no single copy could have had.
    pub violations: Vec<Violation>,
    /// The keys of which it could not be told.
    pub gave_up: Vec<GaveUp>,
}

/// A key whose history is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// What is wrong.
    pub kind: ViolationKind,
    /// The smallest part of the history that shows it, in words.
    pub words: String,
    /// The same operations, to be drawn.
    pub intervals: Vec<Interval>,
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationKind {
    /// While clients worked, somebody was told what cannot have been.
    NotLinearizable,
    /// Clients were told nothing wrong, but what was left in the end is not what they were told: an acknowledged write
    /// is lost, or a delete was undone.
    LostOrUndone,
}

/// An operation of a violation.
#[derive(Clone, Debug, Serialize)]
pub struct Interval {
    /// Who asked.
    pub client: u32,
    /// Which node.
    pub node: String,
    /// When it was asked, in nanoseconds since the run began.
    pub invoked: Ticks,
    /// When the answer came; none if the outcome is unknown.
    pub returned: Option<Ticks>,
    /// What was asked, and what was answered.
    pub label: String,
    /// It is not of the window, but wrote what the window looks for.
    pub is_origin: bool,
}

/// A key of which it could not be told whether it is linearizable. That is not a pass.
#[derive(Clone, Debug, Serialize)]
pub struct GaveUp {
    /// The key.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl Findings {
    /// Whether every key was found to be right.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.violations.is_empty() && self.gave_up.is_empty()
    }
}

/// Checks records, key by key.
///
/// # Errors
/// If a record ended before it began: then its times are not of one clock.
pub fn judge(records: &[Record], limits: Limits) -> Result<Findings, HistoryError> {
    let mut keys: BTreeMap<&[u8], Vec<&Record>> = BTreeMap::new();
    for record in records {
        keys.entry(&record.key).or_default().push(record);
    }
    let keys: Vec<(&[u8], Vec<&Record>)> = keys.into_iter().collect();
    let mut all = Findings { keys: keys.len(), operations: records.len(), ..Findings::default() };
    // Keys are independent, so that each processor can take the next one.
    let next = AtomicUsize::new(0);
    let judge_some = || {
        let mut findings = Findings::default();
        while let Some((key, records)) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
            judge_key(&String::from_utf8_lossy(key), records, limits, &mut findings)?;
        }
        Ok::<_, HistoryError>(findings)
    };
    let processors = thread::available_parallelism().map_or(1, usize::from).min(keys.len());
    let found = thread::scope(|scope| {
        let judges: Vec<_> = (0..processors).map(|_| scope.spawn(judge_some)).collect();
        judges.into_iter().map(|judge| judge.join().expect("it does not panic")).collect::<Vec<_>>()
    });
    for findings in found {
        let findings = findings?;
        all.violations.extend(findings.violations);
        all.gave_up.extend(findings.gave_up);
    }
    all.violations.sort_by(|one, other| one.key.cmp(&other.key));
    all.gave_up.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(all)
}

fn judge_key(
    key: &str,
    records: &[&Record],
    limits: Limits,
    findings: &mut Findings,
) -> Result<(), HistoryError> {
    // Values are interned for this key alone: no window shows those of others.
    let mut values = History::new();
    match check_key(&history(records.iter().copied(), &mut values)?, limits) {
        Verdict::Linearizable => {}
        Verdict::GaveUp { reason } => {
            findings.gave_up.push(GaveUp { key: key.to_owned(), reason: reason.to_string() });
        }
        Verdict::NotLinearizable(window) => {
            let at_work = records.iter().copied().filter(|record| record.client < FIRST_READER);
            let kind = match check_key(&history(at_work, &mut values)?, limits) {
                Verdict::Linearizable => ViolationKind::LostOrUndone,
                _ => ViolationKind::NotLinearizable,
            };
            let words = window.render(values.values(), TimeUnit::MICROSECONDS);
            let intervals = intervals(&window, records);
            findings.violations.push(Violation { key: key.to_owned(), kind, words, intervals });
        }
    }
    Ok(())
}

/// The records of one key as the checker has them.
fn history<'a>(
    records: impl Iterator<Item = &'a Record>,
    values: &mut History,
) -> Result<KeyHistory, HistoryError> {
    let mut history = KeyHistory::default();
    for record in records {
        // A look of unknown outcome says nothing.
        if record.call.is_read() && !record.is_answered() {
            continue;
        }
        history.push(event(record, values))?;
    }
    Ok(history)
}

fn event(record: &Record, values: &mut History) -> Event {
    let outcome = match &record.outcome {
        Outcome::Answered { told, returned } => {
            let reply = record.call.reply(told, values).expect("records hold sensible replies");
            Known::Known { reply, returned: *returned }
        }
        Outcome::Failed { returned, .. } => Known::Failed { returned: *returned },
        Outcome::Unknown { .. } => Known::Unknown,
    };
    let operation = record.call.operation(values);
    Event { client: record.client, operation, invoked: record.invoked, outcome }
}

/// The operations of a window, with what the checker does not know of them.
fn intervals(window: &Window, records: &[&Record]) -> Vec<Interval> {
    let find = |event: &Event| {
        let same = |record: &&&Record| record.client == event.client && record.invoked == event.invoked;
        records.iter().copied().find(|record| same(&record))
    };
    let shown = window.operations.iter().map(|event| (event, false));
    let origins = window.origins.iter().map(|event| (event, true));
    let mut seen = BTreeSet::new();
    let mut intervals = Vec::new();
    for (event, is_origin) in shown.chain(origins) {
        let Some(record) = find(event) else { continue };
        if seen.insert((record.client, record.invoked)) {
            intervals.push(Interval {
                client: record.client,
                node: record.node.to_string(),
                invoked: record.invoked,
                returned: event.returned(),
                label: label(record),
                is_origin,
            });
        }
    }
    intervals
}

/// An operation and its outcome in words.
fn label(record: &Record) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let asked = match &record.call {
        Call::Get | Call::Del | Call::Getdel | Call::Incr => record.call.kind().name().to_uppercase(),
        Call::Set(value) => format!("SET {}", text(value)),
        Call::SetNx(value) => format!("SET {} NX", text(value)),
        Call::SetXx(value) => format!("SET {} XX", text(value)),
        Call::SetIfeq { value, expected } => format!("SET {} IFEQ {}", text(value), text(expected)),
        Call::Delifeq(expected) => format!("DELIFEQ {}", text(expected)),
    };
    let told = match &record.outcome {
        Outcome::Answered { told: Told::Ok, .. } => "OK".to_owned(),
        Outcome::Answered { told: Told::Nothing, .. } => "nil".to_owned(),
        Outcome::Answered { told: Told::Value(bytes), .. } => text(bytes),
        Outcome::Answered { told: Told::Integer(number), .. } => number.to_string(),
        Outcome::Failed { .. } => "did not happen".to_owned(),
        Outcome::Unknown { .. } => "unknown".to_owned(),
    };
    format!("{asked} → {told}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::Via;

    fn record(client: u32, call: Call, invoked: u64, told: Option<Told>) -> Record {
        let outcome = match told {
            Some(told) => Outcome::Answered { told, returned: invoked + 5 },
            None => Outcome::Unknown { error: "timeout".to_owned(), gave_up: invoked + 5 },
        };
        let key = Bytes::from_static(b"k");
        Record { phase: 1, client, node: "5554".into(), key, call, via: Via::Key, invoked, outcome }
    }

    fn set(value: &'static str) -> Call {
        Call::Set(Bytes::from_static(value.as_bytes()))
    }

    fn value(value: &'static str) -> Option<Told> {
        Some(Told::Value(Bytes::from_static(value.as_bytes())))
    }

    #[test]
    fn stale_reads_and_lost_writes_are_told_apart() {
        let written = [record(1, set("a"), 10, Some(Told::Ok)), record(1, set("b"), 20, Some(Told::Ok))];
        let kinds = |read: Record| {
            let records: Vec<Record> = written.iter().cloned().chain([read]).collect();
            let findings = judge(&records, Limits::default()).expect("one clock");
            findings.violations.iter().map(|violation| violation.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(record(2, Call::Get, 30, value("b"))), []);
        assert_eq!(kinds(record(2, Call::Get, 30, value("a"))), [ViolationKind::NotLinearizable]);
        assert_eq!(kinds(record(FIRST_READER, Call::Get, 30, value("a"))), [ViolationKind::LostOrUndone]);
        assert_eq!(
            kinds(record(FIRST_READER, Call::Get, 30, Some(Told::Nothing))),
            [ViolationKind::LostOrUndone]
        );
    }

    #[test]
    fn unknown_writes_may_have_happened_and_reads_without_an_answer_say_nothing() {
        let records = [
            record(1, set("a"), 10, None),
            record(2, Call::Get, 20, value("a")),
            record(2, Call::Get, 30, None),
        ];
        assert!(judge(&records, Limits::default()).expect("one clock").hold());
    }

    #[test]
    fn violation_names_nodes_and_values() {
        let records = [record(1, set("a"), 10, Some(Told::Ok)), record(2, Call::Get, 20, value("never"))];
        let findings = judge(&records, Limits::default()).expect("one clock");
        let violation = &findings.violations[0];
        assert!(violation.words.contains("microseconds"), "{}", violation.words);
        assert_eq!(violation.intervals.last().map(|interval| &*interval.label), Some("GET → never"));
        assert_eq!(violation.intervals[0].node, "5554");
    }
}
