//! What clients did and were told, key by key.

use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

use crate::operation::{Operation, Reply};
use crate::value::{State, Value, Values};

/// A moment, in ticks of the one clock that stamps the whole history: nanoseconds of a monotonic clock, or
/// simulated time. Equal moments count as unordered.
pub type Ticks = u64;

/// One operation of one client on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who asked. Only shown: that one client's operations follow each other is told by their times.
    pub client: u32,
    /// What was asked.
    pub operation: Operation,
    /// A moment before the request was sent.
    pub invoked: Ticks,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client knows about its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, so it took effect between the request and the reply.
    Known {
        /// What the client was told.
        reply: Reply,
        /// A moment after the reply came. Not before `invoked`.
        returned: Ticks,
    },
    /// It certainly did not happen (`UNAVAILABLE`), and never will.
    Failed {
        /// A moment after the error came. Not before `invoked`.
        returned: Ticks,
    },
    /// It may have taken effect, or may at any later time, at most once, or never (`UNKNOWN`, a broken connection,
    /// a history that ends before the reply).
    Unknown,
}

impl Event {
    /// When the client knew the outcome; `None` if it never did.
    #[must_use]
    pub fn returned(&self) -> Option<Ticks> {
        match self.outcome {
            Outcome::Known { returned, .. } | Outcome::Failed { returned } => Some(returned),
            Outcome::Unknown => None,
        }
    }
}

/// The history of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyHistory {
    start: State,
    events: Vec<Event>,
}

impl KeyHistory {
    /// A history without operations of a key that holds `start`.
    #[must_use]
    pub fn new(start: State) -> Self {
        Self { start, events: Vec::new() }
    }

    /// Adds an operation. The order in which operations are added does not matter.
    ///
    /// # Errors
    /// If the operation returned before it was invoked: then its times are not of one clock.
    pub fn push(&mut self, event: Event) -> Result<(), HistoryError> {
        if let Some(returned) = event.returned()
            && returned < event.invoked
        {
            return Err(HistoryError { client: event.client, invoked: event.invoked, returned });
        }
        self.events.push(event);
        Ok(())
    }

    /// What the key held before the first operation.
    #[must_use]
    pub fn start(&self) -> State {
        self.start
    }

    /// The operations, in the order in which they were added.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

/// The histories of all keys.
#[derive(Clone, Debug, Default)]
pub struct History {
    values: Values,
    keys: BTreeMap<Bytes, KeyHistory>,
}

impl History {
    /// An empty history, in which each key starts without a value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value that these bytes are in this history.
    pub fn value(&mut self, bytes: &[u8]) -> Value {
        self.values.intern(bytes)
    }

    /// Says what a key holds before its first operation.
    pub fn start(&mut self, key: Bytes, state: State) {
        self.keys.entry(key).or_default().start = state;
    }

    /// Adds an operation on a key; its values must be this history's.
    ///
    /// # Errors
    /// If the operation returned before it was invoked.
    pub fn push(&mut self, key: &Bytes, event: Event) -> Result<(), HistoryError> {
        if let Some(known) = self.keys.get_mut(key) {
            return known.push(event);
        }
        self.keys.entry(key.clone()).or_default().push(event)
    }

    /// The bytes behind the values.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The keys and their histories, in the order of the keys.
    pub fn keys(&self) -> impl Iterator<Item = (&Bytes, &KeyHistory)> {
        self.keys.iter()
    }
}

/// Times that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "an operation of client {client} returned at {returned}, before it was invoked at {invoked}: stamp both with one \
     monotonic clock"
)]
pub struct HistoryError {
    /// Whose operation.
    pub client: u32,
    /// When it was invoked.
    pub invoked: Ticks,
    /// When it returned.
    pub returned: Ticks,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(invoked: Ticks, outcome: Outcome) -> Event {
        Event { client: 3, operation: Operation::Read, invoked, outcome }
    }

    #[test]
    fn an_operation_cannot_return_before_it_was_invoked() {
        let mut history = History::new();
        let key = Bytes::from_static(b"k");
        let known = |returned| Outcome::Known { reply: Reply::Value(None), returned };
        let error = HistoryError { client: 3, invoked: 5, returned: 4 };
        assert_eq!(history.push(&key, read(5, known(4))), Err(error));
        assert_eq!(history.push(&key, read(5, Outcome::Failed { returned: 4 })), Err(error));
        assert_eq!(history.push(&key, read(5, known(5))), Ok(()));
        assert_eq!(history.push(&key, read(5, Outcome::Unknown)), Ok(()));
        assert_eq!(history.keys().map(|(_, history)| history.events().len()).collect::<Vec<_>>(), [2]);
    }
}
