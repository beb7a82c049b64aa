//! The entries of the log by key: what the data does not hold yet.

use std::collections::{BTreeMap, VecDeque};

use crate::{Change, DataKey, Entry};

/// Which entries of the log touch each key, oldest first.
///
/// Invariant: the places of a key rise, and each names an entry that the log still holds and that changes the
/// key.
#[derive(Debug, Default)]
pub(super) struct Versions {
    keys: BTreeMap<DataKey, VecDeque<u64>>,
}

/// What the log says of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Newest {
    /// The newest entry that is committed, if the log still has one.
    pub(super) clean: Option<u64>,
    /// The newest entry that is not known to be committed.
    pub(super) dirty: Option<u64>,
}

impl Newest {
    /// The newest entry of all.
    pub(super) fn any(self) -> Option<u64> {
        self.dirty.or(self.clean)
    }

    fn of(places: &VecDeque<u64>, watermark: u64) -> Self {
        let last = places.back().copied();
        let dirty = last.filter(|&seq| seq > watermark);
        let clean =
            if dirty.is_none() { last } else { places.iter().rev().copied().find(|&seq| seq <= watermark) };
        Self { clean, dirty }
    }
}

impl Versions {
    /// An entry has been added at the end of the log.
    pub(super) fn push(&mut self, entry: &Entry) {
        if entry.change != Change::Keep {
            self.keys.entry(entry.key.clone()).or_default().push_back(entry.version.seq);
        }
    }

    /// The entry has left the log: at the front because the data holds it, at the end because it was replaced.
    pub(super) fn remove(&mut self, entry: &Entry) {
        if entry.change == Change::Keep {
            return;
        }
        let places = self.keys.get_mut(&entry.key).expect("an entry of the log is listed at its key");
        if places.front() == Some(&entry.version.seq) {
            // The usual case, and a hot key has many places.
            places.pop_front();
        } else {
            places.retain(|&seq| seq != entry.version.seq);
        }
        if places.is_empty() {
            self.keys.remove(&entry.key);
        }
    }

    /// What the log says of a key.
    pub(super) fn newest(&self, key: &DataKey, watermark: u64) -> Newest {
        self.keys.get(key).map_or_else(Newest::default, |places| Newest::of(places, watermark))
    }

    /// The oldest and the newest entry that touch a key and are not known to be committed.
    pub(super) fn dirty(&self, key: &DataKey, watermark: u64) -> Option<(u64, u64)> {
        self.keys.get(key).and_then(|places| dirty_of(places, watermark))
    }

    /// The same of all keys whose token prefix lies in `low..=high`.
    pub(super) fn dirty_range(&self, low: u64, high: u64, watermark: u64) -> Option<(u64, u64)> {
        let from = DataKey::first_at(low);
        let keys = self.keys.range(from..).take_while(|(key, _)| key.prefix() <= high);
        keys.filter_map(|(_, places)| dirty_of(places, watermark))
            .reduce(|(oldest, newest), (older, newer)| (oldest.min(older), newest.max(newer)))
    }

    /// The keys whose token prefix lies in `low..=high`, in order, each with its newest clean entry if the log
    /// has one.
    pub(super) fn clean_range(
        &self,
        low: u64,
        high: u64,
        watermark: u64,
    ) -> impl Iterator<Item = (&DataKey, u64)> {
        let from = DataKey::first_at(low);
        self.keys
            .range(from..)
            .take_while(move |(key, _)| key.prefix() <= high)
            .filter_map(move |(key, places)| Some((key, Newest::of(places, watermark).clean?)))
    }
}

fn dirty_of(places: &VecDeque<u64>, watermark: u64) -> Option<(u64, u64)> {
    let newest = places.back().copied().filter(|&seq| seq > watermark)?;
    places.iter().copied().find(|&seq| seq > watermark).map(|oldest| (oldest, newest))
}
