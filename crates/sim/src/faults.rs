//! What goes wrong, and when.

use crate::clock::Micros;
use crate::host::{Host, Work};
use crate::knobs::Plot;
use crate::scenario::Scenario;
use crate::world::{Happening, World, draw_clock};
use simpledynamo_topology::StoreId;

/// A fault, or the end of one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Draws the next fault.
    Next,
    Power(usize),
    /// A machine's disk works again.
    Repair(usize),
    Uncut(usize, usize),
    UncutControl(usize, usize),
    /// A step of the plot.
    Step(u32),
    /// A process on a machine that was replaced ends.
    Retire(usize),
}

impl World {
    pub(crate) fn begin_faults(&mut self) {
        match self.knobs.plot {
            Plot::Calm => return,
            Plot::NoMajority | Plot::WholeRing | Plot::LastMember | Plot::Copies => {
                let wait = self.random.below(500_000);
                self.after(wait, Happening::Fault(Fault::Step(0)));
            }
            _ => {}
        }
        self.after(self.knobs.fault_every, Happening::Fault(Fault::Next));
    }

    pub(crate) fn on_fault(&mut self, fault: Fault) {
        if self.is_healing {
            return;
        }
        match fault {
            Fault::Next => {
                let wait = self.random.between(1_000, 2 * self.knobs.fault_every);
                self.after(wait, Happening::Fault(Fault::Next));
                self.draw_fault();
            }
            Fault::Power(at) => {
                if self.hosts[at].process.is_some() {
                    self.met(Scenario::S41);
                    self.crash(at, true);
                }
            }
            Fault::Repair(at) => {
                self.hosts[at].disk.is_failing = false;
                self.hosts[at].is_slow = false;
                self.start(at);
            }
            Fault::Uncut(from, to) => {
                self.network.cut.remove(&(from, to));
            }
            Fault::UncutControl(from, to) => {
                self.network.cut_control.remove(&(from, to));
            }
            Fault::Retire(at) => self.kill(at),
            Fault::Step(step) => match self.knobs.plot {
                Plot::NoMajority => self.cut_majority(step),
                Plot::WholeRing => self.kill_ring(step),
                Plot::LastMember => self.shrink(step),
                Plot::Copies => self.restore_some(step),
                _ => {}
            },
        }
    }

    fn draw_fault(&mut self) {
        let at = self.random.index(self.hosts.len());
        let other = self.random.index(self.hosts.len());
        if self.hosts[at].is_retired {
            return;
        }
        let draw = self.random.below(100);
        match self.knobs.plot {
            Plot::Copies if draw < 60 => match self.random.below(6) {
                0 | 1 => self.wipe(at),
                2 => self.replace(at),
                _ => {}
            },
            Plot::Cuts if draw < 60 => self.draw_cut(at, other),
            Plot::Pauses if draw < 60 => self.draw_pause(at),
            Plot::NoMajority if draw < 60 => {}
            _ => match draw {
                0..25 => self.crash_and_restart(at),
                25..38 => self.draw_pause(at),
                38..50 => self.draw_cut(at, other),
                50..58 => self.stall(at),
                58..66 => self.spoil_disk(at),
                66..70 => self.wipe(at),
                70..74 => self.hosts[at].backup = Some(self.hosts[at].disk.clone()),
                74..78 => self.restore(at),
                78..82 => self.replace(at),
                82..87 => {
                    let wait = self.random.below(1_000);
                    self.give(wait, at, Work::Leave);
                }
                87..90 => self.hosts[at].clock.wall += self.random.below(100_000),
                _ => {
                    let node = self.hosts[other].node;
                    self.break_link(at, node, None);
                }
            },
        }
    }

    /// A process dies, or power fails. Marks what that meets.
    pub(crate) fn crash(&mut self, at: usize, is_power: bool) {
        self.note_crash(at);
        if is_power {
            self.lose_power(at);
        } else {
            self.kill(at);
        }
    }

