//! What a step asks its driver to do.

use std::sync::Arc;

use simpledynamo_topology::{Epoch, Form, NodeId, PartitionId, Session};

use crate::{Counts, Entry, Envelope, Outcome};

/// What a step asks its driver to do. The driver carries out each list in its order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages, FIFO per receiver.
    pub send: Vec<Envelope>,
    /// Changes to the log, to be made durable in this order and reported by count.
    pub persist: Vec<Persist>,
    /// Clean entries, to be applied to the data in this order.
    pub apply: Vec<(PartitionId, Arc<Entry>)>,
    /// Requests of local clients that are answered.
    pub complete: Vec<Completion>,
    /// Forms to be told to other nodes.
    pub forms: Vec<(NodeId, Form)>,
    /// Epochs that this node opened: for the log of events.
    pub opened: Vec<(PartitionId, Epoch)>,
    /// Members whose log ends before what is known to be committed, as `(partition, node, end, watermark)`:
    /// they lost acknowledged writes, and their partition must not open with them.
    pub damaged: Vec<(PartitionId, NodeId, u64, u64)>,
    /// Messages that were dropped, and why.
    pub ignored: Vec<Ignored>,
}

/// A local client's request that is answered.
#[derive(Debug)]
pub struct Completion {
    /// The number that [`crate::Node`] gave the request.
    pub request: u64,
    /// The answer.
    pub outcome: Outcome,
}

/// A change to a node's log. Replaying them in order gives back each replica's durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Persist {
    /// The node begins this session.
    Session(Session),
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
}

impl Persist {
    /// Whether this must reach the disk before it is reported, whatever durability is configured.
    #[must_use]
    pub fn is_vital(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Seal { .. } | Self::Open { .. })
    }

    /// Bytes that this holds, roughly: for bounds on memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Append { entry, .. } => entry.weight(),
            Self::Open { entries, .. } => entries.iter().map(|entry| entry.weight()).sum(),
            Self::Session(_) | Self::Seal { .. } | Self::Watermark { .. } => 0,
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
        }
    }
}
