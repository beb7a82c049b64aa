//! A member of an open epoch: writes come down the chain, the watermark goes up.

use std::collections::BTreeMap;
use std::sync::Arc;

use simpledynamo_topology::{Epoch, Form, Member, NodeId};

use super::joiners::Joiner;
use super::{Context, Phase, Replica, envelope};
use crate::control::Suspect;
use crate::{
    Change, DataKey, Displaced, Effects, Entry, Envelope, Ignored, Known, Message, Millis, OpId, Operation,
    Persist, Refusal, Reply, Version,
};

/// What one replica may hold of entries that its data does not hold yet, in bytes: at some thousand writes of
/// a few hundred bytes in flight this is never met; it stops a flood of large values from filling memory.
const UNAPPLIED_BYTES_MAX: usize = 64 << 20;

/// An attachment's number is its epoch, and in so many bits a count.
const ATTACHMENT_BITS: u32 = 32;

/// What a member of an open epoch knows, and what it has told its neighbours.
pub(super) struct Service {
    pub(super) form: Form,
    /// The last entry of the log when the epoch was opened: what lies above the watermark up to here may have
    /// been committed in an earlier epoch.
    pub(super) base_end: u64,
    /// Whether the opening itself is durable here: before that, nothing of this epoch counts as durable.
    is_open_durable: bool,
    /// All up to here is durable in this replica's own log.
    durable_here: u64,
    /// All up to here is durable at every member above.
    durable_above: u64,
    /// Whether the successor still has to be told that the epoch is open.
    open_due: bool,
    /// The last entry sent to the successor.
    sent: u64,
    /// The durability told to the successor.
    durable_told: u64,
    /// The watermark told to the predecessor.
    watermark_told: u64,
    /// At the tail: the nodes that are being made members.
    pub(super) joiners: BTreeMap<NodeId, Joiner>,
    /// At the tail: the last attachment.
    pub(super) attached: u64,
    /// When the epoch was first seen to be served.
    served_since: Option<Millis>,
    /// The watermark when it was last seen to move, and when that was.
    moved: Option<(u64, Millis)>,
}

impl Service {
    pub(super) fn new(form: Form, me: NodeId, watermark: u64, end: u64) -> Self {
        let is_head = form.head().node == me;
        // Numbers of attachments differ from those of other epochs too: what the disk reports late of one must not be
        // taken for another's.
        let attached = form.epoch.0 << ATTACHMENT_BITS;
        Self {
            form,
            base_end: end,
            is_open_durable: false,
            durable_here: watermark,
            durable_above: if is_head { u64::MAX } else { watermark },
            open_due: true,
            sent: end,
            durable_told: 0,
            watermark_told: watermark,
            joiners: BTreeMap::new(),
            attached,
            served_since: None,
            moved: None,
        }
    }

    /// All up to here is durable here and at every member above.
    fn durable(&self) -> u64 {
        self.durable_here.min(self.durable_above)
    }

    /// At the tail: all up to here is durable at every member and every joiner that has to be waited for
    /// (invariant I2).
    fn committable(&self) -> u64 {
        let required = self.joiners.values().filter(|joiner| joiner.is_required).map(|joiner| joiner.stored);
        required.fold(self.durable(), u64::min)
    }

    /// The link to a node was made anew: what was told over the old one may be lost.
    pub(super) fn on_link_up(&mut self, me: NodeId, node: NodeId) {
        if self.form.successor(me).is_some_and(|member| member.node == node) {
            self.open_due = true;
        }
        if self.form.predecessor(me).is_some_and(|member| member.node == node) {
            self.watermark_told = 0;
        }
        if let Some(joiner) = self.joiners.get_mut(&node) {
            joiner.on_link_up();
        }
    }

    /// An entry of the log is durable here. Returns whether more is durable than before.
    pub(super) fn on_entry_durable(&mut self, seq: u64) -> bool {
        let is_next = self.is_open_durable && seq == self.durable_here + 1;
        if is_next {
            self.durable_here = seq;
        }
        is_next
    }

    /// The successor, if its link has been down for too long: the head refuses writes meanwhile, so that nothing would
    /// ever stand still in the log.
    fn out_of_reach(&mut self, me: Member, context: &Context<'_>, patience: Millis) -> Option<NodeId> {
        let now = context.now.millis;
        let served_since = *self.served_since.get_or_insert(now);
        let successor = self.form.successor(me.node)?;
        let down_since = context.links.out_of_reach_since(successor)?;
        (now >= down_since.max(served_since) + patience).then_some(successor.node)
    }

