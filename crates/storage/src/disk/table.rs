//! A keyspace of the engine whose memtable is closed here, before the engine finds it full.
//!
//! fjall 3.1.13 asks itself, with each commit beyond the size of a memtable, to close it: through a queue that its
//! worker empties, and fills too when it does so. With one worker a queue that is full would stand still for ever
//! ([fjall #323](https://github.com/fjall-rs/fjall/pull/323)). A second worker, on the other hand, spins for as long as the
//! first merges: it takes the request to merge and puts it back. So there is one worker, and whoever commits counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::compaction::Leveled;
use fjall::config::PinningPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};

/// What an item takes in a memtable beside its key and value, in bytes, and some more: so that a memtable is full by
/// this count before it is by the engine's.
const ITEM_OVERHEAD: usize = 128;

/// Merged files are of about this size, in bytes, and the first merged level holds four of them: so no merge takes so long
/// that the memtables which wait for the worker meanwhile become too many, and commits wait too.
const FILE_BYTES: u64 = 16 << 20;

/// A keyspace.
pub(crate) struct Table {
    keyspace: Keyspace,
    /// Bytes that its memtable may hold.
    memtable_max: u64,
    /// Bytes that were put into it since the last one was closed.
    memtable: AtomicU64,
}

impl Table {
    /// Opens a keyspace, and creates it if there is none.
    pub(crate) fn open(database: &Database, name: &str, memtable_max: u64) -> fjall::Result<Self> {
        let options = || {
            KeyspaceCreateOptions::default()
                // After a start a memtable holds what was read from the journal, too, at most as much again.
                .max_memtable_size(2 * memtable_max)
                // Filters and indexes are long pieces. Through the cache of blocks, a store of some million records would
                // read them again and again, instead of the one block that has the record.
                .filter_block_pinning_policy(PinningPolicy::all(true))
                .index_block_pinning_policy(PinningPolicy::all(true))
                .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(FILE_BYTES)))
        };
        let keyspace = database.keyspace(name, options)?;
        Ok(Self { keyspace, memtable_max, memtable: AtomicU64::new(0) })
    }

    /// The keyspace, to be read.
    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// Has a batch put a value under a key.
    pub(crate) fn insert(&self, batch: &mut OwnedWriteBatch, key: &[u8], value: Vec<u8>) {
        self.count(key.len() + value.len());
        batch.insert(&self.keyspace, key, value);
    }

    /// Has a batch remove a key.
    pub(crate) fn remove(&self, batch: &mut OwnedWriteBatch, key: &[u8]) {
        self.count(key.len());
        batch.remove(&self.keyspace, key);
    }

    fn count(&self, bytes: usize) {
        self.memtable.fetch_add((bytes + ITEM_OVERHEAD) as u64, Ordering::Relaxed);
    }

    /// Closes the memtable if it is full: the engine writes it out while a new one is filled. To be called after each
    /// commit.
    pub(crate) fn close_if_full(&self) -> fjall::Result<()> {
        if self.memtable.load(Ordering::Relaxed) > self.memtable_max {
            self.memtable.store(0, Ordering::Relaxed);
            self.keyspace.rotate_memtable()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn fill(database: &Database, table: &Table, mebibytes: u64) {
        for number in 0..mebibytes {
            let mut batch = database.batch();
            table.insert(&mut batch, &number.to_be_bytes(), vec![number as u8; MIB as usize]);
            batch.commit().expect("the disk takes it");
            table.close_if_full().expect("the disk takes it");
        }
    }

    #[test]
    fn a_full_memtable_becomes_a_file_and_one_that_is_not_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::builder(folder.path()).worker_threads(1).open().expect("a database");
        let table = Table::open(&database, "data", 8 * MIB).expect("a keyspace");
        fill(&database, &table, 7);
        assert_eq!(table.keyspace().disk_space(), 0, "below the size nothing is written out");
        fill(&database, &table, 3);
        let start = Instant::now();
        while table.keyspace().disk_space() == 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "the memtable was never written out");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(table.memtable.load(Ordering::Relaxed) < 3 * MIB, "a new memtable is counted from nothing");
    }
}
