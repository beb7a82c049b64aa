//! Reading replies.

use std::borrow::Cow;

use bytes::{Buf, BytesMut};

use super::line::{Line, LineSearch};
use super::value::VERBATIM_FORMAT;
use super::{ProtocolError, Value, decimal};
use crate::room::{let_go_after, make_room};

/// The longest line of a reply, in bytes: a status, an error, a number, or what announces a length.
const REPLY_LINE_MAX: usize = 64 * 1024;

/// The fewest bytes that an element of an aggregate takes: a kind and a line end.
const ELEMENT_SIZE_MIN: usize = 3;

/// Places that an aggregate gets before any of its elements has arrived.
const ELEMENTS_FIRST: usize = 64;

/// Reads replies of a server, RESP2 and RESP3 alike.
///
/// Two types have no [`Value`] of their own: big numbers become their digits as [`Value::Bulk`], attributes are
/// skipped. Nested replies are kept track of on a stack of bounded depth, not by recursion.
#[derive(Debug)]
pub struct ReplyDecoder {
    max_depth: usize,
    max_bytes: usize,
    /// The aggregates that are not complete, the outermost first.
    open: Vec<Aggregate>,
    /// What is arriving as bytes of known length.
    bulk: Option<(BulkKind, usize)>,
    /// Bytes that the present reply took so far, announced ones included.
    taken: usize,
    line: LineSearch,
    failed: Option<ProtocolError>,
}

#[derive(Debug)]
struct Aggregate {
    kind: AggregateKind,
    missing: usize,
    elements: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
enum AggregateKind {
    Array,
    Set,
    Push,
    Map,
    Attribute,
}

#[derive(Clone, Copy, Debug)]
enum BulkKind {
    Bulk,
    Error,
    Verbatim,
}

/// What a line comes to.
enum Step {
    Value(Value),
    /// More must be read first.
    Continue,
}

impl Aggregate {
    /// The complete aggregate; an attribute is none.
    fn close(self) -> Option<Value> {
        Some(match self.kind {
            AggregateKind::Array => Value::Array(self.elements),
            AggregateKind::Set => Value::Set(self.elements),
            AggregateKind::Push => Value::Push(self.elements),
            AggregateKind::Map => Value::Map(pairs(self.elements)),
            AggregateKind::Attribute => return None,
        })
    }
}

fn pairs(elements: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        pairs.push((key, value));
    }
    pairs
}

impl ReplyDecoder {
    /// A decoder for a new connection. A reply may nest `max_depth` aggregates and take `max_bytes` on the
    /// wire.
    #[must_use]
    pub fn new(max_depth: usize, max_bytes: usize) -> Self {
        Self {
            max_depth,
            max_bytes,
            open: Vec::new(),
            bulk: None,
            taken: 0,
            line: LineSearch::default(),
            failed: None,
        }
    }

