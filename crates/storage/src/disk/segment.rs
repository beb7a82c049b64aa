//! Segments: the files of a log.
//!
//! A segment begins with eight bytes that name its format. The first frame after them holds the segment's
//! number and a snapshot: what the log had come to when the segment began, without entries. So the segments
//! before it can go once the data holds their entries; and while they are there, replaying them must lead to
//! the same snapshot. Each further frame is one batch.
//!
//! A segment is written under another name first: one that bears its own name has a whole first frame. Its
//! file is filled with zeros ahead of the frames, because a sync is much faster when the file does not grow.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::Durable;
use simpledynamo_topology::PartitionId;
use simpledynamo_wire::codec::{
    DecodeError, finish, get_count, get_durable, get_u16, get_u64, put_count, put_durable, put_u64,
};

use super::folder::{create_folder, failed, sync_folder};
use super::frame;
use crate::StoreError;
use crate::state::LogState;

/// What a segment begins with; the last two bytes are the version of the format.
pub(crate) const MAGIC: [u8; 8] = *b"SDLOG\0\0\x02";

/// The highest number that the first frame of a log may have: half of what is possible, so that no log of this
/// world reaches the end of the numbers.
const FIRST_FRAME_MAX: u64 = u64::MAX / 2;

/// How far ahead a file is filled: few enough bytes that filling delays a sync by little.
const FILL_STEP: u64 = 1024 * 1024;

/// The fewest bytes that a replica takes in a snapshot: partition, sealed, open, watermark, end, start,
/// completeness, no epochs, no writers.
const REPLICA_SIZE_MIN: usize = 9;

/// A segment that takes frames.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    /// Where the next frame goes.
    pub(crate) offset: u64,
    /// Up to where the file is filled.
    filled: u64,
    /// How far to fill at a time.
    fill_step: u64,
}

impl Writing {
    /// Makes a segment whose first frame is durable under the segment's own name.
    pub(crate) fn create(
        folder: &Path,
        number: u64,
        first_frame: &[u8],
        segment_size: u64,
    ) -> Result<Self, StoreError> {
        let (path, new) = (path(folder, number), folder.join(format!("{number:020}.new")));
        let offset = (MAGIC.len() + first_frame.len()) as u64;
        let mut writing = {
            let file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .open(&new)
                .map_err(|source| failed("cannot create", &new, source))?;
            let fill_step = FILL_STEP.min(segment_size).max(1);
            Self { file: Arc::new(file), path, offset, filled: offset, fill_step }
        };
        let mut write = || {
            writing.file.write_all_at(&MAGIC, 0)?;
            writing.file.write_all_at(first_frame, MAGIC.len() as u64)?;
            writing.fill(offset + 1)?;
            writing.file.sync_all()?;
            fs::rename(&new, &writing.path)
        };
        write().map_err(|source| failed("cannot write", &new, source))?;
        sync_folder(folder)?;
        Ok(writing)
    }

    /// Writes a frame at the end.
    pub(crate) fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let end = self.offset + frame.len() as u64;
        self.file.write_all_at(frame, self.offset)?;
        if end > self.filled {
            self.filled = end;
            self.fill(end + 1)?;
        }
        self.offset = end;
        Ok(())
    }

    /// Fills the file with zeros from where it is filled, to the end of the step that `up_to` lies in.
    fn fill(&mut self, up_to: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let end = up_to.next_multiple_of(self.fill_step);
        while self.filled < end {
            let length = (end - self.filled).min(ZEROS.len() as u64);
            let length_in_memory = usize::try_from(length).expect("at most as many as there are zeros");
            self.file.write_all_at(&ZEROS[..length_in_memory], self.filled)?;
            self.filled += length;
        }
        Ok(())
    }
}

/// The first frame of a segment.
pub(crate) fn first_frame(uuid: [u8; 16], segment: u64, frame: u64, state: &LogState) -> Vec<u8> {
    let mut out = vec![0; frame::HEAD];
    put_u64(segment, &mut out);
    put_count(state.replicas.len(), &mut out);
    for (partition, replica) in &state.replicas {
        put_u64(partition.0.into(), &mut out);
        put_durable(replica, &mut out);
    }
    // All frames before it are: a segment is synced before the next one begins.
    frame::seal(&mut out, frame::seed(uuid, segment), frame, frame - 1);
    out
}

/// Reads what a first frame holds: the segment's number and the snapshot.
fn read_first_frame(mut body: Bytes) -> Result<(u64, LogState), DecodeError> {
    let body = &mut body;
    let number = get_u64(body)?;
    let mut replicas: BTreeMap<PartitionId, Durable> = BTreeMap::new();
    for _ in 0..get_count(body, REPLICA_SIZE_MIN)? {
        let partition = PartitionId(get_u16(body, "a partition's number")?);
        if replicas.last_key_value().is_some_and(|(last, _)| *last >= partition) {
            return Err(DecodeError::Order { what: "the partitions of a snapshot" });
        }
        replicas.insert(partition, get_durable(body)?);
    }
    finish(body)?;
    Ok((number, LogState { replicas }))
}

