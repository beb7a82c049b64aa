//! The checker against all permutations, and against histories that are valid by construction.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use simpledynamo_verify::{
    Condition, Event, KeyHistory, Limits, Operation, Outcome, Reply, State, Value, Verdict, Window, check_key,
};

use crate::brute;
use crate::by_hand::history;
use crate::load::{Dice, Load, MIXES, Mix, simulate};

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(None),
        (0..2_u32).prop_map(|text| Some(Value::Text(text))),
        (0..3_i64).prop_map(|number| Some(Value::Number(number))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    state().prop_map(|state| state.unwrap_or(Value::Text(2)))
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => Just(Condition::Always),
        1 => Just(Condition::Absent),
        1 => Just(Condition::Present),
        2 => value().prop_map(Condition::Equals),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => Just(Operation::Read),
        3 => (value(), condition(), any::<bool>())
            .prop_map(|(value, condition, want_old)| Operation::Set { value, condition, want_old }),
        2 => (condition(), any::<bool>())
            .prop_map(|(condition, want_old)| Operation::Delete { condition, want_old }),
        2 => (-1..2_i64).prop_map(Operation::Increment),
    ]
}

/// An event at some time whose reply fits the state given with it.
fn event() -> impl Strategy<Value = Event> {
    (0..4_u32, operation(), state(), 0..16_u64, 0..8_u64, 0..10_u8).prop_map(
        |(client, operation, met, invoked, length, fate)| {
            let returned = invoked + length;
            let outcome = match fate {
                0..=1 => Outcome::Unknown,
                2 => Outcome::Failed { returned },
                _ => Outcome::Known { reply: operation.apply(met).1, returned },
            };
            Event { client, operation, invoked, outcome }
        },
    )
}

/// An increment, up or down, or a read, of a small number.
fn count() -> impl Strategy<Value = Event> {
    let operation = prop_oneof![
        Just(Operation::Read),
        prop::sample::select(vec![-1, 1, 2]).prop_map(Operation::Increment)
    ];
    (operation, -2..4_i64, 0..12_u64, 0..6_u64, prop::bool::weighted(0.3)).prop_map(
        |(operation, met, invoked, length, unknown)| {
            let reply = operation.apply(Some(Value::Number(met))).1;
            let known = Outcome::Known { reply, returned: invoked + length };
            Event { client: 0, operation, invoked, outcome: if unknown { Outcome::Unknown } else { known } }
        },
    )
}

/// A few events of a valid history, so that most are linearizable, and a few changes, so that some are not.
fn almost_valid() -> impl Strategy<Value = Vec<Event>> {
    let change = (0..7_usize, 0..4_u8, state(), -150..150_i64);
    (any::<u64>(), 0..MIXES.len(), prop::collection::vec(change, 0..4)).prop_map(|(seed, mix, changes)| {
        let load = Load { mix: MIXES[mix], clients: 3, operations: 7, unknown: 15, failed: 5 };
        let mut events = simulate(load, &mut Dice(seed));
        for (place, kind, state, shift) in changes {
            change_event(&mut events[place], kind, state, shift);
        }
        events
    })
}

fn change_event(event: &mut Event, kind: u8, state: State, shift: i64) {
    let moved = |time: u64| time.saturating_add_signed(shift);
    match (kind, &mut event.outcome) {
        (0, Outcome::Known { reply, .. }) if event.operation == Operation::Read => {
            *reply = Reply::Value(state)
        }
        (0, Outcome::Known { reply, .. }) => *reply = event.operation.apply(state).1,
        (1, Outcome::Known { returned, .. }) => {
            event.invoked = moved(event.invoked);
            *returned = moved(*returned);
        }
        (2, outcome) => *outcome = Outcome::Unknown,
        (3, outcome @ Outcome::Known { .. }) => {
            let returned = event.invoked;
            *outcome = Outcome::Failed { returned };
        }
        (_, _) => event.invoked = moved(event.invoked).min(event.invoked),
    }
}

/// The operations of a window that took effect within it: any of those that were in flight when it begins may have
/// done so before.
fn within(window: &Window) -> Vec<Vec<Event>> {
    let (early, late): (Vec<Event>, Vec<Event>) =
        window.operations.iter().partition(|event| event.invoked < window.begin);
    let chosen = |set: usize| early.iter().enumerate().filter(move |(place, _)| set & (1 << place) != 0);
    (0..1 << early.len())
        .map(|set| chosen(set).map(|(_, event)| event).chain(&late).copied().collect())
        .collect()
}

/// What the key may have held before a window, as the window tells it.
fn starts(window: &Window) -> Vec<State> {
    let text = window.start_may_be_text.then_some(Some(Value::Text(1_000)));
    let number = window.start_may_be_number.then_some(Some(Value::Number(1_000)));
    window.start.iter().copied().chain(text).chain(number).collect()
}

