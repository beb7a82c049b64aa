//! Reading a history file.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_verify::History;

use crate::call::{Call, Kind, Told};
use crate::record::{Outcome, Record, Via};

use super::lines::{Ending, LINE_MAX, Line, Reply, VIA_NODE, VIA_RING};

/// Why a history file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryFileError {
    /// The system failed.
    #[error("cannot read the history: {0}")]
    Read(#[from] io::Error),
    /// A line that says nothing sensible.
    #[error("line {line} of the history: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads a history: one operation a line, in any order. Empty lines are passed over.
///
/// # Errors
/// When it cannot be read, or a line is no operation that could have been.
pub fn read_history(mut from: impl BufRead) -> Result<Vec<Record>, HistoryFileError> {
    let mut records = Vec::new();
    let mut names = BTreeSet::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = from.by_ref().take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        let wrong = |reason: String| HistoryFileError::Line { line: number, reason };
        if length > LINE_MAX {
            return Err(wrong(format!("it is longer than {LINE_MAX} bytes")));
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
        records.push(record(line, &mut names).map_err(wrong)?);
    }
    Ok(records)
}

/// The operation of a line. Names of nodes are kept once.
fn record(line: Line, names: &mut BTreeSet<Arc<str>>) -> Result<Record, String> {
    let call = call(&line)?;
    if line.ended < line.invoked {
        return Err(format!("it ended at {}, before it was invoked at {}", line.ended, line.invoked));
    }
    let via = match line.via.as_deref() {
        None => Via::Key,
        Some(VIA_NODE) => Via::Node,
        Some(VIA_RING) => Via::Ring,
        Some(other) => return Err(format!("via {other:?} is neither {VIA_NODE:?} nor {VIA_RING:?}")),
    };
    let error = line.error.clone().unwrap_or_default();
    let outcome = match line.outcome {
        Ending::Ok => Outcome::Answered { told: told(&call, line.reply)?, returned: line.ended },
        Ending::Fail => Outcome::Failed { error, returned: line.ended },
        Ending::Unknown => Outcome::Unknown { error, gave_up: line.ended },
    };
    let node = match names.get(line.node.as_str()) {
        Some(node) => Arc::clone(node),
        None => {
            let node: Arc<str> = line.node.into();
            names.insert(Arc::clone(&node));
            node
        }
    };
    let key = Bytes::from(line.key);
    Ok(Record {
        phase: line.phase,
        client: line.client,
        node,
        key,
        call,
        via,
        invoked: line.invoked,
        outcome,
    })
}

fn call(line: &Line) -> Result<Call, String> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == line.op);
    let kind = kind.ok_or_else(|| format!("there is no op {:?}", line.op))?;
    let bytes = |field: &Option<String>, name: &str| {
        let text = field.as_ref().ok_or_else(|| format!("op {kind} needs the field {name}"))?;
        Ok::<_, String>(Bytes::copy_from_slice(text.as_bytes()))
    };
    let value = || bytes(&line.value, "value");
    let expected = || bytes(&line.expected, "expected");
    Ok(match kind {
        Kind::Get => Call::Get,
        Kind::Set => Call::Set(value()?),
        Kind::SetNx => Call::SetNx(value()?),
        Kind::SetXx => Call::SetXx(value()?),
        Kind::SetIfeq => Call::SetIfeq { value: value()?, expected: expected()? },
        Kind::Del => Call::Del,
        Kind::Getdel => Call::Getdel,
        Kind::Delifeq => Call::Delifeq(expected()?),
        Kind::Incr => Call::Incr,
    })
}

fn told(call: &Call, reply: Reply) -> Result<Told, String> {
    let told = match (call.kind(), reply) {
        (Kind::Get | Kind::Getdel, Reply::Text(text)) => Told::Value(Bytes::from(text)),
        (_, Reply::Text(text)) if text == "OK" => Told::Ok,
        (_, Reply::Text(text)) => return Err(format!("the reply {text:?} is none of {}", call.kind())),
        (_, Reply::Integer(number)) => Told::Integer(number),
        (_, Reply::Nothing) => Told::Nothing,
    };
    match call.reply(&told, &mut History::new()) {
        Some(_) => Ok(told),
        None => Err(format!("the reply {told:?} is none of {}", call.kind())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::write_line;

    fn text() -> impl Strategy<Value = Bytes> {
        "\\PC{0,8}".prop_map(Bytes::from)
    }

    fn call_and_told() -> impl Strategy<Value = (Call, Told)> {
        let maybe = prop_oneof![Just(Told::Nothing), text().prop_map(Told::Value)];
        let done = prop_oneof![Just(Told::Nothing), Just(Told::Ok)];
        let count = prop_oneof![Just(Told::Integer(0)), Just(Told::Integer(1))];
        prop_oneof![
            (Just(Call::Get), maybe.clone()),
            (Just(Call::Getdel), maybe),
            (text().prop_map(Call::Set), Just(Told::Ok)),
            (text().prop_map(Call::SetNx), done.clone()),
            (text().prop_map(Call::SetXx), done.clone()),
            ((text(), text()).prop_map(|(value, expected)| Call::SetIfeq { value, expected }), done),
            (Just(Call::Del), count.clone()),
            (text().prop_map(Call::Delifeq), count),
            (Just(Call::Incr), any::<i64>().prop_map(Told::Integer)),
        ]
    }

    prop_compose! {
        fn any_record()(
            (call, told) in call_and_told(),
            (phase, client, key) in (any::<u8>(), any::<u32>(), text()),
            via in prop::sample::select(vec![Via::Key, Via::Node, Via::Ring]),
            (invoked, length) in (0..1_u64 << 40, 0..1_u64 << 40),
            (ending, error) in (0..3, "\\PC{0,8}"),
        ) -> Record {
            let returned = invoked + length;
            let outcome = match ending {
                0 => Outcome::Answered { told, returned },
                1 => Outcome::Failed { error, returned },
                _ => Outcome::Unknown { error, gave_up: returned },
            };
            Record { phase, client, node: "5554".into(), key, call, via, invoked, outcome }
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(records in prop::collection::vec(any_record(), 0..8)) {
            let mut file = Vec::new();
            records.iter().for_each(|record| write_line(record, &mut file).expect("memory takes it"));
            prop_assert_eq!(read_history(&file[..]).expect("readable"), records);
        }
    }

    #[test]
    fn lines_that_cannot_be_are_refused_with_their_number() {
        let good = r#"{"client":1,"key":"k","op":"get","invoked":1,"ended":2,"outcome":"ok","reply":"v"}"#;
        let read = |line: &str| read_history(format!("{good}\n\n{line}\n").as_bytes());
        assert_eq!(read("").expect("readable").len(), 1);
        for (line, reason) in [
            ("{", "line 3 of the history: EOF"),
            (&good.replace("get", "gat"), "there is no op \"gat\""),
            (&good.replace("get", "set"), "op set needs the field value"),
            (&good.replace("get", "incr"), "the reply \"v\" is none of incr"),
            (&good.replace("get", "del").replace("\"v\"", "7"), "the reply Integer(7) is none of del"),
            (&good.replace(":2", ":0"), "it ended at 0, before it was invoked at 1"),
            (&good.replace("\"key\"", "\"cay\""), "unknown field `cay`"),
        ] {
            let error = read(line).expect_err(line).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