    fn note_crash(&mut self, at: usize) {
        let Some(process) = &self.hosts[at].process else { return };
        let newest = self.group.newest();
        let mut met = Vec::new();
        for (&id, replica) in process.core.replicas() {
            let committed = self.judge.committed(id).len() as u64;
            if replica.log().end > committed {
                met.push(Scenario::S11);
                if self.hosts[at].disk.is_failing {
                    met.push(Scenario::S27);
                }
            }
            if newest.form(id).is_some() && !newest.chain(id).is_open() {
                met.push(Scenario::S12);
            }
            let lags = |other: &Host| {
                let process = other.process.as_ref();
                let replica = process.and_then(|process| process.core.replicas().get(&id));
                replica.is_some_and(|replica| replica.is_serving() && replica.log().watermark < committed)
            };
            let is_tail = replica.form().is_some_and(|form| form.tail() == process.core.me());
            if is_tail && self.hosts.iter().any(lags) {
                met.push(Scenario::S44);
            }
        }
        met.into_iter().for_each(|scenario| self.met(scenario));
    }

    fn crash_and_restart(&mut self, at: usize) {
        if self.hosts[at].process.is_none() {
            return;
        }
        let has_unsynced = self.hosts[at].disk.unsynced() > 0;
        let is_power = self.random.chance(400);
        self.crash(at, is_power);
        let term = self.knobs.terms.term * 1_000;
        let wait = *self.random.pick(&[0, 1_000, term / 3, term, 2 * term, 4 * term]);
        self.after(wait, Happening::Start(at));
        if has_unsynced && !is_power && self.random.chance(400) {
            let wait = wait + self.random.below(20_000);
            self.after(wait, Happening::Fault(Fault::Power(at)));
        }
    }

    fn draw_pause(&mut self, at: usize) {
        let term = self.knobs.terms.term * 1_000;
        let span = *self.random.pick(&[2_000, 50_000, term / 2, term, term + 50_000, 3 * term]);
        let leads = self.group.leader.is_some_and(|leader| leader.host == at);
        self.scenarios.mark_if(Scenario::S39, leads);
        self.pause(at, span);
    }

    fn pause(&mut self, at: usize, span: Micros) {
        let host = &mut self.hosts[at];
        if host.process.is_none() {
            return;
        }
        host.paused_until = host.paused_until.max(self.now + span);
        let wait = host.paused_until - self.now;
        self.trace.say(self.now, || format!("machine {at} is paused for {wait}"));
        self.after(wait, Happening::Resume(at));
    }

    /// The data thread stands still, the control thread goes on.
    fn stall(&mut self, at: usize) {
        let term = self.knobs.terms.term * 1_000;
        let span = self.random.between(1_000, 5 * term);
        let host = &mut self.hosts[at];
        host.stalled_until = host.stalled_until.max(self.now + span);
        let wait = host.stalled_until - self.now;
        self.trace.say(self.now, || format!("the data thread of machine {at} stalls for {wait}"));
        self.after(wait, Happening::Resume(at));
    }

    fn spoil_disk(&mut self, at: usize) {
        let term = self.knobs.terms.term * 1_000;
        let wait = self.random.between(100_000, 4 * term);
        match self.random.below(3) {
            0 => self.hosts[at].is_slow = true,
            1 => self.hosts[at].sync_until = self.now + wait,
            _ => {
                self.note_crash(at);
                self.hosts[at].disk.is_failing = true;
            }
        }
        self.trace.say(self.now, || format!("the disk of machine {at} is spoilt"));
        self.after(wait, Happening::Fault(Fault::Repair(at)));
    }

    fn draw_cut(&mut self, at: usize, other: usize) {
        let term = self.knobs.terms.term * 1_000;
        let span = self.random.between(10_000, 5 * term);
        let kind = self.random.below(6);
        let others: Vec<usize> = (0..self.hosts.len()).filter(|&index| index != at).collect();
        self.trace.say(self.now, || format!("machines {at} and {other} are cut, kind {kind}, for {span}"));
        match kind {
            // One way, or both, between two.
            0 if at != other => self.cut_for(at, other, span),
            1 if at != other => {
                self.cut_for(at, other, span);
                self.cut_for(other, at, span);
            }
            // From the controllers only: clients and neighbours still reach it.
            2 | 3 => {
                for other in others {
                    self.cut_control_for(other, at, span);
                    if kind == 2 {
                        self.cut_control_for(at, other, span);
                    }
                }
                self.met(Scenario::S1);
            }
            // From all, both ways or one way.
            _ => {
                for other in others {
                    self.cut_control_for(at, other, span);
                    self.cut_for(at, other, span);
                    if kind == 4 {
                        self.cut_control_for(other, at, span);
                        self.cut_for(other, at, span);
                    }
                }
            }
        }
    }

