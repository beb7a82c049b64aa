//! The general search: every way to order one key's operations, explored along the timeline.
//!
//! A *configuration* is where a single copy of the key could be: its state, which of the operations in flight have
//! taken effect already, and which of those with unknown outcome were used. The search walks through the
//! beginnings and ends of operations in the order of their times and keeps the set of configurations that are
//! possible, the *front*. When an operation begins it only becomes available. When it ends it must have taken effect:
//! a configuration in which it has not is replaced by those reached by carrying out available operations,
//! this one last (*just in time*, Lowe 2017). If none remain, no order explains what was seen.
//!
//! What keeps the front small, all without losing an answer:
//! - An observation (an operation that changes nothing, whatever happens) takes effect at the first moment that
//!   allows it: this can only help.
//! - A configuration is dropped if another one with the same state and the same effects has made at least the same
//!   observations with no more operations of unknown outcome: whatever completes the first completes the second.
//! - Among available operations that require and make the same, the one that ends first goes first: an exchange
//!   of the two shows that no other order need be tried.
//! - An operation of unknown outcome is spared if another one can do the same now that asks for more of the state:
//!   again by an exchange of the two.
//! - A state is not left while an operation that can only be explained by it is outstanding and nothing is left
//!   that could make that state again. With unique values this leaves almost no choice.
//! - A value *fades* when the last operation that looks for it has ended: from then on it is one with all values
//!   that nobody looks for, and the operations that would make it are alike.
//! - An operation of unknown outcome that all configurations have used is forgotten.
//!
//! A narrow search keeps only the cheapest configurations, those that used and did the least before they had to. What
//! it finds possible is possible; if it finds nothing, a wider one must be tried.

use std::collections::{BTreeMap, BTreeSet};

use crate::bits::{Bits, OPEN_MAX};
use crate::constraint::{Makes, Requires};
use crate::front::{Configuration, Front};
use crate::operation::sum;
use crate::problem::{Moment, Problem, StateId, States, Task, TaskId};
use crate::value::Value;

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// An order was found.
    Possible,
    /// There is no order.
    Impossible {
        /// The operation whose end no configuration survived.
        at: TaskId,
        /// States that configurations were barred from leaving then, because something needs them later.
        missed: Vec<StateId>,
    },
    /// The configurations that fitted the width led nowhere; others were left out.
    TooNarrow,
    /// No steps were left.
    OutOfSteps,
    /// More than [`OPEN_MAX`] operations were in flight at once.
    TooManyOpen,
}

/// How many configurations a search keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Width {
    /// At most this many from one moment to the next.
    pub(crate) front: usize,
    /// At most this many in each of the two sets that a moment needs on the way. Not below `front`.
    pub(crate) room: usize,
}

/// Searches within a width, taking from `steps` one for each configuration looked at or compared.
pub(crate) fn search(problem: &Problem, width: Width, steps: &mut u64) -> Ending {
    Search::new(problem, width).run(&problem.timeline, steps)
}

/// How many comparisons with other configurations take as long as making one.
const COMPARISONS_PER_STEP: u64 = 16;

/// What is still to come for one state.
#[derive(Clone, Debug, Default)]
struct Outlook {
    /// Operations not ended that name this state in what they require.
    named: u32,
    /// Nothing names it any more: it became [`Problem::other`].
    faded: bool,
    /// Operations not begun that only this state explains.
    needs_to_come: u32,
    /// Operations not begun, certain to take effect, that make this state.
    makers_to_come: u32,
    /// Operations of unknown outcome that make this state, begun or not.
    possible_makers: u32,
    /// The slots of operations in flight that only this state explains.
    needs_open: Vec<usize>,
    /// The slots of operations in flight, certain to take effect, that make this state.
    makers_open: Vec<usize>,
}

/// An operation in flight that changes something.
#[derive(Clone, Copy, Debug)]
struct Available {
    id: TaskId,
    task: Task,
    /// Its slot if it is certain to take effect.
    slot: usize,
}

impl Available {
    /// By shape, and among equals the one that ends first.
    fn order(&self) -> (u32, u32, TaskId) {
        (self.task.shape, self.task.deadline, self.id)
    }

    /// Both are possible and do the same, but this one asks for more, and the other never need happen: then the other
    /// can do later whatever this one could.
    fn goes_before(&self, other: &Self) -> bool {
        let asks_for_more = matches!(
            (self.task.requires, other.task.requires),
            (Requires::Is(_), Requires::IsNot(_) | Requires::Any) | (Requires::IsNot(_), Requires::Any)
        );
        !other.task.required && self.task.makes == other.task.makes && asks_for_more
    }

    /// Nothing looks for what it makes.
    fn fade(&mut self, other: StateId) {
        self.task.makes = Makes::Becomes(other);
        self.task.shape = self.task.faded_shape;
    }
}

