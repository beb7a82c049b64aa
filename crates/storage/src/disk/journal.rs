//! Cutting a torn batch off the engine's journal.
//!
//! The engine syncs its journal seldom, so after a loss of power any part of what was written since may be
//! missing, as zeros. Its recovery drops a batch that it cannot parse. But a batch of which only the inside
//! of a large value is missing parses well and then fails its checksum, and that the engine takes for damage:
//! it refuses to open. Here such a batch is cut off with all that follows it. The log still holds what was
//! lost by that; if it does not, the comparison of the two says so afterwards.
//!
//! The format (fjall 3): a batch is a start (tag 1, number of items, sequence number), items (tag 2, with key
//! and value; tag 4, a cleared keyspace) and an end (tag 3, the XXH3 of the items' bytes, four fixed bytes).

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use bytes::Buf;
use xxhash_rust::xxh3::Xxh3;

use super::folder::failed;
use crate::StoreError;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";

/// Cuts the newest journal before its first batch that is not whole. Returns whether there was one.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn cut_torn_end(database: &Path) -> Result<bool, StoreError> {
    let Some(path) = newest_journal(database)? else { return Ok(false) };
    let bytes = fs::read(&path).map_err(|source| failed("cannot read", &path, source))?;
    let whole = whole_batches(&bytes);
    if bytes[whole..].iter().all(|byte| *byte == 0) {
        return Ok(false);
    }
    tracing::warn!(
        path = %path.display(),
        at = whole,
        "the end of the data's journal was not durable yet when the node stopped: it is cut off"
    );
    let cut = || {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(whole as u64)?;
        file.sync_all()
    };
    cut().map_err(|source| failed("cannot cut", &path, source))?;
    Ok(true)
}

/// The journal that was written last: all others are durable.
fn newest_journal(database: &Path) -> Result<Option<PathBuf>, StoreError> {
    let read_failed = |source| failed("cannot list", database, source);
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(database).map_err(read_failed)? {
        let path = entry.map_err(read_failed)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(number), Some("jnl")) = (number, path.extension().and_then(|kind| kind.to_str()))
            && newest.as_ref().is_none_or(|(highest, _)| *highest < number)
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// The length of the whole batches that a journal begins with.
pub(super) fn whole_batches(journal: &[u8]) -> usize {
    let mut rest = journal;
    while let Some(after) = skip_batch(rest) {
        rest = after;
    }
    journal.len() - rest.len()
}

/// What follows the batch at the start of the bytes, if it is whole.
fn skip_batch(mut rest: &[u8]) -> Option<&[u8]> {
    let mut checksum = Xxh3::new();
    if rest.try_get_u8().ok()? != START {
        return None;
    }
    let items = rest.try_get_u32_le().ok()?;
    let _sequence = rest.try_get_u64_le().ok()?;
    for _ in 0..items {
        let length = item_length(rest)?;
        checksum.update(rest.get(..length)?);
        rest.advance(length);
    }
    if rest.try_get_u8().ok()? != END || rest.try_get_u64_le().ok()? != checksum.digest() {
        return None;
    }
    rest.strip_prefix(TRAILER)
}

fn item_length(item: &[u8]) -> Option<usize> {
    let mut rest = item;
    match rest.try_get_u8().ok()? {
        CLEAR => Some(1 + 8),
        ITEM => {
            let _kind_of_value = rest.try_get_u8().ok()?;
            let _compression = rest.try_get_u8().ok()?;
            let _keyspace = rest.try_get_u64_le().ok()?;
            let key = usize::from(rest.try_get_u16_le().ok()?);
            let _value = rest.try_get_u32_le().ok()?;
            let value_on_disk = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
            let head = item.len() - rest.len();
            Some(head + key + value_on_disk)
        }
        _ => None,
    }
}
