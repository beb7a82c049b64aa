//! One node's whole part in the ring: its replicas, the coordinator of its clients' requests, its lease, and what
//! it knows of the others.
//!
//! A driver feeds it [`Event`]s and requests, calls [`Node::flush`] once all that was there to be read has been
//! read, then [`Node::release`] with a fresh look at the clock, and carries out the [`Effects`]. Messages of the node
//! to itself never leave it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_ring::{Ring, Token};
use simpledynamo_topology::{Member, NodeId, PartitionId, Session, Topology};

use crate::cache::Cache;
use crate::control::{Lease, Offer, Suspect};
use crate::coordinator::{Coordinator, View};
use crate::replica::{Context, Question, Read};
use crate::{
    Applied, CopyPage, DataKey, Durable, Effects, Entry, Envelope, Ignored, Limits, Links, Message, Millis,
    Now, Operation, Persist, Query, ReadFrom, Reading, Records, Refusal, Replica, Timing,
};

/// What a node starts from.
pub struct Setup {
    /// The ring.
    pub ring: Arc<Ring>,
    /// This node.
    pub node: NodeId,
    /// Bounds on values.
    pub limits: Limits,
    /// Memory for the pairs that were used last, in bytes.
    pub cache_bytes: u64,
    /// How long requests wait.
    pub timing: Timing,
    /// Which member answers reads.
    pub read_from: ReadFrom,
    /// What the log held of each replica; nothing for those that are new.
    pub replicas: BTreeMap<PartitionId, Durable>,
    /// How far the data has come.
    pub applied: BTreeMap<PartitionId, Applied>,
}

/// Something that happened to a node.
#[derive(Debug)]
pub enum Event {
    /// The control group has decided something.
    Topology {
        /// What the ring is now.
        topology: Arc<Topology>,
        /// The session that this process holds according to it; 0 if it holds none.
        session: Session,
    },
    /// A lease was granted.
    Lease {
        /// Until when it may be used, by this node's clock.
        until: Millis,
        /// The topology that must be known for that.
        version: u64,
    },
    /// A link to a node was made.
    LinkUp(NodeId),
    /// The link to a node broke.
    LinkDown(NodeId),
    /// A message came.
    Message(Envelope),
    /// These changes are durable; reported in the order in which they were asked for.
    Persisted(Vec<Persist>),
    /// The data has come this far.
    Applied(BTreeMap<PartitionId, Applied>),
    /// A page of a copy is in the data; with the last one, all of the copy is, durably.
    PageApplied {
        /// The partition.
        partition: PartitionId,
        /// The attachment that it came by.
        attachment: u64,
        /// The page's number.
        number: u32,
    },
    /// Entries were read from the log; `None` if it no longer has the first of them.
    Fetched {
        /// The partition.
        partition: PartitionId,
        /// The attachment that they are for.
        attachment: u64,
        /// The entries.
        entries: Option<Vec<Arc<Entry>>>,
    },
    /// A page of a snapshot was read.
    PageRead {
        /// The partition.
        partition: PartitionId,
        /// The attachment that it is for.
        attachment: u64,
        /// The page.
        page: CopyPage,
    },
    /// The node is about to leave: it answers no read any more, for good.
    Surrender,
    /// Time has passed.
    Tick,
}

/// A question, answered or on its way.
#[derive(Debug)]
pub enum Asked {
    /// Captured from this node's own replica: good if [`Node::has_lease`] says so after a fresh look at the clock.
    Captured(Reading),
    /// Will complete under this number.
    Pending(u64),
}

/// One node's whole part in the ring.
pub struct Node {
    /// Session 0 while the node is not registered.
    me: Member,
    limits: Limits,
    topology: Arc<Topology>,
    lease: Lease,
    /// Whether this process ever had a lease.
    was_leased: bool,
    /// The node is about to leave.
    has_surrendered: bool,
    links: Links,
    replicas: BTreeMap<PartitionId, Replica>,
    /// Shared by the replicas, since one may be used far more than another.
    cache: RefCell<Cache>,
    coordinator: Coordinator,
    /// Replicas that may have something to tell their neighbours.
    touched: Vec<PartitionId>,
}

