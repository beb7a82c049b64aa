//! Commands that speak of many keys.

use super::*;

fn ring_plan_of(line: &str) -> RingPlan {
    match plan_of(line) {
        Plan::Ring(plan) => plan,
        other => panic!("{line:?} comes to {other:?}"),
    }
}

#[test]
fn scan_takes_every_option() {
    for (line, cursor, count, pattern, any_type) in [
        ("scan 0", 0, 10, None, true),
        ("scan 17 match a*", 17, 10, Some("a*"), true),
        ("scan 0 MATCH *", 0, 10, None, true),
        ("scan 0 count 500", 0, 500, None, true),
        ("scan 0 count 9223372036854775807", 0, PAGE_COUNT_MAX, None, true),
        ("scan 0 type string", 0, 10, None, true),
        ("scan 0 type STRING count 1", 0, 1, None, true),
        ("scan 0 type hash", 0, 10, None, false),
        ("scan 4503599627370495", CURSOR_MAX, 10, None, true),
    ] {
        let pattern = pattern.map(bytes);
        assert_eq!(ring_plan_of(line), RingPlan::Scan { cursor, count, pattern, any_type }, "{line:?}");
    }
    assert_errors(&[
        ("scan x", "ERR invalid cursor"),
        ("scan ''", "ERR invalid cursor"),
        ("scan 1a", "ERR invalid cursor"),
        ("scan 18446744073709551616", "ERR invalid cursor"),
        ("scan 4503599627370496", "ERR invalid cursor"),
        ("scan 0 match", "ERR syntax error"),
        ("scan 0 count x", "ERR value is not an integer or out of range"),
        ("scan 0 count 0", "ERR syntax error"),
        ("scan 0 count -1", "ERR syntax error"),
        ("scan 0 foo bar", "ERR syntax error"),
    ]);
}

#[test]
fn plain_listings() {
    assert_eq!(ring_plan_of("keys a*"), RingPlan::Keys(bytes("a*")));
    assert_eq!(ring_plan_of("randomkey"), RingPlan::Random);
    assert_eq!(ring_plan_of("dbsize"), RingPlan::Count);
    for line in ["flushall", "flushdb", "flushall sync", "flushdb ASYNC"] {
        assert_eq!(ring_plan_of(line), RingPlan::Flush, "{line:?}");
    }
    assert_errors(&[("flushall foo", "ERR syntax error"), ("flushdb async sync", "ERR syntax error")]);
}

#[test]
fn selections_are_the_node_the_ring_or_any_key() {
    use Selection::{Key, Node, Ring};
    for (line, selection, cursor, count) in [
        ("sd.query @", Node, 0, 100),
        ("SD.QUERY *", Ring, 0, 100),
        ("sd.query k", Key(bytes("k")), 0, 100),
        ("sd.query * cursor 5 count 7", Ring, 5, 7),
        ("sd.query @ COUNT 7", Node, 0, 7),
        ("sd.query key @", Key(bytes("@")), 0, 100),
        ("sd.query KEY *", Key(bytes("*")), 0, 100),
        ("sd.query key key", Key(bytes("key")), 0, 100),
        ("sd.query key", Key(bytes("key")), 0, 100),
        ("sd.query key count 7", Key(bytes("key")), 0, 7),
        ("sd.query key count", Key(bytes("count")), 0, 100),
        ("sd.query key @ count 7", Key(bytes("@")), 0, 7),
    ] {
        assert_eq!(ring_plan_of(line), RingPlan::Query { selection, cursor, count }, "{line:?}");
    }
    for (line, selection) in [
        ("sd.delete @", Node),
        ("sd.delete *", Ring),
        ("sd.delete k", Key(bytes("k"))),
        ("sd.delete key @", Key(bytes("@"))),
        ("sd.delete key", Key(bytes("key"))),
    ] {
        assert_eq!(ring_plan_of(line), RingPlan::Delete(selection), "{line:?}");
    }
    assert_errors(&[
        ("sd.query @ foo 1", "ERR syntax error"),
        ("sd.query @ cursor", "ERR syntax error"),
        ("sd.query @ cursor x", "ERR invalid cursor"),
        ("sd.query @ count 0", "ERR syntax error"),
        ("sd.delete @ x", "ERR syntax error"),
        ("sd.delete key a b", "ERR syntax error"),
        ("sd.query", "ERR wrong number of arguments for 'sd.query' command"),
    ]);
}