    /// Who keeps the watermark from moving, if it has stood still for too long below the end of the log.
    fn holds_up(
        &mut self,
        me: Member,
        watermark: u64,
        end: u64,
        now: Millis,
        patience: Millis,
    ) -> Option<NodeId> {
        let (_, since) = match self.moved {
            Some(moved) if watermark != end && watermark == moved.0 => moved,
            _ => *self.moved.insert((watermark, now)),
        };
        // Who waits for its own disk stops asking for a lease instead.
        if now < since + patience || self.durable_here < end {
            return None;
        }
        if self.durable_above < end {
            return self.form.predecessor(me.node).map(|member| member.node);
        }
        let joiner = self.joiners.values().find(|joiner| joiner.is_required && joiner.stored < end);
        let successor = self.form.successor(me.node).map(|member| member.node);
        successor.or(joiner.map(Joiner::node))
    }
}

/// A write as it came to the head.
pub(super) struct Write {
    pub(super) id: OpId,
    pub(super) copy: u32,
    pub(super) floor: u64,
    pub(super) key: bytes::Bytes,
    pub(super) operation: Operation,
}

impl Replica {
    pub(super) fn on_open_durable(
        &mut self,
        context: &Context<'_>,
        epoch: Epoch,
        end: u64,
        effects: &mut Effects,
    ) {
        if let Phase::Serving(service) = &mut self.phase
            && service.form.epoch == epoch
        {
            service.is_open_durable = true;
            service.durable_here = service.durable_here.max(end);
            self.commit(context, effects);
        }
    }

    pub(super) fn tick_serving(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let Phase::Serving(service) = &mut self.phase else { return };
        let (now, patience) = (context.now.millis, 2 * context.timing.lease);
        let cut_off = service.out_of_reach(self.me, context, patience);
        let holding = service.holds_up(self.me, self.log.watermark, self.log.end, now, patience);
        let holding = cut_off.or(holding);
        let (partition, epoch) = (self.partition, service.form.epoch);
        self.suspect = holding.map(|node| Suspect { partition, epoch, node });
        self.tick_joiners(context, effects);
    }

    pub(super) fn flush_serving(&mut self, effects: &mut Effects) {
        let Phase::Serving(service) = &mut self.phase else { return };
        let (form, log) = (&service.form, &self.log);
        let durable = service.durable().min(log.end);
        if let Some(successor) = form.successor(self.me.node) {
            let message = if service.open_due {
                let entries = log.entries_above(log.watermark).cloned().collect();
                Some(Message::Open { watermark: log.watermark, entries, durable })
            } else if service.sent < log.end {
                Some(Message::Append { entries: log.entries_above(service.sent).cloned().collect(), durable })
            } else if service.durable_told < durable {
                Some(Message::Durable { up_to: durable })
            } else {
                None
            };
            if let Some(message) = message {
                effects.send.push(envelope(form, self.me, successor, message));
                service.open_due = false;
                service.sent = log.end;
                service.durable_told = durable;
            }
        }
        if let Some(predecessor) = form.predecessor(self.me.node)
            && service.watermark_told < log.watermark
        {
            service.watermark_told = log.watermark;
            let message = Message::Watermark { up_to: log.watermark };
            effects.send.push(envelope(form, self.me, predecessor, message));
        }
    }

    pub(super) fn on_write(
        &mut self,
        context: &Context<'_>,
        epoch: Epoch,
        from: Member,
        write: Write,
        effects: &mut Effects,
    ) {
        let (id, copy) = (write.id, write.copy);
        let refuse = |refusal| Message::WriteRefused { id, copy, refusal };
        let answer = match &self.phase {
            Phase::Serving(service) if service.form.epoch == epoch && service.form.head() == self.me => {
                match self.log.writers.look_up(id) {
                    Known::Entry(version, reply) if version.seq <= self.log.watermark => {
                        Message::WriteDone { id, version, reply }
                    }
                    // The tail answers when it commits.
                    Known::Entry(..) => return effects.ignored.push(Ignored::Duplicate),
                    Known::Forgotten => Message::WriteForgotten { id },
                    Known::New if !self.reaches_successor(context) => refuse(Refusal::ChainBroken),
                    Known::New if self.weight > UNAPPLIED_BYTES_MAX => refuse(Refusal::Overloaded),
                    Known::New => return self.accept(context, write, effects),
                }
            }
            _ => refuse(Refusal::NotServing),
        };
        effects.send.push(Envelope {
            partition: self.partition,
            epoch,
            from: self.me,
            to: from,
            message: answer,
        });
    }