    fn cut_for(&mut self, from: usize, to: usize, span: Micros) {
        self.cut(from, to);
        self.after(span, Happening::Fault(Fault::Uncut(from, to)));
    }

    fn cut_control_for(&mut self, from: usize, to: usize, span: Micros) {
        self.network.cut_control.insert((from, to));
        self.after(span, Happening::Fault(Fault::UncutControl(from, to)));
    }

    /// Whether a disk may be lost: everything on it is on others too, which are all well.
    fn may_lose_disk(&self, at: usize) -> bool {
        let newest = self.group.newest();
        let is_at_home = self.addresses[self.hosts[at].node.index()] == at;
        is_at_home
            && self.knobs.replicas > 1
            && self.group.forgetful.is_empty()
            && newest.partitions().all(|id| newest.is_whole(id))
            && self.addresses.iter().all(|&at| self.is_in_session(at))
    }

    /// Whether the process on a machine holds its node's live session.
    fn is_in_session(&self, at: usize) -> bool {
        let (host, newest) = (&self.hosts[at], self.group.newest());
        let process = host.process.as_ref();
        process.is_some_and(|process| newest.live(host.node) == Some(process.core.me()))
    }

    fn forget(&mut self, at: usize) {
        if self.hosts[at].is_voter {
            self.group.forgetful.push(at);
            self.met(Scenario::S8);
        }
    }

    fn wipe(&mut self, at: usize) {
        if !self.may_lose_disk(at) {
            return;
        }
        self.met(Scenario::S20);
        self.crash(at, false);
        self.empty_disk(at);
        self.forget(at);
        let wait = self.random.below(1_000_000);
        self.after(wait, Happening::Start(at));
    }

    /// The disk is as it was at the last backup, if the node has had another session since.
    fn restore(&mut self, at: usize) {
        let state = *self.group.newest().node(self.hosts[at].node);
        let is_old = |backup: &&crate::disk::Disk| {
            let knows = backup.lives.contains(&(state.session.0, state.nonce));
            !knows && backup.store == state.store
        };
        let Some(backup) = self.hosts[at].backup.as_ref().filter(is_old).cloned() else { return };
        if !self.may_lose_disk(at) {
            return;
        }
        self.crash(at, false);
        self.hosts[at].disk = backup;
        self.hosts[at].disk_number += 1;
        self.hosts[at].backup = None;
        self.forget(at);
        self.trace.say(self.now, || format!("machine {at} gets an old disk"));
        if self.knobs.nodes > 4 && self.random.chance(500) {
            // Those who keep its partition with it are away for a while: it must not start without them.
            for step in 1..self.knobs.replicas {
                let other = self.addresses[(self.hosts[at].node.index() + step) % self.knobs.nodes];
                self.crash(other, false);
                let wait = self.random.between(1_500_000, 4_000_000);
                self.after(wait, Happening::Start(other));
            }
        }
        let wait = self.random.below(500_000);
        self.after(wait, Happening::Start(at));
    }

    /// Backs some disks up, restarts their nodes, and gives them the old disks back.
    fn restore_some(&mut self, step: u32) {
        let at = self.random.index(self.knobs.nodes);
        if self.hosts[at].backup.is_none() {
            self.hosts[at].backup = Some(self.hosts[at].disk.clone());
            if self.random.chance(300) {
                self.crash(at, false);
                self.after(0, Happening::Start(at));
            }
        } else {
            self.restore(at);
        }
        let wait = self.random.between(20_000, 150_000);
        self.after(wait, Happening::Fault(Fault::Step(step + 1)));
    }

