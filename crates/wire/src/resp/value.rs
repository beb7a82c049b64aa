//! What a server answers.

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;

use super::Protocol;
use super::encode::{
    CRLF, encode_bulk, encode_error, encode_integer, encode_null, encode_simple, put_header, put_number,
};
use crate::OutBuffer;

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A status such as `OK`. A line end in it is written as spaces.
    Simple(Cow<'static, str>),
    /// An error: its code, such as `ERR`, a space, and a text. A line end in it is written as spaces.
    Error(Cow<'static, str>),
    /// An integer.
    Integer(i64),
    /// Bytes of any kind.
    Bulk(Bytes),
    /// Nothing, where a value might be.
    Null,
    /// Nothing, where an array might be: the same as [`Value::Null`] in RESP3.
    NullArray,
    /// Values in order.
    Array(Vec<Value>),
    /// Keys with values; in RESP2 an array of both by turns.
    Map(Vec<(Value, Value)>),
    /// Values in no order; in RESP2 an array.
    Set(Vec<Value>),
    /// Yes or no; in RESP2 the integer 1 or 0.
    Boolean(bool),
    /// A floating-point number; in RESP2 its text.
    Double(f64),
    /// Text for people, such as that of `INFO`; in RESP2 bytes like any other.
    Verbatim(Bytes),
    /// Values that nobody asked for; in RESP2 an array.
    Push(Vec<Value>),
}

/// The format of every [`Value::Verbatim`]: plain text.
pub(super) const VERBATIM_FORMAT: &[u8; 4] = b"txt:";

impl Value {
    /// Bytes that the value holds, roughly: for bounds on memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        let inner = match self {
            Self::Bulk(bytes) | Self::Verbatim(bytes) => bytes.len(),
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items.iter().map(Self::weight).sum(),
            Self::Map(pairs) => pairs.iter().map(|(key, value)| key.weight() + value.weight()).sum(),
            _ => 0,
        };
        size_of::<Self>() + inner
    }

    /// The status `OK`.
    pub const OK: Self = Self::Simple(Cow::Borrowed("OK"));

    /// Writes the value the way the protocol's version has it.
    ///
    /// Recurses along nested values, which are the server's own: what clients send never nests.
    pub fn encode(&self, protocol: Protocol, out: &mut OutBuffer) {
        let is_resp3 = protocol == Protocol::Resp3;
        match self {
            Self::Simple(text) => encode_simple(text, out),
            Self::Error(text) => encode_error(text, out),
            Self::Integer(number) => encode_integer(*number, out),
            Self::Bulk(bytes) => encode_bulk(bytes, out),
            Self::Null => encode_null(protocol, out),
            Self::NullArray if is_resp3 => encode_null(protocol, out),
            Self::NullArray => out.put_slice(b"*-1\r\n"),
            Self::Array(values) => encode_values(b'*', values, protocol, out),
            Self::Map(pairs) => encode_pairs(pairs, protocol, out),
            Self::Set(values) => encode_values(if is_resp3 { b'~' } else { b'*' }, values, protocol, out),
            Self::Push(values) => encode_values(if is_resp3 { b'>' } else { b'*' }, values, protocol, out),
            Self::Boolean(value) if is_resp3 => out.put_slice(if *value { b"#t\r\n" } else { b"#f\r\n" }),
            Self::Boolean(value) => encode_integer((*value).into(), out),
            Self::Double(number) => encode_double(*number, protocol, out),
            Self::Verbatim(text) if is_resp3 => {
                put_header(b'=', VERBATIM_FORMAT.len() + text.len(), out);
                out.put_slice(VERBATIM_FORMAT);
                out.put_bytes(text);
                out.put_slice(CRLF);
            }
            Self::Verbatim(text) => encode_bulk(text, out),
        }
    }
}

fn encode_values(kind: u8, values: &[Value], protocol: Protocol, out: &mut OutBuffer) {
    put_header(kind, values.len(), out);
    for value in values {
        value.encode(protocol, out);
    }
}

fn encode_pairs(pairs: &[(Value, Value)], protocol: Protocol, out: &mut OutBuffer) {
    match protocol {
        Protocol::Resp2 => put_header(b'*', 2 * pairs.len(), out),
        Protocol::Resp3 => put_header(b'%', pairs.len(), out),
    }
    for (key, value) in pairs {
        key.encode(protocol, out);
        value.encode(protocol, out);
    }
}

/// The shortest text of a float is a sign, 17 digits, a point and an exponent of five, or, without an
/// exponent, up to five zeros more.
const DOUBLE_TEXT_MAX: usize = 28;

fn encode_double(number: f64, protocol: Protocol, out: &mut OutBuffer) {
    let mut buffer = [0; DOUBLE_TEXT_MAX];
    let text = if number.is_nan() {
        &b"nan"[..]
    } else if number.is_infinite() {
        if number > 0.0 { &b"inf"[..] } else { &b"-inf"[..] }
    } else {
        let mut rest = &mut buffer[..];
        let magnitude = number.abs();
        let written = if magnitude != 0.0 && !(1e-5..1e17).contains(&magnitude) {
            write!(rest, "{number:e}")
        } else {
            write!(rest, "{number}")
        };
        written.expect("the shortest text of a float fits");
        let length = DOUBLE_TEXT_MAX - rest.len();
        &buffer[..length]
    };
    match protocol {
        Protocol::Resp3 => put_number(b',', text, out),
        Protocol::Resp2 => {
            put_header(b'$', text.len(), out);
            out.put_slice(text);
            out.put_slice(CRLF);
        }
    }
}
