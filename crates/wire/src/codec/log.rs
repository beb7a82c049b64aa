//! What a log file says: changes, and what a replica's state was when a segment began.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::{
    Applied, Base, Counts, Durable, Entry, EpochHistory, HISTORY_MAX, Persist, Reply, Version, Writer,
    Writers,
};
use simpledynamo_topology::{Epoch, NodeId, PartitionId, Session};

use super::DecodeError;
use super::entry::{get_entry, get_reply, get_seq, get_version, put_entry, put_reply, put_version};
use super::primitive::{get_bool, get_count, get_u8, get_u16, get_u64, put_bool, put_count, put_u64};
use crate::Sink;

/// The fewest bytes that an entry takes: flags, version, op id, floor, an empty key, a reply.
const ENTRY_SIZE_MIN: usize = 9;

/// The fewest bytes that a coordinator's writes take: node, session, floor, no write.
const WRITER_SIZE_MIN: usize = 4;

/// The fewest bytes that one of them takes: counter, version, a reply.
const DONE_SIZE_MIN: usize = 4;

/// The fewest bytes that a change of epoch takes: its first entry, the epoch.
const HISTORY_ITEM_SIZE_MIN: usize = 2;

/// The first byte of a change to the log.
mod persist_kind {
    pub(super) const SEAL: u8 = 1;
    pub(super) const OPEN: u8 = 2;
    pub(super) const APPEND: u8 = 3;
    pub(super) const WATERMARK: u8 = 4;
    pub(super) const CUT: u8 = 5;
    pub(super) const RESET: u8 = 6;
    pub(super) const INSTALLED: u8 = 7;
}

/// Writes entries, their number first.
pub fn put_entries<S: Sink>(entries: &[Arc<Entry>], out: &mut S) {
    put_count(entries.len(), out);
    for entry in entries {
        put_entry(entry, out);
    }
}

/// Reads entries.
///
/// # Errors
/// When the input does not hold as many as announced.
pub fn get_entries(input: &mut Bytes) -> Result<Vec<Arc<Entry>>, DecodeError> {
    let count = get_count(input, ENTRY_SIZE_MIN)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(Arc::new(get_entry(input)?));
    }
    Ok(entries)
}

/// Writes a change to the log.
pub fn put_persist<S: Sink>(persist: &Persist, out: &mut S) {
    let head = |kind: u8, partition: &PartitionId, out: &mut S| {
        out.put_u8(kind);
        put_u64(partition.0.into(), out);
    };
    match persist {
        Persist::Seal { partition, epoch } => {
            head(persist_kind::SEAL, partition, out);
            put_u64(epoch.0, out);
        }
        Persist::Open { partition, epoch, watermark, entries } => {
            head(persist_kind::OPEN, partition, out);
            put_u64(epoch.0, out);
            put_u64(*watermark, out);
            put_entries(entries, out);
        }
        Persist::Append { partition, entry } => {
            head(persist_kind::APPEND, partition, out);
            put_entry(entry, out);
        }
        Persist::Watermark { partition, up_to } => {
            head(persist_kind::WATERMARK, partition, out);
            put_u64(*up_to, out);
        }
        Persist::Cut { partition, attachment, watermark } => {
            head(persist_kind::CUT, partition, out);
            put_u64(*attachment, out);
            put_u64(*watermark, out);
        }
        Persist::Reset { partition } => head(persist_kind::RESET, partition, out),
        Persist::Installed { partition, attachment, base } => {
            head(persist_kind::INSTALLED, partition, out);
            put_u64(*attachment, out);
            put_base(base, out);
        }
    }
}

/// Reads a change to the log.
///
/// # Errors
/// When the input does not hold one.
pub fn get_persist(input: &mut Bytes) -> Result<Persist, DecodeError> {
    let kind = get_u8(input)?;
    if !(persist_kind::SEAL..=persist_kind::INSTALLED).contains(&kind) {
        return Err(DecodeError::Kind { what: "a change to the log", tag: kind });
    }
    let partition = PartitionId(get_u16(input, "a partition's number")?);
    Ok(match kind {
        persist_kind::SEAL => Persist::Seal { partition, epoch: Epoch(get_u64(input)?) },
        persist_kind::OPEN => Persist::Open {
            partition,
            epoch: Epoch(get_u64(input)?),
            watermark: get_seq(input)?,
            entries: get_entries(input)?,
        },
        persist_kind::APPEND => Persist::Append { partition, entry: Arc::new(get_entry(input)?) },
        persist_kind::WATERMARK => Persist::Watermark { partition, up_to: get_seq(input)? },
        persist_kind::CUT => {
            Persist::Cut { partition, attachment: get_u64(input)?, watermark: get_seq(input)? }
        }
        persist_kind::RESET => Persist::Reset { partition },
        _ => Persist::Installed { partition, attachment: get_u64(input)?, base: Arc::new(get_base(input)?) },
    })
}

