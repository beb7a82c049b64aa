//! Who is in the ring, and which members serve each partition in which epoch.
//!
//! A [`Topology`] is a value that changes by [`Command`]s alone: the control group keeps them in one log, and
//! applying the same commands in the same order gives the same topology on every node. Each partition has a
//! [`Chain`], and the present [`Form`] of that chain names its members, head to tail, each with the session it
//! serves under. A changed chain is a new form under a higher [`Epoch`]; there is one form per partition and epoch
//! (invariant I1).
//!
//! How a chain's form follows from the commands:
//!
//! - The first form is the whole preference list, once each of its nodes has a live session.
//! - A session that ends (`Down`, or the node registers anew) leaves the chain. The last member stays listed when it
//!   dies: so it is known who may start the partition again.
//! - `Synced` makes a joiner the tail. Whoever of the preference list lives and is no member is a joiner.
//! - `Opened` says that an epoch serves. When all of the preference list do, one more form puts them in ring order.
//! - `Start` begins a partition of whose form no session lives. Only a node may that certainly has all that was
//!   committed ([`Chain::eligible`]).

mod command;
mod form;
mod topology;

pub use command::{Command, StoreId};
pub use form::{Epoch, Form, Generation, Member, NodeId, PartitionId, Session};
pub use topology::{Chain, NodeState, State, Topology, Void};
