//! What the leader of the control group decides: who is granted a lease, whose session has ended, who starts a
//! partition that nobody serves.

use std::collections::{BTreeMap, BTreeSet};

use simpledynamo_topology::{Command, Epoch, Form, Generation, Member, NodeId, PartitionId, Topology};

use super::{Grant, LeaseTerms, Offer, Renewal, Suspect};
use crate::Millis;

/// From proposing a command to proposing it again while the topology does not show it.
const PROPOSE_AGAIN: Millis = 200;

/// The part of a lease's term after which a tick is late, or no round confirmed: then the controller itself stood
/// still or was cut off, and silence that it heard meanwhile proves nothing.
const LATE_DIVISOR: Millis = 2;

/// Rounds per renewal: a renewal waits for its grant no longer than this part of the time between two.
const ROUNDS_PER_RENEWAL: Millis = 2;

/// How long to wait for others who could start a partition, once somebody can.
const START_GRACE: Millis = 1_000;

/// What a renewal said counts for this long: some renewals may be lost.
const NEWS_LASTS: Millis = 500;

/// Whether this voter leads the control group, as the group says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another voter does, or nobody.
    Follower,
    /// This voter does. The number differs from that of any other time it led, restarts of the process included.
    Leader(u64),
}

/// What the controller wants done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// To be proposed to the control group.
    pub propose: Vec<Command>,
    /// To be sent to their nodes.
    pub grants: Vec<Grant>,
    /// A round of this number is to begin in which a majority confirms that this voter leads;
    /// [`Controller::on_round`] is to be told of its end.
    pub round: Option<u64>,
}

/// The leader's part of the control group. On a voter that does not lead it does nothing.
///
/// Times are of the voter's own clock.
#[derive(Clone, Debug)]
pub struct Controller {
    me: NodeId,
    terms: LeaseTerms,
    phase: Phase,
    last_tick: Millis,
    last_round: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    Follower,
    /// `ControllerUp` is proposed and not applied here.
    Rising {
        nonce: u64,
        propose_at: Millis,
    },
    Active(Active),
}

#[derive(Clone, Debug)]
struct Active {
    nonce: u64,
    generation: Generation,
    /// Leases that others granted may be in force until a term after this.
    since: Millis,
    /// Silence counts from here on.
    counted_from: Millis,
    holders: BTreeMap<NodeId, Holder>,
    /// The renewals that the round under way will confirm; `None` if none is under way.
    round: Option<Round>,
    /// When the next round may begin.
    round_due: Millis,
    /// When the last confirmed round began.
    confirmed: Millis,
    headless: BTreeMap<PartitionId, Headless>,
}

#[derive(Clone, Debug)]
struct Round {
    number: u64,
    began: Millis,
    covers: Vec<(Member, u64)>,
}

#[derive(Clone, Debug)]
struct Headless {
    /// The form of which no session lives.
    epoch: Epoch,
    /// Since when somebody offers to start the partition.
    offered: Option<Millis>,
    propose_at: Millis,
}

#[derive(Clone, Debug)]
struct Holder {
    member: Member,
    /// When it was last heard.
    heard: Millis,
    /// When it was last granted a lease, as far as this controller may have done so or others before it.
    granted: Millis,
    /// The latest renewal that is not answered.
    asks: Option<u64>,
    /// It gets no more grants (invariant I10).
    is_revoked: bool,
    /// It said that it uses no lease any more.
    has_surrendered: bool,
    propose_at: Millis,
    offers: Vec<Offer>,
    suspects: Vec<Suspect>,
}

impl Controller {
    /// The controller of a voter that does not lead yet.
    #[must_use]
    pub fn new(me: NodeId, terms: LeaseTerms) -> Self {
        Self { me, terms, phase: Phase::Follower, last_tick: 0, last_round: 0 }
    }

