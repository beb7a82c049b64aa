//! A replica's durable state: what replaying its log gives back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use simpledynamo_topology::{Epoch, NodeId, Session};

use crate::{Base, Entry, OpId, Persist, Reply, Version};

/// A replica's durable state. The replica itself, the log and its recovery all keep it by [`Durable::record`],
/// so that they cannot disagree.
///
/// Invariants: `entries` are consecutive and end at `end`; `watermark <= end`; epochs only rise; of the entries up
/// to `end`, the log has those from `start` on, as far as its oldest part was not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The epoch that the replica stopped for: it takes part in nothing before it.
    pub sealed: Epoch,
    /// The epoch that the replica last opened.
    pub open: Epoch,
    /// All up to here is known to be committed.
    pub watermark: u64,
    /// The last entry of the log.
    pub end: u64,
    /// The first entry that was ever in this log: after a full copy, the one behind the copy.
    pub start: u64,
    /// A full copy has begun and not ended: what the data holds is no state at all, and the replica counts as empty.
    pub is_incomplete: bool,
    /// Which epoch each entry is of.
    pub history: EpochHistory,
    /// The entries that are still needed: those that the data does not hold yet.
    pub entries: VecDeque<Arc<Entry>>,
    /// The writes that can still be asked for again.
    pub writers: Writers,
}

impl Default for Durable {
    /// The state of a replica that has never taken part in anything.
    fn default() -> Self {
        Self {
            sealed: Epoch(0),
            open: Epoch(0),
            watermark: 0,
            end: 0,
            start: 1,
            is_incomplete: false,
            history: EpochHistory::default(),
            entries: VecDeque::new(),
            writers: Writers::default(),
        }
    }
}

/// Changes of epoch that a log remembers. A member that missed more of them is copied as a whole.
pub const HISTORY_MAX: usize = 1_024;

/// Which epoch each entry of a log is of: the first entry of each epoch, in order.
///
/// Invariant: both places and epochs rise strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochHistory(pub VecDeque<(u64, Epoch)>);

impl EpochHistory {
    /// The epoch of an entry; `None` before the first that is remembered. What lies above the last entry of the log
    /// is not asked for.
    #[must_use]
    pub fn epoch_at(&self, seq: u64) -> Option<Epoch> {
        let after = self.0.partition_point(|(first, _)| *first <= seq);
        after.checked_sub(1).map(|at| self.0[at].1)
    }

    fn push(&mut self, version: Version) {
        if self.0.back().is_none_or(|(_, epoch)| *epoch < version.epoch) {
            self.0.push_back((version.seq, version.epoch));
            if self.0.len() > HISTORY_MAX {
                self.0.pop_front();
            }
        }
    }

    fn truncate_above(&mut self, seq: u64) {
        while self.0.back().is_some_and(|(first, _)| *first > seq) {
            self.0.pop_back();
        }
    }
}

/// A log that does not fit what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log goes on with entry {found} where {expected} should follow")]
pub struct LogGap {
    /// The entry that should come next.
    pub expected: u64,
    /// The entry that came.
    pub found: u64,
}

impl Durable {
    /// Takes over a change. Those of other partitions, and sessions, do not concern a replica.
    ///
    /// # Errors
    /// When entries are missing in between.
    pub fn record(&mut self, persist: &Persist) -> Result<(), LogGap> {
        match persist {
            Persist::Seal { epoch, .. } => self.sealed = self.sealed.max(*epoch),
            Persist::Open { epoch, watermark, entries, .. } => {
                if *watermark > self.end {
                    return Err(LogGap { expected: self.end + 1, found: *watermark + 1 });
                }
                self.open = *epoch;
                self.sealed = self.sealed.max(*epoch);
                self.watermark = self.watermark.max(*watermark);
                self.truncate_above(*watermark);
                for entry in entries {
                    self.push(entry)?;
                }
            }
            Persist::Append { entry, .. } => self.push(entry)?,
            Persist::Watermark { up_to, .. } => self.watermark = self.watermark.max(*up_to).min(self.end),
            Persist::Cut { watermark, .. } => self.truncate_above((*watermark).min(self.end)),
            Persist::Reset { .. } => {
                let (sealed, open) = (self.sealed, self.open);
                *self = Self { sealed, open, is_incomplete: true, ..Self::default() };
            }
            Persist::Installed { base, .. } => {
                let (sealed, open, last) = (self.sealed, self.open, base.last);
                let mut history = EpochHistory::default();
                history.push(last);
                *self = Self {
                    sealed,
                    open,
                    watermark: last.seq,
                    end: last.seq,
                    start: last.seq + 1,
                    history,
                    writers: base.writers.clone(),
                    ..Self::default()
                };
            }
        }
        Ok(())
    }

