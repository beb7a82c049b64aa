//! What is written to a file is read back, and nothing else is taken for it.

mod strategies;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use simpledynamo_chain::{
    Applied, Base, Change, CopyPage, Counts, DataKey, Displaced, Durable, Entry, EpochHistory, HISTORY_MAX,
    OpId, Persist, Record, Reply, SEQ_MAX, Version, Writer, Writers,
};
use simpledynamo_topology::{Epoch, NodeId, PartitionId, Session};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::codec::{
    DecodeError, finish, get_applied, get_base, get_bool, get_bytes, get_copy_page, get_count, get_durable,
    get_entry, get_i64, get_persist, get_record, get_string, get_u16, get_u64, put_applied, put_base,
    put_bytes, put_copy_page, put_durable, put_entry, put_i64, put_persist, put_record, put_u64,
};
use strategies::contents;

type Put<T> = fn(&T, &mut OutBuffer);
type Get<T> = fn(&mut Bytes) -> Result<T, DecodeError>;

/// Writes and reads a value, and checks that no shorter input passes for one.
fn round_trip<T: PartialEq + Debug>(value: &T, put: Put<T>, get: Get<T>) {
    let mut out = OutBuffer::new();
    put(value, &mut out);
    let length = out.len();
    let encoded = contents(out);
    assert_eq!(encoded.len(), length, "the rope knows its length");

    let mut input = encoded.clone();
    assert_eq!(get(&mut input).as_ref(), Ok(value));
    assert_eq!(finish(&input), Ok(()), "nothing is left over");

    // Values may be long; cuts among the first bytes and the last ones are the interesting ones.
    for cut in (0..encoded.len()).filter(|cut| *cut < 100 || encoded.len() - cut < 100) {
        let result = get(&mut encoded.slice(..cut));
        assert!(matches!(result, Err(DecodeError::Truncated { .. })), "{cut} of {length}: {result:?}");
    }
}

proptest! {
    #[test]
    fn entries_come_back(entry in strategies::entry()) {
        round_trip(&entry, put_entry, get_entry);
    }

    #[test]
    fn records_come_back(record in strategies::record()) {
        round_trip(&record, put_record, get_record);
    }

    #[test]
    fn changes_to_the_log_come_back(persist in strategies::persist()) {
        round_trip(&persist, put_persist, get_persist);
    }

    #[test]
    fn durable_states_come_back(durable in strategies::durable()) {
        round_trip(&durable, put_durable, get_durable);
    }

    #[test]
    fn applied_marks_come_back(applied in strategies::applied()) {
        round_trip(&applied, put_applied, get_applied);
    }

    #[test]
    fn bases_come_back(base in strategies::base()) {
        round_trip(&base, put_base, get_base);
    }

    #[test]
    fn pages_of_a_copy_come_back(page in strategies::copy_page()) {
        round_trip(&page, put_copy_page, get_copy_page);
    }

    #[test]
    fn numbers_come_back(number in strategies::number(), signed in strategies::signed()) {
        round_trip(&number, |number, out| put_u64(*number, out), get_u64);
        round_trip(&signed, |signed, out| put_i64(*signed, out), get_i64);
    }

    /// Whatever can be read is written in the same way again: there is one encoding of each value.
    #[test]
    fn random_bytes_never_panic_and_have_one_reading(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        fn check<T>(bytes: &[u8], put: Put<T>, get: Get<T>) {
            let mut input = Bytes::copy_from_slice(bytes);
            if let Ok(value) = get(&mut input) {
                let mut out = OutBuffer::new();
                put(&value, &mut out);
                assert_eq!(contents(out), bytes[..bytes.len() - input.len()]);
            }
        }
        check(&bytes, put_entry, get_entry);
        check(&bytes, put_record, get_record);
        check(&bytes, put_persist, get_persist);
        check(&bytes, put_durable, get_durable);
        check(&bytes, put_applied, get_applied);
        check(&bytes, put_base, get_base);
        check(&bytes, put_copy_page, get_copy_page);
    }

    /// The same with small numbers, which random bytes rarely are: they get past lengths and kinds.
    #[test]
    fn random_small_bytes_never_panic(bytes in proptest::collection::vec(0..6_u8, 0..60)) {
        let bytes = Bytes::from(bytes);
        let _ = get_entry(&mut bytes.clone());
        let _ = get_record(&mut bytes.clone());
        let _ = get_persist(&mut bytes.clone());
        let _ = get_durable(&mut bytes.clone());
        let _ = get_base(&mut bytes.clone());
        let _ = get_copy_page(&mut bytes.clone());
    }
}

