//! Keys, values and entries that the steps are measured with.

use bytes::Bytes;
use simpledynamo_chain::{
    Change, Condition, DataKey, Displaced, Entry, Envelope, Expiry, Message, OpId, Operation, Reply, Version,
};
use simpledynamo_topology::{Epoch, Member, NodeId, PartitionId, Session};

/// The ordinary length of a value.
pub(crate) const VALUE: usize = 100;

/// The key of a number.
pub(crate) fn key(number: u64) -> Bytes {
    Bytes::from(format!("user:{number:09}"))
}

/// Bytes that do not compress, so that what is stored has its worst case.
pub(crate) fn value(number: u64, length: usize) -> Bytes {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes = (0..length).map(|_| {
        // The linear congruential generator of Knuth's MMIX, as far as its upper bits.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    bytes.collect()
}

/// A plain `SET`.
pub(crate) fn set(value: Bytes) -> Operation {
    Operation::Set { value, condition: Condition::Always, expiry: Expiry::Clear, want_old: false }
}

/// The entry at a place of a log, which puts a value at a key.
pub(crate) fn entry(seq: u64, key: Bytes, value: Bytes, displaced: Displaced) -> Entry {
    Entry {
        version: Version { epoch: Epoch(7), seq },
        id: OpId { node: NodeId(3), session: Session(11), counter: seq },
        floor: seq,
        key: DataKey::of(&key),
        change: Change::Put { value, expires_at: None },
        displaced,
        reply: Reply::Done,
    }
}

/// A message between two members.
pub(crate) fn envelope(message: Message) -> Envelope {
    let (from, to) = (NodeId(1), NodeId(2));
    Envelope {
        partition: PartitionId(1),
        epoch: Epoch(7),
        from: Member { node: from, session: Session(11) },
        to: Member { node: to, session: Session(12) },
        message,
    }
}
