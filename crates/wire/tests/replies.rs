//! Replies as a server writes them and a client reads them.

mod strategies;

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{Protocol, ProtocolError, ReplyDecoder, Value, encode_command};
use strategies::{contents, cut, cuts};

fn decoder() -> ReplyDecoder {
    ReplyDecoder::new(8, 1024 * 1024)
}

fn feed(pieces: &[&[u8]]) -> (Vec<Value>, Result<(), ProtocolError>) {
    let mut decoder = decoder();
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

fn read(stream: &[u8]) -> Vec<Value> {
    let (values, result) = feed(&[stream]);
    assert_eq!(result, Ok(()), "{:?}", stream.escape_ascii().to_string());
    values
}

fn written(value: &Value, protocol: Protocol) -> Bytes {
    let mut out = OutBuffer::new();
    value.encode(protocol, &mut out);
    contents(out)
}

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![Just(Cow::Borrowed("OK")), "[^\r\n]{0,30}".prop_map(Cow::Owned)]
}

/// Values whose RESP3 form tells all about them.
fn value() -> impl Strategy<Value = Value> {
    let double = any::<f64>().prop_filter("NaN equals nothing", |number| !number.is_nan());
    let leaf = prop_oneof![
        text().prop_map(Value::Simple),
        text().prop_map(Value::Error),
        strategies::signed().prop_map(Value::Integer),
        strategies::bytes().prop_map(Value::Bulk),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        double.prop_map(Value::Double),
        strategies::bytes().prop_map(Value::Verbatim),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec(inner.clone(), 0..6).prop_map(Value::Push),
            vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

/// What RESP2 makes of a value.
fn in_resp2(value: &Value) -> Value {
    let all = |values: &[Value]| values.iter().map(in_resp2).collect();
    match value {
        Value::Array(values) | Value::Set(values) | Value::Push(values) => Value::Array(all(values)),
        Value::Map(pairs) => {
            Value::Array(pairs.iter().flat_map(|(key, value)| [in_resp2(key), in_resp2(value)]).collect())
        }
        Value::Boolean(value) => Value::Integer((*value).into()),
        Value::Verbatim(text) => Value::Bulk(text.clone()),
        Value::Double(number) => {
            let Value::Bulk(text) = read(&written(&Value::Double(*number), Protocol::Resp2)).remove(0) else {
                panic!("a double is written as bytes")
            };
            let parsed: f64 = std::str::from_utf8(&text).expect("a number").parse().expect("a number");
            assert_eq!(parsed, *number);
            Value::Bulk(text)
        }
        other => other.clone(),
    }
}

/// What streams of nonsense are made of.
const PARTS: &[&[u8]] = &[
    b"*2\r\n",
    b"%1\r\n",
    b"|1\r\n",
    b"~0\r\n",
    b"*-1\r\n",
    b"$3\r\n",
    b"abc\r\n",
    b"+OK\r\n",
    b":7\r\n",
    b"_\r\n",
    b"=5\r\n",
    b"txt:a\r\n",
    b"!3\r\n",
    b"\r\n",
    b"#t\r\n",
];

proptest! {
    #[test]
    fn replies_come_back_however_the_stream_is_cut(values in vec(value(), 0..4), cuts in cuts()) {
        let stream: Vec<u8> =
            values.iter().flat_map(|value| written(value, Protocol::Resp3)).collect();
        let (read, result) = feed(&cut(&stream, &cuts));
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(read, values);
    }

    #[test]
    fn resp2_has_a_form_for_everything(value in value()) {
        prop_assert_eq!(read(&written(&value, Protocol::Resp2)), vec![in_resp2(&value)]);
    }

    #[test]
    fn cuts_change_nothing(
        parts in vec(
            select(PARTS),
            0..14,
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

    #[test]
    fn a_text_stays_on_its_line(text in "[a\r\n]{0,12}") {
        for value in [Value::Error(text.clone().into()), Value::Simple(text.clone().into())] {
            let bytes = written(&value, Protocol::Resp2);
            prop_assert_eq!(bytes.len(), text.len() + 3);
            prop_assert!(bytes[..bytes.len() - 2].iter().all(|byte| !b"\r\n".contains(byte)));
        }
    }
}

#[test]
fn each_type_is_written_as_the_specification_has_it() {
    let array = |values: &[i64]| values.iter().map(|number| Value::Integer(*number)).collect::<Vec<_>>();
    let cases: [(Value, &str, &str); 20] = [
        (Value::OK, "+OK\r\n", "+OK\r\n"),
        (Value::Error("ERR no".into()), "-ERR no\r\n", "-ERR no\r\n"),
        (Value::Integer(-7), ":-7\r\n", ":-7\r\n"),
        (Value::Integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        (Value::Bulk(Bytes::from_static(b"a\r\nb")), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
        (Value::Bulk(Bytes::new()), "$0\r\n\r\n", "$0\r\n\r\n"),
        (Value::Null, "$-1\r\n", "_\r\n"),
        (Value::NullArray, "*-1\r\n", "_\r\n"),
        (Value::Array(array(&[1, 2])), "*2\r\n:1\r\n:2\r\n", "*2\r\n:1\r\n:2\r\n"),
        (Value::Map(vec![(Value::Integer(1), Value::Null)]), "*2\r\n:1\r\n$-1\r\n", "%1\r\n:1\r\n_\r\n"),
        (Value::Set(array(&[1])), "*1\r\n:1\r\n", "~1\r\n:1\r\n"),
        (Value::Push(array(&[1])), "*1\r\n:1\r\n", ">1\r\n:1\r\n"),
        (Value::Boolean(true), ":1\r\n", "#t\r\n"),
        (Value::Boolean(false), ":0\r\n", "#f\r\n"),
        (Value::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
        (Value::Double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (Value::Double(f64::NAN), "$3\r\nnan\r\n", ",nan\r\n"),
        (Value::Double(-1e300), "$6\r\n-1e300\r\n", ",-1e300\r\n"),
        (
            Value::Double(-0.000_012_345_678_901_234_567),
            "$24\r\n-0.000012345678901234568\r\n",
            ",-0.000012345678901234568\r\n",
        ),
        (Value::Verbatim(Bytes::from_static(b"ab")), "$2\r\nab\r\n", "=6\r\ntxt:ab\r\n"),
    ];
    for (value, resp2, resp3) in cases {
        assert_eq!(written(&value, Protocol::Resp2), resp2, "{value:?}");
        assert_eq!(written(&value, Protocol::Resp3), resp3, "{value:?}");
    }
}

#[test]
fn what_other_servers_send_is_read_too() {
    let error = |text: &'static str| Value::Error(text.into());
    assert_eq!(read(b"!6\r\nERR a\n\r\n"), [error("ERR a\n")]);
    assert_eq!(read(b"(-3492890328409238509324850943850943825024385\r\n").len(), 1);
    assert_eq!(
        read(b"|1\r\n+ttl\r\n:9\r\n*2\r\n|0\r\n:1\r\n|1\r\n+a\r\n+b\r\n:2\r\n"),
        [Value::Array(vec![Value::Integer(1), Value::Integer(2)])]
    );
    assert_eq!(read(b"=7\r\nmkd:*a*\r\n"), [Value::Verbatim(Bytes::from_static(b"*a*"))]);
    assert_eq!(read(b"*-1\r\n$-1\r\n:+5\r\n"), [Value::NullArray, Value::Null, Value::Integer(5)]);
    assert_eq!(read(b",inf\r\n,10\r\n"), [Value::Double(f64::INFINITY), Value::Double(10.0)]);
}

#[test]
fn what_is_no_reply_is_refused() {
    for stream in [
        "PING\r\n",
        "\r\n",
        "+OK\n",
        ":\r\n",
        ":x\r\n",
        "_x\r\n",
        "#x\r\n",
        ",x\r\n",
        "$x\r\n",
        "$-2\r\n",
        "*-2\r\n",
        "%-1\r\n",
        "$?\r\n",
        "*?\r\n",
        "$1\r\nabc",
        "=3\r\ntxt\r\n",
        "=4\r\ntxtx\r\n",
    ] {
        let (values, result) = feed(&[stream.as_bytes()]);
        assert!(values.is_empty() && result.is_err(), "{stream:?}: {values:?} {result:?}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |depth: usize| format!("{}:1\r\n", "*1\r\n".repeat(depth));
    assert_eq!(read(nested(8).as_bytes()).len(), 1);
    let deep = ProtocolError::InvalidReply("it is nested deeper than the reader allows");
    assert_eq!(feed(&[nested(9).as_bytes()]).1, Err(deep));

    let result = |max_bytes, stream: &str| {
        ReplyDecoder::new(8, max_bytes).decode(&mut BytesMut::from(stream.as_bytes()))
    };
    assert_eq!(result(9, "$3\r\nabc\r\n"), Ok(Some(Value::Bulk(Bytes::from_static(b"abc")))));
    assert!(result(8, "$3\r\n").is_err(), "before it arrives");
    assert!(result(9, "*2\r\n").is_err(), "two elements take six bytes");
    assert_eq!(result(10, "*2\r\n"), Ok(None));
    assert!(result(usize::MAX, "*9223372036854775807\r\n").is_err());
    // Every reply counts for itself.
    let mut decoder = ReplyDecoder::new(8, 5);
    let mut buffer = BytesMut::from(&b"+OK\r\n+OK\r\n"[..]);
    assert_eq!(
        (decoder.decode(&mut buffer), decoder.decode(&mut buffer)),
        (Ok(Some(Value::OK)), Ok(Some(Value::OK)))
    );
}

#[test]
fn announced_sizes_take_no_memory() {
    for stream in ["$9000000000000000000\r\n", "*3000000000000000000\r\n", "%1000000000000000000\r\n"] {
        let mut buffer = BytesMut::from(stream.as_bytes());
        assert_eq!(ReplyDecoder::new(8, usize::MAX).decode(&mut buffer), Ok(None));
        assert!(buffer.capacity() <= 512 * 1024);
    }
}

/// Quadratic work would take minutes here: every byte arrives alone.
#[test]
fn nothing_is_looked_at_twice() {
    let value = Value::Array(vec![Value::Bulk(Bytes::from_static(b"a")); 20_000]);
    let stream = written(&value, Protocol::Resp2);
    let pieces: Vec<_> = stream.chunks(1).collect();
    assert_eq!(feed(&pieces), (vec![value], Ok(())));
}

#[test]
fn a_command_is_an_array_of_bulk_strings() {
    let mut out = OutBuffer::new();
    encode_command(&["SET", "a", ""], &mut out);
    assert_eq!(contents(out), "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n");
}
