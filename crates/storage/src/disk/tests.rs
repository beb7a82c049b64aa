//! What happens to files: torn ends, flipped bits, missing and foreign parts, a disk that fails.

mod emptying;
mod keeping;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;
use simpledynamo_chain::{Change, CopyPage, DataKey, Entry, Fetch, Persist, Reply};
use simpledynamo_topology::{Epoch, PartitionId};

use super::*;
use crate::state::LogState;
use crate::tests::{Author, Bench, DiskBench, expected_replicas, identity};
use crate::{Data, Log};

/// A log of a few batches, each of which was synced or not, and where its frames begin.
struct Written {
    bench: DiskBench,
    uuid: [u8; 16],
    batches: Vec<Vec<Persist>>,
    /// Where each batch begins in the last segment, and where the last one ends.
    offsets: Vec<u64>,
    /// The last segment.
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Written {
    fn new(synced: bool) -> Self {
        let mut bench = DiskBench::new();
        bench.options.segment_size = 1 << 20;
        let mut author = Author::new(2);
        let mut opened = bench.open();
        let (mut batches, mut offsets) = (Vec::new(), vec![opened.log.offset()]);
        for n in 0..6 {
            let batch = vec![author.put(&format!("key-{n}"), "value", None), author.watermark(n)];
            opened.log.append(&batch).unwrap();
            if synced {
                opened.log.sync().unwrap();
            }
            batches.push(batch);
            offsets.push(opened.log.offset());
        }
        let path = segment::path(&bench.folder.path().join("log"), 2);
        let bytes = fs::read(&path).unwrap();
        Self { uuid: opened.uuid, bench, batches, offsets, path, bytes }
    }

    /// Reads the log with these bytes in its last segment.
    fn read(&self, bytes: &[u8]) -> Result<reader::ReadLog, StoreError> {
        fs::write(&self.path, bytes).unwrap();
        reader::read_log(&self.bench.folder.path().join("log"), self.uuid, &BTreeMap::new())
    }

    /// Asserts that the log with these bytes holds the first batches, and that what comes after is gone.
    fn assert_holds(&self, batches: usize, bytes: &[u8], case: &str) {
        let read = self.read(bytes).unwrap_or_else(|error| panic!("{case}: {error}"));
        let expected = expected_replicas(&self.batches[..batches], &BTreeMap::new());
        assert_eq!(read.state.replicas, expected, "{case}");
        let rest = &fs::read(&self.path).unwrap()[self.offsets[batches] as usize..];
        assert!(rest.iter().all(|byte| *byte == 0), "{case}: the torn end is cut off");
    }

    fn assert_damaged(&self, bytes: &[u8], case: &str) {
        match self.read(bytes) {
            Err(StoreError::Damaged { path, .. }) => assert_eq!(path, self.path, "{case}"),
            other => panic!("{case}: {other:?}"),
        }
    }

    fn offset(&self, batch: usize) -> usize {
        usize::try_from(self.offsets[batch]).unwrap()
    }
}

fn seal(epoch: u64) -> Persist {
    Persist::Seal { partition: PartitionId(2), epoch: Epoch(epoch) }
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let written = Written::new(true);
    let last = written.offset(5)..written.offset(6);
    assert!(last.len() > frame::HEAD);
    for at in last.clone() {
        written.assert_holds(5, &written.bytes[..at], &format!("the file ends at {at}"));
        let mut bytes = written.bytes.clone();
        bytes[at..].fill(0);
        written.assert_holds(5, &bytes, &format!("only zeros from {at} on"));
        let mut bytes = written.bytes.clone();
        bytes[last.start..at + 1].fill(0);
        written.assert_holds(5, &bytes, &format!("only zeros up to {at}"));
    }
    written.assert_holds(6, &written.bytes[..last.end], "the file ends after the last frame");
    written.assert_holds(6, &written.bytes, "nothing is torn");
}

#[test]
fn a_flipped_bit_is_damage_unless_it_may_be_a_torn_end() {
    let written = Written::new(true);
    for at in 0..written.offset(6) {
        let mut bytes = written.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let case = format!("a bit is flipped at {at}");
        if at < written.offset(5) {
            written.assert_damaged(&bytes, &case);
        } else {
            written.assert_holds(5, &bytes, &case);
        }
    }
}

#[test]
fn a_hole_in_what_was_never_synced_ends_the_log() {
    let written = Written::new(false);
    for hole in 0..6 {
        let mut bytes = written.bytes.clone();
        bytes[written.offset(hole)..written.offset(hole + 1)].fill(0);
        written.assert_holds(hole, &bytes, &format!("batch {hole} is missing"));
    }
}

#[test]
fn a_hole_in_what_was_synced_is_damage() {
    let written = Written::new(true);
    for hole in 0..5 {
        let mut bytes = written.bytes.clone();
        bytes[written.offset(hole)..written.offset(hole + 1)].fill(0);
        written.assert_damaged(&bytes, &format!("batch {hole} is missing"));
    }
}

#[test]
fn a_value_that_looks_like_a_frame_is_none() {
    let mut bench = DiskBench::new();
    bench.options.segment_size = 1 << 20;
    let mut author = Author::new(2);
    let mut opened = bench.open();
    opened.log.append(&[author.put("key", "value", None)]).unwrap();
    // As somebody would write it who knows the format, but not the store: it says that all was durable.
    let mut forged = vec![0; frame::HEAD + 9];
    frame::seal(&mut forged, frame::seed([0; 16], 2), 6, 5);
    let value = Change::Put { value: Bytes::from(forged), expires_at: None };
    opened.log.append(&[author.write("key", value, Reply::Done)]).unwrap();
    let (start, path) = (opened.log.offset(), segment::path(&bench.folder.path().join("log"), 2));
    drop(opened);

    // The frame around the value is torn at its end.
    let mut bytes = fs::read(&path).unwrap();
    let end = usize::try_from(start).unwrap();
    bytes[end - 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(bench.open().recovered.replicas[&PartitionId(2)].end, 1);
}

#[test]
fn damage_in_an_earlier_segment_is_never_a_torn_end() {
    let bench = DiskBench::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    for n in 0..100 {
        opened.log.append(&[author.put(&format!("key-{n}"), "value", None)]).unwrap();
    }
    let uuid = opened.uuid;
    drop(opened);
    let log = bench.folder.path().join("log");
    let segments = segment::list(&log).unwrap();
    assert!(segments.len() >= 4, "{segments:?}");

    let path = segment::path(&log, segments[1]);
    let whole = fs::read(&path).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let seed = frame::seed(uuid, segments[1]);
    let mut frames = vec![segment::MAGIC.len()];
    while let Some((_, length)) = frame::read(&whole[frames[frames.len() - 1]..], seed, 1..=u64::MAX) {
        frames.push(frames[frames.len() - 1] + length);
    }
    let last_frame = frames[frames.len() - 2]..frames[frames.len() - 1];
    let mut flipped = whole.clone();
    flipped[end] ^= 1;
    let mut shorter = whole.clone();
    shorter[last_frame].fill(0);
    // The last one shows only where the next segment should follow.
    let next = segment::path(&log, segments[2]);
    for (case, bytes, found_in) in [
        ("a bit is flipped", &flipped[..], &path),
        ("the end is missing", &whole[..end], &path),
        ("the last frame is missing", &shorter, &next),
    ] {
        fs::write(&path, bytes).unwrap();
        match bench.open_as(&identity("5554")) {
            Err(StoreError::Damaged { path, .. }) => assert_eq!(path, *found_in, "{case}"),
            other => panic!("{case}: {:?}", other.err()),
        }
    }
    fs::write(&path, whole).unwrap();
    drop(bench.open());

    fs::remove_file(&path).unwrap();
    let opened = bench.open_as(&identity("5554"));
    assert!(matches!(opened, Err(StoreError::Inconsistent { .. })), "{:?}", opened.err());
}

#[test]
fn a_snapshot_that_does_not_follow_from_the_segment_before_is_damage() {
    let bench = DiskBench::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    opened.log.append(&[author.put("key", "value", None)]).unwrap();
    let uuid = opened.uuid;
    drop(opened);
    let log = bench.folder.path().join("log");
    let mut state = reader::read_log(&log, uuid, &BTreeMap::new()).unwrap().mirror();
    let third = |state: &LogState| {
        // The first two segments hold a first frame each, and the second a batch.
        segment::Writing::create(&log, 3, &segment::first_frame(uuid, 3, 4, state), 1024).unwrap();
        bench.open_as(&identity("5554")).map(|opened| opened.recovered.replicas.len())
    };
    let replica = state.replicas.get_mut(&PartitionId(2)).unwrap();
    let sealed = std::mem::replace(&mut replica.sealed, Epoch(1));
    let damaged = third(&state);
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
    state.replicas.get_mut(&PartitionId(2)).unwrap().sealed = sealed;
    assert_eq!(third(&state).unwrap(), 1);
}

#[test]
fn a_segment_that_was_never_finished_is_removed() {
    let bench = DiskBench::new();
    let mut opened = bench.open();
    opened.log.append(&[seal(4)]).unwrap();
    drop(opened);
    let new = bench.folder.path().join("log").join(format!("{:020}.new", 3));
    fs::write(&new, "half a segment").unwrap();
    assert_eq!(bench.open().recovered.replicas[&PartitionId(2)].sealed, Epoch(4));
    assert!(!new.exists());
}

#[test]
fn a_file_is_a_segment_only_by_the_name_that_a_segment_has() {
    let bench = DiskBench::new();
    let mut opened = bench.open();
    opened.log.append(&[seal(4)]).unwrap();
    drop(opened);
    let log = bench.folder.path().join("log");
    for name in ["1.log", "+2.log", "copy.log", "18446744073709551616.log"] {
        fs::write(log.join(name), "nothing of ours").unwrap();
    }
    assert_eq!(bench.open().recovered.replicas[&PartitionId(2)].sealed, Epoch(4));
}

#[test]
fn the_highest_number_that_there_is_is_no_segment_s() {
    let bench = DiskBench::new();
    drop(bench.open());
    let log = bench.folder.path().join("log");
    for number in segment::list(&log).unwrap() {
        fs::rename(segment::path(&log, number), segment::path(&log, u64::MAX)).unwrap();
    }
    let opened = bench.open_as(&identity("5554"));
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{:?}", opened.err());
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let bench = DiskBench::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    let large = "x".repeat(3 * 1024);
    let batches: Vec<Vec<Persist>> = vec![
        vec![author.put("small", "1", None)],
        vec![author.put("large", &large, None)],
        vec![author.put("small", "2", None)],
    ];
    for batch in &batches {
        opened.log.append(batch).unwrap();
    }
    drop(opened);
    assert_eq!(bench.open().recovered.replicas, expected_replicas(&batches, &BTreeMap::new()));
}

#[test]
fn trimming_removes_segments_and_leaves_no_hole() {
    let bench = DiskBench::new();
    let log = bench.folder.path().join("log");
    let mut author = Author::new(2);
    let mut opened = bench.open();
    let mut sizes = Vec::new();
    for n in 0..400 {
        opened.log.append(&[author.put(&format!("key-{n}"), "value", None)]).unwrap();
        if n % 40 == 39 {
            opened.data.apply(&author.entries(n - 39, n + 1)).unwrap();
            opened.log.trim(&opened.data.sync().unwrap()).unwrap();
            let numbers = segment::list(&log).unwrap();
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
            sizes.push(numbers.len());
        }
    }
    assert!(sizes.iter().all(|size| *size == 1), "all but the segment that is written: {sizes:?}");
}

#[test]
fn a_segment_of_replaced_entries_is_removed() {
    let bench = DiskBench::new();
    let log = bench.folder.path().join("log");
    let mut author = Author::new(2);
    let mut opened = bench.open();
    let batch: Vec<_> = (0..50).map(|_| author.put("key", "value", None)).collect();
    opened.log.append(&batch).unwrap();
    opened.log.append(&[author.open(5, 0)]).unwrap();
    assert_eq!(segment::list(&log).unwrap().len(), 2);
    opened.data.apply(&author.entries(0, 4)).unwrap();
    opened.log.trim(&opened.data.sync().unwrap()).unwrap();
    assert_eq!(segment::list(&log).unwrap().len(), 2, "entry 5 is still needed");
    opened.data.apply(&author.entries(4, 5)).unwrap();
    opened.log.trim(&opened.data.sync().unwrap()).unwrap();
    assert_eq!(segment::list(&log).unwrap().len(), 1, "the 45 after it are not");
}

#[test]
fn the_log_is_synced_before_the_data_may_hold_what_it_says() {
    let bench = DiskBench::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    let batch: Vec<_> = (0..6).map(|_| author.put("key", "value", None)).collect();
    opened.log.append(&batch).unwrap();
    opened.log.sync().unwrap();
    // A file that cannot be synced shows when a sync is tried.
    opened.log.replace_file(OpenOptions::new().write(true).open("/dev/null").unwrap());
    opened.data.apply(&author.entries(0, 3)).expect("the log holds these durably");
    opened.log.append(&[author.open(3, 0), author.put("key", "instead", None)]).unwrap();
    let applied = opened.data.apply(&author.entries(3, 4));
    assert!(matches!(applied, Err(StoreError::Io { .. })), "what was durable was replaced: {applied:?}");
}

#[test]
fn a_log_that_lost_its_end_or_its_start_does_not_fit_the_data() {
    let bench = DiskBench::new();
    let log = bench.folder.path().join("log");
    let mut author = Author::new(2);
    let mut opened = bench.open();
    for n in 0..100 {
        opened.log.append(&[author.put(&format!("key-{n}"), "value", None)]).unwrap();
    }
    drop(opened);
    let segments = segment::list(&log).unwrap();
    assert!(segments.len() >= 4, "{segments:?}");

    // The oldest segment is gone, and the data never held what was in it.
    let saved: Vec<_> = segments.iter().map(|number| segment::path(&log, *number)).collect();
    let saved: Vec<_> = saved.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    fs::remove_file(&saved[0].1).unwrap();
    let (_, second) = &saved[1];
    fs::remove_file(second).unwrap();
    let opened = bench.open_as(&identity("5554"));
    let Err(StoreError::Inconsistent { reason, .. }) = opened else { panic!("{:?}", opened.err()) };
    assert!(reason.contains("but the log begins at"), "{reason}");
    saved.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());

    // The newest segments are gone, and the data held what was in them.
    let opened = bench.open();
    opened.data.apply(&author.entries(0, 100)).unwrap();
    drop(opened);
    for number in segment::list(&log).unwrap() {
        fs::remove_file(segment::path(&log, number)).unwrap();
    }
    let (bytes, path) = &saved[0];
    fs::write(path, bytes).unwrap();
    let opened = bench.open_as(&identity("5554"));
    let Err(StoreError::Inconsistent { reason, .. }) = opened else { panic!("{:?}", opened.err()) };
    assert!(reason.contains("but the data holds 100"), "{reason}");

    fs::remove_dir_all(&log).unwrap();
    let opened = bench.open_as(&identity("5554"));
    let Err(StoreError::Inconsistent { reason, .. }) = opened else { panic!("{:?}", opened.err()) };
    assert_eq!(reason, "the log is gone");
}

#[test]
fn data_that_is_gone_is_replayed_from_a_whole_log() {
    let bench = DiskBench::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    opened.log.append(&[author.put("key", "value", None)]).unwrap();
    opened.data.apply(&author.entries(0, 1)).unwrap();
    drop(opened);
    fs::remove_dir_all(bench.folder.path().join("data")).unwrap();
    let opened = bench.open();
    assert!(opened.recovered.applied.is_empty());
    assert_eq!(opened.recovered.replicas[&PartitionId(2)].entries, author.log);
}

#[test]
fn an_interrupted_creation_starts_over() {
    let bench = DiskBench::new();
    let folder = bench.folder.path();
    drop(bench.open());
    // As it is before the identity is written: a log that holds nothing, and some of the data.
    fs::remove_file(folder.join("identity")).unwrap();
    fs::remove_dir_all(folder.join("log")).unwrap();
    segment::create_first(&folder.join("log"), [9; 16]).unwrap();
    fs::remove_file(folder.join("data").join("version")).unwrap();
    let mut opened = bench.open();
    opened.log.append(&[seal(1)]).unwrap();
    drop(opened);

    fs::remove_file(folder.join("identity")).unwrap();
    let opened = bench.open_as(&identity("5554"));
    assert!(matches!(opened, Err(StoreError::Inconsistent { .. })), "{:?}", opened.err());
}

#[test]
fn a_log_without_an_identity_is_refused_from_its_first_batch_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    segment::create_first(&log, [9; 16]).unwrap();
    assert!(segment::is_unused(&log).unwrap());
    let path = segment::path(&log, 1);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() = 1;
    fs::write(&path, bytes).unwrap();
    assert!(!segment::is_unused(&log).unwrap());
}

