//! One node's part in the chain of one partition.
//!
//! A replica is *forming* or *serving* as a member of the chain's form, *joining* while it lacks what was committed,
//! *offering* to start the partition when no member lives, or *idle*. A new [`Form`] that it is in stops it: it
//! seals everything before the form's epoch, durably, and reports to the form's head what it holds. The head waits
//! until all members have sealed, has the control group decide that the epoch is opened, and opens it: the highest
//! watermark reported, and its own log above it, go down the chain as one unit, and replace whatever the others hold
//! above that watermark. From then on the epoch serves.
//!
//! While serving, [`Replica::flush`] says what neighbours have not been told yet: new entries and *durable up
//! to* down the chain, the watermark up the chain. So whatever happened since the last flush travels in one
//! message, and a link that was lost is served again by forgetting what had been told.
//!
//! Why an acknowledged write is never lost: the tail commits only what every member holds durably
//! (`Replica::commit`), and the base of each epoch holds all that any member may know to be committed,
//! because the head's own log does.

mod formation;
mod joiners;
mod joining;
mod reading;
mod serving;
mod versions;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use simpledynamo_ring::Partition;
use simpledynamo_topology::{Epoch, Form, Member, NodeId, PartitionId, Session, Topology};

use crate::cache::Cache;
use crate::control::{Offer, Suspect};
use crate::{
    Applied, Apply, Counts, DataKey, Durable, Effects, Entry, Envelope, Ignored, Limits, Links, Message,
    Millis, Now, Persist, Record, Records, Refusal, Timing,
};
use formation::Formation;
use joining::Joining;
pub use joining::Progress;
use reading::Waiting;
pub(crate) use reading::{Question, Read};
use serving::Service;
use versions::Versions;

/// Requests that may wait for an epoch to open: it takes milliseconds, in which no more come.
const PARKED_MAX: usize = 4_096;

/// From asking for something to asking again, where an answer may have been lost.
const ASK_AGAIN: Millis = 100;

/// What every step of a replica can see.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) records: &'a dyn Records,
    pub(crate) cache: &'a RefCell<Cache>,
    pub(crate) links: &'a Links,
    pub(crate) limits: Limits,
    pub(crate) topology: &'a Topology,
    pub(crate) timing: Timing,
}

impl Context<'_> {
    /// The record of a key as the data holds it. To be asked only while no entry of the log touches the key.
    fn stored(&self, key: &DataKey) -> Option<Record> {
        self.cache.borrow_mut().get(key, self.records)
    }
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
    /// The attachment whose copy the data holds whole, while the log does not say so durably.
    installing: Option<u64>,
    phase: Phase,
    /// Reads of dirty keys, by the entry that must be clean first.
    waiting: BTreeMap<u64, Vec<Waiting>>,
    /// How many reads wait.
    waiting_count: usize,
    /// Requests that wait for the epoch being formed to open.
    parked: Vec<Envelope>,
    /// The member that holds up the chain.
    suspect: Option<Suspect>,
}

