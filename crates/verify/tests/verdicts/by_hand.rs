//! Histories whose verdict is known: each shows one fault, or something that only looks like one.

use std::ops::Range;

use simpledynamo_verify::{
    Condition, Event, KeyHistory, Limits, Operation, Outcome, Reply, State, Value, Verdict, check_key,
};

use crate::brute;

pub(crate) const A: Value = Value::Text(0);
pub(crate) const B: Value = Value::Text(1);
pub(crate) const C: Value = Value::Text(2);

const DONE: Reply = Reply::Done;
const REFUSED: Reply = Reply::Refused;

pub(crate) fn known(client: u32, during: Range<u64>, operation: Operation, reply: Reply) -> Event {
    let outcome = Outcome::Known { reply, returned: during.end };
    Event { client, operation, invoked: during.start, outcome }
}

pub(crate) fn read(client: u32, during: Range<u64>, state: State) -> Event {
    known(client, during, Operation::Read, Reply::Value(state))
}

pub(crate) fn set(value: Value) -> Operation {
    set_if(value, Condition::Always)
}

pub(crate) fn set_if(value: Value, condition: Condition) -> Operation {
    Operation::Set { value, condition, want_old: false }
}

pub(crate) fn delete() -> Operation {
    Operation::Delete { condition: Condition::Always, want_old: false }
}

pub(crate) fn write(client: u32, during: Range<u64>, value: Value) -> Event {
    known(client, during, set(value), DONE)
}

fn increment(client: u32, during: Range<u64>, sum: i64) -> Event {
    known(client, during, Operation::Increment(1), Reply::Integer(sum))
}

pub(crate) fn unknown(client: u32, invoked: u64, operation: Operation) -> Event {
    Event { client, operation, invoked, outcome: Outcome::Unknown }
}

pub(crate) fn failed(client: u32, during: Range<u64>, operation: Operation) -> Event {
    let outcome = Outcome::Failed { returned: during.end };
    Event { client, operation, invoked: during.start, outcome }
}

fn number(number: i64) -> State {
    Some(Value::Number(number))
}

pub(crate) fn history(start: State, events: &[Event]) -> KeyHistory {
    let mut history = KeyHistory::new(start);
    events.iter().for_each(|event| history.push(*event).expect("the times are in order"));
    history
}

/// Both the checker and all permutations find this verdict, whatever the order in which clients reported.
fn expect(linearizable: bool, start: State, events: &[Event]) {
    assert_eq!(brute::is_linearizable(start, events), linearizable, "all permutations");
    let reversed: Vec<Event> = events.iter().rev().copied().collect();
    for events in [events, &reversed] {
        match check_key(&history(start, events), Limits::default()) {
            Verdict::Linearizable => assert!(linearizable, "accepted"),
            Verdict::NotLinearizable(_) => assert!(!linearizable, "rejected"),
            Verdict::GaveUp { reason } => panic!("{reason}"),
        }
    }
}

fn good(events: &[Event]) {
    expect(true, None, events);
}

fn bad(events: &[Event]) {
    expect(false, None, events);
}

#[test]
fn an_empty_history_is_linearizable() {
    good(&[]);
}

#[test]
fn a_read_sees_what_the_key_started_with() {
    expect(true, Some(A), &[read(1, 0..1, Some(A))]);
    expect(false, Some(A), &[read(1, 0..1, None)]);
    expect(false, Some(A), &[write(1, 0..1, B), read(1, 2..3, Some(A))]);
}

#[test]
fn a_stale_read() {
    bad(&[write(1, 0..10, A), write(1, 20..30, B), read(2, 40..50, Some(A))]);
    // While the second write is in flight the read may come before it.
    good(&[write(1, 0..10, A), write(1, 20..45, B), read(2, 40..50, Some(A))]);
}

