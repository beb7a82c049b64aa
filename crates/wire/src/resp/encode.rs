//! Writing requests and the commonest replies.

use bytes::Bytes;

use super::Protocol;
use super::decimal::Decimal;
use crate::OutBuffer;

pub(super) const CRLF: &[u8] = b"\r\n";

/// Writes a bulk string. A large one is linked, not copied.
pub fn encode_bulk(bytes: &Bytes, out: &mut OutBuffer) {
    put_header(b'$', bytes.len(), out);
    out.put_bytes(bytes);
    out.put_slice(CRLF);
}

/// Writes an integer.
pub fn encode_integer(number: i64, out: &mut OutBuffer) {
    put_number(b':', Decimal::of(number).as_bytes(), out);
}

/// Writes a status such as `OK`.
pub fn encode_simple(text: &str, out: &mut OutBuffer) {
    put_line(b'+', text, out);
}

/// Writes an error; the text begins with its code, such as `ERR`.
pub fn encode_error(text: &str, out: &mut OutBuffer) {
    put_line(b'-', text, out);
}

/// Writes that there is no value.
pub fn encode_null(protocol: Protocol, out: &mut OutBuffer) {
    out.put_slice(match protocol {
        Protocol::Resp2 => b"$-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    });
}

/// Writes a request as clients send it: an array of bulk strings, the command's name first.
pub fn encode_command<A: AsRef<[u8]>>(arguments: &[A], out: &mut OutBuffer) {
    put_header(b'*', arguments.len(), out);
    for argument in arguments {
        let argument = argument.as_ref();
        put_header(b'$', argument.len(), out);
        out.put_slice(argument);
        out.put_slice(CRLF);
    }
}

/// Writes what announces a length or a number of elements.
pub(super) fn put_header(kind: u8, length: usize, out: &mut OutBuffer) {
    put_number(kind, Decimal::of_unsigned(length as u64).as_bytes(), out);
}

/// A kind, the longest text of a number (a 64-bit integer's 20 bytes, a float's 24), a line end; rounded up.
const NUMBER_LINE_MAX: usize = 32;

/// Writes a kind, a number's text and a line end in one go.
pub(super) fn put_number(kind: u8, text: &[u8], out: &mut OutBuffer) {
    let mut line = [0; NUMBER_LINE_MAX];
    line[0] = kind;
    line[1..=text.len()].copy_from_slice(text);
    line[text.len() + 1..text.len() + 3].copy_from_slice(CRLF);
    out.put_slice(&line[..text.len() + 3]);
}

/// Writes a line of text. A line end inside it would be read as the end of the reply, and what follows as
/// another one: spaces stand for it, as in Redis.
fn put_line(kind: u8, text: &str, out: &mut OutBuffer) {
    out.put_u8(kind);
    for (index, part) in text.split(['\r', '\n']).enumerate() {
        if index > 0 {
            out.put_u8(b' ');
        }
        out.put_slice(part.as_bytes());
    }
    out.put_slice(CRLF);
}
