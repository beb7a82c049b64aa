//! Strings.

use simpledynamo_chain::{Condition, Expiry, ExpiryCondition, Operation, Part};

use super::*;

fn set(condition: Condition, expiry: Expiry, want_old: bool) -> (Operation, WriteShape) {
    (Operation::Set { value: bytes("v"), condition, expiry, want_old }, WriteShape::OkOrNull)
}

#[test]
fn set_takes_every_option() {
    use Condition::{Absent, Always, Equals, Present};
    for (line, condition, expiry, want_old) in [
        ("set k v", Always, Expiry::Clear, false),
        ("set k v nx", Absent, Expiry::Clear, false),
        ("set k v NX nx", Absent, Expiry::Clear, false),
        ("set k v xx", Present, Expiry::Clear, false),
        ("set k v ifeq old", Equals(bytes("old")), Expiry::Clear, false),
        ("set k v ifeq ''", Equals(bytes("")), Expiry::Clear, false),
        ("set k v get", Always, Expiry::Clear, true),
        ("set k v nx get", Absent, Expiry::Clear, true),
        ("set k v keepttl", Always, Expiry::Keep, false),
        ("set k v ex 10", Always, Expiry::In(10_000), false),
        ("set k v ex 10 ex 20", Always, Expiry::In(20_000), false),
        ("set k v px 10", Always, Expiry::In(10), false),
        ("set k v exat 10", Always, Expiry::At(10_000), false),
        ("set k v pxat 5", Always, Expiry::At(5), false),
        ("set k v pxat 9223372036854775807", Always, Expiry::At(i64::MAX as u64), false),
        ("set k v PX 10 XX GET", Present, Expiry::In(10), true),
        ("set k v get ifeq old ex 1", Equals(bytes("old")), Expiry::In(1_000), true),
    ] {
        assert_eq!(write_of(line), set(condition, expiry, want_old), "{line:?}");
    }
}

#[test]
fn set_refuses_what_redis_refuses() {
    const SYNTAX: &str = "ERR syntax error";
    const EXPIRE: &str = "ERR invalid expire time in 'set' command";
    const INTEGER: &str = "ERR value is not an integer or out of range";
    assert_errors(&[
        ("set k", "ERR wrong number of arguments for 'set' command"),
        ("set k v foo", SYNTAX),
        ("set k v nx xx", SYNTAX),
        ("set k v xx nx", SYNTAX),
        ("set k v nx ifeq a", SYNTAX),
        ("set k v ifeq a xx", SYNTAX),
        ("set k v ifeq a ifeq b", SYNTAX),
        ("set k v ifeq", SYNTAX),
        ("set k v ex", SYNTAX),
        ("set k v ex 10 px 10", SYNTAX),
        ("set k v ex 10 exat 10", SYNTAX),
        ("set k v ex 10 keepttl", SYNTAX),
        ("set k v keepttl px 10", SYNTAX),
        ("set k v persist", SYNTAX),
        ("set k v ex 0", EXPIRE),
        ("set k v ex -1", EXPIRE),
        ("set k v exat 0", EXPIRE),
        ("set k v ex x", INTEGER),
        ("set k v ex 010", INTEGER),
        ("set k v ex 9223372036854775808", INTEGER),
        ("set k v ex 9223372036854775807", EXPIRE),
        ("set k v ex 9223372036854775", EXPIRE),
        ("set k v px 9223372036854775807", EXPIRE),
        ("set k v exat 9223372036854775807", EXPIRE),
    ]);
}

