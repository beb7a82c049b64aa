//! Reading requests.

use std::mem;

use bytes::{Buf, Bytes, BytesMut};

use super::line::{Line, LineSearch};
use super::{ProtocolError, decimal, inline};
use crate::room::{let_go_after, make_room};

/// What a client may send. Each bound is checked before anything is allocated for what it bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// The most arguments of a request, its name included.
    pub max_arguments: usize,
    /// The longest argument, in bytes.
    pub max_bulk: usize,
    /// All arguments of a request together, in bytes.
    pub max_request: usize,
    /// The longest inline command, and the longest line of any kind, in bytes.
    pub max_inline: usize,
    /// Whether the client has authenticated or need not: errors about the number and length of arguments
    /// say so if it has not.
    pub authenticated: bool,
}

impl RequestLimits {
    /// What Redis lets a client send before it has authenticated: 10 arguments of 16 KiB.
    #[must_use]
    pub const fn unauthenticated() -> Self {
        Self {
            max_arguments: 10,
            max_bulk: 16 * 1024,
            max_request: 10 * 16 * 1024,
            max_inline: 64 * 1024,
            authenticated: false,
        }
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            // An `MSET` of 32,767 keys. (Redis has 1,048,576; each costs memory here on several nodes.)
            max_arguments: 65_536,
            // The longest value and some slack, so that one that is a little too long is refused by its
            // command and not by the end of the connection.
            max_bulk: 8 * 1024 * 1024 + 64 * 1024,
            max_request: 64 * 1024 * 1024,
            // As in Redis.
            max_inline: 64 * 1024,
            authenticated: true,
        }
    }
}

/// Reads requests: arrays of bulk strings, and inline commands.
///
/// Arguments are slices of the read buffer's memory, which a kept argument keeps alive. Empty requests
/// (`*0`, `*-1`, an empty line) are skipped, as Redis does.
///
/// Invariants: `ranges` is empty between calls; `arguments` are those of the present request that arrived with
/// earlier calls.
#[derive(Debug)]
pub struct RequestDecoder {
    limits: RequestLimits,
    arguments: Vec<Bytes>,
    /// Start and length of the arguments found in the buffer and not yet cut off: all that one call finds is
    /// cut off at once, which is much cheaper than one by one.
    ranges: Vec<(usize, usize)>,
    /// Arguments of the present request that have not arrived; 0 between requests.
    missing: usize,
    /// The length of the argument that is arriving, once it is known.
    bulk: Option<usize>,
    /// Bytes that the present request has announced so far.
    announced: usize,
    line: LineSearch,
    failed: Option<ProtocolError>,
}

/// Places for arguments that a decoder keeps between requests.
const RETAINED_RANGES_MAX: usize = 1024;

