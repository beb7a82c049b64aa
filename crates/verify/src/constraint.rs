//! What an operation demands of the state that it meets, and what it makes of it.
//!
//! A reply narrows down the states in which the operation can have been carried out: `GET` that told `a` met `a`,
//! a refused `NX` met some value, `INCR` that told 7 met 6. With the reply known, an operation thus becomes a test
//! of the state and a new state, and many operations turn out to change nothing at all. The search works on
//! these alone.

use crate::history::{Event, Outcome, Ticks};
use crate::operation::{Condition, Operation, Reply, sum};
use crate::value::{State, Value};

/// A test of a state. `S` is a [`State`] here and a state's number in the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Requires<S> {
    Any,
    Is(S),
    Either(S, S),
    IsNot(S),
    /// An increment by this much is possible.
    Countable(i64),
    /// An increment by this much is not possible.
    NotCountable(i64),
    /// The reply is none that the operation ever gives.
    Never,
}

/// The state afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Makes<S> {
    Same,
    Becomes(S),
    /// The sum of the number before and this one.
    Adds(i64),
}

/// One operation as the search sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its place among the key's events.
    pub(crate) event: usize,
    pub(crate) requires: Requires<State>,
    pub(crate) makes: Makes<State>,
    pub(crate) invoked: Ticks,
    /// When it had taken effect. `None` if it never need have: it may take effect at any later time, or not.
    pub(crate) until: Option<Ticks>,
}

impl Item {
    /// The event as an item; `None` if it says nothing about the key.
    pub(crate) fn of(index: usize, event: &Event) -> Option<Self> {
        let (requires, makes) = match event.outcome {
            Outcome::Known { reply, .. } => answered(event.operation, reply),
            Outcome::Failed { .. } => return None,
            Outcome::Unknown => effective(event.operation)?,
        };
        Some(Self { event: index, requires, makes, invoked: event.invoked, until: event.returned() })
    }

    /// It took effect for certain.
    pub(crate) fn is_required(&self) -> bool {
        self.until.is_some()
    }

    /// The same operation, had its client not learned the outcome.
    pub(crate) fn weakened(self) -> Self {
        Self { until: None, ..self }
    }

    /// It only tells something about the state.
    pub(crate) fn is_observation(&self) -> bool {
        self.makes == Makes::Same
    }
}

/// The states in which the operation gives this reply, and what it makes of them.
fn answered(operation: Operation, reply: Reply) -> (Requires<State>, Makes<State>) {
    let never = (Requires::Never, Makes::Same);
    match (operation, reply) {
        (Operation::Read, Reply::Value(state)) => met(operation, reply, state),
        (
            Operation::Set { want_old: true, .. } | Operation::Delete { want_old: true, .. },
            Reply::Value(old),
        ) => met(operation, reply, old),
        (Operation::Set { value, condition, want_old: false }, Reply::Done) => {
            settled(condition_held(condition), Makes::Becomes(Some(value)))
        }
        (Operation::Set { condition, want_old: false, .. }, Reply::Refused) => {
            (condition_failed(condition), Makes::Same)
        }
        (Operation::Delete { condition, want_old: false }, Reply::Done) => match condition {
            Condition::Always | Condition::Present => (Requires::IsNot(None), Makes::Becomes(None)),
            Condition::Equals(value) => (Requires::Is(Some(value)), Makes::Becomes(None)),
            Condition::Absent => never,
        },
        (Operation::Delete { condition, want_old: false }, Reply::Refused) => match condition {
            Condition::Always | Condition::Present => (Requires::Is(None), Makes::Same),
            Condition::Equals(value) => (Requires::IsNot(Some(value)), Makes::Same),
            Condition::Absent => (Requires::Any, Makes::Same),
        },
        (Operation::Increment(by), Reply::Integer(sum)) => counted(by, sum),
        (Operation::Increment(by), Reply::NotCountable) => (Requires::NotCountable(by), Makes::Same),
        _ => never,
    }
}

/// The reply tells the state that was met: the specification tells the rest.
fn met(operation: Operation, reply: Reply, state: State) -> (Requires<State>, Makes<State>) {
    let (after, told) = operation.apply(state);
    if told != reply {
        return (Requires::Never, Makes::Same);
    }
    settled(Requires::Is(state), Makes::Becomes(after))
}

fn counted(by: i64, sum: i64) -> (Requires<State>, Makes<State>) {
    let after = Makes::Becomes(Some(Value::Number(sum)));
    match sum.checked_sub(by) {
        // A key without a value counts as 0.
        Some(0) => (Requires::Either(None, Some(Value::Number(0))), after),
        Some(before) => settled(Requires::Is(Some(Value::Number(before))), after),
        None => (Requires::Never, Makes::Same),
    }
}

/// What makes of a state that same state makes nothing.
fn settled(requires: Requires<State>, makes: Makes<State>) -> (Requires<State>, Makes<State>) {
    match (requires, makes) {
        (Requires::Is(before), Makes::Becomes(after)) if before == after => (requires, Makes::Same),
        _ => (requires, makes),
    }
}

/// When an operation of unknown outcome changes something, and what; `None` if it never does.
///
/// Carried out without changing anything it is as good as not carried out.
fn effective(operation: Operation) -> Option<(Requires<State>, Makes<State>)> {
    let (requires, makes) = match operation {
        Operation::Read => return None,
        Operation::Set { value, condition, .. } => {
            settled(condition_held(condition), Makes::Becomes(Some(value)))
        }
        Operation::Delete { condition, .. } => {
            let done = Operation::Delete { condition, want_old: false };
            answered(done, Reply::Done)
        }
        Operation::Increment(by) => (Requires::Countable(by), Makes::Adds(by)),
    };
    (makes != Makes::Same).then_some((requires, makes))
}

