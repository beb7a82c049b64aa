//! A run from its beginning to its end: form, go through the faults, heal, and be judged.

use std::collections::BTreeMap;

use simpledynamo_topology::{Member, NodeId, PartitionId};
use simpledynamo_verify::{Limits, TimeUnit, check};

use crate::clock::Micros;
use crate::knobs::Plot;
use crate::sabotage::Sabotage;
use crate::scenario::{Scenario, Scenarios};
use crate::trace::Trace;
use crate::world::{Happening, World};

/// How long a ring without faults may take until all is well.
const HEALED_WITHIN: Micros = 30_000_000;

/// From one look to the next.
const LOOK_EVERY: Micros = 50_000;

/// What the checker may spend on a key: those that are harder are few, and counted.
const LIMITS: Limits = Limits { configurations_max: 20_000, steps_max: 200_000 };

/// How a run is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A safeguard to be left out.
    pub sabotage: Option<Sabotage>,
    /// Whether each happening is printed.
    pub is_shown: bool,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was drawn first of all.
    pub plot: Plot,
    /// Equal for equal runs.
    pub hash: u64,
    /// What was met.
    pub scenarios: Scenarios,
    /// Operations of clients, by outcome.
    pub tally: BTreeMap<&'static str, usize>,
    /// Keys of which the checker could not tell, and runs that were given up.
    pub gave_up: u64,
    /// Simulated microseconds.
    pub time: u64,
}

/// Runs a seed.
///
/// # Panics
/// When an invariant does not hold; the message begins with its number.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let mut world = World::new(seed, options.sabotage, Trace::new(options.is_shown));
    world.form();
    world.live();
    if !world.is_given_up {
        world.heal();
    }
    let gave_up = if world.is_given_up { 1 } else { world.judge_end() };
    Report {
        gave_up,
        plot: world.knobs.plot,
        hash: world.trace.hash(),
        scenarios: std::mem::take(&mut world.scenarios),
        tally: world.tally(),
        time: world.now,
    }
}

impl World {
    /// Without faults the ring forms. Some runs do not wait for that.
    fn form(&mut self) {
        let is_patient = self.knobs.plot != Plot::Random || self.random.chance(800);
        self.is_smooth = is_patient;
        while is_patient && self.unsettled().is_some() {
            self.step_or_fail(HEALED_WITHIN, "the ring does not form");
        }
        self.is_smooth = false;
    }

    fn step_or_fail(&mut self, limit: Micros, what: &str) {
        self.run_until(self.now + LOOK_EVERY);
        if self.now > limit {
            panic!("I22: {what}: {}", self.unsettled().unwrap_or_default());
        }
    }

    /// Clients do what they do, and faults happen.
    fn live(&mut self) {
        for client in 0..self.clients.count() {
            let wait = self.random.below(2 * self.knobs.think);
            self.after(wait, Happening::Client(client));
        }
        self.begin_faults();
        let end = self.now + self.knobs.faulty;
        if self.knobs.plot == Plot::Calm {
            self.live_through_one_crash();
        }
        self.run_until(end.max(self.now));
    }

    /// One crash in calm weather: after a bounded time the others serve without the one that died (I23).
    fn live_through_one_crash(&mut self) {
        self.run_until(self.now + 500_000);
        let at = self.random.index(self.hosts.len());
        let leads = self.group.leader.is_some_and(|leader| leader.host == at);
        let (terms, node) = (self.knobs.terms, self.hosts[at].node);
        self.crash(at, false);
        let waits = if leads { 2 * terms.over_at(0) + 400 } else { terms.over_at(0) };
        self.run_until(self.now + (waits + 500) * 1_000);
        let newest = self.group.newest();
        for id in newest.partitions() {
            let form = newest.form(id).expect("it was formed");
            let serves = |member: &Member| {
                let process = self.hosts[member.node.index()].process.as_ref();
                let replica = process.and_then(|process| process.core.replicas().get(&id));
                replica.is_some_and(|replica| replica.is_serving() && replica.form() == Some(form))
            };
            let is_open = newest.chain(id).is_open() && form.members.iter().all(serves);
            assert!(
                is_open || form.members.iter().all(|member| member.node == node),
                "I23: {id} is not served {waits} + 500 ms after node {node} died: {:?}",
                newest.chain(id)
            );
        }
        self.after(0, Happening::Start(at));
    }

