//! What a batch of clean entries comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use simpledynamo_chain::{Applied, Change, Counts, DataKey, Entry, Record, UnixMillis};
use simpledynamo_topology::PartitionId;

/// What a batch of clean entries comes to: at most one change of each key, so that an engine may write all of
/// them under one number.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The newest record of each key that changes; `None` if it is gone.
    pub(crate) records: BTreeMap<DataKey, Option<Record>>,
    /// The expiry times that come into the index (`true`) or leave it.
    pub(crate) expiry: BTreeMap<(UnixMillis, DataKey), bool>,
    /// How far each partition in the batch has come.
    pub(crate) applied: BTreeMap<PartitionId, Applied>,
    /// The partition of which nothing counts as applied any more, unless `applied` says how far it has come.
    pub(crate) reset: Option<PartitionId>,
}

impl Plan {
    /// Goes through the entries in their order. `known` is how far each partition has come before.
    ///
    /// # Errors
    /// With the reason, when an entry is missing in between, or does not fit what was counted so far.
    pub(crate) fn of(
        entries: &[(PartitionId, Arc<Entry>)],
        known: &BTreeMap<PartitionId, Applied>,
    ) -> Result<Self, String> {
        let mut plan = Self::default();
        for (partition, entry) in entries {
            let before = || known.get(partition).copied().unwrap_or_default();
            let applied = plan.applied.entry(*partition).or_insert_with(before);
            let (expected, found) = (applied.up_to + 1, entry.version.seq);
            if found < expected {
                continue;
            }
            if found > expected {
                return Err(format!(
                    "entry {found} of partition {partition} is to be applied where {expected} should follow"
                ));
            }
            applied.up_to = found;
            applied.counts = recount(applied.counts, entry).ok_or_else(|| {
                format!("entry {found} of partition {partition} displaces a pair that was never counted")
            })?;
            plan.change(entry);
        }
        Ok(plan)
    }

    /// How many things the batch changes.
    pub(crate) fn len(&self) -> usize {
        self.records.len() + self.expiry.len() + self.applied.len() + usize::from(self.reset.is_some())
    }

    /// The partition of which nothing counts as applied after the batch.
    pub(crate) fn withdrawn(&self) -> Option<PartitionId> {
        self.reset.filter(|partition| !self.applied.contains_key(partition))
    }

    /// Whether every entry was applied before.
    pub(crate) fn is_old_news(&self, known: &BTreeMap<PartitionId, Applied>) -> bool {
        self.applied.iter().all(|(partition, applied)| known.get(partition) == Some(applied))
    }

    fn change(&mut self, entry: &Entry) {
        if entry.change == Change::Keep {
            return;
        }
        let key = entry.key.clone();
        if let Some(at) = entry.displaced.expires_at {
            self.expiry.insert((at, key.clone()), false);
        }
        let record = entry.record();
        if let Some(at) = record.as_ref().and_then(|record| record.expires_at) {
            // After the removal of the old time, which may be the same.
            self.expiry.insert((at, key.clone()), true);
        }
        self.records.insert(key, record);
    }
}

/// The counters after an entry; `None` if it displaces more than there is.
fn recount(counts: Counts, entry: &Entry) -> Option<Counts> {
    let (keys, expiring) = match &entry.change {
        Change::Keep => return Some(counts),
        Change::Put { expires_at, .. } => (1, u64::from(expires_at.is_some())),
        Change::Remove => (0, 0),
    };
    let displaced = entry.displaced;
    Some(Counts {
        keys: (counts.keys + keys).checked_sub(displaced.existed.into())?,
        expiring: (counts.expiring + expiring).checked_sub(displaced.expires_at.is_some().into())?,
    })
}
