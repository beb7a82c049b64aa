//! Leases, and the controller that grants them.
//!
//! A node may serve reads only while it holds a lease (Gray and Cheriton, SOSP 1989). It asks for one again and
//! again: a [`Renewal`] goes to all voters, and the one that leads the control group, the *controller*, answers with
//! a [`Grant`]. The three parts here are pure; whoever drives them has the clock and the control group.
//!
//! - [`Renewer`], on every node: when to ask, and until when a grant is good, counted from when it was *asked for*.
//! - [`Lease`], in the node's core: whether reads may be answered now, given the topology that is known.
//! - [`Controller`], on every voter: when to grant, and when a session has ended for certain.
//!
//! Why a node that still serves is never declared down: all rules lean to the safe side. The node counts its lease
//! from before it asked, the controller counts from after it granted; both allow for clocks that run apart by
//! [`LeaseTerms::drift_ppm`]. The controller grants only after a quorum round that began after the renewal came, so
//! a controller that was replaced meanwhile grants nothing; and a new one waits a whole term before it declares
//! anybody down, so that whatever its predecessor granted has run out.

mod controller;
mod lease;
mod renewer;

pub use controller::{Controller, Decisions, Leadership};
pub use lease::{Lease, LeaseTerms};
pub use renewer::Renewer;

use serde::{Deserialize, Serialize};
use simpledynamo_topology::{Epoch, Member, NodeId, PartitionId};

/// A node asks for its lease to be renewed, and says what the controller has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The node in its present session.
    pub member: Member,
    /// Names the renewal to the node.
    pub number: u64,
    /// The partitions that the node could start.
    pub offers: Vec<Offer>,
    /// The members that hold up a chain, as far as the node can tell.
    pub suspects: Vec<Suspect>,
}

/// The answer to a [`Renewal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose lease it is.
    pub member: Member,
    /// The renewal that is granted.
    pub number: u64,
    /// The lease may be used by who has applied the control log up to here.
    pub version: u64,
}

/// A node that holds all that was committed offers to start a partition of whose form no session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The partition.
    pub partition: PartitionId,
    /// The form that would be replaced.
    pub epoch: Epoch,
    /// The epoch that the node opened last.
    pub open: Epoch,
    /// The last entry of its log, which is durable.
    pub end: u64,
}

/// A member whose receipts, own sync or seal have stood still for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Suspect {
    /// The partition.
    pub partition: PartitionId,
    /// The form in which it stands still.
    pub epoch: Epoch,
    /// The node that is suspected.
    pub node: NodeId,
}
