//! The control group: a few voters that decide, in one order, how the ring changes.
//!
//! A node is up or down, a chain has this form or that: somebody must decide it once for all. The voters keep one log
//! of [`Command`](simpledynamo_topology::Command)s by Raft, and applying them gives every member the same
//! [`Topology`](simpledynamo_topology::Topology). None of the data passes through here, so that the traffic is light:
//! heartbeats, and a few commands when something changes.
//!
//! [`ControlGroup`] is a node's part in it. A node
//!
//! - opens it on a folder of its own, with a [`Transport`] that carries requests to other nodes, and passes what
//!   arrives from them to [`ControlGroup::handle`];
//! - if it is in no group yet, asks the others who they are, and does what [`Formation`] says;
//! - watches [`ControlGroup::topology`], and proposes changes with [`ControlGroup::propose`];
//! - watches [`ControlGroup::leadership`]: the leader's node is the controller, which grants leases, each after a
//!   round of [`ControlGroup::confirm`];
//! - watches [`ControlGroup::fatal`], and ends when there is something to see.
//!
//! # Who is who
//!
//! A member is a node with a store, a [`ControlId`]. A voter that lost its disk has forgotten what it voted for, and
//! comes back as another member: it is taken in as a learner, receives the log, and takes the place of the one that
//! it was ([`ControlGroup::admit`]). Each frame names its sender and its receiver, and what is meant for another is
//! refused.
//!
//! # Time
//!
//! A leader sends heartbeats; a voter that hears none for [`Options::election_max`] may vote for another, and one that
//! hears none for the time to an election longer than that stands for election. Clocks are not compared, and no
//! safety rests on any of these times: the leases of nodes are another matter, and have their own rules.
//!
//! A leader whose voters are gone still takes itself for the leader: [`ControlGroup::confirm`] tells. If no majority
//! answers it for three times [`Options::election_max`], it keeps silent for as long, lest a leader that is heard but
//! does not hear keep the others from electing another.
//!
//! # The store
//!
//! Votes and entries are synced before they count, by a thread of their own. Raft's task waits for its own entry to
//! be synced before it does anything else, heartbeats included: a disk that takes longer than
//! [`Options::election_max`] for a sync costs an election.
//!
//! # What is left out
//!
//! There is no pre-vote: a voter that was cut off comes back with a higher term, and may cost the leader an election.

mod error;
mod formation;
mod frame;
mod group;
mod id;
mod network;
mod options;
mod store;
mod transport;
mod types;

pub use error::{AdmitError, ControlError, InitialiseError, NotConfirmed, ProposeError};
pub use formation::{Announcement, Formation, Members, Step};
pub use frame::Refusal;
pub use group::{ControlGroup, Leadership, Role, Stopped};
pub use id::{ControlId, NoControlId};
pub use options::{Options, VOTERS_MAX};
pub use store::StoreError;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use store::fuzzing;
pub use transport::{Transport, TransportError};
