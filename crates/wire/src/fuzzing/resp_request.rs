//! Requests of clients.

use bytes::{Bytes, BytesMut};

use crate::resp::{ProtocolError, RequestDecoder, RequestLimits};

/// Small enough for a fuzzer to reach them.
const LIMITS: RequestLimits =
    RequestLimits { max_arguments: 16, max_bulk: 64, max_request: 256, max_inline: 64, authenticated: true };

/// Reads the input as requests; its first byte says in what pieces they arrive. Nothing panics, how the stream was cut
/// up changes nothing, and limits are kept.
pub fn resp_request(input: &[u8]) {
    let [size, stream @ ..] = input else { return };
    let whole = feed([stream].into_iter());
    let in_pieces = feed(stream.chunks(usize::from(size % 16) + 1));
    assert_eq!(in_pieces, whole);
    for request in &whole.0 {
        assert!(!request.is_empty() && request.len() <= LIMITS.max_arguments);
        assert!(request.iter().map(Bytes::len).sum::<usize>() <= LIMITS.max_request);
    }
}

fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<Bytes>>, Result<(), ProtocolError>) {
    let mut decoder = RequestDecoder::new(LIMITS);
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
