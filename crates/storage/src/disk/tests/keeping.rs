//! Segments that are kept for nodes that come back: not read at a start, read by readers, and bounded.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::LogReader;

const P: PartitionId = PartitionId(2);

/// A store whose log keeps about so many bytes.
fn keeping(log_retention: u64) -> DiskBench {
    let mut bench = DiskBench::new();
    bench.options.log_retention = log_retention;
    bench
}

fn log_of(bench: &DiskBench) -> PathBuf {
    bench.folder.path().join("log")
}

/// Writes and applies so many entries, one by one; trims now and then.
fn write(opened: &mut Opened<DiskLog, DiskData>, author: &mut Author, entries: usize) {
    for n in 0..entries {
        opened.log.append(&[author.put(&format!("key-{n}"), "value", None)]).unwrap();
        let end = author.log.len() as u64;
        opened.data.apply(&author.entries(end - 1, end)).unwrap();
        if n % 20 == 19 {
            opened.log.trim(&opened.data.sync().unwrap()).unwrap();
        }
    }
}

fn read_all(reader: &DiskLogReader, author: &Author, mut from: u64) -> Result<Vec<Arc<Entry>>, StoreError> {
    let mut all = Vec::new();
    while from <= author.log.len() as u64 {
        let read = reader.read(&author.fetch(from, author.log.len() as u64, 300))?;
        let entries = read.expect("they are kept");
        from += entries.len() as u64;
        all.extend(entries);
    }
    Ok(all)
}

/// Where the frames of a segment begin, and where the last one ends.
fn frames(path: &std::path::Path, uuid: [u8; 16], number: u64) -> Vec<usize> {
    let bytes = fs::read(path).unwrap();
    let mut frames = vec![segment::MAGIC.len()];
    while let Some((_, length)) =
        frame::read(&bytes[frames[frames.len() - 1]..], frame::seed(uuid, number), 1..=u64::MAX)
    {
        frames.push(frames[frames.len() - 1] + length);
    }
    frames
}

#[test]
fn the_log_takes_no_more_room_than_it_is_granted() {
    let bench = keeping(8 * 1024);
    let mut author = Author::new(2);
    let mut opened = bench.open();
    for _ in 0..5 {
        write(&mut opened, &mut author, 200);
        let files = segment::list(&log_of(&bench)).unwrap();
        let sizes =
            files.iter().map(|number| fs::metadata(segment::path(&log_of(&bench), *number)).unwrap().len());
        let size: u64 = sizes.sum();
        assert!((6 * 1024..12 * 1024).contains(&size), "{size} bytes in {files:?}");
        // A third of it is certainly there.
        let from = author.log.len() as u64 - 30;
        assert_eq!(read_all(&opened.reader, &author, from).unwrap(), author.log[from as usize - 1..]);
        opened = {
            drop(opened);
            bench.open()
        };
    }
}

#[test]
fn what_is_only_kept_is_not_read_at_a_start() {
    let bench = keeping(1 << 20);
    let mut author = Author::new(2);
    let mut opened = bench.open();
    write(&mut opened, &mut author, 100);
    opened.log.append(&[author.put("key", "not applied", None)]).unwrap();
    let uuid = opened.uuid;
    drop(opened);

    let segments = segment::list(&log_of(&bench)).unwrap();
    assert!(segments.len() > 5, "{segments:?}");
    let path = segment::path(&log_of(&bench), segments[2]);
    let whole = fs::read(&path).unwrap();
    let frames = frames(&path, uuid, segments[2]);
    let mut bytes = whole.clone();
    bytes[frames[3] + frame::HEAD + 5] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let opened = bench.open();
    assert_eq!(opened.recovered.replicas[&P].entries, author.log[100..].to_vec());
    let last = opened.reader.read(&author.fetch(101, 101, 1)).unwrap().unwrap();
    assert_eq!(last, author.log[100..]);

    // Who reads it finds the damage, and is told where it is.
    let error = read_all(&opened.reader, &author, 1).unwrap_err();
    let StoreError::Damaged { path: found, offset, reason } = &error else { panic!("{error}") };
    assert_eq!((found, *offset), (&path, frames[3] as u64), "{reason}");
    // What comes behind is read all the same, by another way in.
    assert_eq!(read_all(&opened.reader, &author, 80).unwrap(), author.log[79..]);
    drop(opened);

    // The beginnings are looked at.
    for (case, at) in [("magic", 3), ("first frame", frames[0] + frame::HEAD + 5)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        match bench.open_as(&identity("5554")) {
            Err(StoreError::Damaged { path: found, .. }) => assert_eq!(found, path, "{case}"),
            other => panic!("{case}: {:?}", other.err()),
        }
    }
    fs::remove_file(&path).unwrap();
    let opened = bench.open_as(&identity("5554"));
    assert!(matches!(opened, Err(StoreError::Inconsistent { .. })), "{:?}", opened.err());
}