#[test]
fn an_identity_of_another_format_or_none_is_refused() {
    let bench = DiskBench::new();
    drop(bench.open());
    let path = bench.folder.path().join("identity");
    let text = fs::read_to_string(&path).unwrap();

    fs::write(&path, text.replace("format = 2", "format = 1")).unwrap();
    let opened = bench.open_as(&identity("5554"));
    let Err(StoreError::Foreign { found, .. }) = opened else { panic!("{:?}", opened.err()) };
    assert_eq!(found, "a program that writes format 1");

    for damaged in [text.replace("uuid", "u"), text.replace("uuid = ", "uuid = x"), String::new()] {
        fs::write(&path, &damaged).unwrap();
        let opened = bench.open_as(&identity("5554"));
        assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{damaged}: {:?}", opened.err());
    }
}

#[test]
fn a_name_of_any_kind_stays_on_its_line() {
    let bench = DiskBench::new();
    let odd = Identity { cluster: "a\nnode = b".to_owned(), node: "=\r".to_owned() };
    drop(bench.open_as(&odd).unwrap());
    drop(bench.open_as(&odd).unwrap());
    assert!(matches!(bench.open_as(&identity("b")), Err(StoreError::Foreign { .. })));
}

#[test]
fn nothing_is_written_after_a_failed_write_or_sync() {
    // A full disk refuses to take bytes; what is no file refuses to be synced.
    for (device, append_fails) in [("/dev/full", true), ("/dev/null", false)] {
        let bench = DiskBench::new();
        let mut author = Author::new(2);
        let mut opened = bench.open();
        opened.log.append(&[author.put("key", "1", None)]).unwrap();
        opened.log.sync().unwrap();
        opened.log.replace_file(OpenOptions::new().write(true).open(device).unwrap());

        let appended = opened.log.append(&[author.put("key", "2", None)]);
        assert_eq!(matches!(appended, Err(StoreError::Io { .. })), append_fails, "{device}: {appended:?}");
        let synced = opened.log.sync();
        let poisoned = |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Poisoned { .. }));
        assert_eq!(poisoned(&synced), append_fails, "{device}: {synced:?}");
        assert!(synced.is_err());
        assert!(poisoned(&opened.log.append(&[seal(2)])));
        assert!(poisoned(&opened.log.sync()));
        assert!(poisoned(&opened.log.trim(&BTreeMap::new())));
        let applied = opened.data.apply(&author.entries(0, 2));
        assert!(applied.is_err(), "the data must not run ahead of the log");
        drop(opened);
        assert_eq!(bench.open().recovered.replicas[&PartitionId(2)].end, 1);
    }
}