impl Node {
    /// Starts a node from what its store held.
    ///
    /// # Panics
    /// When what the store held contradicts itself.
    #[must_use]
    pub fn new(mut setup: Setup, effects: &mut Effects) -> Self {
        let me = Member { node: setup.node, session: Session(0) };
        let topology = Topology::new(Arc::clone(&setup.ring));
        let mut replicas = BTreeMap::new();
        for id in topology.partitions().filter(|&id| topology.keeps(me.node, id)) {
            let log = setup.replicas.remove(&id).unwrap_or_default();
            let arc = setup.ring.partitions()[id.index()].clone();
            let replica = Replica::new(id, arc, me, log, setup.applied.remove(&id).unwrap_or_default());
            replica.recover(effects);
            replicas.insert(id, replica);
        }
        let (nodes, partitions) = (setup.ring.names().len(), topology.partitions().count());
        Self {
            me,
            limits: setup.limits,
            topology: Arc::new(topology),
            lease: Lease::default(),
            was_leased: false,
            has_surrendered: false,
            links: Links::new(me.node, nodes),
            coordinator: Coordinator::new(me, partitions, nodes, setup.timing, setup.read_from),
            replicas,
            cache: RefCell::new(Cache::new(setup.cache_bytes)),
            touched: Vec::new(),
        }
    }

    /// This node in its present session; session 0 while it has none.
    #[must_use]
    pub fn me(&self) -> Member {
        self.me
    }

    /// What the node knows of the ring.
    #[must_use]
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The node's replicas.
    #[must_use]
    pub fn replicas(&self) -> &BTreeMap<PartitionId, Replica> {
        &self.replicas
    }

    /// Whether the node may answer reads at this moment. What was captured may be answered if `now` was read after
    /// the capture and the node took no event in between (invariant I7).
    #[must_use]
    pub fn has_lease(&self, now: Millis) -> bool {
        self.lease.is_valid(now)
    }

