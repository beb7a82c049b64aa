//! The core of real nodes, stepped by hand: links and disks that take no time, clocks that stand still.
//!
//! The loop is the one that drives a real node: what came is taken, then the core says what is to be said, and that is
//! carried out. Envelopes go from node to node as they are; what bytes cost is measured apart.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::{
    Applied, Apply, Asked, DataKey, Effects, Entry, Event, Limits, Node, Now, Operation, Outcome, Part,
    Query, ReadFrom, Reading, Record, Records, Setup, Timing,
};
use simpledynamo_ring::{Ring, Token};
use simpledynamo_topology::{Command, NodeId, PartitionId, Session, StoreId, Topology};

use crate::samples;

const NOW: Now = Now { millis: 1, unix: 1 };

/// Clocks stand still: none of these times is ever up.
const TIMING: Timing = Timing { operation: 10_000, read: 250, resend: 1_000, lease: 750 };

/// Room for all pairs that are used here.
const CACHE_BYTES: u64 = 48 << 20;

/// The partition that all keys are of.
const PARTITION: PartitionId = PartitionId(0);

/// A node's data: the pairs that were applied. Cheaper than a real one, as it is not what is measured.
#[derive(Default)]
struct Pairs(BTreeMap<DataKey, Record>);

impl Records for Pairs {
    fn get(&self, key: &DataKey) -> Option<Record> {
        self.0.get(key).cloned()
    }

    fn range(&self, _low: u64, _high: u64) -> Box<dyn Iterator<Item = (DataKey, Record)> + '_> {
        unreachable!("nobody asks for pages here")
    }
}

struct Process {
    node: Node,
    effects: Effects,
    pairs: Pairs,
    /// What came and was not taken yet.
    inbox: Vec<Event>,
}

/// A ring in which one partition is written and read through a node that does not keep it.
pub(crate) struct Nodes {
    processes: Vec<Process>,
    topology: Arc<Topology>,
    outcomes: Vec<Outcome>,
}

impl Nodes {
    /// A ring whose pairs are kept by so many nodes each, one node more than that at least.
    pub(crate) fn new(members: usize) -> Self {
        let names: Vec<String> = (0..5.max(members + 1)).map(|node| (5554 + 2 * node).to_string()).collect();
        let ring = Arc::new(Ring::new(&names, members).expect("names are unlike"));
        let mut nodes = Self {
            processes: (0..names.len()).map(|node| Process::new(&ring, NodeId::at(node))).collect(),
            topology: Arc::new(Topology::new(ring)),
            outcomes: Vec::new(),
        };
        nodes.form();
        nodes
    }

    /// Everybody comes, meets and gets a lease that lasts; chains form.
    fn form(&mut self) {
        self.decide(&Command::ControllerUp { node: NodeId(0), nonce: 0 });
        for node in 0..self.processes.len() {
            let (store, node) = (StoreId(node as u128), NodeId::at(node));
            self.decide(&Command::Register { node, replaces: Session(0), store, nonce: 0 });
        }
        let others: Vec<NodeId> = (0..self.processes.len()).map(NodeId::at).collect();
        for (at, process) in self.processes.iter_mut().enumerate() {
            let links = others.iter().filter(|other| other.index() != at).map(|other| Event::LinkUp(*other));
            process.inbox.extend(links);
            process.inbox.push(Event::Lease { until: u64::MAX, version: 0 });
        }
        self.run();
        assert!(self.processes.iter().all(|process| process.node.is_whole()), "all chains are open");
    }

    /// So many keys of the partition.
    pub(crate) fn keys(&self, count: u64) -> Vec<Bytes> {
        let is_of_it = |key: &Bytes| self.topology.ring().partition_of(Token::of(key)) == PARTITION.index();
        (0..).map(samples::key).filter(is_of_it).take(count as usize).collect()
    }

    /// The last node, which does not keep the partition, is asked for a write.
    pub(crate) fn write(&mut self, key: Bytes, operation: Operation) {
        let Process { node, effects, .. } = self.processes.last_mut().expect("there are nodes");
        node.write(NOW, key, operation, effects);
    }

    /// Reads a key at a member of its chain, which answers by itself.
    pub(crate) fn read_own(&mut self, key: Bytes) -> Reading {
        let Process { node, effects, pairs, .. } = &mut self.processes[PARTITION.index()];
        let asked = node.read(NOW, Query::Get { key, part: Part::Value }, pairs, effects);
        assert!(node.has_lease(NOW.millis), "the lease lasts");
        match asked {
            Asked::Captured(reading) => reading,
            Asked::Pending(_) => panic!("a member with a lease answers what is clean"),
        }
    }

    /// Reads a key at a node that has to ask a member of its chain.
    pub(crate) fn read_asked(&mut self, key: Bytes) -> Reading {
        let Process { node, effects, pairs, .. } = self.processes.last_mut().expect("there are nodes");
        let asked = node.read(NOW, Query::Get { key, part: Part::Value }, pairs, effects);
        assert!(matches!(asked, Asked::Pending(_)), "the last node does not keep the partition");
        match self.run().pop() {
            Some(Outcome::Read(reading)) => reading,
            other => panic!("a member answers, not: {other:?}"),
        }
    }

