//! A page of a full copy.

use bytes::Bytes;
use simpledynamo_chain::{CopyPage, DataKey, Record};

use super::DecodeError;
use super::entry::{get_record, put_record};
use super::log::{get_applied, put_applied};
use super::primitive::{
    get_bytes, get_count, get_option, get_u32, put_bytes, put_count, put_option, put_u64,
};
use crate::Sink;

/// The fewest bytes that a record with its key takes: an empty key, version, no expiry time, an empty value.
const ITEM_SIZE_MIN: usize = 5;

/// Writes a page: number, last key before it if any, records with their keys, and how far the copy goes if
/// the page is the last one.
///
/// Of a data key only the key itself is written. The rest of it follows from that, so that a page cannot put
/// a pair where nobody would look for it.
pub fn put_copy_page<S: Sink>(page: &CopyPage, out: &mut S) {
    let CopyPage { number, after, records, end } = page;
    put_u64((*number).into(), out);
    put_option(after.as_ref(), out, put_data_key);
    put_count(records.len(), out);
    for (key, record) in records {
        put_data_key(key, out);
        put_record(record, out);
    }
    put_option(end.as_ref(), out, put_applied);
}

/// Reads a page. Its values are slices of the input.
///
/// # Errors
/// When the input does not hold one, or its keys do not rise.
pub fn get_copy_page(input: &mut Bytes) -> Result<CopyPage, DecodeError> {
    let number = get_u32(input, "the number of a page")?;
    let after = get_option(input, "the key before a page", get_data_key)?;
    let count = get_count(input, ITEM_SIZE_MIN)?;
    let mut records: Vec<(DataKey, Record)> = Vec::with_capacity(count);
    for _ in 0..count {
        let key = get_data_key(input)?;
        if records.last().map(|(last, _)| last).or(after.as_ref()).is_some_and(|last| *last >= key) {
            return Err(DecodeError::Order { what: "the keys of a page" });
        }
        records.push((key, get_record(input)?));
    }
    Ok(CopyPage { number, after, records, end: get_option(input, "the end of a copy", get_applied)? })
}

fn put_data_key<S: Sink>(key: &DataKey, out: &mut S) {
    put_bytes(&key.key(), out);
}

fn get_data_key(input: &mut Bytes) -> Result<DataKey, DecodeError> {
    get_bytes(input).map(|key| DataKey::of(&key))
}
