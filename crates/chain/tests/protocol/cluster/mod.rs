//! The stage: nodes, their disks, the links between them, and one clock.
//!
//! Nothing happens by itself. A message waits in its queue until it is delivered, a change to a log until it is
//! synced, a clean entry until it is applied, and time stands still until it is moved.

mod display;
mod invariants;
mod machine;
mod network;

use bytes::Bytes;
use simpledynamo_chain::{
    Asked, Effects, Event, Limits, Node, Now, Operation, Outcome, Part, Query, ReadFrom, Reading, Timing,
};
use simpledynamo_ring::{Ring, Token};
use simpledynamo_topology::{NodeId, PartitionId};

pub(crate) use display::{show_node, show_reading};
pub(crate) use invariants::Checks;
pub(crate) use machine::Machine;
pub(crate) use network::{Network, Parcel};

/// Names in ring order, so that node 0 is the first of the first partition's preference list. That partition
/// holds most short keys in rings of up to three nodes.
const RING: [&str; 5] = ["5562", "5556", "5554", "5558", "5560"];

/// The wall clock when a run starts: far enough from 0 to look like a time.
const UNIX_START: u64 = 1_000_000;

pub(crate) const TIMING: Timing = Timing { operation: 2_000, read: 100, resend: 300 };

/// What became of a client's request.
pub(crate) struct Answer {
    pub(crate) node: usize,
    pub(crate) session: u64,
    pub(crate) request: u64,
    pub(crate) outcome: Outcome,
}

pub(crate) struct Cluster {
    pub(crate) ring: Ring,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: Network,
    pub(crate) millis: u64,
    pub(crate) read_from: ReadFrom,
    /// Requests answered since somebody last looked.
    pub(crate) answers: Vec<Answer>,
    /// What happened, for people; only kept if wanted.
    pub(crate) trace: Option<Vec<(Option<PartitionId>, String)>>,
    pub(crate) checks: Checks,
}

impl Cluster {
    /// Machines that are all still off.
    pub(crate) fn new(nodes: usize) -> Self {
        let ring = Ring::new(&RING[..nodes], nodes.min(3)).expect("the names differ");
        Self {
            machines: (0..nodes).map(|index| Machine::new(node_id(index))).collect(),
            network: Network::default(),
            millis: 0,
            read_from: ReadFrom::Any,
            answers: Vec::new(),
            trace: None,
            checks: Checks::new(&ring),
            ring,
        }
    }

    pub(crate) fn partition_of(&self, key: &[u8]) -> PartitionId {
        PartitionId(u16::try_from(self.ring.partition_of(Token::of(key))).expect("a small ring"))
    }

    pub(crate) fn now(&self, node: usize) -> Now {
        Now { millis: self.millis, unix: UNIX_START + self.millis + self.machines[node].skew }
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.machines[node].node.is_some()
    }