    /// Whether every chain of the ring is whole, and this node has opened the forms that it is in.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let has_opened = |(&id, replica): (&PartitionId, &Replica)| {
            replica.is_serving() && replica.form() == self.topology.form(id)
        };
        self.topology.partitions().all(|id| self.topology.is_whole(id))
            && self.replicas.iter().all(has_opened)
    }

    /// Writes whose outcome is awaited.
    #[must_use]
    pub fn writes_in_flight(&self) -> usize {
        self.coordinator.writes_in_flight()
    }

    /// The partitions that this node could start, for its next renewal.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        self.replicas.values().filter_map(Replica::offer).collect()
    }

    /// The members that hold up a chain, as far as this node can tell, for its next renewal.
    #[must_use]
    pub fn suspects(&self) -> Vec<Suspect> {
        self.replicas.values().filter_map(Replica::suspect).collect()
    }

    /// Takes an event.
    pub fn step(&mut self, now: Now, event: Event, records: &dyn Records, effects: &mut Effects) {
        match event {
            Event::Topology { topology, session } => self.on_topology(now, topology, session, effects),
            Event::Lease { until, version } => {
                if !self.has_surrendered {
                    self.lease.grant(until, version);
                    self.retry_held(now, effects);
                }
            }
            Event::LinkUp(node) => self.on_link_up(now, node, effects),
            Event::LinkDown(node) => self.on_link_down(now, node, effects),
            Event::Message(envelope) => self.on_message(now, envelope, records, effects),
            Event::Persisted(persists) => {
                for persist in &persists {
                    let partition = persist.partition();
                    self.at(now, partition, records, |replica, context| {
                        replica.on_persisted(context, persist, effects);
                    });
                }
            }
            Event::Applied(applied) => {
                for (id, applied) in applied {
                    let replica =
                        self.replicas.get_mut(&id).expect("only this node's partitions are applied");
                    replica.on_applied(applied.up_to, self.cache.get_mut());
                }
            }
            Event::PageApplied { partition, attachment, number } => {
                self.at(now, partition, records, |replica, _| {
                    replica.on_page_applied(attachment, number, effects);
                });
            }
            Event::Fetched { partition, attachment, entries } => {
                self.at(now, partition, records, |replica, context| {
                    replica.on_fetched(context, attachment, entries, effects);
                });
            }
            Event::PageRead { partition, attachment, page } => {
                self.at(now, partition, records, |replica, _| {
                    replica.on_page_read(attachment, page, effects);
                });
            }
            Event::Surrender => {
                self.has_surrendered = true;
                self.lease.end();
            }
            Event::Tick => {
                let view = View { now: now.millis, topology: &self.topology, links: &self.links };
                let has_lease = self.lease.is_valid(now.millis);
                self.was_leased |= has_lease;
                self.coordinator.on_tick(view, has_lease, self.was_leased && !has_lease, effects);
                let ids: Vec<PartitionId> = self.replicas.keys().copied().collect();
                for id in ids {
                    self.at(now, id, records, |replica, context| replica.on_tick(context, effects));
                }
            }
        }
    }

    /// Starts a write; it completes under the number returned.
    pub fn write(&mut self, now: Now, key: Bytes, operation: Operation, effects: &mut Effects) -> u64 {
        let partition = self.partition_of(&key);
        let has_lease = self.lease.is_valid(now.millis);
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        self.coordinator.write(view, has_lease, partition, key, operation, effects)
    }

    /// Asks for a key: captured at once if this node's own replica can.
    pub fn read(&mut self, now: Now, query: Query, records: &dyn Records, effects: &mut Effects) -> Asked {
        let Query::Get { key, part } = &query else { unreachable!("other questions name their partition") };
        let token = Token::of(key);
        let partition = PartitionId::at(self.topology.ring().partition_of(token));
        let question = Question::Get(DataKey::with_token(token, key), *part);
        match self.capture(now, partition, &question, records) {
            Some(reading) => Asked::Captured(reading),
            None => Asked::Pending(self.forward(now, partition, query, effects)),
        }
    }

    /// Asks a member of a partition: captured at once if this node's own replica can.
    pub fn ask(
        &mut self,
        now: Now,
        partition: PartitionId,
        query: Query,
        records: &dyn Records,
        effects: &mut Effects,
    ) -> Asked {
        match self.capture(now, partition, &Question::of(&query), records) {
            Some(reading) => Asked::Captured(reading),
            None => Asked::Pending(self.forward(now, partition, query, effects)),
        }
    }

    /// What this node's own replica answers, if it can at once.
    fn capture(
        &self,
        now: Now,
        partition: PartitionId,
        question: &Question<'_>,
        records: &dyn Records,
    ) -> Option<Reading> {
        let replica = self.replicas.get(&partition)?;
        let is_asked = replica.form().is_some_and(|form| self.coordinator.reads_locally(form));
        if !is_asked || !self.lease.is_valid(now.millis) {
            return None;
        }
        let context = Context {
            now,
            records,
            cache: &self.cache,
            links: &self.links,
            limits: self.limits,
            topology: &self.topology,
            timing: self.coordinator.timing(),
        };
        match replica.read(&context, question) {
            Read::Answer(reading) => Some(reading),
            Read::Dirty { .. } | Read::NotServing => None,
        }
    }

    /// Sends a question to a member; it completes under the number returned.
    pub fn forward(&mut self, now: Now, partition: PartitionId, query: Query, effects: &mut Effects) -> u64 {
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        self.coordinator.read(view, partition, query, effects)
    }

    /// Says what has not been said yet, and delivers what the node said to itself.
    pub fn flush(&mut self, now: Now, records: &dyn Records, effects: &mut Effects) {
        loop {
            let own: Vec<Envelope> =
                effects.send.extract_if(.., |envelope| envelope.to.node == self.me.node).collect();
            if own.is_empty() {
                let touched = std::mem::take(&mut self.touched);
                if touched.is_empty() {
                    return;
                }
                for id in touched {
                    if let Some(replica) = self.replicas.get_mut(&id) {
                        replica.flush(now.millis, effects);
                    }
                }
            }
            for envelope in own {
                self.on_message(now, envelope, records, effects);
            }
        }
    }

    /// Sends the answers whose values were captured, if the lease is still valid by this look at the clock, which
    /// must come after the captures; otherwise refuses them (invariant I7). Returns whether there were any: then the
    /// node may have something to say to itself.
    pub fn release(&mut self, clock: Millis, effects: &mut Effects) -> bool {
        let is_valid = self.lease.is_valid(clock);
        let captured = std::mem::take(&mut effects.captured);
        let were_any = !captured.is_empty();
        for captured in captured {
            let mut envelope = captured.answer;
            if !is_valid && let Message::ReadDone { id, .. } = envelope.message {
                envelope.message = Message::ReadRefused { id, refusal: Refusal::NoLease };
            }
            effects.send.push(envelope);
        }
        were_any
    }

    /// The partition of a key.
    #[must_use]
    pub fn partition_of(&self, key: &[u8]) -> PartitionId {
        PartitionId::at(self.topology.ring().partition_of(Token::of(key)))
    }

    fn touch(&mut self, partition: PartitionId) {
        if !self.touched.contains(&partition) {
            self.touched.push(partition);
        }
    }

    /// Lets a replica take something.
    fn at(
        &mut self,
        now: Now,
        partition: PartitionId,
        records: &dyn Records,
        take: impl FnOnce(&mut Replica, &Context<'_>),
    ) {
        let context = Context {
            now,
            records,
            cache: &self.cache,
            links: &self.links,
            limits: self.limits,
            topology: &self.topology,
            timing: self.coordinator.timing(),
        };
        let replica = self.replicas.get_mut(&partition).expect("only this node's replicas ask for anything");
        take(replica, &context);
        self.touch(partition);
    }

    fn on_topology(&mut self, now: Now, topology: Arc<Topology>, session: Session, effects: &mut Effects) {
        if topology.version() <= self.topology.version() && session == self.me.session {
            return;
        }
        let before = std::mem::replace(&mut self.topology, topology);
        if session != self.me.session {
            self.begin_session(session, effects);
        }
        for replica in self.replicas.values_mut() {
            replica.on_topology(&self.topology, now.millis, effects);
        }
        self.touched = self.replicas.keys().copied().collect();
        // Only now: what is answered under a lease is answered by replicas that know at least this topology.
        self.lease.know(self.topology.version());
        let has_lease = self.lease.is_valid(now.millis);
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        for partition in self.topology.partitions() {
            if self.topology.chain(partition) != before.chain(partition) {
                self.coordinator.on_chain(view, has_lease, partition, effects);
            }
        }
    }

    /// The session so far has ended; 0 means that there is none now.
    fn begin_session(&mut self, session: Session, effects: &mut Effects) {
        self.lease.end();
        self.me.session = session;
        self.coordinator.begin_session(session, effects);
        for replica in self.replicas.values_mut() {
            replica.begin_session(session, effects);
        }
    }

    fn retry_held(&mut self, now: Now, effects: &mut Effects) {
        if self.lease.is_valid(now.millis) {
            let view = View { now: now.millis, topology: &self.topology, links: &self.links };
            self.coordinator.on_lease(view, effects);
        }
    }

    fn on_link_up(&mut self, now: Now, node: NodeId, effects: &mut Effects) {
        self.links.set(now.millis, node, true);
        // The new link has to carry again whatever the old one may have lost.
        for replica in self.replicas.values_mut() {
            replica.on_link_up(node, effects);
        }
        self.touched = self.replicas.keys().copied().collect();
        let has_lease = self.lease.is_valid(now.millis);
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        self.coordinator.on_link_up(view, has_lease, node, effects);
    }

    fn on_link_down(&mut self, now: Now, node: NodeId, effects: &mut Effects) {
        self.links.set(now.millis, node, false);
        for replica in self.replicas.values_mut() {
            replica.on_link_down(node, effects);
        }
        self.touched = self.replicas.keys().copied().collect();
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        self.coordinator.on_link_down(view, node, effects);
    }

    fn on_message(&mut self, now: Now, envelope: Envelope, records: &dyn Records, effects: &mut Effects) {
        if let Err(reason) = self.check_sessions(&envelope) {
            self.refuse_stranger(&envelope, effects);
            return effects.ignored.push(reason);
        }
        match &envelope.message {
            Message::WriteDone { .. }
            | Message::WriteRefused { .. }
            | Message::WriteForgotten { .. }
            | Message::ReadDone { .. }
            | Message::ReadRefused { .. } => {
                let view = View { now: now.millis, topology: &self.topology, links: &self.links };
                self.coordinator.on_message(view, envelope, effects);
            }
            Message::Read { id, .. } if !self.lease.is_valid(now.millis) => {
                let message = Message::ReadRefused { id: *id, refusal: Refusal::NoLease };
                effects.send.push(envelope.answer(message));
            }
            _ if !self.replicas.contains_key(&envelope.partition) => {
                effects.ignored.push(Ignored::WrongRole);
            }
            _ => {
                let partition = envelope.partition;
                self.at(now, partition, records, |replica, context| {
                    replica.on_message(context, envelope, effects);
                });
            }
        }
    }

    /// A message counts only between live sessions of its sender and its receiver (invariant I16).
    fn check_sessions(&self, envelope: &Envelope) -> Result<(), Ignored> {
        if envelope.to != self.me || self.me.session == Session(0) {
            return Err(Ignored::ReceiverSession);
        }
        if envelope.from.node.index() >= self.topology.ring().names().len()
            || envelope.partition.index() >= self.topology.ring().partitions().len()
            || !self.topology.is_live(envelope.from)
        {
            return Err(Ignored::SenderSession);
        }
        Ok(())
    }

    /// A request that comes before this node has heard of the sender's session is refused rather than dropped, so
    /// that it is tried again soon.
    fn refuse_stranger(&self, envelope: &Envelope, effects: &mut Effects) {
        if envelope.to != self.me || self.me.session == Session(0) {
            return;
        }
        let refusal = Refusal::NotServing;
        let message = match &envelope.message {
            Message::Write { id, copy, .. } => Message::WriteRefused { id: *id, copy: *copy, refusal },
            Message::Read { id, .. } => Message::ReadRefused { id: *id, refusal },
            _ => return,
        };
        effects.send.push(envelope.answer(message));
    }
}
