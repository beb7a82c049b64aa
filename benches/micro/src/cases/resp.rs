//! What clients send, and what they are answered.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{Protocol, RequestDecoder, RequestLimits, Value, encode_command};

use super::peer::{arrive, drain};
use crate::case::{Case, Measure, Step};
use crate::samples::{VALUE, key, value};

/// What a connection reads into: as much room as one that sends little has.
const READ: usize = 2 << 10;

pub(crate) fn cases() -> [Case; 8] {
    [
        Case {
            name: "resp-decode-get",
            about: "GET of a key of 14 bytes",
            measure: Measure::Counted(4_096),
            prepare: || decode(&get(), 1),
        },
        Case {
            name: "resp-decode-set-100",
            about: "SET of 100 bytes",
            measure: Measure::Counted(4_096),
            prepare: || decode(&set(VALUE), 1),
        },
        Case {
            name: "resp-decode-set-4096",
            about: "SET of 4 KiB",
            measure: Measure::Counted(4_096),
            prepare: || decode(&set(4_096), 1),
        },
        Case {
            name: "resp-decode-pipeline-16",
            about: "16 requests that came together, GET and SET of 100 bytes by turns",
            measure: Measure::Counted(512),
            prepare: || decode(&[get(), set(VALUE)].concat().repeat(8), 16),
        },
        Case {
            name: "resp-encode-ok",
            about: "the reply OK",
            measure: Measure::Counted(8_192),
            prepare: || encode(Value::OK),
        },
        Case {
            name: "resp-encode-bulk-100",
            about: "the reply to GET, 100 bytes",
            measure: Measure::Counted(8_192),
            prepare: || encode(Value::Bulk(value(1, VALUE))),
        },
        Case {
            name: "resp-encode-bulk-4096",
            about: "the reply to GET, 4 KiB: linked, not copied",
            measure: Measure::Counted(8_192),
            prepare: || encode(Value::Bulk(value(1, 4_096))),
        },
        Case {
            name: "resp-encode-array-16",
            about: "the reply to MGET of 16 keys, 100 bytes each",
            measure: Measure::Counted(1_024),
            prepare: || encode(Value::Array(vec![Value::Bulk(value(1, VALUE)); 16])),
        },
    ]
}

fn get() -> Vec<u8> {
    request(&[Bytes::from("GET"), key(1)])
}

/// A `SET` of so many bytes.
pub(crate) fn set(length: usize) -> Vec<u8> {
    request(&[Bytes::from("SET"), key(1), value(1, length)])
}

fn request(arguments: &[Bytes]) -> Vec<u8> {
    let mut out = OutBuffer::new();
    encode_command(arguments, &mut out);
    drain(&mut out)
}

/// Takes what came into a connection's buffer, and requests off it.
pub(crate) fn decode(bytes: &[u8], requests: usize) -> Step {
    let bytes = bytes.to_vec();
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let mut input = BytesMut::new();
    let room = READ.max(bytes.len());
    Box::new(move || {
        arrive(&bytes, room, &mut input);
        for _ in 0..requests {
            let arguments = decoder.decode(&mut input).expect("it is a request");
            black_box(arguments.expect("it came whole"));
        }
        assert!(input.is_empty(), "there was nothing else");
    })
}

/// Writes a reply and drops it as if it had been sent.
pub(crate) fn encode(value: Value) -> Step {
    let mut out = OutBuffer::new();
    Box::new(move || {
        black_box(&value).encode(Protocol::Resp2, &mut out);
        let length = out.len();
        black_box(&mut out).advance(length);
    })
}
