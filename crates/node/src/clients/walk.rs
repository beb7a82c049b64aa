//! Walking over the pairs of many partitions, a page at a time.
//!
//! A cursor is a position: the first 52 bits of a token. It means "all keys below have been returned", so any
//! node can go on with it, nothing is kept between pages, and a key that stays throughout is met exactly once.

use std::rc::Rc;

use bytes::Bytes;
use simpledynamo_chain::{
    Counts, Item, Operation, Outcome, Page, PageRequest, Part, Query, Reading, Reply, Version,
};
use simpledynamo_ring::Ring;
use simpledynamo_topology::PartitionId;

use crate::core::engine::Engine;

/// From a 64-bit prefix of a token to its position.
const POSITION_SHIFT: u32 = 12;

/// One more than the highest position.
pub(crate) const POSITIONS: u64 = 1 << 52;

/// A stretch of positions of one partition, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) partition: PartitionId,
    from: u64,
    to: u64,
}

/// The stretches of the partitions that are wanted, in ring order. A partition that passes the top of the
/// circle has two.
pub(crate) fn stretches(ring: &Ring, wanted: impl Fn(PartitionId) -> bool) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for (index, partition) in ring.partitions().iter().enumerate() {
        let id = PartitionId(u16::try_from(index).expect("at most 65,535 partitions"));
        if wanted(id) {
            stretches.extend(partition.prefix_ranges().into_iter().map(|(low, high)| Stretch {
                partition: id,
                from: low >> POSITION_SHIFT,
                to: high >> POSITION_SHIFT,
            }));
        }
    }
    stretches.sort_by_key(|stretch| (stretch.to, stretch.from));
    stretches
}

/// What a page should hold.
pub(crate) struct Wanted {
    /// Look at about this many pairs.
    pub(crate) count: u32,
    /// With values.
    pub(crate) values: bool,
    /// Only keys that match.
    pub(crate) pattern: Option<Bytes>,
}

/// The next page: its pairs, and the cursor to go on from unless the walk is done.
///
/// # Errors
/// The outcome of the question that was not answered.
pub(crate) async fn page(
    engine: &Rc<Engine>,
    stretches: &[Stretch],
    cursor: u64,
    wanted: &Wanted,
) -> Result<(Vec<Item>, Option<u64>), Outcome> {
    let mut items = Vec::new();
    let first = stretches.partition_point(|stretch| stretch.to < cursor);
    for stretch in &stretches[first..] {
        let found = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let request = PageRequest {
            from: stretch.from.max(cursor),
            to: stretch.to,
            count: wanted.count.saturating_sub(found).max(1),
            values: wanted.values,
            pattern: wanted.pattern.clone(),
        };
        let Page { items: more, next } =
            match engine.ask_and_wait(stretch.partition, Query::Page(request)).await {
                Outcome::Read(Reading::Page(page)) => page,
                other => return Err(other),
            };
        for item in more {
            items.extend(settle(engine, item, wanted.values).await?);
        }
        // A page is never ended where a stretch ends: the next one may begin at the same position.
        if next.is_some() {
            return Ok((items, next));
        }
    }
    Ok((items, None))
}

/// A pair that looks expired counts only if the head, after checking, has kept it.
async fn settle(engine: &Rc<Engine>, item: Item, values: bool) -> Result<Option<Item>, Outcome> {
    if !item.due {
        return Ok(Some(item));
    }
    let part = if values { Part::Value } else { Part::Meta };
    match lapse(engine, item.key.clone(), item.version).await? {
        Lapse::Kept => Ok(Some(item)),
        Lapse::Gone => Ok(None),
        Lapse::Superseded => match read(engine, item.key.clone(), part).await? {
            Reading::Present { version, expires_at, bytes, .. } => {
                Ok(Some(Item { version, expires_at, due: false, value: bytes, ..item }))
            }
            _ => Ok(None),
        },
    }
}

/// Reads a key; if the record there looks expired, after the head has checked it.
///
/// # Errors
/// The outcome of the request that was not answered.
pub(crate) async fn read(engine: &Rc<Engine>, key: Bytes, part: Part) -> Result<Reading, Outcome> {
    let first = engine.read_and_wait(Query::Get { key: key.clone(), part }).await;
    settle_reading(engine, key, part, first).await
}

/// Goes on with a reading that may look expired.
///
/// # Errors
/// The outcome of the request that was not answered.
pub(crate) async fn settle_reading(
    engine: &Rc<Engine>,
    key: Bytes,
    part: Part,
    first: Outcome,
) -> Result<Reading, Outcome> {
    let mut outcome = first;
    loop {
        let reading = match outcome {
            Outcome::Read(reading) => reading,
            other => return Err(other),
        };
        let Reading::Present { version, due: true, .. } = reading else { return Ok(reading) };
        match lapse(engine, key.clone(), version).await? {
            Lapse::Kept => return Ok(reading),
            Lapse::Gone => return Ok(Reading::Absent),
            Lapse::Superseded => {}
        }
        outcome = engine.read_and_wait(Query::Get { key: key.clone(), part }).await;
    }
}

/// What the head made of a record that looked expired elsewhere.
pub(crate) enum Lapse {
    /// Not expired by its clock.
    Kept,
    /// Expired, and deleted now.
    Gone,
    /// Replaced or deleted in the meantime.
    Superseded,
}

/// Has the head delete a version if it is expired.
///
/// # Errors
/// The outcome of the request if the head did not do it.
pub(crate) async fn lapse(engine: &Rc<Engine>, key: Bytes, version: Version) -> Result<Lapse, Outcome> {
    match engine.write_and_wait(key, Operation::Lapse { version }).await {
        Outcome::Written { reply: Reply::Done, .. } => Ok(Lapse::Gone),
        Outcome::Written { reply: Reply::Refused, .. } => Ok(Lapse::Kept),
        Outcome::Written { .. } => Ok(Lapse::Superseded),
        other => Err(other),
    }
}

/// The counters of the whole ring.
///
/// # Errors
/// The outcome of the question that was not answered.
pub(crate) async fn count(engine: &Rc<Engine>) -> Result<Counts, Outcome> {
    let partitions: Vec<PartitionId> = engine.look(|node| node.topology().partitions().collect());
    let mut sum = Counts::default();
    for partition in partitions {
        match engine.ask_and_wait(partition, Query::Count).await {
            Outcome::Read(Reading::Counts(counts)) => {
                sum.keys += counts.keys;
                sum.expiring += counts.expiring;
            }
            other => return Err(other),
        }
    }
    Ok(sum)
}
