//! The store on a disk, but for the sync that an acknowledgement waits for.

use std::hint::black_box;
use std::sync::Arc;

use simpledynamo_chain::{DataKey, Displaced, Entry, Persist};
use simpledynamo_storage::disk::{self, DiskData, DiskLog, DiskOptions};
use simpledynamo_storage::{Data, Identity, Log, Opened};
use simpledynamo_topology::PartitionId;
use tempfile::TempDir;

use crate::case::{Case, Measure, Repeat, Step};
use crate::samples::{self, VALUE, key, value};

const PARTITION: PartitionId = PartitionId(1);

/// Entries of a batch while a store is filled.
const BATCH: u64 = 1_000;

/// Batches after which the data is made durable and the log trimmed, while a store is filled.
const SYNC_EVERY: u64 = 50;

/// Pairs in the store of a case.
const PAIRS: u64 = 10_000;

pub(crate) fn cases() -> [Case; 5] {
    [
        timed("store-append-1", "an entry of 100 bytes to the log, not synced", || {
            append(Store::filled(PAIRS), 1)
        }),
        timed("store-append-16", "16 entries of 100 bytes to the log, not synced", || {
            append(Store::filled(PAIRS), 16)
        }),
        timed("store-apply-1", "an entry of 100 bytes that the log holds to the data", || {
            apply(Store::filled(PAIRS), 1)
        }),
        timed("store-apply-16", "16 entries of 100 bytes that the log holds to the data", || {
            apply(Store::filled(PAIRS), 16)
        }),
        timed("store-read", "a pair of 10,000 from the data", || read(Store::filled(PAIRS))),
    ]
}

fn timed(name: &'static str, about: &'static str, prepare: fn() -> Step) -> Case {
    Case { name, about, measure: Measure::Timed, prepare }
}

/// A store with pairs in it, in a folder that goes with it.
pub(crate) struct Store {
    opened: Opened<DiskLog, DiskData>,
    pairs: u64,
    /// The last entry of the log.
    end: u64,
    _folder: TempDir,
}

impl Store {
    /// A store with so many pairs. All but the latest are in tables; the latest are where the engine has them.
    pub(crate) fn filled(pairs: u64) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let identity = Identity { cluster: "micro".to_owned(), node: "5554".to_owned() };
        let opened = disk::open(folder.path(), &identity, &DiskOptions::default()).expect("a new store");
        let mut store = Self { opened, pairs, end: 0, _folder: folder };
        for batch in 0..pairs.div_ceil(BATCH) {
            let entries: Vec<_> = (0..BATCH.min(pairs - batch * BATCH)).map(|_| store.next_entry()).collect();
            store.opened.log.append(&appends(&entries)).expect("the disk takes it");
            store.opened.log.sync().expect("the disk takes it");
            store.opened.data.apply(&entries).expect("the disk takes it");
            if batch % SYNC_EVERY == 0 {
                let applied = store.opened.data.sync().expect("the disk takes it");
                store.opened.log.trim(&applied).expect("the disk takes it");
            }
        }
        store
    }

    /// The entry behind the last: of keys in order at first, then of any of them.
    fn next_entry(&mut self) -> (PartitionId, Arc<Entry>) {
        let seq = self.end + 1;
        self.end = seq;
        let displaced = Displaced { existed: seq > self.pairs, expires_at: None };
        let number = if displaced.existed { self.somewhere(seq) } else { seq - 1 };
        (PARTITION, Arc::new(samples::entry(seq, key(number), value(seq, VALUE), displaced)))
    }

    /// Numbers of pairs here and there: each of them in turn, if their number and this prime have no common factor.
    fn somewhere(&self, step: u64) -> u64 {
        step.wrapping_mul(7_919) % self.pairs
    }

    fn next_batches(&mut self, batches: u64, entries: u64) -> Vec<Vec<(PartitionId, Arc<Entry>)>> {
        (0..batches).map(|_| (0..entries).map(|_| self.next_entry()).collect()).collect()
    }
}

fn appends(entries: &[(PartitionId, Arc<Entry>)]) -> Vec<Persist> {
    let append = |(partition, entry): &(PartitionId, Arc<Entry>)| Persist::Append {
        partition: *partition,
        entry: Arc::clone(entry),
    };
    entries.iter().map(append).collect()
}

/// Appends batches of so many entries to the log.
pub(crate) fn append(store: Store, entries: u64) -> Step {
    Box::new(Appending { store, entries, batches: Vec::new() })
}

struct Appending {
    store: Store,
    entries: u64,
    /// What comes next is the last.
    batches: Vec<Vec<Persist>>,
}

impl Repeat for Appending {
    fn make_ready(&mut self, repetitions: u64) {
        let batches = self.store.next_batches(repetitions, self.entries);
        self.batches = batches.iter().rev().map(|batch| appends(batch)).collect();
    }

    fn repeat(&mut self) {
        let batch = self.batches.pop().expect("as many were made ready");
        self.store.opened.log.append(&batch).expect("the disk takes it");
    }
}

/// Applies batches of so many entries, which the log holds durably, to the data.
pub(crate) fn apply(store: Store, entries: u64) -> Step {
    Box::new(Applying { store, entries, batches: Vec::new() })
}

struct Applying {
    store: Store,
    entries: u64,
    /// What comes next is the last.
    batches: Vec<Vec<(PartitionId, Arc<Entry>)>>,
}

impl Repeat for Applying {
    fn make_ready(&mut self, repetitions: u64) {
        self.batches = self.store.next_batches(repetitions, self.entries);
        let log = &mut self.store.opened.log;
        for batch in &self.batches {
            log.append(&appends(batch)).expect("the disk takes it");
        }
        log.sync().expect("the disk takes it");
        self.batches.reverse();
    }

    fn repeat(&mut self) {
        let batch = self.batches.pop().expect("as many were made ready");
        let applied = self.store.opened.data.apply(&batch).expect("the disk takes it");
        let (_, last) = batch.last().expect("a batch has entries");
        assert_eq!(applied[&PARTITION].up_to, last.version.seq, "all of the batch is applied");
    }
}

/// Reads pairs here and there.
pub(crate) fn read(store: Store) -> Step {
    let mut step = 0;
    Box::new(move || {
        step += 1;
        let key = DataKey::of(&key(store.somewhere(step)));
        let record = store.opened.data.get(&key).expect("the disk gives it");
        assert_eq!(black_box(record).map(|record| record.value.len()), Some(VALUE), "the pair is there");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_filled_with_as_many_pairs() {
        let store = Store::filled(2_500);
        assert_eq!(store.opened.data.range(0, u64::MAX).count(), 2_500);
    }

    #[test]
    fn further_entries_displace_pairs_that_are_there() {
        let mut store = Store::filled(100);
        let mut keys: Vec<_> =
            store.next_batches(10, 10).concat().into_iter().map(|(_, entry)| entry).collect();
        assert!(keys.iter().all(|entry| entry.displaced.existed));
        keys.sort_by(|a, b| a.key.cmp(&b.key));
        keys.dedup_by(|a, b| a.key == b.key);
        assert_eq!(keys.len(), 100, "7,919 is a prime");
    }
}
