//! The verdict on a history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use crate::bits::OPEN_MAX;
use crate::constraint::{Item, Makes, Requires};
use crate::history::{History, KeyHistory, Ticks};
use crate::problem::{Problem, StateId, TaskId};
use crate::search::{Ending, Width, search};
use crate::value::{State, Value};
use crate::window::{Window, narrow};
use crate::zones;

/// How much a check may cost, for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most configurations held in memory at once; each takes about 300 bytes.
    pub configurations_max: usize,
    /// The most configurations looked at for a verdict, and as many again to narrow down a history that fails. This
    /// bounds the time: a million takes about half a second.
    pub steps_max: u64,
}

impl Default for Limits {
    /// About 150 MB, and about a minute for a key that is as hard as that.
    fn default() -> Self {
        Self { configurations_max: 500_000, steps_max: 100_000_000 }
    }
}

/// What a check found out about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Some order of the operations explains all replies.
    Linearizable,
    /// No order does, and these operations alone show it.
    NotLinearizable(Window),
    /// The limits did not suffice to tell. That is not a pass.
    GaveUp {
        /// Which limit.
        reason: Reason,
    },
}

/// Why a check gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// [`Limits::configurations_max`] was reached.
    Configurations,
    /// [`Limits::steps_max`] was reached.
    Steps,
    /// More operations were in flight at once than the checker can hold.
    InFlight,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configurations => {
                write!(formatter, "too many possibilities to hold: raise configurations_max")
            }
            Self::Steps => write!(formatter, "too many possibilities to look at: raise steps_max"),
            Self::InFlight => {
                write!(formatter, "more than {OPEN_MAX} operations on one key in flight at once")
            }
        }
    }
}

/// What a check found out about all keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many keys were checked.
    pub keys: usize,
    /// How many operations they have.
    pub operations: usize,
    /// The keys that are not linearizable, and why.
    pub violations: BTreeMap<Bytes, Window>,
    /// The keys of which it could not be told, and why.
    pub gave_up: BTreeMap<Bytes, Reason>,
}

impl Findings {
    /// Every key was found linearizable; a key of which it could not be told is not.
    #[must_use]
    pub fn is_linearizable(&self) -> bool {
        self.violations.is_empty() && self.gave_up.is_empty()
    }
}

/// Checks each key of a history, in the order of the keys.
///
/// Keys are checked one by one because linearizability is local: a history is linearizable exactly if
/// each key's part of it is (Herlihy and Wing, 1990).
#[must_use]
pub fn check(history: &History, limits: Limits) -> Findings {
    let mut findings = Findings::default();
    for (key, operations) in history.keys() {
        findings.keys += 1;
        findings.operations += operations.events().len();
        match check_key(operations, limits) {
            Verdict::Linearizable => {}
            Verdict::NotLinearizable(window) => {
                findings.violations.insert(key.clone(), window);
            }
            Verdict::GaveUp { reason } => {
                findings.gave_up.insert(key.clone(), reason);
            }
        }
    }
    findings
}

/// Checks the history of one key.
#[must_use]
pub fn check_key(history: &KeyHistory, limits: Limits) -> Verdict {
    let events = history.events().iter().enumerate();
    let items: Vec<Item> = events.filter_map(|(index, event)| Item::of(index, event)).collect();
    let starts = BTreeSet::from([history.start()]);
    let mut steps = limits.steps_max;
    match decide(&starts, &items, limits.configurations_max, &mut steps) {
        Ok(Judgement::Possible) => Verdict::Linearizable,
        Ok(Judgement::Impossible { suspects }) => {
            Verdict::NotLinearizable(narrow(history, items, suspects, limits))
        }
        Err(reason) => Verdict::GaveUp { reason },
    }
}

/// Whether operations have an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// They have.
    Possible,
    /// They have not.
    Impossible {
        /// Ends of operations by which that is likely to show.
        suspects: Vec<Ticks>,
    },
}

/// The widths to try first, narrowest first: most histories that are linearizable show it at once, and only those
/// that are not must be searched to the end.
const WIDTHS: [Width; 3] =
    [Width { front: 16, room: 1_024 }, Width { front: 64, room: 4_096 }, Width { front: 512, room: 16_384 }];

/// Sets of configurations that a search holds at once: before, after and on the way.
const SETS: usize = 3;