#[test]
fn a_record_that_cannot_be_decoded_is_an_error_that_names_the_key() {
    let bench = DiskBench::new();
    let opened = bench.open();
    let key = DataKey::of(b"key");
    opened.data.engine().put_raw(&key, &[0xff; 30]);
    for error in
        [opened.data.get(&key).unwrap_err(), opened.data.range(0, u64::MAX).next().unwrap().unwrap_err()]
    {
        let StoreError::Record { key: shown, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*shown, format!("{:016x}{}", key.prefix(), "6b6579"));
    }
}

#[test]
fn a_batch_torn_inside_a_large_value_is_cut_off_the_data_and_still_in_the_log() {
    let bench = DiskBench::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    // What cannot be compressed is stored as it is, so the engine parses it even where it is missing.
    let mut noise = 1u32;
    let mut value = |length: usize| -> Change {
        let bytes = (0..length).map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        });
        Change::Put { value: bytes.collect(), expires_at: None }
    };
    let batch: Vec<_> =
        (0..4).map(|n| author.write(&format!("key-{n}"), value(50_000), Reply::Done)).collect();
    opened.log.append(&batch).unwrap();
    for entry in 0..4 {
        opened.data.apply(&author.entries(entry, entry + 1)).unwrap();
    }
    drop(opened);

    let journal = bench.folder.path().join("data").join("0.jnl");
    let bytes = fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let file = File::options().write(true).open(&journal).unwrap();
    file.write_all_at(&[0; 4096], (end - 20_000) as u64).unwrap();

    let opened = bench.open();
    assert_eq!(opened.recovered.applied[&PartitionId(2)].up_to, 3);
    opened.data.apply(&author.entries(3, 4)).unwrap();
    let record = opened.data.get(&DataKey::of(b"key-3")).unwrap();
    assert_eq!(record, author.log[3].record());
}
