//! The stage: nodes, their disks, the links between them, and one clock.
//!
//! Nothing happens by itself. A message waits in its queue until it is delivered, a change to a log until it is
//! synced, a clean entry until it is applied, and time stands still until it is moved.

mod control;
mod display;
mod invariants;
mod machine;
mod network;

use bytes::Bytes;
use simpledynamo_chain::{
    Asked, Effects, Event, Limits, Message, Node, Now, Operation, Outcome, Part, Query, ReadFrom, Reading,
    Timing,
};
use simpledynamo_ring::{Ring, Token};
use simpledynamo_topology::{Command, Member, NodeId, PartitionId, Session, Void};

pub(crate) use control::Control;
pub(crate) use display::{show_node, show_reading};
pub(crate) use invariants::Checks;
pub(crate) use machine::Machine;
pub(crate) use network::{Network, Parcel};

/// Names in ring order, so that node 0 is the first of the first partition's preference list. That partition
/// holds most short keys in rings of up to three nodes.
const RING: [&str; 5] = ["5562", "5556", "5554", "5558", "5560"];

/// The wall clock when a run starts: far enough from 0 to look like a time.
const UNIX_START: u64 = 1_000_000;

pub(crate) const TIMING: Timing = Timing { operation: 2_000, read: 100, resend: 300, lease: 500 };

/// What became of a client's request.
pub(crate) struct Answer {
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) request: u64,
    pub(crate) outcome: Outcome,
}

pub(crate) struct Cluster {
    pub(crate) ring: Ring,
    pub(crate) machines: Vec<Machine>,
    pub(crate) network: Network,
    pub(crate) control: Control,
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
            control: Control::new(&ring),
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

    /// Switches a machine on, and has its registration decided at once.
    pub(crate) fn start(&mut self, index: usize) {
        self.boot(index);
        self.register(index);
    }

