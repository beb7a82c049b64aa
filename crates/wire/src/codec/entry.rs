//! A log entry, a record, and what they consist of.

use bytes::Bytes;
use simpledynamo_chain::{
    Change, DataKey, Displaced, Entry, OpId, OperationError, Record, Reply, SEQ_MAX, Version,
};
use simpledynamo_topology::{Epoch, NodeId, Session};

use super::DecodeError;
use super::primitive::{
    get_bytes, get_i64, get_option, get_u8, get_u16, get_u64, put_bytes, put_i64, put_option, put_u64,
};
use crate::Sink;

/// The first byte of an entry: what changes, and which optional fields follow.
mod entry_flags {
    /// The change, in two bits: one of the four below.
    pub(super) const CHANGE: u8 = 0b0011;
    pub(super) const KEEP: u8 = 0;
    pub(super) const PUT: u8 = 1;
    pub(super) const PUT_EXPIRING: u8 = 2;
    pub(super) const REMOVE: u8 = 3;
    /// A value stood at the key before.
    pub(super) const DISPLACED_EXISTED: u8 = 0b0100;
    /// It had an expiry time, which follows.
    pub(super) const DISPLACED_EXPIRY: u8 = 0b1000;
    pub(super) const KNOWN: u8 = CHANGE | DISPLACED_EXISTED | DISPLACED_EXPIRY;
}

/// Writes a version: epoch, seq.
pub fn put_version<S: Sink>(version: Version, out: &mut S) {
    put_u64(version.epoch.0, out);
    put_u64(version.seq, out);
}

/// Reads a version.
///
/// # Errors
/// When the input does not hold one.
pub fn get_version(input: &mut Bytes) -> Result<Version, DecodeError> {
    Ok(Version { epoch: Epoch(get_u64(input)?), seq: get_seq(input)? })
}

/// Reads a place in a log.
///
/// # Errors
/// When the input does not hold one, or one that no log reaches.
pub(super) fn get_seq(input: &mut Bytes) -> Result<u64, DecodeError> {
    let found = get_u64(input)?;
    if found > SEQ_MAX {
        return Err(DecodeError::Range { what: "a place in a log", found, max: SEQ_MAX });
    }
    Ok(found)
}

/// Writes an op id: node, session, counter.
pub fn put_op_id<S: Sink>(id: OpId, out: &mut S) {
    put_u64(id.node.0.into(), out);
    put_u64(id.session.0, out);
    put_u64(id.counter, out);
}

/// Reads an op id.
///
/// # Errors
/// When the input does not hold one.
pub fn get_op_id(input: &mut Bytes) -> Result<OpId, DecodeError> {
    Ok(OpId {
        node: NodeId(get_u16(input, "a node's number")?),
        session: Session(get_u64(input)?),
        counter: get_u64(input)?,
    })
}

/// Writes an entry: flags, version, op id, floor, key, then what the flags announce, then the reply.
pub fn put_entry<S: Sink>(entry: &Entry, out: &mut S) {
    let Entry { version, id, floor, key, change, displaced, reply } = entry;
    out.put_u8(flags_of(change, *displaced));
    put_version(*version, out);
    put_op_id(*id, out);
    put_u64(*floor, out);
    put_bytes(&key.key(), out);
    if let Change::Put { value, expires_at } = change {
        if let Some(at) = expires_at {
            put_u64(*at, out);
        }
        put_bytes(value, out);
    }
    if let Some(at) = displaced.expires_at {
        put_u64(at, out);
    }
    put_reply(reply, out);
}

fn flags_of(change: &Change, displaced: Displaced) -> u8 {
    let mut flags = match change {
        Change::Keep => entry_flags::KEEP,
        Change::Put { expires_at: None, .. } => entry_flags::PUT,
        Change::Put { expires_at: Some(_), .. } => entry_flags::PUT_EXPIRING,
        Change::Remove => entry_flags::REMOVE,
    };
    if displaced.existed {
        flags |= entry_flags::DISPLACED_EXISTED;
    }
    if displaced.expires_at.is_some() {
        flags |= entry_flags::DISPLACED_EXPIRY;
    }
    flags
}