    /// Takes the next reply off the front of the buffer; `None` if it has not arrived as a whole.
    ///
    /// # Errors
    /// When the bytes are no reply or exceed a limit. The connection cannot be read any further: the same
    /// error comes again.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Value>, ProtocolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.next_reply(buffer).inspect_err(|error| {
            self.failed = Some(error.clone());
            self.open.clear();
        })
    }

    fn next_reply(&mut self, buffer: &mut BytesMut) -> Result<Option<Value>, ProtocolError> {
        loop {
            let value = if let Some((kind, length)) = self.bulk {
                match take_bulk(kind, length, buffer)? {
                    Some(value) => {
                        self.bulk = None;
                        value
                    }
                    None => return Ok(None),
                }
            } else {
                let end = match self.line.search(buffer, REPLY_LINE_MAX) {
                    Line::Unfinished => return Ok(None),
                    Line::TooLong => return Err(ProtocolError::InvalidReply("a line is too long")),
                    Line::End(end) => end,
                };
                self.take(end + 1)?;
                let step = self.read_line(&buffer[..end])?;
                buffer.advance(end + 1);
                match step {
                    Step::Value(value) => value,
                    Step::Continue => continue,
                }
            };
            if let Some(reply) = self.place(value) {
                self.taken = 0;
                return Ok(Some(reply));
            }
        }
    }

    /// Counts bytes towards the present reply.
    fn take(&mut self, count: usize) -> Result<(), ProtocolError> {
        if count > self.max_bytes - self.taken {
            return Err(ProtocolError::InvalidReply("it is larger than the reader allows"));
        }
        self.taken += count;
        Ok(())
    }

    fn read_line(&mut self, line: &[u8]) -> Result<Step, ProtocolError> {
        let [kind, text @ .., b'\r'] = line else {
            return Err(ProtocolError::InvalidReply(
                "a line does not end with a carriage return and a line feed",
            ));
        };
        Ok(Step::Value(match kind {
            b'+' => Value::Simple(status(text)),
            b'-' => Value::Error(lossy(text)),
            b':' => Value::Integer(number(text)?),
            b'_' if text.is_empty() => Value::Null,
            b'#' if text == b"t" => Value::Boolean(true),
            b'#' if text == b"f" => Value::Boolean(false),
            b',' => Value::Double(double(text)?),
            b'(' => Value::Bulk(text.to_vec().into()),
            b'$' if text == b"-1" => Value::Null,
            b'*' if text == b"-1" => Value::NullArray,
            b'$' => return self.expect_bulk(BulkKind::Bulk, text),
            b'!' => return self.expect_bulk(BulkKind::Error, text),
            b'=' => return self.expect_bulk(BulkKind::Verbatim, text),
            b'*' => return self.open_aggregate(AggregateKind::Array, text),
            b'~' => return self.open_aggregate(AggregateKind::Set, text),
            b'>' => return self.open_aggregate(AggregateKind::Push, text),
            b'%' => return self.open_aggregate(AggregateKind::Map, text),
            b'|' => return self.open_aggregate(AggregateKind::Attribute, text),
            _ => return Err(ProtocolError::InvalidReply("it begins with none of the protocol's types")),
        }))
    }

    fn expect_bulk(&mut self, kind: BulkKind, text: &[u8]) -> Result<Step, ProtocolError> {
        let length = length(text)?;
        self.take(length.saturating_add(2))?;
        self.bulk = Some((kind, length));
        Ok(Step::Continue)
    }

    fn open_aggregate(&mut self, kind: AggregateKind, text: &[u8]) -> Result<Step, ProtocolError> {
        let elements_each = match kind {
            AggregateKind::Map | AggregateKind::Attribute => 2,
            AggregateKind::Array | AggregateKind::Set | AggregateKind::Push => 1,
        };
        let missing = length(text)?.saturating_mul(elements_each);
        if missing > (self.max_bytes - self.taken) / ELEMENT_SIZE_MIN {
            return Err(ProtocolError::InvalidReply("it announces more elements than the reader allows"));
        }
        if missing == 0 {
            let aggregate = Aggregate { kind, missing, elements: Vec::new() };
            return Ok(aggregate.close().map_or(Step::Continue, Step::Value));
        }
        if self.open.len() == self.max_depth {
            return Err(ProtocolError::InvalidReply("it is nested deeper than the reader allows"));
        }
        let elements = Vec::with_capacity(missing.min(ELEMENTS_FIRST));
        self.open.push(Aggregate { kind, missing, elements });
        Ok(Step::Continue)
    }

    /// Puts a value into the innermost open aggregate. Returns what that completes: the whole reply.
    fn place(&mut self, mut value: Value) -> Option<Value> {
        loop {
            let Some(aggregate) = self.open.last_mut() else { return Some(value) };
            aggregate.elements.push(value);
            aggregate.missing -= 1;
            if aggregate.missing > 0 {
                return None;
            }
            value = self.open.pop()?.close()?;
        }
    }
}

fn take_bulk(kind: BulkKind, length: usize, buffer: &mut BytesMut) -> Result<Option<Value>, ProtocolError> {
    let Some(end) = buffer.get(length..length + 2) else {
        make_room(buffer, length + 2 - buffer.len());
        return Ok(None);
    };
    if end != b"\r\n" {
        return Err(ProtocolError::InvalidReply("bytes are longer than announced"));
    }
    let mut bytes = buffer.split_to(length + 2).freeze();
    bytes.truncate(length);
    let_go_after(length, buffer);
    Ok(Some(match kind {
        BulkKind::Bulk => Value::Bulk(bytes),
        BulkKind::Error => Value::Error(lossy(&bytes)),
        BulkKind::Verbatim => {
            // Three bytes name the format, of which `txt` and `mkd` exist; both are text.
            if bytes.get(VERBATIM_FORMAT.len() - 1) != Some(&b':') {
                return Err(ProtocolError::InvalidReply("a verbatim text does not name its format"));
            }
            bytes.advance(VERBATIM_FORMAT.len());
            Value::Verbatim(bytes)
        }
    }))
}

/// A status; the common ones need no memory.
fn status(text: &[u8]) -> Cow<'static, str> {
    match text {
        b"OK" => Cow::Borrowed("OK"),
        b"PONG" => Cow::Borrowed("PONG"),
        b"QUEUED" => Cow::Borrowed("QUEUED"),
        _ => lossy(text),
    }
}

fn lossy(text: &[u8]) -> Cow<'static, str> {
    Cow::Owned(String::from_utf8_lossy(text).into_owned())
}

fn number(text: &[u8]) -> Result<i64, ProtocolError> {
    decimal::parse(text).ok_or(ProtocolError::InvalidReply("an integer is not one"))
}

fn length(text: &[u8]) -> Result<usize, ProtocolError> {
    let number = decimal::parse_canonical(text).and_then(|number| usize::try_from(number).ok());
    number.ok_or(ProtocolError::InvalidReply("a length is not one"))
}

fn double(text: &[u8]) -> Result<f64, ProtocolError> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or(ProtocolError::InvalidReply("a double is not one"))
}
