//! From outcomes to replies.

use simpledynamo_chain::{Operation, OperationError, Outcome, Reading, Refusal, Reply, Version};

use super::*;

fn step_of(line: &str) -> KeyStep {
    match plan_of(line) {
        Plan::Key(step) => step,
        other => panic!("{line:?} comes to {other:?}"),
    }
}

fn written(reply: Reply) -> Outcome {
    Outcome::Written { version: Version::default(), reply }
}

fn present(value: &str, expires_at: Option<u64>) -> Outcome {
    Outcome::Read(Reading::Present {
        version: Version::default(),
        expires_at,
        due: false,
        length: value.len() as u64,
        bytes: bytes(value),
    })
}

fn error(text: &'static str) -> Value {
    Value::Error(text.into())
}

#[test]
fn writes_are_told_as_their_command_promises() {
    let failed = |failure| written(Reply::Failed(failure));
    for (line, outcome, expected) in [
        ("set k v", written(Reply::Done), Value::OK),
        ("set k v nx", written(Reply::Refused), Value::Null),
        ("set k v get", written(Reply::Old(None)), Value::Null),
        ("set k v nx get", written(Reply::Old(Some(bytes("old")))), bulk("old")),
        ("setnx k v", written(Reply::Done), Value::Integer(1)),
        ("setnx k v", written(Reply::Refused), Value::Integer(0)),
        ("delifeq k v", written(Reply::Refused), Value::Integer(0)),
        ("getdel k", written(Reply::Old(None)), Value::Null),
        ("del k", written(Reply::Done), Value::Integer(1)),
        ("expire k 1", written(Reply::Refused), Value::Integer(0)),
        ("append k v", written(Reply::Integer(7)), Value::Integer(7)),
        ("incr k", written(Reply::Integer(-1)), Value::Integer(-1)),
        ("incrbyfloat k 1", written(Reply::Bytes(bytes("1.5"))), bulk("1.5")),
        (
            "incr k",
            failed(OperationError::NotAnInteger),
            error("ERR value is not an integer or out of range"),
        ),
        ("incr k", failed(OperationError::Overflow), error("ERR increment or decrement would overflow")),
        ("incrbyfloat k 1", failed(OperationError::NotAFloat), error("ERR value is not a valid float")),
        (
            "incrbyfloat k inf",
            failed(OperationError::NotFinite),
            error("ERR increment would produce NaN or Infinity"),
        ),
        (
            "append k v",
            failed(OperationError::TooLong),
            error("ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ),
    ] {
        assert_eq!(step_reply(&step_of(line), outcome, NOW), expected, "{line:?}");
    }
}

#[test]
fn reads_are_told_as_their_command_promises() {
    let at = |millis: u64| Some(NOW + millis);
    for (line, outcome, expected) in [
        ("get k", present("v", None), bulk("v")),
        ("strlen k", present("abc", None), Value::Integer(3)),
        ("getrange k 0 1", present("ab", None), bulk("ab")),
        ("exists k", present("v", None), Value::Integer(1)),
        ("object refcount k", present("v", None), Value::Integer(1)),
        ("type k", present("v", None), Value::Simple("string".into())),
        ("memory usage k", present("v", None), Value::Integer(50)),
        ("ttl k", present("v", None), Value::Integer(-1)),
        ("ttl k", present("v", at(1_499)), Value::Integer(1)),
        ("ttl k", present("v", at(1_500)), Value::Integer(2)),
        ("pttl k", present("v", at(1_499)), Value::Integer(1_499)),
        ("pttl k", present("v", Some(NOW - 1)), Value::Integer(0)),
        ("expiretime k", present("v", at(600)), Value::Integer(1_795_339_601)),
        ("pexpiretime k", present("v", at(600)), Value::Integer(1_795_339_600_600)),
        ("pexpiretime k", present("v", Some(i64::MAX as u64)), Value::Integer(i64::MAX)),
    ] {
        assert_eq!(step_reply(&step_of(line), outcome, NOW), expected, "{line:?}");
    }
    for (line, expected) in [
        ("get k", Value::Null),
        ("getrange k 0 1", bulk("")),
        ("strlen k", Value::Integer(0)),
        ("exists k", Value::Integer(0)),
        ("type k", Value::Simple("none".into())),
        ("object encoding k", Value::Null),
        ("object refcount k", Value::Null),
        ("memory usage k", Value::Null),
        ("ttl k", Value::Integer(-2)),
        ("pexpiretime k", Value::Integer(-2)),
    ] {
        assert_eq!(step_reply(&step_of(line), Outcome::Read(Reading::Absent), NOW), expected, "{line:?}");
    }
}

#[test]
fn encodings_are_those_of_redis() {
    for (value, expected) in [
        ("1", "int"),
        ("9223372036854775807", "int"),
        ("-5", "int"),
        ("9223372036854775808", "embstr"),
        ("007", "embstr"),
        ("", "embstr"),
        (&"a".repeat(44), "embstr"),
        (&"a".repeat(45), "raw"),
    ] {
        let step = step_of("object encoding k");
        assert_eq!(step_reply(&step, present(value, None), NOW), bulk(expected), "{value:?}");
    }
    // A long value of which only digits were sent is no integer.
    let digits = Reading::Present {
        version: Version::default(),
        expires_at: None,
        due: false,
        length: 1_000,
        bytes: bytes(&"1".repeat(18)),
    };
    assert_eq!(step_reply(&step_of("object encoding k"), Outcome::Read(digits), NOW), bulk("raw"));
}

#[test]
fn failures_say_what_may_be_concluded() {
    let unavailable = || Outcome::Unavailable(Refusal::ChainBroken);
    for (line, outcome, expected) in [
        (
            "set k v",
            unavailable(),
            "UNAVAILABLE a member of this key's chain cannot be reached; nothing was changed",
        ),
        ("get k", unavailable(), "UNAVAILABLE a member of this key's chain cannot be reached"),
        (
            "set k v",
            Outcome::Unknown,
            "UNKNOWN the write may have happened, may still happen, or may never happen: its outcome did not arrive \
             in time",
        ),
        ("get k", Outcome::Unknown, "UNAVAILABLE the read was not answered in time"),
    ] {
        assert_eq!(step_reply(&step_of(line), outcome, NOW), error(expected), "{line:?}");
    }
}

fn gathered(line: &str, outcomes: Vec<Outcome>) -> Value {
    match plan_of(line) {
        Plan::Keys { steps, gather: how } => gather(how, &steps, outcomes, NOW),
        other => panic!("{line:?} comes to {other:?}"),
    }
}

#[test]
fn several_replies_become_one() {
    let done = || written(Reply::Done);
    let absent = || Outcome::Read(Reading::Absent);
    for (line, outcomes, expected) in [
        ("mset a 1 b 2", vec![done(), done()], Value::OK),
        ("del a b c", vec![done(), written(Reply::Refused), done()], Value::Integer(2)),
        ("exists a b", vec![present("v", None), absent()], Value::Integer(1)),
        ("mget a b", vec![present("v", None), absent()], Value::Array(vec![bulk("v"), Value::Null])),
    ] {
        assert_eq!(gathered(line, outcomes), expected, "{line:?}");
    }
}

#[test]
fn a_part_that_failed_is_never_hidden() {
    let done = || written(Reply::Done);
    let refused = || Outcome::Unavailable(Refusal::Overloaded);
    const UNAVAILABLE: &str =
        "UNAVAILABLE the members of this key's chain are overloaded; nothing was changed";
    for (line, outcomes, expected) in [
        (
            "mset a 1 b 2 c 3 d 4",
            vec![done(), refused(), Outcome::Unknown, done()],
            "PARTIAL of 4 keys 2 are certainly set, 1 certainly not, 1 unknown: the members of this key's chain \
             are overloaded",
        ),
        (
            "mset a 1 b 2",
            vec![done(), Outcome::Unknown],
            "PARTIAL of 2 keys 1 is certainly set, 0 certainly not, 1 unknown",
        ),
        ("mset a 1 b 2", vec![refused(), refused()], UNAVAILABLE),
        (
            "mset a 1 b 2",
            vec![Outcome::Unknown, Outcome::Unknown],
            "UNKNOWN of 2 keys 0 are certainly set, 0 certainly not, 2 unknown",
        ),
        (
            "del a b",
            vec![done(), refused()],
            "PARTIAL of 2 keys 1 is certainly deleted, 1 certainly not, 0 unknown: the members of this key's chain \
             are overloaded",
        ),
        (
            "mget a b",
            vec![present("v", None), refused()],
            "UNAVAILABLE the members of this key's chain are overloaded",
        ),
        (
            "exists a b",
            vec![refused(), present("v", None)],
            "UNAVAILABLE the members of this key's chain are overloaded",
        ),
    ] {
        let Value::Error(text) = gathered(line, outcomes) else { panic!("{line:?} hides a failure") };
        assert_eq!(text, expected, "{line:?}");
    }
}

#[test]
fn pages_are_told_as_scan_tells_them() {
    assert_eq!(
        scan_reply(17, vec![bytes("a"), bytes("b")]),
        Value::Array(vec![bulk("17"), Value::Array(vec![bulk("a"), bulk("b")])])
    );
    assert_eq!(
        query_reply(0, vec![(bytes("a"), bytes("1"))]),
        Value::Array(vec![bulk("0"), Value::Array(vec![bulk("a"), bulk("1")])])
    );
}

/// What one key's write, evaluated against nothing, is told: the whole way but the chain.
#[test]
fn evaluation_and_reply_agree() {
    use simpledynamo_chain::Limits;
    let evaluated = |line: &str| match step_of(line) {
        KeyStep::Write { operation, .. } => {
            let evaluation = Operation::evaluate(&operation, None, NOW, Limits { max_value: 1_000 });
            step_reply(&step_of(line), written(evaluation.reply), NOW)
        }
        KeyStep::Read { .. } => panic!("{line:?} reads"),
    };
    for (line, expected) in [
        ("set k v", Value::OK),
        ("set k v xx", Value::Null),
        ("set k v ifeq x", Value::Null),
        ("getdel k", Value::Null),
        ("getex k persist", Value::Null),
        ("persist k", Value::Integer(0)),
        ("incr k", Value::Integer(1)),
        ("decrby k 5", Value::Integer(-5)),
        ("append k abc", Value::Integer(3)),
        ("setrange k 2 v", Value::Integer(3)),
        ("incrbyfloat k 3.0", bulk("3")),
        ("incrbyfloat k inf", error("ERR increment would produce NaN or Infinity")),
    ] {
        assert_eq!(evaluated(line), expected, "{line:?}");
    }
}
