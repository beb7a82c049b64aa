//! What a step asks its driver to do.

use std::sync::Arc;

use simpledynamo_topology::{Command, Epoch, PartitionId};

use crate::{Counts, DataKey, Entry, Envelope, EpochHistory, Outcome, Record, Version, Writers};

/// What a step asks its driver to do. The driver carries out each list in its order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages, FIFO per receiver.
    pub send: Vec<Envelope>,
    /// Answers to reads whose value is captured: [`crate::Node::release`] sends them after a look at the clock.
    pub captured: Vec<Captured>,
    /// Changes to the log, to be made durable in this order and reported by count.
    pub persist: Vec<Persist>,
    /// What changes the data: in this order, and behind the changes to the log that came before.
    pub apply: Vec<Apply>,
    /// Requests of local clients that are answered.
    pub complete: Vec<Completion>,
    /// What the control group is asked to decide. Asked again until the topology shows it or makes it void.
    pub propose: Vec<Command>,
    /// Entries to be read from the log, for a joiner.
    pub fetch: Vec<Fetch>,
    /// Steps of copying this node's data to a joiner.
    pub copy: Vec<CopyStep>,
    /// Epochs that this node opened: for the log of events.
    pub opened: Vec<(PartitionId, Epoch)>,
    /// This node's log ends before what is known to be committed: it lost acknowledged writes, and must stop.
    pub damaged: Vec<Damaged>,
    /// Messages that were dropped, and why.
    pub ignored: Vec<Ignored>,
}

/// A log that ends before what is known to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The partition.
    pub partition: PartitionId,
    /// The last entry of the log.
    pub end: u64,
    /// All up to here was acknowledged.
    pub watermark: u64,
}

/// An answer to a read, to be sent if the lease is valid by a clock reading taken after the value was captured
/// (invariant I7).
#[derive(Debug)]
pub struct Captured {
    /// The answer.
    pub answer: Envelope,
}

/// A local client's request that is answered.
#[derive(Debug)]
pub struct Completion {
    /// The number that [`crate::Node`] gave the request.
    pub request: u64,
    /// The answer.
    pub outcome: Outcome,
}

/// Entries of a partition's log that are no longer in memory, to be read from the disk and given back as
/// [`crate::Event::Fetched`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The partition.
    pub partition: PartitionId,
    /// The attachment that they are for; comes back with them.
    pub attachment: u64,
    /// The first entry wanted.
    pub from: u64,
    /// The last entry wanted.
    pub to: u64,
    /// Stop after about this many bytes.
    pub bytes: usize,
    /// Which epoch each entry of the log is of: what the disk holds of another epoch was replaced.
    pub history: EpochHistory,
}

/// A step of copying a partition's data to a joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// Take a snapshot of the data, and read the first page.
    Begin {
        /// The partition.
        partition: PartitionId,
        /// The attachment that it is for; names the snapshot from now on.
        attachment: u64,
    },
    /// Read the next page of the snapshot.
    Next {
        /// The partition.
        partition: PartitionId,
        /// The attachment.
        attachment: u64,
    },
    /// The snapshot is not needed any more. Also said of one that ended by itself.
    End {
        /// The partition.
        partition: PartitionId,
        /// The attachment.
        attachment: u64,
    },
}

/// A change to the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apply {
    /// A clean entry.
    Entry(PartitionId, Arc<Entry>),
    /// A page of a full copy: its records replace all that the data holds of the partition in the page's range.
    Page {
        /// The partition.
        partition: PartitionId,
        /// The attachment that it came by; comes back with [`crate::Event::PageApplied`].
        attachment: u64,
        /// The page.
        page: Arc<CopyPage>,
    },
}

/// A page of a full copy. Together the pages of a copy are one consistent snapshot of a partition's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyPage {
    /// The place of the page in the copy, from 0 on.
    pub number: u32,
    /// The last key of the page before: this one covers what lies after it, in the order of data keys.
    pub after: Option<DataKey>,
    /// The records, in the order of their keys. The page covers all up to the last of them.
    pub records: Vec<(DataKey, Record)>,
    /// How far the snapshot had come. Given with the last page only, which covers all that is left.
    pub end: Option<Applied>,
}

