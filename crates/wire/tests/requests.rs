//! Requests as a server reads them.

mod strategies;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{ProtocolError, RequestDecoder, RequestLimits, encode_command};
use strategies::{contents, cut, cuts};

type Requests = Vec<Vec<Bytes>>;

/// Feeds pieces to a decoder with the default limits; what it read, and how it ended.
fn feed(pieces: &[&[u8]]) -> (Requests, Result<(), ProtocolError>) {
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let mut buffer = BytesMut::new();
    let mut requests = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Err(error)),
            }
        }
    }
    (requests, Ok(()))
}

fn requests(stream: &[u8]) -> Requests {
    let (requests, result) = feed(&[stream]);
    assert_eq!(result, Ok(()));
    requests
}

fn error_with(limits: RequestLimits, stream: &[u8]) -> Option<ProtocolError> {
    let mut buffer = BytesMut::from(stream);
    let mut decoder = RequestDecoder::new(limits);
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

fn error(stream: &[u8]) -> Option<ProtocolError> {
    error_with(RequestLimits::default(), stream)
}

fn text(stream: &[u8]) -> String {
    error(stream).expect("it is refused").to_string()
}

/// What streams of nonsense are made of.
const PARTS: &[&[u8]] = &[
    b"*2\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"$3\r\n",
    b"$0\r\n",
    b"abc\r\n",
    b"\r\n",
    b"\n",
    b"PING\r\n",
    b"a 'b c'\n",
    b"*1\r\n$1\r\nx\r\n",
    b"*",
    b"$",
    b"\"",
    b"7",
    b"\xff\0",
];

proptest! {
    #[test]
    fn requests_come_back_however_the_stream_is_cut(
        requests in vec(vec(strategies::bytes(), 1..5), 0..5),
        cuts in cuts(),
    ) {
        let mut out = OutBuffer::new();
        for request in &requests {
            encode_command(request, &mut out);
        }
        let stream = contents(out);
        let (read, result) = feed(&cut(&stream, &cuts));
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(read, requests);
    }

    /// Bytes that look like requests, and whatever else: the cuts never change what is read, nor the error.
    #[test]
    fn cuts_change_nothing(
        parts in vec(
            select(PARTS),
            0..12,
        ),
        cuts in cuts(),
    ) {
        let stream = parts.concat();
        prop_assert_eq!(feed(&cut(&stream, &cuts)), feed(&[&stream]));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), cuts in cuts()) {
        let _ = feed(&cut(&bytes, &cuts));
    }
}

#[test]
fn arrays_inline_commands_and_empty_ones_mix() {
    let stream = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n\r\n*0\r\nPING\r\n\n*-1\r\n*-7\r\n  \r\nset b \"c d\"\n*1\r\n$0\r\n\r\n";
    assert_eq!(requests(stream), [vec!["GET", "a"], vec!["PING"], vec!["set", "b", "c d"], vec![""]]);
}

#[test]
fn errors_have_the_texts_of_redis() {
    assert_eq!(text(b"*x\r\n"), "Protocol error: invalid multibulk length");
    assert_eq!(text(b"*3000000\r\n"), "Protocol error: invalid multibulk length");
    assert_eq!(text(b"*1\r\n$x\r\n"), "Protocol error: invalid bulk length");
    assert_eq!(text(b"*1\r\n$-1\r\n"), "Protocol error: invalid bulk length");
    assert_eq!(text(b"*1\r\n$2000000000\r\n"), "Protocol error: invalid bulk length");
    assert_eq!(text(b"*1\r\nPING\r\n"), "Protocol error: expected '$', got 'P'");
    assert_eq!(text(b"a \"b\r\n"), "Protocol error: unbalanced quotes in request");
    let endless = [b'1'; 70_000];
    assert_eq!(text(&[b"*", &endless[..]].concat()), "Protocol error: too big mbulk count string");
    assert_eq!(text(&[b"*1\r\n$", &endless[..]].concat()), "Protocol error: too big bulk count string");
    assert_eq!(text(&endless), "Protocol error: too big inline request");
}

#[test]
fn headers_are_read_strictly() {
    for stream in
        ["*\r\n", "*01\r\n", "*+1\r\n", "* 1\r\n", "*1 \r\n", "*1\n", "*9223372036854775808\r\n", "*-\r\n"]
    {
        assert_eq!(error(stream.as_bytes()), Some(ProtocolError::InvalidMultibulkLength), "{stream:?}");
    }
    for header in ["$\r\n", "$01\r\n", "$-0\r\n", "$1\n", "$1x\r\n", "$18446744073709551617\r\n"] {
        let stream = format!("*1\r\n{header}");
        assert_eq!(error(stream.as_bytes()), Some(ProtocolError::InvalidBulkLength), "{stream:?}");
    }
}

#[test]
fn an_argument_longer_than_announced_is_noticed() {
    assert_eq!(error(b"*1\r\n$3\r\nabcd\r\n"), Some(ProtocolError::InvalidBulkLength));
    assert_eq!(error(b"*1\r\n$3\r\nabc\r\r"), Some(ProtocolError::InvalidBulkLength));
    assert_eq!(error(b"*1\r\n$3\r\nabc\r"), None, "it may still become right");
}

#[test]
fn an_error_is_for_good() {
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let mut buffer = BytesMut::from(&b"*x\r\n*1\r\n$4\r\nPING\r\n"[..]);
    assert_eq!(decoder.decode(&mut buffer), Err(ProtocolError::InvalidMultibulkLength));
    buffer = BytesMut::from(&b"PING\r\n"[..]);
    assert_eq!(decoder.decode(&mut buffer), Err(ProtocolError::InvalidMultibulkLength));
}