    /// Lets all nodes work until nothing is left to do, and returns what clients are answered.
    pub(crate) fn run(&mut self) -> Vec<Outcome> {
        loop {
            let mut is_quiet = true;
            for at in 0..self.processes.len() {
                is_quiet &= !self.turn(at);
            }
            if is_quiet {
                return mem::take(&mut self.outcomes);
            }
        }
    }

    /// One turn of a node's event loop. Returns whether there was anything to do.
    fn turn(&mut self, at: usize) -> bool {
        let process = &mut self.processes[at];
        let Process { node, effects, pairs, inbox } = process;
        // A request that was begun between turns has something to say already.
        if inbox.is_empty() && effects.send.is_empty() {
            return false;
        }
        for event in mem::take(inbox) {
            node.step(NOW, event, pairs, effects);
        }
        loop {
            node.flush(NOW, pairs, effects);
            if !node.release(NOW.millis, effects) {
                break;
            }
        }
        let mut effects = mem::take(effects);
        assert!(effects.ignored.is_empty(), "nothing is lost or late here: {:?}", effects.ignored);
        if !effects.persist.is_empty() {
            inbox.push(Event::Persisted(mem::take(&mut effects.persist)));
        }
        if !effects.apply.is_empty() {
            inbox.push(Event::Applied(pairs.apply(&effects.apply)));
        }
        for envelope in effects.send {
            let to = envelope.to.node.index();
            self.processes[to].inbox.push(Event::Message(envelope));
        }
        for command in effects.propose {
            self.decide(&command);
        }
        self.outcomes.extend(effects.complete.into_iter().map(|completion| completion.outcome));
        true
    }

    /// The control group decides at once, and everybody hears of it. What was decided before is void.
    fn decide(&mut self, command: &Command) {
        let mut next = Topology::clone(&self.topology);
        let _void = next.apply(self.topology.version() + 1, command);
        self.topology = Arc::new(next);
        for (node, process) in self.processes.iter_mut().enumerate() {
            let session = self.topology.session(NodeId::at(node));
            process.inbox.push(Event::Topology { topology: Arc::clone(&self.topology), session });
        }
    }
}

impl Process {
    fn new(ring: &Arc<Ring>, node: NodeId) -> Self {
        let mut effects = Effects::default();
        let setup = Setup {
            ring: Arc::clone(ring),
            node,
            limits: Limits { max_value: 8 << 20 },
            cache_bytes: CACHE_BYTES,
            timing: TIMING,
            read_from: ReadFrom::Any,
            replicas: BTreeMap::new(),
            applied: BTreeMap::new(),
        };
        let node = Node::new(setup, &mut effects);
        Self { node, effects, pairs: Pairs::default(), inbox: Vec::new() }
    }
}

impl Pairs {
    fn apply(&mut self, apply: &[Apply]) -> BTreeMap<PartitionId, Applied> {
        let mut applied = BTreeMap::new();
        for apply in apply {
            let Apply::Entry(partition, entry) = apply else { unreachable!("nobody has missed anything") };
            self.put(entry);
            // The counters are the store's own business.
            let up_to = Applied { up_to: entry.version.seq, ..Applied::default() };
            applied.insert(*partition, up_to);
        }
        applied
    }

    fn put(&mut self, entry: &Entry) {
        let record = entry.record().expect("only values are written");
        match self.0.get_mut(&entry.key) {
            Some(old) => *old = record,
            None => drop(self.0.insert(entry.key.clone(), record)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_reaches_all_members_and_nobody_else() {
        for members in [1, 3, 5] {
            let mut nodes = Nodes::new(members);
            let key = nodes.keys(1).remove(0);
            nodes.write(key.clone(), samples::set(samples::value(1, 10)));
            assert!(matches!(nodes.run()[..], [Outcome::Written { .. }]));
            let holds = |process: &Process| process.pairs.0.contains_key(&DataKey::of(&key));
            let holders: Vec<bool> = nodes.processes.iter().map(holds).collect();
            let expected: Vec<bool> = (0..nodes.processes.len()).map(|node| node < members).collect();
            assert_eq!(holders, expected);
        }
    }

    #[test]
    fn both_ways_of_reading_tell_what_was_written_last() {
        let mut nodes = Nodes::new(3);
        let key = nodes.keys(1).remove(0);
        for number in 0..3 {
            let value = samples::value(number, 10);
            nodes.write(key.clone(), samples::set(value.clone()));
            nodes.run();
            for reading in [nodes.read_own(key.clone()), nodes.read_asked(key.clone())] {
                assert!(matches!(&reading, Reading::Present { bytes, .. } if *bytes == value), "{reading:?}");
            }
        }
    }
}
