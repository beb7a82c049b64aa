//! Values of all that goes over the wire or into a file.

// Each test binary needs some of them.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use simpledynamo_chain::{
    Applied, Base, Change, Condition, CopyPage, Counts, DataKey, Displaced, Durable, Entry, Envelope,
    EpochHistory, Expiry, ExpiryCondition, Item, Message, OpId, Operation, OperationError, Page, PageRequest,
    Part, Persist, Query, Reading, Record, Refusal, Reply, SEQ_MAX, Version, Writer, Writers,
};
use simpledynamo_topology::{Epoch, Member, NodeId, PartitionId, Session};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::peer::{Hello, LinkKind, PROTOCOL_VERSION, PeerFrame, Welcome};

/// All that a rope holds, in one piece.
pub(crate) fn contents(mut out: OutBuffer) -> Bytes {
    out.copy_to_bytes(out.remaining())
}

/// Numbers of every length, the edges of varint lengths among them.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..300_u64,
        (0..64_u32).prop_map(|bits| 1 << bits),
        (0..64_u32).prop_map(|bits| (1 << bits) - 1),
        any::<u64>(),
    ]
}

/// Places in a log, up to the last possible one.
fn place() -> impl Strategy<Value = u64> {
    number().prop_map(|number| number.min(SEQ_MAX))
}

pub(crate) fn signed() -> impl Strategy<Value = i64> {
    number().prop_map(u64::cast_signed)
}

/// Mostly short bytes, sometimes enough of them to be linked.
pub(crate) fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..20).prop_map(Bytes::from),
        1 => (any::<u8>(), 4_000..5_000_usize).prop_map(|(byte, length)| Bytes::from(vec![byte; length])),
    ]
}

pub(crate) fn epoch() -> impl Strategy<Value = Epoch> {
    number().prop_map(Epoch)
}

pub(crate) fn node() -> impl Strategy<Value = NodeId> {
    any::<u16>().prop_map(NodeId)
}

pub(crate) fn partition() -> impl Strategy<Value = PartitionId> {
    any::<u16>().prop_map(PartitionId)
}

pub(crate) fn session() -> impl Strategy<Value = Session> {
    number().prop_map(Session)
}

pub(crate) fn member() -> impl Strategy<Value = Member> {
    (node(), session()).prop_map(|(node, session)| Member { node, session })
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    (epoch(), place()).prop_map(|(epoch, seq)| Version { epoch, seq })
}

pub(crate) fn op_id() -> impl Strategy<Value = OpId> {
    (node(), session(), number()).prop_map(|(node, session, counter)| OpId { node, session, counter })
}

pub(crate) fn time() -> impl Strategy<Value = Option<u64>> {
    option::of(number())
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Done),
        Just(Reply::Refused),
        signed().prop_map(Reply::Integer),
        bytes().prop_map(Reply::Bytes),
        option::of(bytes()).prop_map(Reply::Old),
        Just(Reply::Superseded),
        Just(Reply::Failed(OperationError::NotAnInteger)),
        Just(Reply::Failed(OperationError::Overflow)),
        Just(Reply::Failed(OperationError::NotAFloat)),
        Just(Reply::Failed(OperationError::NotFinite)),
        Just(Reply::Failed(OperationError::TooLong)),
    ]
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Keep),
        (bytes(), time()).prop_map(|(value, expires_at)| Change::Put { value, expires_at }),
        Just(Change::Remove),
    ]
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let displaced =
        (any::<bool>(), time()).prop_map(|(existed, expires_at)| Displaced { existed, expires_at });
    (version(), op_id(), number(), bytes(), change(), displaced, reply()).prop_map(
        |(version, id, floor, key, change, displaced, reply)| Entry {
            version,
            id,
            floor,
            key: DataKey::of(&key),
            change,
            displaced,
            reply,
        },
    )
}

pub(crate) fn entries() -> impl Strategy<Value = Vec<Arc<Entry>>> {
    vec(entry().prop_map(Arc::new), 0..4)
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    (version(), time(), bytes()).prop_map(|(version, expires_at, value)| Record {
        version,
        expires_at,
        value,
    })
}

pub(crate) fn persist() -> impl Strategy<Value = Persist> {
    prop_oneof![
        (partition(), epoch()).prop_map(|(partition, epoch)| Persist::Seal { partition, epoch }),
        (partition(), epoch(), place(), entries()).prop_map(|(partition, epoch, watermark, entries)| {
            Persist::Open { partition, epoch, watermark, entries }
        }),
        (partition(), entry())
            .prop_map(|(partition, entry)| Persist::Append { partition, entry: Arc::new(entry) }),
        (partition(), place()).prop_map(|(partition, up_to)| Persist::Watermark { partition, up_to }),
        (partition(), number(), place()).prop_map(|(partition, attachment, watermark)| Persist::Cut {
            partition,
            attachment,
            watermark
        }),
        partition().prop_map(|partition| Persist::Reset { partition }),
        (partition(), number(), base()).prop_map(|(partition, attachment, base)| Persist::Installed {
            partition,
            attachment,
            base: Arc::new(base)
        }),
    ]
}