struct Search<'a> {
    problem: &'a Problem,
    states: States,
    outlooks: Vec<Outlook>,
    slots: Vec<usize>,
    slots_taken: Bits,
    /// Operations in flight that change something, by shape, then by deadline.
    available: Vec<Available>,
    /// Slots and tests of observations in flight.
    watching: Vec<(usize, Requires<StateId>)>,
    front: Front,
    width: Width,
    narrowed: bool,
    /// The states that could not be left at this moment.
    missed: BTreeSet<StateId>,
}

/// Whether no other state must have been there from the start, being needed and never made.
fn is_possible_start(start: StateId, outlooks: &[Outlook], problem: &Problem) -> bool {
    let must_be_start = |(state, outlook): (StateId, &Outlook)| {
        let is_number = matches!(problem.states.get(state), Some(Value::Number(_)));
        let is_made = outlook.makers_to_come + outlook.possible_makers > 0;
        outlook.needs_to_come > 0 && !is_made && !(is_number && problem.numbers_matter)
    };
    (0..).zip(outlooks).all(|outlook| outlook.0 == start || !must_be_start(outlook))
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem, width: Width) -> Self {
        let mut outlooks = vec![Outlook::default(); problem.states.len()];
        for task in &problem.tasks {
            task.requires.named().for_each(|state| outlooks[state as usize].named += 1);
            if let (true, Requires::Is(state)) = (task.required, task.requires) {
                outlooks[state as usize].needs_to_come += 1;
            }
            match (task.required, task.makes) {
                (true, Makes::Becomes(state)) => outlooks[state as usize].makers_to_come += 1,
                (false, Makes::Becomes(state)) => outlooks[state as usize].possible_makers += 1,
                _ => {}
            }
        }
        let mut front = Front::default();
        let is_possible = |start: &&StateId| is_possible_start(**start, &outlooks, problem);
        for state in problem.starts.iter().filter(is_possible) {
            front.insert(Configuration::new(*state));
        }
        Self {
            problem,
            states: problem.states.clone(),
            outlooks,
            slots: vec![0; problem.tasks.len()],
            slots_taken: Bits::default(),
            available: Vec::new(),
            watching: Vec::new(),
            front,
            width,
            narrowed: false,
            missed: BTreeSet::new(),
        }
    }

    fn run(mut self, timeline: &[Moment], steps: &mut u64) -> Ending {
        for moment in timeline {
            match *moment {
                Moment::Begins(id) => {
                    if !self.begin(id) {
                        return Ending::TooManyOpen;
                    }
                }
                Moment::Ends(id) => {
                    let Some(front) = self.settle(id, steps) else { return Ending::OutOfSteps };
                    if front.is_empty() {
                        return match self.narrowed {
                            true => Ending::TooNarrow,
                            false => Ending::Impossible { at: id, missed: self.missed.into_iter().collect() },
                        };
                    }
                    self.front = front;
                    self.end(id);
                    self.retire();
                }
            }
        }
        Ending::Possible
    }

    fn task(&self, id: TaskId) -> Task {
        self.problem.tasks[id as usize]
    }

    /// Makes an operation available. False if too many are in flight.
    fn begin(&mut self, id: TaskId) -> bool {
        let task = self.task(id);
        let mut slot = OPEN_MAX;
        if task.required {
            let Some(free) = self.slots_taken.first_free() else { return false };
            slot = free;
            self.slots_taken.insert(slot);
            self.slots[id as usize] = slot;
            if let Requires::Is(state) = task.requires {
                let outlook = &mut self.outlooks[state as usize];
                outlook.needs_to_come -= 1;
                outlook.needs_open.push(slot);
            }
            if let Makes::Becomes(state) = task.makes {
                let outlook = &mut self.outlooks[state as usize];
                outlook.makers_to_come -= 1;
                outlook.makers_open.push(slot);
            }
        }
        if task.is_observation() {
            self.watching.push((slot, task.requires));
        } else {
            let mut mine = Available { id, task, slot };
            if let Makes::Becomes(state) = task.makes
                && self.outlooks[state as usize].faded
            {
                mine.fade(self.problem.other);
            }
            let place = self.available.partition_point(|other| other.order() < mine.order());
            self.available.insert(place, mine);
        }
        true
    }

    /// Frees what an operation that took effect held while it was in flight.
    fn end(&mut self, id: TaskId) {
        let task = self.task(id);
        let slot = self.slots[id as usize];
        self.slots_taken.remove(slot);
        if let Requires::Is(state) = task.requires {
            self.outlooks[state as usize].needs_open.retain(|open| *open != slot);
        }
        if let Makes::Becomes(state) = task.makes {
            self.outlooks[state as usize].makers_open.retain(|open| *open != slot);
        }
        self.watching.retain(|(watching, _)| *watching != slot);
        self.available.retain(|available| available.id != id);
        for state in task.requires.named() {
            let outlook = &mut self.outlooks[state as usize];
            outlook.named -= 1;
            if outlook.named == 0 {
                self.fade(state);
            }
        }
    }

    /// Nothing will look for this state any more: from here on it is one with all such states, and the operations
    /// that make it are alike.
    fn fade(&mut self, state: StateId) {
        let matters = match self.states.get(state) {
            None => true,
            Some(Value::Number(_)) => self.problem.numbers_matter,
            Some(Value::Text(_)) => false,
        };
        if matters || state == self.problem.other {
            return;
        }
        self.outlooks[state as usize].faded = true;
        for available in &mut self.available {
            if available.task.makes == Makes::Becomes(state) {
                available.fade(self.problem.other);
            }
        }
        self.available.sort_unstable_by_key(Available::order);
        for mut configuration in std::mem::take(&mut self.front).into_configurations() {
            if configuration.state == state {
                configuration.state = self.problem.other;
            }
            self.relabel(&mut configuration.used);
            self.front.insert(configuration);
        }
    }

    /// Of operations of unknown outcome that are alike, it only matters how many were used: let it be the first.
    fn relabel(&self, used: &mut [TaskId]) {
        for group in self.available.chunk_by(|one, other| one.task.shape == other.task.shape) {
            let unknown =
                || group.iter().filter(|available| !available.task.required).map(|available| available.id);
            let mut first = unknown();
            let ids: Vec<TaskId> = unknown().filter(|id| used.contains(id)).collect();
            for slot in used.iter_mut().filter(|slot| ids.contains(slot)) {
                *slot = first.next().expect("as many were used as there are used ones");
            }
        }
        used.sort_unstable();
    }

    /// Takes out of the search an operation that all configurations have used.
    fn withdraw(&mut self, id: TaskId) {
        self.available.retain(|available| available.id != id);
        if let Makes::Becomes(state) = self.task(id).makes {
            self.outlooks[state as usize].possible_makers -= 1;
        }
        let front = std::mem::take(&mut self.front);
        for mut configuration in front.into_configurations() {
            configuration.used.retain(|used| *used != id);
            self.front.insert(configuration);
        }
    }

    /// Operations that all configurations have used are no longer a choice.
    fn retire(&mut self) {
        for id in self.front.used_by_all() {
            self.withdraw(id);
        }
    }

    /// Takes one step, and the work done on a set, from the steps that are left.
    fn charge(set: &mut Front, steps: &mut u64) -> Option<()> {
        *steps = steps.checked_sub(1 + set.take_compared() / COMPARISONS_PER_STEP)?;
        Some(())
    }

    /// The front once the operation has taken effect, which it has in each configuration that is kept. `None` if
    /// the steps ran out.
    fn settle(&mut self, id: TaskId, steps: &mut u64) -> Option<Front> {
        let (task, slot) = (self.task(id), self.slots[id as usize]);
        self.missed.clear();
        let mut settled = Front::default();
        let mut seen = Front::default();
        let mut queue = BTreeMap::new();
        let mut arrived = 0_usize;
        let mut choices = Vec::new();
        for mut configuration in std::mem::take(&mut self.front).into_configurations() {
            Self::charge(&mut settled, steps)?;
            if configuration.release(slot)
                || (task.is_observation() && self.passes(&task, configuration.state))
            {
                self.keep(&mut settled, configuration);
            } else if self.keep(&mut seen, configuration.clone()) {
                arrived += 1;
                queue.insert((configuration.cost(), arrived), configuration);
            }
        }
        // The cheapest first: what was not used and not done early is still there for what comes.
        let enough = settled.len() + self.width.front;
        while let Some((_, from)) = queue.pop_first() {
            if settled.len() >= enough {
                self.narrowed = true;
                break;
            }
            self.list_choices(&from, &mut choices);
            for choice in &choices {
                Self::charge(&mut seen, steps)?;
                let Some(mut reached) = self.carry_out(&from, choice) else { continue };
                let observed = task.is_observation() && self.passes(&task, reached.state);
                if choice.id == id || observed {
                    reached.release(slot);
                    self.keep(&mut settled, reached);
                    Self::charge(&mut settled, steps)?;
                } else if self.keep(&mut seen, reached.clone()) {
                    arrived += 1;
                    queue.insert((reached.cost(), arrived), reached);
                }
            }
        }
        if settled.len() > self.width.front {
            self.narrowed = true;
            settled = settled.narrowed(self.width.front);
        }
        Some(settled)
    }

    /// Adds to a set within its room. False if it was not worth adding, or did not fit.
    fn keep(&mut self, set: &mut Front, configuration: Configuration) -> bool {
        if set.len() >= self.width.room {
            self.narrowed |= !set.outdoes(&configuration);
            return false;
        }
        set.insert(configuration)
    }

    fn passes(&self, task: &Task, state: StateId) -> bool {
        task.requires.holds(state, self.states.get(state))
    }

    /// The operations that may go next: of each shape those that end first.
    fn list_choices(&self, from: &Configuration, choices: &mut Vec<Available>) {
        choices.clear();
        for group in self.available.chunk_by(|one, other| one.task.shape == other.task.shape) {
            if !self.passes(&group[0].task, from.state) {
                continue;
            }
            // Those that are certain to take effect come first, by deadline; those that are not have none.
            let is_left = |available: &&Available| match available.task.required {
                true => !from.effects.has(available.slot),
                false => from.used.binary_search(&available.id).is_err(),
            };
            choices.extend(group.iter().find(is_left));
        }
        let spared = |choice: &Available| choices.iter().any(|other| other.goes_before(choice));
        let spared: Vec<TaskId> =
            choices.iter().filter(|choice| spared(choice)).map(|choice| choice.id).collect();
        choices.retain(|choice| !spared.contains(&choice.id));
    }

    /// What becomes of a configuration when an operation takes effect whose test it passes. `None` if it leads
    /// nowhere.
    fn carry_out(&mut self, from: &Configuration, choice: &Available) -> Option<Configuration> {
        let state = match choice.task.makes {
            Makes::Same => from.state,
            Makes::Becomes(state) => state,
            Makes::Adds(by) => {
                let number = sum(self.states.get(from.state), by)?;
                self.number(number)
            }
        };
        let mut reached = from.clone();
        if choice.task.required {
            reached.effects.insert(choice.slot);
        } else if state == from.state {
            // As if it had not happened.
            return None;
        } else {
            let place = reached.used.binary_search(&choice.id).err()?;
            reached.used.insert(place, choice.id);
        }
        if state != from.state {
            let left = self.states.get(from.state);
            for (slot, test) in &self.watching {
                if test.holds(from.state, left) {
                    reached.observed.insert(*slot);
                }
            }
            if self.is_missed(from.state, &reached) {
                self.missed.insert(from.state);
                return None;
            }
            reached.state = state;
        }
        Some(reached)
    }

    fn number(&mut self, number: i64) -> StateId {
        let state = self.states.intern(Some(Value::Number(number)));
        if self.outlooks.len() < self.states.len() {
            self.outlooks.push(Outlook::default());
        }
        state
    }

    /// Whether something still needs a state that the configuration leaves and that cannot come again.
    fn is_missed(&self, left: StateId, reached: &Configuration) -> bool {
        let outlook = &self.outlooks[left as usize];
        let done = |slot: &usize| reached.effects.has(*slot) || reached.observed.has(*slot);
        if outlook.needs_to_come == 0 && outlook.needs_open.iter().all(done) {
            return false;
        }
        if self.problem.only_rises {
            return true;
        }
        let is_number = matches!(self.states.get(left), Some(Value::Number(_)));
        let certain = outlook.makers_to_come > 0 || !outlook.makers_open.iter().all(done);
        if certain || (is_number && self.problem.numbers_matter) {
            return false;
        }
        let makes = |id: &&TaskId| self.task(**id).makes == Makes::Becomes(left);
        let used = reached.used.iter().filter(makes).count();
        outlook.possible_makers as usize <= used
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::constraint::Item;

    fn state() -> impl Strategy<Value = crate::value::State> {
        prop::sample::select(vec![None, Some(Value::Text(0)), Some(Value::Text(1))])
    }

    fn item() -> impl Strategy<Value = Item> {
        let requires = prop_oneof![
            2 => Just(Requires::Any),
            2 => state().prop_map(Requires::Is),
            1 => state().prop_map(Requires::IsNot),
        ];
        let makes = prop_oneof![Just(Makes::Same), state().prop_map(Makes::Becomes)];
        (requires, makes, 0..30_u64, 0..30_u64, prop::bool::weighted(0.2)).prop_map(
            |(requires, makes, invoked, length, unknown)| {
                let until = (!unknown || makes == Makes::Same).then_some(invoked + length);
                Item { event: 0, requires, makes, invoked, until }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

        /// What a narrow search left out it knows to have left out, whichever limit it met.
        #[test]
        fn a_narrow_search_finds_less_and_nothing_else(items in prop::collection::vec(item(), 0..14)) {
            let problem = Problem::new([None], &items);
            let run = |front, room| search(&problem, Width { front, room }, &mut 10_000_000);
            let truth = run(1_000_000, 1_000_000);
            for (front, room) in [(1, 1), (1, 1_000), (2, 4), (2, 1_000)] {
                let found = run(front, room);
                prop_assert!(found == truth || found == Ending::TooNarrow, "{:?} with {} of {}", found, front, room);
            }
        }
    }
}
