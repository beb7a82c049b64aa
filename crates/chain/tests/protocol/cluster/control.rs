//! The control group, played by one log: what nodes propose waits until it is committed, and each node learns the
//! outcome in its own time.

use std::collections::VecDeque;
use std::sync::Arc;

use simpledynamo_ring::Ring;
use simpledynamo_topology::{Command, Generation, NodeId, Topology, Void};

/// The log, as what each of its places led to.
pub(crate) struct Control {
    /// The topology at each version, from 0 on.
    history: Vec<Arc<Topology>>,
    /// What waits to be committed.
    pub(crate) proposals: VecDeque<Command>,
}

impl Control {
    /// A log in which somebody has begun to act as the controller.
    pub(crate) fn new(ring: &Ring) -> Self {
        let empty = Arc::new(Topology::new(Arc::new(ring.clone())));
        let mut control = Self { history: vec![empty], proposals: VecDeque::new() };
        control.commit(&Command::ControllerUp { node: NodeId(0), nonce: 0 }).expect("never void");
        control
    }

    pub(crate) fn latest(&self) -> &Arc<Topology> {
        self.history.last().expect("there is a first")
    }

    pub(crate) fn version(&self) -> u64 {
        self.latest().version()
    }

    pub(crate) fn generation(&self) -> Generation {
        self.latest().generation()
    }

    pub(crate) fn at(&self, version: u64) -> Arc<Topology> {
        Arc::clone(&self.history[usize::try_from(version).expect("short logs")])
    }

    pub(crate) fn commit(&mut self, command: &Command) -> Result<(), Void> {
        let mut next = Topology::clone(self.latest());
        let outcome = next.apply(self.version() + 1, command);
        self.history.push(Arc::new(next));
        outcome
    }
}