fn sample_entry() -> Entry {
    Entry {
        version: Version { epoch: Epoch(2), seq: 300 },
        id: OpId { node: NodeId(4), session: Session(7), counter: 9 },
        floor: 8,
        key: DataKey::of(b"key"),
        change: Change::Put { value: Bytes::from_static(b"value"), expires_at: Some(1) },
        displaced: Displaced { existed: true, expires_at: Some(128) },
        reply: Reply::Integer(-1),
    }
}

/// These bytes lie in files: whoever changes them changes the format's version.
#[test]
fn the_format_of_files_stays() {
    let mut out = Vec::new();
    let entry = sample_entry();
    put_entry(&entry, &mut out);
    assert_eq!(out, b"\x0e\x02\xac\x02\x04\x07\x09\x08\x03key\x01\x05value\x80\x01\x02\x01");

    out.clear();
    let bare = Entry { change: Change::Remove, displaced: Displaced::default(), reply: Reply::Done, ..entry };
    put_persist(&Persist::Append { partition: PartitionId(3), entry: Arc::new(bare.clone()) }, &mut out);
    assert_eq!(out, b"\x03\x03\x03\x02\xac\x02\x04\x07\x09\x08\x03key\x00");

    out.clear();
    let open = Persist::Open {
        partition: PartitionId(3),
        epoch: Epoch(2),
        watermark: 299,
        entries: vec![Arc::new(bare)],
    };
    put_persist(&open, &mut out);
    assert_eq!(out, b"\x02\x03\x02\xab\x02\x01\x03\x02\xac\x02\x04\x07\x09\x08\x03key\x00");

    out.clear();
    put_persist(&Persist::Seal { partition: PartitionId(3), epoch: Epoch(2) }, &mut out);
    put_persist(&Persist::Watermark { partition: PartitionId(3), up_to: 6 }, &mut out);
    put_persist(&Persist::Cut { partition: PartitionId(3), attachment: 4, watermark: 5 }, &mut out);
    put_persist(&Persist::Reset { partition: PartitionId(3) }, &mut out);
    assert_eq!(out, b"\x01\x03\x02\x04\x03\x06\x05\x03\x04\x05\x06\x03");

    out.clear();
    let version = Version { epoch: Epoch(1), seq: 2 };
    put_record(&Record { version, expires_at: Some(3), value: Bytes::from_static(b"v") }, &mut out);
    put_record(&Record { version, expires_at: None, value: Bytes::new() }, &mut out);
    assert_eq!(out, b"\x01\x02\x01\x03\x01v\x01\x02\x00\x00");

    out.clear();
    let done = BTreeMap::from([(6, (version, Reply::Old(None))), (7, (version, Reply::Superseded))]);
    let writer = Writer { session: Session(4), floor: 6, done };
    let base = Base { last: version, writers: Writers(BTreeMap::from([(NodeId(2), writer.clone())])) };
    let installed = Persist::Installed { partition: PartitionId(3), attachment: 4, base: Arc::new(base) };
    put_persist(&installed, &mut out);
    assert_eq!(out, b"\x07\x03\x04\x01\x02\x01\x02\x04\x06\x02\x06\x01\x02\x04\x07\x01\x02\x06");

    out.clear();
    let durable = Durable {
        sealed: Epoch(1),
        open: Epoch(1),
        watermark: 2,
        end: 3,
        start: 2,
        is_incomplete: true,
        history: EpochHistory([(1, Epoch(1)), (9, Epoch(3))].into()),
        entries: VecDeque::new(),
        writers: Writers(BTreeMap::from([(NodeId(2), writer)])),
    };
    put_durable(&durable, &mut out);
    assert_eq!(
        out,
        b"\x01\x01\x02\x03\x02\x01\x02\x01\x01\x09\x03\x01\x02\x04\x06\x02\x06\x01\x02\x04\x07\x01\x02\x06"
    );

    out.clear();
    let record = Record { version, expires_at: None, value: Bytes::from_static(b"v") };
    let (first, second) = (DataKey::of(b"a"), DataKey::of(b"b"));
    assert!(second > first, "the order of tokens");
    let end = Some(Applied { up_to: 9, counts: Counts { keys: 2, expiring: 1 } });
    put_copy_page(
        &CopyPage { number: 7, after: Some(first), records: vec![(second, record)], end },
        &mut out,
    );
    assert_eq!(out, b"\x07\x01\x01a\x01\x01b\x01\x02\x00\x01v\x01\x09\x02\x01");
}

