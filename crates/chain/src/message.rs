//! What nodes say to each other about a partition.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_topology::{Epoch, Member, PartitionId};

use crate::{Base, CopyPage, Entry, OpId, Operation, Query, Reading, Reply, Version};

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

impl Envelope {
    /// What the receiver says back, in the same epoch.
    #[must_use]
    pub fn answer(&self, message: Message) -> Self {
        Self { partition: self.partition, epoch: self.epoch, from: self.to, to: self.from, message }
    }
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Head of a new form to its members: tell me what you hold, once you have stopped what went before.
    Gather,
    /// Member to head of a new form: everything before this epoch is stopped, durably; here is what I hold.
    Sealed {
        /// All up to here is known to be committed.
        watermark: u64,
        /// The last entry of the member's log.
        end: u64,
    },
    /// Head of a new form to a member: your log lacks what was committed.
    Lacking {
        /// All up to here is committed.
        watermark: u64,
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
    /// Joiner to tail: attach me.
    Join {
        /// The attachment that the joiner has, if any: so that a tail that knows it leaves it alone.
        attachment: Option<u64>,
        /// The last entry that the joiner knows to be committed; none if it has nothing at all.
        held: Option<Version>,
    },
    /// Tail to joiner: an attachment begins. All that is said in it carries its number.
    Attach {
        /// Rises with each attachment, through epochs too.
        attachment: u64,
        /// Whether the data is copied as a whole, because the log does not reach back.
        is_copy: bool,
    },
    /// Tail to joiner: the next entries.
    Ship {
        /// The attachment.
        attachment: u64,
        /// The entries, in order.
        entries: Vec<Arc<Entry>>,
        /// All up to here is committed.
        watermark: u64,
    },
    /// Joiner to tail: all up to here is durable.
    Stored {
        /// The attachment.
        attachment: u64,
        /// The last such entry.
        up_to: u64,
    },
    /// Tail to joiner: a page of the data.
    Page {
        /// The attachment.
        attachment: u64,
        /// The page.
        page: Arc<CopyPage>,
        /// What the log had come to at the end of the copy; with the last page only.
        base: Option<Arc<Base>>,
    },
    /// Joiner to tail: the page is in the data.
    PageStored {
        /// The attachment.
        attachment: u64,
        /// The page's number.
        number: u32,
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
    /// The receiver has no valid lease: it may have been replaced without knowing.
    NoLease,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotServing => "the chain of this key is not formed yet",
            Self::ChainBroken => "a member of this key's chain cannot be reached",
            Self::Unreachable => "no node that could answer for this key can be reached",
            Self::Overloaded => "the members of this key's chain are overloaded",
            Self::NoLease => {
                "this node has no lease: it stood still, or cannot reach a majority of the voters"
            }
        })
    }
}
