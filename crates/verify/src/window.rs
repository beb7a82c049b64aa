//! The smallest part of a history that shows what is wrong with it.
//!
//! Leaving operations out of a history can make a sound one look broken: without the write, the read is wrong. So
//! the part is found by *weakening* the history in ways that keep a linearizable one linearizable; what still
//! fails is a proof by itself. The steps:
//! 1. Cut after the earliest reply with which the history fails. What was still in flight then may have happened
//!    or not.
//! 2. Cut before the latest beginning with which it fails. The key may then hold any value that any earlier
//!    operation could have left; what was in flight may have happened before or not.
//! 3. Leave out each observation without which it fails, and the obligation of each write to have happened.

use std::collections::BTreeSet;

use crate::checker::{Limits, decide};
use crate::constraint::{Item, Makes};
use crate::history::{Event, KeyHistory, Outcome, Ticks};
use crate::operation::{Operation, Reply};
use crate::value::{State, Value};

/// The most weaker histories that step 3 tries: enough for any window that a person would read.
const TRIALS_MAX: usize = 500;

/// The most states at the start that are listed one by one.
const STARTS_MAX: usize = 3;

/// The most earlier or later operations that are shown besides.
const ORIGINS_MAX: usize = 8;

/// Operations of one key that no order explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What the key may have held before, as far as the operations tell it apart.
    pub start: Vec<State>,
    /// It may also have held a text that none of the operations looks for.
    pub start_may_be_text: bool,
    /// It may also have held a number that none of the operations looks for.
    pub start_may_be_number: bool,
    /// The operations, by the time when they were invoked.
    pub operations: Vec<Event>,
    /// Operations outside the window that wrote, or tried to write, a value that the operations looked for.
    pub origins: Vec<Event>,
}

/// The smallest failing window of a history that is known to fail.
pub(crate) fn narrow(history: &KeyHistory, items: Vec<Item>, limits: Limits) -> Window {
    let start = BTreeSet::from([history.start()]);
    let mut trials = Trials { limits, steps: limits.steps_max };

    let ends = sorted(items.iter().filter_map(|item| item.until));
    let end = first(&ends, |end| trials.fail(&start, &cut_after(&items, end)));
    let items = end.map_or_else(|| items.clone(), |end| cut_after(&items, end));

    let begins = sorted(items.iter().map(|item| item.invoked));
    let from_here = |begin| (starts_at(history.start(), &items, begin), cut_before(&items, begin));
    // Early beginnings fail and late ones do not.
    let kept = begins.partition_point(|begin| {
        let (starts, items) = from_here(*begin);
        trials.fail(&starts, &items)
    });
    let (starts, items) = match kept.checked_sub(1) {
        Some(last) => from_here(begins[last]),
        None => (start, items),
    };
    let items = without_needless(&starts, items, &mut trials);
    show(history, &starts, &items)
}

/// Checks of weaker histories, within a common budget. One that cannot be decided counts as not failing.
struct Trials {
    limits: Limits,
    steps: u64,
}

impl Trials {
    fn fail(&mut self, starts: &BTreeSet<State>, items: &[Item]) -> bool {
        decide(starts, items, self.limits.configurations_max, &mut self.steps) == Ok(false)
    }
}

fn sorted(times: impl Iterator<Item = Ticks>) -> Vec<Ticks> {
    times.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The first time that passes a test which all later ones pass.
fn first(times: &[Ticks], mut passes: impl FnMut(Ticks) -> bool) -> Option<Ticks> {
    times.get(times.partition_point(|time| !passes(*time))).copied()
}

/// What is known when the replies up to `end` have come.
fn cut_after(items: &[Item], end: Ticks) -> Vec<Item> {
    let began = items.iter().filter(|item| item.invoked <= end);
    began
        .filter_map(|item| match item.until {
            Some(until) if until > end && item.is_observation() => None,
            Some(until) if until > end => Some(item.weakened()),
            _ => Some(*item),
        })
        .collect()
}

/// What is known of `begin` and later, but for the state.
fn cut_before(items: &[Item], begin: Ticks) -> Vec<Item> {
    let lasting = items.iter().filter(|item| item.until.is_none_or(|until| until >= begin));
    lasting
        .filter_map(|item| match item.invoked < begin {
            true if item.is_observation() => None,
            true => Some(item.weakened()),
            false => Some(*item),
        })
        .collect()
}

/// The states that operations invoked before `begin` can have left. Increments of unknown outcome are left aside:
/// they are still possible after `begin`, so that what they made before can be made again.
fn starts_at(start: State, items: &[Item], begin: Ticks) -> BTreeSet<State> {
    let made = items.iter().filter(|item| item.invoked < begin).filter_map(|item| match item.makes {
        Makes::Becomes(state) => Some(state),
        Makes::Same | Makes::Adds(_) => None,
    });
    made.chain([start]).collect()
}

/// Step 3, from the oldest operation on.
fn without_needless(starts: &BTreeSet<State>, mut items: Vec<Item>, trials: &mut Trials) -> Vec<Item> {
    let mut place = 0;
    for _ in 0..TRIALS_MAX {
        let Some(item) = items.get(place).copied() else { break };
        let mut weaker = items.clone();
        if item.is_observation() {
            weaker.remove(place);
        } else {
            weaker[place] = item.weakened();
        }
        if item.is_required() && trials.fail(starts, &weaker) {
            items = weaker;
        }
        // Another one has come to this place if this one was removed.
        let stayed = items.get(place).is_some_and(|other| other.event == item.event);
        place += usize::from(stayed);
    }
    items
}

/// The window as a person should see it: an operation that need not have happened is shown only if some other one
/// looks for what it makes.
fn show(history: &KeyHistory, starts: &BTreeSet<State>, items: &[Item]) -> Window {
    let required = items.iter().filter(|item| item.is_required());
    let named: BTreeSet<State> = required.flat_map(|item| item.requires.named()).collect();
    let explains = |item: &&Item| match item.makes {
        _ if item.is_required() => true,
        Makes::Becomes(state) => named.contains(&state),
        Makes::Same | Makes::Adds(_) => true,
    };
    let shown: BTreeSet<usize> = items.iter().filter(explains).map(|item| item.event).collect();
    let events = history.events();
    let mut operations: Vec<Event> = shown.iter().map(|index| events[*index]).collect();
    operations.sort_by_key(|event| event.invoked);

    let origins = events.iter().enumerate().filter(|(index, event)| {
        !shown.contains(index) && written(event).is_some_and(|value| named.contains(&Some(value)))
    });
    let listed = |state: &State| starts.len() <= STARTS_MAX || state.is_none() || named.contains(state);
    let (start, others): (Vec<State>, Vec<State>) = starts.iter().partition(|state| listed(state));
    Window {
        start,
        start_may_be_text: others.iter().any(|state| matches!(state, Some(Value::Text(_)))),
        start_may_be_number: others.iter().any(|state| matches!(state, Some(Value::Number(_)))),
        operations,
        origins: origins.map(|(_, event)| *event).take(ORIGINS_MAX).collect(),
    }
}

/// The value that an operation wrote, or would have written.
fn written(event: &Event) -> Option<Value> {
    match (event.operation, event.outcome) {
        (Operation::Set { value, .. }, _) => Some(value),
        (Operation::Increment(_), Outcome::Known { reply: Reply::Integer(sum), .. }) => {
            Some(Value::Number(sum))
        }
        _ => None,
    }
}
