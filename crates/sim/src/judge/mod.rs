//! The invariants, each asserted by its number, judged from outside: by messages, disks, true time and the commands
//! committed, and by the node's own books only where nothing else can tell.
//!
//! | where | what |
//! |---|---|
//! | `log` | I2, I3, I11, I12, I13, I18, I19: what is accepted, durable, committed and acknowledged |
//! | `reads` | I7, I14, I15, I20, I24: what is answered, and when |
//! | `control` | I1, I5, I6, I8, I9, I10: forms, sessions, leases |
//! | `mod` | I4, I16: who may still speak |
//! | `ending` | I21, I22, I23: once everything has healed |

mod control;
mod log;
mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::{Entry, Envelope, Event, Message, Node, OpId, Version};
use simpledynamo_ring::Ring;
use simpledynamo_topology::{Epoch, Form, Generation, Member, PartitionId, Session};

use crate::host::Host;
use crate::scenario::{Scenario, Scenarios};

/// What the invariants remember.
pub(crate) struct Judge {
    committed: Vec<Vec<Arc<Entry>>>,
    /// The epoch in which each of them was.
    committed_in: Vec<Vec<Epoch>>,
    names: BTreeMap<(PartitionId, Version), Arc<Entry>>,
    /// The op ids that were accepted, under their latest version.
    accepted_ids: BTreeMap<(PartitionId, OpId), Version>,
    done: BTreeMap<(PartitionId, OpId), Version>,
    /// What each epoch began with: its watermark, and the versions above.
    bases: BTreeMap<(PartitionId, Epoch), (u64, Vec<Version>)>,
    /// Epochs that have committed something.
    fertile: BTreeSet<(PartitionId, Epoch)>,
    forms: BTreeMap<(PartitionId, Epoch), Form>,
    /// Joiners proposed by the tail of an epoch.
    synced: BTreeMap<(PartitionId, Epoch), BTreeSet<Member>>,
    /// The states that each key went through: since which entry, and which version it had.
    timelines: BTreeMap<Bytes, Vec<(u64, Option<Version>)>>,
    /// The entry up to which a session has shown a key.
    shown: BTreeMap<(Member, Bytes), u64>,
    rounds: BTreeMap<(usize, u64, u64), control::Round>,
    renewals: BTreeMap<(usize, u64, Member, u64), u64>,
    revoked: BTreeSet<(Generation, Member)>,
    order: u64,
    /// The machine that each session ran on, and the number of its disk then.
    machines: BTreeMap<Member, (usize, u64)>,
}

impl Judge {
    pub(crate) fn new(ring: &Ring) -> Self {
        Self {
            committed: vec![Vec::new(); ring.partitions().len()],
            committed_in: vec![Vec::new(); ring.partitions().len()],
            names: BTreeMap::new(),
            accepted_ids: BTreeMap::new(),
            done: BTreeMap::new(),
            bases: BTreeMap::new(),
            fertile: BTreeSet::new(),
            forms: BTreeMap::new(),
            synced: BTreeMap::new(),
            timelines: BTreeMap::new(),
            shown: BTreeMap::new(),
            rounds: BTreeMap::new(),
            renewals: BTreeMap::new(),
            revoked: BTreeSet::new(),
            order: 0,
            machines: BTreeMap::new(),
        }
    }

    /// What is committed in a partition.
    pub(crate) fn committed(&self, partition: PartitionId) -> &[Arc<Entry>] {
        &self.committed[partition.index()]
    }

    /// Whether a message must have no effect: one of its sessions is not a present one (I16).
    pub(crate) fn fence(&self, core: &Node, event: &Event) -> bool {
        let Event::Message(envelope) = event else { return false };
        let is_ours = envelope.to == core.me() && core.me().session != Session(0);
        !is_ours || !core.topology().is_live(envelope.from)
    }

    pub(crate) fn on_received(&self, host: &Host, envelope: &Envelope, scenarios: &mut Scenarios) {
        let Some(process) = &host.process else { return };
        let known = process.core.topology().form(envelope.partition).map_or(0, |form| form.epoch.0);
        let is_old = known > envelope.epoch.0 + 1 || envelope.to != process.core.me();
        scenarios.mark_if(Scenario::S16, is_old);
        if let Message::Write { id, .. } = &envelope.message {
            scenarios.mark_if(Scenario::S26, self.accepted_ids.contains_key(&(envelope.partition, *id)));
        }
    }

    /// A message leaves a node.
    pub(crate) fn on_sent(&mut self, host: &Host, envelope: &Envelope, scenarios: &mut Scenarios) {
        let Envelope { partition, epoch, from, .. } = *envelope;
        let speaks_for_epoch = match &envelope.message {
            Message::Append { entries, .. }
            | Message::Open { entries, .. }
            | Message::Ship { entries, .. } => {
                entries.iter().for_each(|entry| self.check_name(partition, entry));
                true
            }
            Message::Durable { .. }
            | Message::Watermark { .. }
            | Message::Attach { .. }
            | Message::Page { .. }
            | Message::Stored { .. }
            | Message::PageStored { .. }
            | Message::ReadDone { .. } => true,
            _ => false,
        };
        if speaks_for_epoch {
            let sealed = host.disk.shadows.get(&partition).map_or(Epoch(0), |shadow| shadow.sealed);
            assert!(epoch >= sealed, "I4: {from} sealed before {sealed}, and sends {envelope:?}");
        }
        match &envelope.message {
            Message::Ship { entries, watermark, .. } => {
                let is_race = entries.last().is_some_and(|entry| entry.version.seq > *watermark);
                scenarios.mark_if(Scenario::S25, is_race);
            }
            Message::Attach { attachment, .. } => scenarios.mark_if(Scenario::S43, *attachment > 1),
            Message::WriteDone { id, version, reply } => self.check_done(partition, *id, *version, reply),
            Message::ReadDone { .. } => {
                let form = self.forms.get(&(partition, epoch));
                let is_member = form.is_some_and(|form| form.members.contains(&from));
                assert!(is_member, "I15: {from} answers in epoch {epoch} of {partition}, but is no member");
            }
            _ => {}
        }
    }

    fn check_name(&mut self, partition: PartitionId, entry: &Arc<Entry>) {
        let known = self.names.entry((partition, entry.version)).or_insert_with(|| Arc::clone(entry));
        assert!(Arc::ptr_eq(known, entry) || known == entry, "I11: {known:?} and {entry:?}");
    }
}
