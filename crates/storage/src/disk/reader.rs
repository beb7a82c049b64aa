//! Reading a log when a store is opened.
//!
//! Segments that hold nothing but what the data holds are kept for nodes that missed it, and are not read: of
//! these only the beginning is looked at. Reading starts with the last segment whose snapshot says so of all
//! before it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::Applied;
use simpledynamo_topology::PartitionId;
use simpledynamo_wire::codec::get_persist;

use super::catalog::{Known, Listed};
use super::folder::failed;
use super::frame::{self, Frame};
use super::segment::{self, Header, MAGIC};
use crate::StoreError;
use crate::state::{Highest, LogState};

/// A log that was read.
#[derive(Debug, Default)]
pub(crate) struct ReadLog {
    /// What it came to; of the entries, those that the data does not hold.
    pub(crate) state: LogState,
    /// The segments, oldest first.
    pub(crate) segments: VecDeque<Segment>,
    /// The same segments, for those who read the log later.
    pub(crate) listed: VecDeque<Listed>,
    /// The number after that of the last frame.
    pub(crate) next_frame: u64,
}

impl ReadLog {
    /// What the log came to, without entries.
    pub(crate) fn mirror(&self) -> LogState {
        let mut mirror = self.state.clone();
        mirror.forget_entries();
        mirror
    }
}

impl ReadLog {
    /// Takes over a segment of which the data holds everything.
    fn pass_over(&mut self, folder: &Path, header: &Header, next: &Header) -> Result<(), StoreError> {
        let Header { number, first_frame, begin, snapshot, size } = header;
        if next.first_frame <= *first_frame {
            let (path, offset) = (segment::path(folder, next.number), MAGIC.len() as u64);
            let reason = "its first frame does not follow the segment before".to_owned();
            return Err(StoreError::Damaged { path, offset, reason });
        }
        let highest = Highest::up_to(next.snapshot.ends());
        self.segments.push_back(Segment { number: *number, highest, size: *size });
        let known = Arc::new(Known::of(snapshot));
        let listed = Listed { number: *number, first_frame: *first_frame, begin: *begin, end: None, known };
        self.listed.push_back(listed);
        Ok(())
    }
}

/// A segment as the writer remembers it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its number, which is its name.
    pub(crate) number: u64,
    /// The entries in it.
    pub(crate) highest: Highest,
    /// The room that it takes, in bytes.
    pub(crate) size: u64,
}

/// Reads a log. `applied` is what the data holds: entries up to there are not kept.
///
/// A torn end of the last segment is cut off, and what remains is durable afterwards.
///
/// # Errors
/// When anything is damaged or missing.
pub(crate) fn read_log(
    folder: &Path,
    uuid: [u8; 16],
    applied: &BTreeMap<PartitionId, Applied>,
) -> Result<ReadLog, StoreError> {
    let lost = |reason: String| StoreError::Inconsistent { path: folder.to_owned(), reason };
    let numbers = match segment::list(folder) {
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed?,
    };
    let Some(&last) = numbers.last() else {
        return Err(lost("the log is gone".to_owned()));
    };
    for pair in numbers.windows(2) {
        if pair[1] - pair[0] != 1 {
            return Err(lost(format!("segment {} of the log is missing", pair[0] + 1)));
        }
    }
    let headers = numbers.into_iter().map(|number| Header::read(folder, uuid, number));
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let start = where_to_start(&headers, applied);
    let mut read = ReadLog::default();
    for pair in headers[..=start].windows(2) {
        read.pass_over(folder, &pair[0], &pair[1])?;
    }
    for header in headers.into_iter().skip(start) {
        let number = header.number;
        let path = segment::path(folder, number);
        let bytes = fs::read(&path).map_err(|source| failed("cannot read", &path, source))?;
        let seed = frame::seed(uuid, number);
        let (is_first, is_last) = (read.next_frame == 0, number == last);
        Reader { path, bytes, at: 0, seed, is_first, is_last }.replay(header, &mut read, applied)?;
    }
    Ok(read)
}

/// The last segment before which the log holds nothing that the data lacks; else the first one.
fn where_to_start(headers: &[Header], applied: &BTreeMap<PartitionId, Applied>) -> usize {
    // A log that counts as empty ends at 0, and so is covered by anything.
    let is_covered = |header: &Header| {
        header.snapshot.replicas.iter().all(|(partition, replica)| {
            applied.get(partition).map_or(0, |applied| applied.up_to) >= replica.end
        })
    };
    headers.iter().rposition(is_covered).unwrap_or(0)
}

