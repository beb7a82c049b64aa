//! One node's part in the chain of one partition.
//!
//! A replica is either *forming* or *serving*. A new [`Form`] stops it: it seals everything before the form's
//! epoch, durably, and reports to the form's head what it holds. The head waits until all members have
//! sealed, then opens the epoch: the highest watermark reported, and its own log above it, go down the chain
//! as one unit, and replace whatever the others hold above that watermark. From then on the epoch serves.
//!
//! While serving, [`Replica::flush`] says what neighbours have not been told yet: new entries and *durable up
//! to* down the chain, the watermark up the chain. So whatever happened since the last flush travels in one
//! message, and a link that was lost is served again by forgetting what had been told.
//!
//! Why an acknowledged write is never lost: the tail commits only what every member holds durably
//! (`Replica::commit`), and the base of each epoch holds all that any member may know to be committed,
//! because the head's own log does.

mod formation;
mod reading;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use simpledynamo_ring::Partition;
use simpledynamo_topology::{Epoch, Form, Member, NodeId, PartitionId};

use crate::{
    Applied, Change, Counts, DataKey, Displaced, Durable, Effects, Entry, Envelope, Ignored, Known, Limits,
    Links, Message, Now, OpId, Operation, Persist, Record, Records, Refusal, Reply, Version,
};
use formation::Formation;
pub(crate) use reading::Read;
use reading::Waiting;
use versions::Versions;

/// What one replica may hold of entries that its data does not hold yet, in bytes: at some thousand writes of
/// a few hundred bytes in flight this is never met; it stops a flood of large values from filling memory.
pub(crate) const UNAPPLIED_BYTES_MAX: usize = 64 << 20;

/// What every step of a replica can see.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) records: &'a dyn Records,
    pub(crate) links: &'a Links,
    pub(crate) limits: Limits,
}

/// One node's part in the chain of one partition.
///
/// Invariants: `watermark <= durable() <= end` while serving; what is clean never changes again (I14); nothing is
/// answered, accepted or committed unless `form` is opened (I4).
pub struct Replica {
    partition: PartitionId,
    arc: Partition,
    me: Member,
    log: Durable,
    versions: Versions,
    /// Bytes of the entries in the log.
    weight: usize,
    applied: u64,
    counts: Counts,
    phase: Phase,
    /// Reads of dirty keys, by the entry that must be clean first.
    waiting: BTreeMap<u64, Vec<Waiting>>,
    /// How many reads wait.
    waiting_count: usize,
}

enum Phase {
    /// No form has been heard of in this session.
    Idle,
    /// The chain is being formed.
    Forming(Formation),
    /// The epoch is open.
    Serving(Service),
}

/// What a member of an open epoch knows, and what it has told its neighbours.
struct Service {
    form: Form,
    /// The last entry of the log when the epoch was opened: what lies above the watermark up to here may have
    /// been committed in an earlier epoch.
    base_end: u64,
    /// Whether the opening itself is durable here: before that, nothing of this epoch counts as durable.
    opened: bool,
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
}

impl Service {
    fn new(form: Form, me: NodeId, watermark: u64, end: u64) -> Self {
        let is_head = form.head().node == me;
        Self {
            form,
            base_end: end,
            opened: false,
            durable_here: watermark,
            durable_above: if is_head { u64::MAX } else { watermark },
            open_due: true,
            sent: end,
            durable_told: 0,
            watermark_told: watermark,
        }
    }

    /// All up to here is durable here and at every member above.
    fn durable(&self) -> u64 {
        self.durable_here.min(self.durable_above)
    }
}

