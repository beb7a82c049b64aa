//! Commands that speak of many keys of the ring.

use bytes::Bytes;

use super::errors::CommandError;
use super::input::{Input, Parsed, integer, is};
use super::plan::{Plan, RingPlan, Selection};

/// The highest cursor: the first 52 bits of a key's token, which every client's number type carries exactly.
pub const CURSOR_MAX: u64 = (1 << 52) - 1;

/// The most pairs that one page looks at, whatever `COUNT` says: a page is held in memory whole.
pub const PAGE_COUNT_MAX: u32 = 10_000;

/// Pairs that a page of `SCAN` looks at without `COUNT`, as in Redis.
const SCAN_COUNT: u32 = 10;

/// Pairs that a page of `SD.QUERY` looks at without `COUNT`.
const QUERY_COUNT: u32 = 100;

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
pub(super) fn scan(input: Input<'_>) -> Parsed {
    let cursor = cursor(&input.all[1])?;
    let (mut count, mut pattern, mut any_type) = (SCAN_COUNT, None, true);
    let (options, []) = input.rest(2).as_chunks::<2>() else { return Err(CommandError::Syntax) };
    for [option, value] in options {
        match () {
            () if is(option, "match") => pattern = Some(value.clone()),
            () if is(option, "count") => count = page_count(value)?,
            // All values are strings, so any other type matches nothing.
            () if is(option, "type") => any_type = is(value, "string"),
            () => return Err(CommandError::Syntax),
        }
    }
    // A pattern that matches all is none: each key is spared the comparison.
    let pattern = pattern.filter(|pattern: &Bytes| pattern.as_ref() != b"*");
    Ok(Plan::Ring(RingPlan::Scan { cursor, count, pattern, any_type }))
}

/// A cursor that a page returned.
fn cursor(text: &[u8]) -> Result<u64, CommandError> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let cursor = digits.and_then(|digits| digits.parse().ok()).filter(|cursor| *cursor <= CURSOR_MAX);
    cursor.ok_or(CommandError::Cursor)
}

fn page_count(text: &[u8]) -> Result<u32, CommandError> {
    match integer(text)? {
        ..1 => Err(CommandError::Syntax),
        count => Ok(u32::try_from(count).map_or(PAGE_COUNT_MAX, |count| count.min(PAGE_COUNT_MAX))),
    }
}

/// `KEYS pattern`.
pub(super) fn keys(input: Input<'_>) -> Parsed {
    Ok(Plan::Ring(RingPlan::Keys(input.bytes(1))))
}

/// `RANDOMKEY`.
pub(super) fn randomkey(_: Input<'_>) -> Parsed {
    Ok(Plan::Ring(RingPlan::Random))
}

/// `DBSIZE`.
pub(super) fn dbsize(_: Input<'_>) -> Parsed {
    Ok(Plan::Ring(RingPlan::Count))
}

/// `FLUSHALL [ASYNC | SYNC]` and `FLUSHDB`: both empty the whole ring, and answer when that is done.
pub(super) fn flush(input: Input<'_>) -> Parsed {
    match input.rest(1) {
        [] => Ok(Plan::Ring(RingPlan::Flush)),
        [mode] if is(mode, "async") || is(mode, "sync") => Ok(Plan::Ring(RingPlan::Flush)),
        _ => Err(CommandError::Syntax),
    }
}

/// `SD.QUERY @ | * | [KEY] key [CURSOR cursor] [COUNT count]`.
pub(super) fn query(input: Input<'_>) -> Parsed {
    let (selection, rest) = selection(input)?;
    let (mut from, mut count) = (0, QUERY_COUNT);
    let (options, []) = rest.as_chunks::<2>() else { return Err(CommandError::Syntax) };
    for [option, value] in options {
        match () {
            () if is(option, "cursor") => from = cursor(value)?,
            () if is(option, "count") => count = page_count(value)?,
            () => return Err(CommandError::Syntax),
        }
    }
    Ok(Plan::Ring(RingPlan::Query { selection, cursor: from, count }))
}

/// `SD.DELETE @ | * | [KEY] key`.
pub(super) fn delete(input: Input<'_>) -> Parsed {
    match selection(input)? {
        (selection, []) => Ok(Plan::Ring(RingPlan::Delete(selection))),
        _ => Err(CommandError::Syntax),
    }
}

/// `SD.RING`.
pub(super) fn ring(_: Input<'_>) -> Parsed {
    Ok(Plan::Ring(RingPlan::Describe))
}

/// What is selected, and the arguments after it.
///
/// `KEY k` names any key, `@` and `*` too. Options come in pairs, so whether the word `KEY` is itself the key
/// shows in the number of arguments: with another one for the key, their number is even.
fn selection<'a>(input: Input<'a>) -> Result<(Selection, &'a [Bytes]), CommandError> {
    let arguments = input.rest(1);
    match arguments {
        [word, key, rest @ ..] if is(word, "key") && arguments.len().is_multiple_of(2) => {
            Ok((Selection::Key(input.checked_key(key)?), rest))
        }
        [selected, rest @ ..] => match selected.as_ref() {
            b"@" => Ok((Selection::Node, rest)),
            b"*" => Ok((Selection::Ring, rest)),
            _ => Ok((Selection::Key(input.checked_key(selected)?), rest)),
        },
        [] => Err(input.wrong_arguments()),
    }
}
