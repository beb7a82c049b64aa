//! The control group, as an adversary would run it.
//!
//! What a Raft group promises is kept: one log, in one order; a commit and a confirmed round need a leader that
//! reaches a majority. All else is drawn: who leads and who still believes that it does, which proposals are lost,
//! late, doubled, or committed under a later leader, and how far each node has heard.

use std::sync::Arc;

use simpledynamo_chain::control::Leadership;
use simpledynamo_topology::{Chain, Command, Topology, Void};

use crate::clock::Micros;
use crate::host::Work;
use crate::knobs::Plot;
use crate::sabotage::Sabotage;
use crate::scenario::Scenario;
use crate::world::{Happening, World};

/// How often the group looks whether its leader is still one.
const ELECTION_EVERY: Micros = 25_000;

/// The log of the control group, and who leads it.
pub(crate) struct Group {
    /// What the ring was after each command; at first, before any.
    history: Vec<Arc<Topology>>,
    pub(crate) leader: Option<Leader>,
    numbers: u64,
    /// Since when the leader has been out of touch.
    silent_since: Option<Micros>,
    /// When a leader with a majority was last seen.
    pub(crate) able_at: Micros,
    /// Voters that have lost what they promised.
    pub(crate) forgetful: Vec<usize>,
    /// Activations in a leader's log that are not committed, with the number it leads under.
    appended: Vec<(u64, Command)>,
    /// Who led last.
    last: Option<usize>,
}

/// A voter that leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) host: usize,
    pub(crate) number: u64,
}

impl Group {
    pub(crate) fn new(topology: Topology) -> Self {
        Self {
            history: vec![Arc::new(topology)],
            leader: None,
            numbers: 0,
            silent_since: None,
            able_at: 0,
            forgetful: Vec::new(),
            appended: Vec::new(),
            last: None,
        }
    }

    /// The newest topology.
    pub(crate) fn newest(&self) -> &Arc<Topology> {
        self.history.last().expect("the first is always there")
    }

    pub(crate) fn length(&self) -> usize {
        self.history.len() - 1
    }

    /// The topology after so many commands.
    pub(crate) fn state(&self, commands: usize) -> Arc<Topology> {
        Arc::clone(&self.history[commands])
    }

    pub(crate) fn on_death(&mut self, at: usize) {
        if self.leader.is_some_and(|leader| leader.host == at) {
            self.leader = None;
        }
    }
}

impl World {
    /// The voters that a machine is in touch with, itself included.
    fn touched(&self, at: usize) -> usize {
        let is_in_touch = |voter: usize| {
            let cut = &self.network.cut_control;
            let is_apart = cut.contains(&(at, voter)) || cut.contains(&(voter, at));
            self.can_vote(voter) && (voter == at || !is_apart)
        };
        self.addresses.iter().filter(|&&voter| is_in_touch(voter)).count()
    }

    fn can_vote(&self, at: usize) -> bool {
        let host = &self.hosts[at];
        host.is_voter && host.is_awake(self.now) && !self.group.forgetful.contains(&at)
    }

    /// Whether a voter could lead now: it is in touch with a majority.
    pub(crate) fn is_able(&self, at: usize) -> bool {
        self.can_vote(at) && self.touched(at) > self.knobs.voters / 2
    }

    /// The leader, if it can get anything done.
    fn able_leader(&self) -> Option<Leader> {
        self.group.leader.filter(|leader| self.is_able(leader.host))
    }

    pub(crate) fn on_election(&mut self) {
        let wait = self.random.between(ELECTION_EVERY / 2, ELECTION_EVERY);
        self.after(wait, Happening::Election);
        if self.able_leader().is_some() {
            self.group.silent_since = None;
            self.group.able_at = self.now;
            self.readmit();
            let every = self.knobs.leader_change / ELECTION_EVERY;
            // In calm weather a leader leads until it dies: another one would have to wait a term anew.
            let is_lasting = self.is_smooth || self.knobs.plot == Plot::Calm;
            if is_lasting || self.random.below(every.max(1)) > 0 {
                return;
            }
        } else {
            let since = *self.group.silent_since.get_or_insert(self.now);
            if self.now < since + self.random.between(50_000, 300_000) {
                return;
            }
        }
        self.elect();
    }

