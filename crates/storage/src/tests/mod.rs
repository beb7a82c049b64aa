//! One suite for both stores, and what it takes to write it.

/// Makes two tests of each function: one for each store.
macro_rules! for_both_stores {
    ($($name:ident)*) => {
        mod disk {
            $(#[test] fn $name() { super::$name::<super::DiskBench>(); })*
        }
        mod memory {
            $(#[test] fn $name() { super::$name::<super::MemoryBench>(); })*
        }
    };
}

mod contract;
mod copying;
mod fetching;
mod model;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use simpledynamo_chain::{
    Applied, Change, CopyPage, Counts, DataKey, Displaced, Durable, Entry, EpochHistory, Fetch, OpId,
    Persist, Record, Reply, UnixMillis, Version,
};
use simpledynamo_ring::{Partition, Ring, Token};
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

    /// A store that keeps some of its log for longer than it needs it itself.
    fn retaining() -> Self;

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

    fn retaining() -> Self {
        let mut bench = Self::new();
        bench.options.log_retention = 6 * 1024;
        bench
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

    fn retaining() -> Self {
        Self(MemoryDisk::new([7; 16]).retaining(12))
    }

    fn open_as(&self, identity: &Identity) -> Result<Opened<MemoryLog, MemoryData>, StoreError> {
        self.0.open(identity)
    }
}

pub(crate) fn identity(node: &str) -> Identity {
    Identity { cluster: "classic".to_owned(), node: node.to_owned() }
}

/// The classic ring.
pub(crate) fn ring() -> &'static Ring {
    static RING: LazyLock<Ring> =
        LazyLock::new(|| Ring::new(&["5554", "5556", "5558", "5560", "5562"], 3).expect("the names differ"));
    &RING
}

/// The place of a partition on it. That of partition 0 passes the top of the circle.
pub(crate) fn arc(partition: PartitionId) -> &'static Partition {
    &ring().partitions()[usize::from(partition.0)]
}

/// One of a hundred keys of a partition.
pub(crate) fn key_in(partition: PartitionId, number: usize) -> &'static str {
    static KEYS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
        let mut keys = vec![Vec::new(); ring().partitions().len()];
        for key in (0..).map(|number: u32| format!("key-{number}")) {
            keys[ring().partition_of(Token::of(key.as_bytes()))].push(key);
            if keys.iter().all(|keys| keys.len() >= 100) {
                break;
            }
        }
        keys
    });
    &KEYS[usize::from(partition.0)][number]
}

/// All records of a store.
pub(crate) fn records<D: Data>(data: &D) -> BTreeMap<DataKey, Record> {
    data.range(0, u64::MAX).map(|item| item.expect("nothing is damaged")).collect()
}

/// Writes the log of one partition as a head would, and knows all of it.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: Epoch,
    /// All entries; the first has number 1.
    pub(crate) log: Vec<Arc<Entry>>,
    /// The first entry that the store's log has had since the last copy.
    pub(crate) start: u64,
    /// Whether a copy has begun and not ended.
    pub(crate) is_incomplete: bool,
    counter: u64,
}

impl Author {
    pub(crate) fn new(partition: u16) -> Self {
        Self {
            partition: PartitionId(partition),
            epoch: Epoch(1),
            log: Vec::new(),
            start: 1,
            is_incomplete: false,
            counter: 0,
        }
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
            key: DataKey::of(key.as_bytes()),
            change,
            displaced: self.standing(key),
            reply,
        });
        self.log.push(Arc::clone(&entry));
        Persist::Append { partition: self.partition, entry }
    }

    /// What stands at a key at the end of the log.
    fn standing(&self, key: &str) -> Displaced {
        let last = self.log.iter().rfind(|entry| entry.key.key() == key && entry.change != Change::Keep);
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

    /// A joiner's log is cut back. What it is sent next is of a later epoch.
    pub(crate) fn cut(&mut self, watermark: u64) -> Persist {
        self.log.truncate(usize::try_from(watermark).expect("a small number"));
        self.epoch = self.epoch.next();
        Persist::Cut { partition: self.partition, attachment: 1, watermark }
    }

    /// A full copy begins.
    pub(crate) fn reset(&mut self) -> Persist {
        self.is_incomplete = true;
        Persist::Reset { partition: self.partition }
    }

    /// A full copy of the log up to an entry has ended. What follows is of a later epoch.
    pub(crate) fn installed(&mut self, up_to: u64) -> Persist {
        let base = Arc::new(self.durable().base_at(up_to));
        self.log.truncate(usize::try_from(up_to).expect("a small number"));
        self.epoch = self.epoch.next();
        (self.start, self.is_incomplete) = (up_to + 1, false);
        Persist::Installed { partition: self.partition, attachment: 1, base }
    }

    /// The whole log as a replica that has all of it keeps it.
    pub(crate) fn durable(&self) -> Durable {
        let mut durable = Durable::default();
        for entry in &self.log {
            let append = Persist::Append { partition: self.partition, entry: Arc::clone(entry) };
            durable.record(&append).expect("the log has no gap");
        }
        durable
    }

    /// Which epoch each entry is of.
    pub(crate) fn history(&self) -> EpochHistory {
        self.durable().history
    }

    pub(crate) fn fetch(&self, from: u64, to: u64, bytes: usize) -> Fetch {
        Fetch { partition: self.partition, attachment: 1, from, to, bytes, history: self.history() }
    }

    /// The data by its definition: the last change of each key up to an entry.
    pub(crate) fn records(&self, up_to: u64) -> BTreeMap<DataKey, Record> {
        let mut records = BTreeMap::new();
        for (_, entry) in self.entries(0, up_to) {
            let key = entry.key.clone();
            match &entry.change {
                Change::Keep => None,
                Change::Remove => records.remove(&key),
                Change::Put { .. } => records.insert(key, entry.record().expect("a put leaves a record")),
            };
        }
        records
    }

    /// How far the data has come when it is applied up to an entry.
    pub(crate) fn applied(&self, up_to: u64) -> Applied {
        let records = self.records(up_to);
        let expiring = records.values().filter(|record| record.expires_at.is_some()).count() as u64;
        Applied { up_to, counts: Counts { keys: records.len() as u64, expiring } }
    }

    /// A full copy of the data up to an entry, in pages of so many records.
    pub(crate) fn pages(&self, up_to: u64, records_max: usize) -> Vec<CopyPage> {
        let records: Vec<_> = self.records(up_to).into_iter().collect();
        let mut pages: Vec<CopyPage> = Vec::new();
        for (records, number) in records.chunks(records_max).zip(0..) {
            let last = pages.last().and_then(|page| page.records.last());
            let after = last.map(|(key, _)| key.clone());
            pages.push(CopyPage { number, after, records: records.to_vec(), end: None });
        }
        if pages.is_empty() {
            pages.push(CopyPage { number: 0, after: None, records: Vec::new(), end: None });
        }
        pages.last_mut().expect("there is one").end = Some(self.applied(up_to));
        pages
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
