//! Replies of servers.

use bytes::{Buf, BytesMut};

use crate::OutBuffer;
use crate::resp::{Protocol, ProtocolError, ReplyDecoder, Value};

/// Reads the input as replies; its first byte says in what pieces they arrive. Nothing panics, how the stream was cut
/// up changes nothing, and what was read can be written and read again.
pub fn resp_reply(input: &[u8]) {
    let [size, stream @ ..] = input else { return };
    let (whole, end) = feed([stream].into_iter());
    let (in_pieces, end_in_pieces) = feed(stream.chunks(usize::from(size % 16) + 1));
    // Texts are compared, because NaN equals nothing.
    assert_eq!((format!("{in_pieces:?}"), end_in_pieces), (format!("{whole:?}"), end));

    for value in &whole {
        // A text that was not UTF-8, or a number, may have become longer than the limit.
        let mut buffer = BytesMut::from(&written(value)[..]);
        let again = ReplyDecoder::new(8, usize::MAX).decode(&mut buffer);
        assert!(matches!(again, Ok(Some(_))), "{value:?}: {again:?}");
        assert!(buffer.is_empty());
    }
}

fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Value>, Result<(), ProtocolError>) {
    let mut decoder = ReplyDecoder::new(8, 4096);
    let mut buffer = BytesMut::new();
    let mut values = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Err(error)),
            }
        }
    }
    (values, Ok(()))
}

fn written(value: &Value) -> Vec<u8> {
    let mut out = OutBuffer::new();
    value.encode(Protocol::Resp3, &mut out);
    out.copy_to_bytes(out.remaining()).to_vec()
}
