//! What a log has come to: kept while it is written, and again while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use simpledynamo_chain::{Applied, Durable, Entry, Persist};
use simpledynamo_topology::PartitionId;

use crate::Recovered;

/// What a log has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    /// The durable state of each replica.
    pub(crate) replicas: BTreeMap<PartitionId, Durable>,
}

impl LogState {
    /// Takes over a change.
    ///
    /// # Errors
    /// With the reason, when the change does not fit what came before.
    pub(crate) fn record(&mut self, persist: &Persist) -> Result<(), String> {
        let partition = persist.partition();
        let replica = self.replicas.entry(partition).or_default();
        replica.record(persist).map_err(|gap| format!("partition {partition}: {gap}"))
    }

    /// Lets go of all entries: who writes a log needs only to know where it ends.
    pub(crate) fn forget_entries(&mut self) {
        for replica in self.replicas.values_mut() {
            replica.forget_up_to(replica.end);
        }
    }

    /// Lets go of the entries that the data holds.
    pub(crate) fn forget_applied(&mut self, applied: &BTreeMap<PartitionId, Applied>) {
        for (partition, replica) in &mut self.replicas {
            replica.forget_up_to(applied.get(partition).map_or(0, |applied| applied.up_to));
        }
    }

    /// The last entry of a partition.
    pub(crate) fn end(&self, partition: PartitionId) -> u64 {
        self.replicas.get(&partition).map_or(0, |replica| replica.end)
    }

    /// The last entry of each partition.
    pub(crate) fn ends(&self) -> BTreeMap<PartitionId, u64> {
        self.replicas.iter().map(|(partition, replica)| (*partition, replica.end)).collect()
    }

    /// The partitions that count as empty because a full copy of them has begun and not ended.
    pub(crate) fn incomplete(&self) -> BTreeSet<PartitionId> {
        let incomplete = self.replicas.iter().filter(|(_, replica)| replica.is_incomplete);
        incomplete.map(|(partition, _)| *partition).collect()
    }

    /// Compares the log with the data, and gives what both together hold. What the data holds of a partition that
    /// counts as empty is nothing.
    ///
    /// # Errors
    /// With the reason, when one of them lacks what the other takes for granted.
    pub(crate) fn recover(mut self, applied: &BTreeMap<PartitionId, Applied>) -> Result<Recovered, String> {
        let incomplete = self.incomplete();
        let mut applied = applied.clone();
        applied.retain(|partition, _| !incomplete.contains(partition));
        self.forget_applied(&applied);
        for (partition, known) in &applied {
            let (end, up_to) = (self.end(*partition), known.up_to);
            if up_to > end {
                return Err(format!(
                    "the log of partition {partition} ends at entry {end}, but the data holds {up_to}"
                ));
            }
        }
        for (partition, replica) in &mut self.replicas {
            let up_to = applied.get(partition).map_or(0, |applied| applied.up_to);
            let first = replica.entries.front().map_or(replica.end + 1, |entry| entry.version.seq);
            if first > up_to + 1 {
                return Err(format!(
                    "the data of partition {partition} ends at entry {up_to}, but the log begins at {first}"
                ));
            }
            // What was applied was clean, whether or not the log had time to learn it.
            replica.watermark = replica.watermark.max(up_to);
        }
        Ok(Recovered { replicas: self.replicas, applied })
    }
}

/// The last entry of each partition that some changes hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Highest(BTreeMap<PartitionId, u64>);

impl Highest {
    /// All that a log comes to, and what it replaced before.
    pub(crate) fn up_to(ends: BTreeMap<PartitionId, u64>) -> Self {
        Self(ends)
    }

    /// Takes over a change.
    pub(crate) fn record(&mut self, persist: &Persist) {
        if let Some(last) = entries_of(persist).iter().map(|entry| entry.version.seq).max() {
            let highest = self.0.entry(persist.partition()).or_default();
            *highest = last.max(*highest);
        }
    }

    /// Whether the data holds all these entries, as far as a later epoch did not replace them.
    pub(crate) fn is_applied(&self, applied: &BTreeMap<PartitionId, u64>, state: &LogState) -> bool {
        self.0.iter().all(|(partition, highest)| {
            let needed = state.end(*partition).min(*highest);
            applied.get(partition).copied().unwrap_or(0) >= needed
        })
    }
}

/// The entries that a change adds to the log.
pub(crate) fn entries_of(persist: &Persist) -> &[Arc<Entry>] {
    match persist {
        Persist::Append { entry, .. } => std::slice::from_ref(entry),
        Persist::Open { entries, .. } => entries,
        Persist::Seal { .. }
        | Persist::Watermark { .. }
        | Persist::Cut { .. }
        | Persist::Reset { .. }
        | Persist::Installed { .. } => &[],
    }
}