    /// A voter that lost its disk votes again once a majority of the others has let it.
    fn readmit(&mut self) {
        if !self.group.forgetful.is_empty() && self.random.chance(50) {
            self.group.forgetful.remove(0);
            self.met(Scenario::S38);
        }
    }

    fn elect(&mut self) {
        let able: Vec<usize> = self.addresses.iter().copied().filter(|&at| self.is_able(at)).collect();
        if able.is_empty() {
            return;
        }
        let chosen = *self.random.pick(&able);
        self.group.numbers += 1;
        let leader = Leader { host: chosen, number: self.group.numbers };
        let before = self.group.leader.replace(leader);
        // What earlier leaders had put into their logs comes before all of the new one's, or never.
        for (_, command) in std::mem::take(&mut self.group.appended) {
            if self.random.chance(500) {
                self.commit(command);
            }
        }
        if self.group.last == Some(chosen) {
            self.met(Scenario::S6);
        }
        self.group.last = Some(chosen);
        self.group.silent_since = None;
        self.trace.say(self.now, || format!("machine {chosen} leads as number {}", leader.number));
        let up = self.random.below(30_000) + self.late(50, 1_000_000);
        let down = self.random.below(150_000) + self.late(200, 2_000_000);
        self.give(up, chosen, Work::Leadership(Leadership::Leader(leader.number)));
        if let Some(before) = before.filter(|before| before.host != chosen) {
            self.give(down, before.host, Work::Leadership(Leadership::Follower));
        }
    }

    /// A voter hears who leads, sooner or later.
    pub(crate) fn believe(&mut self, at: usize, told: Leadership) {
        let own = self.group.leader.filter(|leader| leader.host == at).map(|leader| leader.number);
        let leadership = match (told, own) {
            (Leadership::Follower, Some(number)) => Leadership::Leader(number),
            (told, _) => told,
        };
        let process = self.hosts[at].process.as_mut().expect("it works");
        if let Leadership::Leader(number) = leadership {
            if number < process.led {
                // What a group says of itself may be late, but does not go back.
                return;
            }
            process.led = number;
        }
        if let Leadership::Leader(number) = leadership
            && own != Some(number)
        {
            // It is not so any more, which will be heard too.
            self.met(Scenario::S7);
            let wait = self.random.below(800_000);
            self.give(wait, at, Work::Leadership(Leadership::Follower));
        }
        let host = &mut self.hosts[at];
        let now = host.clock.millis(self.now);
        let process = host.process.as_mut().expect("it works");
        let Some(controller) = &mut process.controller else { return };
        let mut decisions = simpledynamo_chain::control::Decisions::default();
        controller.on_leadership(now, leadership, &mut decisions);
        self.decide(at, decisions);
    }

    /// A node asks for a command to be committed.
    pub(crate) fn propose(&mut self, from: usize, command: Command) {
        self.trace.say(self.now, || format!("machine {from} proposes {command:?}"));
        let wait = self.random.between(50, self.knobs.delay) + self.late(20, 1_500_000);
        if !self.is_smooth && self.random.chance(self.knobs.lost) {
            return;
        }
        self.after(wait, Happening::Proposed(from, command));
    }

    pub(crate) fn on_proposed(&mut self, from: usize, command: Command) {
        let Some(leader) = self.able_leader() else { return };
        if let Command::ControllerUp { nonce, .. } = command {
            // Never forwarded: only who leads can put it into the log, and only under the number that it leads under.
            if leader != (Leader { host: from, number: nonce }) {
                return;
            }
            self.group.appended.push((nonce, command.clone()));
        } else if from != leader.host && self.network.cut_control.contains(&(from, leader.host)) {
            return;
        }
        let usual = self.random.between(100, 2 * self.knobs.delay + 200);
        if !self.is_smooth && self.random.chance(self.knobs.doubled) {
            let wait = self.random.below(1_000_000);
            self.after(wait, Happening::Commit(command.clone(), 3));
        }
        self.after(usual, Happening::Commit(command, 3));
    }

    /// A proposal is committed, if a leader can; else a later one may find it in its log, or not.
    pub(crate) fn on_commit(&mut self, command: Command, tries: u32) {
        if let Command::ControllerUp { nonce, .. } = command {
            let leads = self.able_leader().is_some_and(|leader| leader.number == nonce);
            if leads {
                self.group.appended.retain(|(number, _)| *number != nonce);
                self.commit(command);
            }
        } else if self.able_leader().is_some() {
            self.commit(command);
        } else if tries > 0 && self.random.chance(700) {
            let wait = self.random.below(600_000);
            self.after(wait, Happening::Commit(command, tries - 1));
        }
    }

