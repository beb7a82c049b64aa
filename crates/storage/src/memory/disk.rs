//! The disk and the handles of the process that has a store open on it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use simpledynamo_chain::{Applied, CopyPage, DataKey, Entry, Fetch, Persist, Record, UnixMillis};
use simpledynamo_ring::Partition;
use simpledynamo_topology::PartitionId;

use super::platter::{Image, Platter};
use crate::page;
use crate::plan::Plan;
use crate::{Data, Identity, Log, LogReader, Opened, Snapshot, StoreError};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    platter: Arc<Mutex<Platter>>,
    uuid: [u8; 16],
    /// How many batches of the log are kept besides those that are needed.
    retention: usize,
}

/// What was written to a disk and is not durable yet, in batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsynced {
    /// Batches of the log.
    pub log: usize,
    /// Batches of the data.
    pub data: usize,
}

impl MemoryDisk {
    /// An empty disk. A store that is created on it gets this uuid, and keeps no more of its log than it needs.
    #[must_use]
    pub fn new(uuid: [u8; 16]) -> Self {
        Self { platter: Arc::default(), uuid, retention: 0 }
    }

    /// The same disk; a store that is opened on it keeps up to so many batches of its log.
    #[must_use]
    pub fn retaining(self, batches: usize) -> Self {
        Self { retention: batches, ..self }
    }

    /// Opens the store on the disk, and creates it if there is none. What it held is durable then.
    ///
    /// # Errors
    /// When a store is open on the disk, when it belongs to somebody else, when log and data contradict each
    /// other, and when the disk is failing.
    pub fn open(&self, identity: &Identity) -> Result<Opened<MemoryLog, MemoryData>, StoreError> {
        let mut platter = self.lock();
        if platter.held {
            return Err(StoreError::InUse { path: name() });
        }
        if platter.failing {
            return Err(refused());
        }
        if let Some(owner) = &platter.owner
            && owner != identity
        {
            let name = |Identity { cluster, node }: &Identity| format!("node {node} of cluster {cluster}");
            let (found, expected) = (name(owner), name(identity));
            return Err(StoreError::Foreign { path: self::name(), found, expected });
        }
        platter.owner = Some(identity.clone());
        platter.sync_log();
        platter.sync_data();
        let recovered = platter.replay().recover(&platter.data.applied).map_err(inconsistent)?;
        platter.data.applied.clone_from(&recovered.applied);
        platter.held = true;
        let process = Arc::new(Process { disk: self.clone(), life: platter.life });
        let (log, reader) = (MemoryLog(Arc::clone(&process)), MemoryLogReader(Arc::clone(&process)));
        Ok(Opened { log, reader, data: MemoryData(process), recovered, uuid: self.uuid })
    }

    /// Ends the process that has the store open. The disk keeps all that was written.
    pub fn kill(&self) {
        self.lock().end_life();
    }

    /// Ends the process that has the store open, and with it all that is not durable but for the first of the
    /// batches that are not: as many as given here, or as many as there are.
    pub fn lose_power(&self, survives: Unsynced) {
        let mut platter = self.lock();
        platter.end_life();
        platter.lose(survives);
    }

    /// What was written and is not durable yet.
    #[must_use]
    pub fn unsynced(&self) -> Unsynced {
        self.lock().unsynced()
    }

    /// Makes every write and sync fail from now on, or no longer. A batch of the log whose write failed may
    /// have reached the disk all the same: it did, and is not durable.
    pub fn set_failing(&self, failing: bool) {
        self.lock().failing = failing;
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().expect("nobody panics while holding the disk")
    }
}

/// The process that has a store open, until it drops its handles or is ended.
#[derive(Debug)]
struct Process {
    disk: MemoryDisk,
    life: u64,
}

impl Drop for Process {
    fn drop(&mut self) {
        // A thread that panicked with the disk in its hands has said so already.
        if let Ok(mut platter) = self.disk.platter.lock()
            && platter.life == self.life
        {
            platter.end_life();
        }
    }
}

impl Process {
    /// The disk, for reading: a process that has ended reads nothing.
    fn read(&self) -> Result<MutexGuard<'_, Platter>, StoreError> {
        let platter = self.disk.lock();
        if platter.life != self.life {
            return Err(StoreError::Poisoned { path: name() });
        }
        Ok(platter)
    }

    /// Writes to the disk, and poisons the store if that fails.
    fn write<T>(&self, write: impl FnOnce(&mut Platter) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut platter = self.read()?;
        if platter.poisoned {
            return Err(StoreError::Poisoned { path: name() });
        }
        let written = write(&mut platter);
        platter.poisoned = written.is_err();
        written
    }
}

/// The log of a store in memory.
#[derive(Debug)]
pub struct MemoryLog(Arc<Process>);

impl Log for MemoryLog {
    type Reader = MemoryLogReader;

    fn append(&mut self, batch: &[Persist]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return self.0.write(|_| Ok(()));
        }
        self.0.write(|platter| {
            platter.append(batch).map_err(inconsistent)?;
            unless_failing(platter)
        })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.0.write(|platter| {
            unless_failing(platter)?;
            platter.sync_log();
            Ok(())
        })
    }

    fn trim(&mut self, applied: &BTreeMap<PartitionId, u64>) -> Result<(), StoreError> {
        self.0.write(|platter| {
            unless_failing(platter)?;
            platter.trim(applied, self.0.disk.retention);
            Ok(())
        })
    }
}

