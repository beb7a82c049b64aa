//! A replica's durable state: what replaying its log gives back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use simpledynamo_topology::{Epoch, NodeId, Session};

use crate::{Entry, OpId, Persist, Reply, Version};

/// A replica's durable state. The replica itself, the log and its recovery all keep it by [`Durable::record`],
/// so that they cannot disagree.
///
/// Invariants: `entries` are consecutive and end at `end`; `watermark <= end`; epochs only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// The epoch that the replica stopped for: it takes part in nothing before it.
    pub sealed: Epoch,
    /// The epoch that the replica last opened.
    pub open: Epoch,
    /// All up to here is known to be committed.
    pub watermark: u64,
    /// The last entry of the log.
    pub end: u64,
    /// The entries that are still needed: those that the data does not hold yet.
    pub entries: VecDeque<Arc<Entry>>,
    /// The writes that can still be asked for again.
    pub writers: Writers,
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
            Persist::Session(_) => {}
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
        }
        Ok(())
    }

    fn push(&mut self, entry: &Arc<Entry>) -> Result<(), LogGap> {
        let (expected, found) = (self.end + 1, entry.version.seq);
        if expected != found {
            return Err(LogGap { expected, found });
        }
        self.end = found;
        self.entries.push_back(Arc::clone(entry));
        self.writers.record(entry);
        Ok(())
    }

    fn truncate_above(&mut self, watermark: u64) {
        while self.entries.back().is_some_and(|entry| entry.version.seq > watermark) {
            self.entries.pop_back();
        }
        self.end = watermark;
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

    fn roll_back_above(&mut self, watermark: u64) {
        for writer in self.0.values_mut() {
            writer.done.retain(|_, (version, _)| version.seq <= watermark);
        }
    }
}