#[test]
fn every_kind_of_reply_keeps_its_byte() {
    use simpledynamo_chain::OperationError as E;
    let replies = [
        Reply::Done,
        Reply::Refused,
        Reply::Integer(0),
        Reply::Bytes(Bytes::new()),
        Reply::Old(None),
        Reply::Old(Some(Bytes::new())),
        Reply::Superseded,
        Reply::Failed(E::NotAnInteger),
        Reply::Failed(E::Overflow),
        Reply::Failed(E::NotAFloat),
        Reply::Failed(E::NotFinite),
        Reply::Failed(E::TooLong),
    ];
    for (kind, reply) in replies.iter().enumerate() {
        let mut out = Vec::new();
        simpledynamo_wire::codec::put_reply(reply, &mut out);
        assert_eq!(usize::from(out[0]), kind, "{reply:?}");
    }
}

#[test]
fn a_large_value_is_not_copied_on_its_way() {
    let value = Bytes::from(vec![7; 100_000]);
    let entry = Entry { change: Change::Put { value: value.clone(), expires_at: None }, ..sample_entry() };
    let mut out = OutBuffer::new();
    put_entry(&entry, &mut out);
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let filled = out.chunks(&mut slices);
    assert!(slices[..filled].iter().any(|slice| slice.as_ptr() == value.as_ptr()), "it is linked");

    let encoded = contents(out);
    let read = get_entry(&mut encoded.clone()).expect("it was just written");
    let Change::Put { value, .. } = read.change else { panic!("it was a put") };
    assert!(encoded.as_ptr_range().contains(&value.as_ptr()), "it is a slice of the input");
}

#[test]
fn every_sink_gets_the_same_bytes() {
    let entry = sample_entry();
    let (mut rope, mut vec, mut buffer) = (OutBuffer::new(), Vec::new(), BytesMut::new());
    put_entry(&entry, &mut rope);
    put_entry(&entry, &mut vec);
    put_entry(&entry, &mut buffer);
    assert_eq!(contents(rope), vec);
    assert_eq!(buffer, vec);
}

