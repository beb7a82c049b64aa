//! The few messages of etcd's API that a load needs, as Protocol Buffers.
//!
//! Sources: `etcd/api/etcdserverpb/rpc.proto` of etcd 3.5 for the fields, and
//! <https://protobuf.dev/programming-guides/encoding/> for their form.

/// The forms that a field may have on the wire.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

/// `PutRequest { key = 1, value = 2 }`.
pub(crate) fn put_request(key: &[u8], value: &[u8], buffer: &mut Vec<u8>) {
    bytes_field(1, key, buffer);
    bytes_field(2, value, buffer);
}

/// `RangeRequest { key = 1 }`: one key. `serializable = 7` is not set, so the read is linearizable.
pub(crate) fn range_request(key: &[u8], buffer: &mut Vec<u8>) {
    bytes_field(1, key, buffer);
}

/// Whether a `RangeResponse { header = 1, kvs = 2, more = 3, count = 4 }` has a pair; none if it is damaged.
pub(crate) fn range_response_has_pair(mut message: &[u8]) -> Option<bool> {
    let mut has_pair = false;
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let length = match tag & 7 {
            VARINT => {
                let value = take_varint(&mut message)?;
                has_pair |= tag >> 3 == 4 && value > 0;
                0
            }
            FIXED_64 => 8,
            LENGTH_DELIMITED => usize::try_from(take_varint(&mut message)?).ok()?,
            FIXED_32 => 4,
            _ => return None,
        };
        message = message.get(length..)?;
    }
    Some(has_pair)
}

fn bytes_field(number: u64, bytes: &[u8], buffer: &mut Vec<u8>) {
    put_varint(number << 3 | LENGTH_DELIMITED, buffer);
    put_varint(bytes.len() as u64, buffer);
    buffer.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put_varint(mut value: u64, buffer: &mut Vec<u8>) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_specification_has_them() {
        for (value, bytes) in [(1, &[0x01][..]), (150, &[0x96, 0x01]), (300, &[0xac, 0x02]), (127, &[0x7f])] {
            let mut buffer = Vec::new();
            put_varint(value, &mut buffer);
            assert_eq!(buffer, bytes);
            assert_eq!(take_varint(&mut &buffer[..]), Some(value));
        }
        assert_eq!(take_varint(&mut &[0x80][..]), None, "the rest is missing");
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None, "no number is that long");
    }

    #[test]
    fn requests_have_their_fields() {
        let mut put = Vec::new();
        put_request(b"foo", &[b'v'; 200], &mut put);
        assert_eq!(put[..5], *b"\x0a\x03foo");
        assert_eq!(put[5..8], *b"\x12\xc8\x01");
        assert_eq!(put.len(), 8 + 200);
        let mut range = Vec::new();
        range_request(b"foo", &mut range);
        assert_eq!(range, b"\x0a\x03foo");
    }

    /// Answers of etcd 3.5 to a request for one key, once with a value of five bytes and once without.
    const FOUND: &[u8] = b"\x0a\x08\x08\x01\x10\x02\x18\x03\x20\x02\x12\x12\x0a\x03foo\x10\x02\x18\x02\x20\x01\x2a\x05hello\x20\x01";
    const MISSING: &[u8] = b"\x0a\x08\x08\x01\x10\x02\x18\x03\x20\x02";

    #[test]
    fn answers_with_and_without_a_pair_are_told_apart() {
        assert_eq!(range_response_has_pair(FOUND), Some(true));
        assert_eq!(range_response_has_pair(MISSING), Some(false));
        // A count within the header (field 4 there is the Raft term) says nothing.
        assert_eq!(range_response_has_pair(b"\x0a\x02\x20\x02"), Some(false));
        assert_eq!(range_response_has_pair(b"\x20\x00"), Some(false));
        for end in 1..FOUND.len() - 1 {
            let cut = range_response_has_pair(&FOUND[..end]);
            assert!(cut.is_none() || cut == Some(false), "cut at {end}: {cut:?}");
        }
        assert_eq!(range_response_has_pair(b"\x0b"), None, "groups do not exist here");
    }
}
