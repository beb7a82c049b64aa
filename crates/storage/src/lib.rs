//! What one node keeps: a log that is made durable before anything is acknowledged, and the data that clean
//! entries of the log leave behind.
//!
//! The **log** carries every change of every replica of the node, in order, values included: entries, seals,
//! opens, watermarks. One writer thread appends a batch, syncs once, and reports. The **data** holds the
//! newest clean record of each key, and is applied from the log afterwards without a sync of its own: should
//! it lose its latest part in a crash, the log still has it. A segment of the log is removed only once the
//! data durably holds all that it says, and not before the log takes more room than it is granted: what
//! another node missed while it was away is read from there by a [`LogReader`]. So each of the two would notice
//! if the other lost something: a log that ends before the data, or starts after it, is damaged, and the store
//! refuses to open.
//!
//! For that the data must never run ahead of what the log holds durably, not even in the modes that sync the
//! log now and then only. The stores see to it themselves: [`Data::apply`] syncs the log first if an entry
//! that it is given is not durable yet. With a sync before every acknowledgement that never happens.
//!
//! A node whose log ends too early for the others' gets a full copy instead: pages of another store's
//! [`Snapshot`], which [`Data::install`] puts in the place of what the data held. From
//! [`Persist::Reset`] on until [`Persist::Installed`] the log says that the replica counts as empty, and what
//! the data holds of it is not recovered.
//!
//! [`disk`] is the store of a node, [`memory`] its double for simulations, with a power switch. Both replay
//! and check in the same way, and one suite of tests runs over both.

pub mod disk;
mod error;
pub mod memory;
mod page;
mod plan;
mod state;
#[cfg(test)]
mod tests;

pub use error::StoreError;

use std::collections::BTreeMap;
use std::sync::Arc;

use simpledynamo_chain::{Applied, CopyPage, DataKey, Durable, Entry, Fetch, Persist, Record, UnixMillis};
use simpledynamo_ring::Partition;
use simpledynamo_topology::PartitionId;

/// The durable, ordered part of a store. One thread owns it.
pub trait Log: Send {
    /// What reads the log while it is written.
    type Reader: LogReader;

    /// Adds a batch at the end, as one unit: after a crash it is there whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it. The log is then poisoned: every later call fails, and whether the
    /// batch is there is unknown.
    fn append(&mut self, batch: &[Persist]) -> Result<(), StoreError>;

    /// Returns once all that was appended would survive a loss of power.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Lets go of the oldest part of the log, as far as it takes more room than it is granted and the data
    /// durably holds what it says: up to the given entry of each partition.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn trim(&mut self, applied: &BTreeMap<PartitionId, u64>) -> Result<(), StoreError>;
}

/// Reads entries of a log, on any thread, while it is written and trimmed on another. Clones are cheap.
pub trait LogReader: Clone + Send + 'static {
    /// The entries of a partition from `fetch.from` on, consecutive, none beyond `fetch.to`: as many as weigh
    /// about `fetch.bytes`, and at least one. Whatever has been appended is found, durable or not; entries that
    /// were replaced, which `fetch.history` tells, are passed over. `None` if the log does not have the first of
    /// them, or no longer has it.
    ///
    /// A partition that is read from where the last reading ended is not searched for.
    ///
    /// # Errors
    /// When the disk cannot be read or what it holds is damaged.
    fn read(&self, fetch: &Fetch) -> Result<Option<Vec<Arc<Entry>>>, StoreError>;
}

/// The clean records of a store. Clones share one store; one thread applies, any thread reads.
pub trait Data: Clone + Send + Sync + 'static {
    /// The data as it was at one moment.
    type Snapshot: Snapshot;

    /// The record of a key.
    ///
    /// # Errors
    /// When the disk cannot be read or what it holds is damaged.
    fn get(&self, key: &DataKey) -> Result<Option<Record>, StoreError>;

    /// The records whose token prefixes lie in `low..=high`, in order.
    fn range(&self, low: u64, high: u64) -> impl Iterator<Item = Result<(DataKey, Record), StoreError>> + '_;

    /// Applies clean entries in order, in one batch with how far each partition has come. Entries that are
    /// applied already change nothing. Returns how far each partition that the batch touched has come.
    ///
    /// May wait for the disk: for the log, if it does not hold the entries durably yet, and for the engine when
    /// it is behind. So it belongs on a thread of its own.
    ///
    /// # Errors
    /// When the disk does not take it, when an entry is missing in between, or when the log does not hold an
    /// entry at all; the data is then poisoned.
    fn apply(
        &self,
        entries: &[(PartitionId, Arc<Entry>)],
    ) -> Result<BTreeMap<PartitionId, Applied>, StoreError>;

    /// Installs a page of a full copy: its records replace all that the data holds of the partition in the
    /// page's range, which begins after `page.after` and ends with its last record, or with the partition if the
    /// page is the last one. `arc` is the partition's place on the ring.
    ///
    /// From the first page on nothing counts as applied. With the last page, `page.end` does, and all of the copy
    /// is durable when this returns. The log must hold [`Persist::Reset`] of the partition, and is synced first
    /// if it does not hold that durably.
    ///
    /// # Errors
    /// As [`Data::apply`]; and [`StoreError::BadPage`], which changes nothing.
    fn install(&self, partition: PartitionId, arc: &Partition, page: &CopyPage) -> Result<(), StoreError>;

    /// The data as it is now. What is applied later does not change the snapshot; but it keeps old records
    /// alive, so it should not be kept for longer than needed.
    ///
    /// # Errors
    /// As [`Data::get`].
    fn snapshot(&self) -> Result<Self::Snapshot, StoreError>;

    /// Keys whose expiry time is at or before `now`, earliest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Data::get`].
    fn due(&self, now: UnixMillis, limit: usize) -> Result<Vec<DataKey>, StoreError>;

    /// Makes durable what has been applied so far, and returns how far each partition had come.
    ///
    /// # Errors
    /// As [`Data::apply`].
    fn sync(&self) -> Result<BTreeMap<PartitionId, u64>, StoreError>;
}

/// The data of a store as it was at one moment.
pub trait Snapshot: Send {
    /// How far a partition had come.
    fn applied(&self, partition: PartitionId) -> Applied;

    /// Page `number` of a copy of a partition: the records after the given key, in order, of about `bytes_max`
    /// bytes at most, but at least one. The last page says how far the partition had come. `arc` is the
    /// partition's place on the ring.
    ///
    /// # Errors
    /// As [`Data::get`].
    fn page(
        &self,
        partition: PartitionId,
        arc: &Partition,
        number: u32,
        after: Option<DataKey>,
        bytes_max: usize,
    ) -> Result<CopyPage, StoreError>;
}

/// What a store held when it was opened. All of it is durable.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Each replica's durable state, the entries above what the data holds included.
    pub replicas: BTreeMap<PartitionId, Durable>,
    /// How far the data has come. Of a replica that counts as empty, whatever the data holds, this says nothing.
    pub applied: BTreeMap<PartitionId, Applied>,
}

/// A store that was opened. Its folder stays locked until the log, its readers, the data and its snapshots are all
/// dropped.
#[derive(Debug)]
pub struct Opened<L: Log, D> {
    /// The log, for the one thread that writes.
    pub log: L,
    /// What reads the log meanwhile.
    pub reader: L::Reader,
    /// The data, for everybody.
    pub data: D,
    /// What both held.
    pub recovered: Recovered,
    /// Drawn when the store was created: another number means that it is another store.
    pub uuid: [u8; 16],
}

/// Who a store belongs to: written when it is created, compared when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: String,
    /// The node's name.
    pub node: String,
}
