//! Reading entries of the log while it is written: for nodes that missed them.
//!
//! Of an entry's number and epoch, the snapshots at the start of the segments tell which segment it was
//! written to: the last one that begins without it. From there on the frames are read in order. What was
//! replaced is told by its epoch; an entry that an epoch took over is the same wherever it stands.
//!
//! Where a reading ended is remembered for each partition, so that the next one goes on there: a later entry
//! never stands before an earlier one, whatever was replaced in between.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use simpledynamo_chain::{Entry, Fetch, Version};
use simpledynamo_topology::PartitionId;
use simpledynamo_wire::codec::get_persist;

use super::catalog::{Catalog, Listed};
use super::folder::{Folder, failed};
use super::{frame, segment};
use crate::state::entries_of;
use crate::{LogReader, StoreError};

/// Bytes read at a time: enough that the number of reads does not matter, few enough to be no burden on memory.
const READ_STEP: u64 = 256 * 1024;

/// Reads the log of a store on disk.
#[derive(Clone, Debug)]
pub struct DiskLogReader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Stays locked while it may be read.
    folder: Arc<Folder>,
    uuid: [u8; 16],
    catalog: Arc<Catalog>,
    cursors: Mutex<BTreeMap<PartitionId, Cursor>>,
}

/// Where the reading of a partition goes on.
#[derive(Clone, Debug)]
struct Cursor {
    /// The entry that comes next.
    next: u64,
    segment: u64,
    /// Where the frame begins in it.
    at: u64,
    /// The number of the frame.
    frame: u64,
    /// How much of the frame's body was read.
    taken: usize,
    /// The body; empty if it must be read again.
    body: Bytes,
}

impl Cursor {
    fn at_start_of(segment: &Listed, next: u64) -> Self {
        let (at, frame) = (segment.begin, segment.first_frame + 1);
        Self { next, segment: segment.number, at, frame, taken: 0, body: Bytes::new() }
    }
}

impl DiskLogReader {
    pub(crate) fn new(folder: Arc<Folder>, uuid: [u8; 16], catalog: Arc<Catalog>) -> Self {
        Self(Arc::new(Shared { folder, uuid, catalog, cursors: Mutex::default() }))
    }
}

impl LogReader for DiskLogReader {
    fn read(&self, fetch: &Fetch) -> Result<Option<Vec<Arc<Entry>>>, StoreError> {
        let (partition, from) = (fetch.partition, fetch.from);
        if from > fetch.to {
            return Ok(Some(Vec::new()));
        }
        let Some(epoch) = fetch.history.epoch_at(from) else { return Ok(None) };
        // Removed while it is used, so that nothing is locked meanwhile, and a failure leaves none.
        let known = self.0.cursors().remove(&partition);
        let known = known.filter(|known| known.next == from && self.0.catalog.get(known.segment).is_some());
        let found = || self.0.catalog.find(partition, Version { epoch, seq: from });
        let cursor = known.or_else(|| found().map(|segment| Cursor::at_start_of(&segment, from)));
        let Some(mut cursor) = cursor else { return Ok(None) };

        let mut reading = Reading { shared: &self.0, window: None };
        let mut taken = Taken { fetch, entries: Vec::new(), bytes: 0 };
        while !taken.is_full() && reading.load(&mut cursor)? {
            reading.take_persist(&mut cursor, &mut taken)?;
        }
        if taken.entries.is_empty() {
            return Ok(None);
        }
        cursor.next = taken.next();
        if cursor.next > fetch.to {
            // There may be no next time.
            cursor.body = Bytes::new();
        }
        self.0.cursors().insert(partition, cursor);
        Ok(Some(taken.entries))
    }
}

impl Shared {
    fn cursors(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Cursor>> {
        self.cursors.lock().expect("nobody panics while holding where to read on")
    }

    fn path(&self, segment: u64) -> PathBuf {
        segment::path(&self.folder.log(), segment)
    }

    fn damaged(&self, cursor: &Cursor, reason: String) -> StoreError {
        StoreError::Damaged { path: self.path(cursor.segment), offset: cursor.at, reason }
    }
}

/// The entries that were found for a request.
struct Taken<'a> {
    fetch: &'a Fetch,
    entries: Vec<Arc<Entry>>,
    bytes: usize,
}

impl Taken<'_> {
    fn next(&self) -> u64 {
        self.fetch.from + self.entries.len() as u64
    }

    fn is_full(&self) -> bool {
        self.next() > self.fetch.to || (self.bytes >= self.fetch.bytes && !self.entries.is_empty())
    }

    /// Takes the entry if it is the one that comes next.
    fn offer(&mut self, entry: &Arc<Entry>) {
        let Version { epoch, seq } = entry.version;
        if seq == self.next() && self.fetch.history.epoch_at(seq) == Some(epoch) {
            self.bytes += entry.weight();
            self.entries.push(Arc::clone(entry));
        }
    }
}

/// One call of [`DiskLogReader::read`].
struct Reading<'a> {
    shared: &'a Shared,
    /// The segment that is open.
    window: Option<(u64, Window)>,
}

