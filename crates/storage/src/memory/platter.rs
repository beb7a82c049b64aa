//! What a disk in memory holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use std::sync::Arc;

use simpledynamo_chain::{Applied, DataKey, Entry, Fetch, Persist, Record, UnixMillis};
use simpledynamo_ring::Partition;
use simpledynamo_topology::PartitionId;

use super::Unsynced;
use crate::Identity;
use crate::page::{Stretch, is_in};
use crate::plan::Plan;
use crate::state::{Highest, LogState, entries_of};

/// What a disk in memory holds.
///
/// Invariants: `synced` is at most the number of batches; `data` is `durable_data` and then `unsynced_data`;
/// the data never holds an entry that the log does not hold durably.
#[derive(Debug, Default)]
pub(crate) struct Platter {
    /// Whose store it is, once one was created.
    pub(crate) owner: Option<Identity>,
    /// Whether a store is open on the disk.
    pub(crate) held: bool,
    /// Rises when the process that has the store open ends: its handles are dead then.
    pub(crate) life: u64,
    /// Something failed in this life.
    pub(crate) poisoned: bool,
    /// Whether the disk refuses to be written to.
    pub(crate) failing: bool,
    /// What the batches that were trimmed came to, without entries.
    base: LogState,
    batches: VecDeque<Vec<Persist>>,
    /// How many of the batches are durable.
    synced: usize,
    /// What all batches come to, without entries.
    mirror: LogState,
    /// The last entry of each partition that is durable, and not replaced since.
    durable_ends: BTreeMap<PartitionId, u64>,
    pub(crate) data: Image,
    durable_data: Image,
    unsynced_data: Vec<Plan>,
}

/// The data at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) records: BTreeMap<DataKey, Record>,
    pub(crate) expiry: BTreeSet<(UnixMillis, DataKey)>,
    pub(crate) applied: BTreeMap<PartitionId, Applied>,
}

impl Image {
    fn apply(&mut self, plan: &Plan) {
        for (key, record) in &plan.records {
            match record {
                Some(record) => self.records.insert(key.clone(), record.clone()),
                None => self.records.remove(key),
            };
        }
        for (item, is_there) in &plan.expiry {
            if *is_there {
                self.expiry.insert(item.clone());
            } else {
                self.expiry.remove(item);
            }
        }
        if let Some(partition) = plan.withdrawn() {
            self.applied.remove(&partition);
        }
        self.applied.extend(&plan.applied);
    }

    /// The records of a partition in some stretches.
    pub(crate) fn stretches(&self, arc: &Partition, stretches: Vec<Stretch>) -> Vec<(DataKey, Record)> {
        let records = stretches.into_iter().flat_map(|stretch| self.records.range(stretch));
        let records = records.filter(|(key, _)| is_in(arc, key));
        records.map(|(key, record)| (key.clone(), record.clone())).collect()
    }
}

impl Platter {
    /// Adds a batch to the log.
    pub(crate) fn append(&mut self, batch: &[Persist]) -> Result<(), String> {
        for persist in batch {
            self.mirror.record(persist)?;
            // What follows the watermark now is not what was made durable there.
            let kept = match persist {
                Persist::Open { watermark, .. } | Persist::Cut { watermark, .. } => *watermark,
                Persist::Reset { .. } => 0,
                Persist::Append { .. }
                | Persist::Seal { .. }
                | Persist::Watermark { .. }
                | Persist::Installed { .. } => continue,
            };
            let durable = self.durable_ends.entry(persist.partition()).or_default();
            *durable = kept.min(*durable);
        }
        self.mirror.forget_entries();
        self.batches.push_back(batch.to_vec());
        Ok(())
    }

    /// Makes the log durable.
    pub(crate) fn sync_log(&mut self) {
        self.synced = self.batches.len();
        self.durable_ends = self.mirror.ends();
    }

