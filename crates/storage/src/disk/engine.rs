//! The records of a store in the key-value engine: fjall, a log-structured merge tree.
//!
//! Three keyspaces: `data` has the record of each data key, `expiry` an empty value under each expiry time
//! (eight bytes, the most significant first) and data key, `meta` how far each partition has come under its
//! number. A batch changes all three at once. The engine keeps a journal, which is written with each batch
//! and synced now and then; what it loses with power, the log still has.
//!
//! What one needs to know about fjall 3.1.13: all items of a batch have one sequence number, so no key may
//! come twice in it. `Keyspace::range` sees writes that come while it is read, a snapshot does not. A keyspace
//! keeps the options that it was created with. Too many unflushed memtables, or too many runs in the first
//! level, make a commit sleep. Recovery takes a torn batch at the end of the journal for what it is in most
//! cases but not in all (see [`super::journal`]).

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes};
use fjall::{Database, PersistMode, Readable, Snapshot};
use simpledynamo_chain::{Applied, DataKey, Record, UnixMillis};
use simpledynamo_topology::PartitionId;
use simpledynamo_wire::codec::{DecodeError, finish, get_applied, get_record, put_applied, put_record};

use super::journal;
use super::table::Table;
use crate::StoreError;
use crate::page::Stretch;
use crate::plan::Plan;

/// Recent records gather in memory up to this size, in bytes, before they become a file. Up to four such
/// tables may exist at a time, and after a crash the newest are read again from the journal.
const DATA_MEMTABLE: u64 = 8 * 1024 * 1024;

/// The same for the two small keyspaces.
const SMALL_MEMTABLE: u64 = 2 * 1024 * 1024;

/// The engine's journals may take this much of the disk, in bytes, before it writes out what keeps the oldest
/// one alive. No smaller value is possible.
const JOURNALS_MAX: u64 = 64 * 1024 * 1024;

/// One thread writes out and merges: a second would spin while the first merges (see [`super::table`]). While a merge takes
/// long, as many memtables wait as may exist.
const WORKERS: usize = 1;

/// Files that the engine keeps open: most systems allow a process 1024, and clients want some of them.
const OPEN_FILES_MAX: usize = 256;

/// Values from this length on are not copied out of the engine's memory; shorter ones are, so that a small
/// value does not keep alive the block that it was found in.
const LINKED_VALUE_MIN: usize = 16 * 1024;

/// The digits of a data key that an error shows: the token's, and the first few of the key's.
const KEY_SHOWN: usize = 24;

/// An open database.
pub(crate) struct Engine {
    path: PathBuf,
    database: Database,
    data: Table,
    expiry: Table,
    meta: Table,
}

impl Engine {
    /// Opens the database in a folder, and creates it if there is none.
    pub(crate) fn open(path: &Path, cache_size: u64) -> Result<Self, StoreError> {
        let open = || {
            Database::builder(path)
                .cache_size(cache_size)
                .worker_threads(WORKERS)
                .max_cached_files(Some(OPEN_FILES_MAX))
                .max_journaling_size(JOURNALS_MAX)
                .manual_journal_persist(true)
                .open()
        };
        let opened = match open() {
            Err(fjall::Error::JournalRecovery(_)) if journal::cut_torn_end(path)? => open(),
            opened => opened,
        };
        let failed = |source| StoreError::Engine { path: path.to_owned(), source };
        let database = opened.map_err(failed)?;
        let table = |name, memtable_max| Table::open(&database, name, memtable_max).map_err(failed);
        Ok(Self {
            path: path.to_owned(),
            data: table("data", DATA_MEMTABLE)?,
            expiry: table("expiry", SMALL_MEMTABLE)?,
            meta: table("meta", SMALL_MEMTABLE)?,
            database,
        })
    }

    /// What the database holds now, all keyspaces of it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    /// How far each partition has come in a snapshot.
    pub(crate) fn applied(&self, snapshot: &Snapshot) -> Result<BTreeMap<PartitionId, Applied>, StoreError> {
        let mut all = BTreeMap::new();
        for guard in snapshot.iter(self.meta.keyspace()) {
            let (key, value) = guard.into_inner().map_err(|source| self.failed(source))?;
            let partition = <[u8; 2]>::try_from(&key[..])
                .map_err(|_| self.damaged(&key, "it is not the number of a partition".to_owned()))?;
            let mut value = Bytes::copy_from_slice(&value);
            let applied = get_applied(&mut value).and_then(|applied| finish(&value).map(|()| applied));
            let applied = applied.map_err(|error| self.damaged(&key, error.to_string()))?;
            all.insert(PartitionId(u16::from_be_bytes(partition)), applied);
        }
        Ok(all)
    }