    /// The activation under which this controller grants leases, if it does.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        match &self.phase {
            Phase::Active(active) => Some(active.generation),
            _ => None,
        }
    }

    /// The group says who leads. A new leader first has its activation committed: before that it grants nothing.
    pub fn on_leadership(&mut self, now: Millis, leadership: Leadership, decisions: &mut Decisions) {
        match (leadership, &self.phase) {
            (Leadership::Follower, _) => self.phase = Phase::Follower,
            (Leadership::Leader(led), Phase::Rising { nonce, .. } | Phase::Active(Active { nonce, .. }))
                if *nonce == led => {}
            (Leadership::Leader(nonce), _) => {
                self.last_tick = now;
                self.phase = Phase::Rising { nonce, propose_at: now + PROPOSE_AGAIN };
                decisions.propose.push(Command::ControllerUp { node: self.me, nonce });
            }
        }
    }

    /// A topology was applied at this voter.
    pub fn on_topology(&mut self, now: Millis, topology: &Topology) {
        let is_ours = |nonce| topology.state().controller == Some((self.me, nonce));
        match &mut self.phase {
            Phase::Follower => {}
            Phase::Rising { nonce, .. } => {
                if is_ours(*nonce) {
                    let active = Active::new(now, *nonce, topology);
                    self.phase = Phase::Active(active);
                }
            }
            // Somebody else was activated since: whatever this one still grants or says is void. If it leads all the same,
            // because the other is a former leader whose command came late, it has itself activated anew.
            Phase::Active(active) if !is_ours(active.nonce) => {
                self.phase = Phase::Rising { nonce: active.nonce, propose_at: now };
            }
            Phase::Active(active) => active.follow(now, topology),
        }
    }

    /// A renewal came.
    pub fn on_renewal(&mut self, now: Millis, renewal: Renewal) {
        let Phase::Active(active) = &mut self.phase else { return };
        let Some(holder) = active.holders.get_mut(&renewal.member.node) else { return };
        if holder.member != renewal.member {
            return;
        }
        holder.heard = now;
        holder.asks = holder.asks.max(Some(renewal.number));
        holder.offers = renewal.offers;
        holder.suspects = renewal.suspects;
    }

    /// A node says that it uses no lease any more and is about to leave.
    pub fn on_surrender(&mut self, now: Millis, member: Member, decisions: &mut Decisions) {
        let Phase::Active(active) = &mut self.phase else { return };
        let Some(holder) = active.holders.get_mut(&member.node).filter(|holder| holder.member == member)
        else {
            return;
        };
        holder.is_revoked = true;
        holder.has_surrendered = true;
        holder.propose_at = now + PROPOSE_AGAIN;
        decisions.propose.push(Command::Down { member, generation: active.generation });
    }

    /// A round has ended: a majority has confirmed, after it began, that this voter led under this number, or has not.
    pub fn on_round(
        &mut self,
        now: Millis,
        number: u64,
        confirmed: Option<u64>,
        topology: &Topology,
        decisions: &mut Decisions,
    ) {
        let Phase::Active(active) = &mut self.phase else { return };
        let Some(round) = active.round.take_if(|round| round.number == number) else { return };
        if confirmed != Some(active.nonce) {
            active.counted_from = now;
            return;
        }
        active.confirmed = round.began;
        for (member, number) in round.covers {
            let Some(holder) = active.holders.get_mut(&member.node) else { continue };
            if holder.member != member || holder.is_revoked {
                continue;
            }
            holder.granted = now;
            if holder.asks == Some(number) {
                holder.asks = None;
            }
            decisions.grants.push(Grant { member, number, version: topology.version() });
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Millis, topology: &Topology, decisions: &mut Decisions) {
        let late = self.terms.term / LATE_DIVISOR;
        let was_late = now > self.last_tick + late;
        self.last_tick = now;
        match &mut self.phase {
            Phase::Follower => {}
            Phase::Rising { nonce, propose_at } => {
                if is_due(propose_at, now) {
                    decisions.propose.push(Command::ControllerUp { node: self.me, nonce: *nonce });
                }
            }
            Phase::Active(active) => {
                if was_late || now > active.confirmed + late {
                    active.counted_from = now;
                }
                active.revoke(now, self.terms, topology);
                active.declare_down(now, self.terms, decisions);
                active.start_headless(now, topology, decisions);
                if active.round.is_none() && now >= active.round_due {
                    active.round_due = now + self.terms.renew_every / ROUNDS_PER_RENEWAL;
                    self.last_round += 1;
                    active.round = Some(active.next_round(now, self.last_round));
                    decisions.round = Some(self.last_round);
                }
            }
        }
    }
}

fn is_due(propose_at: &mut Millis, now: Millis) -> bool {
    let is_due = now >= *propose_at;
    if is_due {
        *propose_at = now + PROPOSE_AGAIN;
    }
    is_due
}

impl Active {
    fn new(now: Millis, nonce: u64, topology: &Topology) -> Self {
        let mut active = Self {
            nonce,
            generation: topology.generation(),
            since: now,
            counted_from: now,
            holders: BTreeMap::new(),
            round: None,
            round_due: now,
            confirmed: now,
            headless: BTreeMap::new(),
        };
        active.follow(now, topology);
        active
    }

    /// Keeps the table of sessions in step with the topology.
    fn follow(&mut self, now: Millis, topology: &Topology) {
        self.holders.retain(|_, holder| topology.is_live(holder.member));
        for (node, _) in topology.nodes() {
            let Some(member) = topology.live(node) else { continue };
            self.holders.entry(node).or_insert(Holder {
                member,
                heard: now,
                // Whoever led before may have granted it a lease until now.
                granted: now,
                asks: None,
                is_revoked: false,
                has_surrendered: false,
                propose_at: 0,
                offers: Vec::new(),
                suspects: Vec::new(),
            });
        }
    }

