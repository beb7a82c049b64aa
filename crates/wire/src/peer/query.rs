//! What a coordinator asks a member, and what that answers.

use bytes::Bytes;
use simpledynamo_chain::{Counts, Item, Page, PageRequest, Part, Query, Reading};

use crate::OutBuffer;
use crate::codec::{
    DecodeError, get_bool, get_bytes, get_count, get_i64, get_option, get_u8, get_u32, get_u64, get_version,
    put_bool, put_bytes, put_count, put_i64, put_option, put_u64, put_version,
};

/// The fewest bytes that an item of a page takes: key, version, expiry time, due, value.
const ITEM_SIZE_MIN: usize = 6;

/// The first byte of a question.
mod query_kind {
    pub(super) const GET: u8 = 1;
    pub(super) const PAGE: u8 = 2;
    pub(super) const COUNT: u8 = 3;
}

/// The first byte of an answer.
mod reading_kind {
    pub(super) const ABSENT: u8 = 1;
    pub(super) const PRESENT: u8 = 2;
    pub(super) const PAGE: u8 = 3;
    pub(super) const COUNTS: u8 = 4;
}

pub(super) fn put_query(query: &Query, out: &mut OutBuffer) {
    match query {
        Query::Get { key, part } => {
            out.put_u8(query_kind::GET);
            put_bytes(key, out);
            put_part(*part, out);
        }
        Query::Page(PageRequest { from, to, count, values, pattern }) => {
            out.put_u8(query_kind::PAGE);
            put_u64(*from, out);
            put_u64(*to, out);
            put_u64((*count).into(), out);
            put_bool(*values, out);
            put_option(pattern.as_ref(), out, put_bytes);
        }
        Query::Count => out.put_u8(query_kind::COUNT),
    }
}

pub(super) fn get_query(input: &mut Bytes) -> Result<Query, DecodeError> {
    Ok(match get_u8(input)? {
        query_kind::GET => Query::Get { key: get_bytes(input)?, part: get_part(input)? },
        query_kind::PAGE => Query::Page(PageRequest {
            from: get_u64(input)?,
            to: get_u64(input)?,
            count: get_u32(input, "the number of pairs to look at")?,
            values: get_bool(input, "the wish for values")?,
            pattern: get_option(input, "a pattern", get_bytes)?,
        }),
        query_kind::COUNT => Query::Count,
        tag => return Err(DecodeError::Kind { what: "a question", tag }),
    })
}

fn put_part(part: Part, out: &mut OutBuffer) {
    match part {
        Part::Value => out.put_u8(0),
        Part::Range { start, end } => {
            out.put_u8(1);
            put_i64(start, out);
            put_i64(end, out);
        }
        Part::Meta => out.put_u8(2),
    }
}

fn get_part(input: &mut Bytes) -> Result<Part, DecodeError> {
    Ok(match get_u8(input)? {
        0 => Part::Value,
        1 => Part::Range { start: get_i64(input)?, end: get_i64(input)? },
        2 => Part::Meta,
        tag => return Err(DecodeError::Kind { what: "the part of a pair", tag }),
    })
}

pub(super) fn put_reading(reading: &Reading, out: &mut OutBuffer) {
    match reading {
        Reading::Absent => out.put_u8(reading_kind::ABSENT),
        Reading::Present { version, expires_at, due, length, bytes } => {
            out.put_u8(reading_kind::PRESENT);
            put_version(*version, out);
            put_time(*expires_at, out);
            put_bool(*due, out);
            put_u64(*length, out);
            put_bytes(bytes, out);
        }
        Reading::Page(Page { items, next }) => {
            out.put_u8(reading_kind::PAGE);
            put_option(next.as_ref(), out, |next, out| put_u64(*next, out));
            put_count(items.len(), out);
            for item in items {
                put_item(item, out);
            }
        }
        Reading::Counts(Counts { keys, expiring }) => {
            out.put_u8(reading_kind::COUNTS);
            put_u64(*keys, out);
            put_u64(*expiring, out);
        }
    }
}

pub(super) fn get_reading(input: &mut Bytes) -> Result<Reading, DecodeError> {
    Ok(match get_u8(input)? {
        reading_kind::ABSENT => Reading::Absent,
        reading_kind::PRESENT => Reading::Present {
            version: get_version(input)?,
            expires_at: get_time(input)?,
            due: get_bool(input, "whether a pair is due")?,
            length: get_u64(input)?,
            bytes: get_bytes(input)?,
        },
        reading_kind::PAGE => Reading::Page(get_page(input)?),
        reading_kind::COUNTS => Reading::Counts(Counts { keys: get_u64(input)?, expiring: get_u64(input)? }),
        tag => return Err(DecodeError::Kind { what: "an answer", tag }),
    })
}

fn get_page(input: &mut Bytes) -> Result<Page, DecodeError> {
    let next = get_option(input, "the position to go on from", get_u64)?;
    // An item in memory is many times its smallest encoding, so the page grows with what is really there.
    let count = get_count(input, ITEM_SIZE_MIN)?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(get_item(input)?);
    }
    Ok(Page { items, next })
}

fn put_item(item: &Item, out: &mut OutBuffer) {
    let Item { key, version, expires_at, due, value } = item;
    put_bytes(key, out);
    put_version(*version, out);
    put_time(*expires_at, out);
    put_bool(*due, out);
    put_bytes(value, out);
}

fn get_item(input: &mut Bytes) -> Result<Item, DecodeError> {
    Ok(Item {
        key: get_bytes(input)?,
        version: get_version(input)?,
        expires_at: get_time(input)?,
        due: get_bool(input, "whether a pair is due")?,
        value: get_bytes(input)?,
    })
}

fn put_time(time: Option<u64>, out: &mut OutBuffer) {
    put_option(time.as_ref(), out, |time, out| put_u64(*time, out));
}

fn get_time(input: &mut Bytes) -> Result<Option<u64>, DecodeError> {
    get_option(input, "an expiry time", get_u64)
}
