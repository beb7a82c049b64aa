//! The loop of the control thread: registration, renewals, and the controller where this voter leads.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use simpledynamo_chain::Millis;
use simpledynamo_chain::control::{Controller, Decisions, Grant, Leadership, LeaseTerms, Renewer};
use simpledynamo_control::ControlGroup;
use simpledynamo_storage::disk::Lives;
use simpledynamo_topology::{Command, Member, NodeId, Session, Topology};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::handle::{FromControl, Shared, ToControl};
use super::links::ControlLinks;
use super::message::Message;
use super::old_copy;
use super::registration::{Registration, Step};
use crate::{clock, fatal};

/// How often deadlines are looked at: finer than any of them needs.
const TICK: Duration = Duration::from_millis(10);

/// From saying that this node leaves to saying it again.
const SURRENDER_AGAIN: Millis = 50;

/// How long a node that leaves waits for the chains to open without it: after that they have lost more than this node.
const LEAVE_TIMEOUT: Millis = 2_000;

/// Commands that may be under way to the group at the same time: some for each partition of a large ring. What does
/// not fit is asked for again by whoever wants it.
const PROPOSALS_MAX: usize = 1_024;

/// What the driver needs.
pub(super) struct Parts {
    pub(super) me: NodeId,
    pub(super) voters: BTreeSet<NodeId>,
    pub(super) names: Vec<String>,
    pub(super) terms: LeaseTerms,
    pub(super) group: ControlGroup,
    pub(super) links: ControlLinks,
    pub(super) lives: Lives,
    pub(super) shared: Arc<Shared>,
    pub(super) to_data: UnboundedSender<FromControl>,
}

/// What comes in from the loop's other ends.
pub(super) struct Inputs {
    pub(super) from_data: UnboundedReceiver<ToControl>,
    pub(super) messages: mpsc::Receiver<(NodeId, Message)>,
    pub(super) refused: mpsc::Receiver<NodeId>,
}

struct Driver {
    parts: Parts,
    /// How this voter leads the control group, if it does.
    leads: Option<Leads>,
    topology: Arc<Topology>,
    registration: Registration,
    session: Session,
    renewer: Renewer,
    controller: Controller,
    rounds: mpsc::Sender<(u64, Option<u64>)>,
    proposed: Arc<Mutex<Vec<Command>>>,
    leaving: Option<Leaving>,
}

/// One stretch of time in which this voter leads.
#[derive(Clone, Copy)]
struct Leads {
    term: u64,
    /// Names it to the controller: never used again, not even if the group says that this voter leads, then that it does
    /// not, then that it does, in one term.
    number: u64,
}

/// A node that is about to leave.
struct Leaving {
    began: Millis,
    member: Member,
    say_at: Millis,
    has_left: bool,
}

/// Runs until the process ends.
pub(super) async fn run(parts: Parts, mut inputs: Inputs) {
    let (rounds, mut ended_rounds) = mpsc::channel(16);
    let mut topologies = parts.group.topology();
    let mut leaderships = parts.group.leadership();
    let mut failures = parts.group.fatal();
    let topology = Arc::clone(&topologies.borrow_and_update());
    let mut driver = Driver {
        leads: None,
        topology,
        registration: Registration::new(parts.me, parts.group.me().store),
        session: Session(0),
        renewer: Renewer::new(parts.terms),
        controller: Controller::new(parts.me, parts.terms),
        rounds,
        proposed: Arc::default(),
        leaving: None,
        parts,
    };
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    driver.on_topology();
    driver.on_leadership(&mut leaderships);
    loop {
        tokio::select! {
            biased;
            _ = failures.changed() => driver.check(&failures),
            _ = leaderships.changed() => driver.on_leadership(&mut leaderships),
            _ = topologies.changed() => {
                let before = std::mem::replace(&mut driver.topology, Arc::clone(&topologies.borrow_and_update()));
                driver.report_others(&before);
                driver.on_topology();
            }
            Some((number, confirmed)) = ended_rounds.recv() => driver.on_round(number, confirmed),
            Some((from, message)) = inputs.messages.recv() => driver.on_message(from, message),
            Some(node) = inputs.refused.recv() => driver.parts.group.hint_down(node),
            Some(asked) = inputs.from_data.recv() => driver.on_data(asked),
            _ = tick.tick() => driver.tick(),
        }
    }
}

impl Driver {
    fn member(&self) -> Member {
        Member { node: self.parts.me, session: self.session }
    }

    fn check(&self, failures: &watch::Receiver<Option<String>>) {
        if let Some(reason) = &*failures.borrow() {
            fatal::stop(&format_args!("the control group failed: {reason}"));
        }
    }

