//! Which segments the log has, as far as its readers need to know: shared by them and the one who writes it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use simpledynamo_chain::{EpochHistory, Version};
use simpledynamo_topology::PartitionId;

use crate::state::LogState;

/// The segments of a log.
#[derive(Debug)]
pub(crate) struct Catalog(Mutex<VecDeque<Listed>>);

/// A segment.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// Its number, which is its name.
    pub(crate) number: u64,
    /// The number of its first frame.
    pub(crate) first_frame: u64,
    /// Where the frame after the first one begins.
    pub(crate) begin: u64,
    /// Where its frames end by now. Of a segment that was not read when the store was opened that is not known: a
    /// frame of no length ends it.
    pub(crate) end: Option<u64>,
    /// What the segments before it come to.
    pub(crate) known: Arc<Known>,
}

/// Which entries a log had at one moment.
#[derive(Debug)]
pub(crate) struct Known(BTreeMap<PartitionId, (u64, EpochHistory)>);

impl Known {
    /// The entries that a log comes to.
    pub(crate) fn of(state: &LogState) -> Self {
        let replicas = state.replicas.iter();
        Self(replicas.map(|(partition, log)| (*partition, (log.end, log.history.clone()))).collect())
    }

    fn contains(&self, partition: PartitionId, version: Version) -> bool {
        self.0.get(&partition).is_some_and(|(end, history)| {
            version.seq <= *end && history.epoch_at(version.seq) == Some(version.epoch)
        })
    }
}

impl Catalog {
    /// The segments of a log that was read.
    pub(crate) fn new(segments: VecDeque<Listed>) -> Self {
        Self(Mutex::new(segments))
    }

    /// A segment begins.
    pub(crate) fn begin(&self, segment: Listed) {
        self.lock().push_back(segment);
    }

    /// The newest segment was written up to here.
    pub(crate) fn written(&self, end: u64) {
        if let Some(segment) = self.lock().back_mut() {
            segment.end = Some(end);
        }
    }

    /// The oldest segment is about to go.
    pub(crate) fn remove_oldest(&self) {
        self.lock().pop_front();
    }

    /// The segment that an entry was written to, if it is still there: the last one that begins without it.
    pub(crate) fn find(&self, partition: PartitionId, version: Version) -> Option<Listed> {
        let segments = self.lock();
        segments.iter().rfind(|segment| !segment.known.contains(partition, version)).cloned()
    }

    /// A segment and the one after it, as far as they are there.
    pub(crate) fn get(&self, number: u64) -> Option<(Listed, Option<Listed>)> {
        let segments = self.lock();
        let at = segments.iter().position(|segment| segment.number == number)?;
        Some((segments[at].clone(), segments.get(at + 1).cloned()))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Listed>> {
        self.0.lock().expect("nobody panics while holding the list of segments")
    }
}
