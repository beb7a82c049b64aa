//! Logs as the writer leaves them, and all that there is to know of them.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::{
    Base, Change, DataKey, Displaced, Entry, OpId, Persist, Reply, Version, Writer, Writers,
};
use simpledynamo_topology::{Epoch, NodeId, PartitionId, Session};

use super::log_recovery::Scratch;
use crate::disk::folder::Folder;
use crate::disk::{DiskOptions, Lives, frame, go_on, reader, segment};
use crate::state::{LogState, entries_of};
use crate::{Identity, Log};

pub(super) const UUID: [u8; 16] = [7; 16];
pub(super) const HERE: PartitionId = PartitionId(2);
pub(super) const THERE: PartitionId = PartitionId(3);

/// Files by their names in the store's folder.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A log that was written and never damaged.
pub(super) struct Written {
    pub(super) files: Files,
    /// All frames in order; the first has number 1.
    pub(super) frames: Vec<Frame>,
    /// What the log had come to after so many frames.
    pub(super) states: Vec<LogState>,
    /// All entries that it ever held.
    pub(super) entries: BTreeMap<(PartitionId, Version), Arc<Entry>>,
    /// The last frame that was synced.
    pub(super) durable: u64,
}

/// Where a frame lies.
pub(super) struct Frame {
    pub(super) segment: u64,
    pub(super) place: Range<usize>,
    /// The last frame that it says was durable.
    pub(super) durable: u64,
}

pub(super) fn identity() -> Identity {
    Identity { cluster: "classic".to_owned(), node: "5554".to_owned() }
}

/// The name of a segment in the store's folder.
pub(super) fn name_of(segment: u64) -> PathBuf {
    segment::path(Path::new("log"), segment)
}

impl Written {
    /// Writes a log in segments of this size, and syncs after the batches that are named.
    pub(super) fn new(segment_size: u64, is_synced: fn(usize) -> bool) -> Self {
        let scratch = Scratch::new();
        let options = DiskOptions { segment_size, ..DiskOptions::default() };
        let folder = Arc::new(Folder::lock(scratch.path()).expect("nobody else knows the folder"));
        segment::create_first(&folder.log(), UUID).expect("there is room for it");
        folder.write_identity(&identity(), UUID).expect("there is room for it");
        Lives::open(scratch.path())
            .and_then(|mut lives| lives.begin(Session(1), 10))
            .expect("there is room for it");
        let nothing = BTreeMap::new();
        let read = reader::read_log(&folder.log(), UUID, &nothing).expect("it was just created");
        let mut log = go_on(folder, UUID, &options, read, &nothing).expect("it was just created").log;
        let batches = batches();
        for (number, batch) in batches.iter().enumerate() {
            log.append(batch).expect("there is room for it");
            if is_synced(number) {
                log.sync().expect("there is room for it");
            }
        }
        Self::look_at(scratch.path(), &batches, is_synced)
    }

    fn look_at(folder: &Path, batches: &[Vec<Persist>], is_synced: fn(usize) -> bool) -> Self {
        let segments = segment::list(&folder.join("log")).expect("it was just written");
        let names = segments.iter().copied().map(name_of).chain(["identity".into(), "lives".into()]);
        let files: Files = names
            .map(|name| {
                let bytes = fs::read(folder.join(&name)).expect("it was just written");
                (name, bytes)
            })
            .collect();
        let mut written = Self {
            files,
            frames: Vec::new(),
            states: vec![LogState::default()],
            entries: BTreeMap::new(),
            durable: 0,
        };
        let mut batches = batches.iter().enumerate();
        for segment in segments {
            written.look_at_segment(segment, &mut batches, is_synced);
        }
        assert!(batches.next().is_none(), "all batches are found again");
        written
    }

