//! What one node says, the other one understands, however the stream was cut up.

mod strategies;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use simpledynamo_chain::{
    Base, Change, CopyPage, DataKey, Displaced, Entry, Envelope, Item, Message, OpId, Operation, Page,
    Reading, Reply, Version, Writers,
};
use simpledynamo_topology::{Epoch, Member, NodeId, PartitionId, Session};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::codec::DecodeError;
use simpledynamo_wire::peer::{
    FrameDecoder, HANDSHAKE_FRAME_MAX, Hello, LinkKind, PROTOCOL_VERSION, PeerFrame, REFUSAL_REASON_MAX,
    Welcome, encode,
};
use strategies::{contents, cut, cuts};

const MAX_FRAME: usize = 2 * 1024 * 1024;

fn past_handshake() -> FrameDecoder {
    let mut decoder = FrameDecoder::new(MAX_FRAME);
    decoder.end_handshake();
    decoder
}

fn encoded(frame: &PeerFrame) -> Bytes {
    let mut out = OutBuffer::new();
    encode(frame, &mut out);
    contents(out)
}

fn decode_one(bytes: &[u8]) -> Result<Option<PeerFrame>, DecodeError> {
    past_handshake().decode(&mut BytesMut::from(bytes))
}

proptest! {
    #[test]
    fn frames_come_back_however_the_stream_is_cut(frames in vec(strategies::frame(), 0..6), cuts in cuts()) {
        let mut out = OutBuffer::new();
        frames.iter().for_each(|frame| encode(frame, &mut out));
        let stream = contents(out);

        let mut decoder = past_handshake();
        let mut buffer = BytesMut::new();
        let mut read = Vec::new();
        for piece in cut(&stream, &cuts) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = decoder.decode(&mut buffer).expect("all frames are well-formed") {
                read.push(frame);
            }
        }
        prop_assert_eq!(read, frames);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn the_handshake_is_read_within_its_limit(frame in strategies::handshake_frame()) {
        let mut buffer = BytesMut::from(&encoded(&frame)[..]);
        prop_assert_eq!(FrameDecoder::new(MAX_FRAME).decode(&mut buffer), Ok(Some(frame)));
    }

    #[test]
    fn random_bytes_never_panic(kind in 0..8_u8, body in vec(prop_oneof![0..24_u8, any::<u8>()], 0..80)) {
        let mut frame = (body.len() as u32 + 1).to_le_bytes().to_vec();
        frame.push(kind);
        frame.extend_from_slice(&body);
        // What is read is what would be written: there is one encoding of each frame, but for refusals, whose
        // reason may be repaired, and greetings of other versions.
        match decode_one(&frame) {
            Ok(Some(PeerFrame::Refused(_) | PeerFrame::OtherVersion { .. })) | Err(_) => {}
            Ok(Some(read)) => prop_assert_eq!(encoded(&read), frame),
            Ok(None) => prop_assert!(false, "the frame is complete"),
        }
        let _ = decode_one(&body);
    }

    #[test]
    fn a_frame_that_was_cut_short_is_an_error(frame in strategies::frame(), cut in any::<usize>()) {
        let whole = encoded(&frame);
        let body = &whole[4..];
        let body = &body[..cut % body.len()];
        let mut short = (body.len() as u32).to_le_bytes().to_vec();
        short.extend_from_slice(body);
        prop_assert!(decode_one(&short).is_err());
    }
}

fn hello() -> PeerFrame {
    PeerFrame::Hello(Hello {
        version: PROTOCOL_VERSION,
        cluster: "classic".to_owned(),
        table: *b"0123456789abcdefghij",
        from: NodeId(1),
        to: NodeId(300),
        store: u128::from_be_bytes(*b"sixteen bytes id"),
        link: LinkKind::Control,
    })
}

fn envelope(message: Message) -> PeerFrame {
    PeerFrame::Message(Envelope {
        partition: PartitionId(3),
        epoch: Epoch(2),
        from: Member { node: NodeId(1), session: Session(7) },
        to: Member { node: NodeId(4), session: Session(8) },
        message,
    })
}

fn id() -> OpId {
    OpId { node: NodeId(1), session: Session(7), counter: 9 }
}