#[test]
fn a_frame_that_is_missing_at_the_end_of_a_kept_segment_is_found() {
    let bench = keeping(1 << 20);
    let mut author = Author::new(2);
    let mut opened = bench.open();
    write(&mut opened, &mut author, 60);
    let uuid = opened.uuid;
    drop(opened);
    let number = segment::list(&log_of(&bench)).unwrap()[1];
    let path = segment::path(&log_of(&bench), number);
    let frames = frames(&path, uuid, number);
    let (last, end) = (frames[frames.len() - 2], frames[frames.len() - 1]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[last..end].fill(0);
    fs::write(&path, &bytes).unwrap();
    let opened = bench.open();
    let error = read_all(&opened.reader, &author, 1).unwrap_err();
    let StoreError::Damaged { path: found, offset, .. } = &error else { panic!("{error}") };
    assert_eq!((found, *offset), (&path, last as u64));
}

#[test]
fn a_start_reads_from_before_what_the_data_lacks() {
    let bench = keeping(1 << 20);
    let (mut author, mut other) = (Author::new(2), Author::new(4));
    let mut opened = bench.open();
    // The data never gets what the other partition wrote in the middle.
    write(&mut opened, &mut author, 60);
    opened.log.append(&[other.put("other", "value", None)]).unwrap();
    write(&mut opened, &mut author, 60);
    for _ in 0..2 {
        drop(opened);
        opened = bench.open();
        assert_eq!(opened.recovered.replicas[&PartitionId(4)].entries, other.log);
        assert!(opened.recovered.replicas[&P].entries.is_empty());
        assert_eq!(opened.recovered.applied[&P].up_to, 120);
    }
    opened.log.trim(&opened.data.sync().unwrap()).unwrap();
    assert_eq!(read_all(&opened.reader, &author, 1).unwrap(), author.log);
}

#[test]
fn a_start_while_a_copy_is_under_way_does_not_go_back_before_it() {
    let bench = keeping(1 << 20);
    let mut author = Author::new(2);
    let mut opened = bench.open();
    write(&mut opened, &mut author, 60);
    let uuid = opened.uuid;
    let copied = author.clone();
    opened.log.append(&[author.reset()]).unwrap();
    let page = CopyPage { end: None, ..copied.pages(60, 1 << 20).remove(0) };
    // With the first page, nothing counts as applied any more.
    let ring = simpledynamo_ring::Ring::new(&["5554"], 1).unwrap();
    opened.data.install(P, &ring.partitions()[0], &page).unwrap();
    drop(opened);
    drop(bench.open());

    let segments = segment::list(&log_of(&bench)).unwrap();
    let path = segment::path(&log_of(&bench), segments[1]);
    let frames = frames(&path, uuid, segments[1]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[frames[2] + frame::HEAD] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let opened = bench.open();
    assert!(opened.recovered.replicas[&P].is_incomplete);
    assert!(opened.recovered.applied.is_empty());
}

#[test]
fn who_reads_on_does_not_search_again() {
    let bench = keeping(1 << 20);
    let mut author = Author::new(2);
    let mut opened = bench.open();
    write(&mut opened, &mut author, 60);
    let first = opened.reader.read(&author.fetch(1, 60, 2_000)).unwrap().unwrap().len() as u64;
    let number = segment::list(&log_of(&bench)).unwrap()[1];
    let path = segment::path(&log_of(&bench), number);
    let start = frames(&path, opened.uuid, number)[1];
    // What was read before is not looked at any more.
    for number in 1..number {
        fs::remove_file(segment::path(&log_of(&bench), number)).unwrap();
    }
    let mut bytes = fs::read(&path).unwrap();
    bytes[start] ^= 1;
    fs::write(&path, bytes).unwrap();
    let search = |from| opened.reader.read(&author.fetch(from, 60, 300));
    let next = search(first + 1).unwrap().unwrap();
    assert_eq!(next, author.log[first as usize..first as usize + next.len()]);
    assert!(search(first + 1).is_err(), "this must be searched for");
}

#[test]
fn a_log_is_read_while_it_is_written_and_trimmed() {
    const ENTRIES: u64 = 2_000;
    let mut bench = keeping(16 * 1024);
    bench.options.segment_size = 4 * 1024;
    let mut opened = bench.open();
    let mut author = Author::new(2);
    let reader = opened.reader.clone();
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    // All of the log, as the writer will write it: each entry says which one it is.
    let mut plan = Author::new(2);
    (0..ENTRIES).for_each(|n| drop(plan.put(&format!("key-{}", n % 50), &n.to_string(), None)));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..ENTRIES {
                opened.log.append(&[author.put(&format!("key-{}", n % 50), &n.to_string(), None)]).unwrap();
                written.store(n + 1, Ordering::Release);
                if n % 64 == 63 {
                    opened.data.apply(&author.entries(n - 63, n + 1)).unwrap();
                    opened.log.trim(&opened.data.sync().unwrap()).unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let (mut next, mut read, mut gone) = (1, 0, 0);
            let fetch = plan.fetch(1, 1, 500);
            loop {
                let is_done = done.load(Ordering::Acquire);
                let to = written.load(Ordering::Acquire);
                if next > to {
                    if is_done {
                        break;
                    }
                    thread::yield_now();
                    continue;
                }
                match reader.read(&Fetch { from: next, to, ..fetch.clone() }).unwrap() {
                    Some(entries) => {
                        let after = next as usize - 1;
                        assert_eq!(entries, plan.log[after..after + entries.len()]);
                        next += entries.len() as u64;
                        read += entries.len();
                    }
                    // A trimming was faster.
                    None => (next, gone) = (to, gone + 1),
                }
            }
            assert!(read > 100 || gone > 0, "{read} entries were read, {gone} times they were gone");
        });
    });
    assert_eq!(author.log, plan.log);
}

