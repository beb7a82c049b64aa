//! Keys and their expiry.

use simpledynamo_chain::{Condition, Expiry, ExpiryCondition, Operation, Part};

use super::*;

#[test]
fn one_key_is_one_step_and_several_add_up() {
    let delete = |key| KeyStep::Write {
        key: bytes(key),
        operation: Operation::Delete { condition: Condition::Always, want_old: false },
        shape: WriteShape::OneOrZero,
    };
    let exists = |key| KeyStep::Read { key: bytes(key), part: Part::Meta, shape: ReadShape::Exists };
    for name in ["del", "unlink"] {
        assert_eq!(plan_of(&format!("{name} a")), Plan::Key(delete("a")));
        // The writes run side by side, and the second one of a key would find nothing.
        let steps = vec![delete("a"), delete("b")];
        assert_eq!(plan_of(&format!("{name} a b a")), Plan::Keys { steps, gather: Gather::Sum });
    }
    for name in ["exists", "touch"] {
        assert_eq!(plan_of(&format!("{name} a")), Plan::Key(exists("a")));
        let steps = vec![exists("a"), exists("a")];
        assert_eq!(plan_of(&format!("{name} a a")), Plan::Keys { steps, gather: Gather::Sum });
    }
}

#[test]
fn a_key_named_like_a_selection_is_an_ordinary_key() {
    for name in ["@", "*"] {
        let read = KeyStep::Read { key: bytes(name), part: Part::Value, shape: ReadShape::BytesOrNull };
        assert_eq!(plan_of(&format!("get {name}")), Plan::Key(read));
    }
}

#[test]
fn questions_about_a_key() {
    let expiry = |millis, absolute| ReadShape::Expiry { millis, absolute };
    for (line, part, shape) in [
        ("type k", Part::Meta, ReadShape::Type),
        ("object encoding k", Part::Range { start: 0, end: 44 }, ReadShape::Encoding),
        ("object refcount k", Part::Meta, ReadShape::OneOrNull),
        ("memory usage k", Part::Meta, ReadShape::MemoryUsage),
        ("memory usage k samples 5", Part::Meta, ReadShape::MemoryUsage),
        ("ttl k", Part::Meta, expiry(false, false)),
        ("pttl k", Part::Meta, expiry(true, false)),
        ("expiretime k", Part::Meta, expiry(false, true)),
        ("pexpiretime k", Part::Meta, expiry(true, true)),
    ] {
        assert_eq!(plan_of(line), Plan::Key(KeyStep::Read { key: bytes("k"), part, shape }), "{line:?}");
    }
    assert_errors(&[
        ("memory usage k samples", "ERR syntax error"),
        ("memory usage k samples x", "ERR value is not an integer or out of range"),
        ("memory usage k samples -1", "ERR syntax error"),
        ("memory usage k foo 5", "ERR syntax error"),
        ("memory usage k samples 5 6", "ERR syntax error"),
        ("object encoding", "ERR wrong number of arguments for 'object|encoding' command"),
        ("object help x", "ERR wrong number of arguments for 'object|help' command"),
        ("object freq k", "ERR An LFU maxmemory policy is not selected, access frequency not tracked."),
        ("object idletime k", "ERR Access times are not tracked, idle time unknown."),
    ]);
}

#[test]
fn expire_takes_every_form_and_condition() {
    use ExpiryCondition::{AlreadySet, AlreadySetAndEarlier, Always, Earlier, Later, Unset};
    for (line, expiry, condition) in [
        ("expire k 10", Expiry::In(10_000), Always),
        ("expire k 0", Expiry::In(0), Always),
        ("expire k -1", Expiry::In(0), Always),
        ("expire k -9223372036854775", Expiry::In(0), Always),
        ("pexpire k 10", Expiry::In(10), Always),
        ("pexpire k -9223372036854775807", Expiry::In(0), Always),
        ("expireat k 10", Expiry::At(10_000), Always),
        ("expireat k -5", Expiry::At(0), Always),
        ("pexpireat k 10", Expiry::At(10), Always),
        ("pexpireat k 9223372036854775807", Expiry::At(i64::MAX as u64), Always),
        ("expire k 10 nx", Expiry::In(10_000), Unset),
        ("expire k 10 XX", Expiry::In(10_000), AlreadySet),
        ("expire k 10 gt", Expiry::In(10_000), Later),
        ("expire k 10 lt", Expiry::In(10_000), Earlier),
        ("expire k 10 gt xx", Expiry::In(10_000), Later),
        ("expire k 10 xx lt", Expiry::In(10_000), AlreadySetAndEarlier),
        ("expire k 10 nx nx", Expiry::In(10_000), Unset),
    ] {
        let operation = Operation::Expire { expiry, condition, want_value: false };
        assert_eq!(write_of(line), (operation, WriteShape::OneOrZero), "{line:?}");
    }
    let persist = Operation::Expire {
        expiry: Expiry::Clear,
        condition: ExpiryCondition::AlreadySet,
        want_value: false,
    };
    assert_eq!(write_of("persist k"), (persist, WriteShape::OneOrZero));
}

#[test]
fn expire_refuses_what_redis_refuses() {
    const WITH_NX: &str = "ERR NX and XX, GT or LT options at the same time are not compatible";
    const GT_LT: &str = "ERR GT and LT options at the same time are not compatible";
    const INTEGER: &str = "ERR value is not an integer or out of range";
    assert_errors(&[
        ("expire k", "ERR wrong number of arguments for 'expire' command"),
        ("expire k x", INTEGER),
        ("pexpireat k x", INTEGER),
        ("expire k 10 foo", "ERR Unsupported option foo"),
        ("expire k x foo", "ERR Unsupported option foo"),
        ("expire k 10 nx foo", "ERR Unsupported option foo"),
        ("expire k 10 nx xx", WITH_NX),
        ("expire k 10 nx gt", WITH_NX),
        ("expire k 10 nx lt", WITH_NX),
        ("expire k 10 gt lt", GT_LT),
        ("expire k 10 gt xx lt", GT_LT),
        ("expire k 9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("expire k 9223372036854775", "ERR invalid expire time in 'expire' command"),
        ("expire k -9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("pexpire k 9223372036854775807", "ERR invalid expire time in 'pexpire' command"),
        ("expireat k 9223372036854775807", "ERR invalid expire time in 'expireat' command"),
        // Redis allows this one.
    ]);
}
