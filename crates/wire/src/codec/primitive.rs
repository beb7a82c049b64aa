//! Numbers, bytes and choices.

use bytes::{Buf, Bytes};

use super::DecodeError;
use crate::Sink;

/// Seven bits each make a number of 64 bits at most ten bytes long.
const VARINT_MAX: usize = 10;

/// Writes a number as a varint: seven bits in each byte, the lowest first, the high bit on all but the last.
pub fn put_u64<S: Sink>(mut number: u64, out: &mut S) {
    if number < 0x80 {
        return out.put_u8(number as u8);
    }
    let mut bytes = [0; VARINT_MAX];
    let mut length = 0;
    while number >= 0x80 {
        bytes[length] = number as u8 | 0x80;
        number >>= 7;
        length += 1;
    }
    bytes[length] = number as u8;
    out.put_slice(&bytes[..=length]);
}

/// Reads a varint.
///
/// # Errors
/// When it is cut off, larger than 64 bits, or not in its shortest form.
pub fn get_u64(input: &mut Bytes) -> Result<u64, DecodeError> {
    let mut number = 0;
    for (index, &byte) in input.iter().take(VARINT_MAX).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let is_padded = byte == 0 && index > 0;
            // Of the tenth byte, only the lowest bit is left of 64.
            if is_padded || (index == VARINT_MAX - 1 && byte > 1) {
                return Err(DecodeError::Number);
            }
            input.advance(index + 1);
            return Ok(number);
        }
    }
    if input.len() < VARINT_MAX {
        Err(DecodeError::Truncated { missing: 1 })
    } else {
        Err(DecodeError::Number)
    }
}

/// Reads a varint of at most 32 bits; `what` names it in the error.
///
/// # Errors
/// As [`get_u64`], or when it is larger.
pub fn get_u32(input: &mut Bytes, what: &'static str) -> Result<u32, DecodeError> {
    let found = get_u64(input)?;
    u32::try_from(found).map_err(|_| DecodeError::Range { what, found, max: u32::MAX.into() })
}

/// Reads a varint of at most 16 bits; `what` names it in the error.
///
/// # Errors
/// As [`get_u64`], or when it is larger.
pub fn get_u16(input: &mut Bytes, what: &'static str) -> Result<u16, DecodeError> {
    let found = get_u64(input)?;
    u16::try_from(found).map_err(|_| DecodeError::Range { what, found, max: u16::MAX.into() })
}

/// Writes a signed number: zigzag, so that small negative ones are short too.
pub fn put_i64<S: Sink>(number: i64, out: &mut S) {
    put_u64(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

/// Reads a signed number.
///
/// # Errors
/// As [`get_u64`].
pub fn get_i64(input: &mut Bytes) -> Result<i64, DecodeError> {
    let zigzag = get_u64(input)?;
    Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
}

/// Reads one byte.
///
/// # Errors
/// When there is none.
pub fn get_u8(input: &mut Bytes) -> Result<u8, DecodeError> {
    let byte = *input.first().ok_or(DecodeError::Truncated { missing: 1 })?;
    input.advance(1);
    Ok(byte)
}

/// Writes a yes or no.
pub fn put_bool<S: Sink>(value: bool, out: &mut S) {
    out.put_u8(value.into());
}

/// Reads a yes or no; `what` names it in the error.
///
/// # Errors
/// When it is neither.
pub fn get_bool(input: &mut Bytes, what: &'static str) -> Result<bool, DecodeError> {
    match get_u8(input)? {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(DecodeError::Kind { what, tag }),
    }
}

/// Writes bytes with their length in front.
pub fn put_bytes<S: Sink>(bytes: &Bytes, out: &mut S) {
    put_count(bytes.len(), out);
    out.put_bytes(bytes);
}

/// Reads bytes: a slice of the input.
///
/// # Errors
/// When fewer are there than announced.
pub fn get_bytes(input: &mut Bytes) -> Result<Bytes, DecodeError> {
    let length = get_u64(input)?;
    let there = input.len() as u64;
    if length > there {
        return Err(DecodeError::Truncated { missing: length - there });
    }
    let length = usize::try_from(length).expect("it is at most the length of the input");
    Ok(input.split_to(length))
}

/// Reads a text, which [`put_bytes`] or its like wrote.
///
/// # Errors
/// As [`get_bytes`], or when it is not UTF-8.
pub fn get_string(input: &mut Bytes) -> Result<String, DecodeError> {
    let bytes = get_bytes(input)?;
    Ok(std::str::from_utf8(&bytes).map_err(|_| DecodeError::Text)?.to_owned())
}

/// Writes how many things follow.
pub fn put_count<S: Sink>(count: usize, out: &mut S) {
    put_u64(count as u64, out);
}

/// Reads how many things follow, of which each takes at least `size_min` bytes: so a caller that allocates by
/// the answer allocates in proportion to what is there.
///
/// # Errors
/// When the input is too short for so many.
///
/// # Panics
/// When `size_min` is 0.
pub fn get_count(input: &mut Bytes, size_min: usize) -> Result<usize, DecodeError> {
    let count = get_u64(input)?;
    let possible = input.len() / size_min;
    match usize::try_from(count) {
        Ok(count) if count <= possible => Ok(count),
        _ => {
            let missing = count.saturating_mul(size_min as u64) - input.len() as u64;
            Err(DecodeError::Truncated { missing })
        }
    }
}

/// Writes what may be missing: 0, or 1 and what it is.
pub fn put_option<S: Sink, T>(value: Option<&T>, out: &mut S, put: impl FnOnce(&T, &mut S)) {
    put_bool(value.is_some(), out);
    if let Some(value) = value {
        put(value, out);
    }
}

/// Reads what may be missing; `what` names it in the error.
///
/// # Errors
/// When it is neither missing nor there, or cannot be read.
pub fn get_option<T>(
    input: &mut Bytes,
    what: &'static str,
    get: impl FnOnce(&mut Bytes) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if get_bool(input, what)? { get(input).map(Some) } else { Ok(None) }
}

/// Checks that nothing is left.
///
/// # Errors
/// When something is.
pub fn finish(input: &Bytes) -> Result<(), DecodeError> {
    if input.is_empty() { Ok(()) } else { Err(DecodeError::LeftOver(input.len())) }
}
