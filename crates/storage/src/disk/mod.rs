//! The store of a node: a folder.
//!
//! ```text
//! lock            held by the process that has the store open
//! identity        whose store this is
//! lives           the last sessions that began on this store
//! acquaintances   which life of each other node this node has met last
//! log/*.log       the log, in segments that are numbered from 1
//! data/           the records, kept by the engine
//! ```
//!
//! Creating a store ends with its identity, so a folder without one was never used, and opening it starts
//! over; a folder without one that nevertheless holds something is refused.
//!
//! Opening reads the whole log, compares it with the data, makes what it found durable, and begins a new
//! segment: after a crash it is unknown what the system still has to write of the old one.

mod acquaintances;
mod data;
mod engine;
mod folder;
mod frame;
mod journal;
mod log;
mod reader;
mod segment;
mod tail;
#[cfg(test)]
mod tests;

pub use acquaintances::{Acquaintances, Stranger, begin_life};
pub use data::DiskData;
pub use log::DiskLog;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use simpledynamo_chain::Applied;
use simpledynamo_topology::PartitionId;

use crate::{Identity, Opened, StoreError};
use folder::Folder;
use tail::Tail;

/// What can be chosen about a store.
#[derive(Clone, Copy, Debug)]
pub struct DiskOptions {
    /// The size at which a segment of the log ends, in bytes. A larger batch gets a longer segment.
    pub segment_size: u64,
    /// How much of the data the engine keeps in memory besides what was just written, in bytes.
    pub cache_size: u64,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { segment_size: 32 * 1024 * 1024, cache_size: 32 * 1024 * 1024 }
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
    let applied = engine.applied()?;
    let read = reader::read_log(&folder.log(), uuid, &applied)?;
    if known.is_none() {
        folder.write_identity(identity, uuid)?;
    }
    let mirror = read.mirror();
    let recovered = read
        .state
        .recover(&applied)
        .map_err(|reason| StoreError::Inconsistent { path: folder.path().to_owned(), reason })?;
    let tail = Arc::new(Tail::new(folder));
    let mut log = DiskLog::start(Arc::clone(&tail), uuid, *options, mirror, read.segments, read.next_frame)?;
    log.remove_applied(&up_to(&applied))?;
    let data = DiskData::new(engine, applied, tail);
    Ok(Opened { log, data, recovered, uuid })
}

fn up_to(applied: &BTreeMap<PartitionId, Applied>) -> BTreeMap<PartitionId, u64> {
    applied.iter().map(|(partition, applied)| (*partition, applied.up_to)).collect()
}
