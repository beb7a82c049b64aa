//! What stands in files, one thing at a time.

use bytes::Bytes;
use simpledynamo_wire::codec::{
    DecodeError, get_applied, get_base, get_copy_page, get_durable, get_entry, get_persist, get_record,
    get_u64, put_applied, put_base, put_copy_page, put_durable, put_entry, put_persist, put_record,
};

use super::input::Input;
use crate::disk::{frame, journal, segment};

const UUID: [u8; 16] = [7; 16];

/// Decodes the input as what its first byte says. Nothing panics, and what can be read is written in the same way
/// again, so that each thing has one encoding.
pub fn stored_record(input: &[u8]) {
    let [kind, bytes @ ..] = input else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    match kind % 10 {
        0 => has_one_encoding(&bytes, get_entry, put_entry),
        1 => has_one_encoding(&bytes, get_record, put_record),
        2 => has_one_encoding(&bytes, get_persist, put_persist),
        3 => has_one_encoding(&bytes, get_durable, put_durable),
        4 => has_one_encoding(&bytes, get_applied, put_applied),
        5 => has_one_encoding(&bytes, get_base, put_base),
        6 => has_one_encoding(&bytes, get_copy_page, put_copy_page),
        7 => frame_is_read_whole_or_not_at_all(&bytes),
        8 => beginning_of_a_segment_has_one_encoding(&bytes),
        _ => whole_batches_of_a_journal_stay_whole(&bytes),
    }
}

fn has_one_encoding<T>(
    bytes: &Bytes,
    get: fn(&mut Bytes) -> Result<T, DecodeError>,
    put: fn(&T, &mut Vec<u8>),
) {
    let mut rest = bytes.clone();
    let Ok(value) = get(&mut rest) else { return };
    let mut again = Vec::new();
    put(&value, &mut again);
    assert_eq!(again, bytes[..bytes.len() - rest.len()]);
}

/// The input is a frame once as it is, and once what a frame is sealed around.
fn frame_is_read_whole_or_not_at_all(bytes: &Bytes) {
    let seed = frame::seed(UUID, 1);
    if let Some((read, length)) = frame::read(bytes, seed, 0..=u64::MAX) {
        let mut again = bytes[..length].to_vec();
        frame::seal(&mut again, seed, read.number, read.durable);
        assert_eq!(again, bytes[..length]);
    }

    let mut input = Input(bytes);
    let (number, before, spoiled) = (input.number() as u64 + 1, input.number() as u64 + 1, input.number());
    let durable = number.saturating_sub(before);
    if input.is_empty() {
        return;
    }
    let mut sealed = vec![0; frame::HEAD];
    sealed.extend_from_slice(input.0);
    frame::seal(&mut sealed, seed, number, durable);
    let (read, length) = frame::read(&sealed, seed, number..=number).expect("it was just sealed");
    assert_eq!((read.number, read.durable, &read.body[..]), (number, durable, input.0));
    assert_eq!(length, sealed.len());
    assert!(frame::read(&sealed[..length - 1], seed, number..=number).is_none(), "it lost its end");
    assert!(
        frame::read(&sealed, frame::seed(UUID, 2), number..=number).is_none(),
        "it is of another segment"
    );
    // Behind the length, where a checksum finds any flipped bit for certain.
    let at = 4 + spoiled % (length - 4);
    sealed[at] ^= 1 << (spoiled % 8);
    assert!(frame::read(&sealed, seed, 0..=u64::MAX).is_none(), "a bit of it is flipped");
}

fn beginning_of_a_segment_has_one_encoding(body: &Bytes) {
    if body.is_empty() {
        return;
    }
    // Any number would do; this one gets past the first comparison.
    let number = get_u64(&mut body.clone()).unwrap_or(1);
    let mut first = vec![0; frame::HEAD];
    first.extend_from_slice(body);
    frame::seal(&mut first, frame::seed(UUID, number), 7, 6);
    let bytes = [&segment::MAGIC[..], &first].concat();
    if let Ok((state, frame, length)) = segment::read_beginning(&bytes, UUID, number, 1..=u64::MAX) {
        assert_eq!((frame, length), (7, bytes.len()));
        assert_eq!(segment::first_frame(UUID, number, frame, &state), first);
    }
}

fn whole_batches_of_a_journal_stay_whole(bytes: &Bytes) {
    let whole = journal::whole_batches(bytes);
    assert_eq!(journal::whole_batches(&bytes[..whole]), whole);
}
