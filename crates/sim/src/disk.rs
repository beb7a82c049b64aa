//! What a machine's disk holds: written, and durable.
//!
//! The log is a list of batches, each there whole or not at all; the data is the image that applied changes left.
//! Both lose an unsynced suffix when power fails. Recovery replays the log through [`Durable::record`], as the
//! stores of a real node do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use simpledynamo_chain::{
    Applied, Apply, Change, Counts, DataKey, Durable, Entry, Fetch, Persist, Record, Records, Version,
};
use simpledynamo_topology::{Epoch, PartitionId, StoreId};

/// A disk: clones are backups.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) store: StoreId,
    /// The registrations that were recorded before they were proposed.
    pub(crate) lives: BTreeSet<(u64, u64)>,
    /// How far the control log is durably known here.
    pub(crate) control: usize,
    /// What the batches that were trimmed came to.
    base: BTreeMap<PartitionId, Durable>,
    batches: VecDeque<Vec<Persist>>,
    synced: usize,
    pub(crate) data: Image,
    durable_data: Image,
    unsynced_data: Vec<Apply>,
    /// What is durable, whole: for the invariants.
    pub(crate) shadows: BTreeMap<PartitionId, Shadow>,
    pub(crate) is_failing: bool,
}

impl Disk {
    pub(crate) fn new(store: StoreId) -> Self {
        Self {
            store,
            lives: BTreeSet::new(),
            control: 0,
            base: BTreeMap::new(),
            batches: VecDeque::new(),
            synced: 0,
            data: Image::default(),
            durable_data: Image::default(),
            unsynced_data: Vec::new(),
            shadows: BTreeMap::new(),
            is_failing: false,
        }
    }

    pub(crate) fn append(&mut self, batch: Vec<Persist>) {
        self.batches.push_back(batch);
    }

    /// Makes the log durable.
    pub(crate) fn sync(&mut self) {
        for persist in self.batches.range(self.synced..).flatten() {
            self.shadows.entry(persist.partition()).or_default().record(persist);
        }
        self.synced = self.batches.len();
    }

    /// What is written, durable or not.
    pub(crate) fn written(&self) -> BTreeMap<PartitionId, Shadow> {
        let mut written = self.shadows.clone();
        for persist in self.batches.range(self.synced..).flatten() {
            written.entry(persist.partition()).or_default().record(persist);
        }
        written
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.batches.len() - self.synced
    }

    pub(crate) fn unsynced_data(&self) -> usize {
        self.unsynced_data.len()
    }

    /// Power fails: of what is not durable so many batches of the log and changes of the data survive.
    pub(crate) fn lose_power(&mut self, log: usize, data: usize) {
        self.batches.truncate(self.synced + log);
        self.unsynced_data.truncate(data);
        self.data = self.durable_data.clone();
        for apply in &self.unsynced_data {
            self.data.apply(apply);
        }
    }

    /// What log and data hold: each replica's state, and how far its data has come.
    pub(crate) fn recover(&self) -> (BTreeMap<PartitionId, Durable>, BTreeMap<PartitionId, Applied>) {
        let mut replicas = self.base.clone();
        for persist in self.batches.iter().flatten() {
            let replica = replicas.entry(persist.partition()).or_default();
            replica.record(persist).expect("the log took it before");
        }
        let mut applied = self.data.applied.clone();
        for (id, replica) in &mut replicas {
            if replica.is_incomplete {
                applied.remove(id);
            }
            let up_to = applied.get(id).map_or(0, |applied| applied.up_to);
            assert!(up_to <= replica.end, "the data never runs ahead of the log");
            replica.forget_up_to(up_to);
            replica.watermark = replica.watermark.max(up_to);
        }
        (replicas, applied)
    }

    /// Sabotage: op ids outlive the entries that were replaced.
    pub(crate) fn keep_op_ids(&self, replicas: &mut BTreeMap<PartitionId, Durable>) {
        for persist in self.batches.iter().flatten() {
            let Persist::Append { partition, entry } = persist else { continue };
            let durable = replicas.entry(*partition).or_default();
            if let Some(writer) = durable.writers.0.get_mut(&entry.id.node)
                && writer.session == entry.id.session
                && entry.id.counter >= writer.floor
            {
                writer.done.entry(entry.id.counter).or_insert((entry.version, entry.reply.clone()));
            }
        }
    }