pub(crate) fn writers() -> impl Strategy<Value = Writers> {
    let done = btree_map(number(), (version(), reply()), 0..4);
    let writer =
        (session(), number(), done).prop_map(|(session, floor, done)| Writer { session, floor, done });
    btree_map(node(), writer, 0..4).prop_map(Writers)
}

pub(crate) fn base() -> impl Strategy<Value = Base> {
    (version(), writers()).prop_map(|(last, writers)| Base { last, writers })
}

/// Keys in their order, the first one at times before the records.
pub(crate) fn copy_page() -> impl Strategy<Value = CopyPage> {
    let keys = btree_map(bytes().prop_map(|key| DataKey::of(&key)), record(), 0..5);
    (any::<u32>(), keys, any::<bool>(), option::of(applied())).prop_map(|(number, keys, is_first, end)| {
        let mut records: Vec<_> = keys.into_iter().collect();
        let after = (!is_first && !records.is_empty()).then(|| records.remove(0).0);
        CopyPage { number, after, records, end }
    })
}

/// Places and epochs that both rise.
fn history() -> impl Strategy<Value = EpochHistory> {
    (btree_set(number(), 0..4), btree_set(epoch(), 0..4))
        .prop_map(|(places, epochs)| EpochHistory(places.into_iter().zip(epochs).collect()))
}

/// A durable state without entries: what a segment's header holds.
pub(crate) fn durable() -> impl Strategy<Value = Durable> {
    let numbers = (epoch(), epoch(), place(), place(), place());
    (numbers, any::<bool>(), history(), writers()).prop_map(
        |((sealed, open, watermark, end, start), is_incomplete, history, writers)| Durable {
            sealed,
            open,
            watermark,
            end,
            start,
            is_incomplete,
            history,
            entries: VecDeque::new(),
            writers,
        },
    )
}

pub(crate) fn applied() -> impl Strategy<Value = Applied> {
    (place(), number(), number())
        .prop_map(|(up_to, keys, expiring)| Applied { up_to, counts: Counts { keys, expiring } })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Always),
        Just(Condition::Absent),
        Just(Condition::Present),
        bytes().prop_map(Condition::Equals),
    ]
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Clear),
        Just(Expiry::Keep),
        number().prop_map(Expiry::At),
        number().prop_map(Expiry::In),
    ]
}

fn expiry_condition() -> impl Strategy<Value = ExpiryCondition> {
    prop_oneof![
        Just(ExpiryCondition::Always),
        Just(ExpiryCondition::Unset),
        Just(ExpiryCondition::AlreadySet),
        Just(ExpiryCondition::Later),
        Just(ExpiryCondition::Earlier),
        Just(ExpiryCondition::AlreadySetAndEarlier),
    ]
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (bytes(), condition(), expiry(), any::<bool>()).prop_map(|(value, condition, expiry, want_old)| {
            Operation::Set { value, condition, expiry, want_old }
        }),
        (condition(), any::<bool>())
            .prop_map(|(condition, want_old)| Operation::Delete { condition, want_old }),
        bytes().prop_map(Operation::Append),
        (number(), bytes()).prop_map(|(offset, bytes)| Operation::Overwrite { offset, bytes }),
        signed().prop_map(Operation::Increment),
        bytes().prop_map(Operation::IncrementFloat),
        (expiry(), expiry_condition(), any::<bool>()).prop_map(|(expiry, condition, want_value)| {
            Operation::Expire { expiry, condition, want_value }
        }),
        version().prop_map(|version| Operation::Lapse { version }),
    ]
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
    let part = prop_oneof![
        Just(Part::Value),
        (signed(), signed()).prop_map(|(start, end)| Part::Range { start, end }),
        Just(Part::Meta),
    ];
    let page = (number(), number(), any::<u32>(), any::<bool>(), option::of(bytes()))
        .prop_map(|(from, to, count, values, pattern)| PageRequest { from, to, count, values, pattern });
    prop_oneof![
        (bytes(), part).prop_map(|(key, part)| Query::Get { key, part }),
        page.prop_map(Query::Page),
        Just(Query::Count),
    ]
}

