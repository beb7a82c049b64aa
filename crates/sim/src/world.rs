//! The whole ring, and the one queue of all that is going to happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use simpledynamo_chain::{Envelope, ReadFrom, Replica, Setup};
use simpledynamo_ring::Ring;
use simpledynamo_topology::{Command, NodeId, Session, StoreId, Topology};

use crate::clients::Clients;
use crate::clock::{Clock, Micros};
use crate::disk::Disk;
use crate::faults::Fault;
use crate::group::Group;
use crate::host::{DiskWork, Host, Work};
use crate::judge::Judge;
use crate::knobs::{Knobs, Plot};
use crate::network::Network;
use crate::random::Random;
use crate::sabotage::Sabotage;
use crate::scenario::{Scenario, Scenarios};
use crate::trace::Trace;

/// Room for some of the keys of a run in each node's cache, not for all.
const CACHE_BYTES: u64 = 1_500;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Work for a process; forgotten if the process has ended.
    Work(usize, u64, Work),
    /// The disk of a process has done something.
    Disk(usize, u64, DiskWork),
    /// A process goes on where it was paused within a turn.
    TurnDue(usize, u64),
    /// A pause may be over.
    Resume(usize),
    /// A message comes to its receiver.
    Arrive(Arrival),
    /// A link is to be made.
    Connect(usize, NodeId),
    /// A link breaks.
    Break(usize, NodeId, u64),
    /// A proposal reaches the control group's leader.
    Proposed(usize, Command),
    /// A proposal is replicated.
    Commit(Command, u32),
    /// A voter is asked whether it leads.
    Probe(usize, u64, u64),
    /// The control group looks at its leader.
    Election,
    Fault(Fault),
    /// A client does something.
    Client(usize),
    Start(usize),
}

/// A message under way.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) link: u64,
    /// A copy or a straggler, which comes whatever became of its link.
    pub(crate) is_stray: bool,
    pub(crate) envelope: Envelope,
}