fn condition_held(condition: Condition) -> Requires<State> {
    match condition {
        Condition::Always => Requires::Any,
        Condition::Absent => Requires::Is(None),
        Condition::Present => Requires::IsNot(None),
        Condition::Equals(value) => Requires::Is(Some(value)),
    }
}

fn condition_failed(condition: Condition) -> Requires<State> {
    match condition {
        Condition::Always => Requires::Never,
        Condition::Absent => Requires::IsNot(None),
        Condition::Present => Requires::Is(None),
        Condition::Equals(value) => Requires::IsNot(Some(value)),
    }
}

impl<S: Copy + PartialEq> Requires<S> {
    /// Whether `at` passes; `state` is what `at` stands for.
    pub(crate) fn holds(self, at: S, state: State) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => at == wanted,
            Self::Either(one, other) => at == one || at == other,
            Self::IsNot(unwanted) => at != unwanted,
            Self::Countable(by) => sum(state, by).is_some(),
            Self::NotCountable(by) => sum(state, by).is_none(),
            Self::Never => false,
        }
    }

    /// The states that it names.
    pub(crate) fn named(self) -> impl Iterator<Item = S> {
        let (one, other) = match self {
            Self::Is(state) | Self::IsNot(state) => (Some(state), None),
            Self::Either(one, other) => (Some(one), Some(other)),
            Self::Any | Self::Countable(_) | Self::NotCountable(_) | Self::Never => (None, None),
        };
        one.into_iter().chain(other)
    }

    /// The same test of states that are written in another way.
    pub(crate) fn map<T>(self, mut write: impl FnMut(S) -> T) -> Requires<T> {
        match self {
            Self::Any => Requires::Any,
            Self::Is(state) => Requires::Is(write(state)),
            Self::Either(one, other) => Requires::Either(write(one), write(other)),
            Self::IsNot(state) => Requires::IsNot(write(state)),
            Self::Countable(by) => Requires::Countable(by),
            Self::NotCountable(by) => Requires::NotCountable(by),
            Self::Never => Requires::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Value = Value::Text(0);
    const B: Value = Value::Text(1);

    fn states() -> Vec<State> {
        let numbers = [i64::MIN, -2, -1, 0, 1, 2, 3, i64::MAX];
        let texts = [None, Some(A), Some(B), Some(Value::Text(2))];
        texts.into_iter().chain(numbers.map(|number| Some(Value::Number(number)))).collect()
    }

    fn operations() -> Vec<Operation> {
        let mut operations = vec![Operation::Read];
        operations.extend([0, 1, -1, 2, i64::MAX, i64::MIN].map(Operation::Increment));
        let equals = [A, B, Value::Number(1)].map(Condition::Equals);
        let conditions = [Condition::Always, Condition::Absent, Condition::Present];
        for condition in conditions.into_iter().chain(equals) {
            for want_old in [false, true] {
                operations.push(Operation::Delete { condition, want_old });
                for value in [A, Value::Number(1)] {
                    operations.push(Operation::Set { value, condition, want_old });
                }
            }
        }
        operations
    }

    fn replies() -> Vec<Reply> {
        let mut replies = vec![Reply::Done, Reply::Refused, Reply::NotCountable];
        for state in states() {
            replies.push(Reply::Value(state));
            if let Some(Value::Number(number)) = state {
                replies.push(Reply::Integer(number));
            }
        }
        replies
    }

    fn make(makes: Makes<State>, state: State) -> State {
        match makes {
            Makes::Same => state,
            Makes::Becomes(after) => after,
            Makes::Adds(by) => sum(state, by).map(Value::Number),
        }
    }

    /// The translation and the specification agree on each operation, reply and state there is.
    #[test]
    fn a_reply_translates_into_exactly_the_states_that_give_it() {
        for operation in operations() {
            for reply in replies() {
                let (requires, makes) = answered(operation, reply);
                for state in states() {
                    let (after, told) = operation.apply(state);
                    let shown = format!("{operation:?} -> {reply:?} on {state:?}");
                    assert_eq!(requires.holds(state, state), told == reply, "{shown}");
                    assert!(told != reply || make(makes, state) == after, "{shown}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_outcome_translates_into_exactly_what_changes_something() {
        for operation in operations() {
            let translated = effective(operation);
            for state in states() {
                let (after, _) = operation.apply(state);
                let changed = translated
                    .filter(|(requires, _)| requires.holds(state, state))
                    .map_or(state, |(_, makes)| make(makes, state));
                assert_eq!(changed, after, "{operation:?} on {state:?}");
            }
        }
    }

    /// The search takes observations at the first opportunity, so nothing may count as one that changes a state,
    /// and a read, a refusal or a failure should.
    #[test]
    fn what_changes_nothing_is_an_observation() {
        let set = |condition| Operation::Set { value: A, condition, want_old: false };
        for (operation, reply) in [
            (Operation::Read, Reply::Value(None)),
            (set(Condition::Absent), Reply::Refused),
            (set(Condition::Equals(A)), Reply::Done),
            (Operation::Delete { condition: Condition::Always, want_old: true }, Reply::Value(None)),
            (Operation::Increment(0), Reply::Integer(3)),
            (Operation::Increment(1), Reply::NotCountable),
        ] {
            assert_eq!(answered(operation, reply).1, Makes::Same, "{operation:?} -> {reply:?}");
        }
        // From a key without a value this one makes "0".
        assert_ne!(answered(Operation::Increment(0), Reply::Integer(0)).1, Makes::Same);
    }
}