    /// Drops the oldest batches, as many as hold only what is applied, until no more are left than granted.
    pub(crate) fn trim(&mut self, applied: &BTreeMap<PartitionId, u64>, retention: usize) {
        while let Some(oldest) = self.batches.front()
            && self.batches.len() > retention
        {
            let mut highest = Highest::default();
            oldest.iter().for_each(|persist| highest.record(persist));
            if !highest.is_applied(applied, &self.mirror) {
                return;
            }
            // Replaced entries do not count as needed: what replaced them must be there for good.
            self.sync_log();
            for persist in self.batches.pop_front().into_iter().flatten() {
                self.base.record(&persist).expect("the log took it before");
            }
            self.base.forget_entries();
            self.synced -= 1;
        }
    }

    /// What the log comes to now, from its first batch on.
    pub(crate) fn replay(&self) -> LogState {
        let mut state = self.base.clone();
        for persist in self.batches.iter().flatten() {
            state.record(persist).expect("the log took it before");
        }
        state
    }

    /// The entries that a fetch asks for, as far as they are there.
    pub(crate) fn entries(&self, fetch: &Fetch) -> Vec<Arc<Entry>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let persists = self.batches.iter().flatten();
        let of_partition = persists.filter(|persist| persist.partition() == fetch.partition);
        for entry in of_partition.flat_map(entries_of) {
            let seq = fetch.from + found.len() as u64;
            if seq > fetch.to || (bytes >= fetch.bytes && !found.is_empty()) {
                break;
            }
            if entry.version.seq == seq && fetch.history.epoch_at(seq) == Some(entry.version.epoch) {
                bytes += entry.weight();
                found.push(Arc::clone(entry));
            }
        }
        found
    }

    /// Checks that the log says that a partition counts as empty.
    pub(crate) fn check_reset(&self, partition: PartitionId) -> Result<(), String> {
        if self.mirror.incomplete().contains(&partition) {
            return Ok(());
        }
        Err(format!("partition {partition} is to be replaced, but the log does not say so"))
    }

    /// Writes clean entries to the data. The log is synced first if it does not hold them durably.
    pub(crate) fn apply(&mut self, plan: Plan) -> Result<(), String> {
        let incomplete = self.mirror.incomplete();
        for (partition, applied) in &plan.applied {
            if incomplete.contains(partition) {
                // It comes late, and does no harm once it is durable that the data does not matter.
                self.sync_log();
                continue;
            }
            if applied.up_to > self.mirror.end(*partition) {
                let seq = applied.up_to;
                return Err(format!(
                    "entry {seq} of partition {partition} is to be applied, but is not in the log"
                ));
            }
            if applied.up_to > self.durable_ends.get(partition).copied().unwrap_or(0) {
                self.sync_log();
            }
        }
        self.commit(plan);
        Ok(())
    }

    /// Writes a batch to the data.
    pub(crate) fn commit(&mut self, plan: Plan) {
        self.data.apply(&plan);
        self.unsynced_data.push(plan);
    }

    /// Makes the data durable.
    pub(crate) fn sync_data(&mut self) {
        for plan in self.unsynced_data.drain(..) {
            self.durable_data.apply(&plan);
        }
    }

    /// What is written, but not durable.
    pub(crate) fn unsynced(&self) -> Unsynced {
        Unsynced { log: self.batches.len() - self.synced, data: self.unsynced_data.len() }
    }

    /// Drops what is not durable, but for as much as is to survive.
    pub(crate) fn lose(&mut self, survives: Unsynced) {
        self.batches.truncate(self.synced.saturating_add(survives.log).min(self.batches.len()));
        self.mirror = self.replay();
        self.mirror.forget_entries();

        self.unsynced_data.truncate(survives.data);
        self.data = self.durable_data.clone();
        self.unsynced_data.iter().for_each(|plan| self.data.apply(plan));
    }

    /// The process that has the store open ends.
    pub(crate) fn end_life(&mut self) {
        self.life += 1;
        self.held = false;
        self.poisoned = false;
    }
}