#[test]
fn numbers_have_one_form() {
    let read = |bytes: &'static [u8]| get_u64(&mut Bytes::from_static(bytes));
    assert_eq!(read(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Ok(u64::MAX));
    assert_eq!(read(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), Err(DecodeError::Number), "65 bits");
    assert_eq!(read(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81"), Err(DecodeError::Number), "too long");
    assert_eq!(read(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00"), Err(DecodeError::Number), "too long");
    assert_eq!(read(b"\x81\x00"), Err(DecodeError::Number), "padded");
    assert_eq!(read(b"\x00"), Ok(0));
    assert_eq!(read(b"\x81"), Err(DecodeError::Truncated { missing: 1 }));
    assert_eq!(
        get_u16(&mut Bytes::from_static(b"\x80\x80\x04"), "a number"),
        Err(DecodeError::Range { what: "a number", found: 65_536, max: 65_535 })
    );
    assert_eq!(
        get_bool(&mut Bytes::from_static(b"\x02"), "a wish"),
        Err(DecodeError::Kind { what: "a wish", tag: 2 })
    );
    assert_eq!(get_string(&mut Bytes::from_static(b"\x01\xff")), Err(DecodeError::Text));
}

/// Who takes over a log counts on from its end.
#[test]
fn places_that_no_log_reaches_are_refused() {
    let last = Durable { end: SEQ_MAX, watermark: SEQ_MAX, ..Durable::default() };
    round_trip(&last, put_durable, get_durable);
    let found = SEQ_MAX + 1;
    let refused = DecodeError::Range { what: "a place in a log", found, max: SEQ_MAX };
    let version = Version { epoch: Epoch(1), seq: found };

    let mut out = Vec::new();
    put_durable(&Durable { end: found, ..Durable::default() }, &mut out);
    assert_eq!(get_durable(&mut Bytes::from(out)), Err(refused.clone()));

    let mut out = Vec::new();
    put_base(&Base { last: version, writers: Writers::default() }, &mut out);
    assert_eq!(get_base(&mut Bytes::from(out)), Err(refused.clone()));

    let mut out = Vec::new();
    put_persist(&Persist::Watermark { partition: PartitionId(1), up_to: found }, &mut out);
    assert_eq!(get_persist(&mut Bytes::from(out)), Err(refused.clone()));

    let mut out = Vec::new();
    put_applied(&Applied { up_to: found, counts: Counts::default() }, &mut out);
    assert_eq!(get_applied(&mut Bytes::from(out)), Err(refused));
}

/// A `Vec` for so many things, or so many bytes, would end the process.
#[test]
fn announced_sizes_are_compared_with_what_is_there() {
    let mut huge = Vec::new();
    put_u64(1 << 60, &mut huge);
    let huge = Bytes::from(huge);
    assert!(matches!(get_bytes(&mut huge.clone()), Err(DecodeError::Truncated { .. })));
    assert!(matches!(get_count(&mut huge.clone(), 1), Err(DecodeError::Truncated { .. })));

    let mut open = vec![2, 1, 1, 0];
    open.extend_from_slice(&huge);
    let result = get_persist(&mut Bytes::from(open));
    assert_eq!(result, Err(DecodeError::Truncated { missing: 9 << 60 }));

    // One more entry than the rest of the input could hold.
    assert_eq!(get_count(&mut Bytes::from_static(b"\x02123456789012345678"), 9), Ok(2));
    let result = get_count(&mut Bytes::from_static(b"\x0212345678901234567"), 9);
    assert_eq!(result, Err(DecodeError::Truncated { missing: 1 }));
}

#[test]
fn what_must_rise_does() {
    let header = |counters: [u8; 2]| {
        let mut bytes = vec![1, 1, 2, 3, 1, 0, 0, 1, 2, 4, 0, 2];
        for counter in counters {
            bytes.extend_from_slice(&[counter, 1, 2, 0]);
        }
        get_durable(&mut Bytes::from(bytes))
    };
    assert!(header([6, 7]).is_ok());
    let error = Err(DecodeError::Order { what: "a coordinator's writes" });
    assert_eq!(header([7, 6]), error);
    assert_eq!(header([6, 6]), error);

    let history = |items: [(u8, u8); 2]| {
        let mut bytes = vec![1, 1, 2, 3, 1, 0, 2];
        items.iter().for_each(|(first, epoch)| bytes.extend_from_slice(&[*first, *epoch]));
        bytes.push(0);
        get_durable(&mut Bytes::from(bytes))
    };
    assert!(history([(1, 1), (2, 2)]).is_ok());
    let error = Err(DecodeError::Order { what: "the epochs of a log" });
    assert_eq!(history([(1, 1), (1, 2)]), error);
    assert_eq!(history([(1, 1), (2, 1)]), error);

    let page = |keys: [&[u8]; 3]| {
        let [after, first, second] = keys.map(DataKey::of);
        let record = Record { version: Version::default(), expires_at: None, value: Bytes::new() };
        let records = vec![(first, record.clone()), (second, record)];
        let mut bytes = Vec::new();
        put_copy_page(&CopyPage { number: 0, after: Some(after), records, end: None }, &mut bytes);
        get_copy_page(&mut Bytes::from(bytes)).map(|page| page.number)
    };
    let mut keys: [&[u8]; 3] = [b"a", b"b", b"c"];
    keys.sort_by_key(|key| DataKey::of(key));
    let [a, b, c] = keys;
    assert_eq!(page([a, b, c]), Ok(0));
    let error = Err(DecodeError::Order { what: "the keys of a page" });
    assert_eq!(page([a, c, b]), error);
    assert_eq!(page([a, b, b]), error);
    assert_eq!(page([b, b, c]), error, "it covers what lies after");
}

/// A log remembers so many changes of epoch only.
#[test]
fn a_longer_history_than_there_can_be_is_refused() {
    let durable = |length: usize| {
        let history = EpochHistory((1..=length as u64).map(|n| (n, Epoch(n))).collect());
        let mut bytes = Vec::new();
        put_durable(&Durable { history, ..Durable::default() }, &mut bytes);
        get_durable(&mut Bytes::from(bytes)).map(|durable| durable.history.0.len())
    };
    assert_eq!(durable(HISTORY_MAX), Ok(HISTORY_MAX));
    let (found, max) = (HISTORY_MAX as u64 + 1, HISTORY_MAX as u64);
    let error = DecodeError::Range { what: "the number of remembered epochs", found, max };
    assert_eq!(durable(HISTORY_MAX + 1), Err(error));
}

/// Nobody can put a pair where it would not be looked for.
#[test]
fn a_page_of_a_copy_tells_keys_and_not_where_they_stand() {
    let misplaced = DataKey::from_stored(Bytes::from_static(b"\0\0\0\0\0\0\0\x01key")).expect("long enough");
    let record = Record { version: Version::default(), expires_at: None, value: Bytes::new() };
    let page = CopyPage { number: 0, after: None, records: vec![(misplaced, record)], end: None };
    let mut bytes = Vec::new();
    put_copy_page(&page, &mut bytes);
    let read = get_copy_page(&mut Bytes::from(bytes)).expect("it was just written");
    assert_eq!(read.records[0].0, DataKey::of(b"key"));
}

/// What is announced is compared with the fewest bytes that it could take, and not with more.
#[test]
fn the_shortest_things_are_read() {
    let nodes = [NodeId(0), NodeId(1)];
    let writers = Writers(nodes.map(|node| (node, Writer::default())).into());
    round_trip(&Durable { writers, ..Durable::default() }, put_durable, get_durable);

    let version = Version::default();
    let done = BTreeMap::from([(0, (version, Reply::Done)), (1, (version, Reply::Done))]);
    let writers = Writers([(NodeId(0), Writer { done, ..Writer::default() })].into());
    round_trip(&Durable { writers, ..Durable::default() }, put_durable, get_durable);

    let entry = Arc::new(Entry {
        version,
        id: OpId { node: NodeId(0), session: Session(0), counter: 0 },
        floor: 0,
        key: DataKey::of(b""),
        change: Change::Keep,
        displaced: Displaced::default(),
        reply: Reply::Done,
    });
    let (partition, epoch) = (PartitionId(0), Epoch(0));
    let entries = vec![Arc::clone(&entry), entry];
    round_trip(&Persist::Open { partition, epoch, watermark: 0, entries }, put_persist, get_persist);

    let history = EpochHistory([(0, Epoch(0)), (1, Epoch(1))].into());
    round_trip(&Durable { history, ..Durable::default() }, put_durable, get_durable);

    let record = Record { version, expires_at: None, value: Bytes::new() };
    let page = CopyPage { number: 0, after: None, records: vec![(DataKey::of(b""), record)], end: None };
    round_trip(&page, put_copy_page, get_copy_page);
}

#[test]
fn unknown_kinds_are_named() {
    let persist = |bytes: &'static [u8]| get_persist(&mut Bytes::from_static(bytes)).err();
    let kind = |what, tag| Some(DecodeError::Kind { what, tag });
    assert_eq!(persist(b"\x00\x01"), kind("a change to the log", 0));
    assert_eq!(persist(b"\x08\x01"), kind("a change to the log", 8));
    assert_eq!(get_entry(&mut Bytes::from_static(b"\x10")).err(), kind("a log entry", 16));
    assert_eq!(finish(&Bytes::from_static(b"xy")), Err(DecodeError::LeftOver(2)));
    let mut text = Vec::new();
    put_bytes(&Bytes::from_static(b"ab"), &mut text);
    assert_eq!(get_string(&mut Bytes::from(text)), Ok("ab".to_owned()));
}