    fn on_leadership(&mut self, leaderships: &mut watch::Receiver<simpledynamo_control::Leadership>) {
        let known = *leaderships.borrow_and_update();
        let is_leading = known.is_me && self.leaving.is_none();
        self.leads = match self.leads {
            Some(leads) if is_leading && leads.term == known.term => Some(leads),
            _ if is_leading => {
                Some(Leads { term: known.term, number: RandomState::new().hash_one(known.term) })
            }
            _ => None,
        };
        let leadership = self.leads.map_or(Leadership::Follower, |leads| Leadership::Leader(leads.number));
        {
            let mut status = self.parts.shared.status();
            let controller = known.leader.map(|leader| leader.node);
            if let Some(node) = controller.filter(|_| controller != status.controller) {
                let name = &self.parts.names[node.index()];
                tracing::info!("node {name} leads the control group in term {}", known.term);
            }
            status.controller = controller;
            status.term = known.term;
        }
        let mut decisions = Decisions::default();
        self.controller.on_leadership(clock::boot_millis(), leadership, &mut decisions);
        self.carry_out(decisions);
    }

    /// Logs which other nodes have come or gone.
    fn report_others(&self, before: &Topology) {
        for (id, node) in self.topology.nodes().filter(|(id, _)| *id != self.parts.me) {
            let (name, was) = (&self.parts.names[id.index()], before.node(id));
            if node.is_live && (!was.is_live || was.session != node.session) {
                tracing::info!("node {name} is in the ring, in session {}", node.session);
            } else if !node.is_live && was.is_live {
                tracing::warn!("node {name} is out of the ring: its session {} has ended", was.session);
            }
        }
    }

    fn on_topology(&mut self) {
        self.controller.on_topology(clock::boot_millis(), &self.topology);
        self.register();
        let topology = Arc::clone(&self.topology);
        let _ = self.parts.to_data.send(FromControl::Topology { topology, session: self.session });
        self.look_whether_left();
    }

