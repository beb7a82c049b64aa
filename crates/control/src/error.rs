//! What can go wrong, by what was asked. Each says what may be concluded.

use crate::StoreError;

/// The group cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The options do not fit together.
    #[error(
        "the control group needs a heartbeat of 10 ms or more, elections after at least three heartbeats, \
         and at least 7 ms between the least and the most time to an election"
    )]
    Options,
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Raft does not start: what the store says does not fit together.
    #[error("the control group does not start: {0}")]
    Start(String),
}

/// A proposal was not seen to be decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It did not happen: no leader was found in time.
    #[error("the control group has no leader")]
    NoLeader,
    /// It may have happened, or may happen yet: a leader took it, and nothing was heard of it in time. Commands are
    /// conditional, so it may be proposed again.
    #[error("whether the control group decided is not known: {0}")]
    Unknown(String),
    /// This member has ended. It may have happened.
    #[error("the control group has ended here")]
    Stopped,
}

/// This member could not be shown to lead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConfirmed {
    /// It does not lead.
    #[error("another leads, or nobody does")]
    NotLeader,
    /// Too few voters answered in time.
    #[error("too few voters answered")]
    NoQuorum,
    /// This member has ended.
    #[error("the control group has ended here")]
    Stopped,
}

/// A group could not be formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitialiseError {
    /// This member has voted or logged something: the group has formed.
    #[error("the control group has formed already")]
    Formed,
    /// The members do not name this one, or are none, or more than seven.
    #[error("this is no set of voters for this member to form a group of")]
    Members,
    /// This member has ended.
    #[error("the control group has ended here")]
    Stopped,
}

/// A member was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// It did not happen: no leader is known, or it is gone.
    #[error("the control group has no leader")]
    NoLeader,
    /// It did not happen, and why.
    #[error("not admitted: {0}")]
    Rejected(String),
    /// It may have happened, in part or in whole. It may be asked for again.
    #[error("whether it was admitted is not known: {0}")]
    Unknown(String),
    /// This member has ended.
    #[error("the control group has ended here")]
    Stopped,
}
