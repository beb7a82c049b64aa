//! What nodes say to each other, to bytes and back.

use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::BytesMut;
use simpledynamo_chain::{Displaced, Message, OpId, Part, Query, Reading, Reply, Version};
use simpledynamo_topology::{Epoch, NodeId, Session};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::peer::{FrameDecoder, PeerFrame, encode as encode_frame};

use crate::case::{Case, Measure, Step};
use crate::samples::{self, VALUE, key, value};

const READ: usize = 64 << 10;

/// The longest frame that is taken.
const FRAME_MAX: usize = 64 << 20;

const ID: OpId = OpId { node: NodeId(3), session: Session(11), counter: 1_000 };

/// A case for either way.
macro_rules! both_ways {
    ($([$encode:literal, $decode:literal, $about:literal, $message:expr]),* $(,)?) => {
        [$(
            Case {
                name: $encode,
                about: concat!("to bytes: ", $about),
                measure: Measure::Counted(4_096),
                prepare: || encode($message),
            },
            Case {
                name: $decode,
                about: concat!("from bytes: ", $about),
                measure: Measure::Counted(4_096),
                prepare: || decode($message),
            },
        )*]
    };
}

pub(crate) fn cases() -> [Case; 12] {
    both_ways![
        ["peer-encode-write", "peer-decode-write", "Write of 100 bytes", write(VALUE)],
        [
            "peer-encode-append-1",
            "peer-decode-append-1",
            "Append of one entry of 100 bytes",
            append(1, VALUE)
        ],
        [
            "peer-encode-append-16",
            "peer-decode-append-16",
            "Append of 16 entries of 100 bytes",
            append(16, VALUE)
        ],
        ["peer-encode-write-done", "peer-decode-write-done", "WriteDone", write_done()],
        ["peer-encode-read", "peer-decode-read", "Read of one key", read()],
        ["peer-encode-read-done", "peer-decode-read-done", "ReadDone with 100 bytes", read_done(VALUE)],
    ]
}

fn write(length: usize) -> Message {
    let operation = samples::set(value(1, length));
    Message::Write { id: ID, copy: 1, floor: 990, key: key(1), operation }
}

/// So many entries.
pub(crate) fn append(entries: u64, length: usize) -> Message {
    let entry =
        |at: u64| Arc::new(samples::entry(1_000 + at, key(at), value(at, length), Displaced::default()));
    Message::Append { entries: (1..=entries).map(entry).collect(), durable: 1_000 }
}

fn write_done() -> Message {
    Message::WriteDone { id: ID, version: Version { epoch: Epoch(7), seq: 1_000 }, reply: Reply::Done }
}

fn read() -> Message {
    Message::Read { id: 1_000, query: Query::Get { key: key(1), part: Part::Value } }
}

fn read_done(length: usize) -> Message {
    let version = Version { epoch: Epoch(7), seq: 1_000 };
    let bytes = value(1, length);
    let reading = Reading::Present { version, expires_at: None, due: false, length: length as u64, bytes };
    Message::ReadDone { id: 1_000, reading }
}

/// Writes a frame and drops it as if it had been sent.
pub(crate) fn encode(message: Message) -> Step {
    let frame = PeerFrame::Message(samples::envelope(message));
    let mut out = OutBuffer::new();
    Box::new(move || {
        encode_frame(black_box(&frame), &mut out);
        let length = out.len();
        black_box(&mut out).advance(length);
    })
}

/// Puts what has come into a buffer that is given room as a connection's is. The copy stands for that of the system's.
pub(crate) fn arrive(bytes: &[u8], room: usize, input: &mut BytesMut) {
    if input.capacity() - input.len() < room / 2 {
        input.reserve(room);
    }
    input.extend_from_slice(black_box(bytes));
}

/// Takes what came into a link's buffer, and the frame off it.
pub(crate) fn decode(message: Message) -> Step {
    let frame = PeerFrame::Message(samples::envelope(message));
    let mut out = OutBuffer::new();
    encode_frame(&frame, &mut out);
    let bytes = drain(&mut out);
    let mut decoder = FrameDecoder::new(FRAME_MAX);
    decoder.end_handshake();
    let mut input = BytesMut::new();
    let room = READ.max(bytes.len());
    Box::new(move || {
        arrive(&bytes, room, &mut input);
        let frame = decoder.decode(&mut input).expect("it is a frame");
        black_box(frame.expect("it came whole"));
        assert!(input.is_empty(), "there was nothing else");
    })
}

/// All that waits to be sent, in one piece.
pub(crate) fn drain(out: &mut OutBuffer) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(out.len());
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[])];
        let filled = out.chunks(&mut slices);
        assert_eq!(filled, 1, "a rope that is not empty has a piece");
        bytes.extend_from_slice(&slices[0]);
        let length = slices[0].len();
        out.advance(length);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_waits_is_drained() {
        let mut out = OutBuffer::new();
        out.put_slice(b"head");
        out.put_bytes(&value(1, 8_192));
        out.put_slice(b"tail");
        let bytes = drain(&mut out);
        assert!(out.is_empty());
        assert_eq!(bytes.len(), 8_200);
        assert!(bytes.starts_with(b"head") && bytes.ends_with(b"tail"));
    }
}
