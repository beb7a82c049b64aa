//! One node's whole part in the ring: its replicas, the coordinator of its clients' requests, and what it
//! knows of the others.
//!
//! A driver feeds it [`Event`]s and requests, calls [`Node::flush`] once all that was there to be read has
//! been read, and carries out the [`Effects`]. Messages of the node to itself never leave it.

use std::collections::BTreeMap;

use bytes::Bytes;
use simpledynamo_ring::Token;
use simpledynamo_topology::{Command, Epoch, Form, Member, NodeId, PartitionId, Session, Topology};

use crate::coordinator::{Coordinator, View};
use crate::replica::{Context, Read};
use crate::{
    Applied, Durable, Effects, Envelope, Ignored, Limits, Links, Message, Now, Operation, Persist, Query,
    ReadFrom, Reading, Records, Replica, Timing,
};

/// What a node starts from.
pub struct Setup {
    /// The ring, no sessions known.
    pub topology: Topology,
    /// This node in the session that now begins; the session is durable already.
    pub me: Member,
    /// Bounds on values.
    pub limits: Limits,
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
    /// A node has introduced itself: it is in this session now.
    Heard(Member),
    /// A link to a node was made, and this is the session at its other end.
    LinkUp(Member),
    /// The link to a node broke.
    LinkDown(NodeId),
    /// A node that numbers a partition's forms tells one.
    Form(Form),
    /// A message came.
    Message(Envelope),
    /// These changes are durable; reported in the order in which they were asked for.
    Persisted(Vec<Persist>),
    /// The data has come this far.
    Applied(BTreeMap<PartitionId, Applied>),
    /// Time has passed.
    Tick,
}

/// A question, answered or on its way.
#[derive(Debug)]
pub enum Asked {
    /// Answered from this node's own replica.
    Answered(Reading),
    /// Will complete under this number.
    Pending(u64),
}

