//! The servers that clients talk to, and what all clients of a run share.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use simpledynamo_node::config::Password;
use simpledynamo_ring::Ring;

use crate::clock::Clock;
use crate::log::Log;

/// One server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// The node's name, or the address of a server that has none.
    pub(crate) name: Arc<str>,
    pub(crate) address: String,
}

/// What all clients of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) servers: Vec<Server>,
    pub(crate) password: Option<Password>,
    /// Where keys live, if that is known.
    pub(crate) ring: Option<Ring>,
    pub(crate) log: RefCell<Log>,
    /// Operations that were answered so far.
    pub(crate) answered: Cell<u64>,
}