    /// Applies a clean entry or a page to the data.
    pub(crate) fn apply(&mut self, apply: Apply) {
        self.data.apply(&apply);
        self.unsynced_data.push(apply);
    }

    pub(crate) fn sync_data(&mut self) {
        for apply in self.unsynced_data.drain(..) {
            self.durable_data.apply(&apply);
        }
    }

    /// Drops the oldest batches of the log, as far as the data durably holds what they say, but for some.
    pub(crate) fn trim(&mut self, keep: usize) {
        while self.synced > keep {
            let is_needed = |persist: &Persist| match persist {
                Persist::Append { partition, entry } => self.is_needed(*partition, entry),
                Persist::Open { partition, entries, .. } => {
                    entries.iter().any(|entry| self.is_needed(*partition, entry))
                }
                Persist::Reset { .. } => true,
                Persist::Installed { partition, base, .. } => self
                    .durable_data
                    .applied
                    .get(partition)
                    .is_none_or(|applied| applied.up_to < base.last.seq),
                _ => false,
            };
            if self.batches[0].iter().any(is_needed) {
                return;
            }
            for persist in self.batches.pop_front().expect("it was just looked at") {
                let replica = self.base.entry(persist.partition()).or_default();
                replica.record(&persist).expect("the log took it before");
                replica.forget_up_to(replica.end);
            }
            self.synced -= 1;
        }
    }

    fn is_needed(&self, partition: PartitionId, entry: &Entry) -> bool {
        let applied = self.durable_data.applied.get(&partition).map_or(0, |applied| applied.up_to);
        entry.version.seq > applied
    }

    /// Reads entries of the log; `None` if the first of them is not there any more.
    pub(crate) fn fetch<'a>(&'a self, fetch: &Fetch) -> Option<Vec<Arc<Entry>>> {
        let mut found: BTreeMap<u64, &'a Arc<Entry>> = BTreeMap::new();
        let mut look = |entry: &'a Arc<Entry>| {
            let Entry { version: Version { epoch, seq }, .. } = **entry;
            if (fetch.from..=fetch.to).contains(&seq) && fetch.history.epoch_at(seq) == Some(epoch) {
                found.insert(seq, entry);
            }
        };
        for persist in self.batches.iter().flatten().filter(|persist| persist.partition() == fetch.partition)
        {
            match persist {
                Persist::Append { entry, .. } => look(entry),
                Persist::Open { entries, .. } => entries.iter().for_each(&mut look),
                _ => {}
            }
        }
        let mut entries = Vec::new();
        for seq in fetch.from..=fetch.to {
            match found.get(&seq) {
                Some(entry) if entries.len() < ENTRIES_FETCHED_MAX => entries.push(Arc::clone(entry)),
                _ => break,
            }
        }
        (!entries.is_empty()).then_some(entries)
    }
}

/// Entries read at a time: few, so that several reads are needed.
const ENTRIES_FETCHED_MAX: usize = 5;

/// The data at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) records: BTreeMap<PartitionId, BTreeMap<DataKey, Record>>,
    pub(crate) applied: BTreeMap<PartitionId, Applied>,
}

