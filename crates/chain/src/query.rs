//! What a member can be asked without changing anything.

use bytes::Bytes;

use crate::{Change, Entry, UnixMillis, Version};

/// Which part of a pair a reader wants: a length should not cost the transfer of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole value.
    Value,
    /// The bytes from `start` to `end`, both included; negative ones count from the end (as `GETRANGE` has it).
    Range {
        /// The first byte.
        start: i64,
        /// The last byte.
        end: i64,
    },
    /// No bytes at all, only length and times.
    Meta,
}

/// A question to a serving member of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// One key.
    Get {
        /// The key.
        key: Bytes,
        /// What of it.
        part: Part,
    },
    /// A page of the partition's pairs.
    Page(PageRequest),
    /// How many pairs there are.
    Count,
}

/// Asks for pairs of a partition in ring order.
///
/// Positions are the first 52 bits of a key's token: what every client's number type carries exactly. All keys
/// that share a position come in one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The first position wanted.
    pub from: u64,
    /// The last position wanted.
    pub to: u64,
    /// Look at about this many pairs.
    pub count: u32,
    /// Whether values are wanted too.
    pub values: bool,
    /// Return only keys that match this glob pattern.
    pub pattern: Option<Bytes>,
}

/// One pair of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Bytes,
    /// The version that the answering member had clean.
    pub version: Version,
    /// When it expires, if ever.
    pub expires_at: Option<UnixMillis>,
    /// Whether it is expired by the answering member's clock: the head decides whether it still counts.
    pub due: bool,
    /// The value; empty unless values were asked for.
    pub value: Bytes,
}

/// Pairs in ring order, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The pairs.
    pub items: Vec<Item>,
    /// The first position not looked at; `None` when the partition's range is done.
    pub next: Option<u64>,
}

/// The counters of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pairs stored, expired ones that are not deleted yet included.
    pub keys: u64,
    /// Pairs that have an expiry time.
    pub expiring: u64,
}

impl Counts {
    /// The counters after an entry.
    #[must_use]
    pub fn after(self, entry: &Entry) -> Self {
        let (keys, expiring) = match &entry.change {
            Change::Keep => return self,
            Change::Put { expires_at, .. } => (1, u64::from(expires_at.is_some())),
            Change::Remove => (0, 0),
        };
        let displaced = &entry.displaced;
        Self {
            keys: self.keys + keys - u64::from(displaced.existed),
            expiring: self.expiring + expiring - u64::from(displaced.expires_at.is_some()),
        }
    }
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The key has no value.
    Absent,
    /// The key has a value.
    Present {
        /// Which write made it.
        version: Version,
        /// When it expires, if ever.
        expires_at: Option<UnixMillis>,
        /// Whether it is expired by the answering member's clock: the head decides whether it still counts.
        due: bool,
        /// The length of the whole value.
        length: u64,
        /// The part that was asked for.
        bytes: Bytes,
    },
    /// A page.
    Page(Page),
    /// The counters.
    Counts(Counts),
}