/// These bytes cross between processes of different builds: whoever changes them changes the protocol's version.
#[test]
fn the_format_of_frames_stays() {
    let golden: [(PeerFrame, &[u8]); 12] = [
        (
            hello(),
            b"\x37\0\0\0\x01SDp\x01\x02\x00\x07classic0123456789abcdefghij\x01\xac\x02sixteen bytes id\x01",
        ),
        (
            PeerFrame::Welcome(Welcome { store: u128::from_be_bytes(*b"sixteen bytes id") }),
            b"\x11\0\0\0\x02sixteen bytes id",
        ),
        (PeerFrame::Refused("no".to_owned()), b"\x04\0\0\0\x03\x02no"),
        (
            PeerFrame::Control { id: 300, is_reply: true, body: Bytes::from_static(b"vote") },
            b"\x09\0\0\0\x05\xac\x02\x01\x04vote",
        ),
        (envelope(Message::Gather), b"\x08\0\0\0\x04\x03\x02\x01\x07\x04\x08\x01"),
        (
            envelope(Message::Sealed { watermark: 5, end: 6 }),
            b"\x0a\0\0\0\x04\x03\x02\x01\x07\x04\x08\x02\x05\x06",
        ),
        (envelope(Message::Durable { up_to: 10 }), b"\x09\0\0\0\x04\x03\x02\x01\x07\x04\x08\x06\x0a"),
        (
            envelope(Message::Join { attachment: Some(3), held: None }),
            b"\x0b\0\0\0\x04\x03\x02\x01\x07\x04\x08\x08\x01\x03\x00",
        ),
        (
            envelope(Message::Ship { attachment: 3, entries: Vec::new(), watermark: 10 }),
            b"\x0b\0\0\0\x04\x03\x02\x01\x07\x04\x08\x0a\x03\x0a\x00",
        ),
        (
            envelope(Message::Page {
                attachment: 3,
                page: Arc::new(CopyPage { number: 1, after: None, records: Vec::new(), end: None }),
                base: Some(Arc::new(Base {
                    last: Version { epoch: Epoch(2), seq: 11 },
                    writers: Writers::default(),
                })),
            }),
            b"\x11\0\0\0\x04\x03\x02\x01\x07\x04\x08\x0c\x03\x01\x00\x00\x00\x01\x02\x0b\x00",
        ),
        (
            envelope(Message::Write {
                id: id(),
                copy: 1,
                floor: 8,
                key: Bytes::from_static(b"k"),
                operation: Operation::Increment(-2),
            }),
            b"\x11\0\0\0\x04\x03\x02\x01\x07\x04\x08\x0e\x01\x07\x09\x01\x08\x01k\x05\x03",
        ),
        (
            envelope(Message::WriteDone {
                id: id(),
                version: Version { epoch: Epoch(2), seq: 11 },
                reply: Reply::Done,
            }),
            b"\x0e\0\0\0\x04\x03\x02\x01\x07\x04\x08\x0f\x01\x07\x09\x02\x0b\x00",
        ),
    ];
    for (frame, bytes) in golden {
        assert_eq!(encoded(&frame), bytes, "{frame:?}");
    }
}

#[test]
fn a_hello_of_another_version_is_understood_as_far_as_it_goes() {
    let mut bytes = encoded(&hello()).to_vec();
    bytes[9..11].copy_from_slice(&9_u16.to_le_bytes());
    let other = PeerFrame::OtherVersion { version: 9, cluster: "classic".to_owned() };
    let read = FrameDecoder::new(MAX_FRAME).decode(&mut BytesMut::from(&bytes[..]));
    assert_eq!(read, Ok(Some(other)), "what follows is not looked at");
}

#[test]
fn a_connection_of_a_client_is_told_apart() {
    let mut frame = 20_u32.to_le_bytes().to_vec();
    frame.extend_from_slice(b"\x01GET / HTTP/1.1\r\nHost");
    let read = |bytes: &[u8]| FrameDecoder::new(MAX_FRAME).decode(&mut BytesMut::from(bytes));
    assert_eq!(read(&frame), Err(DecodeError::NotAPeer));
    // What a client really sends announces a frame of a length that no handshake has.
    assert!(matches!(read(b"PING\r\n"), Err(DecodeError::FrameTooLong { .. })));
    assert!(matches!(read(b"*1\r\n$4\r\nPING\r\n"), Err(DecodeError::FrameTooLong { .. })));
}

#[test]
fn before_the_handshake_only_its_frames_are_taken() {
    let message = envelope(Message::Durable { up_to: 10 });
    let request = PeerFrame::Control { id: 1, is_reply: false, body: Bytes::from_static(b"vote") };
    for frame in [message, request].map(|frame| encoded(&frame)) {
        let mut decoder = FrameDecoder::new(MAX_FRAME);
        assert_eq!(decoder.decode(&mut BytesMut::from(&frame[..])), Err(DecodeError::NotAPeer));
        assert_eq!(
            decoder.decode(&mut BytesMut::from(&encoded(&hello())[..])),
            Err(DecodeError::NotAPeer),
            "for good"
        );
        assert!(decode_one(&frame).is_ok());
    }
}