#[test]
fn equal_moments_are_unordered() {
    good(&[write(1, 0..10, A), write(1, 10..20, B), read(2, 20..20, Some(A))]);
    good(&[write(1, 0..10, A), write(1, 10..20, B), read(2, 20..20, Some(B))]);
    bad(&[write(1, 0..10, A), write(1, 11..20, B), read(2, 21..21, Some(A))]);
}

#[test]
fn a_read_of_nothing_after_a_write() {
    bad(&[write(1, 0..10, A), read(2, 20..30, None)]);
    good(&[write(1, 0..10, A), read(2, 5..30, None)]);
}

#[test]
fn a_read_before_the_write_began() {
    bad(&[read(2, 0..10, Some(A)), write(1, 20..30, A)]);
}

#[test]
fn reads_that_go_back_across_clients() {
    // The write is in flight all the while; once one client saw it, none may see the value before.
    bad(&[write(1, 0..5, A), write(1, 10..100, B), read(2, 20..30, Some(B)), read(3, 40..50, Some(A))]);
    good(&[write(1, 0..5, A), write(1, 10..100, B), read(2, 20..45, Some(B)), read(3, 40..50, Some(A))]);
}

#[test]
fn two_readers_disagree_about_the_order_of_two_writes() {
    let writes = [write(1, 0..100, A), write(2, 0..100, B)];
    let first = [read(3, 10..20, Some(A)), read(3, 30..40, Some(B))];
    let same = [read(4, 10..25, Some(A)), read(4, 35..50, Some(B))];
    let crossed = [read(4, 10..25, Some(B)), read(4, 35..50, Some(A))];
    good(&[writes, first, same].concat());
    bad(&[writes, first, crossed].concat());
}

#[test]
fn a_read_of_a_failed_write() {
    bad(&[write(1, 0..10, A), failed(2, 0..10, set(B)), read(3, 5..20, Some(B))]);
    good(&[write(1, 0..10, A), failed(2, 0..10, set(B)), read(3, 15..20, Some(A))]);
}

#[test]
fn a_read_of_a_value_that_nobody_wrote() {
    bad(&[write(1, 0..10, A), read(2, 5..20, Some(C))]);
}

#[test]
fn a_write_of_unknown_outcome_may_take_effect_late_or_never() {
    let early = [write(1, 0..5, A), unknown(2, 10, set(B)), read(3, 20..30, Some(A))];
    good(&early);
    good(&[&early[..], &[read(3, 40..50, Some(B))]].concat());
    // Once, and not before it was asked for.
    bad(&[&early[..], &[read(3, 40..50, Some(B)), read(3, 60..70, Some(A))]].concat());
    bad(&[write(1, 0..5, A), read(3, 6..8, Some(B)), unknown(2, 10, set(B))]);
}

#[test]
fn a_delayed_write_brings_an_old_value_back() {
    // A, B, A again: the second A is the delayed one.
    let events = [
        unknown(1, 0, set(A)),
        write(2, 10..20, A),
        write(2, 30..40, B),
        read(3, 50..60, Some(B)),
        read(3, 70..80, Some(A)),
    ];
    good(&events);
    bad(&events[1..]);
    // It cannot do so twice.
    bad(&[&events[..], &[write(2, 90..95, B), read(3, 100..110, Some(A))]].concat());
}

#[test]
fn a_lost_update() {
    let ifeq = |value| set_if(value, Condition::Equals(A));
    bad(&[write(1, 0..5, A), known(1, 10..20, ifeq(B), DONE), known(2, 10..20, ifeq(C), DONE)]);
    good(&[write(1, 0..5, A), known(1, 10..20, ifeq(B), DONE), known(2, 10..20, ifeq(C), REFUSED)]);
    bad(&[write(1, 0..5, A), known(1, 10..20, ifeq(B), REFUSED), known(2, 10..20, ifeq(C), REFUSED)]);
}

