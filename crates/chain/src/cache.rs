//! The pairs that were used last, in memory: what the data would answer, without asking it.
//!
//! Only the core changes what the data holds, and it hears when that has happened. So the cache is never out of date:
//! a replica looks at the data for a key only while no entry of its log touches that key, and an entry leaves the log
//! in the same step in which the cache learns what it left behind ([`Cache::applied`]). A copy of a whole partition
//! replaces the data from under it, and begins by forgetting everything ([`Cache::clear`]).

use std::hash::{BuildHasherDefault, Hash, Hasher};

use bytes::Bytes;
use quick_cache::unsync::{Cache as Pairs, DefaultLifecycle};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use crate::{Change, DataKey, Entry, Record, Records};

/// Longer values are left to the data, which hands them out without a copy: a few of them would push out thousands of
/// ordinary pairs.
const VALUE_MAX: usize = 16 * 1024;

/// Shorter values are copied for whoever reads them: a shared one would have its count of owners in a place of its own, and
/// to fetch that from memory takes longer than the copy.
const COPIED_VALUE_MAX: usize = 1_024;

/// Keys up to this length, with the eight bytes of their token, lie in the table itself. Longer ones cost one more look
/// into memory.
const INLINE_KEY_MAX: usize = 47;

/// Bytes that a pair takes beside its key and value, roughly: the places in the cache and in its table, and the value's
/// allocation.
const PAIR_OVERHEAD: u64 = 200;

/// Room for this many pairs is there from the start; more is taken as pairs come.
const PAIRS_AT_FIRST: usize = 64;

/// The pairs that were used last, absent ones included, within a bound of bytes.
///
/// Invariant: a pair that no entry of the log touches is either not here, or here as the data holds it.
pub(crate) struct Cache {
    pairs: Pairs<Key, Option<Record>, Weight, BuildHasherDefault<PrefixHasher>>,
}

impl Cache {
    /// A cache of so many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(PAIRS_AT_FIRST)
            .weight_capacity(bytes)
            .build()
            .expect("both numbers are given");
        let pairs =
            Pairs::with_options(options, Weight, BuildHasherDefault::default(), DefaultLifecycle::default());
        Self { pairs }
    }

    /// The record of a key that no entry of the log touches.
    pub(crate) fn get(&mut self, key: &DataKey, records: &dyn Records) -> Option<Record> {
        if let Some(record) = self.pairs.get(key) {
            debug_assert_eq!(*record, records.get(key), "the cache is as the data is");
            return record.as_ref().map(copy);
        }
        let record = records.get(key);
        if record.as_ref().is_none_or(|record| record.value.len() <= VALUE_MAX) {
            self.pairs.insert(Key::of(key), record.as_ref().map(copy));
        }
        record
    }

    /// The data holds an entry, which leaves the log.
    pub(crate) fn applied(&mut self, entry: &Entry) {
        let key = &entry.key;
        match &entry.change {
            Change::Keep => {}
            Change::Put { value, expires_at } if value.len() <= VALUE_MAX => {
                if self.pairs.peek(key).is_some() {
                    // A copy, since a small value would keep the whole message alive that brought it.
                    let value = Bytes::copy_from_slice(value);
                    let record = Record { version: entry.version, expires_at: *expires_at, value };
                    // Not changed in its place: a longer value may have to push others out.
                    self.pairs.insert(Key::of(key), Some(record));
                }
            }
            Change::Put { .. } | Change::Remove => {
                self.pairs.remove(key);
            }
        }
    }

    /// The data is about to be replaced.
    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
    }
}

/// The record, with a value of its own if that is short.
fn copy(record: &Record) -> Record {
    if record.value.len() > COPIED_VALUE_MAX {
        return record.clone();
    }
    let value = Bytes::copy_from_slice(&record.value);
    Record { version: record.version, expires_at: record.expires_at, value }
}

/// A data key where it can be compared without another look into memory.
#[derive(PartialEq, Eq)]
enum Key {
    Inline { length: u8, bytes: [u8; INLINE_KEY_MAX] },
    Long(DataKey),
}

impl Key {
    fn of(key: &DataKey) -> Self {
        let from = key.as_bytes();
        if from.len() > INLINE_KEY_MAX {
            return Self::Long(key.clone());
        }
        let mut bytes = [0; INLINE_KEY_MAX];
        bytes[..from.len()].copy_from_slice(from);
        Self::Inline { length: u8::try_from(from.len()).expect("at most 47"), bytes }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(key) => key.as_bytes(),
        }
    }
}

/// As a data key hashes.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let prefix = self.as_bytes()[..8].try_into().expect("a data key starts with eight bytes of token");
        state.write_u64(u64::from_be_bytes(prefix));
    }
}

impl Equivalent<Key> for DataKey {
    fn equivalent(&self, key: &Key) -> bool {
        self.as_bytes() == key.as_bytes()
    }
}

/// What a pair costs.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Option<Record>> for Weight {
    fn weight(&self, key: &Key, record: &Option<Record>) -> u64 {
        let value = record.as_ref().map_or(0, |record| record.value.len());
        (key.as_bytes().len() + value) as u64 + PAIR_OVERHEAD
    }
}

