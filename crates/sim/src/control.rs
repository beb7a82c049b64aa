//! The control thread of a process: it registers the node, renews its lease, hears what the control group decides, and
//! on a voter runs the controller.

use std::sync::Arc;

use simpledynamo_chain::Event;
use simpledynamo_chain::control::{Decisions, Grant};
use simpledynamo_topology::{Command, Session};

use crate::host::{Leaving, Work};
use crate::register::Step;
use crate::sabotage::Sabotage;
use crate::scenario::Scenario;
use crate::world::{Happening, World};

impl World {
    pub(crate) fn on_control_work(&mut self, at: usize, work: Work) {
        match work {
            Work::ControlTick => {
                self.register(at);
                if self.hosts[at].process.is_some() {
                    self.renew(at);
                    self.tick_controller(at);
                    let wait = self.random.between(10_000, 20_000);
                    self.give(wait, at, Work::ControlTick);
                }
            }
            Work::CatchUp => self.catch_up(at),
            Work::Leadership(leadership) => self.believe(at, leadership),
            Work::Renewal(renewal) => {
                self.judge.on_renewal(at, self.hosts[at].life, &renewal);
                let host = &mut self.hosts[at];
                let now = host.clock.millis(self.now);
                let process = host.process.as_mut().expect("it works");
                self.scenarios.mark_if(Scenario::S37, !renewal.suspects.is_empty());
                if let Some(controller) = &mut process.controller {
                    controller.on_renewal(now, renewal);
                }
            }
            Work::Surrender(member) => {
                let host = &mut self.hosts[at];
                let now = host.clock.millis(self.now);
                let process = host.process.as_mut().expect("it works");
                let mut decisions = Decisions::default();
                if let Some(controller) = &mut process.controller {
                    controller.on_surrender(now, member, &mut decisions);
                }
                self.decide(at, decisions);
            }
            Work::Round(number, confirmed) => self.end_round(at, number, confirmed),
            Work::Grant(grant) => self.on_grant(at, grant),
            _ => unreachable!("the data thread's work goes elsewhere"),
        }
    }

    /// The control log has come this far at this node.
    pub(crate) fn apply_control(&mut self, at: usize, commands: usize) {
        let topology = self.group.state(commands);
        let host = &mut self.hosts[at];
        let now = host.clock.millis(self.now);
        let process = host.process.as_mut().expect("it works");
        process.seen = commands;
        process.topology = Arc::clone(&topology);
        if self.random.chance(500) {
            host.disk.control = commands;
        }
        if let Some(controller) = &mut process.controller {
            let early =
                if self.sabotage == Some(Sabotage::NoWaitAfterUp) { 2 * self.knobs.terms.term } else { 0 };
            controller.on_topology(now - early, &topology);
        }
        let session = process.registrar.session(host.node, &topology);
        self.tell_core(at, Event::Topology { topology, session });
    }

    /// Hands something to the data thread. The channel keeps its order.
    fn tell_core(&mut self, at: usize, event: Event) {
        self.give(20, at, Work::Event(event));
    }

    fn register(&mut self, at: usize) {
        let draw = self.random.draw();
        let host = &mut self.hosts[at];
        let now = host.clock.millis(self.now);
        let process = host.process.as_mut().expect("it works");
        if process.leaving != Leaving::No {
            return;
        }
        let state = process.topology.node(host.node);
        self.scenarios.mark_if(Scenario::S34, state.is_live && state.store != host.disk.store);
        let (lives, is_blind) = (&host.disk.lives, self.sabotage == Some(Sabotage::OldBackup));
        let knows = |session: Session, nonce| is_blind || lives.contains(&(session.0, nonce));
        match process.registrar.tick(now, host.node, &process.topology, knows, || draw) {
            Step::Nothing => {}
            Step::Register(session, nonce, command) => {
                host.disk.lives.insert((session.0, nonce));
                self.propose(at, command);
            }
            Step::Empty => {
                self.trace.say(self.now, || format!("machine {at} has an old copy of its store"));
                self.met(Scenario::S21);
                self.kill(at);
                self.empty_disk(at);
                let wait = self.random.below(20_000);
                self.after(wait, Happening::Start(at));
            }
        }
    }