    /// What a full copy that ends at this entry takes along of the log.
    ///
    /// # Panics
    /// When the entry is not in the log.
    #[must_use]
    pub fn base_at(&self, seq: u64) -> Base {
        assert!(seq <= self.end, "a copy goes no further than the log");
        let last = self.version_at(seq).expect("the log knows the epoch of what its data holds");
        Base { last, writers: self.writers.up_to(seq) }
    }

    /// The version of the entry at a place in the log; of place 0 the one before all. `None` where the log does not
    /// know.
    #[must_use]
    pub fn version_at(&self, seq: u64) -> Option<Version> {
        if seq == 0 {
            return Some(Version::default());
        }
        let epoch = self.history.epoch_at(seq).filter(|_| seq <= self.end)?;
        Some(Version { epoch, seq })
    }

    fn push(&mut self, entry: &Arc<Entry>) -> Result<(), LogGap> {
        let (expected, found) = (self.end + 1, entry.version.seq);
        if expected != found {
            return Err(LogGap { expected, found });
        }
        self.end = found;
        self.history.push(entry.version);
        self.entries.push_back(Arc::clone(entry));
        self.writers.record(entry);
        Ok(())
    }

    fn truncate_above(&mut self, watermark: u64) {
        while self.entries.back().is_some_and(|entry| entry.version.seq > watermark) {
            self.entries.pop_back();
        }
        self.end = watermark;
        self.history.truncate_above(watermark);
        self.writers.roll_back_above(watermark);
    }

    /// Drops the entries that the data holds.
    pub fn forget_up_to(&mut self, applied: u64) {
        while self.entries.front().is_some_and(|entry| entry.version.seq <= applied) {
            self.entries.pop_front();
        }
    }

    /// The entries above a place in the log, as far as they are still here.
    pub fn entries_above(&self, seq: u64) -> impl Iterator<Item = &Arc<Entry>> {
        let first = self.entries.front().map_or(0, |entry| entry.version.seq);
        let skip = (seq + 1).saturating_sub(first);
        self.entries.range(usize::try_from(skip).unwrap_or(usize::MAX).min(self.entries.len())..)
    }

    /// The entry at a place in the log, if it is still here.
    #[must_use]
    pub fn entry(&self, seq: u64) -> Option<&Arc<Entry>> {
        let first = self.entries.front()?.version.seq;
        self.entries.get(usize::try_from(seq.checked_sub(first)?).ok()?)
    }
}

/// What a log knows about a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is in the log.
    Entry(Version, Reply),
    /// It may have been; the log no longer tells.
    Forgotten,
    /// It is not in the log and never was.
    New,
}

/// The writes of each coordinator that can still be asked for again (invariant I12).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writers(pub BTreeMap<NodeId, Writer>);

/// The writes of one coordinator's newest session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    /// The session; those before it have ended.
    pub session: Session,
    /// The coordinator awaits nothing below this counter any more.
    pub floor: u64,
    /// What became of the writes at and above the floor, by counter.
    pub done: BTreeMap<u64, (Version, Reply)>,
}

