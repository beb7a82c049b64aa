//! The smallest part of a history that shows what is wrong with it.
//!
//! Leaving operations out of a history can make a sound one look broken: without the write, the read is wrong. So
//! the part is found by *weakening* the history in ways that keep a linearizable one linearizable; what still
//! fails is a proof by itself:
//! - *Cut after a reply.* What was still in flight then may have happened or not, and what came later is gone.
//! - *Cut before a beginning.* The key may then hold any value that any earlier operation could have left;
//!   what was in flight may have happened before or not.
//! - *Leave out* an observation, or the certainty that a write happened.
//!
//! The search for a failing history tells about where it fails. From there the window grows, doubling, until it fails;
//! then it shrinks again at both sides; then its operations are left out one by one. So the cost depends on
//! the size of the window, not on that of the history.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::checker::{Judgement, Limits, decide, decide_by_search};
use crate::constraint::{Item, Makes};
use crate::history::{Event, KeyHistory, Outcome, Ticks};
use crate::operation::{Operation, Reply};
use crate::value::{State, Value};

/// The most weaker histories that are tried to leave operations out: enough for any window that a person would read.
const TRIALS_MAX: usize = 500;

/// The most states at the start that are listed one by one.
const STARTS_MAX: usize = 3;

/// The most earlier or later operations that are shown besides.
const ORIGINS_MAX: usize = 8;

/// Operations of one key that no order explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the window begins. Operations invoked earlier were in flight then, and may have taken effect already.
    pub begin: Ticks,
    /// What the key may have held then, as far as the operations tell it apart.
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

/// The smallest failing window of a history that is known to fail, looked for where it shows at `suspects`.
pub(crate) fn narrow(
    history: &KeyHistory,
    items: Vec<Item>,
    mut suspects: Vec<Ticks>,
    limits: Limits,
) -> Window {
    let cuts = Cuts { start: history.start(), begins: sorted(items.iter().map(|item| item.invoked)), items };
    let mut trials = Trials { limits, steps: limits.steps_max };
    if suspects.is_empty() {
        suspects = trials.suspects(&cuts);
    }
    let (begins, end) = grow(&cuts, &suspects, &mut trials);

    // Early beginnings fail and late ones do not.
    let late = cuts.begins[begins.clone()].partition_point(|begin| trials.fail(&cuts.window(*begin, end)));
    let begin = cuts.begins[(begins.start + late).saturating_sub(1).max(begins.start)];
    // Late ends fail and early ones do not.
    let ends =
        sorted(cuts.items.iter().filter_map(|item| item.until).filter(|until| (begin..end).contains(until)));
    let early = ends.partition_point(|end| !trials.fail(&cuts.window(begin, *end)));
    let end = ends.get(early).copied().unwrap_or(end);

    let part = without_needless(cuts.window(begin, end), &mut trials);
    show(history, &part)
}

/// Doubles the window before each suspected end until it fails. Returns where its beginning is to be looked for,
/// as places in [`Cuts::begins`], and its end.
fn grow(cuts: &Cuts, suspects: &[Ticks], trials: &mut Trials) -> (Range<usize>, Ticks) {
    let mut size = 1;
    while size < cuts.begins.len() {
        for end in suspects {
            let before = cuts.begins.partition_point(|begin| begin <= end);
            let first = before.saturating_sub(size);
            if trials.fail(&cuts.window(cuts.begins[first], *end)) {
                return (first..before, *end);
            }
        }
        size *= 2;
    }
    let last = cuts.items.iter().filter_map(|item| item.until).max().unwrap_or(Ticks::MAX);
    (0..cuts.begins.len(), last)
}

/// A history that can be cut.
struct Cuts {
    start: State,
    items: Vec<Item>,
    /// The moments at which operations begin, in order.
    begins: Vec<Ticks>,
}

/// A part of a history.
struct Part {
    begin: Ticks,
    /// What the key may hold then.
    starts: BTreeSet<State>,
    items: Vec<Item>,
}

impl Cuts {
    fn window(&self, begin: Ticks, end: Ticks) -> Part {
        let items = cut_after(&self.items, end);
        Part { begin, starts: starts_at(self.start, &items, begin), items: cut_before(&items, begin) }
    }
}

/// Checks of weaker histories, within a common budget. One that cannot be decided counts as not failing.
struct Trials {
    limits: Limits,
    steps: u64,
}

impl Trials {
    fn fail(&mut self, part: &Part) -> bool {
        let judgement = decide(&part.starts, &part.items, self.limits.configurations_max, &mut self.steps);
        matches!(judgement, Ok(Judgement::Impossible { .. }))
    }

    /// Where the whole history fails, as far as a search can tell.
    fn suspects(&mut self, cuts: &Cuts) -> Vec<Ticks> {
        let starts = BTreeSet::from([cuts.start]);
        match decide_by_search(&starts, &cuts.items, self.limits.configurations_max, &mut self.steps) {
            Ok(Judgement::Impossible { suspects }) => suspects,
            _ => Vec::new(),
        }
    }
}

fn sorted(times: impl Iterator<Item = Ticks>) -> Vec<Ticks> {
    times.collect::<BTreeSet<_>>().into_iter().collect()
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

/// The part without what it fails without, looked at from the oldest operation on.
fn without_needless(mut part: Part, trials: &mut Trials) -> Part {
    let mut place = 0;
    for _ in 0..TRIALS_MAX {
        let Some(item) = part.items.get(place).copied() else { break };
        let mut weaker = part.items.clone();
        if item.is_observation() {
            weaker.remove(place);
        } else {
            weaker[place] = item.weakened();
        }
        let weaker = Part { begin: part.begin, starts: part.starts.clone(), items: weaker };
        if item.is_required() && trials.fail(&weaker) {
            part = weaker;
        }
        // Another one has come to this place if this one was removed.
        let stayed = part.items.get(place).is_some_and(|other| other.event == item.event);
        place += usize::from(stayed);
    }
    part
}

/// The window as a person should see it: an operation that need not have happened is shown only if some other one
/// looks for what it makes.
fn show(history: &KeyHistory, Part { begin, starts, items }: &Part) -> Window {
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
        begin: *begin,
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
