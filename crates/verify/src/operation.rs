//! What clients ask of one key, and what a single copy of it would answer: the sequential specification.

use crate::value::{State, Value};

/// An operation on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Tells the value (`GET`, or a listing that shows the key or leaves it out).
    Read,
    /// Gives the key a value (`SET`, `SET NX`, `SET XX`, `SET IFEQ`, each also with `GET`).
    Set {
        /// The new value.
        value: Value,
        /// When to do it at all.
        condition: Condition,
        /// Tell the value before, done or not, instead of whether it was done.
        want_old: bool,
    },
    /// Removes the value, if there is one (`DEL`, `GETDEL`, `DELIFEQ`).
    Delete {
        /// When to do it at all.
        condition: Condition,
        /// Tell the value before instead of whether there was one.
        want_old: bool,
    },
    /// Adds to the number that the value spells, 0 if there is none, and tells the sum (`INCRBY`).
    Increment(i64),
}

/// When a [`Operation::Set`] or [`Operation::Delete`] takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// In any case.
    Always,
    /// Only if the key has no value.
    Absent,
    /// Only if the key has a value.
    Present,
    /// Only if the key has exactly this value.
    Equals(Value),
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// It was done.
    Done,
    /// The condition did not hold, or there was nothing to delete; nothing changed.
    Refused,
    /// The value that the key had, if any.
    Value(State),
    /// The sum.
    Integer(i64),
    /// The value is not a number, or the sum leaves the signed 64-bit integers; nothing changed.
    NotCountable,
}

impl Condition {
    fn holds(self, state: State) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => state.is_none(),
            Self::Present => state.is_some(),
            Self::Equals(value) => state == Some(value),
        }
    }
}

impl Operation {
    /// What the operation leaves behind and answers when the key holds `state`.
    #[must_use]
    pub fn apply(self, state: State) -> (State, Reply) {
        match self {
            Self::Read => (state, Reply::Value(state)),
            Self::Set { value, condition, want_old } => {
                let done = condition.holds(state);
                (if done { Some(value) } else { state }, told(done, want_old, state))
            }
            Self::Delete { condition, want_old } => {
                let done = state.is_some() && condition.holds(state);
                (if done { None } else { state }, told(done, want_old, state))
            }
            Self::Increment(by) => match sum(state, by) {
                Some(sum) => (Some(Value::Number(sum)), Reply::Integer(sum)),
                None => (state, Reply::NotCountable),
            },
        }
    }
}

fn told(done: bool, want_old: bool, old: State) -> Reply {
    match (want_old, done) {
        (true, _) => Reply::Value(old),
        (false, true) => Reply::Done,
        (false, false) => Reply::Refused,
    }
}

/// The number that an increment makes of a state, if it can.
pub(crate) fn sum(state: State, by: i64) -> Option<i64> {
    match state {
        None => Some(by),
        Some(Value::Number(number)) => number.checked_add(by),
        Some(Value::Text(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Value = Value::Text(0);
    const B: Value = Value::Text(1);

    fn number(number: i64) -> State {
        Some(Value::Number(number))
    }

    /// One row each: the operation, the state it meets, the state it leaves, the reply.
    #[test]
    fn a_single_copy_answers_like_this() {
        let set = |condition, want_old| Operation::Set { value: B, condition, want_old };
        let delete = |condition, want_old| Operation::Delete { condition, want_old };
        use Condition::{Absent, Always, Equals, Present};
        for (operation, before, after, reply) in [
            (Operation::Read, None, None, Reply::Value(None)),
            (Operation::Read, Some(A), Some(A), Reply::Value(Some(A))),
            (set(Always, false), Some(A), Some(B), Reply::Done),
            (set(Always, true), None, Some(B), Reply::Value(None)),
            (set(Absent, false), None, Some(B), Reply::Done),
            (set(Absent, false), Some(A), Some(A), Reply::Refused),
            (set(Absent, true), Some(A), Some(A), Reply::Value(Some(A))),
            (set(Present, false), None, None, Reply::Refused),
            (set(Present, false), Some(A), Some(B), Reply::Done),
            (set(Equals(A), false), Some(A), Some(B), Reply::Done),
            (set(Equals(A), false), Some(B), Some(B), Reply::Refused),
            (set(Equals(A), false), None, None, Reply::Refused),
            (delete(Always, false), Some(A), None, Reply::Done),
            (delete(Always, false), None, None, Reply::Refused),
            (delete(Always, true), Some(A), None, Reply::Value(Some(A))),
            (delete(Equals(A), false), Some(A), None, Reply::Done),
            (delete(Equals(A), false), Some(B), Some(B), Reply::Refused),
            (delete(Absent, false), None, None, Reply::Refused),
            (Operation::Increment(2), None, number(2), Reply::Integer(2)),
            (Operation::Increment(-2), number(5), number(3), Reply::Integer(3)),
            (Operation::Increment(1), number(i64::MAX), number(i64::MAX), Reply::NotCountable),
            (Operation::Increment(1), Some(A), Some(A), Reply::NotCountable),
        ] {
            assert_eq!(operation.apply(before), (after, reply), "{operation:?} on {before:?}");
        }
    }
}