    /// Writes all that a batch comes to, whole or not at all.
    pub(crate) fn commit(&self, plan: Plan) -> Result<(), StoreError> {
        let mut batch = self.database.batch();
        if let Some(partition) = plan.withdrawn() {
            self.meta.remove(&mut batch, &partition.0.to_be_bytes());
        }
        for (key, record) in plan.records {
            match record {
                Some(record) => self.data.insert(&mut batch, key.as_bytes(), encode_record(&record)),
                None => self.data.remove(&mut batch, key.as_bytes()),
            }
        }
        for ((at, key), is_there) in plan.expiry {
            let key = expiry_key(at, &key);
            if is_there {
                self.expiry.insert(&mut batch, &key, Vec::new());
            } else {
                self.expiry.remove(&mut batch, &key);
            }
        }
        for (partition, applied) in plan.applied {
            let mut value = Vec::new();
            put_applied(&applied, &mut value);
            self.meta.insert(&mut batch, &partition.0.to_be_bytes(), value);
        }
        batch.commit().map_err(|source| self.failed(source))?;
        for table in [&self.data, &self.expiry, &self.meta] {
            table.close_if_full().map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Makes durable what has been committed.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncData).map_err(|source| self.failed(source))
    }

    /// The record of a key.
    pub(crate) fn get(&self, key: &DataKey) -> Result<Option<Record>, StoreError> {
        let found = self.data.keyspace().get(key.as_bytes()).map_err(|source| self.failed(source))?;
        found.map(|value| self.decode(key.as_bytes(), value)).transpose()
    }

    /// The records in a range of token prefixes, as they are at this moment.
    pub(crate) fn range(
        &self,
        low: u64,
        high: u64,
    ) -> impl Iterator<Item = Result<(DataKey, Record), StoreError>> + '_ {
        let after = high.checked_add(1).map(u64::to_be_bytes);
        let bounds = (Bound::Included(low.to_be_bytes()), after.map_or(Bound::Unbounded, Bound::Excluded));
        // The engine asserts that a range begins before it ends.
        let items = (low <= high).then(|| self.records(&self.database.snapshot(), bounds));
        items.into_iter().flatten()
    }

    /// The records of a snapshot in some stretches, which are in order and not empty.
    pub(crate) fn stretches<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        stretches: Vec<Stretch>,
    ) -> impl Iterator<Item = Result<(DataKey, Record), StoreError>> + 'a {
        stretches.into_iter().flat_map(|(from, to)| {
            let bytes = |bound: Bound<DataKey>| bound.map(|key| key.as_bytes().clone());
            self.records(snapshot, (bytes(from), bytes(to)))
        })
    }

    fn records<K: AsRef<[u8]>, R: RangeBounds<K>>(
        &self,
        snapshot: &Snapshot,
        bounds: R,
    ) -> impl Iterator<Item = Result<(DataKey, Record), StoreError>> + use<'_, K, R> {
        snapshot.range(self.data.keyspace(), bounds).map(|guard| {
            let (key, value) = guard.into_inner().map_err(|source| self.failed(source))?;
            let record = self.decode(&key, value)?;
            Ok((self.data_key(&key)?, record))
        })
    }

    /// Keys whose expiry time is at or before `now`, earliest first.
    pub(crate) fn due(&self, now: UnixMillis, limit: usize) -> Result<Vec<DataKey>, StoreError> {
        let after = now.checked_add(1).map(u64::to_be_bytes);
        let bounds = (Bound::Unbounded, after.map_or(Bound::Unbounded, Bound::Excluded));
        let keys = self.database.snapshot().range::<[u8; 8], _>(self.expiry.keyspace(), bounds);
        keys.take(limit)
            .map(|guard| {
                let key = guard.key().map_err(|source| self.failed(source))?;
                self.data_key(key.get(8..).unwrap_or_default())
            })
            .collect()
    }

    fn decode(&self, key: &[u8], value: fjall::Slice) -> Result<Record, StoreError> {
        decode_record(value).map_err(|error| self.damaged(key, error.to_string()))
    }

    fn data_key(&self, key: &[u8]) -> Result<DataKey, StoreError> {
        DataKey::from_stored(Bytes::copy_from_slice(key))
            .ok_or_else(|| self.damaged(key, "its key has no token".to_owned()))
    }

    fn failed(&self, source: fjall::Error) -> StoreError {
        StoreError::Engine { path: self.path.clone(), source }
    }

    fn damaged(&self, key: &[u8], reason: String) -> StoreError {
        let shown = &key[..key.len().min(KEY_SHOWN / 2)];
        let key = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        StoreError::Record { path: self.path.clone(), key, reason }
    }

    /// Puts bytes where a record should be.
    #[cfg(test)]
    pub(crate) fn put_raw(&self, key: &DataKey, bytes: &[u8]) {
        self.data.keyspace().insert(&key.as_bytes()[..], bytes).expect("the engine takes anything");
    }
}

fn encode_record(record: &Record) -> Vec<u8> {
    // Two numbers, an expiry time and a length, of at most ten bytes each.
    let mut value = Vec::with_capacity(record.value.len() + 41);
    put_record(record, &mut value);
    value
}

fn decode_record(value: fjall::Slice) -> Result<Record, DecodeError> {
    let mut value = if value.len() < LINKED_VALUE_MIN {
        Bytes::copy_from_slice(&value)
    } else {
        Bytes::from_owner(value)
    };
    let record = get_record(&mut value)?;
    finish(&value)?;
    Ok(record)
}

fn expiry_key(at: UnixMillis, key: &DataKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + key.as_bytes().len());
    bytes.put_u64(at);
    bytes.put_slice(key.as_bytes());
    bytes
}