    /// Sees to it that this process holds a session.
    fn register(&mut self) {
        let now = clock::boot_millis();
        let members = self.parts.group.members();
        {
            let mut status = self.parts.shared.status();
            status.is_formed = !members.voters.is_empty();
            status.voters = members.voters.iter().map(|voter| voter.node).collect();
        }
        if !members.contains(self.parts.group.me()) {
            self.session = Session(0);
            return;
        }
        let node = *self.topology.node(self.parts.me);
        let lives = &self.parts.lives;
        let step = self.registration.step(now, &node, |session, nonce| lives.contains(session, nonce));
        let held = if let Step::Held(session) = step { session } else { Session(0) };
        if held != self.session {
            self.session = held;
            self.renewer.hurry();
            let name = &self.parts.names[self.parts.me.index()];
            match held {
                Session(0) => tracing::warn!("the session of node {name} has ended"),
                Session(_) => tracing::info!("node {name} begins session {held}"),
            }
        }
        match step {
            Step::Held(_) | Step::Wait => {}
            _ if self.leaving.is_some() => {}
            Step::OldCopy => old_copy::begin_anew(&self.parts.shared.folder),
            Step::Propose(command) => self.propose(command),
            Step::Begin(replaces) => {
                let nonce = RandomState::new().hash_one(replaces.0);
                let begun = self.parts.lives.begin(Session(replaces.0 + 1), nonce);
                begun.unwrap_or_else(|error| fatal::stop(&error));
                self.registration.begin(replaces, nonce);
            }
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message) {
        let now = clock::boot_millis();
        match message {
            Message::Renewal(renewal) if renewal.member.node == from => {
                self.controller.on_renewal(now, renewal);
            }
            Message::Grant(grant) => self.on_grant(&grant),
            Message::Surrender(member) if member.node == from => {
                let mut decisions = Decisions::default();
                self.controller.on_surrender(now, member, &mut decisions);
                self.carry_out(decisions);
            }
            Message::HandOver => self.parts.group.hint_down(from),
            Message::Renewal(_) | Message::Surrender(_) => {
                tracing::debug!("node {from} spoke for another node");
            }
        }
    }

    fn on_grant(&mut self, grant: &Grant) {
        if grant.member != self.member() || self.leaving.is_some() {
            return;
        }
        if let Some(until) = self.renewer.on_grant(grant) {
            let _ = self.parts.to_data.send(FromControl::Lease { until, version: grant.version });
        }
    }

    fn on_round(&mut self, number: u64, confirmed: Option<u64>) {
        let mut decisions = Decisions::default();
        let now = clock::boot_millis();
        self.controller.on_round(now, number, confirmed, &self.topology, &mut decisions);
        self.carry_out(decisions);
    }

    fn on_data(&mut self, asked: ToControl) {
        match asked {
            ToControl::Propose(command) => self.propose(command),
            ToControl::Surrender => {
                let now = clock::boot_millis();
                let member = self.member();
                self.leaving = Some(Leaving { began: now, member, say_at: now, has_left: false });
                self.hand_over(now);
                self.leave(now);
            }
        }
    }

    /// Lets another voter lead, if this one does: it can end this node's session at once, and no lease runs out for
    /// want of a controller.
    fn hand_over(&mut self, now: Millis) {
        let others: Vec<NodeId> =
            self.parts.voters.iter().copied().filter(|&voter| voter != self.parts.me).collect();
        if others.is_empty() || !self.parts.group.leadership().borrow().is_me {
            return;
        }
        self.leads = None;
        self.controller.on_leadership(now, Leadership::Follower, &mut Decisions::default());
        self.parts.group.hand_over();
        for voter in others {
            self.parts.links.say(voter, &Message::HandOver);
        }
    }

    fn tick(&mut self) {
        let now = clock::boot_millis();
        let mut decisions = Decisions::default();
        self.controller.tick(now, &self.topology, &mut decisions);
        self.carry_out(decisions);
        let before = self.session;
        self.register();
        if self.session != before {
            let (topology, session) = (Arc::clone(&self.topology), self.session);
            let _ = self.parts.to_data.send(FromControl::Topology { topology, session });
        }
        self.renew(now);
        self.leave(now);
    }

    /// Asks for the lease, if this node is well.
    fn renew(&mut self, now: Millis) {
        let is_alive = self.parts.shared.pulse.is_alive(now, 2 * self.parts.terms.term);
        if self.session == Session(0) || self.leaving.is_some() || !is_alive {
            return;
        }
        let news = self.parts.shared.news().clone();
        let Some(renewal) = self.renewer.tick(now, self.member(), news.offers, news.suspects) else { return };
        for &voter in &self.parts.voters {
            if voter == self.parts.me {
                self.controller.on_renewal(now, renewal.clone());
            } else {
                self.parts.links.say(voter, &Message::Renewal(renewal.clone()));
            }
        }
    }

    fn carry_out(&mut self, decisions: Decisions) {
        for command in decisions.propose {
            self.propose(command);
        }
        for grant in decisions.grants {
            if grant.member.node == self.parts.me {
                self.on_grant(&grant);
            } else {
                self.parts.links.say(grant.member.node, &Message::Grant(grant));
            }
        }
        if let Some(number) = decisions.round {
            let (group, rounds, leads) = (self.parts.group.clone(), self.rounds.clone(), self.leads);
            tokio::spawn(async move {
                let term = group.confirm().await.ok();
                let confirmed = leads.filter(|leads| term == Some(leads.term)).map(|leads| leads.number);
                let _ = rounds.send((number, confirmed)).await;
            });
        }
    }

    /// Has the group decide a command, unless the same is under way.
    fn propose(&self, command: Command) {
        let mut proposed = self.proposed.lock().unwrap_or_else(PoisonError::into_inner);
        if proposed.contains(&command) || proposed.len() >= PROPOSALS_MAX {
            return;
        }
        proposed.push(command.clone());
        drop(proposed);
        let (group, proposed) = (self.parts.group.clone(), Arc::clone(&self.proposed));
        tokio::spawn(async move {
            let decided = match &command {
                Command::ControllerUp { .. } => group.propose_as_leader(command.clone()).await,
                _ => group.propose(command.clone()).await,
            };
            match decided {
                Ok(Ok(version)) => tracing::debug!("decided at {version}: {command:?}"),
                Ok(Err(void)) => tracing::debug!("void, {void}: {command:?}"),
                Err(error) => tracing::debug!("not decided, {error}: {command:?}"),
            }
            proposed.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != command);
        });
    }

    /// Says that this node leaves, until the topology shows it.
    fn leave(&mut self, now: Millis) {
        let Some(leaving) = &mut self.leaving else { return };
        if now >= leaving.say_at && !leaving.has_left {
            leaving.say_at = now + SURRENDER_AGAIN;
            let member = leaving.member;
            for &voter in self.parts.voters.iter().filter(|voter| **voter != self.parts.me) {
                self.parts.links.say(voter, &Message::Surrender(member));
            }
            let mut decisions = Decisions::default();
            self.controller.on_surrender(now, member, &mut decisions);
            self.carry_out(decisions);
        }
        self.look_whether_left();
    }

    /// Tells the data thread once this node's session has ended and the chains that it was in are open without it.
    fn look_whether_left(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        let (topology, member) = (&self.topology, leaving.member);
        let is_over = !topology.is_live(member)
            && topology
                .partitions()
                .filter(|&partition| topology.keeps(member.node, partition))
                .all(|partition| topology.chain(partition).is_open() || topology.is_headless(partition));
        let has_waited = clock::boot_millis() >= leaving.began + LEAVE_TIMEOUT;
        if (is_over || has_waited || member.session == Session(0)) && !leaving.has_left {
            leaving.has_left = true;
            let _ = self.parts.to_data.send(FromControl::Left);
        }
    }
}
