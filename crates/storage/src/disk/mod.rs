//! The store of a node: a folder.
//!
//! ```text
//! lock            held by the process that has the store open
//! identity        whose store this is
//! lives           the last sessions that began on this store
//! damaged         there if the store lacks what it acknowledged
//! emptying        there while the store is being removed
//! log/*.log       the log, in segments that are numbered from 1
//! data/           the records, kept by the engine
//! ```
//!
//! Creating a store ends with its identity, so a folder without one was never used, and opening it starts
//! over; a folder without one that nevertheless holds something is refused.
//!
//! Opening reads the log from where the data may lack something, compares it with the data, makes what it found durable, and begins a new
//! segment: after a crash it is unknown what the system still has to write of the old one.

mod catalog;
mod damage;
mod data;
mod engine;
mod fetch;
mod folder;
mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod lives;
mod log;
mod reader;
mod segment;
mod small;
mod table;
mod tail;
#[cfg(test)]
mod tests;

pub use damage::{is_marked_damaged, mark_damaged};
pub use data::{DiskData, DiskSnapshot};
pub use fetch::DiskLogReader;
pub use lives::{LIVES_MAX, Lives};
pub use log::DiskLog;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use simpledynamo_chain::Applied;
use simpledynamo_topology::PartitionId;

use crate::{Identity, Opened, Recovered, StoreError};
use catalog::Catalog;
use folder::Folder;
use reader::ReadLog;
use tail::Tail;

/// What can be chosen about a store.
#[derive(Clone, Copy, Debug)]
pub struct DiskOptions {
    /// The size at which a segment of the log ends, in bytes. A larger batch gets a longer segment.
    pub segment_size: u64,
    /// How much of the data the engine keeps in memory besides what was just written, in bytes.
    pub cache_size: u64,
    /// How much of the log is kept for nodes that come back after a while, in bytes. What the data does not hold
    /// yet is kept besides.
    pub log_retention: u64,
}

impl Default for DiskOptions {
    fn default() -> Self {
        let mebibyte = 1024 * 1024;
        Self { segment_size: 32 * mebibyte, cache_size: 32 * mebibyte, log_retention: 256 * mebibyte }
    }
}

/// Opens the store in a folder, and creates it if the folder holds none yet.
///
/// What the store held is durable when this returns.
///
/// # Errors
/// When another process has the folder open, when it belongs to another node, cluster or format, when log or
/// data are damaged or contradict each other, and when the disk refuses.
pub fn open(
    folder: &Path,
    identity: &Identity,
    options: &DiskOptions,
) -> Result<Opened<DiskLog, DiskData>, StoreError> {
    let folder = Arc::new(Folder::lock(folder)?);
    folder.finish_emptying()?;
    let known = folder.identify(identity)?;
    let uuid = match known {
        Some(uuid) => uuid,
        None => {
            let uuid = folder::draw_uuid()?;
            segment::create_first(&folder.log(), uuid)?;
            uuid
        }
    };
    let engine = engine::Engine::open(&folder.data(), options.cache_size)?;
    let applied = engine.applied(&engine.snapshot())?;
    // Parts of the log may go that the data holds, and the engine may have read this from no disk.
    engine.sync()?;
    let read = reader::read_log(&folder.log(), uuid, &applied)?;
    if known.is_none() {
        folder.write_identity(identity, uuid)?;
    }
    let GoneOn { log, reader, tail, recovered } = go_on(folder, uuid, options, read, &applied)?;
    let data = DiskData::new(engine, recovered.applied.clone(), tail);
    Ok(Opened { log, reader, data, recovered, uuid })
}

/// A log that goes on, and what it held.
struct GoneOn {
    log: DiskLog,
    reader: DiskLogReader,
    tail: Arc<Tail>,
    recovered: Recovered,
}

/// Compares a log that was read with what the data holds, and begins its next segment.
fn go_on(
    folder: Arc<Folder>,
    uuid: [u8; 16],
    options: &DiskOptions,
    read: ReadLog,
    applied: &BTreeMap<PartitionId, Applied>,
) -> Result<GoneOn, StoreError> {
    let mirror = read.mirror();
    let recovered = read
        .state
        .recover(applied)
        .map_err(|reason| StoreError::Inconsistent { path: folder.path().to_owned(), reason })?;
    let catalog = Arc::new(Catalog::new(read.listed));
    let reader = DiskLogReader::new(Arc::clone(&folder), uuid, Arc::clone(&catalog));
    let tail = Arc::new(Tail::new(folder));
    let mut log =
        DiskLog::start(Arc::clone(&tail), catalog, uuid, *options, mirror, read.segments, read.next_frame)?;
    log.remove_applied(&up_to(&recovered.applied))?;
    Ok(GoneOn { log, reader, tail, recovered })
}

/// Empties a folder, so that opening it creates a new store: of a store that is damaged, or is not the one that its node
/// is known by. All that the folder held, whoever wrote it, is kept in its subfolder `set-aside`, until the next time. An
/// interruption leaves a folder that counts as never used.
///
/// # Errors
/// When another process has the folder open, and when the disk refuses.
pub fn empty(folder: &Path) -> Result<(), StoreError> {
    Folder::lock(folder)?.empty()
}

fn up_to(applied: &BTreeMap<PartitionId, Applied>) -> BTreeMap<PartitionId, u64> {
    applied.iter().map(|(partition, applied)| (*partition, applied.up_to)).collect()
}