impl Reading<'_> {
    /// Sees to it that the cursor has something to decode. `false` at the end of the log, or where it is gone.
    fn load(&mut self, cursor: &mut Cursor) -> Result<bool, StoreError> {
        loop {
            if !cursor.body.is_empty() && cursor.taken < cursor.body.len() {
                return Ok(true);
            }
            if !cursor.body.is_empty() {
                cursor.at += (frame::HEAD + cursor.body.len()) as u64;
                cursor.frame += 1;
                (cursor.taken, cursor.body) = (0, Bytes::new());
            }
            let Some((segment, next)) = self.shared.catalog.get(cursor.segment) else { return Ok(false) };
            let Some(window) = self.window(&segment)? else { return Ok(false) };
            if !window.is_at_end(cursor.at).map_err(|source| self.failed(cursor, source))? {
                cursor.body = self.read_frame(cursor)?;
                continue;
            }
            let Some(next) = next else { return Ok(false) };
            if next.first_frame != cursor.frame {
                return Err(self.shared.damaged(cursor, format!("frame {} is missing", cursor.frame)));
            }
            *cursor = Cursor::at_start_of(&next, cursor.next);
        }
    }

    /// The file of a segment, opened if it is not; `None` if it was removed meanwhile.
    fn window(&mut self, segment: &Listed) -> Result<Option<&mut Window>, StoreError> {
        if self.window.as_ref().is_none_or(|(number, _)| *number != segment.number) {
            let path = self.shared.path(segment.number);
            match Window::open(&path, segment.end) {
                Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(source) => return Err(failed("cannot open", &path, source)),
                Ok(window) => self.window = Some((segment.number, window)),
            }
        }
        let Some((_, window)) = &mut self.window else { return Ok(None) };
        if let Some(end) = segment.end {
            // It may have grown.
            window.end = end;
        }
        Ok(Some(window))
    }

    fn read_frame(&mut self, cursor: &Cursor) -> Result<Bytes, StoreError> {
        let (_, window) = self.window.as_mut().expect("the caller opened it");
        let seed = frame::seed(self.shared.uuid, cursor.segment);
        let read = window.frame(cursor.at, seed, cursor.frame);
        match read.map_err(|source| failed("cannot read", &self.shared.path(cursor.segment), source))? {
            Some(body) => Ok(body),
            None => Err(self.shared.damaged(cursor, format!("frame {} is unreadable", cursor.frame))),
        }
    }

    /// Decodes the next change of the frame, and offers its entries.
    fn take_persist(&self, cursor: &mut Cursor, taken: &mut Taken<'_>) -> Result<(), StoreError> {
        let mut rest = cursor.body.slice(cursor.taken..);
        let persist = get_persist(&mut rest)
            .map_err(|error| self.shared.damaged(cursor, format!("a frame cannot be decoded: {error}")))?;
        if persist.partition() == taken.fetch.partition {
            for entry in entries_of(&persist) {
                if taken.is_full() {
                    // The rest of them may be wanted next time: this change is decoded again then.
                    return Ok(());
                }
                taken.offer(entry);
            }
        }
        cursor.taken = cursor.body.len() - rest.len();
        Ok(())
    }

    fn failed(&self, cursor: &Cursor, source: io::Error) -> StoreError {
        failed("cannot read", &self.shared.path(cursor.segment), source)
    }
}

/// A part of a file.
#[derive(Debug)]
struct Window {
    file: File,
    /// Where the frames of the file end.
    end: u64,
    /// Whether that is certain. If not, a frame of no length may end it before.
    is_end_known: bool,
    /// Where the bytes begin in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn open(path: &std::path::Path, end: Option<u64>) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let (start, bytes) = (0, Vec::new());
        Ok(Self { file, end: end.unwrap_or(length), is_end_known: end.is_some(), start, bytes })
    }

    fn is_at_end(&mut self, at: u64) -> io::Result<bool> {
        if at >= self.end || self.is_end_known {
            return Ok(at >= self.end);
        }
        let length = self.slice(at, size_of::<u32>())?;
        Ok(length.iter().all(|byte| *byte == 0))
    }

    /// The body of the frame that should begin here; `None` if it does not.
    fn frame(&mut self, at: u64, seed: u32, number: u64) -> io::Result<Option<Bytes>> {
        let Some(length) = frame::length(self.slice(at, frame::HEAD)?) else { return Ok(None) };
        let frame = frame::read(self.slice(at, length)?, seed, number..=number);
        Ok(frame.map(|(frame, _)| frame.body))
    }

    /// So many bytes of the file, or all up to its end.
    fn slice(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let to = (at + length as u64).min(self.end);
        if at < self.start || to > self.start + self.bytes.len() as u64 {
            let step = (to.saturating_sub(at)).max(READ_STEP).min(self.end.saturating_sub(at));
            self.start = at;
            self.bytes.resize(usize::try_from(step).expect("a frame fits into memory"), 0);
            if let Err(error) = self.file.read_exact_at(&mut self.bytes, at) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let from = usize::try_from(at - self.start).expect("it is within the bytes");
        let to = from + usize::try_from(to.saturating_sub(at)).expect("it is within the bytes");
        Ok(&self.bytes[from..to])
    }
}