/// What a segment begins with.
#[derive(Debug)]
pub(crate) struct Header {
    /// The segment's number.
    pub(crate) number: u64,
    /// The number of its first frame.
    pub(crate) first_frame: u64,
    /// Where the frame after that begins.
    pub(crate) begin: u64,
    /// What the segments before it come to, without entries.
    pub(crate) snapshot: LogState,
    /// The length of the file.
    pub(crate) size: u64,
}

impl Header {
    /// Reads the beginning of a segment, and no more of it.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn read(folder: &Path, uuid: [u8; 16], number: u64) -> Result<Self, StoreError> {
        let path = path(folder, number);
        let read = || {
            let file = File::open(&path)?;
            let size = file.metadata()?.len();
            let mut bytes = vec![0; MAGIC.len() + frame::HEAD];
            let length = bytes.len().min(usize::try_from(size).unwrap_or(usize::MAX));
            bytes.truncate(length);
            file.read_exact_at(&mut bytes, 0)?;
            let length = bytes.get(MAGIC.len()..).and_then(frame::length).unwrap_or(0) as u64;
            if MAGIC.len() as u64 + length <= size {
                bytes.resize(bytes.len().max(MAGIC.len() + usize::try_from(length).unwrap_or(0)), 0);
                file.read_exact_at(&mut bytes, 0)?;
            }
            Ok((size, bytes))
        };
        let (size, bytes) = read().map_err(|source| failed("cannot read", &path, source))?;
        // Each segment before this one has a frame at least.
        let (snapshot, first_frame, length) =
            read_beginning(&bytes, uuid, number, number..=FIRST_FRAME_MAX).map_err(|(offset, reason)| {
                StoreError::Damaged { path: path.clone(), offset: offset as u64, reason }
            })?;
        Ok(Self { number, first_frame, begin: length as u64, snapshot, size })
    }
}

/// Reads what a segment begins with: its snapshot, the number of the first frame, which must be one of the given
/// ones, and where that ends.
///
/// # Errors
/// With the place and the reason, when it is damaged.
pub(crate) fn read_beginning(
    bytes: &[u8],
    uuid: [u8; 16],
    number: u64,
    frames: RangeInclusive<u64>,
) -> Result<(LogState, u64, usize), (usize, String)> {
    let Some(rest) = bytes.strip_prefix(&MAGIC) else {
        return Err((0, "it does not begin as a segment of a log in a known format".to_owned()));
    };
    let damaged = |reason| Err((MAGIC.len(), reason));
    let Some((frame, length)) = frame::read(rest, frame::seed(uuid, number), frames) else {
        return damaged("its first frame is unreadable, or does not follow the segment before".to_owned());
    };
    match read_first_frame(frame.body) {
        Err(error) => damaged(format!("its first frame cannot be decoded: {error}")),
        Ok((named, _)) if named != number => damaged(format!("it says that it is segment {named}")),
        Ok((_, snapshot)) => Ok((snapshot, frame.number, MAGIC.len() + length)),
    }
}

/// Creates the log of a new store: one segment that holds nothing.
pub(crate) fn create_first(folder: &Path, uuid: [u8; 16]) -> Result<(), StoreError> {
    create_folder(folder)?;
    Writing::create(folder, 1, &first_frame(uuid, 1, 1, &LogState::default()), 1).map(drop)
}

/// Whether a log was never written to: it is not there, or consists of its first segment with nothing but a
/// first frame in it. For this the frame is not checked, since its seed is not known.
pub(crate) fn is_unused(folder: &Path) -> Result<bool, StoreError> {
    match list(folder) {
        Ok(numbers) if numbers.is_empty() => Ok(true),
        Ok(numbers) if numbers == [1] => {
            let path = path(folder, 1);
            let bytes = fs::read(&path).map_err(|source| failed("cannot read", &path, source))?;
            let length = bytes.get(MAGIC.len()..).and_then(|bytes| bytes.first_chunk::<4>());
            let length = length.map_or(0, |length| u32::from_le_bytes(*length) as usize);
            let rest = bytes.get(MAGIC.len() + frame::HEAD + length..).unwrap_or_default();
            Ok(rest.iter().all(|byte| *byte == 0))
        }
        Ok(_) => Ok(false),
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// The numbers of the segments in a folder, in order, each once. Removes those that were never finished.
pub(crate) fn list(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let read_failed = |source| failed("cannot list", folder, source);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_failed)? {
        let path = entry.map_err(read_failed)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match (stem.parse(), path.extension().and_then(|extension| extension.to_str())) {
            // Of the names that read as the same number, only one is a segment's.
            (Ok(number), Some("log")) if path == self::path(folder, number) => numbers.push(number),
            (Ok(_), Some("new")) => {
                fs::remove_file(&path).map_err(|source| failed("cannot remove", &path, source))?;
            }
            _ => tracing::warn!(path = %path.display(), "a file that is no part of the log is left alone"),
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file of a segment.
pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.log"))
}