pub(crate) fn reading() -> impl Strategy<Value = Reading> {
    let present = (version(), time(), any::<bool>(), number(), bytes()).prop_map(
        |(version, expires_at, due, length, bytes)| Reading::Present {
            version,
            expires_at,
            due,
            length,
            bytes,
        },
    );
    let item = (bytes(), version(), time(), any::<bool>(), bytes())
        .prop_map(|(key, version, expires_at, due, value)| Item { key, version, expires_at, due, value });
    let page = (vec(item, 0..4), option::of(number())).prop_map(|(items, next)| Page { items, next });
    prop_oneof![
        Just(Reading::Absent),
        present,
        page.prop_map(Reading::Page),
        (number(), number()).prop_map(|(keys, expiring)| Reading::Counts(Counts { keys, expiring })),
    ]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::NotServing),
        Just(Refusal::ChainBroken),
        Just(Refusal::Unreachable),
        Just(Refusal::Overloaded),
        Just(Refusal::NoLease),
    ]
}

fn recovery_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        (option::of(number()), option::of(version()))
            .prop_map(|(attachment, held)| Message::Join { attachment, held }),
        (number(), any::<bool>()).prop_map(|(attachment, is_copy)| Message::Attach { attachment, is_copy }),
        (number(), entries(), number()).prop_map(|(attachment, entries, watermark)| Message::Ship {
            attachment,
            entries,
            watermark
        }),
        (number(), number()).prop_map(|(attachment, up_to)| Message::Stored { attachment, up_to }),
        (number(), copy_page(), option::of(base())).prop_map(|(attachment, page, base)| Message::Page {
            attachment,
            page: Arc::new(page),
            base: base.map(Arc::new)
        }),
        (number(), any::<u32>()).prop_map(|(attachment, number)| Message::PageStored { attachment, number }),
    ]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::Gather),
        (number(), number()).prop_map(|(watermark, end)| Message::Sealed { watermark, end }),
        number().prop_map(|watermark| Message::Lacking { watermark }),
        recovery_message(),
        (number(), entries(), number()).prop_map(|(watermark, entries, durable)| Message::Open {
            watermark,
            entries,
            durable
        }),
        (entries(), number()).prop_map(|(entries, durable)| Message::Append { entries, durable }),
        number().prop_map(|up_to| Message::Durable { up_to }),
        number().prop_map(|up_to| Message::Watermark { up_to }),
        (op_id(), any::<u32>(), number(), bytes(), operation())
            .prop_map(|(id, copy, floor, key, operation)| Message::Write { id, copy, floor, key, operation }),
        (op_id(), version(), reply()).prop_map(|(id, version, reply)| Message::WriteDone {
            id,
            version,
            reply
        }),
        (op_id(), any::<u32>(), refusal()).prop_map(|(id, copy, refusal)| Message::WriteRefused {
            id,
            copy,
            refusal
        }),
        op_id().prop_map(|id| Message::WriteForgotten { id }),
        (number(), query()).prop_map(|(id, query)| Message::Read { id, query }),
        (number(), reading()).prop_map(|(id, reading)| Message::ReadDone { id, reading }),
        (number(), refusal()).prop_map(|(id, refusal)| Message::ReadRefused { id, refusal }),
    ]
}

pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    (partition(), epoch(), member(), member(), message())
        .prop_map(|(partition, epoch, from, to, message)| Envelope { partition, epoch, from, to, message })
}

pub(crate) fn handshake_frame() -> impl Strategy<Value = PeerFrame> {
    let cluster = || "[a-z0-9-]{0,40}";
    let link = prop_oneof![Just(LinkKind::Data), Just(LinkKind::Control)];
    let hello = (cluster(), any::<[u8; 20]>(), node(), node(), any::<u128>(), link).prop_map(
        |(cluster, table, from, to, store, link)| {
            PeerFrame::Hello(Hello { version: PROTOCOL_VERSION, cluster, table, from, to, store, link })
        },
    );
    let other = (any::<u16>(), cluster())
        .prop_filter("it is another one", |(version, _)| *version != PROTOCOL_VERSION)
        .prop_map(|(version, cluster)| PeerFrame::OtherVersion { version, cluster });
    prop_oneof![
        hello,
        other,
        any::<u128>().prop_map(|store| PeerFrame::Welcome(Welcome { store })),
        ".{0,40}".prop_map(PeerFrame::Refused),
    ]
}

pub(crate) fn frame() -> impl Strategy<Value = PeerFrame> {
    prop_oneof![
        1 => handshake_frame(),
        1 => (number(), any::<bool>(), bytes())
            .prop_map(|(id, is_reply, body)| PeerFrame::Control { id, is_reply, body }),
        4 => envelope().prop_map(PeerFrame::Message),
    ]
}

/// Cuts a stream at these places, taken modulo its length.
pub(crate) fn cut<'a>(stream: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place % (stream.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for place in places {
        pieces.push(&stream[start..place]);
        start = place;
    }
    pieces.push(&stream[start..]);
    pieces
}

/// Where to cut a stream: now and then at every byte.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![3 => vec(any::<usize>(), 0..10), 1 => Just((0..2_000).collect())]
}
