//! One suite for both stores, and what it takes to write it.

mod contract;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::{
    Applied, Change, Displaced, Durable, Entry, OpId, Persist, Reply, UnixMillis, Version,
};
use simpledynamo_topology::{Epoch, NodeId, PartitionId, Session};
use tempfile::TempDir;

use crate::disk::{self, DiskData, DiskLog, DiskOptions};
use crate::memory::{MemoryData, MemoryDisk, MemoryLog};
use crate::{Data, Identity, Log, Opened, StoreError};

/// A place where a store can be opened again and again.
pub(crate) trait Bench {
    type Log: Log;
    type Data: Data;

    fn new() -> Self;

    fn open_as(&self, identity: &Identity) -> Result<Opened<Self::Log, Self::Data>, StoreError>;

    fn open(&self) -> Opened<Self::Log, Self::Data> {
        self.open_as(&identity("5554")).expect("nothing is wrong with the store")
    }
}

pub(crate) struct DiskBench {
    pub(crate) folder: TempDir,
    pub(crate) options: DiskOptions,
}

impl Bench for DiskBench {
    type Log = DiskLog;
    type Data = DiskData;

    fn new() -> Self {
        // Small segments, so that most tests go through several, and none kept for longer than needed.
        let options = DiskOptions { segment_size: 1024, log_retention: 0, ..DiskOptions::default() };
        Self { folder: tempfile::tempdir().expect("there is room for a test"), options }
    }

    fn open_as(&self, identity: &Identity) -> Result<Opened<DiskLog, DiskData>, StoreError> {
        disk::open(self.folder.path(), identity, &self.options)
    }
}

pub(crate) struct MemoryBench(pub(crate) MemoryDisk);

impl Bench for MemoryBench {
    type Log = MemoryLog;
    type Data = MemoryData;

    fn new() -> Self {
        Self(MemoryDisk::new([7; 16]))
    }

    fn open_as(&self, identity: &Identity) -> Result<Opened<MemoryLog, MemoryData>, StoreError> {
        self.0.open(identity)
    }
}

pub(crate) fn identity(node: &str) -> Identity {
    Identity { cluster: "classic".to_owned(), node: node.to_owned() }
}

/// Writes the log of one partition as a head would, and knows all of it.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: Epoch,
    /// All entries; the first has number 1.
    pub(crate) log: Vec<Arc<Entry>>,
    counter: u64,
}

impl Author {
    pub(crate) fn new(partition: u16) -> Self {
        Self { partition: PartitionId(partition), epoch: Epoch(1), log: Vec::new(), counter: 0 }
    }

    pub(crate) fn put(&mut self, key: &str, value: &str, expires_at: Option<UnixMillis>) -> Persist {
        let value = Bytes::copy_from_slice(value.as_bytes());
        self.write(key, Change::Put { value, expires_at }, Reply::Done)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Persist {
        self.write(key, Change::Remove, Reply::Integer(1))
    }

    pub(crate) fn keep(&mut self, key: &str) -> Persist {
        self.write(key, Change::Keep, Reply::Refused)
    }

    pub(crate) fn write(&mut self, key: &str, change: Change, reply: Reply) -> Persist {
        let seq = self.log.len() as u64 + 1;
        self.counter += 1;
        let entry = Arc::new(Entry {
            version: Version { epoch: self.epoch, seq },
            id: OpId { node: NodeId(3), session: Session(1), counter: self.counter },
            // A few writes are always still awaited.
            floor: self.counter.saturating_sub(3),
            key: Bytes::copy_from_slice(key.as_bytes()),
            change,
            displaced: self.standing(key),
            reply,
        });
        self.log.push(Arc::clone(&entry));
        Persist::Append { partition: self.partition, entry }
    }

    /// What stands at a key at the end of the log.
    fn standing(&self, key: &str) -> Displaced {
        let last = self.log.iter().rfind(|entry| entry.key == key && entry.change != Change::Keep);
        match last.map(|entry| &entry.change) {
            Some(Change::Put { expires_at, .. }) => Displaced { existed: true, expires_at: *expires_at },
            _ => Displaced::default(),
        }
    }

    /// The next epoch opens: `kept` of the entries above the watermark stay.
    pub(crate) fn open(&mut self, watermark: u64, kept: usize) -> Persist {
        let watermark_in_memory = usize::try_from(watermark).expect("a small number");
        self.log.truncate(watermark_in_memory + kept);
        self.epoch = self.epoch.next();
        let entries = self.log[watermark_in_memory..].to_vec();
        Persist::Open { partition: self.partition, epoch: self.epoch, watermark, entries }
    }

    pub(crate) fn watermark(&self, up_to: u64) -> Persist {
        Persist::Watermark { partition: self.partition, up_to }
    }

    /// The entries `after..=up_to`, to be applied.
    pub(crate) fn entries(&self, after: u64, up_to: u64) -> Vec<(PartitionId, Arc<Entry>)> {
        let (after, up_to) = (after as usize, up_to as usize);
        self.log[after..up_to].iter().map(|entry| (self.partition, Arc::clone(entry))).collect()
    }
}

/// What a store should recover: all that was ever recorded, less what the data holds.
pub(crate) fn expected_replicas(
    batches: &[Vec<Persist>],
    applied: &BTreeMap<PartitionId, Applied>,
) -> BTreeMap<PartitionId, Durable> {
    let mut replicas: BTreeMap<PartitionId, Durable> = BTreeMap::new();
    for persist in batches.iter().flatten() {
        replicas.entry(persist.partition()).or_default().record(persist).expect("the test writes no gaps");
    }
    for (partition, applied) in applied {
        let replica = replicas.get_mut(partition).expect("only what is in the log is applied");
        replica.forget_up_to(applied.up_to);
        replica.watermark = replica.watermark.max(applied.up_to);
    }
    replicas
}
