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
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::Durable;
use simpledynamo_topology::{PartitionId, Session};
use simpledynamo_wire::codec::{
    DecodeError, finish, get_count, get_durable, get_u16, get_u64, put_count, put_durable, put_u64,
};

use super::folder::{create_folder, failed, sync_folder};
use super::frame;
use crate::StoreError;
use crate::state::LogState;

/// What a segment begins with; the last two bytes are the version of the format.
pub(crate) const MAGIC: [u8; 8] = *b"SDLOG\0\0\x01";

/// How far ahead a file is filled: few enough bytes that filling delays a sync by little.
const FILL_STEP: u64 = 1024 * 1024;

/// The fewest bytes that a replica takes in a snapshot: partition, sealed, open, watermark, end, no writers.
const REPLICA_SIZE_MIN: usize = 6;

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
    put_u64(state.session.0, &mut out);
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
pub(crate) fn read_first_frame(mut body: Bytes) -> Result<(u64, LogState), DecodeError> {
    let body = &mut body;
    let (number, session) = (get_u64(body)?, Session(get_u64(body)?));
    let mut replicas: BTreeMap<PartitionId, Durable> = BTreeMap::new();
    for _ in 0..get_count(body, REPLICA_SIZE_MIN)? {
        let partition = PartitionId(get_u16(body, "a partition's number")?);
        if replicas.last_key_value().is_some_and(|(last, _)| *last >= partition) {
            return Err(DecodeError::Order { what: "the partitions of a snapshot" });
        }
        replicas.insert(partition, get_durable(body)?);
    }
    finish(body)?;
    Ok((number, LogState { session, replicas }))
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

/// The numbers of the segments in a folder, in order. Removes those that were never finished.
pub(crate) fn list(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let read_failed = |source| failed("cannot list", folder, source);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_failed)? {
        let path = entry.map_err(read_failed)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match (stem.parse(), path.extension().and_then(|extension| extension.to_str())) {
            (Ok(number), Some("log")) => numbers.push(number),
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