#[test]
fn relatives_of_set() {
    use WriteShape::{OkOrNull, OneOrZero};
    let set = |condition, expiry, want_old| Operation::Set { value: bytes("v"), condition, expiry, want_old };
    let delete = |condition, want_old| Operation::Delete { condition, want_old };
    for (line, operation, shape) in [
        ("setnx k v", set(Condition::Absent, Expiry::Clear, false), OneOrZero),
        ("setex k 10 v", set(Condition::Always, Expiry::In(10_000), false), OkOrNull),
        ("psetex k 10 v", set(Condition::Always, Expiry::In(10), false), OkOrNull),
        ("getset k v", set(Condition::Always, Expiry::Clear, true), OkOrNull),
        ("getdel k", delete(Condition::Always, true), OkOrNull),
        ("delifeq k v", delete(Condition::Equals(bytes("v")), false), OneOrZero),
        ("append k v", Operation::Append(bytes("v")), OneOrZero),
        ("setrange k 5 v", Operation::Overwrite { offset: 5, bytes: bytes("v") }, OneOrZero),
        ("incr k", Operation::Increment(1), OneOrZero),
        ("decr k", Operation::Increment(-1), OneOrZero),
        ("incrby k -5", Operation::Increment(-5), OneOrZero),
        ("decrby k 5", Operation::Increment(-5), OneOrZero),
        ("incrbyfloat k 3.0e3", Operation::IncrementFloat(bytes("3.0e3")), OneOrZero),
        ("incrbyfloat k inf", Operation::IncrementFloat(bytes("inf")), OneOrZero),
    ] {
        assert_eq!(write_of(line), (operation, shape), "{line:?}");
    }
    const INTEGER: &str = "ERR value is not an integer or out of range";
    assert_errors(&[
        ("setex k 0 v", "ERR invalid expire time in 'setex' command"),
        ("setex k x v", INTEGER),
        ("setex k 9223372036854775807 v", "ERR invalid expire time in 'setex' command"),
        ("psetex k -5 v", "ERR invalid expire time in 'psetex' command"),
        ("setrange k x v", INTEGER),
        ("setrange k -1 v", "ERR offset is out of range"),
        ("setrange k 1000 v", "ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("setrange k 9223372036854775807 v", "ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("incrby k x", INTEGER),
        ("incrby k 1.5", INTEGER),
        ("incrby k 9223372036854775808", INTEGER),
        ("decrby k x", INTEGER),
        ("decrby k -9223372036854775808", "ERR decrement would overflow"),
        ("incrbyfloat k x", "ERR value is not a valid float"),
        ("incrbyfloat k nan", "ERR value is not a valid float"),
        ("incrbyfloat k ''", "ERR value is not a valid float"),
    ]);
    assert!(matches!(plan_of("setrange k 999 v"), Plan::Key(KeyStep::Write { .. })));
}

#[test]
fn getex_reads_or_changes_the_expiry() {
    let expire = |expiry| {
        let condition = ExpiryCondition::Always;
        (Operation::Expire { expiry, condition, want_value: true }, WriteShape::OkOrNull)
    };
    for (line, expiry) in [
        ("getex k persist", Expiry::Clear),
        ("getex k ex 10", Expiry::In(10_000)),
        ("getex k px 10", Expiry::In(10)),
        ("getex k exat 10", Expiry::At(10_000)),
        ("getex k pxat 1", Expiry::At(1)),
    ] {
        assert_eq!(write_of(line), expire(expiry), "{line:?}");
    }
    assert_eq!(plan_of("getex k"), plan_of("get k"));
    assert_errors(&[
        ("getex k ex", "ERR syntax error"),
        ("getex k ex 0", "ERR invalid expire time in 'getex' command"),
        ("getex k ex x", "ERR value is not an integer or out of range"),
        ("getex k persist ex 10", "ERR syntax error"),
        ("getex k ex 10 persist", "ERR syntax error"),
        ("getex k nx", "ERR syntax error"),
        ("getex k keepttl", "ERR syntax error"),
    ]);
}

#[test]
fn reads_ask_for_no_more_than_they_need() {
    for (line, part, shape) in [
        ("get k", Part::Value, ReadShape::BytesOrNull),
        ("strlen k", Part::Meta, ReadShape::Length),
        ("getrange k 0 -1", Part::Range { start: 0, end: -1 }, ReadShape::Bytes),
        ("substr k -3 -1", Part::Range { start: -3, end: -1 }, ReadShape::Bytes),
        ("setrange k 7 ''", Part::Meta, ReadShape::Length),
        ("setrange k 999999 ''", Part::Meta, ReadShape::Length),
    ] {
        assert_eq!(plan_of(line), Plan::Key(KeyStep::Read { key: bytes("k"), part, shape }), "{line:?}");
    }
    assert_errors(&[
        ("getrange k x 1", "ERR value is not an integer or out of range"),
        ("substr k 0 x", "ERR value is not an integer or out of range"),
    ]);
}

#[test]
fn mset_writes_the_last_value_of_a_key_that_is_named_twice() {
    let Plan::Keys { steps, gather } = plan_of("mset a 1 b 2 a 3") else { panic!("several keys") };
    let pairs: Vec<_> = steps
        .iter()
        .map(|step| match step {
            KeyStep::Write { key, operation: Operation::Set { value, .. }, .. } => {
                (key.as_ref(), value.as_ref())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(pairs, [(&b"a"[..], &b"3"[..]), (b"b", b"2")]);
    assert_eq!(gather, Gather::AllOk);
    assert_errors(&[("mset a b c", "ERR wrong number of arguments for 'mset' command")]);
}

#[test]
fn mget_reads_each_key_in_order_even_a_single_one() {
    for (line, keys) in [("mget a", vec!["a"]), ("mget a b a", vec!["a", "b", "a"])] {
        let read = |key| KeyStep::Read { key: bytes(key), part: Part::Value, shape: ReadShape::BytesOrNull };
        let steps = keys.into_iter().map(read).collect();
        assert_eq!(plan_of(line), Plan::Keys { steps, gather: Gather::Array }, "{line:?}");
    }
}