enum Phase {
    /// The replica has no part in any form that it has heard of in this session.
    Idle,
    /// No session of the form lives, and this replica may start the partition.
    Offering {
        /// The form that would be replaced.
        epoch: Epoch,
        /// Whether all that the log holds is durable.
        is_durable: bool,
    },
    /// The chain is being formed, with this replica as a member.
    Forming(Formation),
    /// The epoch is open, and this replica a member.
    Serving(Service),
    /// This replica is no member, and is to become one.
    Joining(Joining),
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
            installing: None,
            phase: Phase::Idle,
            waiting: BTreeMap::new(),
            waiting_count: 0,
            parked: Vec::new(),
            suspect: None,
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
        effects.apply.extend(clean.map(|entry| Apply::Entry(self.partition, Arc::clone(entry))));
    }

    /// The form that this replica serves or is forming.
    #[must_use]
    pub fn form(&self) -> Option<&Form> {
        match &self.phase {
            Phase::Forming(formation) => Some(&formation.form),
            Phase::Serving(service) => Some(&service.form),
            Phase::Idle | Phase::Offering { .. } | Phase::Joining(_) => None,
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

    /// What this replica offers the controller: to start the partition.
    pub(crate) fn offer(&self) -> Option<Offer> {
        match self.phase {
            Phase::Offering { epoch, is_durable: true } => {
                let (partition, open, end) = (self.partition, self.log.open, self.log.end);
                Some(Offer { partition, epoch, open, end })
            }
            _ => None,
        }
    }

    /// The member that holds up the chain, as far as this replica can tell.
    pub(crate) fn suspect(&self) -> Option<Suspect> {
        self.suspect
    }

    /// The node begins another session, or has none any more: what the replica was part of counts no more. Its log
    /// stays as it is; what was never committed goes when a tail attaches it.
    pub(crate) fn begin_session(&mut self, session: Session, effects: &mut Effects) {
        self.stop(Refusal::NotServing, effects);
        self.me.session = session;
        self.phase = Phase::Idle;
    }

    /// The topology has changed.
    pub(crate) fn on_topology(&mut self, topology: &Topology, now: Millis, effects: &mut Effects) {
        let chain = topology.chain(self.partition);
        let Some(form) = chain.form.as_ref().filter(|_| topology.is_live(self.me)) else { return };
        if form.member(self.me.node) == Some(self.me) {
            match &self.phase {
                Phase::Serving(service) if service.form.epoch == form.epoch => {
                    self.forget_joiners(topology, effects);
                }
                Phase::Forming(formation) if formation.form.epoch == form.epoch => {}
                _ => self.begin_forming(form.clone(), now, effects),
            }
            if chain.is_open() {
                self.try_open(effects);
            }
        } else if topology.is_headless(self.partition) && chain.eligible.contains(&self.me.node) {
            self.begin_offering(form.epoch, effects);
        } else if !topology.is_headless(self.partition) {
            self.begin_joining(form, chain.is_open(), effects);
        }
    }

    /// Offers to start the partition, once all that the log holds is durable.
    fn begin_offering(&mut self, epoch: Epoch, effects: &mut Effects) {
        if matches!(self.phase, Phase::Offering { epoch: offered, .. } if offered == epoch) {
            return;
        }
        self.stop(Refusal::NotServing, effects);
        self.phase = Phase::Offering { epoch, is_durable: false };
        self.persist(Persist::Seal { partition: self.partition, epoch }, effects);
    }

    /// Takes a message whose sessions have been checked.
    pub(crate) fn on_message(&mut self, context: &Context<'_>, envelope: Envelope, effects: &mut Effects) {
        match &envelope.message {
            Message::Write { .. } | Message::Read { .. } => self.on_request(context, envelope, effects),
            Message::Attach { .. } | Message::Ship { .. } | Message::Page { .. } => {
                self.on_joining_message(context, envelope, effects);
            }
            _ => self.on_chain_message(context, envelope, effects),
        }
    }

    /// A request gets an answer when it cannot be served; while its epoch is being formed it waits.
    fn on_request(&mut self, context: &Context<'_>, envelope: Envelope, effects: &mut Effects) {
        if let Phase::Forming(formation) = &self.phase
            && formation.form.epoch == envelope.epoch
            && self.parked.len() < PARKED_MAX
        {
            return self.parked.push(envelope);
        }
        let (epoch, from) = (envelope.epoch, envelope.from);
        match envelope.message {
            Message::Write { id, copy, floor, key, operation } => {
                let write = serving::Write { id, copy, floor, key, operation };
                self.on_write(context, epoch, from, write, effects);
            }
            Message::Read { id, query } => self.on_read(context, epoch, from, id, query, effects),
            _ => unreachable!("only requests come here"),
        }
    }

    /// The chain's own messages count in its present epoch only.
    fn on_chain_message(&mut self, context: &Context<'_>, envelope: Envelope, effects: &mut Effects) {
        let Envelope { epoch, from, message, .. } = envelope;
        match self.form().map(|form| form.epoch) {
            Some(known) if epoch == known => {}
            Some(known) if epoch < known => return effects.ignored.push(Ignored::StaleEpoch),
            _ => return effects.ignored.push(Ignored::FutureEpoch),
        }
        match message {
            Message::Gather => self.on_gather(from, effects),
            Message::Sealed { watermark, end } => {
                self.on_sealed(from, formation::Report { watermark, end }, effects);
            }
            Message::Lacking { watermark } => self.on_lacking(from, watermark, effects),
            Message::Open { watermark, entries, durable } => {
                self.on_open(context, from, watermark, &entries, durable, effects);
            }
            Message::Append { entries, durable } => self.on_append(context, from, &entries, durable, effects),
            Message::Durable { up_to } => self.on_append(context, from, &[], up_to, effects),
            Message::Watermark { up_to } => self.on_watermark(context, from, up_to, effects),
            Message::Join { attachment, held } => self.on_join(context, from, attachment, held, effects),
            Message::Stored { attachment, up_to } => {
                self.on_stored(context, from, attachment, up_to, effects);
            }
            Message::PageStored { attachment, number } => {
                self.on_page_stored(context, from, attachment, number, effects);
            }
            _ => effects.ignored.push(Ignored::WrongRole),
        }
    }

    /// The link to a node was made anew: what was told over the old one may be lost.
    pub(crate) fn on_link_up(&mut self, node: NodeId, effects: &mut Effects) {
        match &mut self.phase {
            Phase::Idle | Phase::Offering { .. } => {}
            Phase::Forming(_) => self.report_seal(effects),
            Phase::Serving(service) => service.on_link_up(self.me.node, node),
            Phase::Joining(joining) => joining.on_link_up(),
        }
    }

    /// The link to a node broke.
    pub(crate) fn on_link_down(&mut self, node: NodeId, effects: &mut Effects) {
        self.drop_unproposed_joiner(node, effects);
    }

    /// A change that this replica asked for is durable.
    pub(crate) fn on_persisted(&mut self, context: &Context<'_>, persist: &Persist, effects: &mut Effects) {
        match persist {
            Persist::Seal { epoch, .. } => self.on_seal_durable(*epoch, effects),
            Persist::Open { epoch, entries, watermark, .. } => {
                let end = entries.last().map_or(*watermark, |entry| entry.version.seq);
                self.on_open_durable(context, *epoch, end, effects);
            }
            Persist::Append { entry, .. } => self.on_entry_durable(context, entry, effects),
            Persist::Cut { attachment, .. } => self.on_cut_durable(*attachment),
            Persist::Installed { attachment, .. } => self.on_installed_durable(*attachment),
            Persist::Reset { .. } | Persist::Watermark { .. } => {}
        }
    }

    fn on_entry_durable(&mut self, context: &Context<'_>, entry: &Entry, effects: &mut Effects) {
        let seq = entry.version.seq;
        // An entry that has been replaced since must not count for the one in its place.
        let is_current = self.log.version_at(seq) == Some(entry.version);
        let is_news = match &mut self.phase {
            Phase::Serving(service) => is_current && service.on_entry_durable(seq),
            Phase::Joining(joining) if is_current => {
                joining.on_entry_durable(seq);
                false
            }
            _ => false,
        };
        if is_news {
            self.commit(context, effects);
        }
    }

    /// The data holds all entries up to here.
    pub(crate) fn on_applied(&mut self, up_to: u64, cache: &mut Cache) {
        if self.log.is_incomplete || up_to <= self.applied {
            // Of before a copy that has begun since.
            return;
        }
        assert!(up_to <= self.log.watermark, "only committed entries are applied");
        for seq in self.applied + 1..=up_to {
            let entry = Arc::clone(self.log.entry(seq).expect("entries stay until the data holds them"));
            self.versions.remove(&entry);
            cache.applied(&entry);
            self.weight -= entry.weight();
        }
        self.applied = up_to;
        self.log.forget_up_to(up_to);
    }

    /// Time has passed.
    pub(crate) fn on_tick(&mut self, context: &Context<'_>, effects: &mut Effects) {
        self.suspect = None;
        match self.phase {
            Phase::Idle | Phase::Offering { .. } => {}
            Phase::Forming(_) => self.tick_forming(context, effects),
            Phase::Serving(_) => self.tick_serving(context, effects),
            Phase::Joining(_) => self.tick_joining(context.now.millis, effects),
        }
    }

    /// Tells the neighbours what they have not been told yet.
    pub(crate) fn flush(&mut self, now: Millis, effects: &mut Effects) {
        match self.phase {
            Phase::Serving(_) => {
                self.flush_serving(effects);
                self.flush_joiners(now, effects);
            }
            Phase::Joining(_) => self.flush_joining(now, effects),
            _ => {}
        }
    }

    /// Ends whatever the replica took part in: requests that wait are refused, snapshots for joiners let go.
    fn stop(&mut self, refusal: Refusal, effects: &mut Effects) {
        self.refuse_waiting(refusal, effects);
        for envelope in std::mem::take(&mut self.parked) {
            let message = match envelope.message {
                Message::Write { id, copy, .. } => Message::WriteRefused { id, copy, refusal },
                Message::Read { id, .. } => Message::ReadRefused { id, refusal },
                _ => unreachable!("only requests are parked"),
            };
            let Envelope { partition, epoch, from, to, .. } = envelope;
            effects.send.push(Envelope { partition, epoch, from: to, to: from, message });
        }
        self.end_copies(effects);
        self.suspect = None;
    }

    /// Answers every waiting read that somebody else must be asked.
    fn refuse_waiting(&mut self, refusal: Refusal, effects: &mut Effects) {
        let Phase::Serving(service) = &self.phase else { return };
        self.waiting_count = 0;
        for waiting in std::mem::take(&mut self.waiting).into_values().flatten() {
            let message = Message::ReadRefused { id: waiting.id, refusal };
            effects.send.push(envelope(&service.form, self.me, waiting.from, message));
        }
    }

    /// Adds the next entry to the log.
    fn append(&mut self, entry: &Arc<Entry>, effects: &mut Effects) {
        self.versions.push(entry);
        self.weight += entry.weight();
        self.persist(Persist::Append { partition: self.partition, entry: Arc::clone(entry) }, effects);
    }

    /// Adds those of a predecessor's entries that come next; what is here already is passed over. Returns whether they
    /// all had their place: nothing is taken from a gap on.
    fn append_next(&mut self, entries: &[Arc<Entry>], effects: &mut Effects) -> bool {
        for entry in entries {
            let next = self.log.end + 1;
            if entry.version.seq < next {
                effects.ignored.push(Ignored::Duplicate);
            } else if entry.version.seq > next {
                effects.ignored.push(Ignored::Gap);
                return false;
            } else {
                self.append(entry, effects);
            }
        }
        true
    }

    /// Drops from what is kept by key all that the log holds above a place, which is about to go.
    fn forget_above(&mut self, watermark: u64) {
        for entry in self.log.entries_above(watermark) {
            self.versions.remove(entry);
            self.weight -= entry.weight();
        }
    }

    /// Takes a change over and asks for it to be made durable.
    fn persist(&mut self, persist: Persist, effects: &mut Effects) {
        self.log.record(&persist).expect("a replica only adds what comes next");
        effects.persist.push(persist);
    }

    /// Everything up to here is committed: it goes to the data.
    fn clean(&mut self, up_to: u64, effects: &mut Effects) {
        for seq in self.log.watermark + 1..=up_to {
            self.count(seq);
            let entry = self.log.entry(seq).expect("what was not clean is in the log");
            effects.apply.push(Apply::Entry(self.partition, Arc::clone(entry)));
        }
    }

    fn count(&mut self, seq: u64) {
        let entry = self.log.entry(seq).expect("what is being counted is in the log");
        self.counts = self.counts.after(entry);
    }

    /// The record that a new write meets: the newest one, clean or not.
    fn newest_record(&self, context: &Context<'_>, key: &DataKey) -> Option<Record> {
        match self.versions.newest(key, self.log.watermark).any() {
            Some(seq) => self.log.entry(seq).expect("versions name entries of the log").record(),
            None => context.stored(key),
        }
    }
}

fn envelope(form: &Form, from: Member, to: Member, message: Message) -> Envelope {
    Envelope { partition: form.partition, epoch: form.epoch, from, to, message }
}