    /// A write that could not be forwarded is better refused for certain than taken and left unknown: a chain that has
    /// lost a member changes soon.
    fn reaches_successor(&self, context: &Context<'_>) -> bool {
        let successor = self.form().and_then(|form| form.successor(self.me.node));
        successor.is_none_or(|member| context.links.reach(member))
    }

    /// Evaluates a write at the head and makes entries of it: one for the write, and before it one that
    /// deletes the record there if that has expired.
    fn accept(&mut self, context: &Context<'_>, write: Write, effects: &mut Effects) {
        let key = DataKey::of(&write.key);
        let mut old = self.newest_record(context, &key);
        let is_lapse = matches!(write.operation, Operation::Lapse { .. });
        if !is_lapse && old.as_ref().is_some_and(|record| record.is_due(context.now.unix)) {
            let expired = Entry {
                version: Version::default(),
                id: OpId { node: self.me.node, session: self.me.session, counter: OpId::NOBODY },
                floor: 0,
                key: key.clone(),
                change: Change::Remove,
                displaced: Displaced::by_change_of(old.as_ref()),
                reply: Reply::Done,
            };
            self.append_as_head(expired, effects);
            old = None;
        }
        let evaluation = write.operation.evaluate(old.as_ref(), context.now.unix, context.limits);
        let entry = Entry {
            version: Version::default(),
            id: write.id,
            floor: write.floor,
            key,
            displaced: Displaced::by_change_of(old.as_ref()),
            change: evaluation.change,
            reply: evaluation.reply,
        };
        self.append_as_head(entry, effects);
    }

    fn append_as_head(&mut self, mut entry: Entry, effects: &mut Effects) {
        let Phase::Serving(service) = &self.phase else { unreachable!("only a serving head accepts writes") };
        entry.version = Version { epoch: service.form.epoch, seq: self.log.end + 1 };
        self.append(&Arc::new(entry), effects);
    }

    pub(super) fn on_append(
        &mut self,
        context: &Context<'_>,
        from: Member,
        entries: &[Arc<Entry>],
        durable: u64,
        effects: &mut Effects,
    ) {
        let Phase::Serving(service) = &self.phase else {
            return effects.ignored.push(Ignored::FutureEpoch);
        };
        if service.form.predecessor(self.me.node) != Some(from) {
            return effects.ignored.push(Ignored::WrongRole);
        }
        if !self.append_next(entries, effects) {
            return;
        }
        let Phase::Serving(service) = &mut self.phase else {
            unreachable!("appending does not stop a replica")
        };
        service.durable_above = service.durable_above.max(durable);
        self.commit(context, effects);
    }

    /// At the tail: commits what every member holds durably, and answers the coordinators.
    pub(super) fn commit(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let Phase::Serving(service) = &self.phase else { return };
        if service.form.tail() != self.me {
            return;
        }
        let committed = service.committable().min(self.log.end);
        if committed <= self.log.watermark {
            return;
        }
        let form = service.form.clone();
        for seq in self.log.watermark + 1..=committed {
            let entry = self.log.entry(seq).expect("what is not clean is in the log");
            if entry.id.counter == OpId::NOBODY {
                continue;
            }
            let to = Member { node: entry.id.node, session: entry.id.session };
            let message =
                Message::WriteDone { id: entry.id, version: entry.version, reply: entry.reply.clone() };
            effects.send.push(envelope(&form, self.me, to, message));
        }
        self.advance(context, committed, effects);
    }

    pub(super) fn on_watermark(
        &mut self,
        context: &Context<'_>,
        from: Member,
        up_to: u64,
        effects: &mut Effects,
    ) {
        let Phase::Serving(service) = &self.phase else {
            return effects.ignored.push(Ignored::FutureEpoch);
        };
        if service.form.successor(self.me.node) != Some(from) {
            return effects.ignored.push(Ignored::WrongRole);
        }
        if up_to > self.log.end {
            return effects.ignored.push(Ignored::Gap);
        }
        self.advance(context, up_to, effects);
    }

    /// Everything up to here is committed: it goes to the data, and reads that waited for it are answered.
    pub(super) fn advance(&mut self, context: &Context<'_>, up_to: u64, effects: &mut Effects) {
        if up_to <= self.log.watermark {
            return;
        }
        self.clean(up_to, effects);
        self.persist(Persist::Watermark { partition: self.partition, up_to }, effects);
        self.answer_waiting(context, effects);
    }
}