    fn renew(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let now = host.clock.millis(self.now);
        let node = host.node;
        let process = host.process.as_mut().expect("it works");
        let member = process.member(node);
        if member.session == Session(0) {
            return;
        }
        if process.leaving == Leaving::Surrendered {
            for voter in self.voters() {
                self.send_control(at, voter, || Work::Surrender(member));
            }
            return;
        }
        if self.sabotage == Some(Sabotage::DownAtOnce) && process.leaving == Leaving::Finishing {
            for voter in self.voters() {
                self.send_control(at, voter, || Work::Surrender(member));
            }
        }
        let process = self.hosts[at].process.as_mut().expect("it works");
        // A node that is alive but stuck gives up its lease by not asking for it.
        let patience = 2 * self.knobs.terms.term;
        let hangs = process.writing.as_ref().is_some_and(|writing| now > writing.began + patience);
        if hangs || now > process.ran + patience {
            return self.met(Scenario::S18);
        }
        let (offers, suspects) = (process.core.offers(), process.core.suspects());
        let Some(renewal) = process.renewer.tick(now, member, offers, suspects) else { return };
        process.sent.insert(renewal.number, (member.session, now));
        for voter in self.voters() {
            self.send_control(at, voter, || Work::Renewal(renewal.clone()));
        }
    }

    fn voters(&self) -> Vec<usize> {
        self.addresses.iter().copied().filter(|&at| self.hosts[at].is_voter).collect()
    }

    fn on_grant(&mut self, at: usize, grant: Grant) {
        let host = &mut self.hosts[at];
        let now = host.clock.millis(self.now);
        let process = host.process.as_mut().expect("it works");
        let Some(mut until) = process.renewer.on_grant(&grant) else { return };
        let mut version = grant.version;
        match self.sabotage {
            Some(Sabotage::LeaseFromReceipt) => until = self.knobs.terms.usable_until(now),
            Some(Sabotage::NoTopologyNumber) => version = 0,
            _ => {}
        }
        if let Some((session, sent)) = process.sent.remove(&grant.number) {
            let good_until = self.knobs.terms.usable_until(sent);
            process.leases.push((session, good_until, grant.version));
            if process.leases.len() > 32 {
                process.leases.remove(0);
            }
        }
        if version > process.core.topology().version() {
            self.met(Scenario::S3);
        }
        self.tell_core(at, Event::Lease { until, version });
    }

    fn tick_controller(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let now = host.clock.millis(self.now);
        let process = host.process.as_mut().expect("it works");
        let Some(controller) = &mut process.controller else { return };
        let mut decisions = Decisions::default();
        controller.tick(now, &process.topology, &mut decisions);
        self.decide(at, decisions);
    }

    fn end_round(&mut self, at: usize, number: u64, confirmed: Option<u64>) {
        let host = &mut self.hosts[at];
        let (now, life) = (host.clock.millis(self.now), host.life);
        let process = host.process.as_mut().expect("it works");
        let Some(controller) = &mut process.controller else { return };
        let mut decisions = Decisions::default();
        controller.on_round(now, number, confirmed, &process.topology, &mut decisions);
        let generation = controller.generation();
        let is_deposed = self.group.leader.map(|leader| leader.host) != Some(at);
        self.scenarios.mark_if(Scenario::S5, is_deposed && !decisions.grants.is_empty());
        if self.sabotage.is_none() {
            self.judge.on_grants(at, life, number, generation, &decisions.grants);
        }
        self.decide(at, decisions);
    }

    /// Does what a controller has decided.
    pub(crate) fn decide(&mut self, at: usize, decisions: Decisions) {
        let life = self.hosts[at].life;
        for command in decisions.propose {
            if let Command::Down { member, generation } = command {
                self.judge.on_down_proposed(generation, member);
            }
            self.propose(at, command);
        }
        for grant in decisions.grants {
            for to in 0..self.hosts.len() {
                if self.hosts[to].node == grant.member.node {
                    self.send_control(at, to, || Work::Grant(grant));
                }
            }
        }
        if let Some(number) = decisions.round {
            self.judge.on_round_begun(at, life, number);
            if self.sabotage == Some(Sabotage::NoQuorumRound) {
                let nonce = self.believed(at);
                return self.give(0, at, Work::Round(number, nonce));
            }
            let wait = self.random.between(20, self.knobs.delay);
            self.after(wait, Happening::Probe(at, life, number));
        }
    }

    /// Under which number a controller thinks that it leads.
    fn believed(&self, at: usize) -> Option<u64> {
        let process = self.hosts[at].process.as_ref()?;
        let (node, nonce) = process.topology.state().controller?;
        (node == self.hosts[at].node).then_some(nonce)
    }
}