/// Data keys begin with a hash, and a good one. It is only spread: the keys of one partition share their highest bits.
#[derive(Default)]
struct PrefixHasher(u64);

impl Hasher for PrefixHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a data key hashes as one number");
    }

    fn write_u64(&mut self, prefix: u64) {
        // 2^64 divided by the golden ratio, as in Knuth, The Art of Computer Programming 3, 6.4.
        self.0 = prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use simpledynamo_topology::{Epoch, NodeId, Session};

    use super::*;
    use crate::{Displaced, OpId, Reply, Version};

    /// Data that counts how often it is asked.
    #[derive(Default)]
    struct Data {
        pairs: RefCell<BTreeMap<DataKey, Record>>,
        asked: Cell<u32>,
    }

    impl Data {
        fn apply(&self, entry: &Entry) {
            match entry.record() {
                Some(record) => self.pairs.borrow_mut().insert(entry.key.clone(), record),
                None => self.pairs.borrow_mut().remove(&entry.key),
            };
        }
    }

    impl Records for Data {
        fn get(&self, key: &DataKey) -> Option<Record> {
            self.asked.set(self.asked.get() + 1);
            self.pairs.borrow().get(key).cloned()
        }

        fn range(&self, _: u64, _: u64) -> Box<dyn Iterator<Item = (DataKey, Record)> + '_> {
            unreachable!("no range is asked for")
        }
    }

    fn entry(seq: u64, change: Change) -> Entry {
        Entry {
            version: Version { epoch: Epoch(1), seq },
            id: OpId { node: NodeId(0), session: Session(1), counter: seq },
            floor: 1,
            key: DataKey::of(b"key"),
            change,
            displaced: Displaced::default(),
            reply: Reply::Done,
        }
    }

    fn put(seq: u64, length: usize) -> Entry {
        entry(seq, Change::Put { value: vec![b'v'; length].into(), expires_at: None })
    }

    #[test]
    fn what_is_applied_is_what_is_read() {
        let (data, key) = (Data::default(), DataKey::of(b"key"));
        let mut cache = Cache::new(1 << 20);
        assert_eq!(cache.get(&key, &data), None);
        let long = VALUE_MAX + 1;
        for entry in [put(1, 3), entry(2, Change::Remove), put(3, 5), put(4, long), put(5, 0)] {
            data.apply(&entry);
            cache.applied(&entry);
            assert_eq!(cache.get(&key, &data), entry.record(), "{}", entry.version);
            assert_eq!(cache.get(&key, &data), entry.record(), "{}", entry.version);
        }
    }

    #[test]
    fn the_data_is_asked_once() {
        let (data, key) = (Data::default(), DataKey::of(b"key"));
        data.apply(&put(1, 3));
        let mut cache = Cache::new(1 << 20);
        let first = cache.pairs.get(&key).cloned();
        assert_eq!(first, None);
        let record = cache.get(&key, &data);
        assert_eq!((record.map(|record| record.value.len()), data.asked.get()), (Some(3), 1));
        assert!(cache.pairs.get(&key).is_some(), "it is kept");
        cache.clear();
        assert!(cache.pairs.get(&key).is_none(), "all is forgotten");
    }

    #[test]
    fn keys_of_every_length_are_told_apart() {
        let data = Data::default();
        let mut cache = Cache::new(1 << 20);
        let key = |length: usize, last: u8| {
            let mut bytes = vec![b'k'; length];
            bytes.push(last);
            DataKey::of(&bytes)
        };
        let lengths = [0, 1, 8, INLINE_KEY_MAX - 9, INLINE_KEY_MAX - 8, INLINE_KEY_MAX, 1_000];
        let keys = lengths.into_iter().flat_map(|length| [key(length, b'a'), key(length, b'b')]);
        let entries: Vec<Entry> = (1..).zip(keys).map(|(seq, key)| Entry { key, ..put(seq, 3) }).collect();
        for entry in &entries {
            data.apply(entry);
            assert_eq!(cache.get(&entry.key, &data), entry.record());
        }
        for entry in &entries {
            assert_eq!(cache.pairs.get(&entry.key), Some(&entry.record()), "it is kept");
        }
        for length in lengths {
            assert_eq!(cache.pairs.get(&key(length, b'c')), None, "nobody has asked for it");
        }
    }

    #[test]
    fn long_values_are_left_to_the_data() {
        let (data, key) = (Data::default(), DataKey::of(b"key"));
        data.apply(&put(1, VALUE_MAX + 1));
        let mut cache = Cache::new(1 << 20);
        assert!(cache.get(&key, &data).is_some());
        assert!(cache.pairs.get(&key).is_none());
    }

    #[test]
    fn what_is_kept_stays_within_the_bound() {
        let data = Data::default();
        let mut cache = Cache::new(10_000);
        for number in 0..1_000 {
            cache.get(&DataKey::of(format!("key {number}").as_bytes()), &data);
            assert!(cache.pairs.weight() <= 10_000);
        }
        assert!(cache.pairs.len() > 20, "{} are kept", cache.pairs.len());
        for number in 0..1_000 {
            let key = DataKey::of(format!("key {number}").as_bytes());
            cache.applied(&Entry { key, ..put(number, 500) });
            assert!(cache.pairs.weight() <= 10_000, "values that grow push others out");
        }
    }
}