    fn look_at_segment<'a>(
        &mut self,
        segment: u64,
        batches: &mut impl Iterator<Item = (usize, &'a Vec<Persist>)>,
        is_synced: fn(usize) -> bool,
    ) {
        let bytes = &self.files[&name_of(segment)];
        let (seed, mut at) = (frame::seed(UUID, segment), segment::MAGIC.len());
        while let Some((frame, length)) = frame::read(&bytes[at..], seed, 1..=u64::MAX) {
            let mut state = self.states.last().cloned().unwrap_or_default();
            if at == segment::MAGIC.len() {
                // A segment is durable before it bears its name, and so is all before it.
                self.durable = frame.number;
            } else {
                let (number, batch) = batches.next().expect("each further frame is a batch");
                for persist in batch {
                    state.record(persist).expect("there is no gap");
                    let entries = entries_of(persist).iter();
                    self.entries.extend(
                        entries.map(|entry| ((persist.partition(), entry.version), Arc::clone(entry))),
                    );
                }
                if is_synced(number) {
                    self.durable = frame.number;
                }
            }
            self.states.push(state);
            self.frames.push(Frame { segment, place: at..at + length, durable: frame.durable });
            assert_eq!(frame.number, self.frames.len() as u64, "frames are numbered from 1");
            at += length;
        }
    }
}

/// All that can happen to a log, in two partitions.
fn batches() -> Vec<Vec<Persist>> {
    let put = |partition, epoch, seq| Persist::Append { partition, entry: entry(epoch, seq) };
    let open = |partition, epoch, watermark, entries: &[(u64, u64)]| Persist::Open {
        partition,
        epoch: Epoch(epoch),
        watermark,
        entries: entries.iter().map(|(epoch, seq)| entry(*epoch, *seq)).collect(),
    };
    let seal = |partition, epoch| Persist::Seal { partition, epoch: Epoch(epoch) };
    let watermark = |partition, up_to| Persist::Watermark { partition, up_to };
    let done = BTreeMap::from([(203, (version(2, 3), Reply::Done))]);
    let writer = Writer { session: Session(1), floor: 202, done };
    let base = Base { last: version(2, 3), writers: Writers(BTreeMap::from([(NodeId(1), writer)])) };
    vec![
        vec![seal(HERE, 1), open(HERE, 1, 0, &[])],
        vec![put(HERE, 1, 1), put(HERE, 1, 2)],
        vec![open(THERE, 1, 0, &[]), put(THERE, 1, 1), watermark(HERE, 1)],
        vec![put(HERE, 1, 3)],
        vec![put(THERE, 1, 2), put(THERE, 1, 3)],
        vec![open(HERE, 2, 2, &[(1, 3)])],
        vec![put(HERE, 2, 4), put(HERE, 2, 5)],
        vec![Persist::Cut { partition: THERE, attachment: 1, watermark: 2 }],
        vec![put(THERE, 2, 3)],
        vec![Persist::Reset { partition: THERE }],
        vec![Persist::Installed { partition: THERE, attachment: 2, base: Arc::new(base) }, put(THERE, 3, 4)],
        vec![put(HERE, 2, 6), seal(HERE, 4), watermark(HERE, 4)],
        vec![open(HERE, 4, 4, &[(2, 5)])],
        vec![put(HERE, 4, 6)],
        vec![watermark(HERE, 6), put(THERE, 3, 5)],
    ]
}

fn version(epoch: u64, seq: u64) -> Version {
    Version { epoch: Epoch(epoch), seq }
}

/// An entry of a size of its own.
fn entry(epoch: u64, seq: u64) -> Arc<Entry> {
    let counter = 100 * epoch + seq;
    let change = match seq % 4 {
        0 => Change::Remove,
        1 => Change::Put { value: Bytes::from(vec![b'v'; 20 * epoch as usize]), expires_at: None },
        2 => Change::Put { value: Bytes::from(vec![0; 60]), expires_at: Some(counter) },
        _ => Change::Keep,
    };
    Arc::new(Entry {
        version: version(epoch, seq),
        id: OpId { node: NodeId(1), session: Session(1), counter },
        floor: counter - 1,
        key: DataKey::of(format!("key-{seq}").as_bytes()),
        change,
        displaced: Displaced { existed: seq > 4, expires_at: None },
        reply: Reply::Integer(seq.cast_signed()),
    })
}