/// The whole ring.
pub(crate) struct World {
    pub(crate) now: Micros,
    sequence: u64,
    queue: BTreeMap<(Micros, u64), Happening>,
    pub(crate) random: Random,
    pub(crate) knobs: Knobs,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) hosts: Vec<Host>,
    /// The machine that answers at each node's address.
    pub(crate) addresses: Vec<usize>,
    pub(crate) network: Network,
    pub(crate) group: Group,
    pub(crate) clients: Clients,
    pub(crate) judge: Judge,
    pub(crate) scenarios: Scenarios,
    pub(crate) trace: Trace,
    /// From here on no fault is made any more.
    pub(crate) is_healing: bool,
    /// Nothing is lost, late or doubled at the moment.
    pub(crate) is_smooth: bool,
    /// A machine was replaced by another one.
    pub(crate) has_replaced: bool,
    /// A machine was replaced that by then was the only one with all data: the ring cannot recover.
    pub(crate) is_given_up: bool,
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Option<Sabotage>, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let knobs = Knobs::draw(&mut random);
        let names: Vec<String> = (0..knobs.nodes).map(|index| format!("node-{index}")).collect();
        let ring = Arc::new(Ring::new(&names, knobs.replicas).expect("names differ"));
        let hosts: Vec<Host> = (0..knobs.nodes)
            .map(|index| {
                let store = StoreId(u128::from(random.draw()));
                Host::new(NodeId::at(index), index < knobs.voters, draw_clock(&mut random, &knobs), store)
            })
            .collect();
        let mut world = Self {
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            sabotage,
            addresses: (0..hosts.len()).collect(),
            network: Network::new(hosts.len()),
            group: Group::new(Topology::new(Arc::clone(&ring))),
            clients: Clients::new(&knobs, &ring),
            judge: Judge::new(&ring),
            scenarios: Scenarios::default(),
            random,
            knobs,
            ring,
            hosts,
            trace,
            is_healing: false,
            is_smooth: false,
            has_replaced: false,
            is_given_up: false,
        };
        for host in 0..world.hosts.len() {
            let wait = world.random.below(30_000);
            world.after(wait, Happening::Start(host));
        }
        world.after(20_000, Happening::Election);
        world
    }

    pub(crate) fn after(&mut self, wait: Micros, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + wait, self.sequence), happening);
    }

    /// How much longer something takes than usual: mostly nothing, sometimes much.
    pub(crate) fn late(&mut self, per_thousand: u64, most: Micros) -> Micros {
        let is_smooth = self.is_smooth || self.knobs.plot == Plot::Calm;
        if !is_smooth && self.random.chance(per_thousand) { self.random.below(most) } else { 0 }
    }

    /// Gives a process work in a while.
    pub(crate) fn give(&mut self, wait: Micros, host: usize, work: Work) {
        let life = self.hosts[host].life;
        self.after(wait, Happening::Work(host, life, work));
    }

    /// Marks a scenario as met.
    pub(crate) fn met(&mut self, scenario: Scenario) {
        self.scenarios.mark(scenario);
    }

    /// Lets everything happen until then.
    pub(crate) fn run_until(&mut self, end: Micros) {
        while let Some((&(time, sequence), _)) = self.queue.first_key_value() {
            if time > end || self.is_given_up {
                break;
            }
            let happening = self.queue.remove(&(time, sequence)).expect("it was just looked at");
            self.now = time;
            self.handle(happening);
        }
        self.now = end;
    }

    fn handle(&mut self, happening: Happening) {
        self.trace.happening(self.now, &happening);
        match happening {
            Happening::Work(host, life, work) => self.on_work(host, life, work),
            Happening::Disk(host, life, work) => {
                if self.hosts[host].life == life && self.hosts[host].process.is_some() {
                    self.on_disk(host, work);
                }
            }
            Happening::TurnDue(host, life) => {
                if self.hosts[host].life == life
                    && let Some(process) = &mut self.hosts[host].process
                {
                    process.is_turn_due = true;
                    self.drain(host);
                }
            }
            Happening::Resume(host) => {
                self.note_waking(host);
                self.drain(host);
            }
            Happening::Arrive(arrival) => self.on_arrival(arrival),
            Happening::Connect(from, to) => self.connect(from, to),
            Happening::Break(from, to, link) => self.break_link(from, to, Some(link)),
            Happening::Proposed(from, command) => self.on_proposed(from, command),
            Happening::Commit(command, tries) => self.on_commit(command, tries),
            Happening::Probe(host, life, number) => self.on_probe(host, life, number),
            Happening::Election => self.on_election(),
            Happening::Fault(fault) => self.on_fault(fault),
            Happening::Client(client) => self.on_client(client),
            Happening::Start(host) => self.start(host),
        }
    }

    /// A process starts on a machine, from what its disk holds.
    pub(crate) fn start(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if host.process.is_some() || host.is_retired || host.disk.is_failing {
            return;
        }
        host.life += 1;
        let (life, node) = (host.life, host.node);
        host.disk.sync();
        host.disk.sync_data();
        let (mut replicas, applied) = host.disk.recover();
        for (&partition, durable) in &replicas {
            self.judge.recovered(partition, durable);
        }
        if self.sabotage == Some(Sabotage::OpIdsForgotten) {
            replicas.values_mut().for_each(|replica| replica.writers = Default::default());
        }
        if self.sabotage == Some(Sabotage::OpIdsKept) {
            host.disk.keep_op_ids(&mut replicas);
        }
        let setup = Setup {
            ring: Arc::clone(&self.ring),
            node,
            limits: simpledynamo_chain::Limits { max_value: 1 << 20 },
            cache_bytes: CACHE_BYTES,
            timing: self.knobs.timing,
            read_from: if self.knobs.read_from_tail { ReadFrom::Tail } else { ReadFrom::Any },
            replicas,
            applied,
        };
        let known = self.group.state(host.disk.control);
        host.begin(setup, self.knobs.terms, self.now, known);
        self.trace.say(self.now, || format!("node {node} starts on machine {at}, life {life}"));
        let random = &mut self.random;
        let (first, second) = (random.below(self.knobs.tick), random.below(self.knobs.tick));
        self.give(first, at, Work::Tick);
        self.give(second, at, Work::ControlTick);
        self.give(0, at, Work::CatchUp);
        self.give(0, at, Work::Settle);
        for other in 0..self.knobs.nodes {
            let other = NodeId::at(other);
            if other != node {
                let wait = self.random.below(5_000);
                self.after(wait, Happening::Connect(at, other));
            }
        }
    }

    /// A process goes on after a pause: perhaps it still thinks that it is the head of a chain.
    fn note_waking(&mut self, at: usize) {
        let Some(process) = &self.hosts[at].process else { return };
        let me = process.core.me();
        let leads =
            |replica: &Replica| replica.is_serving() && replica.form().is_some_and(|form| form.head() == me);
        let was_removed = me.session > Session(0) && !self.group.newest().is_live(me);
        let thinks_so = process.core.replicas().values().any(leads);
        self.scenarios.mark_if(Scenario::S35, was_removed && thinks_so);
    }

    /// The process on a machine ends at this moment.
    pub(crate) fn kill(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let Some(process) = host.process.take() else { return };
        if let Some(writing) = process.writing
            && !writing.is_written
            && self.random.chance(500)
        {
            host.disk.append(writing.persist);
        }
        host.paused_until = 0;
        host.stalled_until = 0;
        let node = host.node;
        self.trace.say(self.now, || format!("the process of node {node} on machine {at} ends"));
        self.clients.on_death(at);
        self.group.on_death(at);
        self.network.on_death(at);
        for other in 0..self.hosts.len() {
            let link = self.network.link(other, node);
            if link.is_up && link.to == at {
                let wait = self.random.between(100, 50_000);
                self.after(wait, Happening::Break(other, node, link.number));
            }
        }
    }

    /// Power fails at a machine: the process ends, and what was not durable is lost but for some of it.
    pub(crate) fn lose_power(&mut self, at: usize) {
        self.kill(at);
        let disk = &mut self.hosts[at].disk;
        let log = self.random.below(disk.unsynced() as u64 + 1);
        let data = self.random.below(disk.unsynced_data() as u64 + 1);
        disk.lose_power(
            usize::try_from(log).expect("few batches"),
            usize::try_from(data).expect("few changes"),
        );
        self.trace.say(self.now, || format!("power fails at machine {at}"));
    }

    /// The disk of a machine is empty from now on.
    pub(crate) fn empty_disk(&mut self, at: usize) {
        let store = StoreId(u128::from(self.random.draw()));
        self.hosts[at].disk = Disk::new(store);
        self.hosts[at].disk_number += 1;
        self.trace.say(self.now, || format!("the disk of machine {at} is empty"));
    }
}

/// A clock that runs within the bounds, often at one of them.
pub(crate) fn draw_clock(random: &mut Random, knobs: &Knobs) -> Clock {
    let bound = i64::try_from(knobs.terms.drift_ppm).expect("small");
    let drift_ppm = match random.below(4) {
        0 => bound,
        1 => -bound,
        2 => 0,
        _ => i64::try_from(random.below(2 * knobs.terms.drift_ppm + 1)).expect("small") - bound,
    };
    Clock {
        offset: 1_000_000_000 + random.below(1_000_000_000),
        drift_ppm,
        wall: 1_700_000_000_000 + random.below(2_000),
    }
}
