//! The servers that clients talk to, and what all clients of a run share.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use simpledynamo_node::config::Password;
use simpledynamo_ring::{Ring, Token};
use tokio::time::Instant;

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
    /// Until when clients keep away from each server, as those of one program would that share what they know.
    avoided_until: RefCell<Vec<Option<Instant>>>,
}

/// How long clients keep away from a server that could not be reached, or could not do what it was asked.
const AVOIDANCE: Duration = Duration::from_secs(1);

/// The names of the nodes that keep a key, head to tail, as the configuration has it.
pub(crate) fn keepers<'a>(ring: &'a Ring, key: &[u8]) -> impl Iterator<Item = &'a str> {
    let partition = &ring.partitions()[ring.partition_of(Token::of(key))];
    partition.preference.iter().map(|&keeper| ring.names()[keeper].as_str())
}

impl Shared {
    /// Nothing was asked yet.
    pub(crate) fn new(
        servers: Vec<Server>,
        password: Option<Password>,
        ring: Option<Ring>,
        log: Log,
    ) -> Self {
        let avoided_until = RefCell::new(vec![None; servers.len()]);
        let (clock, log) = (Clock::start(), RefCell::new(log));
        Self { clock, servers, password, ring, log, answered: Cell::new(0), avoided_until }
    }

    /// Clients keep away from a server for a while.
    pub(crate) fn avoid(&self, server: usize) {
        self.avoided_until.borrow_mut()[server] = Some(Instant::now() + AVOIDANCE);
    }

    /// The server, or the next one that is not avoided; itself if all are.
    pub(crate) fn near(&self, server: usize) -> usize {
        let now = Instant::now();
        let count = self.servers.len();
        let avoided_until = self.avoided_until.borrow();
        let is_fine = |server: &usize| avoided_until[*server].is_none_or(|until| until <= now);
        (0..count).map(|step| (server + step) % count).find(is_fine).unwrap_or(server)
    }
}