    /// Faults stop, and after a bounded time all is well (I22).
    fn heal(&mut self) {
        (self.is_healing, self.is_smooth) = (true, true);
        self.clients.are_stopped = true;
        self.network.heal();
        self.group.forgetful.clear();
        self.trace.say(self.now, || "everything heals".to_owned());
        for at in 0..self.hosts.len() {
            let host = &mut self.hosts[at];
            (host.paused_until, host.stalled_until, host.sync_until) = (0, 0, 0);
            (host.disk.is_failing, host.is_slow) = (false, false);
            if host.is_retired {
                self.kill(at);
            } else {
                self.after(0, Happening::Resume(at));
                self.after(1_000, Happening::Start(at));
            }
        }
        let limit = self.now + HEALED_WITHIN;
        while self.unsettled().is_some() && !self.is_given_up {
            self.step_or_fail(limit, "not all is well again");
        }
        self.ask_for_all();
        loop {
            self.step_or_fail(limit, "questions are not answered");
            if self.unsettled().is_none() || self.is_given_up {
                break;
            }
        }
        self.met(Scenario::S29);
    }

    /// What is not well yet, if anything.
    fn unsettled(&self) -> Option<String> {
        let newest = self.group.newest();
        for &at in &self.addresses {
            let Some(process) = &self.hosts[at].process else { return Some(format!("{at} is down")) };
            if !process.core.is_whole() || process.core.topology().version() != newest.version() {
                let chains: Vec<_> = newest.partitions().map(|id| newest.chain(id)).collect();
                return Some(format!("the ring as machine {at} sees it is not whole: {chains:?}"));
            }
            if process.writing.is_some() || !process.jobs.is_empty() || !process.applies.is_empty() {
                return Some(format!("machine {at} is writing"));
            }
            for (&id, replica) in process.core.replicas() {
                let committed = self.judge.committed(id).len() as u64;
                let log = replica.log();
                let applied = self.hosts[at].disk.data.applied.get(&id).map_or(0, |applied| applied.up_to);
                if log.end != committed || log.watermark != committed || applied != committed {
                    return Some(format!(
                        "{id} at machine {at}: {} to {}, applied {applied}, committed {committed}",
                        log.watermark, log.end
                    ));
                }
            }
        }
        (self.clients.waiting() > 0).then(|| format!("{} operations wait", self.clients.waiting()))
    }

    /// Returns how many keys the checker could not judge.
    fn judge_end(&self) -> u64 {
        let newest = self.group.newest();
        for id in newest.partitions() {
            let nodes: Vec<NodeId> = newest.preference(id).collect();
            for pair in nodes.windows(2) {
                self.compare(id, pair[0], pair[1]);
            }
        }
        let history = self.clients.history();
        let findings = check(&history, LIMITS);
        if let Some((key, window)) = findings.violations.first_key_value() {
            panic!("I21: {key:?} is not linearizable:\n{}", window.render(history.values(), TimeUnit::TICKS));
        }
        findings.gave_up.len() as u64
    }

    /// Two members of a partition hold the same.
    fn compare(&self, id: PartitionId, one: NodeId, other: NodeId) {
        let hosts = [one, other].map(|node| &self.hosts[self.addresses[node.index()]]);
        let [left, right] = hosts.map(|host| host.disk.data.records.get(&id).cloned().unwrap_or_default());
        assert_eq!(left, right, "I22: nodes {one} and {other} hold other records of {id}");
        let replicas = hosts.map(|host| &host.process.as_ref().expect("all are up").core.replicas()[&id]);
        for (host, replica) in hosts.iter().zip(replicas) {
            let counted = host.disk.data.count(id);
            assert_eq!(replica.counts(), counted, "I22: node {} has counted {id} wrongly", host.node);
        }
        let [left, right] = replicas.map(|replica| &replica.log().writers.0);
        for (node, left) in left {
            let Some(right) = right.get(node).filter(|right| right.session == left.session) else { continue };
            let floor = left.floor.max(right.floor);
            let known = |writer: &simpledynamo_chain::Writer| {
                writer.done.range(floor..).map(|(counter, done)| (*counter, done.clone())).collect::<Vec<_>>()
            };
            assert_eq!(
                known(left),
                known(right),
                "I22: {one} and {other} know other writes of {node} in {id}"
            );
        }
    }
}