#[test]
fn a_frame_too_long_is_refused_before_it_takes_memory() {
    let announce = |decoder: &mut FrameDecoder, length: usize| {
        let mut buffer = BytesMut::from(&(length as u32).to_le_bytes()[..]);
        let result = decoder.decode(&mut buffer);
        (result, buffer.capacity())
    };
    let max = HANDSHAKE_FRAME_MAX;
    let (result, capacity) = announce(&mut FrameDecoder::new(MAX_FRAME), max + 1);
    assert_eq!(result, Err(DecodeError::FrameTooLong { length: max + 1, max }));
    assert!(capacity < 1024);
    assert_eq!(announce(&mut FrameDecoder::new(MAX_FRAME), max).0, Ok(None));
    assert!(announce(&mut past_handshake(), MAX_FRAME + 1).0.is_err());
    assert_eq!(announce(&mut past_handshake(), MAX_FRAME).0, Ok(None));

    // An allowed but large announcement earns its memory as it arrives.
    let mut generous = FrameDecoder::new(usize::MAX);
    generous.end_handshake();
    let (result, capacity) = announce(&mut generous, u32::MAX as usize);
    assert_eq!(result, Ok(None));
    assert!(capacity <= 1024 * 1024, "{capacity}");
}

#[test]
fn a_frame_holds_one_thing_only() {
    let mut frame = encoded(&envelope(Message::Durable { up_to: 10 })).to_vec();
    frame[0] += 1;
    frame.push(0);
    assert_eq!(decode_one(&frame), Err(DecodeError::LeftOver(1)));
}

#[test]
fn unknown_choices_are_named() {
    let error = |what, tag| Err(DecodeError::Kind { what, tag });
    assert_eq!(decode_one(b"\x02\0\0\0\x06\x00"), error("a frame", 6));
    assert_eq!(decode_one(b"\x04\0\0\0\x05\x01\x02\x00"), error("whether a frame is a reply", 2));
    assert_eq!(decode_one(b"\x08\0\0\0\x04\x03\x02\x01\x07\x04\x08\x00"), error("a message", 0));
    assert_eq!(decode_one(b"\x08\0\0\0\x04\x03\x02\x01\x07\x04\x08\x15"), error("a message", 21));
    let mut bytes = encoded(&hello()).to_vec();
    *bytes.last_mut().expect("a hello has an end") = 2;
    assert_eq!(decode_one(&bytes), error("a link", 2));
}

/// What is announced is compared with the fewest bytes that it could take, and not with more.
#[test]
fn the_shortest_items_are_read() {
    let item = Item {
        key: Bytes::new(),
        version: Version::default(),
        expires_at: None,
        due: false,
        value: Bytes::new(),
    };
    let reading = Reading::Page(Page { items: vec![item.clone(), item], next: None });
    let frame = envelope(Message::ReadDone { id: 0, reading });
    assert_eq!(decode_one(&encoded(&frame)), Ok(Some(frame)));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let reason = "é".repeat(REFUSAL_REASON_MAX);
    let Ok(Some(PeerFrame::Refused(read))) = decode_one(&encoded(&PeerFrame::Refused(format!("x{reason}"))))
    else {
        panic!("it is a refusal")
    };
    assert_eq!(read.len(), REFUSAL_REASON_MAX - 1);
    assert!(read.ends_with('é'));
}

#[test]
fn a_frame_with_a_linked_value_has_the_right_length() {
    let entry = Entry {
        version: Version { epoch: Epoch(2), seq: 300 },
        id: id(),
        floor: 8,
        key: DataKey::of(b"key"),
        change: Change::Put { value: Bytes::from(vec![7; 500_000]), expires_at: None },
        displaced: Displaced::default(),
        reply: Reply::Done,
    };
    let entry = Arc::new(entry);
    let frame = envelope(Message::Append { entries: vec![Arc::clone(&entry), entry], durable: 299 });
    // One frame in front and one behind: the length goes to the right place.
    let mut out = OutBuffer::new();
    let small = envelope(Message::Watermark { up_to: 298 });
    for frame in [&small, &frame, &small] {
        encode(frame, &mut out);
    }
    let mut slices = [std::io::IoSlice::new(&[]); 16];
    assert_eq!(out.chunks(&mut slices), 5, "two linked values, and what is around them");
    let mut buffer = BytesMut::from(&contents(out)[..]);
    let mut decoder = past_handshake();
    for frame in [&small, &frame, &small] {
        assert_eq!(decoder.decode(&mut buffer).as_ref(), Ok(&Some(frame.clone())));
    }
}

#[test]
fn a_received_value_shares_the_memory_of_its_frame_and_the_buffer_lets_go() {
    let write = Message::Write {
        id: id(),
        copy: 1,
        floor: 8,
        key: Bytes::from_static(b"k"),
        operation: Operation::Append(Bytes::from(vec![7; 900_000])),
    };
    let mut buffer = BytesMut::from(&encoded(&envelope(write))[..]);
    let memory = buffer.as_ptr_range();
    let Ok(Some(PeerFrame::Message(envelope))) = past_handshake().decode(&mut buffer) else {
        panic!("it is a message")
    };
    let Message::Write { operation: Operation::Append(value), .. } = envelope.message else {
        panic!("it is an append")
    };
    assert!(memory.contains(&value.as_ptr()));
    drop(value);
    buffer.reserve(1);
    assert!(buffer.capacity() < 64 * 1024, "{}", buffer.capacity());
}
