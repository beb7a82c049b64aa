//! The control thread: the control group, leases, and who this node is in the ring.
//!
//! It has a runtime and connections of its own, so that neither a large value nor a slow disk nor a busy data thread
//! delays a lease. The data thread hears from it by [`FromControl`], and talks to it by a [`ControlHandle`].
//!
//! | module | subject |
//! |---|---|
//! | `accept` | the peers' port |
//! | `links` | requests and messages between control threads |
//! | `message` | what is said there |
//! | `registration` | when this process begins a session |
//! | `membership` | how this node gets into the control group |
//! | `old_copy` | whether the store is an old copy of itself |
//! | `driver` | the loop that drives the rest: registration, the renewer, the controller |

mod accept;
mod driver;
mod handle;
mod links;
mod membership;
mod message;
mod old_copy;
mod registration;
mod start;
mod status;

pub(crate) use handle::{ControlHandle, FromControl};
pub(crate) use start::{Setup, start};
pub(crate) use status::ControlStatus;