/// A segment that is being read.
struct Reader {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the next frame begins.
    at: usize,
    seed: u32,
    is_first: bool,
    is_last: bool,
}

impl Reader {
    fn replay(
        mut self,
        header: Header,
        read: &mut ReadLog,
        applied: &BTreeMap<PartitionId, Applied>,
    ) -> Result<(), StoreError> {
        let (number, first_frame, begin) = (header.number, header.first_frame, header.begin);
        let known = Arc::new(Known::of(&header.snapshot));
        self.begin(header, read)?;
        let mut highest = Highest::default();
        while let Some((frame, length)) = self.frame(read.next_frame..=read.next_frame) {
            self.record(frame.body, read, &mut highest)?;
            read.state.forget_applied(applied);
            read.next_frame += 1;
            self.at += length;
        }
        let size = self.at as u64;
        self.end(read.next_frame)?;
        read.segments.push_back(Segment { number, highest, size });
        read.listed.push_back(Listed { number, first_frame, begin, end: Some(size), known });
        Ok(())
    }

    /// Reads the first frame, and compares its snapshot with what the segments before it came to.
    fn begin(&mut self, header: Header, read: &mut ReadLog) -> Result<(), StoreError> {
        self.at = usize::try_from(header.begin).expect("the file is in memory");
        if self.is_first {
            read.state = header.snapshot;
        } else if header.first_frame != read.next_frame {
            self.at = MAGIC.len();
            return Err(self.damaged("its first frame does not follow the segment before".to_owned()));
        } else if read.mirror() != header.snapshot {
            self.at = MAGIC.len();
            return Err(
                self.damaged("it begins from something else than the segment before comes to".to_owned())
            );
        }
        read.next_frame = header.first_frame + 1;
        Ok(())
    }

    fn record(&self, mut body: Bytes, read: &mut ReadLog, highest: &mut Highest) -> Result<(), StoreError> {
        while !body.is_empty() {
            let persist = get_persist(&mut body)
                .map_err(|error| self.damaged(format!("a frame cannot be decoded: {error}")))?;
            read.state.record(&persist).map_err(|reason| self.damaged(reason))?;
            highest.record(&persist);
        }
        Ok(())
    }

    /// Looks at what comes after the last frame. Only zeros may, unless power failed while the segment was
    /// written.
    fn end(self, next_frame: u64) -> Result<(), StoreError> {
        let rest = &self.bytes[self.at..];
        let is_torn = rest.iter().any(|byte| *byte != 0);
        if is_torn && !self.is_last {
            return Err(self.damaged(format!("frame {next_frame} is unreadable")));
        }
        if is_torn {
            if let Some(later) = self.frame_that_proves(next_frame) {
                return Err(self.damaged(format!(
                    "frame {next_frame} is unreadable, but frame {later} says that it was durable"
                )));
            }
            tracing::warn!(
                path = %self.path.display(),
                at = self.at,
                "the end of the log was not durable yet when the node stopped: it is cut off"
            );
        }
        if self.is_last {
            let cut = is_torn.then_some(self.at as u64);
            self.make_durable(cut).map_err(|source| failed("cannot sync", &self.path, source))?;
        }
        Ok(())
    }

    /// A frame further on that names the given one as durable.
    fn frame_that_proves(&self, missing: u64) -> Option<u64> {
        let frames_max = ((self.bytes.len() - self.at) / frame::HEAD) as u64;
        (self.at + 1..self.bytes.len())
            .filter_map(|at| {
                frame::read(&self.bytes[at..], self.seed, missing + 1..=missing.saturating_add(frames_max))
            })
            .find_map(|(frame, _)| (frame.durable >= missing).then_some(frame.number))
    }

    fn make_durable(&self, cut: Option<u64>) -> std::io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        if let Some(length) = cut {
            file.set_len(length)?;
        }
        file.sync_all()
    }

    fn frame(&self, numbers: std::ops::RangeInclusive<u64>) -> Option<(Frame, usize)> {
        frame::read(&self.bytes[self.at..], self.seed, numbers)
    }

    fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), offset: self.at as u64, reason }
    }
}
