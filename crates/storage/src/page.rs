//! Pages of a full copy: reading them off a snapshot, and what installing them comes to.

use std::ops::Bound;

use simpledynamo_chain::{Applied, CopyPage, DataKey, Record};
use simpledynamo_ring::{Partition, Token};
use simpledynamo_topology::PartitionId;

use crate::plan::Plan;

/// A stretch of data keys.
pub(crate) type Stretch = (Bound<DataKey>, Bound<DataKey>);

/// Changes in one batch while a page is installed. A page may replace any number of records, and the engine
/// keeps a whole batch in memory.
const BATCH_MAX: usize = 4_096;

/// Bytes of records in one batch while a page is installed.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a record weighs besides its key and value: version, expiry time, lengths.
const RECORD_OVERHEAD: usize = 32;

/// The stretches of data keys that a partition's keys after the given one lie in, up to the last one if
/// given; in order, and none of them empty or overlapping another. At their ends, keys of neighbours may lie
/// in them as well: [`is_in`] tells.
pub(crate) fn stretches(arc: &Partition, after: Option<&DataKey>, last: Option<&DataKey>) -> Vec<Stretch> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (low, high) in arc.prefix_ranges() {
        match ranges.last_mut() {
            // The arc is the whole circle.
            Some(before) if low <= before.1 => before.1 = high,
            _ => ranges.push((low, high)),
        }
    }
    let from = |low: u64| match after {
        Some(after) if after.prefix() >= low => Bound::Excluded(after.clone()),
        _ => Bound::Included(DataKey::first_at(low)),
    };
    let to = |high: u64| match last {
        Some(last) if last.prefix() <= high => Bound::Included(last.clone()),
        _ => high.checked_add(1).map_or(Bound::Unbounded, |next| Bound::Excluded(DataKey::first_at(next))),
    };
    ranges
        .into_iter()
        .filter(|(_, high)| after.is_none_or(|after| after.prefix() <= *high))
        .filter(|(low, _)| last.is_none_or(|last| last.prefix() >= *low))
        .map(|(low, high)| (from(low), to(high)))
        .filter(|(from, to)| match (from, to) {
            (Bound::Excluded(from), Bound::Included(to)) => from < to,
            _ => true,
        })
        .collect()
}

/// Whether a key belongs to a partition.
pub(crate) fn is_in(arc: &Partition, key: &DataKey) -> bool {
    arc.contains(Token::of(&key.key()))
}

/// The stretches that a page covers: there, nothing but its records remains.
pub(crate) fn covered(arc: &Partition, page: &CopyPage) -> Vec<Stretch> {
    let last = page.records.last().map(|(key, _)| key);
    match (page.end, last) {
        (Some(_), _) => stretches(arc, page.after.as_ref(), None),
        (None, Some(last)) => stretches(arc, page.after.as_ref(), Some(last)),
        (None, None) => Vec::new(),
    }
}

/// Checks what comes from another node.
///
/// # Errors
/// With the reason, when the page cannot be one of this partition.
pub(crate) fn check(arc: &Partition, page: &CopyPage) -> Result<(), &'static str> {
    if page.after.is_none() != (page.number == 0) {
        return Err("only the first page begins with the partition");
    }
    let mut last = page.after.as_ref();
    for (key, _) in &page.records {
        if last.is_some_and(|last| last >= key) {
            return Err("its keys do not rise");
        }
        if !is_in(arc, key) {
            return Err("a key is of another partition");
        }
        last = Some(key);
    }
    if page.records.is_empty() && page.end.is_none() {
        return Err("it covers nothing");
    }
    Ok(())
}

/// Reads a page off the records of a partition that come after its `after`.
///
/// # Errors
/// The first one that comes from the records.
pub(crate) fn read<E>(
    number: u32,
    after: Option<DataKey>,
    bytes_max: usize,
    applied: Applied,
    records: impl Iterator<Item = Result<(DataKey, Record), E>>,
) -> Result<CopyPage, E> {
    let mut page = CopyPage { number, after, records: Vec::new(), end: None };
    let mut bytes = 0;
    for item in records {
        let (key, record) = item?;
        bytes += weight(&key, &record);
        if bytes > bytes_max && !page.records.is_empty() {
            return Ok(page);
        }
        page.records.push((key, record));
    }
    page.end = Some(applied);
    Ok(page)
}

/// Installs a page in batches. `standing` is what the data holds in the range that the page covers.
///
/// # Errors
/// The first one that comes from the records or from a batch; the batches before it are done then.
pub(crate) fn install<E>(
    partition: PartitionId,
    page: &CopyPage,
    standing: impl Iterator<Item = Result<(DataKey, Record), E>>,
    mut commit: impl FnMut(Plan) -> Result<(), E>,
) -> Result<(), E> {
    let mut plan = Plan { reset: (page.number == 0).then_some(partition), ..Plan::default() };
    for item in standing {
        let (key, record) = item?;
        if let Some(at) = record.expires_at {
            plan.expiry.insert((at, key.clone()), false);
        }
        if page.records.binary_search_by(|(named, _)| named.cmp(&key)).is_err() {
            plan.records.insert(key, None);
        }
        if plan.len() >= BATCH_MAX {
            commit(std::mem::take(&mut plan))?;
        }
    }
    let mut bytes = 0;
    for (key, record) in &page.records {
        if let Some(at) = record.expires_at {
            plan.expiry.insert((at, key.clone()), true);
        }
        plan.records.insert(key.clone(), Some(record.clone()));
        bytes += weight(key, record);
        if plan.len() >= BATCH_MAX || bytes >= BATCH_BYTES_MAX {
            commit(std::mem::take(&mut plan))?;
            bytes = 0;
        }
    }
    if let Some(end) = page.end {
        plan.applied.insert(partition, end);
    }
    if plan.len() > 0 { commit(plan) } else { Ok(()) }
}

fn weight(key: &DataKey, record: &Record) -> usize {
    RECORD_OVERHEAD + key.as_bytes().len() + record.value.len()
}