/// Reads an entry. Its value is a slice of the input.
///
/// # Errors
/// When the input does not hold one.
pub fn get_entry(input: &mut Bytes) -> Result<Entry, DecodeError> {
    let flags = get_u8(input)?;
    if flags & !entry_flags::KNOWN != 0 {
        return Err(DecodeError::Kind { what: "a log entry", tag: flags });
    }
    let version = get_version(input)?;
    let id = get_op_id(input)?;
    let floor = get_u64(input)?;
    let key = DataKey::of(&get_bytes(input)?);
    let change = match flags & entry_flags::CHANGE {
        entry_flags::KEEP => Change::Keep,
        entry_flags::REMOVE => Change::Remove,
        change => {
            let expires_at = if change == entry_flags::PUT_EXPIRING { Some(get_u64(input)?) } else { None };
            Change::Put { value: get_bytes(input)?, expires_at }
        }
    };
    let existed = flags & entry_flags::DISPLACED_EXISTED != 0;
    let expired = flags & entry_flags::DISPLACED_EXPIRY != 0;
    let displaced = Displaced { existed, expires_at: if expired { Some(get_u64(input)?) } else { None } };
    Ok(Entry { version, id, floor, key, change, displaced, reply: get_reply(input)? })
}

/// The first byte of a reply.
mod reply_kind {
    pub(super) const DONE: u8 = 0;
    pub(super) const REFUSED: u8 = 1;
    pub(super) const INTEGER: u8 = 2;
    pub(super) const BYTES: u8 = 3;
    pub(super) const OLD_ABSENT: u8 = 4;
    pub(super) const OLD: u8 = 5;
    pub(super) const SUPERSEDED: u8 = 6;
    pub(super) const NOT_AN_INTEGER: u8 = 7;
    pub(super) const OVERFLOW: u8 = 8;
    pub(super) const NOT_A_FLOAT: u8 = 9;
    pub(super) const NOT_FINITE: u8 = 10;
    pub(super) const TOO_LONG: u8 = 11;
}

/// Writes the outcome of a write: its kind, then the number or bytes of those that have any.
pub fn put_reply<S: Sink>(reply: &Reply, out: &mut S) {
    out.put_u8(match reply {
        Reply::Done => reply_kind::DONE,
        Reply::Refused => reply_kind::REFUSED,
        Reply::Integer(_) => reply_kind::INTEGER,
        Reply::Bytes(_) => reply_kind::BYTES,
        Reply::Old(None) => reply_kind::OLD_ABSENT,
        Reply::Old(Some(_)) => reply_kind::OLD,
        Reply::Superseded => reply_kind::SUPERSEDED,
        Reply::Failed(OperationError::NotAnInteger) => reply_kind::NOT_AN_INTEGER,
        Reply::Failed(OperationError::Overflow) => reply_kind::OVERFLOW,
        Reply::Failed(OperationError::NotAFloat) => reply_kind::NOT_A_FLOAT,
        Reply::Failed(OperationError::NotFinite) => reply_kind::NOT_FINITE,
        Reply::Failed(OperationError::TooLong) => reply_kind::TOO_LONG,
    });
    match reply {
        Reply::Integer(number) => put_i64(*number, out),
        Reply::Bytes(bytes) | Reply::Old(Some(bytes)) => put_bytes(bytes, out),
        Reply::Done | Reply::Refused | Reply::Old(None) | Reply::Superseded | Reply::Failed(_) => {}
    }
}

/// Reads the outcome of a write.
///
/// # Errors
/// When the input does not hold one.
pub fn get_reply(input: &mut Bytes) -> Result<Reply, DecodeError> {
    Ok(match get_u8(input)? {
        reply_kind::DONE => Reply::Done,
        reply_kind::REFUSED => Reply::Refused,
        reply_kind::INTEGER => Reply::Integer(get_i64(input)?),
        reply_kind::BYTES => Reply::Bytes(get_bytes(input)?),
        reply_kind::OLD_ABSENT => Reply::Old(None),
        reply_kind::OLD => Reply::Old(Some(get_bytes(input)?)),
        reply_kind::SUPERSEDED => Reply::Superseded,
        reply_kind::NOT_AN_INTEGER => Reply::Failed(OperationError::NotAnInteger),
        reply_kind::OVERFLOW => Reply::Failed(OperationError::Overflow),
        reply_kind::NOT_A_FLOAT => Reply::Failed(OperationError::NotAFloat),
        reply_kind::NOT_FINITE => Reply::Failed(OperationError::NotFinite),
        reply_kind::TOO_LONG => Reply::Failed(OperationError::TooLong),
        tag => return Err(DecodeError::Kind { what: "the outcome of a write", tag }),
    })
}

/// Writes a record: version, expiry time if any, value.
pub fn put_record<S: Sink>(record: &Record, out: &mut S) {
    let Record { version, expires_at, value } = record;
    put_version(*version, out);
    put_option(expires_at.as_ref(), out, |at, out| put_u64(*at, out));
    put_bytes(value, out);
}

/// Reads a record. Its value is a slice of the input.
///
/// # Errors
/// When the input does not hold one.
pub fn get_record(input: &mut Bytes) -> Result<Record, DecodeError> {
    Ok(Record {
        version: get_version(input)?,
        expires_at: get_option(input, "an expiry time", get_u64)?,
        value: get_bytes(input)?,
    })
}