impl Replica {
    /// A replica as its log and data left it, before it takes part in anything.
    ///
    /// # Panics
    /// When the log does not reach back to what the data holds: the store promises that it does.
    #[must_use]
    pub fn new(partition: PartitionId, arc: Partition, me: Member, log: Durable, applied: Applied) -> Self {
        let mut replica = Self {
            partition,
            arc,
            me,
            log,
            versions: Versions::default(),
            weight: 0,
            applied: applied.up_to,
            counts: applied.counts,
            phase: Phase::Idle,
            waiting: BTreeMap::new(),
            waiting_count: 0,
        };
        assert!(applied.up_to <= replica.log.watermark, "only committed entries are applied");
        assert_eq!(
            applied.up_to + replica.log.entries.len() as u64,
            replica.log.end,
            "the log holds every entry above what the data holds"
        );
        for entry in &replica.log.entries {
            replica.versions.push(entry);
            replica.weight += entry.weight();
        }
        for seq in applied.up_to + 1..=replica.log.watermark {
            replica.count(seq);
        }
        replica
    }

    /// The recovered entries that are committed and not yet in the data: to be applied first of all.
    pub(crate) fn recover(&self, effects: &mut Effects) {
        let clean = self.log.entries.iter().take_while(|entry| entry.version.seq <= self.log.watermark);
        effects.apply.extend(clean.map(|entry| (self.partition, Arc::clone(entry))));
    }