/// The verdict is that of all permutations; a narrow search may only add that it gave up. A window that is shown
/// fails by itself from each of the states that it starts from.
fn agrees(start: State, events: &[Event]) -> Result<(), TestCaseError> {
    let truth = brute::is_linearizable(start, events);
    let history = history(start, events);
    match check_key(&history, Limits::default()) {
        Verdict::Linearizable => prop_assert!(truth, "accepted"),
        Verdict::NotLinearizable(window) => {
            prop_assert!(!truth, "rejected");
            for operations in within(&window) {
                for state in starts(&window) {
                    let explained = brute::is_linearizable(state, &operations);
                    prop_assert!(!explained, "no proof from {:?}: {:?}", state, window);
                }
            }
        }
        Verdict::GaveUp { reason } => prop_assert!(false, "{}", reason),
    }
    for configurations_max in [3, 6, 9] {
        match check_key(&history, Limits { configurations_max, ..Limits::default() }) {
            Verdict::Linearizable => prop_assert!(truth, "accepted with {}", configurations_max),
            Verdict::NotLinearizable(_) => prop_assert!(!truth, "rejected with {}", configurations_max),
            Verdict::GaveUp { .. } => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn any_few_operations_get_the_verdict_of_all_permutations(
        start in state(),
        events in prop::collection::vec(event(), 0..7),
    ) {
        agrees(start, &events)?;
    }

    #[test]
    fn counters_get_the_verdict_of_all_permutations(
        start in prop_oneof![Just(None), (-1..2_i64).prop_map(|number| Some(Value::Number(number)))],
        events in prop::collection::vec(count(), 0..6),
    ) {
        agrees(start, &events)?;
    }

    #[test]
    fn almost_valid_histories_get_the_verdict_of_all_permutations(events in almost_valid()) {
        agrees(None, &events)?;
    }
}

fn checked(events: &[Event]) -> Verdict {
    check_key(&history(None, events), Limits::default())
}

/// The strategies above do meet both verdicts, or agreement would mean little.
#[test]
fn almost_valid_histories_are_of_both_kinds() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = [0, 0];
    for _ in 0..500 {
        let events = almost_valid().new_tree(&mut runner).expect("a history").current();
        counts[usize::from(brute::is_linearizable(None, &events))] += 1;
    }
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn valid_histories_are_accepted(
        seed: u64, mix in 0..MIXES.len(), clients in 1..12_u32, operations in 1..400_usize, unknown in 0..20_u64,
    ) {
        let load = Load { mix: MIXES[mix], clients, operations, unknown, failed: 5 };
        prop_assert_eq!(checked(&simulate(load, &mut Dice(seed))), Verdict::Linearizable);
    }

    /// A stale read in the middle of much that is right: whatever came before and after.
    #[test]
    fn one_stale_read_among_many_operations_is_found(
        seed: u64, mix in prop_oneof![Just(Mix::Register), Just(Mix::Conditional)], place in 20..180_usize,
    ) {
        let load = Load { mix, clients: 5, operations: 200, unknown: 5, failed: 5 };
        let mut events = simulate(load, &mut Dice(seed));
        let latest = events.iter().map(|event| event.invoked).nth(place).expect("there are 200");
        // A value that was written and overwritten, each for certain, before this read began.
        let end = latest + 100_000;
        let sequel = [
            crate::by_hand::write(9, end..end + 1, Value::Text(1_000)),
            crate::by_hand::write(9, end + 2..end + 3, Value::Text(1_001)),
            crate::by_hand::read(9, end + 4..end + 5, Some(Value::Text(1_000))),
        ];
        events.extend(sequel);
        let Verdict::NotLinearizable(window) = checked(&events) else { panic!("missed") };
        prop_assert!(window.operations.contains(&sequel[2]));
        prop_assert!(window.operations.len() <= 4, "{:?}", window);
    }
}

/// Long quiet histories are checked with few configurations: memory depends on what overlaps, not on the length.
#[test]
fn memory_does_not_grow_with_the_history() {
    for mix in MIXES {
        let load = Load { mix, clients: 4, operations: 4_000, unknown: 0, failed: 5 };
        let events = simulate(load, &mut Dice(1));
        let limits = Limits { configurations_max: 900, ..Limits::default() };
        assert_eq!(check_key(&history(None, &events), limits), Verdict::Linearizable, "{mix:?}");
    }
}

#[test]
fn a_check_that_runs_out_of_steps_is_not_a_pass() {
    let load = Load { mix: Mix::Conditional, clients: 4, operations: 100, unknown: 0, failed: 0 };
    let events = simulate(load, &mut Dice(1));
    let limits = Limits { steps_max: 10, ..Limits::default() };
    let history: KeyHistory = history(None, &events);
    assert!(matches!(check_key(&history, limits), Verdict::GaveUp { .. }));
}
