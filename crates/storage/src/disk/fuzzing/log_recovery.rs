//! Opening a log of which anything may have become.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use simpledynamo_chain::{Applied, Counts, Durable, Fetch, Persist};
use simpledynamo_topology::{Epoch, PartitionId, Session};

use super::changes;
use super::input::Input;
use super::written::{Files, HERE, THERE, UUID, Written, identity, name_of};
use crate::disk::folder::Folder;
use crate::disk::{DiskLogReader, DiskOptions, GoneOn, Lives, frame, go_on, reader};
use crate::state::LogState;
use crate::{Log, LogReader, StoreError};

/// Logs of one segment and of several, that were synced after each batch, never, and now and then.
static LOGS: LazyLock<[Written; 5]> = LazyLock::new(|| {
    [
        Written::new(1 << 14, |_| true),
        Written::new(1 << 14, |_| false),
        Written::new(512, |_| true),
        Written::new(512, |_| false),
        Written::new(1024, |batch| batch % 3 == 0),
    ]
});

/// Makes the changes that the input says to the files of a log - segments, identity, sessions that began - and opens
/// it, as a store is opened but for the data: of that the input says how far it has come. (It is the engine's own
/// business to read what it wrote.)
///
/// Nothing panics, whatever the files hold; and whatever is not opened is called damaged, or another's. If moreover no
/// file holds a frame that has the right checksum and was never written, then
///
/// - what is opened is the log up to one of its frames, and that frame is not before the last segment, nor before one
///   that a later frame, still in its place, says was durable;
/// - a log that only lost or garbled what had not been synced is opened, with all that had been;
/// - who reads the log finds the entries that were written, and no others;
/// - what is written next is found behind all that when the log is opened again.
pub fn log_recovery(input: &[u8]) {
    let mut input = Input(input);
    let written = input.choose(&*LOGS);
    let applied: BTreeMap<_, _> = [HERE, THERE]
        .into_iter()
        .filter_map(|partition| {
            let up_to = u64::from(input.byte() % 8);
            (up_to > 0).then_some((partition, Applied { up_to, counts: Counts::default() }))
        })
        .collect();
    // None of the log is kept for others, or all of it.
    let log_retention = if input.byte() % 2 == 0 { 0 } else { u64::MAX };
    let mut files = written.files.clone();
    changes::make(&mut files, written, &mut input);

    let scratch = Scratch::new();
    for (name, bytes) in &files {
        fs::write(scratch.path().join(name), bytes).expect("there is room for it");
    }
    let options = DiskOptions { segment_size: 512, log_retention, ..DiskOptions::default() };
    let case = Case { written, files, applied, options, folder: scratch.path() };
    case.check();
}

/// A log with its changes.
struct Case<'a> {
    written: &'a Written,
    files: Files,
    applied: BTreeMap<PartitionId, Applied>,
    options: DiskOptions,
    folder: &'a Path,
}

