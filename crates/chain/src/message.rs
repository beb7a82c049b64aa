//! What nodes say to each other about a partition.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_topology::{Epoch, Member, PartitionId};

use crate::{Entry, OpId, Operation, Query, Reading, Reply, Version};

/// A message with its fence: whatever does not match the receiver's epoch and session is dropped
/// (invariant I16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch in which the sender speaks.
    pub epoch: Epoch,
    /// The sender.
    pub from: Member,
    /// The receiver.
    pub to: Member,
    /// What is said.
    pub message: Message,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Member to head of a new form: everything before this epoch is stopped, durably; here is what I hold.
    Sealed {
        /// All up to here is known to be committed.
        watermark: u64,
        /// The last entry of the member's log.
        end: u64,
        /// The epoch that the member last opened.
        open: Epoch,
    },
    /// Member to head of a new form: this epoch or a later one is used up already.
    SealRefused {
        /// The highest epoch that the member knows to be used.
        used: Epoch,
    },
    /// Down the chain: the epoch begins. Replaces all that the receiver holds above the watermark.
    Open {
        /// All up to here is committed, and every member has it.
        watermark: u64,
        /// The log above the watermark.
        entries: Vec<Arc<Entry>>,
        /// All up to here is durable at every member above the receiver.
        durable: u64,
    },
    /// Down the chain: the next entries.
    Append {
        /// The entries, in order.
        entries: Vec<Arc<Entry>>,
        /// All up to here is durable at every member above the receiver.
        durable: u64,
    },
    /// Down the chain: all up to here is durable at every member above the receiver.
    Durable {
        /// The last such entry.
        up_to: u64,
    },
    /// Up the chain: all up to here is committed.
    Watermark {
        /// The last such entry.
        up_to: u64,
    },
    /// Coordinator to head: do this once.
    Write {
        /// Names the write; a copy carries the same id.
        id: OpId,
        /// Which copy of the write this is, from 1 on: so that each refusal is counted once.
        copy: u32,
        /// The lowest counter that the coordinator still awaits in this partition.
        floor: u64,
        /// The key.
        key: Bytes,
        /// What to do.
        operation: Operation,
    },
    /// Tail to coordinator: committed.
    WriteDone {
        /// The write.
        id: OpId,
        /// Its place in the log.
        version: Version,
        /// The outcome.
        reply: Reply,
    },
    /// To coordinator: this copy of the write was not taken and never will be.
    WriteRefused {
        /// The write.
        id: OpId,
        /// The copy that was refused.
        copy: u32,
        /// Why.
        refusal: Refusal,
    },
    /// To coordinator: whether this write was done is no longer known here; it will not be done now.
    WriteForgotten {
        /// The write.
        id: OpId,
    },
    /// Coordinator to any member.
    Read {
        /// Names the question to its coordinator.
        id: u64,
        /// The question.
        query: Query,
    },
    /// Member to coordinator.
    ReadDone {
        /// The question.
        id: u64,
        /// The answer.
        reading: Reading,
    },
    /// Member to coordinator: ask somebody else.
    ReadRefused {
        /// The question.
        id: u64,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The receiver does not serve the partition, or not in the epoch or role that the sender assumed.
    NotServing,
    /// A member of the chain cannot be reached, so that a write could not commit.
    ChainBroken,
    /// No member that could answer can be reached. Only a coordinator says so, of its own request.
    Unreachable,
    /// The receiver has as much unfinished work as it takes.
    Overloaded,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotServing => "the chain of this key is not formed yet",
            Self::ChainBroken => "a member of this key's chain cannot be reached",
            Self::Unreachable => "no node that could answer for this key can be reached",
            Self::Overloaded => "the members of this key's chain are overloaded",
        })
    }
}