/// Writes what a log had come to at the end of a full copy.
pub fn put_base<S: Sink>(base: &Base, out: &mut S) {
    let Base { last, writers } = base;
    put_version(*last, out);
    put_writers(writers, out);
}

/// Reads what a log had come to at the end of a full copy.
///
/// # Errors
/// When the input does not hold it.
pub fn get_base(input: &mut Bytes) -> Result<Base, DecodeError> {
    Ok(Base { last: get_version(input)?, writers: get_writers(input)? })
}

/// Writes a replica's durable state without its entries, which a log holds one by one.
pub fn put_durable<S: Sink>(durable: &Durable, out: &mut S) {
    let Durable { sealed, open, watermark, end, start, is_incomplete, history, entries: _, writers } =
        durable;
    put_u64(sealed.0, out);
    put_u64(open.0, out);
    put_u64(*watermark, out);
    put_u64(*end, out);
    put_u64(*start, out);
    put_bool(*is_incomplete, out);
    put_count(history.0.len(), out);
    for (first, epoch) in &history.0 {
        put_u64(*first, out);
        put_u64(epoch.0, out);
    }
    put_writers(writers, out);
}

fn put_writers<S: Sink>(writers: &Writers, out: &mut S) {
    put_count(writers.0.len(), out);
    for (node, Writer { session, floor, done }) in &writers.0 {
        put_u64(node.0.into(), out);
        put_u64(session.0, out);
        put_u64(*floor, out);
        put_count(done.len(), out);
        for (counter, (version, reply)) in done {
            put_u64(*counter, out);
            put_version(*version, out);
            put_reply(reply, out);
        }
    }
}

/// Reads a replica's durable state; its entries are empty.
///
/// # Errors
/// When the input does not hold one.
pub fn get_durable(input: &mut Bytes) -> Result<Durable, DecodeError> {
    Ok(Durable {
        sealed: Epoch(get_u64(input)?),
        open: Epoch(get_u64(input)?),
        watermark: get_seq(input)?,
        end: get_seq(input)?,
        start: get_seq(input)?,
        is_incomplete: get_bool(input, "whether a copy is under way")?,
        history: get_history(input)?,
        entries: VecDeque::new(),
        writers: get_writers(input)?,
    })
}

fn get_history(input: &mut Bytes) -> Result<EpochHistory, DecodeError> {
    let count = get_count(input, HISTORY_ITEM_SIZE_MIN)?;
    if count > HISTORY_MAX {
        let (what, found, max) = ("the number of remembered epochs", count as u64, HISTORY_MAX as u64);
        return Err(DecodeError::Range { what, found, max });
    }
    let mut history = VecDeque::with_capacity(count);
    for _ in 0..count {
        let (first, epoch) = (get_u64(input)?, Epoch(get_u64(input)?));
        if history.back().is_some_and(|(last, before)| *last >= first || *before >= epoch) {
            return Err(DecodeError::Order { what: "the epochs of a log" });
        }
        history.push_back((first, epoch));
    }
    Ok(EpochHistory(history))
}

fn get_writers(input: &mut Bytes) -> Result<Writers, DecodeError> {
    let mut writers = BTreeMap::new();
    for _ in 0..get_count(input, WRITER_SIZE_MIN)? {
        let node = NodeId(get_u16(input, "a node's number")?);
        let writer =
            Writer { session: Session(get_u64(input)?), floor: get_u64(input)?, done: get_done(input)? };
        insert_above(&mut writers, node, writer, "coordinators")?;
    }
    Ok(Writers(writers))
}

fn get_done(input: &mut Bytes) -> Result<BTreeMap<u64, (Version, Reply)>, DecodeError> {
    let mut done = BTreeMap::new();
    for _ in 0..get_count(input, DONE_SIZE_MIN)? {
        let counter = get_u64(input)?;
        let outcome = (get_version(input)?, get_reply(input)?);
        insert_above(&mut done, counter, outcome, "a coordinator's writes")?;
    }
    Ok(done)
}

/// Inserts above all that is there: what was written from a map comes in its order.
fn insert_above<K: Ord, V>(
    map: &mut BTreeMap<K, V>,
    key: K,
    value: V,
    what: &'static str,
) -> Result<(), DecodeError> {
    if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
        return Err(DecodeError::Order { what });
    }
    map.insert(key, value);
    Ok(())
}

/// Writes how far a partition's data has come.
pub fn put_applied<S: Sink>(applied: &Applied, out: &mut S) {
    let Applied { up_to, counts: Counts { keys, expiring } } = applied;
    put_u64(*up_to, out);
    put_u64(*keys, out);
    put_u64(*expiring, out);
}

/// Reads how far a partition's data has come.
///
/// # Errors
/// When the input does not hold it.
pub fn get_applied(input: &mut Bytes) -> Result<Applied, DecodeError> {
    Ok(Applied {
        up_to: get_seq(input)?,
        counts: Counts { keys: get_u64(input)?, expiring: get_u64(input)? },
    })
}