impl RequestDecoder {
    /// A decoder for a new connection.
    #[must_use]
    pub fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            arguments: Vec::new(),
            ranges: Vec::new(),
            missing: 0,
            bulk: None,
            announced: 0,
            line: LineSearch::default(),
            failed: None,
        }
    }

    /// Changes what the client may send, from the next header on: a server does so once the client has
    /// authenticated. It must carry out each request before it decodes the next one until then.
    pub fn set_limits(&mut self, limits: RequestLimits) {
        self.limits = limits;
    }

    /// Takes the next request off the front of the buffer; `None` if it has not arrived as a whole.
    ///
    /// For a long argument that is arriving, the buffer is given room beforehand.
    ///
    /// # Errors
    /// When the bytes are no request or exceed a limit. The connection cannot be read any further: the same
    /// error comes again.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.next_request(buffer).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn next_request(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        while self.missing == 0 {
            match buffer.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some((count, length)) = self.multibulk_header(buffer)? else { return Ok(None) };
                    buffer.advance(length);
                    self.missing = count;
                    self.announced = 0;
                }
                Some(_) => {
                    let Some(arguments) = self.inline_command(buffer)? else { return Ok(None) };
                    if !arguments.is_empty() {
                        return Ok(Some(arguments));
                    }
                }
            }
        }
        self.next_arguments(buffer)
    }

    /// Takes the arguments that have arrived.
    fn next_arguments(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let mut at = 0;
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => {
                    let Some((length, header)) = self.bulk_header(&buffer[at..])? else { break };
                    at += header;
                    self.bulk = Some(length);
                    length
                }
            };
            let Some(end) = buffer[at..].get(length..length + 2) else { break };
            if end != b"\r\n" {
                // Redis skips these two bytes unseen and stumbles later, if at all.
                return Err(ProtocolError::InvalidBulkLength);
            }
            self.ranges.push((at, length));
            at += length + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        self.cut_off(buffer, at);
        if self.missing == 0 {
            return Ok(Some(mem::take(&mut self.arguments)));
        }
        if let Some(length) = self.bulk {
            make_room(buffer, length + 2 - buffer.len());
        }
        Ok(None)
    }

    /// Takes off the front of the buffer all that was understood, and makes arguments of the ranges in it.
    fn cut_off(&mut self, buffer: &mut BytesMut, understood: usize) {
        if self.ranges.is_empty() {
            return buffer.advance(understood);
        }
        let whole = buffer.split_to(understood).freeze();
        self.arguments.reserve(self.ranges.len());
        for (start, length) in self.ranges.drain(..) {
            self.arguments.push(whole.slice(start..start + length));
        }
        self.ranges.shrink_to(RETAINED_RANGES_MAX);
        let_go_after(understood, buffer);
    }

    /// The number of arguments, and the length of the header that announces it.
    fn multibulk_header(&mut self, bytes: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let end = match self.line.search(bytes, self.limits.max_inline) {
            Line::Unfinished => return Ok(None),
            Line::TooLong => return Err(ProtocolError::MultibulkHeaderTooLong),
            Line::End(end) => end,
        };
        let Some(count) = parse_header(&bytes[..end]) else {
            return Err(ProtocolError::InvalidMultibulkLength);
        };
        // A negative number of arguments is none, as Redis has it.
        let count = usize::try_from(count.max(0)).map_err(|_| ProtocolError::InvalidMultibulkLength)?;
        self.check_count(count)?;
        Ok(Some((count, end + 1)))
    }

    /// The length of an argument, and of the header that announces it.
    fn bulk_header(&mut self, bytes: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        if let Some(first) = bytes.first()
            && *first != b'$'
        {
            return Err(ProtocolError::ExpectedBulk(*first));
        }
        let end = match self.line.search(bytes, self.limits.max_inline) {
            Line::Unfinished => return Ok(None),
            Line::TooLong => return Err(ProtocolError::BulkHeaderTooLong),
            Line::End(end) => end,
        };
        let length = parse_header(&bytes[..end]).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or(ProtocolError::InvalidBulkLength)?;
        let RequestLimits { max_bulk, max_request, authenticated, .. } = self.limits;
        if length > max_bulk {
            let error = ProtocolError::InvalidBulkLength;
            return Err(if authenticated { error } else { ProtocolError::UnauthenticatedBulkLength });
        }
        self.announced += length;
        if self.announced > max_request {
            return Err(ProtocolError::RequestTooLarge { max: max_request });
        }
        Ok(Some((length, end + 1)))
    }

    fn inline_command(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        let end = match self.line.search(buffer, self.limits.max_inline) {
            Line::Unfinished => return Ok(None),
            Line::TooLong => return Err(ProtocolError::InlineTooLong),
            Line::End(end) => end,
        };
        // The carriage return, if there is one, is a space like any other.
        let line = buffer.split_to(end + 1).freeze();
        let arguments = inline::split(&line)?;
        self.check_count(arguments.len())?;
        Ok(Some(arguments))
    }

    fn check_count(&self, count: usize) -> Result<(), ProtocolError> {
        let RequestLimits { max_arguments, authenticated, .. } = self.limits;
        match (count > max_arguments, authenticated) {
            (false, _) => Ok(()),
            (true, true) => Err(ProtocolError::InvalidMultibulkLength),
            (true, false) => Err(ProtocolError::UnauthenticatedMultibulkLength),
        }
    }
}

/// The number of a header line: it stands between the kind's byte and a carriage return.
fn parse_header(line: &[u8]) -> Option<i64> {
    match line {
        [_kind, number @ .., b'\r'] => decimal::parse_canonical(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that once sent many arguments must not cost memory for the rest of its connection.
    #[test]
    fn a_request_of_many_arguments_leaves_little_behind() {
        let count = 50_000;
        let stream = format!("*{count}\r\n{}", "$1\r\na\r\n".repeat(count));
        let mut decoder = RequestDecoder::new(RequestLimits::default());
        let request = decoder.decode(&mut BytesMut::from(stream.as_bytes()));
        assert_eq!(request.map(|request| request.map(|arguments| arguments.len())), Ok(Some(count)));
        assert!(decoder.ranges.capacity() <= RETAINED_RANGES_MAX, "{}", decoder.ranges.capacity());
        assert_eq!(decoder.arguments.capacity(), 0);
    }
}
