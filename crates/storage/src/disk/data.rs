//! Applying clean entries, and reading what they left.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use simpledynamo_chain::{Applied, CopyPage, DataKey, Entry, Record, UnixMillis};
use simpledynamo_ring::Partition;
use simpledynamo_topology::PartitionId;

use super::engine::Engine;
use super::tail::Tail;
use super::up_to;
use crate::page::{self, is_in};
use crate::plan::Plan;
use crate::{Data, Snapshot, StoreError};

/// The records of a store, kept by the engine.
#[derive(Clone)]
pub struct DiskData(Arc<Shared>);

struct Shared {
    engine: Engine,
    /// How far each partition has come: what the engine holds in its `meta`, but for those that counted as empty
    /// when the store was opened.
    applied: Mutex<BTreeMap<PartitionId, Applied>>,
    /// Held while a batch is applied; `applied` is not, so that a sync does not wait for a slow batch.
    applying: Mutex<()>,
    poisoned: AtomicBool,
    tail: Arc<Tail>,
}

impl DiskData {
    pub(crate) fn new(engine: Engine, applied: BTreeMap<PartitionId, Applied>, tail: Arc<Tail>) -> Self {
        Self(Arc::new(Shared {
            engine,
            applied: Mutex::new(applied),
            applying: Mutex::new(()),
            poisoned: AtomicBool::new(false),
            tail,
        }))
    }

    /// What the data is kept in.
    #[cfg(test)]
    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }
}

impl fmt::Debug for DiskData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskData").field("applied", &self.0.applied).finish_non_exhaustive()
    }
}

impl Shared {
    fn check(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned { path: self.tail.folder().path().to_owned() });
        }
        Ok(())
    }

    fn poison_on_error<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        result
    }

    fn applied(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Applied>> {
        self.applied.lock().expect("nobody panics while holding how far the data has come")
    }

    fn apply(
        &self,
        entries: &[(PartitionId, Arc<Entry>)],
    ) -> Result<BTreeMap<PartitionId, Applied>, StoreError> {
        let known = self.applied().clone();
        let plan = Plan::of(entries, &known).map_err(|reason| StoreError::Inconsistent {
            path: self.tail.folder().path().to_owned(),
            reason,
        })?;
        let applied = plan.applied.clone();
        if !plan.is_old_news(&known) {
            self.tail.cover(&up_to(&applied))?;
            self.engine.commit(plan)?;
            self.applied().extend(applied.clone());
        }
        Ok(applied)
    }

    fn install(&self, partition: PartitionId, arc: &Partition, page: &CopyPage) -> Result<(), StoreError> {
        self.tail.check_reset(partition)?;
        if page.number == 0 {
            // Should the data lose what it held, the log must say that it does not matter.
            self.tail.sync()?;
            self.applied().remove(&partition);
        }
        let snapshot = self.engine.snapshot();
        let standing = self
            .engine
            .stretches(&snapshot, page::covered(arc, page))
            .filter(|item| !matches!(item, Ok((key, _)) if !is_in(arc, key)));
        page::install(partition, page, standing, |plan| self.engine.commit(plan))?;
        if let Some(end) = page.end {
            self.engine.sync()?;
            self.applied().insert(partition, end);
        }
        Ok(())
    }
}

impl Data for DiskData {
    type Snapshot = DiskSnapshot;

    fn get(&self, key: &DataKey) -> Result<Option<Record>, StoreError> {
        self.0.engine.get(key)
    }

    fn range(&self, low: u64, high: u64) -> impl Iterator<Item = Result<(DataKey, Record), StoreError>> + '_ {
        self.0.engine.range(low, high)
    }

    fn apply(
        &self,
        entries: &[(PartitionId, Arc<Entry>)],
    ) -> Result<BTreeMap<PartitionId, Applied>, StoreError> {
        let _one_at_a_time = self.0.applying.lock().expect("nobody panics while applying");
        self.0.check()?;
        let applied = self.0.apply(entries);
        self.0.poison_on_error(applied)
    }

    fn install(&self, partition: PartitionId, arc: &Partition, page: &CopyPage) -> Result<(), StoreError> {
        let _one_at_a_time = self.0.applying.lock().expect("nobody panics while applying");
        self.0.check()?;
        page::check(arc, page).map_err(|reason| {
            let path = self.0.tail.folder().path().to_owned();
            StoreError::BadPage { path, number: page.number, reason }
        })?;
        let installed = self.0.install(partition, arc, page);
        self.0.poison_on_error(installed)
    }

    fn snapshot(&self) -> Result<DiskSnapshot, StoreError> {
        let snapshot = self.0.engine.snapshot();
        let applied = self.0.engine.applied(&snapshot)?;
        Ok(DiskSnapshot { data: self.clone(), snapshot, applied })
    }

    fn due(&self, now: UnixMillis, limit: usize) -> Result<Vec<DataKey>, StoreError> {
        self.0.engine.due(now, limit)
    }

    fn sync(&self) -> Result<BTreeMap<PartitionId, u64>, StoreError> {
        self.0.check()?;
        let applied = up_to(&self.0.applied());
        self.0.poison_on_error(self.0.engine.sync())?;
        Ok(applied)
    }
}

/// The data as it was at one moment. The engine keeps what was replaced since until this is dropped.
pub struct DiskSnapshot {
    data: DiskData,
    snapshot: fjall::Snapshot,
    applied: BTreeMap<PartitionId, Applied>,
}

impl fmt::Debug for DiskSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskSnapshot").field("applied", &self.applied).finish_non_exhaustive()
    }
}

impl Snapshot for DiskSnapshot {
    fn applied(&self, partition: PartitionId) -> Applied {
        self.applied.get(&partition).copied().unwrap_or_default()
    }

    fn page(
        &self,
        partition: PartitionId,
        arc: &Partition,
        number: u32,
        after: Option<DataKey>,
        bytes_max: usize,
    ) -> Result<CopyPage, StoreError> {
        let stretches = page::stretches(arc, after.as_ref(), None);
        let records = self.data.0.engine.stretches(&self.snapshot, stretches);
        let records = records.filter(|item| !matches!(item, Ok((key, _)) if !is_in(arc, key)));
        page::read(number, after, bytes_max, self.applied(partition), records)
    }
}
