//! Reading a log from its first segment to its last.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use simpledynamo_chain::Applied;
use simpledynamo_topology::PartitionId;
use simpledynamo_wire::codec::get_persist;

use super::folder::failed;
use super::frame::{self, Frame};
use super::segment::{self, MAGIC};
use crate::StoreError;
use crate::state::{Highest, LogState};

/// The highest number that the first frame of a log may have: half of what is possible, so that no log of this
/// world reaches the end of the numbers.
const FIRST_FRAME_MAX: u64 = u64::MAX / 2;

/// A log that was read.
#[derive(Debug)]
pub(crate) struct ReadLog {
    /// What it came to; of the entries, those that the data does not hold.
    pub(crate) state: LogState,
    /// The segments, oldest first.
    pub(crate) segments: VecDeque<Segment>,
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

/// A segment as the writer remembers it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its number, which is its name.
    pub(crate) number: u64,
    /// The entries in it.
    pub(crate) highest: Highest,
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
    let Some((&first, &last)) = numbers.first().zip(numbers.last()) else {
        return Err(lost("the log is gone".to_owned()));
    };
    let mut read = ReadLog { state: LogState::default(), segments: VecDeque::new(), next_frame: 0 };
    for (number, expected) in numbers.into_iter().zip(first..) {
        if number != expected {
            return Err(lost(format!("segment {expected} of the log is missing")));
        }
        let path = segment::path(folder, number);
        let bytes = fs::read(&path).map_err(|source| failed("cannot read", &path, source))?;
        let seed = frame::seed(uuid, number);
        let segment = Reader { path, bytes, at: 0, seed, is_first: number == first, is_last: number == last };
        let highest = segment.replay(number, &mut read, applied)?;
        read.segments.push_back(Segment { number, highest });
    }
    Ok(read)
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
        number: u64,
        read: &mut ReadLog,
        applied: &BTreeMap<PartitionId, Applied>,
    ) -> Result<Highest, StoreError> {
        self.begin(number, read)?;
        let mut highest = Highest::default();
        while let Some((frame, length)) = self.frame(read.next_frame..=read.next_frame) {
            self.record(frame.body, read, &mut highest)?;
            read.state.forget_applied(applied);
            read.next_frame += 1;
            self.at += length;
        }
        self.end(read.next_frame)?;
        Ok(highest)
    }

    /// Reads the first frame, and compares its snapshot with what the segments before it came to.
    fn begin(&mut self, number: u64, read: &mut ReadLog) -> Result<(), StoreError> {
        if self.bytes.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(self.damaged("it does not begin as a segment of a log in a known format".to_owned()));
        }
        self.at = MAGIC.len();
        let numbers = if self.is_first { 1..=FIRST_FRAME_MAX } else { read.next_frame..=read.next_frame };
        let Some((Frame { number: found, body, .. }, length)) = self.frame(numbers) else {
            return Err(self
                .damaged("its first frame is unreadable, or does not follow the segment before".to_owned()));
        };
        let (named, snapshot) = segment::read_first_frame(body)
            .map_err(|error| self.damaged(format!("its first frame cannot be decoded: {error}")))?;
        if named != number {
            return Err(self.damaged(format!("it says that it is segment {named}")));
        }
        if self.is_first {
            read.state = snapshot;
        } else if read.mirror() != snapshot {
            return Err(
                self.damaged("it begins from something else than the segment before comes to".to_owned())
            );
        }
        read.next_frame = found + 1;
        self.at += length;
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
