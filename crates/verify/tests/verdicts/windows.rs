//! What a person is shown of a history that is not linearizable.

use bytes::Bytes;
use simpledynamo_verify::{
    Condition, Event, Findings, History, KeyHistory, Limits, Reason, Reply, TimeUnit, Value, Verdict, Window,
    check, check_key,
};

use crate::by_hand::{A, B, C, delete, failed, history, known, read, set, set_if, unknown, write};

fn window(history: &KeyHistory) -> Window {
    match check_key(history, Limits::default()) {
        Verdict::NotLinearizable(window) => window,
        other => panic!("{other:?}"),
    }
}

/// Much that is right, before and after.
fn around(events: &[Event]) -> Vec<Event> {
    let value = |number: u64| Value::Text(100 + number as u32);
    let before = (0..20).flat_map(|n| {
        [write(7, 10 * n..10 * n + 5, value(n)), read(8, 10 * n + 6..10 * n + 8, Some(value(n)))]
    });
    let after = (50..70).map(|n| write(7, 10 * n..10 * n + 5, value(n)));
    before.chain(events.iter().copied()).chain(after).collect()
}

#[test]
fn a_stale_read_is_shown_with_the_write_that_it_missed() {
    let stale = [write(1, 300..310, A), write(2, 320..330, B), read(3, 340..350, Some(A))];
    let window = window(&history(None, &around(&stale)));
    assert_eq!(window.operations, stale[1..]);
    assert_eq!((window.start, window.start_may_be_text), (vec![None, Some(A)], true));
    assert_eq!(window.origins, stale[..1]);
}

#[test]
fn reads_that_go_back_are_shown_with_each_other() {
    let writes = [write(1, 300..400, A), write(2, 300..400, B)];
    let reads = [read(3, 310..320, Some(B)), read(4, 330..340, Some(A)), read(3, 350..360, Some(B))];
    let window = window(&history(None, &around(&[&writes[..], &reads].concat())));
    assert!(window.operations.ends_with(&reads), "{window:?}");
}

#[test]
fn a_read_of_a_failed_write_is_shown_with_the_failure() {
    let write = failed(1, 300..310, set(C));
    let read = read(2, 320..330, Some(C));
    let window = window(&history(None, &around(&[write, read])));
    assert_eq!((window.operations, window.origins), (vec![read], vec![write]));
}

#[test]
fn what_may_explain_a_reply_is_shown_though_it_does_not() {
    let lost = unknown(5, 300, set(A));
    let events = [lost, read(1, 310..320, Some(A)), write(1, 330..340, B), read(1, 350..360, Some(A))];
    let window = window(&history(None, &around(&events)));
    assert!(window.operations.contains(&lost) || window.origins.contains(&lost), "{window:?}");
    assert!(window.operations.ends_with(&events[2..]), "{window:?}");
}

#[test]
fn a_window_is_drawn_with_an_interval_per_operation() {
    let mut history = History::new();
    let key = Bytes::from_static(b"k");
    let [a, b] = [&b"a"[..], b"b \xff"].map(|bytes| history.value(bytes));
    for event in [
        write(1, 1_000..1_010, a),
        unknown(3, 1_015, set(b)),
        read(3, 1_020..1_040, Some(b)),
        known(2, 1_030..1_050, delete(), Reply::Done),
        read(1, 1_055..1_065, None),
        read(1, 1_070..1_080, Some(b)),
    ] {
        history.push(&key, event).expect("the times are in order");
    }
    let findings = check(&history, Limits::default());
    assert!(!findings.is_linearizable());
    assert_eq!((findings.keys, findings.operations), (1, 6));
    let drawn = findings.violations[&key].render(history.values(), TimeUnit::TICKS);
    let expected = r#"No order of these operations explains all their replies.
At time 0 the key held no value or "a".

client 1                             [-4--]    [-5--]
client 2              [----3----]
client 3    [------------------------1------------------------>
client 3         [----2----]

Times are ticks after 1015.
   1  client 3    0..?  SET "b \xff" -> outcome unknown
   2  client 3    5..25  GET -> "b \xff"
   3  client 2    15..35  DEL -> done
   4  client 1    40..50  GET -> no value
   5  client 1    55..65  GET -> "b \xff"
"#;
    assert_eq!(drawn, expected, "\n{drawn}");
}

#[test]
fn keys_are_judged_one_by_one() {
    let mut history = History::new();
    let a = history.value(b"a");
    let keys = ["good", "bad", "busy"].map(|key| Bytes::from_static(key.as_bytes()));
    for (key, seen) in keys.iter().zip([Some(a), None, Some(a)]) {
        history.push(key, write(1, 0..10, a)).expect("the times are in order");
        history.push(key, read(1, 20..30, seen)).expect("the times are in order");
    }
    for client in 0..300 {
        let refused = known(client, 40..50, set_if(a, Condition::Absent), Reply::Refused);
        history.push(&keys[2], refused).expect("the times are in order");
    }
    history.start(Bytes::from_static(b"idle"), Some(a));
    let Findings { keys: checked, operations, violations, gave_up } = check(&history, Limits::default());
    assert_eq!((checked, operations), (4, 306));
    assert_eq!(violations.keys().collect::<Vec<_>>(), [&keys[1]]);
    assert_eq!(gave_up.into_iter().collect::<Vec<_>>(), [(keys[2].clone(), Reason::InFlight)]);
}