/// One node's whole part in the ring.
pub struct Node {
    me: Member,
    limits: Limits,
    topology: Topology,
    links: Links,
    replicas: BTreeMap<PartitionId, Replica>,
    coordinator: Coordinator,
    /// Of the partitions whose forms this node numbers, the form that everybody may hear of: the node's own
    /// seal for it is durable, so no later session of it can give the number to another form (invariant I1).
    numbered: BTreeMap<PartitionId, Epoch>,
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
        let (me, topology) = (setup.me, &mut setup.topology);
        let mine: Vec<PartitionId> =
            topology.partitions().filter(|&id| topology.preference(id).any(|node| node == me.node)).collect();
        let mut replicas = BTreeMap::new();
        for id in mine {
            let log = setup.replicas.remove(&id).unwrap_or_default();
            // The last form may have been told to some already, so the next one needs a higher number.
            topology.apply(Command::Raise(id, log.sealed.max(log.open)));
            let arc = topology.ring().partitions()[id.index()].clone();
            let replica = Replica::new(id, arc, me, log, setup.applied.remove(&id).unwrap_or_default());
            replica.recover(effects);
            replicas.insert(id, replica);
        }
        let nodes = topology.ring().names().len();
        let partitions = topology.partitions().count();
        let mut node = Self {
            me,
            limits: setup.limits,
            links: Links::new(me, nodes),
            coordinator: Coordinator::new(me, partitions, nodes, setup.timing, setup.read_from),
            replicas,
            topology: setup.topology,
            numbered: BTreeMap::new(),
            touched: Vec::new(),
        };
        node.register(me, effects);
        node
    }

    /// This node in its present session.
    #[must_use]
    pub fn me(&self) -> Member {
        self.me
    }

    /// What the node knows of the ring.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The node's replicas.
    #[must_use]
    pub fn replicas(&self) -> &BTreeMap<PartitionId, Replica> {
        &self.replicas
    }

    /// Whether every chain is formed, and those that this node is in are open and all of their members can be
    /// reached, as far as this node knows.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let is_open = |replica: &Replica| {
            let form = replica.form().filter(|_| replica.is_serving());
            form.is_some_and(|form| self.links.reach_all(&form.members))
        };
        self.topology.partitions().all(|partition| self.topology.form(partition).is_some())
            && self.replicas.values().all(is_open)
    }

    /// Writes whose outcome is awaited.
    #[must_use]
    pub fn writes_in_flight(&self) -> usize {
        self.coordinator.writes_in_flight()
    }

    /// Takes an event.
    pub fn step(&mut self, now: Now, event: Event, records: &dyn Records, effects: &mut Effects) {
        match event {
            Event::Heard(member) => self.on_heard(now, member, effects),
            Event::LinkUp(member) => self.on_link_up(now, member, effects),
            Event::LinkDown(node) => {
                self.links.set(node, None);
                let view = View { now: now.millis, topology: &self.topology, links: &self.links };
                self.coordinator.on_link_down(view, node, effects);
            }
            Event::Form(form) => self.on_form_told(now, form, effects),
            Event::Message(envelope) => self.on_message(now, envelope, records, effects),
            Event::Persisted(persists) => {
                for persist in &persists {
                    self.on_persisted(now, persist, records, effects);
                }
            }
            Event::Applied(applied) => {
                for (id, applied) in applied {
                    let replica =
                        self.replicas.get_mut(&id).expect("only this node's partitions are applied");
                    replica.on_applied(applied.up_to);
                }
            }
            Event::Tick => {
                let view = View { now: now.millis, topology: &self.topology, links: &self.links };
                self.coordinator.on_tick(view, effects);
            }
        }
    }

    /// Starts a write; it completes under the number returned.
    pub fn write(&mut self, now: Now, key: Bytes, operation: Operation, effects: &mut Effects) -> u64 {
        let partition = self.partition_of(&key);
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        self.coordinator.write(view, partition, key, operation, effects)
    }

    /// Asks for a key: answered at once if this node's own replica can.
    pub fn read(&mut self, now: Now, query: Query, records: &dyn Records, effects: &mut Effects) -> Asked {
        let Query::Get { key, .. } = &query else { unreachable!("other questions name their partition") };
        let partition = self.partition_of(key);
        self.ask(now, partition, query, records, effects)
    }

    /// Asks a member of a partition: answered at once if this node's own replica can.
    pub fn ask(
        &mut self,
        now: Now,
        partition: PartitionId,
        query: Query,
        records: &dyn Records,
        effects: &mut Effects,
    ) -> Asked {
        if let Some(replica) = self.replicas.get(&partition)
            && replica.form().is_some_and(|form| self.coordinator.reads_locally(form))
        {
            let context = Context { now, records, links: &self.links, limits: self.limits };
            if let Read::Answer(reading) = replica.read(&context, &query) {
                return Asked::Answered(reading);
            }
        }
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        Asked::Pending(self.coordinator.read(view, partition, query, effects))
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
                        replica.flush(effects);
                    }
                }
            }
            for envelope in own {
                self.on_message(now, envelope, records, effects);
            }
        }
    }

    fn partition_of(&self, key: &[u8]) -> PartitionId {
        let index = self.topology.ring().partition_of(Token::of(key));
        PartitionId(u16::try_from(index).expect("at most 65,535 partitions"))
    }

    fn touch(&mut self, partition: PartitionId) {
        if !self.touched.contains(&partition) {
            self.touched.push(partition);
        }
    }

    /// A node begins a session: the chains that it is in, and whose forms this node numbers, are formed anew.
    fn register(&mut self, member: Member, effects: &mut Effects) -> Vec<PartitionId> {
        let mut formed = self.topology.apply(Command::Register(member));
        formed.retain(|&partition| self.reform(partition, effects));
        formed
    }

    /// Forms a chain anew if that is this node's to do and every member is known.
    fn reform(&mut self, partition: PartitionId, effects: &mut Effects) -> bool {
        let is_ours = self.topology.former(partition) == self.me.node;
        let is_formed = is_ours && !self.topology.apply(Command::Reform(partition)).is_empty();
        if is_formed {
            // The others are told once our own seal is durable.
            let form = self.topology.form(partition).expect("it was formed just now").clone();
            let replica = self.replicas.get_mut(&partition).expect("the former keeps its partition");
            replica.on_form(form, effects);
            self.touch(partition);
        }
        is_formed
    }

    /// As the node that numbers this partition's forms: tells everybody the one that it has sealed for.
    fn tell_form(&mut self, partition: PartitionId, sealed: Epoch, effects: &mut Effects) {
        if self.topology.former(partition) != self.me.node {
            return;
        }
        self.numbered.insert(partition, sealed);
        let form = self.topology.form(partition).expect("what it sealed for was formed").clone();
        if form.epoch != sealed {
            // There is a newer one already, whose seal comes next.
            return;
        }
        let nodes = self.topology.ring().names().len();
        let others = (0..nodes).filter(|&index| index != self.me.node.index());
        effects.forms.extend(others.map(|index| (node_id(index), form.clone())));
    }

    fn on_heard(&mut self, now: Now, member: Member, effects: &mut Effects) {
        if member.session <= self.topology.session(member.node) {
            return;
        }
        // Whatever we call a link to it leads to a session that has ended.
        self.links.set(member.node, None);
        let formed = self.register(member, effects);
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        for partition in formed {
            self.coordinator.on_form(view, partition, effects);
        }
    }

    fn on_link_up(&mut self, now: Now, member: Member, effects: &mut Effects) {
        if member.session < self.topology.session(member.node) {
            return effects.ignored.push(Ignored::SenderSession);
        }
        self.links.set(member.node, Some(member.session));
        let formed = self.register(member, effects);
        // The new link has to carry again whatever the old one may have lost; forms first.
        for partition in self.topology.partitions() {
            if self.topology.former(partition) == self.me.node
                && let Some(form) = self.topology.form(partition)
                && self.numbered.get(&partition) == Some(&form.epoch)
            {
                effects.forms.push((member.node, form.clone()));
            }
        }
        let ids: Vec<PartitionId> = self.replicas.keys().copied().collect();
        for id in ids {
            self.replicas.get_mut(&id).expect("listed").on_link_up(member.node, effects);
            self.touch(id);
        }
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        for partition in formed {
            self.coordinator.on_form(view, partition, effects);
        }
        self.coordinator.on_link_up(view, member.node, effects);
    }

    fn on_form_told(&mut self, now: Now, form: Form, effects: &mut Effects) {
        let partition = form.partition;
        let is_known = self.topology.form(partition) == Some(&form);
        if !is_known && self.topology.apply(Command::Adopt(form.clone())).is_empty() {
            self.refuse_form(&form, effects);
            return effects.ignored.push(Ignored::StaleEpoch);
        }
        if let Some(replica) = self.replicas.get_mut(&partition) {
            replica.on_form(form, effects);
            self.touch(partition);
        }
        let view = View { now: now.millis, topology: &self.topology, links: &self.links };
        self.coordinator.on_form(view, partition, effects);
    }

    /// The number of this form is used up. Either the form is told late, and its head knows of the newer one,
    /// or the head's disk has lost what was numbered, and it must give a higher number.
    fn refuse_form(&mut self, form: &Form, effects: &mut Effects) {
        let used = self.topology.form(form.partition).expect("only a known form voids another").epoch;
        if form.member(self.me.node) == Some(self.me) {
            let message = Message::SealRefused { used };
            let (partition, epoch, from, to) = (form.partition, form.epoch, self.me, form.head());
            effects.send.push(Envelope { partition, epoch, from, to, message });
        }
    }

    fn on_message(&mut self, now: Now, envelope: Envelope, records: &dyn Records, effects: &mut Effects) {
        if let Err(reason) = self.check_sessions(&envelope) {
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
            &Message::SealRefused { used } => self.on_seal_refused(now, &envelope, used, effects),
            _ => {
                let partition = envelope.partition;
                let context = Context { now, records, links: &self.links, limits: self.limits };
                let Some(replica) = self.replicas.get_mut(&partition) else {
                    return effects.ignored.push(Ignored::WrongRole);
                };
                replica.on_message(&context, envelope, effects);
                self.touch(partition);
            }
        }
    }

    /// A message counts only between the present sessions of its sender and its receiver (invariant I16).
    fn check_sessions(&self, envelope: &Envelope) -> Result<(), Ignored> {
        if envelope.to != self.me {
            return Err(Ignored::ReceiverSession);
        }
        if envelope.from.session != self.topology.session(envelope.from.node) {
            return Err(Ignored::SenderSession);
        }
        Ok(())
    }

    /// A member knows of a later form than ours: number the next one above that.
    fn on_seal_refused(&mut self, now: Now, envelope: &Envelope, used: Epoch, effects: &mut Effects) {
        let partition = envelope.partition;
        let is_current = self.topology.form(partition).is_some_and(|form| form.epoch == envelope.epoch);
        if self.topology.former(partition) != self.me.node || !is_current {
            return effects.ignored.push(Ignored::StaleEpoch);
        }
        self.topology.apply(Command::Raise(partition, used));
        if self.reform(partition, effects) {
            let view = View { now: now.millis, topology: &self.topology, links: &self.links };
            self.coordinator.on_form(view, partition, effects);
        }
    }

    fn on_persisted(&mut self, now: Now, persist: &Persist, records: &dyn Records, effects: &mut Effects) {
        let partition = match persist {
            Persist::Session(_) => return,
            Persist::Seal { partition, .. }
            | Persist::Open { partition, .. }
            | Persist::Append { partition, .. }
            | Persist::Watermark { partition, .. } => *partition,
        };
        let context = Context { now, records, links: &self.links, limits: self.limits };
        let replica = self.replicas.get_mut(&partition).expect("only this node's replicas ask for changes");
        replica.on_persisted(&context, persist, effects);
        if let Persist::Seal { epoch, .. } = persist {
            self.tell_form(partition, *epoch, effects);
        }
        self.touch(partition);
    }
}

fn node_id(index: usize) -> NodeId {
    NodeId(u16::try_from(index).expect("at most 65,535 nodes"))
}

/// The session after the last one that a store recorded.
#[must_use]
pub fn next_session(last: Session) -> Session {
    Session(last.0 + 1)
}