impl Case<'_> {
    fn check(&self) {
        let uuid = match self.identify() {
            Ok(Some(uuid)) => uuid,
            Ok(None) => {
                assert!(!self.files.contains_key(Path::new("identity")), "whose it is was there to be read");
                return;
            }
            Err(error) => return assert_is_damage(&error),
        };
        let read = reader::read_log(&self.folder.join("log"), uuid, &self.applied);
        let frames = read.map(|read| read.next_frame - 1);
        if self.is_forged(uuid) {
            return self.check_forged();
        }
        if self.is_torn_at_most() {
            let frames = frames.as_ref().expect("all that was synced is there");
            assert!(*frames >= self.written.durable, "all that was synced is there");
        }
        match frames {
            Err(error) => assert_is_damage(&error),
            Ok(frames) => self.check_read(frames),
        }
    }

    /// Reads all but the log.
    fn identify(&self) -> Result<Option<[u8; 16]>, StoreError> {
        let lives = Lives::open(self.folder)?;
        if self.is_untouched(Path::new("lives")) {
            assert!(lives.contains(Session(1), 10));
        }
        Folder::lock(self.folder)?.identify(&identity())
    }

    /// Opens the log. What it returns says how many frames it holds, the one that begins the next segment not
    /// included.
    fn open(&self) -> Result<(u64, GoneOn), StoreError> {
        let folder = Arc::new(Folder::lock(self.folder)?);
        let read = reader::read_log(&folder.log(), UUID, &self.applied)?;
        let frames = read.next_frame - 1;
        Ok((frames, go_on(folder, UUID, &self.options, read, &self.applied)?))
    }

    /// Looks at a log that could be read up to a frame.
    fn check_read(&self, frames: u64) {
        self.assert_nothing_is_lost_after(frames);
        let state = self.state_after(frames);
        let expected = state.clone().recover(&self.applied);
        let (again, opened) = match self.open() {
            Ok(opened) => opened,
            Err(error) => {
                let has_lost_its_beginning = !self.files.contains_key(&name_of(1));
                assert!(expected.is_err() || has_lost_its_beginning, "{error}");
                return assert_is_damage(&error);
            }
        };
        assert_eq!(again, frames, "what was opened once is opened again");
        let expected = expected.expect("the log and the data do not contradict each other");
        assert_eq!(opened.recovered.replicas, expected.replicas);
        assert_eq!(opened.recovered.applied, expected.applied);
        for (partition, replica) in &state.replicas {
            self.check_reading(&opened.reader, *partition, replica);
        }
        self.check_writing(frames, opened, state.clone());
    }

    /// A log ends where no segment and no frame says that it went on.
    fn assert_nothing_is_lost_after(&self, frames: u64) {
        let segments = self.written.frames.iter().map(|frame| frame.segment);
        let last_segment = segments
            .filter(|segment| self.files.contains_key(&name_of(*segment)))
            .max()
            .expect("one was read");
        let bytes = &self.files[&name_of(last_segment)];
        for (frame, number) in self.written.frames.iter().zip(1..) {
            if frame.segment < last_segment {
                assert!(number < frames, "frame {number} is not in the last segment");
            } else if frame.segment == last_segment && frame.durable > frames {
                let whole = &self.written.files[&name_of(last_segment)][frame.place.clone()];
                let is_there = bytes.get(frame.place.clone()) == Some(whole);
                assert!(!is_there, "the log ends after frame {frames}, but frame {number} says it went on");
            }
        }
    }

    /// Reads all entries of a partition as for a node that missed them.
    fn check_reading(&self, reader: &DiskLogReader, partition: PartitionId, replica: &Durable) {
        for from in 1..=replica.end {
            let history = replica.history.clone();
            let fetch = Fetch { partition, attachment: 1, from, to: replica.end, bytes: usize::MAX, history };
            match reader.read(&fetch) {
                Err(error) => assert_is_damage(&error),
                Ok(None) => {}
                Ok(Some(entries)) => {
                    assert!(!entries.is_empty());
                    for (entry, seq) in entries.iter().zip(from..) {
                        assert_eq!(entry.version.seq, seq);
                        assert_eq!(replica.history.epoch_at(seq), Some(entry.version.epoch));
                        assert_eq!(Some(entry), self.written.entries.get(&(partition, entry.version)));
                    }
                }
            }
        }
    }

    /// Writes one batch more and opens the log again.
    fn check_writing(&self, frames: u64, opened: GoneOn, mut state: LogState) {
        let GoneOn { mut log, reader, tail, .. } = opened;
        let seal = Persist::Seal { partition: HERE, epoch: Epoch(1_000) };
        log.append(std::slice::from_ref(&seal)).expect("there is room for it");
        drop((log, reader, tail));

        state.record(&seal).expect("it leaves no gap");
        let (again, opened) = self.open().expect("nothing has happened to it since");
        assert_eq!(again, frames + 2, "a segment has begun, and holds a batch");
        let expected = state.recover(&self.applied).expect("the log has only grown");
        assert_eq!(opened.recovered.replicas, expected.replicas);
    }

    /// Does the same with a log that says what was never written: it makes no sense, but does no harm.
    fn check_forged(&self) {
        let (_, opened) = match self.open() {
            Ok(opened) => opened,
            Err(error) => return assert_is_damage(&error),
        };
        let GoneOn { mut log, reader, tail, recovered } = opened;
        for (partition, replica) in recovered.replicas {
            let (to, history) = (replica.end, replica.history);
            let fetch = Fetch { partition, attachment: 1, from: replica.start, to, bytes: 1 << 20, history };
            if let Err(error) = reader.read(&fetch) {
                assert_is_damage(&error);
            }
        }
        if let Err(error) = log.append(&[Persist::Seal { partition: HERE, epoch: Epoch(1_000) }]) {
            assert_is_damage(&error);
        }
        drop((log, reader, tail));
        if let Err(error) = self.open() {
            assert_is_damage(&error);
        }
    }

    fn state_after(&self, frames: u64) -> &LogState {
        let frames = usize::try_from(frames).expect("a small number");
        self.written.states.get(frames).expect("no more frames are read than were written")
    }

    fn is_untouched(&self, name: &Path) -> bool {
        self.files.get(name) == self.written.files.get(name)
    }

    /// Whether nothing has changed but what lies behind the last frame that was synced.
    fn is_torn_at_most(&self) -> bool {
        let last = self.written.frames.last().expect("a log has frames");
        let name = name_of(last.segment);
        let durable =
            &self.written.frames[usize::try_from(self.written.durable).expect("a small number") - 1];
        assert_eq!(durable.segment, last.segment, "all segments before the last are durable");
        let end = durable.place.end;
        let is_whole = |name: &PathBuf| self.is_untouched(name);
        let others_are_whole = self.written.files.keys().filter(|other| **other != name).all(is_whole);
        let begin = self.files.get(&name).and_then(|bytes| bytes.get(..end));
        let has_no_more = self.files.len() == self.written.files.len();
        others_are_whole && has_no_more && begin == Some(&self.written.files[&name][..end])
    }

    /// Whether a file holds a frame that has the right checksum and was never written: by `changes`, or because the
    /// fuzzer saw what the checksum is compared with.
    fn is_forged(&self, uuid: [u8; 16]) -> bool {
        let names = self.files.keys().filter(|name| name.extension().is_some());
        let mut segments = names.filter_map(|name| Some((name, name.file_stem()?.to_str()?.parse().ok()?)));
        segments.any(|(name, segment)| {
            let (bytes, seed) = (&self.files[name], frame::seed(uuid, segment));
            (0..bytes.len()).any(|at| {
                let read = frame::read(&bytes[at..], seed, 1..=u64::MAX);
                read.is_some_and(|(frame, length)| {
                    !self.was_written(segment, frame.number, &bytes[at..at + length])
                })
            })
        })
    }

    fn was_written(&self, segment: u64, number: u64, bytes: &[u8]) -> bool {
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        self.written.frames.get(index).is_some_and(|frame| {
            frame.segment == segment && self.written.files[&name_of(segment)][frame.place.clone()] == *bytes
        })
    }
}

fn assert_is_damage(error: &StoreError) {
    assert!(error.is_damage() || matches!(error, StoreError::Foreign { .. }), "no disk refused: {error}");
}

/// A folder for one store, in memory where there is such a place, and gone afterwards.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("simpledynamo-fuzzing-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("log")).expect("there is room for it");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is small, and in a place that does not last.
        let _ = fs::remove_dir_all(&self.0);
    }
}