/// Whether operations on a key that holds one of `starts` are linearizable.
pub(crate) fn decide(
    starts: &BTreeSet<State>,
    items: &[Item],
    configurations_max: usize,
    steps: &mut u64,
) -> Result<Judgement, Reason> {
    if starts.len() == 1
        && let Some(start) = starts.first()
        && let Some(is_possible) = zones::decide(*start, items)
    {
        return Ok(match is_possible {
            true => Judgement::Possible,
            false => Judgement::Impossible { suspects: Vec::new() },
        });
    }
    decide_by_search(starts, items, configurations_max, steps)
}

/// The same without the fast path, which does not tell where to look.
pub(crate) fn decide_by_search(
    starts: &BTreeSet<State>,
    items: &[Item],
    configurations_max: usize,
    steps: &mut u64,
) -> Result<Judgement, Reason> {
    let mut attempts = attempts(starts, items);
    let room_max = (configurations_max / SETS).max(1);
    let narrow = WIDTHS.into_iter().filter(|width| width.room < room_max);
    for width in narrow.chain([Width { front: room_max, room: room_max }]) {
        let mut failed = Vec::new();
        for (index, attempt) in attempts.iter().enumerate() {
            match search(&attempt.problem, width, steps) {
                Ending::Possible => return Ok(Judgement::Possible),
                Ending::Impossible { at, missed } if attempt.is_complete => {
                    return Ok(Judgement::Impossible { suspects: attempt.suspects(at, &missed) });
                }
                Ending::Impossible { .. } => failed.push(index),
                Ending::TooNarrow => {}
                Ending::OutOfSteps => return Err(Reason::Steps),
                Ending::TooManyOpen => return Err(Reason::InFlight),
            }
        }
        failed.into_iter().for_each(|index| drop(attempts.remove(index)));
    }
    Err(Reason::Configurations)
}

/// A version of the operations to search.
struct Attempt {
    items: Vec<Item>,
    problem: Problem,
    /// If this version has no order, the operations have none.
    is_complete: bool,
}

/// First without the operations of unknown outcome that left no trace, which may have happened or not, then,
/// if it can make a difference, with them.
fn attempts(starts: &BTreeSet<State>, items: &[Item]) -> Vec<Attempt> {
    let attempt = |items: Vec<Item>, is_complete| Attempt {
        problem: Problem::new(starts.iter().copied(), &items),
        items,
        is_complete,
    };
    let traced = with_trace(items);
    // A refused NX or a DEL that found something is explained by any value, also by one that nobody ever read.
    let vague = |item: &Item| matches!(item.requires, Requires::IsNot(_) | Requires::NotCountable(_));
    if traced.len() == items.len() || !traced.iter().any(vague) {
        return vec![attempt(traced, true)];
    }
    vec![attempt(traced, false), attempt(items.to_vec(), true)]
}

impl Attempt {
    /// The end of the operation at which the search failed, and those of the next operations that need what it could
    /// not leave.
    fn suspects(&self, at: TaskId, missed: &[StateId]) -> Vec<Ticks> {
        let end = |task: usize| self.items[task].until;
        let failed = end(at as usize);
        let tasks = || self.problem.tasks.iter().enumerate();
        let needed = missed.iter().filter_map(|state| {
            let needs = tasks().filter(|(_, task)| task.requires == Requires::Is(*state));
            needs.filter_map(|(task, _)| end(task)).filter(|end| Some(*end) > failed).min()
        });
        failed.into_iter().chain(needed).take(SUSPECTS_MAX).collect()
    }
}

/// The most ends that are looked at to narrow a history down.
const SUSPECTS_MAX: usize = 4;

/// The operations without those of unknown outcome that make a state which nobody asks for by name.
fn with_trace(items: &[Item]) -> Vec<Item> {
    let named: BTreeSet<State> = items.iter().flat_map(|item| item.requires.named()).collect();
    let counts = |item: &Item| matches!(item.requires, Requires::Countable(_) | Requires::NotCountable(_));
    let numbers_matter = items.iter().any(counts);
    let leaves_trace = |item: &&Item| match item.makes {
        _ if item.is_required() => true,
        Makes::Becomes(None | Some(Value::Number(_))) if numbers_matter => true,
        Makes::Becomes(state) => named.contains(&state),
        Makes::Same | Makes::Adds(_) => true,
    };
    items.iter().filter(leaves_trace).copied().collect()
}