/// A file that cannot be synced shows when a sync is tried.
fn break_syncs(opened: &mut Opened<DiskLog, DiskData>) {
    opened.log.replace_file(OpenOptions::new().write(true).open("/dev/null").unwrap());
}

#[test]
fn the_log_is_synced_before_the_data_is_replaced() {
    let arc = &simpledynamo_ring::Ring::new(&["5554"], 1).unwrap().partitions()[0].clone();
    for is_durable in [false, true] {
        let bench = DiskBench::new();
        let mut opened = bench.open();
        let mut author = Author::new(2);
        write(&mut opened, &mut author, 10);
        let pages = author.pages(10, 2);
        let reset = author.reset();
        if is_durable {
            opened.log.append(&[reset]).unwrap();
            opened.log.sync().unwrap();
            break_syncs(&mut opened);
        } else {
            break_syncs(&mut opened);
            opened.log.append(&[reset]).unwrap();
        }
        let installed = opened.data.install(P, arc, &pages[0]);
        assert_eq!(installed.is_ok(), is_durable, "{installed:?}");
    }
}

#[test]
fn the_log_is_synced_before_entries_are_applied_that_come_late() {
    for replace in [Author::reset as fn(&mut Author) -> Persist, |author| author.cut(6)] {
        let bench = DiskBench::new();
        let mut opened = bench.open();
        let mut author = Author::new(2);
        let batch: Vec<_> = (0..10).map(|n| author.put(&format!("key-{n}"), "value", None)).collect();
        opened.log.append(&batch).unwrap();
        opened.log.sync().unwrap();
        let late = author.entries(0, 6);
        break_syncs(&mut opened);
        let replaced = [replace(&mut author), author.put("key", "instead", None)];
        opened.log.append(&replaced[..if author.is_incomplete { 1 } else { 2 }]).unwrap();
        if author.is_incomplete {
            let applied = opened.data.apply(&late);
            assert!(matches!(applied, Err(StoreError::Io { .. })), "{applied:?}");
        } else {
            opened.data.apply(&late).expect("the log holds these durably");
            let applied = opened.data.apply(&author.entries(6, 7));
            assert!(
                matches!(applied, Err(StoreError::Io { .. })),
                "what was durable was replaced: {applied:?}"
            );
        }
    }
}
