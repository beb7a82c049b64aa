//! Writing the log.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::sync::Arc;

use simpledynamo_chain::Persist;
use simpledynamo_topology::PartitionId;
use simpledynamo_wire::codec::put_persist;

use super::DiskOptions;
use super::catalog::{Catalog, Known, Listed};
use super::fetch::DiskLogReader;
use super::folder::{failed, sync_folder};
use super::frame;
use super::reader::Segment;
use super::segment::{self, Writing};
use super::tail::Tail;
use crate::state::{Highest, LogState};
use crate::{Log, StoreError};

/// The buffer for frames goes back to this size, in bytes, after a larger batch.
const BUFFER_KEPT: usize = 1024 * 1024;

/// A log in segment files.
///
/// A batch may take up to 1 GiB; a larger one is a bug of the caller, and panics.
#[derive(Debug)]
pub struct DiskLog {
    tail: Arc<Tail>,
    /// What readers of the log know of it.
    catalog: Arc<Catalog>,
    uuid: [u8; 16],
    options: DiskOptions,
    /// What the log has come to, without entries: it becomes the snapshot of the next segment.
    mirror: LogState,
    /// All segments, the one that is written last.
    segments: VecDeque<Segment>,
    writing: Writing,
    next_frame: u64,
    /// Whether the segment holds a batch yet.
    has_batches: bool,
    buffer: Vec<u8>,
}

impl DiskLog {
    /// Goes on with a log that was read, in a new segment.
    pub(crate) fn start(
        tail: Arc<Tail>,
        catalog: Arc<Catalog>,
        uuid: [u8; 16],
        options: DiskOptions,
        mirror: LogState,
        segments: VecDeque<Segment>,
        next_frame: u64,
    ) -> Result<Self, StoreError> {
        let number = segments.back().map_or(0, |segment| segment.number) + 1;
        let first_frame = segment::first_frame(uuid, number, next_frame, &mirror);
        let writing = Writing::create(&tail.folder().log(), number, &first_frame, options.segment_size)?;
        let mut log = Self {
            tail,
            catalog,
            uuid,
            options,
            mirror,
            segments,
            writing,
            next_frame,
            has_batches: false,
            buffer: Vec::new(),
        };
        log.segment_begun(number);
        Ok(log)
    }

    /// Where the next frame goes in the segment that is written.
    #[cfg(test)]
    pub(crate) fn offset(&self) -> u64 {
        self.writing.offset
    }

    /// Makes another file out of the segment that is written: one that fails.
    #[cfg(test)]
    pub(crate) fn replace_file(&mut self, file: fs::File) {
        self.writing.file = Arc::new(file);
        let (file, path) = (Arc::clone(&self.writing.file), self.writing.path.clone());
        self.tail.begin_segment(file, path, self.next_frame - 1, &self.mirror);
    }

    fn segment_begun(&mut self, number: u64) {
        let (file, path) = (Arc::clone(&self.writing.file), self.writing.path.clone());
        self.tail.begin_segment(file, path, self.next_frame, &self.mirror);
        let (first_frame, begin) = (self.next_frame, self.writing.offset);
        let known = Arc::new(Known::of(&self.mirror));
        self.catalog.begin(Listed { number, first_frame, begin, end: Some(begin), known });
        self.segments.push_back(Segment { number, highest: Highest::default(), size: begin });
        self.next_frame += 1;
        self.has_batches = false;
    }

    fn write(&mut self, batch: &[Persist]) -> Result<(), StoreError> {
        self.buffer.clear();
        self.buffer.resize(frame::HEAD, 0);
        for persist in batch {
            put_persist(persist, &mut self.buffer);
        }
        if self.has_batches && self.writing.offset + self.buffer.len() as u64 > self.options.segment_size {
            self.rotate()?;
        }
        self.record(batch)?;
        let segment = self.segments.back_mut().expect("the segment that is written is among them");
        let seed = frame::seed(self.uuid, segment.number);
        frame::seal(&mut self.buffer, seed, self.next_frame, self.tail.durable_frame());
        self.writing
            .write(&self.buffer)
            .map_err(|source| failed("cannot write", &self.writing.path, source))?;
        segment.size = self.writing.offset;
        self.catalog.written(self.writing.offset);
        self.tail.written(self.next_frame, batch, &self.mirror);
        self.next_frame += 1;
        self.has_batches = true;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        Ok(())
    }

    /// Takes over a batch before it is written: what recovery would refuse must not reach the disk.
    fn record(&mut self, batch: &[Persist]) -> Result<(), StoreError> {
        let segment = self.segments.back_mut().expect("the segment that is written is among them");
        for persist in batch {
            self.mirror.record(persist).map_err(|reason| StoreError::Inconsistent {
                path: self.tail.folder().path().to_owned(),
                reason,
            })?;
            segment.highest.record(persist);
        }
        self.mirror.forget_entries();
        Ok(())
    }

    /// Begins the next segment, after making this one durable.
    fn rotate(&mut self) -> Result<(), StoreError> {
        self.tail.sync()?;
        let number = self.segments.back().map_or(0, |segment| segment.number) + 1;
        let first_frame = segment::first_frame(self.uuid, number, self.next_frame, &self.mirror);
        let folder = self.tail.folder().log();
        self.writing = Writing::create(&folder, number, &first_frame, self.options.segment_size)?;
        self.segment_begun(number);
        Ok(())
    }

    /// Removes the oldest segments, as long as all take more room than is granted: those that hold only what is
    /// applied.
    pub(crate) fn remove_applied(&mut self, applied: &BTreeMap<PartitionId, u64>) -> Result<(), StoreError> {
        let mut size: u64 = self.segments.iter().map(|segment| segment.size).sum();
        while let [oldest, _, ..] = self.segments.make_contiguous()
            && size > self.options.log_retention
            && oldest.highest.is_applied(applied, &self.mirror)
        {
            if !self.tail.is_durable() {
                // Replaced entries do not count as needed: what replaced them must be there for good.
                self.tail.sync()?;
            }
            let folder = self.tail.folder().log();
            let path = segment::path(&folder, oldest.number);
            size -= oldest.size;
            self.catalog.remove_oldest();
            fs::remove_file(&path).map_err(|source| failed("cannot remove", &path, source))?;
            // One by one: a later segment must not be gone while an earlier one is still there.
            sync_folder(&folder)?;
            self.segments.pop_front();
        }
        Ok(())
    }
}

impl Log for DiskLog {
    type Reader = DiskLogReader;

    fn append(&mut self, batch: &[Persist]) -> Result<(), StoreError> {
        self.tail.check()?;
        if batch.is_empty() {
            return Ok(());
        }
        let written = self.write(batch);
        self.tail.poison_on_error(written)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.tail.sync()
    }

    fn trim(&mut self, applied: &BTreeMap<PartitionId, u64>) -> Result<(), StoreError> {
        self.tail.check()?;
        let removed = self.remove_applied(applied);
        self.tail.poison_on_error(removed)
    }
}