impl Image {
    fn apply(&mut self, apply: &Apply) {
        match apply {
            Apply::Entry(partition, entry) => {
                let applied = self.applied.entry(*partition).or_default();
                if entry.version.seq <= applied.up_to {
                    return;
                }
                assert_eq!(entry.version.seq, applied.up_to + 1, "clean entries are applied in order");
                *applied = Applied { up_to: entry.version.seq, counts: applied.counts.after(entry) };
                let records = self.records.entry(*partition).or_default();
                let key = entry.key.clone();
                match &entry.change {
                    Change::Keep => {}
                    Change::Put { .. } => {
                        records.insert(key, entry.record().expect("a put leaves a record"));
                    }
                    Change::Remove => {
                        records.remove(&key);
                    }
                }
            }
            Apply::Page { partition, page, .. } => {
                let records = self.records.entry(*partition).or_default();
                let last = page.records.last().map(|(key, _)| key);
                records.retain(|key, _| {
                    let is_after = page.after.as_ref().is_none_or(|after| key > after);
                    let is_covered = page.end.is_some() || last.is_some_and(|last| key <= last);
                    !(is_after && is_covered)
                });
                records.extend(page.records.iter().cloned());
                match page.end {
                    Some(end) => self.applied.insert(*partition, end),
                    None => self.applied.remove(partition),
                };
            }
        }
    }

    /// A partition's records and how far they have come.
    pub(crate) fn snapshot(&self, partition: PartitionId) -> (Vec<(DataKey, Record)>, Applied) {
        let records = self.records.get(&partition);
        let records = records.into_iter().flatten().map(|(key, record)| (key.clone(), record.clone()));
        (records.collect(), self.applied.get(&partition).copied().unwrap_or_default())
    }

    /// What a partition's records count to.
    pub(crate) fn count(&self, partition: PartitionId) -> Counts {
        let records = self.records.get(&partition).into_iter().flatten();
        records.fold(Counts::default(), |counts, (_, record)| Counts {
            keys: counts.keys + 1,
            expiring: counts.expiring + u64::from(record.expires_at.is_some()),
        })
    }
}

impl Records for Image {
    fn get(&self, key: &DataKey) -> Option<Record> {
        self.records.values().find_map(|records| records.get(key)).cloned()
    }

    fn range(&self, low: u64, high: u64) -> Box<dyn Iterator<Item = (DataKey, Record)> + '_> {
        let all = self.records.values().flatten();
        let mut found: Vec<_> = all
            .filter(|(key, _)| (low..=high).contains(&key.prefix()))
            .map(|(key, record)| (key.clone(), record.clone()))
            .collect();
        found.sort_by(|left, right| left.0.cmp(&right.0));
        Box::new(found.into_iter())
    }
}

/// A replica's log, whole, as its changes give it: the invariants look here instead of into the node's own books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shadow {
    /// All up to here came by a copy of the data.
    pub(crate) copied: u64,
    /// The entries behind that.
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) sealed: Epoch,
    pub(crate) open: Epoch,
    /// A copy has begun and not ended.
    pub(crate) is_incomplete: bool,
}

impl Shadow {
    pub(crate) fn record(&mut self, persist: &Persist) {
        match persist {
            Persist::Seal { epoch, .. } => self.sealed = self.sealed.max(*epoch),
            Persist::Open { epoch, watermark, entries, .. } => {
                self.sealed = self.sealed.max(*epoch);
                self.open = *epoch;
                self.truncate(*watermark);
                self.entries.extend(entries.iter().cloned());
            }
            Persist::Append { entry, .. } => self.entries.push(Arc::clone(entry)),
            Persist::Watermark { .. } => {}
            Persist::Cut { watermark, .. } => self.truncate(*watermark),
            Persist::Reset { .. } => {
                (self.copied, self.is_incomplete) = (0, true);
                self.entries.clear();
            }
            Persist::Installed { base, .. } => {
                (self.copied, self.is_incomplete) = (base.last.seq, false);
                self.entries.clear();
            }
        }
    }

    fn truncate(&mut self, watermark: u64) {
        let keep = watermark.saturating_sub(self.copied);
        self.entries.truncate(usize::try_from(keep).expect("short logs"));
    }

    pub(crate) fn end(&self) -> u64 {
        self.copied + self.entries.len() as u64
    }

    pub(crate) fn entry(&self, seq: u64) -> Option<&Arc<Entry>> {
        let at = seq.checked_sub(self.copied + 1)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// Whether this entry is here, by itself or in a copy.
    pub(crate) fn holds(&self, version: Version) -> bool {
        version.seq <= self.copied || self.entry(version.seq).is_some_and(|entry| entry.version == version)
    }
}
