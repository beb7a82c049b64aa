//! What the control group decides: the entries of its log.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Epoch, Generation, Member, NodeId, PartitionId, Session};

/// The number drawn when a store was created: another number means that it is another store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for StoreId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u128::from_str_radix(&digits, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A change of the ring. One log of them, in one order, makes the [`crate::Topology`].
///
/// Each command says what it takes for granted; it is void if that no longer holds when its turn comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A process begins a session of its node.
    Register {
        /// The node.
        node: NodeId,
        /// The node's session before, which ends with this: 0 if it never had one.
        replaces: Session,
        /// The store that the process has locked, which proves that no other process of it lives.
        store: StoreId,
        /// Drawn by the process for this registration, so that it knows its own from a twin's.
        nonce: u64,
    },
    /// A voter has been elected and begins to act as the controller.
    ControllerUp {
        /// The voter.
        node: NodeId,
        /// Drawn for this activation.
        nonce: u64,
    },
    /// A session has ended: its lease is over for certain, or it was surrendered.
    Down {
        /// The node in the session that ended.
        member: Member,
        /// The controller that says so.
        generation: Generation,
    },
    /// The head of a form has heard that all members have stopped what went before: the epoch begins.
    Opened {
        /// The partition.
        partition: PartitionId,
        /// The epoch.
        epoch: Epoch,
        /// The head.
        head: Member,
    },
    /// A partition of whose form no session lives is begun by one who has all that was committed.
    Start {
        /// The partition.
        partition: PartitionId,
        /// The form that this replaces.
        epoch: Epoch,
        /// Who begins it.
        member: Member,
        /// The controller that chose it.
        generation: Generation,
    },
    /// A joiner holds all that is committed, and from now on nothing is committed without it.
    Synced {
        /// The partition.
        partition: PartitionId,
        /// The epoch whose tail says so.
        epoch: Epoch,
        /// The joiner.
        member: Member,
    },
}
