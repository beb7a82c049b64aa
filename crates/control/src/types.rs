//! What openraft is told about our types. Nothing outside this crate sees any of it.

use serde::{Deserialize, Serialize};
use simpledynamo_topology::{Command, State, Void};

use crate::ControlId;

/// What applying an entry of the log came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Applied {
    /// The entry carried no command.
    Nothing,
    /// The topology has this version by the command.
    Changed(u64),
    /// The command changed nothing.
    Void(Void),
}

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Command,
        R = Applied,
        NodeId = ControlId,
        Node = openraft::EmptyNode,
        Entry = openraft::Entry<Types>,
        SnapshotData = State,
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<ControlId>;
pub(crate) type Vote = openraft::Vote<ControlId>;
pub(crate) type Membership = openraft::StoredMembership<ControlId, openraft::EmptyNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<ControlId, openraft::EmptyNode>;
pub(crate) type Snapshot = openraft::Snapshot<Types>;
pub(crate) type StorageError = openraft::StorageError<ControlId>;