    pub(crate) fn say(&mut self, partition: Option<PartitionId>, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push((partition, line()));
        }
    }

    /// Switches a machine on: what its disk holds becomes a node in the next session.
    pub(crate) fn start(&mut self, index: usize) {
        let now = self.now(index);
        let mut effects = Effects::default();
        let setup =
            self.machines[index].recover(&self.ring, Limits { max_value: 1 << 20 }, TIMING, self.read_from);
        let mut node = Node::new(setup, &mut effects);
        node.flush(now, &self.machines[index].data, &mut effects);
        self.machines[index].node = Some(node);
        self.checks.on_start(index, &self.machines[index]);
        self.absorb(index, effects);
    }

    /// Switches a machine off. Of what was asked to be made durable, the first `kept` changes still are; the
    /// data falls back to what was last flushed if `data_lost`.
    pub(crate) fn crash(&mut self, index: usize, kept: usize, data_lost: bool) {
        for persist in self.machines[index].crash(kept, data_lost) {
            self.checks.on_durable(index, &persist);
        }
        self.checks.on_crash(index, &self.machines);
        for other in 0..self.machines.len() {
            self.network.cut(index, other);
            self.network.cut(other, index);
        }
        self.network.forget(index);
    }

    /// Makes the link from one node to another anew; its sender hears of it in its own time.
    pub(crate) fn connect(&mut self, from: usize, to: usize) {
        let (sender, receiver) = (self.machines[from].member(), self.machines[to].member());
        self.network.connect((from, sender), (to, receiver));
    }

    /// Makes the link from one node to another anew, and both hear of it at once.
    pub(crate) fn connect_at_once(&mut self, from: usize, to: usize) {
        self.connect(from, to);
        self.deliver(from, to);
        while self.hear(from, to) {}
    }

    /// Breaks the link from one node to another, and its sender hears of it at once.
    pub(crate) fn cut_at_once(&mut self, from: usize, to: usize) {
        self.network.cut(from, to);
        while self.hear(from, to) {}
    }

    /// Delivers the next parcel of a queue; `false` if there is none.
    pub(crate) fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(parcel) = self.network.take(from, to) else { return false };
        self.hand_over(from, to, parcel);
        true
    }

    /// Lets a node hear the next about its own link to another; `false` if there is nothing.
    pub(crate) fn hear(&mut self, at: usize, about: usize) -> bool {
        let Some(parcel) = self.network.take_news(at, about) else { return false };
        self.hand_over(about, at, parcel);
        true
    }

    /// Hands a parcel to a node, wherever it comes from.
    pub(crate) fn hand_over(&mut self, from: usize, to: usize, parcel: Parcel) {
        if !self.is_up(to) {
            return;
        }
        let event = match parcel {
            Parcel::Hello(member) => Event::Heard(member),
            Parcel::Up(member, _) => Event::LinkUp(member),
            Parcel::Broken => Event::LinkDown(node_id(from)),
            Parcel::Form(form) => Event::Form(form),
            Parcel::Message(envelope) => Event::Message(envelope),
        };
        self.step(to, event);
    }

    /// Makes the next changes of a machine durable, and reports them together.
    pub(crate) fn sync(&mut self, index: usize, count: usize) -> bool {
        let persists = self.machines[index].sync(count);
        if persists.is_empty() {
            return false;
        }
        for persist in &persists {
            self.checks.on_durable(index, persist);
        }
        self.step(index, Event::Persisted(persists));
        true
    }

    /// Applies the next clean entries of a machine to its data.
    pub(crate) fn apply(&mut self, index: usize, count: usize) -> bool {
        let applied = self.machines[index].apply(count);
        if applied.is_empty() {
            return false;
        }
        self.step(index, Event::Applied(applied));
        true
    }

    /// Moves the clock and lets every node look at it.
    pub(crate) fn tick(&mut self, millis: u64) {
        self.millis += millis;
        for index in 0..self.machines.len() {
            if self.is_up(index) {
                self.step(index, Event::Tick);
            }
        }
    }

    /// A client of this node writes; the number of the request.
    pub(crate) fn write(&mut self, index: usize, key: &str, operation: Operation) -> u64 {
        let now = self.now(index);
        let machine = &mut self.machines[index];
        let node = machine.node.as_mut().expect("the client's node is up");
        let mut effects = std::mem::take(&mut machine.unflushed);
        let request = node.write(now, Bytes::from(key.to_owned()), operation, &mut effects);
        machine.unflushed = effects;
        self.flush(index);
        request
    }

    /// A client of this node asks for a key: `Ok` is the answer, `Err` the number of the request.
    pub(crate) fn read(&mut self, index: usize, key: &str) -> Result<Reading, u64> {
        let query = Query::Get { key: Bytes::from(key.to_owned()), part: Part::Value };
        self.ask(index, self.partition_of(key.as_bytes()), query)
    }

    /// A client of this node asks something of a partition.
    pub(crate) fn ask(&mut self, index: usize, partition: PartitionId, query: Query) -> Result<Reading, u64> {
        // Replies refer to all that has happened so far, so what is not told yet is told first.
        self.flush(index);
        let now = self.now(index);
        let machine = &mut self.machines[index];
        let node = machine.node.as_mut().expect("the client's node is up");
        let mut effects = Effects::default();
        match node.ask(now, partition, query.clone(), &machine.data, &mut effects) {
            Asked::Answered(reading) => {
                self.checks.on_reading(index, &query, &reading, &[]);
                Ok(reading)
            }
            Asked::Pending(request) => {
                let session = self.machines[index].session;
                self.checks.on_question((index, session, request), query);
                self.machines[index].unflushed = effects;
                self.flush(index);
                Err(request)
            }
        }
    }

    pub(crate) fn step(&mut self, index: usize, event: Event) {
        self.step_unflushed(index, event);
        self.flush(index);
    }

    /// Lets a node take an event, and say later what follows from it.
    pub(crate) fn step_unflushed(&mut self, index: usize, event: Event) {
        let now = self.now(index);
        let machine = &mut self.machines[index];
        let node = machine.node.as_mut().expect("only nodes that are up take events");
        node.step(now, event, &machine.data, &mut machine.unflushed);
    }

    pub(crate) fn flush(&mut self, index: usize) {
        let now = self.now(index);
        let machine = &mut self.machines[index];
        let Some(node) = machine.node.as_mut() else { return };
        node.flush(now, &machine.data, &mut machine.unflushed);
        let effects = std::mem::take(&mut machine.unflushed);
        self.absorb(index, effects);
    }

    fn absorb(&mut self, index: usize, effects: Effects) {
        self.describe(index, &effects);
        self.checks.on_effects(index, &effects, &self.machines);
        let session = self.machines[index].session;
        self.machines[index].pending.extend(effects.persist);
        self.machines[index].unapplied.extend(effects.apply);
        for (to, form) in effects.forms {
            self.network.send(index, to.index(), Parcel::Form(form));
        }
        for envelope in effects.send {
            self.network.send(index, envelope.to.node.index(), Parcel::Message(envelope));
        }
        for completion in effects.complete {
            let (request, outcome) = (completion.request, completion.outcome);
            self.answers.push(Answer { node: index, session, request, outcome });
        }
        self.checks.check(index, &self.machines);
    }

    /// Lets everything that is under way arrive, in rounds, until nothing is; time stands still. The number of
    /// rounds is bounded: a protocol that never comes to rest is broken.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            let mut moved = false;
            for (at, about) in self.network.newsworthy() {
                moved |= self.hear(at, about);
            }
            for (from, to) in self.network.busy() {
                while self.deliver(from, to) {
                    moved = true;
                }
            }
            for index in 0..self.machines.len() {
                if self.is_up(index) {
                    moved |= self.sync(index, usize::MAX);
                    moved |= self.apply(index, usize::MAX);
                }
            }
            if !moved {
                return;
            }
        }
        panic!("the nodes talk for ever");
    }

    /// The links that could be made: both ends are up.
    pub(crate) fn pairs(&self) -> Vec<(usize, usize)> {
        let nodes = self.machines.len();
        let all = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
        all.filter(|&(from, to)| from != to && self.is_up(from) && self.is_up(to)).collect()
    }
}

pub(crate) fn node_id(index: usize) -> NodeId {
    NodeId(u16::try_from(index).expect("a small ring"))
}