    fn commit(&mut self, mut command: Command) {
        let before = Arc::clone(self.group.newest());
        match &mut command {
            Command::Down { generation, .. } if self.sabotage == Some(Sabotage::NoGeneration) => {
                *generation = before.generation();
            }
            Command::Register { node, store, .. } if self.sabotage == Some(Sabotage::OtherStore) => {
                if let Some(member) = before.live(*node).filter(|_| before.node(*node).store != *store) {
                    self.commit(Command::Down { member, generation: before.generation() });
                    return self.commit(command);
                }
            }
            _ => {}
        }
        let mut after = Topology::clone(&before);
        let version = before.version() + 1 + u64::from(self.random.chance(200));
        let result = after.apply(version, &command);
        self.trace.say(self.now, || format!("committed as {version}: {command:?}: {result:?}"));
        self.note_command(&before, &command, result);
        let is_lost = |chain: &Chain| chain.form.is_some() && chain.eligible.is_empty();
        if self.has_replaced && after.partitions().any(|id| is_lost(after.chain(id))) {
            // The machine that was given up had become the only one with all that was committed.
            self.is_given_up = true;
        }
        let after = Arc::new(after);
        self.group.history.push(Arc::clone(&after));
        self.judge_command(&before, &after, &command);
        for at in 0..self.hosts.len() {
            if let Some(process) = &mut self.hosts[at].process
                && !process.is_catching_up
            {
                process.is_catching_up = true;
                let wait = self.lag();
                self.give(wait, at, Work::CatchUp);
            }
        }
    }

    fn lag(&mut self) -> Micros {
        self.random.between(50, self.knobs.lag) + self.late(20, 1_500_000)
    }

    fn note_command(&mut self, before: &Topology, command: &Command, result: Result<(), Void>) {
        let scenario = match (command, result) {
            (Command::Down { .. }, Err(Void::OtherGeneration)) => Scenario::S5,
            (Command::Synced { .. }, Err(Void::Ended | Void::OtherEpoch)) => Scenario::S33,
            (Command::Opened { .. } | Command::Start { .. }, Err(Void::Already | Void::OtherEpoch)) => {
                Scenario::S17
            }
            (Command::Register { node, .. }, Ok(())) if before.live(*node).is_some() => Scenario::S19,
            _ => return,
        };
        self.met(scenario);
    }

    /// A node hears what was committed: all of it, or some.
    pub(crate) fn catch_up(&mut self, at: usize) {
        let newest = self.group.length();
        let can_hear = self.can_hear(at);
        let host = &mut self.hosts[at];
        let seen = host.process.as_ref().expect("it works").seen;
        if can_hear && seen < newest {
            let step =
                if self.random.chance(700) { newest } else { seen + 1 + self.random.index(newest - seen) };
            self.apply_control(at, step);
        }
        let process = self.hosts[at].process.as_mut().expect("it works");
        if process.seen < newest {
            let wait = if can_hear { self.lag() } else { 30_000 };
            self.give(wait, at, Work::CatchUp);
        } else {
            process.is_catching_up = false;
        }
    }

    fn can_hear(&self, at: usize) -> bool {
        let is_speaker = |voter: usize| {
            let is_heard = voter == at || !self.network.cut_control.contains(&(voter, at));
            is_heard && self.can_vote(voter)
        };
        // Only what some voter has heard can be heard from it; the leader has heard all.
        self.group.leader.is_some_and(|leader| is_speaker(leader.host))
            || self.addresses.iter().filter(|&&voter| voter != at && is_speaker(voter)).count()
                > self.knobs.voters / 2
    }

    /// A voter is asked whether it leads, and asks a majority.
    pub(crate) fn on_probe(&mut self, at: usize, life: u64, number: u64) {
        if self.hosts[at].life != life || self.hosts[at].process.is_none() {
            return;
        }
        let leader = self.able_leader().filter(|leader| leader.host == at);
        if leader.is_some() {
            self.group.able_at = self.now;
            self.judge.on_confirmed(at, life, number);
        }
        let wait = self.random.between(50, 2 * self.knobs.delay) + self.late(2, 1_200_000);
        self.give(wait, at, Work::Round(number, leader.map(|leader| leader.number)));
    }
}