    /// Switches a machine on: what its disk holds becomes a node that has no session yet.
    pub(crate) fn boot(&mut self, index: usize) {
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

    /// The registration of the process as it stands now, under a new nonce.
    pub(crate) fn registration(&mut self, index: usize) -> Command {
        let machine = &mut self.machines[index];
        machine.registrations += 1;
        let (node, store, nonce) = (node_id(index), machine.store, machine.nonce());
        Command::Register { node, replaces: self.control.latest().session(node), store, nonce }
    }

    pub(crate) fn register(&mut self, index: usize) {
        let command = self.registration(index);
        self.commit(&command).ok();
    }

    /// Whether the process of a machine has a live session, as the control group has decided.
    pub(crate) fn session(&self, index: usize, version: u64) -> Session {
        let topology = self.control.at(version);
        let state = topology.node(node_id(index));
        let is_own = state.is_live && self.is_up(index) && state.nonce == self.machines[index].nonce();
        if is_own { state.session } else { Session(0) }
    }

    /// The session of a node has ended.
    pub(crate) fn down(&mut self, index: usize) -> Result<(), Void> {
        let member = Member { node: node_id(index), session: self.control.latest().session(node_id(index)) };
        let generation = self.control.generation();
        self.commit(&Command::Down { member, generation })
    }

    /// The control group decides something.
    pub(crate) fn commit(&mut self, command: &Command) -> Result<(), Void> {
        self.checks.before_commit(command, &self.control, &self.machines, self.millis);
        let before = self.control.latest().clone();
        let outcome = self.control.commit(command);
        self.describe_commit(command, outcome, &before);
        if outcome.is_ok() {
            self.checks.on_commit(command, &before, self.control.latest());
        }
        outcome
    }

    /// Decides what was proposed first; `false` if there is nothing.
    pub(crate) fn decide(&mut self) -> bool {
        let Some(command) = self.control.proposals.pop_front() else { return false };
        self.commit(&command).ok();
        true
    }

    /// Lets a node learn what the control group had decided at a version; `false` if it is no news.
    pub(crate) fn learn(&mut self, index: usize, version: u64) -> bool {
        let session = self.session(index, version);
        let Some(node) = &self.machines[index].node else { return false };
        if node.topology().version() >= version {
            return false;
        }
        if node.me().session != session {
            self.machines[index].leases.clear();
        }
        let topology = self.control.at(version);
        self.step(index, Event::Topology { topology, session });
        self.renew(index);
        true
    }

    /// Grants a node that has a session, and knows it, a lease of one term from now on.
    pub(crate) fn renew(&mut self, index: usize) {
        if self.machines[index].is_granted {
            self.grant(index, self.millis + TIMING.lease);
        }
    }

    pub(crate) fn grant(&mut self, index: usize, until: u64) -> bool {
        let version = self.control.version();
        let session = self.session(index, version);
        let known = self.machines[index].node.as_ref().map(|node| node.me().session);
        if session == Session(0) || known != Some(session) {
            return false;
        }
        self.machines[index].leases.push((until, version));
        self.step(index, Event::Lease { until, version });
        true
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
        self.network.connect(from, to);
    }

    /// Makes the link from one node to another anew, and both hear of it at once.
    pub(crate) fn connect_at_once(&mut self, from: usize, to: usize) {
        self.connect(from, to);
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
            Parcel::Up(_) => Event::LinkUp(node_id(from)),
            Parcel::Broken => Event::LinkDown(node_id(from)),
            Parcel::Message(envelope) => Event::Message(*envelope),
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

    /// Applies what comes next to the data of a machine.
    pub(crate) fn apply(&mut self, index: usize, count: usize) -> bool {
        let events = self.machines[index].apply(&self.ring, count);
        let were_any = !events.is_empty();
        for event in events {
            self.step(index, event);
        }
        were_any
    }

    /// Does what comes next of what a node wants to be read from its disk.
    pub(crate) fn read_disk(&mut self, index: usize) -> bool {
        let Some(event) = self.machines[index].read(&self.ring) else { return false };
        if let Some(event) = event {
            self.step(index, event);
        }
        true
    }

    /// Moves the clock; leases are renewed, and every node looks at the time.
    pub(crate) fn tick(&mut self, millis: u64) {
        self.millis += millis;
        for index in 0..self.machines.len() {
            if self.is_up(index) {
                self.renew(index);
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
        let session = node.me().session;
        let request = node.write(now, Bytes::from(key.to_owned()), operation, &mut effects);
        machine.unflushed = effects;
        self.checks.on_write((index, self.machines[index].life, request), session);
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
        let request = match node.ask(now, partition, query.clone(), &machine.data, &mut effects) {
            Asked::Captured(reading) => {
                self.checks.on_reading(index, &query, &reading, &[]);
                let clock = self.clock_after_capture(index);
                let node = self.machines[index].node.as_ref().expect("it was up just now");
                if node.has_lease(clock) {
                    self.checks.on_answer(index, partition, clock, &self.machines, &self.control);
                    return Ok(reading);
                }
                let now = self.now(index);
                let node = self.machines[index].node.as_mut().expect("it was up just now");
                node.forward(now, partition, query.clone(), &mut effects)
            }
            Asked::Pending(request) => request,
        };
        self.checks.on_question((index, self.machines[index].life, request), query);
        self.machines[index].unflushed = effects;
        self.flush(index);
        Err(request)
    }

    /// The look at the clock that comes after a value was captured: the node may have stood still in between.
    fn clock_after_capture(&mut self, index: usize) -> u64 {
        self.millis += std::mem::take(&mut self.machines[index].stall);
        self.millis
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
        loop {
            let now = self.now(index);
            let machine = &mut self.machines[index];
            let Some(node) = machine.node.as_mut() else { return };
            node.flush(now, &machine.data, &mut machine.unflushed);
            if machine.unflushed.captured.is_empty() {
                break;
            }
            let clock = self.clock_after_capture(index);
            self.checks.on_release(index, clock, &self.machines, &self.control);
            let machine = &mut self.machines[index];
            let node = machine.node.as_mut().expect("it was up just now");
            let before = machine.unflushed.send.len();
            node.release(clock, &mut machine.unflushed);
            let mut released = machine.unflushed.send[before..].iter();
            let is_answered = released.any(|answer| matches!(answer.message, Message::ReadDone { .. }));
            let may_read = machine.node.as_ref().is_some_and(|node| machine.may_read(clock, node.topology()));
            assert!(may_read || !is_answered, "I7: node {index} answers without a lease");
        }
        let effects = std::mem::take(&mut self.machines[index].unflushed);
        self.absorb(index, effects);
    }

    fn absorb(&mut self, index: usize, mut effects: Effects) {
        self.describe(index, &effects);
        self.checks.on_effects(index, &effects, &self.machines, &self.control);
        self.machines[index].absorb(&mut effects);
        for envelope in effects.send {
            self.network.send(index, envelope.to.node.index(), Parcel::Message(Box::new(envelope)));
        }
        self.control.proposals.extend(effects.propose);
        self.checks.check(index, &self.machines, &self.control);
        let life = self.machines[index].life;
        for completion in effects.complete {
            self.checks.on_complete(index, &completion, &self.machines[index], &self.control);
            let (request, outcome) = (completion.request, completion.outcome);
            self.answers.push(Answer { node: index, life, request, outcome });
        }
    }

    /// Lets everything that is under way arrive, in rounds, until nothing is; time stands still. The number of
    /// rounds is bounded: a protocol that never comes to rest is broken.
    pub(crate) fn settle(&mut self) {
        for _ in 0..400 {
            let mut moved = self.carry_once();
            for index in 0..self.machines.len() {
                if self.is_up(index) {
                    moved |= self.sync(index, usize::MAX);
                    moved |= self.apply(index, usize::MAX);
                    moved |= self.read_disk(index);
                }
            }
            if !moved {
                return;
            }
        }
        panic!("the nodes talk for ever");
    }

    /// Delivers what is under way, decides what is proposed, and lets everybody learn it.
    pub(crate) fn carry_once(&mut self) -> bool {
        let mut moved = false;
        for (at, about) in self.network.newsworthy() {
            moved |= self.hear(at, about);
        }
        for (from, to) in self.network.busy() {
            while self.deliver(from, to) {
                moved = true;
            }
        }
        while self.decide() {
            moved = true;
        }
        for index in 0..self.machines.len() {
            moved |= self.learn(index, self.control.version());
        }
        moved
    }

    /// Lets time pass, in small steps, until whatever can happen has; who offers to start a partition may.
    pub(crate) fn rest(&mut self) {
        for _ in 0..40 {
            self.settle();
            self.tick(100);
            self.start_headless();
        }
        self.settle();
    }

    /// Has each partition of which no member lives started by who offers the most, as the controller does.
    pub(crate) fn start_headless(&mut self) {
        let topology = self.control.latest().clone();
        for partition in topology.partitions().filter(|&partition| topology.is_headless(partition)) {
            let epoch = topology.form(partition).expect("it had members").epoch;
            let nodes = self.machines.iter().filter_map(|machine| machine.node.as_ref());
            let offers = nodes.flat_map(|node| node.offers().into_iter().map(|offer| (offer, node.me())));
            let best = offers
                .filter(|(offer, _)| (offer.partition, offer.epoch) == (partition, epoch))
                .max_by_key(|(offer, _)| (offer.open, offer.end));
            if let Some((_, member)) = best {
                let generation = topology.generation();
                self.commit(&Command::Start { partition, epoch, member, generation }).ok();
            }
        }
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
