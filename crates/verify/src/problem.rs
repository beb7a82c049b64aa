//! A key's operations, prepared for the search: states numbered, equal operations recognised, times in order.

use std::collections::{BTreeMap, BTreeSet};

use crate::constraint::{Item, Makes, Requires};
use crate::history::Ticks;
use crate::value::{ANY_OTHER, State, Value};

/// A state's number in its [`States`].
pub(crate) type StateId = u32;

/// The place of a task in [`Problem::tasks`].
pub(crate) type TaskId = u32;

/// The deadline of a task that has none.
pub(crate) const NEVER: u32 = u32::MAX;

/// The states that can come up, numbered.
#[derive(Clone, Debug, Default)]
pub(crate) struct States {
    states: Vec<State>,
    ids: BTreeMap<State, StateId>,
}

impl States {
    pub(crate) fn intern(&mut self, state: State) -> StateId {
        if let Some(id) = self.ids.get(&state) {
            return *id;
        }
        let id =
            StateId::try_from(self.states.len()).expect("fewer states than operations, which fit in memory");
        self.states.push(state);
        self.ids.insert(state, id);
        id
    }

    pub(crate) fn get(&self, id: StateId) -> State {
        self.states[id as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) requires: Requires<StateId>,
    pub(crate) makes: Makes<StateId>,
    pub(crate) required: bool,
    /// Equal for tasks that require and make the same: they can stand in for each other.
    pub(crate) shape: u32,
    /// Its shape once nothing looks for the value that it makes.
    pub(crate) faded_shape: u32,
    /// The place in the timeline where it ends; [`NEVER`] if it need not have taken effect.
    pub(crate) deadline: u32,
}

impl Task {
    pub(crate) fn is_observation(&self) -> bool {
        self.makes == Makes::Same
    }
}

/// One step of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Begins(TaskId),
    Ends(TaskId),
}

/// A key's operations, ready to be searched.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) starts: Vec<StateId>,
    pub(crate) states: States,
    pub(crate) tasks: Vec<Task>,
    pub(crate) timeline: Vec<Moment>,
    /// The value that stands for all that nothing looks for.
    pub(crate) other: StateId,
    /// Numbers differ even if nothing looks for them, since they can be added to.
    pub(crate) numbers_matter: bool,
    /// Every change leads to a higher number, so that no state comes twice.
    pub(crate) only_rises: bool,
}

impl Problem {
    /// Prepares operations on a key that holds one of `starts` before the first.
    pub(crate) fn new(starts: impl IntoIterator<Item = State>, items: &[Item]) -> Self {
        let names = Names::of(items);
        let mut states = States::default();
        let starts: BTreeSet<StateId> =
            starts.into_iter().map(|state| states.intern(names.write(state))).collect();
        let other = states.intern(Some(ANY_OTHER));
        let mut shapes = BTreeMap::new();
        let mut tasks = Vec::with_capacity(items.len());
        for item in items {
            assert!(
                item.is_required() || !item.is_observation(),
                "what may have changed nothing says nothing"
            );
            let requires = item.requires.map(|state| states.intern(names.write(state)));
            let makes = match item.makes {
                Makes::Same => Makes::Same,
                Makes::Becomes(state) => Makes::Becomes(states.intern(names.write(state))),
                Makes::Adds(by) => Makes::Adds(by),
            };
            let mut shape_of = |makes| {
                let fresh = u32::try_from(shapes.len()).expect("at most two shapes per operation");
                *shapes.entry((requires, makes)).or_insert(fresh)
            };
            let (shape, faded_shape) = (shape_of(makes), shape_of(Makes::Becomes(other)));
            tasks.push(Task {
                requires,
                makes,
                required: item.is_required(),
                shape,
                faded_shape,
                deadline: NEVER,
            });
        }
        let timeline = order(items);
        for (place, moment) in (0..).zip(&timeline) {
            if let Moment::Ends(task) = moment {
                tasks[*task as usize].deadline = place;
            }
        }
        Self {
            starts: starts.into_iter().collect(),
            states,
            tasks,
            timeline,
            other,
            numbers_matter: names.numbers_matter,
            only_rises: items.iter().all(rises),
        }
    }
}

/// All beginnings and ends in the order of their times. At equal times beginnings come first: then the operations
/// overlap, and either may have come first.
fn order(items: &[Item]) -> Vec<Moment> {
    let mut moments: Vec<(Ticks, bool, TaskId)> = Vec::with_capacity(2 * items.len());
    for (task, item) in (0..).zip(items) {
        moments.push((item.invoked, false, task));
        moments.extend(item.until.map(|until| (until, true, task)));
    }
    moments.sort_unstable();
    let moment = |(_, ends, task)| if ends { Moment::Ends(task) } else { Moment::Begins(task) };
    moments.into_iter().map(moment).collect()
}

/// The operation changes nothing, or raises a number, with no value as the lowest of all.
fn rises(item: &Item) -> bool {
    match (item.requires, item.makes) {
        (_, Makes::Same) => true,
        (_, Makes::Adds(by)) => by > 0,
        (
            Requires::Is(before) | Requires::Either(_, before),
            Makes::Becomes(after @ Some(Value::Number(_))),
        ) => !matches!(before, Some(Value::Text(_))) && before < after,
        _ => false,
    }
}

/// Which states must be told apart.
///
/// A value that no operation looks for is as good as any other such value: all of them become one, so that writes
/// of them can stand in for each other, and states that differ in nothing that matters are one state.
struct Names {
    named: BTreeSet<State>,
    numbers_matter: bool,
}

impl Names {
    fn of(items: &[Item]) -> Self {
        let counts =
            |item: &Item| matches!(item.requires, Requires::Countable(_) | Requires::NotCountable(_));
        Self {
            named: items.iter().flat_map(|item| item.requires.named()).collect(),
            numbers_matter: items.iter().any(counts),
        }
    }

    fn write(&self, state: State) -> State {
        match state {
            Some(Value::Number(_)) if self.numbers_matter => state,
            Some(_) if !self.named.contains(&state) => Some(ANY_OTHER),
            _ => state,
        }
    }
}
