//! Who is in the ring, and which members serve each partition in which epoch.
//!
//! A [`Topology`] is a value that changes by [`Command`]s alone: applying the same commands in the same order
//! gives the same topology on every node. Each partition has a chain, and the present [`Form`] of that chain
//! names its members, head to tail, each with the session it serves under. A changed chain is a new form under
//! a higher [`Epoch`]; there is one form per partition and epoch (invariant I1).
//!
//! The membership is fixed by the configuration here: every chain consists of its whole preference list, and
//! the first node of that list numbers the forms of its partition. A form changes only because a member came
//! back under a new session.

mod form;
mod topology;

pub use form::{Epoch, Form, Member, NodeId, PartitionId, Session};
pub use topology::{Command, Topology};