    /// Another machine with an empty disk takes a node's place, while the process on the first still runs.
    fn replace(&mut self, at: usize) {
        if !self.may_lose_disk(at) || self.hosts.len() >= self.knobs.nodes + 2 {
            return;
        }
        self.has_replaced = true;
        let new = self.hosts.len();
        let (node, is_voter) = (self.hosts[at].node, self.hosts[at].is_voter);
        let clock = draw_clock(&mut self.random, &self.knobs);
        let store = StoreId(u128::from(self.random.draw()));
        self.hosts.push(Host::new(node, is_voter, clock, store));
        self.network.add_host();
        self.hosts[at].is_retired = true;
        self.addresses[node.index()] = new;
        self.forget(new);
        for from in 0..self.hosts.len() {
            if self.random.chance(500) {
                self.break_link(from, node, None);
            }
        }
        self.trace.say(self.now, || format!("machine {new} takes the place of {at} as node {node}"));
        self.after(0, Happening::Start(new));
        if self.random.chance(500) {
            let span = self.random.below(2_000_000);
            self.pause(at, span);
        }
        let wait = self.random.between(50_000, 3_000_000);
        self.after(wait, Happening::Fault(Fault::Retire(at)));
    }

    /// All voters are cut from each other.
    fn cut_majority(&mut self, step: u32) {
        if step > 0 {
            return self.check_nobody_serves();
        }
        let newest = self.group.newest();
        let are_whole = newest.partitions().all(|id| newest.is_whole(id));
        self.scenarios.mark_if(Scenario::S9, are_whole);
        let term = self.knobs.terms.term * 1_000;
        let span = 3 * term;
        for from in 0..self.hosts.len() {
            for to in 0..self.hosts.len() {
                if from != to {
                    self.cut_control_for(from, to, span);
                }
            }
        }
        self.trace.say(self.now, || "no voter reaches another".to_owned());
        let wait = term + term / 50 + 1_000;
        self.after(wait, Happening::Fault(Fault::Step(1)));
    }

    fn check_nobody_serves(&self) {
        for host in &self.hosts {
            if let Some(process) = &host.process {
                let has_lease = process.core.has_lease(host.clock.millis(self.now));
                assert!(!has_lease, "I24: node {} serves, though there is no majority", host.node);
            }
        }
    }

    /// All machines lose power at once, and come back in any order, some late.
    fn kill_ring(&mut self, step: u32) {
        self.met(if step == 0 { Scenario::S23 } else { Scenario::S42 });
        let latest = self.random.between(10_000, 2_500_000);
        for at in 0..self.hosts.len() {
            let is_power = self.random.chance(700);
            self.crash(at, is_power);
            let wait = self.random.below(latest);
            self.after(wait, Happening::Start(at));
        }
        let wait = self.random.between(300_000, 3_000_000);
        self.after(wait, Happening::Fault(Fault::Step(step + 1)));
    }

    /// The members of one chain die one after the other, the last one last; then the others return, then it.
    fn shrink(&mut self, step: u32) {
        let newest = std::sync::Arc::clone(self.group.newest());
        let id = simpledynamo_topology::PartitionId::at(0);
        let Some(form) = newest.form(id) else { return };
        let term = self.knobs.terms.term * 1_000;
        let again = |world: &mut Self, wait, step| world.after(wait, Happening::Fault(Fault::Step(step)));
        if step == 0 {
            let members: Vec<usize> =
                form.members.iter().map(|member| self.addresses[member.node.index()]).collect();
            if members.len() > 1 {
                self.crash(members[0], false);
                return again(self, 2 * term + 400_000, 0);
            }
            if newest.chain(id).is_open() {
                self.crash(members[0], true);
                return again(self, 2 * term, 1);
            }
            return again(self, 100_000, 0);
        }
        let last = form.tail().node;
        for at in 0..self.hosts.len() {
            if self.hosts[at].node != last {
                self.after(0, Happening::Start(at));
            }
        }
        self.after(2 * term + 1_200_000, Happening::Start(self.addresses[last.index()]));
    }
}
