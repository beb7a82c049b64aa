//! What a log consists of, and what it leaves in the data.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::{BufMut, Bytes, BytesMut};
use simpledynamo_ring::Token;
use simpledynamo_topology::{Epoch, NodeId, Session};

use crate::{Reply, UnixMillis};

/// The highest place in a log that is read from a disk or a peer: half of what is possible, so that no log of this world
/// gets there, and all who count on from a place may do so without a look at where numbers end.
pub const SEQ_MAX: u64 = u64::MAX / 2;

/// The name of one operation of one partition, for ever and everywhere (invariant I11).
///
/// Versions are ordered by epoch first. `seq` counts the partition's entries and rises by one, through epochs
/// too, so it is also the entry's place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The epoch in which a head assigned the version.
    pub epoch: Epoch,
    /// The entry's place in the log; the first is 1, the last possible one [`SEQ_MAX`].
    pub seq: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// Names one write of one coordinator, so that a copy of it is recognised (invariant I12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The coordinator.
    pub node: NodeId,
    /// The coordinator's session.
    pub session: Session,
    /// Rises with each write of the session, from 1 on.
    pub counter: u64,
}

impl OpId {
    /// The counter of entries that no client asked for: a head's own. Nobody asks for them again.
    pub const NOBODY: u64 = 0;
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.node, self.session, self.counter)
    }
}

/// Where a pair stands in the data: the first 8 bytes of the key's SHA-1, then the key.
///
/// So a partition is one contiguous range, and the order of data keys is ring order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataKey(Bytes);

/// The token is a hash already.
impl Hash for DataKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.prefix());
    }
}

impl DataKey {
    /// The data key of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self::with_token(Token::of(key), key)
    }

    /// The data key of a key whose token is known already.
    #[must_use]
    pub fn with_token(token: Token, key: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(8 + key.len());
        bytes.put_u64(token.prefix());
        bytes.put_slice(key);
        Self(bytes.freeze())
    }

    /// The least data key with this token prefix.
    #[must_use]
    pub fn first_at(prefix: u64) -> Self {
        Self(Bytes::copy_from_slice(&prefix.to_be_bytes()))
    }

    /// A data key as it was stored; `None` if it is too short to be one.
    #[must_use]
    pub fn from_stored(bytes: Bytes) -> Option<Self> {
        (bytes.len() >= 8).then_some(Self(bytes))
    }

    /// The first 64 bits of the key's token.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        u64::from_be_bytes(self.0[..8].try_into().expect("a data key starts with eight bytes of token"))
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> Bytes {
        self.0.slice(8..)
    }

    /// The stored bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A pair's value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The write that made it.
    pub version: Version,
    /// When it expires, if ever.
    pub expires_at: Option<UnixMillis>,
    /// The value.
    pub value: Bytes,
}

impl Record {
    /// Whether the expiry time has come by the given clock.
    #[must_use]
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// What an entry does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: a refused condition, a delete of nothing.
    Keep,
    /// The key has this value from now on.
    Put {
        /// The value.
        value: Bytes,
        /// When it expires, if ever.
        expires_at: Option<UnixMillis>,
    },
    /// The key is gone.
    Remove,
}

/// What stood at the key before: each member keeps its counters and its expiry index from this, unread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Displaced {
    /// Whether there was a value.
    pub existed: bool,
    /// When it would have expired.
    pub expires_at: Option<UnixMillis>,
}

/// One operation in a partition's log, evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name and place of the entry.
    pub version: Version,
    /// The write that it answers.
    pub id: OpId,
    /// The lowest counter that the coordinator still awaited in this partition when it sent the write.
    pub floor: u64,
    /// The key, hashed once for all who look it up.
    pub key: DataKey,
    /// What the entry does to the key.
    pub change: Change,
    /// What it displaced.
    pub displaced: Displaced,
    /// What the client is told.
    pub reply: Reply,
}

impl Entry {
    /// The record that the entry leaves at its key; `None` if it leaves none or does not touch the key.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        match &self.change {
            Change::Put { value, expires_at } => {
                Some(Record { version: self.version, expires_at: *expires_at, value: value.clone() })
            }
            Change::Keep | Change::Remove => None,
        }
    }

    /// Bytes that the entry holds, roughly: for bounds on memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        let value = if let Change::Put { value, .. } = &self.change { value.len() } else { 0 };
        size_of::<Self>() + self.key.as_bytes().len() + value + self.reply.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_weighs_what_its_reply_carries() {
        let id = OpId { node: NodeId(0), session: Session(1), counter: 1 };
        let entry = |reply| Entry {
            version: Version::default(),
            id,
            floor: 1,
            key: DataKey::of(b"k"),
            change: Change::Remove,
            displaced: Displaced::default(),
            reply,
        };
        let bare = entry(Reply::Done).weight();
        for (reply, weight) in [
            (Reply::Old(Some(Bytes::from(vec![0; 1_000]))), 1_000),
            (Reply::Old(None), 0),
            (Reply::Bytes(Bytes::from("12")), 2),
        ] {
            assert_eq!(entry(reply).weight(), bare + weight);
        }
    }
}
