//! How a process gets its session.

use simpledynamo_chain::Millis;
use simpledynamo_topology::{Command, NodeId, Session, StoreId, Topology};

/// From proposing a registration to proposing it again.
const AGAIN: Millis = 200;

/// How long a node waits that was declared down, the first time and at most.
const REST: (Millis, Millis) = (50, 1_000);

/// How a process gets its session: it records the registration on its store, proposes it, and waits until the topology
/// shows it.
#[derive(Clone, Debug)]
pub(crate) struct Registrar {
    store: StoreId,
    /// What this process drew for its registrations.
    nonces: Vec<(Session, u64)>,
    next: Millis,
    rest: Millis,
    had_session: Session,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// Record this registration, then propose it.
    Register(Session, u64, Command),
    /// The store is an old copy of itself: it counts as empty.
    Empty,
}

impl Registrar {
    pub(crate) fn new(store: StoreId) -> Self {
        Self { store, nonces: Vec::new(), next: 0, rest: REST.0, had_session: Session(0) }
    }

    /// This process's live session; 0 if it has none.
    pub(crate) fn session(&self, node: NodeId, topology: &Topology) -> Session {
        let state = topology.node(node);
        let is_own = self.nonces.contains(&(state.session, state.nonce));
        if state.is_live && state.store == self.store && is_own { state.session } else { Session(0) }
    }

    pub(crate) fn tick(
        &mut self,
        now: Millis,
        node: NodeId,
        topology: &Topology,
        knows: impl Fn(Session, u64) -> bool,
        draw: impl FnOnce() -> u64,
    ) -> Step {
        let state = topology.node(node);
        let session = self.session(node, topology);
        if session != Session(0) {
            self.had_session = session;
            return Step::Nothing;
        }
        if self.had_session != Session(0) {
            self.had_session = Session(0);
            self.next = now + self.rest;
            self.rest = (self.rest * 2).min(REST.1);
        }
        if state.store == self.store && state.session > Session(0) && !knows(state.session, state.nonce) {
            return Step::Empty;
        }
        if now < self.next || (state.is_live && state.store != self.store) {
            return Step::Nothing;
        }
        self.next = now + AGAIN;
        let next = Session(state.session.0 + 1);
        let known = self.nonces.iter().find(|(session, _)| *session == next);
        let nonce = known.map_or_else(draw, |(_, nonce)| *nonce);
        if known.is_none() {
            self.nonces.push((next, nonce));
        }
        let register = Command::Register { node, replaces: state.session, store: self.store, nonce };
        Step::Register(next, nonce, register)
    }
}