/// A change to a node's log. Replaying them in order gives back each replica's durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Persist {
    /// The replica takes part in nothing before this epoch any more.
    Seal {
        /// The partition.
        partition: PartitionId,
        /// The epoch that is being formed.
        epoch: Epoch,
    },
    /// The replica opens an epoch: these entries replace all that the log holds above the watermark.
    Open {
        /// The partition.
        partition: PartitionId,
        /// The epoch that opens.
        epoch: Epoch,
        /// All up to here is committed.
        watermark: u64,
        /// The log above it.
        entries: Vec<Arc<Entry>>,
    },
    /// The next entry of a partition's log.
    Append {
        /// The partition.
        partition: PartitionId,
        /// The entry.
        entry: Arc<Entry>,
    },
    /// All up to here is committed. Nobody waits for this to be durable: a log that misses it only knows less.
    Watermark {
        /// The partition.
        partition: PartitionId,
        /// The last committed entry.
        up_to: u64,
    },
    /// The replica begins to join: what its log holds above the watermark may never have been committed, and goes.
    Cut {
        /// The partition.
        partition: PartitionId,
        /// The attachment that begins, so that this change is told from that of another one.
        attachment: u64,
        /// All up to here stays.
        watermark: u64,
    },
    /// The replica begins to be copied as a whole: until [`Persist::Installed`] it counts as empty.
    Reset {
        /// The partition.
        partition: PartitionId,
    },
    /// The data holds a whole copy: the log goes on from there.
    Installed {
        /// The partition.
        partition: PartitionId,
        /// The attachment that brought the copy.
        attachment: u64,
        /// What the copy's log had come to.
        base: Arc<Base>,
    },
}

/// What a log had come to at the entry up to which a full copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The last entry that the copy contains.
    pub last: Version,
    /// The writes up to there that can still be asked for again.
    pub writers: Writers,
}

impl Persist {
    /// Whether this must reach the disk before it is reported, whatever durability is configured.
    #[must_use]
    pub fn is_vital(&self) -> bool {
        match self {
            Self::Append { .. } | Self::Watermark { .. } => false,
            Self::Seal { .. }
            | Self::Open { .. }
            | Self::Cut { .. }
            | Self::Reset { .. }
            | Self::Installed { .. } => true,
        }
    }

    /// Whether the replica waits to hear that this is durable. Of a watermark nobody does.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !matches!(self, Self::Watermark { .. })
    }

    /// The partition that the change is about.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        match self {
            Self::Seal { partition, .. }
            | Self::Open { partition, .. }
            | Self::Append { partition, .. }
            | Self::Watermark { partition, .. }
            | Self::Cut { partition, .. }
            | Self::Reset { partition }
            | Self::Installed { partition, .. } => *partition,
        }
    }

    /// Bytes that this holds, roughly: for bounds on memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Append { entry, .. } => entry.weight(),
            Self::Open { entries, .. } => entries.iter().map(|entry| entry.weight()).sum(),
            _ => 0,
        }
    }
}

/// How far a partition's data has come; stored in one batch with the records themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// All entries up to here are in the data.
    pub up_to: u64,
    /// What the data then holds.
    pub counts: Counts,
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// It is of an epoch before the receiver's.
    StaleEpoch,
    /// It is of an epoch that the receiver has not heard of.
    FutureEpoch,
    /// The sender speaks in a session that is not its present one.
    SenderSession,
    /// It was meant for another session of the receiver.
    ReceiverSession,
    /// The receiver's part in the chain does not allow it.
    WrongRole,
    /// It repeats what is known.
    Duplicate,
    /// It skips entries that the receiver does not have.
    Gap,
    /// It answers a request that is no longer awaited.
    NotAwaited,
    /// It belongs to another attachment of a joiner.
    OtherAttachment,
}

impl Ignored {
    /// The reason's name, for counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StaleEpoch => "stale_epoch",
            Self::FutureEpoch => "future_epoch",
            Self::SenderSession => "sender_session",
            Self::ReceiverSession => "receiver_session",
            Self::WrongRole => "wrong_role",
            Self::Duplicate => "duplicate",
            Self::Gap => "gap",
            Self::NotAwaited => "not_awaited",
            Self::OtherAttachment => "other_attachment",
        }
    }
}
