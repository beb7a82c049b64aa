//! What a log has come to: kept while it is written, and again while it is read.

use std::collections::BTreeMap;

use simpledynamo_chain::{Applied, Durable, Entry, Persist};
use simpledynamo_topology::{PartitionId, Session};

use crate::Recovered;

/// What a log has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    /// The last session of the node.
    pub(crate) session: Session,
    /// The durable state of each replica.
    pub(crate) replicas: BTreeMap<PartitionId, Durable>,
}

impl LogState {
    /// Takes over a change.
    ///
    /// # Errors
    /// With the reason, when the change does not fit what came before.
    pub(crate) fn record(&mut self, persist: &Persist) -> Result<(), String> {
        if let Persist::Session(session) = persist {
            self.session = self.session.max(*session);
        }
        let Some(partition) = partition_of(persist) else { return Ok(()) };
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

    /// Compares the log with the data, and gives what both together hold.
    ///
    /// # Errors
    /// With the reason, when one of them lacks what the other takes for granted.
    pub(crate) fn recover(mut self, applied: &BTreeMap<PartitionId, Applied>) -> Result<Recovered, String> {
        self.forget_applied(applied);
        for (partition, known) in applied {
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
        Ok(Recovered { session: self.session, replicas: self.replicas, applied: applied.clone() })
    }
}

/// The last entry of each partition that some changes hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Highest(BTreeMap<PartitionId, u64>);

impl Highest {
    /// Takes over a change.
    pub(crate) fn record(&mut self, persist: &Persist) {
        let Some(partition) = partition_of(persist) else { return };
        if let Some(last) = entries_of(persist).map(|entry| entry.version.seq).max() {
            let highest = self.0.entry(partition).or_default();
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

/// The partition that a change is about.
pub(crate) fn partition_of(persist: &Persist) -> Option<PartitionId> {
    match persist {
        Persist::Session(_) => None,
        Persist::Seal { partition, .. }
        | Persist::Open { partition, .. }
        | Persist::Append { partition, .. }
        | Persist::Watermark { partition, .. } => Some(*partition),
    }
}

fn entries_of(persist: &Persist) -> impl Iterator<Item = &Entry> {
    let (one, many) = match persist {
        Persist::Append { entry, .. } => (Some(entry), &[][..]),
        Persist::Open { entries, .. } => (None, &entries[..]),
        Persist::Session(_) | Persist::Seal { .. } | Persist::Watermark { .. } => (None, &[][..]),
    };
    one.into_iter().chain(many).map(AsRef::as_ref)
}