    /// The form that this replica serves or is forming.
    #[must_use]
    pub fn form(&self) -> Option<&Form> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Forming(formation) => Some(&formation.form),
            Phase::Serving(service) => Some(&service.form),
        }
    }

    /// Whether the replica takes part in an open epoch.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving(_))
    }

    /// The durable state, as far as it has been accepted.
    #[must_use]
    pub fn log(&self) -> &Durable {
        &self.log
    }

    /// Counters of the clean pairs.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a message whose sessions have been checked.
    pub(crate) fn on_message(&mut self, context: &Context<'_>, envelope: Envelope, effects: &mut Effects) {
        let Envelope { epoch, from, message, .. } = envelope;
        // Requests get an answer when they cannot be served; the chain's own messages are dropped.
        match message {
            Message::Write { id, copy, floor, key, operation } => {
                let write = Write { id, copy, floor, key, operation };
                return self.on_write(context, epoch, from, write, effects);
            }
            Message::Read { id, query } => return self.on_read(context, epoch, from, id, query, effects),
            _ => {}
        }
        match self.form().map(|form| form.epoch) {
            Some(known) if epoch == known => {}
            Some(known) if epoch < known => return effects.ignored.push(Ignored::StaleEpoch),
            _ => return effects.ignored.push(Ignored::FutureEpoch),
        }
        match message {
            Message::Sealed { watermark, end, open } => {
                self.on_sealed(from, formation::Report { watermark, end, open }, effects);
            }
            Message::Open { watermark, entries, durable } => {
                self.on_open(context, from, watermark, &entries, durable, effects);
            }
            Message::Append { entries, durable } => self.on_append(context, from, &entries, durable, effects),
            Message::Durable { up_to } => self.on_append(context, from, &[], up_to, effects),
            Message::Watermark { up_to } => self.on_watermark(context, from, up_to, effects),
            _ => effects.ignored.push(Ignored::WrongRole),
        }
    }

    /// The link to a node was made anew: what was told over the old one may be lost.
    pub(crate) fn on_link_up(&mut self, node: NodeId, effects: &mut Effects) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Forming(_) => self.report_seal(effects),
            Phase::Serving(service) => {
                if service.form.successor(self.me.node).is_some_and(|member| member.node == node) {
                    service.open_due = true;
                }
                if service.form.predecessor(self.me.node).is_some_and(|member| member.node == node) {
                    service.watermark_told = 0;
                }
            }
        }
    }

    /// A change that this replica asked for is durable.
    pub(crate) fn on_persisted(&mut self, context: &Context<'_>, persist: &Persist, effects: &mut Effects) {
        match persist {
            Persist::Seal { epoch, .. } => self.on_seal_durable(*epoch, effects),
            Persist::Open { epoch, entries, watermark, .. } => {
                let end = entries.last().map_or(*watermark, |entry| entry.version.seq);
                if let Phase::Serving(service) = &mut self.phase
                    && service.form.epoch == *epoch
                {
                    service.opened = true;
                    service.durable_here = service.durable_here.max(end);
                    self.commit(context, effects);
                }
            }
            Persist::Append { entry, .. } => {
                let seq = entry.version.seq;
                // An entry that has been replaced since must not count for the one in its place.
                let is_current = self.log.entry(seq).is_some_and(|held| held.version == entry.version);
                if let Phase::Serving(service) = &mut self.phase
                    && service.opened
                    && is_current
                    && seq == service.durable_here + 1
                {
                    service.durable_here = seq;
                    self.commit(context, effects);
                }
            }
            Persist::Session(_) | Persist::Watermark { .. } => {}
        }
    }

    /// The data holds all entries up to here.
    pub(crate) fn on_applied(&mut self, up_to: u64) {
        assert!(up_to <= self.log.watermark, "only committed entries are applied");
        for seq in self.applied + 1..=up_to {
            let entry = Arc::clone(self.log.entry(seq).expect("entries stay until the data holds them"));
            self.versions.remove(&entry);
            self.weight -= entry.weight();
        }
        self.applied = self.applied.max(up_to);
        self.log.forget_up_to(up_to);
    }

    /// Tells the neighbours what they have not been told yet.
    pub(crate) fn flush(&mut self, effects: &mut Effects) {
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

    fn on_write(
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
                    Known::New if !context.links.reach_all(&service.form.members) => {
                        refuse(Refusal::ChainBroken)
                    }
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
                key: write.key.clone(),
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
            key: write.key,
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

    /// Adds the next entry to the log.
    fn append(&mut self, entry: &Arc<Entry>, effects: &mut Effects) {
        self.versions.push(entry);
        self.weight += entry.weight();
        self.persist(Persist::Append { partition: self.partition, entry: Arc::clone(entry) }, effects);
    }

    /// Takes a change over and asks for it to be made durable.
    fn persist(&mut self, persist: Persist, effects: &mut Effects) {
        self.log.record(&persist).expect("a replica only adds what comes next");
        effects.persist.push(persist);
    }

    fn on_append(
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
        for entry in entries {
            let next = self.log.end + 1;
            if entry.version.seq < next {
                effects.ignored.push(Ignored::Duplicate);
            } else if entry.version.seq > next {
                return effects.ignored.push(Ignored::Gap);
            } else {
                self.append(entry, effects);
            }
        }
        let Phase::Serving(service) = &mut self.phase else {
            unreachable!("appending does not stop a replica")
        };
        service.durable_above = service.durable_above.max(durable);
        self.commit(context, effects);
    }

    /// At the tail: commits what every member holds durably, and answers the coordinators.
    fn commit(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let Phase::Serving(service) = &self.phase else { return };
        if service.form.tail() != self.me {
            return;
        }
        let committed = service.durable().min(self.log.end);
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

    fn on_watermark(&mut self, context: &Context<'_>, from: Member, up_to: u64, effects: &mut Effects) {
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
    fn advance(&mut self, context: &Context<'_>, up_to: u64, effects: &mut Effects) {
        let before = self.log.watermark;
        if up_to <= before {
            return;
        }
        self.persist(Persist::Watermark { partition: self.partition, up_to }, effects);
        for seq in before + 1..=up_to {
            self.count(seq);
            let entry = self.log.entry(seq).expect("what was not clean is in the log");
            effects.apply.push((self.partition, Arc::clone(entry)));
        }
        self.answer_waiting(context, effects);
    }

    fn count(&mut self, seq: u64) {
        let entry = self.log.entry(seq).expect("what is being counted is in the log");
        self.counts = self.counts.after(entry);
    }

    /// The record that a new write meets: the newest one, clean or not.
    fn newest_record(&self, context: &Context<'_>, key: &DataKey) -> Option<Record> {
        match self.versions.newest(key, self.log.watermark).any() {
            Some(seq) => self.log.entry(seq).expect("versions name entries of the log").record(),
            None => context.records.get(key),
        }
    }
}

struct Write {
    id: OpId,
    copy: u32,
    floor: u64,
    key: bytes::Bytes,
    operation: Operation,
}

fn envelope(form: &Form, from: Member, to: Member, message: Message) -> Envelope {
    Envelope { partition: form.partition, epoch: form.epoch, from, to, message }
}