impl Writers {
    /// What is known about a write.
    #[must_use]
    pub fn look_up(&self, id: OpId) -> Known {
        let Some(writer) = self.0.get(&id.node) else { return Known::New };
        if id.session > writer.session {
            return Known::New;
        }
        if id.session < writer.session {
            return Known::Forgotten;
        }
        match writer.done.get(&id.counter) {
            Some((version, reply)) => Known::Entry(*version, reply.clone()),
            None if id.counter < writer.floor => Known::Forgotten,
            None => Known::New,
        }
    }

    /// A node has begun this session: what its earlier ones asked for is no longer awaited by anybody.
    pub fn begin_session(&mut self, node: NodeId, session: Session) {
        let writer = self.0.entry(node).or_default();
        if session > writer.session {
            *writer = Writer { session, ..Writer::default() };
        }
    }

    fn record(&mut self, entry: &Entry) {
        if entry.id.counter == OpId::NOBODY {
            return;
        }
        self.begin_session(entry.id.node, entry.id.session);
        let writer = self.0.get_mut(&entry.id.node).expect("its session has just begun");
        if entry.id.session < writer.session {
            return;
        }
        if entry.floor > writer.floor {
            writer.floor = entry.floor;
            writer.done = writer.done.split_off(&entry.floor);
        }
        if entry.id.counter >= writer.floor {
            writer.done.insert(entry.id.counter, (entry.version, entry.reply.clone()));
        }
    }

    /// The writes up to a place in the log.
    fn up_to(&self, seq: u64) -> Self {
        let mut writers = self.clone();
        writers.roll_back_above(seq);
        writers
    }