/// Reads the log of a store in memory.
#[derive(Clone, Debug)]
pub struct MemoryLogReader(Arc<Process>);

impl LogReader for MemoryLogReader {
    fn read(&self, fetch: &Fetch) -> Result<Option<Vec<Arc<Entry>>>, StoreError> {
        let entries = self.0.read()?.entries(fetch);
        Ok((fetch.from > fetch.to || !entries.is_empty()).then_some(entries))
    }
}

/// The data of a store in memory.
#[derive(Clone, Debug)]
pub struct MemoryData(Arc<Process>);

impl Data for MemoryData {
    type Snapshot = MemorySnapshot;

    fn get(&self, key: &DataKey) -> Result<Option<Record>, StoreError> {
        Ok(self.0.read()?.data.records.get(key).cloned())
    }

    fn range(&self, low: u64, high: u64) -> impl Iterator<Item = Result<(DataKey, Record), StoreError>> + '_ {
        // What is there at this moment, as a snapshot would give it.
        let first = DataKey::from_stored(Bytes::copy_from_slice(&low.to_be_bytes()));
        let first = first.expect("eight bytes make the lowest data key with this token prefix");
        let items: Vec<_> = match self.0.read() {
            Ok(platter) => {
                let from_low = platter.data.records.range(first..);
                let in_range = from_low.take_while(|(key, _)| key.prefix() <= high);
                in_range.map(|(key, record)| Ok((key.clone(), record.clone()))).collect()
            }
            Err(error) => vec![Err(error)],
        };
        items.into_iter()
    }

    fn apply(
        &self,
        entries: &[(PartitionId, Arc<Entry>)],
    ) -> Result<BTreeMap<PartitionId, Applied>, StoreError> {
        self.0.write(|platter| {
            let plan = Plan::of(entries, &platter.data.applied).map_err(inconsistent)?;
            let applied = plan.applied.clone();
            if !plan.is_old_news(&platter.data.applied) {
                unless_failing(platter)?;
                platter.apply(plan).map_err(inconsistent)?;
            }
            Ok(applied)
        })
    }

    fn install(&self, partition: PartitionId, arc: &Partition, page: &CopyPage) -> Result<(), StoreError> {
        page::check(arc, page).map_err(|reason| StoreError::BadPage {
            path: name(),
            number: page.number,
            reason,
        })?;
        self.0.write(|platter| {
            unless_failing(platter)?;
            platter.check_reset(partition).map_err(inconsistent)?;
            if page.number == 0 {
                platter.sync_log();
            }
            let standing = platter.data.stretches(arc, page::covered(arc, page));
            page::install(partition, page, standing.into_iter().map(Ok::<_, StoreError>), |plan| {
                platter.commit(plan);
                Ok(())
            })?;
            if page.end.is_some() {
                platter.sync_data();
            }
            Ok(())
        })
    }

    fn snapshot(&self) -> Result<MemorySnapshot, StoreError> {
        let image = self.0.read()?.data.clone();
        Ok(MemorySnapshot { process: Arc::clone(&self.0), image })
    }

    fn due(&self, now: UnixMillis, limit: usize) -> Result<Vec<DataKey>, StoreError> {
        let platter = self.0.read()?;
        let due = platter.data.expiry.iter().take_while(|(at, _)| *at <= now);
        Ok(due.take(limit).map(|(_, key)| key.clone()).collect())
    }

    fn sync(&self) -> Result<BTreeMap<PartitionId, u64>, StoreError> {
        self.0.write(|platter| {
            unless_failing(platter)?;
            platter.sync_data();
            Ok(platter.data.applied.iter().map(|(partition, applied)| (*partition, applied.up_to)).collect())
        })
    }
}

/// The data of a store in memory as it was at one moment.
#[derive(Debug)]
pub struct MemorySnapshot {
    process: Arc<Process>,
    image: Image,
}

impl Snapshot for MemorySnapshot {
    fn applied(&self, partition: PartitionId) -> Applied {
        self.image.applied.get(&partition).copied().unwrap_or_default()
    }

    fn page(
        &self,
        partition: PartitionId,
        arc: &Partition,
        number: u32,
        after: Option<DataKey>,
        bytes_max: usize,
    ) -> Result<CopyPage, StoreError> {
        drop(self.process.read()?);
        let records = self.image.stretches(arc, page::stretches(arc, after.as_ref(), None));
        page::read(number, after, bytes_max, self.applied(partition), records.into_iter().map(Ok))
    }
}

fn unless_failing(platter: &Platter) -> Result<(), StoreError> {
    if platter.failing { Err(refused()) } else { Ok(()) }
}

fn refused() -> StoreError {
    let source = io::Error::from(io::ErrorKind::StorageFull);
    StoreError::Io { doing: "cannot write", path: name(), source }
}

fn inconsistent(reason: String) -> StoreError {
    StoreError::Inconsistent { path: name(), reason }
}

/// What errors call a disk in memory.
fn name() -> PathBuf {
    PathBuf::from("memory")
}