#[test]
fn a_counter_that_counts_once_too_often_or_too_rarely() {
    good(&[increment(1, 0..10, 1), increment(2, 5..15, 2), read(3, 20..30, number(2))]);
    bad(&[increment(1, 0..10, 1), increment(2, 5..15, 1)]);
    bad(&[increment(1, 0..10, 1), increment(2, 20..30, 3)]);
}

#[test]
fn an_increment_of_unknown_outcome_counts_at_most_once() {
    let lost = unknown(2, 12, Operation::Increment(1));
    good(&[increment(1, 0..10, 1), lost, increment(1, 20..30, 2)]);
    good(&[increment(1, 0..10, 1), lost, increment(1, 20..30, 3)]);
    good(&[increment(1, 0..10, 1), lost, increment(1, 20..30, 2), increment(1, 40..50, 4)]);
    // Retried by the store and applied twice.
    bad(&[increment(1, 0..10, 1), lost, increment(1, 20..30, 4)]);
    bad(&[increment(1, 0..10, 1), lost, increment(1, 20..30, 3), increment(1, 40..50, 5)]);
    // Seen before it was asked for.
    bad(&[increment(1, 0..10, 2), lost]);
}

#[test]
fn two_lost_increments_pass_through_a_number_that_nobody_names() {
    let lost = |invoked| unknown(2, invoked, Operation::Increment(1));
    good(&[increment(1, 0..10, 1), lost(11), lost(12), read(1, 20..30, number(3))]);
    bad(&[increment(1, 0..10, 1), lost(11), lost(12), read(1, 20..30, number(4))]);
    bad(&[lost(11), lost(12), increment(1, 20..30, 3), read(1, 40..50, number(2))]);
}

#[test]
fn a_lost_decrement_brings_a_number_back() {
    let before = [increment(1, 0..10, 1), read(2, 11..12, number(1)), increment(1, 20..30, 2)];
    let after = read(2, 40..50, number(1));
    good(&[&before[..], &[unknown(3, 32, Operation::Increment(-1)), after]].concat());
    bad(&[&before[..], &[unknown(3, 32, Operation::Increment(1)), after]].concat());
}

#[test]
fn an_increment_of_text_or_beyond_the_end_is_refused() {
    let refused = |during| known(1, during, Operation::Increment(1), Reply::NotCountable);
    good(&[write(1, 0..5, A), refused(10..20)]);
    bad(&[write(1, 0..5, Value::Number(4)), refused(10..20)]);
    good(&[write(1, 0..5, Value::Number(i64::MAX)), refused(10..20)]);
    good(&[unknown(2, 0, set(A)), refused(10..20)]);
    bad(&[unknown(2, 0, set(Value::Number(1))), refused(10..20)]);
}

#[test]
fn a_resurrected_delete() {
    let deleted = known(1, 20..30, delete(), DONE);
    bad(&[write(1, 0..10, A), deleted, read(2, 40..50, Some(A))]);
    bad(&[write(1, 0..10, A), deleted, read(2, 40..50, None), read(2, 60..70, Some(A))]);
    good(&[write(1, 0..10, A), deleted, read(2, 25..50, Some(A)), read(2, 60..70, None)]);
    // The same value written again is no resurrection.
    good(&[write(1, 0..10, A), deleted, write(3, 31..39, A), read(2, 40..50, Some(A))]);
}

#[test]
fn one_value_is_deleted_once() {
    let deletes = [known(2, 20..40, delete(), DONE), known(3, 20..40, delete(), DONE)];
    bad(&[&[write(1, 0..10, A)], &deletes[..]].concat());
    good(&[&[write(1, 0..10, A), write(1, 15..35, B)], &deletes[..]].concat());
    good(&[write(1, 0..10, A), deletes[0], known(3, 20..40, delete(), REFUSED)]);
}