    fn roll_back_above(&mut self, watermark: u64) {
        for writer in self.0.values_mut() {
            writer.done.retain(|_, (version, _)| version.seq <= watermark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, DataKey, Displaced};
    use proptest::prelude::*;
    use simpledynamo_topology::PartitionId;

    const HERE: PartitionId = PartitionId(0);

    fn id(session: u64, counter: u64) -> OpId {
        OpId { node: NodeId(1), session: Session(session), counter }
    }

    fn version(epoch: u64, seq: u64) -> Version {
        Version { epoch: Epoch(epoch), seq }
    }

    fn entry(version: Version, id: OpId, floor: u64) -> Arc<Entry> {
        let (key, change, displaced) = (DataKey::of(b"k"), Change::Keep, Displaced::default());
        let reply = Reply::Integer(i64::try_from(version.seq).expect("small"));
        Arc::new(Entry { version, id, floor, key, change, displaced, reply })
    }

    fn append(seq: u64, id: OpId, floor: u64) -> Persist {
        Persist::Append { partition: HERE, entry: entry(version(1, seq), id, floor) }
    }

    fn open(epoch: u64, watermark: u64, entries: Vec<Arc<Entry>>) -> Persist {
        Persist::Open { partition: HERE, epoch: Epoch(epoch), watermark, entries }
    }

    fn watermark(up_to: u64) -> Persist {
        Persist::Watermark { partition: HERE, up_to }
    }

    fn seal(epoch: u64) -> Persist {
        Persist::Seal { partition: HERE, epoch: Epoch(epoch) }
    }

    fn replay(persists: &[Persist]) -> Durable {
        let mut durable = Durable::default();
        for persist in persists {
            durable.record(persist).expect("the log has no gap");
        }
        durable
    }

    fn versions(durable: &Durable) -> Vec<Version> {
        durable.entries.iter().map(|entry| entry.version).collect()
    }

    #[test]
    fn a_gap_is_refused_and_changes_nothing() {
        let mut durable = replay(&[append(1, id(1, 1), 1)]);
        let before = durable.clone();
        assert_eq!(durable.record(&append(3, id(1, 2), 1)), Err(LogGap { expected: 2, found: 3 }));
        assert_eq!(durable.record(&append(1, id(1, 2), 1)), Err(LogGap { expected: 2, found: 1 }));
        assert_eq!(durable.record(&open(2, 2, vec![])), Err(LogGap { expected: 2, found: 3 }));
        assert_eq!(durable, before);
    }

    #[test]
    fn an_opening_replaces_all_above_its_watermark() {
        let old = [append(1, id(1, 1), 1), append(2, id(1, 2), 1), append(3, id(1, 3), 1)];
        let mut durable = replay(&old);
        let other = entry(version(2, 2), id(1, 9), 1);
        durable.record(&open(2, 1, vec![other])).expect("no gap");
        assert_eq!(versions(&durable), [version(1, 1), version(2, 2)]);
        assert_eq!((durable.end, durable.watermark), (2, 1));
        assert_eq!((durable.open, durable.sealed), (Epoch(2), Epoch(2)), "an opening seals what went before");
        // The op ids go and come with their entries (I12).
        assert_eq!(durable.writers.look_up(id(1, 1)), Known::Entry(version(1, 1), Reply::Integer(1)));
        assert_eq!(durable.writers.look_up(id(1, 2)), Known::New);
        assert_eq!(durable.writers.look_up(id(1, 9)), Known::Entry(version(2, 2), Reply::Integer(2)));
    }

    #[test]
    fn an_opening_may_repeat_what_the_log_holds() {
        let entries: Vec<_> = (1..=2).map(|seq| entry(version(1, seq), id(1, seq), 1)).collect();
        let mut durable = replay(&[append(1, id(1, 1), 1), append(2, id(1, 2), 1)]);
        let before = durable.clone();
        durable.record(&open(2, 0, entries)).expect("no gap");
        assert_eq!(durable, Durable { open: Epoch(2), sealed: Epoch(2), ..before });
    }

    #[test]
    fn seals_and_watermarks_never_go_back_and_watermarks_stay_in_the_log() {
        let mut durable = replay(&[append(1, id(1, 1), 1), seal(5), seal(3), watermark(1), watermark(0)]);
        assert_eq!((durable.sealed, durable.watermark), (Epoch(5), 1));
        durable.record(&watermark(9)).expect("no gap");
        assert_eq!(durable.watermark, 1, "nobody can have committed what is not in this log");
    }

    #[test]
    fn places_are_found_after_the_front_was_forgotten() {
        let appends: Vec<Persist> = (1..=5).map(|seq| append(seq, id(1, seq), 1)).collect();
        let mut durable = replay(&appends);
        durable.forget_up_to(2);
        let above = |seq| -> Vec<u64> { durable.entries_above(seq).map(|entry| entry.version.seq).collect() };
        assert_eq!(above(0), [3, 4, 5], "as far as they are still here");
        assert_eq!(above(3), [4, 5]);
        assert_eq!(above(5), Vec::<u64>::new());
        assert_eq!(above(u64::MAX - 1), Vec::<u64>::new());
        assert_eq!(durable.entry(2), None);
        assert_eq!(durable.entry(3).map(|entry| entry.version.seq), Some(3));
        assert_eq!(durable.entry(6), None);
        durable.forget_up_to(9);
        assert_eq!((durable.entries.len(), durable.end), (0, 5), "what was forgotten still counts");
        assert_eq!(durable.entry(5), None);
        durable.record(&append(6, id(1, 6), 1)).expect("the log goes on where it ended");
    }

    #[test]
    fn a_write_below_the_floor_is_forgotten() {
        let durable = replay(&[append(1, id(1, 1), 1), append(2, id(1, 2), 1), append(3, id(1, 5), 2)]);
        let known = |counter| durable.writers.look_up(id(1, counter));
        assert_eq!(known(1), Known::Forgotten, "its coordinator awaits nothing below 2");
        assert_eq!(known(2), Known::Entry(version(1, 2), Reply::Integer(2)));
        assert_eq!(known(3), Known::New, "above the floor, and never seen");
        assert_eq!(known(5), Known::Entry(version(1, 3), Reply::Integer(3)));
    }

    #[test]
    fn an_ended_session_is_forgotten_and_a_newer_one_is_new() {
        let mut durable = replay(&[append(1, id(2, 1), 1)]);
        assert_eq!(durable.writers.look_up(id(1, 7)), Known::Forgotten);
        assert_eq!(durable.writers.look_up(id(3, 1)), Known::New, "a counter used again after a restart");
        durable.record(&append(2, id(3, 1), 1)).expect("no gap");
        assert_eq!(durable.writers.look_up(id(2, 1)), Known::Forgotten);
        assert_eq!(durable.writers.look_up(id(3, 1)), Known::Entry(version(1, 2), Reply::Integer(2)));
        // An entry of an ended session may still be in the base of an epoch: it brings nothing back.
        durable.record(&append(3, id(2, 9), 9)).expect("no gap");
        assert_eq!(durable.writers.look_up(id(2, 9)), Known::Forgotten);
        durable.writers.begin_session(NodeId(1), Session(4));
        assert_eq!(durable.writers.look_up(id(3, 1)), Known::Forgotten);
        durable.writers.begin_session(NodeId(1), Session(3));
        assert_eq!(durable.writers.0[&NodeId(1)].session, Session(4), "sessions do not come back");
    }

    #[test]
    fn entries_of_nobody_leave_no_writer() {
        let durable = replay(&[append(1, id(7, OpId::NOBODY), 0)]);
        assert_eq!(durable.writers, Writers::default());
    }

    proptest! {
        /// Against the definition: what is in the log and not below the highest floor is known.
        #[test]
        fn writers_agree_with_the_log(
            drawn in prop::collection::vec((1u64..4, 1u64..6, 1u64..6), 0..24),
            cut in 0usize..24,
        ) {
            // No op id comes twice: that is what the table is for.
            let mut writes: Vec<(u64, u64, u64)> = Vec::new();
            for write in drawn {
                if !writes.iter().any(|known| (known.0, known.1) == (write.0, write.1)) {
                    writes.push(write);
                }
            }
            let mut durable = Durable::default();
            let mut seen: BTreeMap<(u64, u64), u64> = BTreeMap::new();
            for (at, &(session, counter, floor)) in writes.iter().enumerate() {
                let seq = at as u64 + 1;
                durable.record(&append(seq, id(session, counter), floor.min(counter))).expect("no gap");
                seen.insert((session, counter), seq);
            }
            let cut = cut.min(writes.len()) as u64;
            durable.record(&open(2, cut, vec![])).expect("no gap");
            let newest = writes.iter().map(|&(session, ..)| session).max().unwrap_or_default();
            let floor = |session| writes
                .iter()
                .filter(|write| write.0 == session)
                .map(|&(_, counter, floor)| floor.min(counter))
                .max()
                .unwrap_or_default();
            for counter in 1..6 {
                for session in 1..4 {
                    let is_cut = seen.get(&(session, counter)).is_none_or(|&seq| seq > cut);
                    match durable.writers.look_up(id(session, counter)) {
                        Known::New => prop_assert!(session > newest || (session == newest && is_cut)),
                        Known::Forgotten => prop_assert!(session < newest || counter < floor(session)),
                        Known::Entry(version, _) => {
                            prop_assert_eq!(session, newest);
                            prop_assert!(version.seq <= cut, "rolled back with its entry");
                            prop_assert!(counter >= floor(session));
                        }
                    }
                }
            }
        }

        /// Replaying in two parts is replaying the whole, wherever the data stands: recovery depends on it.
        #[test]
        fn forgetting_changes_nothing_but_the_front(forget in 0u64..9, length in 0u64..9) {
            let forget = forget.min(length);
            let appends: Vec<Persist> = (1..=length).map(|seq| append(seq, id(1, seq), 1)).collect();
            let (mut whole, mut short) = (replay(&appends), replay(&appends));
            short.forget_up_to(forget);
            let rest = [append(length + 1, id(1, 50), 2), watermark(length), seal(4)];
            for persist in &rest {
                whole.record(persist).expect("no gap");
                short.record(persist).expect("no gap");
            }
            whole.forget_up_to(forget);
            prop_assert_eq!(whole, short);
        }
    }
}
