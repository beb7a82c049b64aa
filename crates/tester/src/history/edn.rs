//! Histories as Jepsen's tools read them: a vector of maps in EDN, an invocation and a completion for each operation.
//!
//! Keys are independent, so a value is a pair of the key and what is asked or told of it, as `jepsen.independent` has
//! it. `docs/verify.md` lists the functions.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::call::{Call, Told};
use crate::record::{Outcome, Record};

use super::lines::text;

/// Writes a whole history.
///
/// A process whose operation has an unknown outcome counts as crashed: what its client does next is the business of
/// another process, since a process does one thing at a time.
///
/// # Errors
/// As the writer has it.
pub fn write_edn(records: &[Record], out: &mut impl Write) -> io::Result<()> {
    let processes = processes(records);
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * records.len());
    for (number, record) in records.iter().enumerate() {
        events.push((record.invoked, false, number));
        events.push((record.ended(), true, number));
    }
    // At equal times invocations come first: then the operations overlap.
    events.sort_unstable();
    writeln!(out, "[")?;
    for (index, (time, is_end, number)) in events.into_iter().enumerate() {
        let (record, process) = (&records[number], processes[number]);
        let (kind, value, error) = if is_end { completion(record) } else { ("invoke", asked(record), None) };
        write!(
            out,
            "{{:index {index}, :type :{kind}, :process {process}, :f :{}, :value [{} {value}], :time {time}, \
             :node {}",
            record.call.kind(),
            quoted(&text(&record.key)),
            quoted(&record.node),
        )?;
        if let Some(error) = error {
            write!(out, ", :error {}", quoted(error))?;
        }
        writeln!(out, "}}")?;
    }
    writeln!(out, "]")
}

/// The process of each record: a client's first one has its number, later ones numbers that no client has.
fn processes(records: &[Record]) -> Vec<u32> {
    let clients = records.iter().map(|record| record.client).max().map_or(0, |highest| highest + 1);
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|&number| records[number].invoked);
    let mut crashes: BTreeMap<u32, u32> = BTreeMap::new();
    let mut processes = vec![0; records.len()];
    for number in order {
        let record = &records[number];
        let crashed = crashes.entry(record.client).or_default();
        processes[number] = record.client + *crashed * clients;
        *crashed += u32::from(matches!(record.outcome, Outcome::Unknown { .. }));
    }
    processes
}

/// What is asked of the key.
fn asked(record: &Record) -> String {
    match &record.call {
        Call::Get | Call::Del | Call::Getdel | Call::Incr => "nil".to_owned(),
        Call::Set(value) | Call::SetNx(value) | Call::SetXx(value) | Call::Delifeq(value) => {
            quoted(&text(value))
        }
        Call::SetIfeq { value, expected } => {
            format!("[{} {}]", quoted(&text(expected)), quoted(&text(value)))
        }
    }
}

/// The kind of the completion, the value that it tells, and an error.
fn completion(record: &Record) -> (&'static str, String, Option<&str>) {
    match &record.outcome {
        Outcome::Failed { error, .. } => ("fail", asked(record), Some(error)),
        Outcome::Unknown { error, .. } => ("info", asked(record), Some(error)),
        Outcome::Answered { told, .. } => match (&record.call, told) {
            (Call::Get | Call::Getdel, Told::Nothing) => ("ok", "nil".to_owned(), None),
            (_, Told::Value(bytes)) => ("ok", quoted(&text(bytes)), None),
            (Call::Incr, Told::Integer(sum)) => ("ok", sum.to_string(), None),
            // A condition that did not hold, or nothing to delete: it is known to have changed nothing.
            (_, Told::Nothing | Told::Integer(0)) => ("fail", asked(record), Some("refused")),
            (_, Told::Ok | Told::Integer(_)) => ("ok", asked(record), None),
        },
    }
}

/// A string of EDN: only quotes, backslashes and control characters have to be escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::Via;

    fn record(client: u32, call: Call, invoked: u64, outcome: Outcome) -> Record {
        let key = Bytes::from_static(b"k\"1");
        Record { phase: 1, client, node: "5554".into(), key, call, via: Via::Key, invoked, outcome }
    }

    #[test]
    fn history_is_written_as_invocations_and_completions() {
        let value = Bytes::from_static(b"v");
        let lost = Outcome::Unknown { error: "timeout".to_owned(), gave_up: 30 };
        let records = [
            record(0, Call::Set(value.clone()), 10, lost),
            record(0, Call::Get, 40, Outcome::Answered { told: Told::Value(value.clone()), returned: 50 }),
            record(1, Call::SetNx(value), 5, Outcome::Answered { told: Told::Nothing, returned: 45 }),
        ];
        let mut written = Vec::new();
        write_edn(&records, &mut written).expect("memory takes it");
        let expected = r#"[
{:index 0, :type :invoke, :process 1, :f :set-nx, :value ["k\"1" "v"], :time 5, :node "5554"}
{:index 1, :type :invoke, :process 0, :f :set, :value ["k\"1" "v"], :time 10, :node "5554"}
{:index 2, :type :info, :process 0, :f :set, :value ["k\"1" "v"], :time 30, :node "5554", :error "timeout"}
{:index 3, :type :invoke, :process 2, :f :get, :value ["k\"1" nil], :time 40, :node "5554"}
{:index 4, :type :fail, :process 1, :f :set-nx, :value ["k\"1" "v"], :time 45, :node "5554", :error "refused"}
{:index 5, :type :ok, :process 2, :f :get, :value ["k\"1" "v"], :time 50, :node "5554"}
]
"#;
        assert_eq!(String::from_utf8(written).expect("text"), expected);
    }
}
