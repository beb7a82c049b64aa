//! The protocol that keeps each key on three nodes: chain replication with apportioned queries.
//!
//! A partition's pairs are kept by a chain of members (van Renesse and Schneider, OSDI 2004). A write enters at
//! the head, which evaluates the [`Operation`], gives the outcome the next [`Version`] and makes a log
//! [`Entry`] of it; the entry travels down the chain while every member makes it durable; the tail commits
//! what all members hold durably, answers the coordinator, and sends the watermark (all up to it is committed)
//! back up. Every member answers reads of keys whose newest version is clean (CRAQ: Terrace and Freedman,
//! USENIX ATC 2009).
//!
//! Everything here is pure: events come in, [`Effects`] go out, and no clock, socket, disk or source of
//! randomness is seen. [`Node`] is one node's whole part: a [`Replica`] for each partition
//! that it keeps, and the coordinator of the requests of its clients.
//!
//! Which members a chain has is decided elsewhere: the control group keeps the topology, and [`control`] holds the
//! rules by which its leader grants leases and declares sessions ended.

mod cache;
pub mod control;
mod coordinator;
mod durable;
mod effects;
mod entry;
pub mod glob;
mod links;
mod message;
mod node;
pub mod number;
mod operation;
mod query;
mod records;
mod replica;

pub use coordinator::{Outcome, ReadFrom, Timing};
pub use durable::{Durable, EpochHistory, HISTORY_MAX, Known, LogGap, Writer, Writers};
pub use effects::{
    Applied, Apply, Base, Captured, Completion, CopyPage, CopyStep, Damaged, Effects, Fetch, Ignored, Persist,
};
pub use entry::{Change, DataKey, Displaced, Entry, OpId, Record, SEQ_MAX, Version};
pub use links::Links;
pub use message::{Envelope, Message, Refusal};
pub use node::{Asked, Event, Node, Setup};
pub use operation::{
    Condition, Evaluation, Expiry, ExpiryCondition, Limits, Operation, OperationError, Reply,
};
pub use query::{Counts, Item, Page, PageRequest, Part, Query, Reading};
pub use records::Records;
pub use replica::{Progress, Replica};

/// Milliseconds since the Unix epoch: the clock of expiry times.
pub type UnixMillis = u64;

/// Milliseconds of a clock that never goes back: the clock of deadlines.
pub type Millis = u64;

/// The clocks, as a step sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub millis: Millis,
    /// For expiry times.
    pub unix: UnixMillis,
}
