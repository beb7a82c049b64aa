//! How far the log is written and durable: shared by the one who writes it and the one who applies it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use simpledynamo_chain::Persist;
use simpledynamo_topology::PartitionId;

use super::folder::{Folder, failed};
use crate::StoreError;
use crate::state::LogState;

/// The end of the log.
#[derive(Debug)]
pub(crate) struct Tail {
    folder: Arc<Folder>,
    poisoned: AtomicBool,
    state: Mutex<State>,
}

/// Invariants: `durable_frame <= frame`, and `durable <= ends` for each partition.
#[derive(Debug, Default)]
struct State {
    /// The segment that is written; all before it are durable.
    segment: Option<(Arc<File>, PathBuf)>,
    /// The last frame.
    frame: u64,
    /// The last frame known to be durable.
    durable_frame: u64,
    /// The last entry of each partition.
    ends: BTreeMap<PartitionId, u64>,
    /// The last entry of each partition that is known to be durable, and not replaced since.
    durable: BTreeMap<PartitionId, u64>,
    /// How often entries may have been replaced.
    replacements: u64,
    /// The partitions that count as empty while they are copied. What the data holds of them is not recovered, as
    /// soon as the log says so durably.
    incomplete: BTreeSet<PartitionId>,
}

impl State {
    /// From now on, entries of a partition above this one are others than those that were made durable.
    fn replace_above(&mut self, partition: PartitionId, seq: u64) {
        self.replacements += 1;
        let durable = self.durable.entry(partition).or_default();
        *durable = seq.min(*durable);
    }
}

impl Tail {
    /// The end of a log that was just read, before its new segment begins.
    pub(crate) fn new(folder: Arc<Folder>) -> Self {
        Self { folder, poisoned: AtomicBool::new(false), state: Mutex::default() }
    }

    /// The store's folder.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Fails once anything has failed.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned { path: self.folder.path().to_owned() });
        }
        Ok(())
    }

    /// Passes a result on, after which nothing succeeds any more if it is an error.
    pub(crate) fn poison_on_error<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        result
    }

    /// A segment begins, with a durable first frame, after durable segments.
    pub(crate) fn begin_segment(&self, file: Arc<File>, path: PathBuf, frame: u64, log: &LogState) {
        let mut state = self.lock();
        state.segment = Some((file, path));
        (state.frame, state.durable_frame) = (frame, frame);
        state.ends = log.ends();
        state.durable = log.ends();
        state.incomplete = log.incomplete();
    }

    /// A frame was written.
    pub(crate) fn written(&self, frame: u64, batch: &[Persist], log: &LogState) {
        let mut state = self.lock();
        state.frame = frame;
        for persist in batch {
            match persist {
                Persist::Append { .. } => {}
                // What follows the watermark now is not what was made durable there.
                Persist::Open { partition, watermark, .. } | Persist::Cut { partition, watermark, .. } => {
                    state.replace_above(*partition, *watermark);
                }
                Persist::Reset { partition } => {
                    state.replace_above(*partition, 0);
                    state.incomplete.insert(*partition);
                }
                Persist::Installed { partition, .. } => {
                    state.incomplete.remove(partition);
                }
                Persist::Seal { .. } | Persist::Watermark { .. } => continue,
            }
            state.ends.insert(persist.partition(), log.end(persist.partition()));
        }
    }

    /// The last frame known to be durable.
    pub(crate) fn durable_frame(&self) -> u64 {
        self.lock().durable_frame
    }

    /// Whether everything written is durable.
    pub(crate) fn is_durable(&self) -> bool {
        let state = self.lock();
        state.durable_frame == state.frame
    }

    /// Returns once all that was written is durable. Others may write and read meanwhile.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.check()?;
        let (segment, frame, ends, replacements) = {
            let state = self.lock();
            if state.durable_frame == state.frame {
                return Ok(());
            }
            (state.segment.clone(), state.frame, state.ends.clone(), state.replacements)
        };
        let (file, path) = segment.expect("a frame was written, so a segment has begun");
        self.poison_on_error(file.sync_data().map_err(|source| failed("cannot sync", &path, source)))?;

        let mut state = self.lock();
        // Syncs may overtake each other, and entries may have been replaced since.
        state.durable_frame = state.durable_frame.max(frame);
        if state.replacements == replacements {
            for (partition, end) in ends {
                let durable = state.durable.entry(partition).or_default();
                *durable = end.max(*durable);
            }
        }
        Ok(())
    }

    /// Returns once the log holds all entries up to these durably, so that the data may.
    ///
    /// # Errors
    /// When the log does not hold them at all, or cannot be synced.
    pub(crate) fn cover(&self, entries: &BTreeMap<PartitionId, u64>) -> Result<(), StoreError> {
        {
            let state = self.lock();
            // Entries from before a copy began may come late. They do no harm once its beginning is durable.
            let (late, entries): (BTreeMap<_, _>, BTreeMap<_, _>) =
                entries.iter().partition(|(partition, _)| state.incomplete.contains(partition));
            let missing = |ends: &BTreeMap<PartitionId, u64>| {
                let mut entries = entries.iter();
                entries.find(|(partition, seq)| ends.get(partition).copied().unwrap_or(0) < **seq)
            };
            if let Some((partition, seq)) = missing(&state.ends) {
                let reason =
                    format!("entry {seq} of partition {partition} is to be applied, but is not in the log");
                return Err(StoreError::Inconsistent { path: self.folder.path().to_owned(), reason });
            }
            if late.is_empty() && missing(&state.durable).is_none() {
                return Ok(());
            }
        }
        self.sync()
    }

    /// Checks that the log says that a partition counts as empty. It may not say so durably yet.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn check_reset(&self, partition: PartitionId) -> Result<(), StoreError> {
        if !self.lock().incomplete.contains(&partition) {
            let reason = format!("partition {partition} is to be replaced, but the log does not say so");
            return Err(StoreError::Inconsistent { path: self.folder.path().to_owned(), reason });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the end of the log")
    }
}