    /// A round that confirms what was asked for so far.
    fn next_round(&self, now: Millis, number: u64) -> Round {
        let asking = self.holders.values().filter_map(|holder| Some((holder.member, holder.asks?)));
        Round { number, began: now, covers: asking.collect() }
    }

    /// Stops granting to whoever is silent, and to one member of each chain that others say stands still.
    fn revoke(&mut self, now: Millis, terms: LeaseTerms, topology: &Topology) {
        let counted_from = self.counted_from;
        for holder in self.holders.values_mut() {
            let silent_since = holder.heard.max(counted_from);
            if now >= terms.over_at(silent_since) {
                holder.is_revoked = true;
            }
        }
        for node in self.stuck(now, topology) {
            if let Some(holder) = self.holders.get_mut(&node) {
                holder.is_revoked = true;
            }
        }
    }

    /// The members that hold up a chain: of each chain the one that most others name, else the later one.
    fn stuck(&self, now: Millis, topology: &Topology) -> Vec<NodeId> {
        let mut named: BTreeMap<PartitionId, BTreeMap<NodeId, usize>> = BTreeMap::new();
        for holder in self.holders.values().filter(|holder| now <= holder.heard + NEWS_LASTS) {
            for suspect in &holder.suspects {
                let form = topology.form(suspect.partition);
                if form.is_some_and(|form| form.epoch == suspect.epoch) {
                    *named.entry(suspect.partition).or_default().entry(suspect.node).or_default() += 1;
                }
            }
        }
        let is_leaving = |node: &NodeId| self.holders.get(node).is_none_or(|holder| holder.is_revoked);
        let choose = |(partition, votes): (PartitionId, BTreeMap<NodeId, usize>)| {
            let form = topology.form(partition)?;
            if form.members.iter().any(|member| is_leaving(&member.node)) {
                // One at a time: the chain changes anyway.
                return None;
            }
            let place = |node: NodeId| form.position(node).unwrap_or(form.members.len());
            let chosen = votes.into_iter().max_by_key(|(node, count)| (*count, place(*node)))?.0;
            let is_last = form.members.len() == 1 && form.position(chosen).is_some();
            (!is_last).then_some(chosen)
        };
        named.into_iter().filter_map(choose).collect()
    }

    /// Declares down whoever was revoked, once its lease has run out for certain (invariant I8).
    fn declare_down(&mut self, now: Millis, terms: LeaseTerms, decisions: &mut Decisions) {
        let (since, generation) = (self.since, self.generation);
        for holder in self.holders.values_mut().filter(|holder| holder.is_revoked) {
            let is_over = now >= terms.over_at(holder.granted.max(since));
            if (is_over || holder.has_surrendered) && is_due(&mut holder.propose_at, now) {
                decisions.propose.push(Command::Down { member: holder.member, generation });
            }
        }
    }

    /// Has the partitions started of whose form no session lives.
    fn start_headless(&mut self, now: Millis, topology: &Topology, decisions: &mut Decisions) {
        self.headless.retain(|&partition, _| topology.is_headless(partition));
        for partition in topology.partitions().filter(|&partition| topology.is_headless(partition)) {
            let form = topology.form(partition).expect("only a form can be headless");
            let offers = self.offers(now, form);
            let fresh = Headless { epoch: form.epoch, offered: None, propose_at: 0 };
            let headless = self.headless.entry(partition).or_insert_with(|| fresh.clone());
            if headless.epoch != form.epoch {
                *headless = fresh;
            }
            let Some((_, _, member)) = offers.iter().max() else {
                headless.offered = None;
                continue;
            };
            let offered = *headless.offered.get_or_insert(now);
            let here: BTreeSet<NodeId> = offers.iter().map(|(_, _, member)| member.node).collect();
            let are_all_here = topology.chain(partition).eligible.is_subset(&here);
            if (are_all_here || now >= offered + START_GRACE) && is_due(&mut headless.propose_at, now) {
                decisions.propose.push(Command::Start {
                    partition,
                    epoch: form.epoch,
                    member: *member,
                    generation: self.generation,
                });
            }
        }
    }

    fn offers(&self, now: Millis, form: &Form) -> Vec<(Epoch, u64, Member)> {
        let fresh =
            self.holders.values().filter(|holder| !holder.is_revoked && now <= holder.heard + NEWS_LASTS);
        fresh
            .flat_map(|holder| holder.offers.iter().map(|offer| (offer, holder.member)))
            .filter(|(offer, _)| offer.partition == form.partition && offer.epoch == form.epoch)
            .map(|(offer, member)| (offer.open, offer.end, member))
            .collect()
    }
}
