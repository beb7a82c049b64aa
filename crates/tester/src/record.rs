//! What was asked and what came of it, one record for each operation on a key.

use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_verify::Ticks;

use crate::call::{Call, Told};

/// One operation of one client on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The phase in which it was asked, by its number; 0 outside of phases.
    pub phase: u8,
    /// Who asked.
    pub client: u32,
    /// The node that was asked.
    pub node: Arc<str>,
    /// The key.
    pub key: Bytes,
    /// What was asked.
    pub call: Call,
    /// Whether the key itself was named.
    pub via: Via,
    /// A moment before the request was sent, in nanoseconds since the run began.
    pub invoked: Ticks,
    /// What came of it.
    pub outcome: Outcome,
}

/// How a key was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By its name.
    Key,
    /// In a listing of what a node stores (`@`).
    Node,
    /// In a listing of the whole ring (`*`).
    Ring,
}

/// What a client knows about its operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// What the client was told.
        told: Told,
        /// A moment after the reply came.
        returned: Ticks,
    },
    /// It certainly did not happen.
    Failed {
        /// What the client was told.
        error: String,
        /// A moment after the error came.
        returned: Ticks,
    },
    /// It may have happened, or may yet.
    Unknown {
        /// Why nobody knows.
        error: String,
        /// When the client gave up.
        gave_up: Ticks,
    },
}

impl Record {
    /// When the client was done with it, one way or another.
    #[must_use]
    pub fn ended(&self) -> Ticks {
        match self.outcome {
            Outcome::Answered { returned, .. } | Outcome::Failed { returned, .. } => returned,
            Outcome::Unknown { gave_up, .. } => gave_up,
        }
    }

    /// Whether it was answered other than by an error.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        matches!(self.outcome, Outcome::Answered { .. })
    }
}