#[test]
fn a_get_and_delete_hands_out_each_value_once() {
    let take = |client, state| {
        let operation = Operation::Delete { condition: Condition::Always, want_old: true };
        known(client, 20..40, operation, Reply::Value(state))
    };
    good(&[write(1, 0..10, A), take(2, Some(A)), take(3, None)]);
    bad(&[write(1, 0..10, A), take(2, Some(A)), take(3, Some(A))]);
    bad(&[write(1, 0..10, A), take(2, None), take(3, None)]);
}

#[test]
fn a_conditional_delete_needs_its_value() {
    let delete = Operation::Delete { condition: Condition::Equals(A), want_old: false };
    good(&[write(1, 0..10, A), known(1, 20..30, delete, DONE), read(1, 40..50, None)]);
    bad(&[write(1, 0..10, B), known(1, 20..30, delete, DONE)]);
    bad(&[write(1, 0..10, A), known(1, 20..30, delete, REFUSED)]);
}

#[test]
fn a_lock_is_given_to_one_at_a_time() {
    let lock = |client, value, reply| known(client, 10..20, set_if(value, Condition::Absent), reply);
    good(&[lock(1, A, DONE), lock(2, B, REFUSED)]);
    bad(&[lock(1, A, DONE), lock(2, B, DONE)]);
    bad(&[lock(1, A, REFUSED), lock(2, B, REFUSED)]);
}

/// A refusal may be all that is ever seen of a write of unknown outcome: it must not be left out for good.
#[test]
fn an_unseen_write_of_unknown_outcome_explains_a_refusal() {
    let refused = known(1, 10..20, set_if(B, Condition::Absent), REFUSED);
    good(&[unknown(2, 0, set(A)), refused]);
    bad(&[failed(2, 0..5, set(A)), refused]);
    bad(&[refused, unknown(2, 30, set(A))]);
    // What was there is read afterwards: nothing.
    bad(&[unknown(2, 0, set(A)), refused, read(1, 30..40, None)]);
    good(&[unknown(2, 0, set(A)), refused, unknown(2, 0, delete()), read(1, 30..40, None)]);
    good(&[unknown(2, 0, set(A)), known(1, 10..20, delete(), DONE)]);
}

/// Two writes of unknown outcome that nobody reads stand in for each other, but are two.
#[test]
fn unseen_writes_are_used_up() {
    let delete = |at: u64| known(1, at..at + 5, delete(), DONE);
    let lost = [unknown(2, 0, set(A)), unknown(3, 0, set(B))];
    good(&[&lost[..], &[delete(10), delete(20)]].concat());
    bad(&[&lost[..], &[delete(10), delete(20), delete(30)]].concat());
}

#[test]
fn the_old_value_that_a_set_tells_counts_as_a_read() {
    let swap = |client, during, value, old| {
        let operation = Operation::Set { value, condition: Condition::Always, want_old: true };
        known(client, during, operation, Reply::Value(old))
    };
    good(&[swap(1, 0..10, A, None), swap(2, 5..20, B, Some(A)), read(3, 30..40, Some(B))]);
    bad(&[swap(1, 0..10, A, None), swap(2, 5..20, B, None)]);
}

#[test]
fn a_reply_that_an_operation_never_gives_is_no_order_s_fault() {
    bad(&[known(1, 0..10, set(A), REFUSED)]);
    bad(&[known(1, 0..10, Operation::Read, DONE)]);
}

/// As many operations in flight as fit, and one more.
#[test]
fn too_many_in_flight_is_not_a_pass() {
    let crowd = |count: u32| {
        let reads = (0..count).map(|client| read(client, 0..10, None));
        // A condition, so that this is a case for the search.
        let refused = known(1, 20..30, set_if(B, Condition::Equals(A)), REFUSED);
        let events: Vec<Event> = reads.chain([refused]).collect();
        check_key(&history(None, &events), Limits::default())
    };
    assert_eq!(crowd(256), Verdict::Linearizable);
    assert!(matches!(crowd(257), Verdict::GaveUp { .. }));
}