#[test]
fn each_limit_is_the_last_that_is_taken() {
    let limits =
        RequestLimits { max_arguments: 2, max_bulk: 3, max_request: 4, max_inline: 8, authenticated: true };
    let error = |stream: &str| error_with(limits, stream.as_bytes());
    assert_eq!(error("*2\r\n$3\r\nabc\r\n$1\r\nd\r\n"), None);
    assert_eq!(error("*3\r\n"), Some(ProtocolError::InvalidMultibulkLength));
    assert_eq!(error("*1\r\n$4\r\n"), Some(ProtocolError::InvalidBulkLength));
    assert_eq!(error("*2\r\n$3\r\nabc\r\n$2\r\n"), Some(ProtocolError::RequestTooLarge { max: 4 }));
    // Each request counts for itself.
    assert_eq!(error("*1\r\n$3\r\nabc\r\n*1\r\n$3\r\nabc\r\n"), None);
    assert_eq!(error("a 345678\n"), None);
    assert_eq!(error("a 3456789\n"), Some(ProtocolError::InlineTooLong));
    assert_eq!(error("a b c\n"), Some(ProtocolError::InvalidMultibulkLength));
}

#[test]
fn a_client_that_has_not_authenticated_may_send_little() {
    let error =
        |stream: &[u8]| error_with(RequestLimits::unauthenticated(), stream).map(|error| error.to_string());
    let multibulk = Some("Protocol error: unauthenticated multibulk length".to_owned());
    assert_eq!(error(b"*10\r\n"), None);
    assert_eq!(error(b"*11\r\n"), multibulk);
    assert_eq!(error(b"1 2 3 4 5 6 7 8 9 10 11\r\n"), multibulk);
    assert_eq!(error(b"*1\r\n$16384\r\n"), None);
    assert_eq!(error(b"*1\r\n$16385\r\n"), Some("Protocol error: unauthenticated bulk length".to_owned()));
}

#[test]
fn limits_can_change_between_requests() {
    let mut decoder = RequestDecoder::new(RequestLimits::unauthenticated());
    let mut buffer = BytesMut::from(&b"AUTH x\r\n*11\r\n"[..]);
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(vec!["AUTH".into(), "x".into()])));
    decoder.set_limits(RequestLimits::default());
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
}

/// With every limit lifted, a decoder that allocated by the announced size would panic or take all memory.
#[test]
fn announced_sizes_take_no_memory() {
    let limits = RequestLimits {
        max_arguments: usize::MAX,
        max_bulk: usize::MAX,
        max_request: usize::MAX,
        max_inline: usize::MAX,
        authenticated: true,
    };
    for stream in [
        "*9223372036854775807\r\n",
        "*1000000000\r\n$1\r\na\r\n",
        "*1\r\n$9223372036854775807\r\n",
        "*2\r\n$1\r\na\r\n$9999999999\r\n",
    ] {
        let mut buffer = BytesMut::from(stream.as_bytes());
        assert_eq!(RequestDecoder::new(limits).decode(&mut buffer), Ok(None));
        assert!(buffer.capacity() <= 512 * 1024, "{stream:?} takes {}", buffer.capacity());
    }
}

/// Memory grows with what has arrived; the argument is one piece, and not copied out of the buffer.
#[test]
fn a_large_argument_gets_room_as_it_arrives() {
    let length = 8 * 1024 * 1024;
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let mut buffer = BytesMut::from(format!("*2\r\n$3\r\nSET\r\n${length}\r\n").as_bytes());
    let piece = vec![7; 10_000];
    let (mut sent, mut moves, mut last) = (0, 0, buffer.as_ptr());
    while sent < length {
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        assert!(
            buffer.capacity() <= (2 * buffer.len()).max(512 * 1024),
            "{} for {}",
            buffer.capacity(),
            buffer.len()
        );
        let size = piece.len().min(length - sent).min(buffer.capacity() - buffer.len());
        assert!(size > 0, "there is room for the next read");
        buffer.extend_from_slice(&piece[..size]);
        sent += size;
        if buffer.as_ptr() != last {
            (moves, last) = (moves + 1, buffer.as_ptr());
        }
    }
    assert!(moves <= 10, "the buffer moved {moves} times");
    buffer.extend_from_slice(b"\r\n*1\r\n");
    let request = decoder.decode(&mut buffer).expect("it is well-formed").expect("it is complete");
    assert_eq!(request[0], "SET");
    assert_eq!(request[1].len(), length);
    assert!(request[1].iter().all(|byte| *byte == 7));
    assert!(buffer.capacity() < 64 * 1024, "the buffer let go of {}", buffer.capacity());
}

#[test]
fn arguments_are_slices_of_the_buffer() {
    let mut buffer = BytesMut::from(&b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*1\r\n"[..]);
    let memory = buffer.as_ptr_range();
    let request = RequestDecoder::new(RequestLimits::default()).decode(&mut buffer);
    for argument in request.expect("it is well-formed").expect("it is complete") {
        assert!(memory.contains(&argument.as_ptr()));
    }
    assert_eq!(buffer, "*1\r\n", "what follows stays");
}

/// Quadratic work would take minutes here: every byte arrives alone.
#[test]
fn nothing_is_looked_at_twice() {
    let mut stream = b"*20000\r\n".to_vec();
    for _ in 0..20_000 {
        stream.extend_from_slice(b"$1\r\na\r\n");
    }
    stream.extend_from_slice(&[b'x'; 60_000]);
    stream.push(b'\n');
    let pieces: Vec<_> = stream.chunks(1).collect();
    let (read, result) = feed(&pieces);
    assert_eq!(result, Ok(()));
    assert_eq!((read.len(), read[0].len(), read[1][0].len()), (2, 20_000, 60_000));
}
