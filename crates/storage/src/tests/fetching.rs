//! Reading the log while it is written.

use super::*;
use crate::LogReader;

for_both_stores! {
    entries_are_read_from_anywhere_and_in_parts
    entries_of_several_partitions_are_told_apart
    replaced_entries_are_passed_over
    entries_that_an_epoch_took_over_are_found_once
    entries_that_came_with_an_epoch_are_read_in_parts
    who_stopped_at_the_end_of_what_is_gone_reads_on
    nothing_is_read_across_a_copy
    what_was_trimmed_is_gone
    what_is_retained_is_read_after_a_restart
    what_is_not_there_is_not_found
}

const P: PartitionId = PartitionId(2);

/// Reads from an entry to the end of an author's log, in parts of so many bytes; as far as it goes.
fn read_all<R: LogReader>(reader: &R, author: &Author, mut from: u64, bytes: usize) -> Vec<Arc<Entry>> {
    let end = author.log.len() as u64;
    let mut all = Vec::new();
    while from <= end {
        let read = reader.read(&author.fetch(from, end, bytes)).expect("nothing is damaged");
        let Some(entries) = read else { break };
        assert!(!entries.is_empty());
        from += entries.len() as u64;
        all.extend(entries);
    }
    all
}

fn entries_are_read_from_anywhere_and_in_parts<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    for round in 0..40 {
        let batch: Vec<_> =
            (0..3).map(|n| author.put(&format!("key-{n}"), &round.to_string(), None)).collect();
        opened.log.append(&batch).expect("the disk works");
        // Also what was just written, and is not durable.
        let end = author.log.len() as u64;
        let last = opened.reader.read(&author.fetch(end, end, 1)).expect("nothing is damaged");
        assert_eq!(last.as_deref(), author.log.last().map(std::slice::from_ref));
    }
    for bytes in [0, 500, 1 << 20] {
        for from in [1, 2, 60, 118, 120] {
            let read = read_all(&opened.reader, &author, from, bytes);
            assert_eq!(read, author.log[from as usize - 1..], "from {from}, {bytes} bytes each");
        }
    }
    let part = opened.reader.clone().read(&author.fetch(10, 12, 1 << 20)).expect("nothing is damaged");
    assert_eq!(part.expect("they are there"), author.log[9..12]);
}

fn entries_of_several_partitions_are_told_apart<B: Bench>() {
    let bench = B::new();
    let mut authors = [0, 2, 4].map(Author::new);
    let mut opened = bench.open();
    for _ in 0..30 {
        let mut batch = Vec::new();
        for _ in 0..2 {
            batch.extend(authors.iter_mut().map(|author| author.put("key", "value", None)));
        }
        batch.push(authors[0].watermark(1));
        opened.log.append(&batch).expect("the disk works");
    }
    // In turns, so that each goes on where it stopped.
    let mut next = [1, 1, 1];
    while next.iter().any(|next| *next <= 60) {
        for (author, next) in authors.iter().zip(&mut next) {
            let read = opened.reader.read(&author.fetch(*next, 60, 300)).expect("nothing is damaged");
            let entries = read.expect("they are there");
            let after = *next as usize - 1;
            assert_eq!(entries, author.log[after..after + entries.len()]);
            *next += entries.len() as u64;
        }
    }
}

fn replaced_entries_are_passed_over<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    for round in 0..8 {
        let batch: Vec<_> =
            (0..10).map(|n| author.put(&format!("key-{n}"), &round.to_string(), None)).collect();
        for persist in batch {
            opened.log.append(&[persist]).expect("the disk works");
        }
        // A part is replaced, by an epoch or by a joiner's cut; and a reader had come up to the middle of it.
        let end = author.log.len() as u64;
        read_all(&opened.reader, &author, end - 7, 100);
        let replaced = if round % 2 == 0 { author.open(end - 5, 1) } else { author.cut(end - 5) };
        opened.log.append(&[replaced]).expect("the disk works");
        assert_eq!(read_all(&opened.reader, &author, end - 6, 100), author.log[end as usize - 7..]);
    }
    for bytes in [0, 1 << 20] {
        assert_eq!(read_all(&opened.reader, &author, 1, bytes), author.log);
    }
}

fn entries_that_an_epoch_took_over_are_found_once<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    for _ in 0..12 {
        for _ in 0..6 {
            opened.log.append(&[author.put("key", "value", None)]).expect("the disk works");
        }
        let end = author.log.len() as u64;
        opened.log.append(&[author.open(end - 5, 5)]).expect("the disk works");
    }
    for bytes in [0, 200, 1 << 20] {
        for from in [1, 3, 40, 72] {
            let read = read_all(&opened.reader, &author, from, bytes);
            assert_eq!(read, author.log[from as usize - 1..], "from {from}, {bytes} bytes each");
        }
    }
}

fn entries_that_came_with_an_epoch_are_read_in_parts<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    for _ in 0..3 {
        opened.log.append(&[author.put("key", "value", None)]).expect("the disk works");
    }
    // The other members have these already.
    (0..5).for_each(|_| drop(author.put("key", "new here", None)));
    opened.log.append(&[author.open(3, 5), author.put("key", "value", None)]).expect("the disk works");
    for bytes in [0, 1 << 20] {
        assert_eq!(read_all(&opened.reader, &author, 1, bytes), author.log);
    }
}

fn who_stopped_at_the_end_of_what_is_gone_reads_on<B: Bench>() {
    // Some of these are the last ones of a segment.
    for stop in 1..14 {
        let bench = B::new();
        let mut author = Author::new(P.0);
        let mut opened = bench.open();
        for _ in 0..20 {
            opened.log.append(&[author.put("key", &"v".repeat(100), None)]).expect("the disk works");
        }
        let read = opened.reader.read(&author.fetch(1, stop, 1 << 20)).expect("nothing is damaged");
        assert_eq!(read.map(|entries| entries.len() as u64), Some(stop));
        opened.data.apply(&author.entries(0, stop)).expect("the disk works");
        opened.log.trim(&opened.data.sync().expect("the disk works")).expect("the disk works");
        assert_eq!(read_all(&opened.reader, &author, stop + 1, 0), author.log[stop as usize..]);
    }
}

fn nothing_is_read_across_a_copy<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    for _ in 0..30 {
        opened.log.append(&[author.put(key_in(P, 0), "before", None)]).expect("the disk works");
    }
    let copied = author.clone();
    opened.log.append(&[author.reset()]).expect("the disk works");
    for page in copied.pages(20, 10) {
        opened.data.install(P, arc(P), &page).expect("the disk works");
    }
    opened.log.append(&[author.installed(20)]).expect("the disk works");
    for _ in 0..30 {
        opened.log.append(&[author.put(key_in(P, 0), "after", None)]).expect("the disk works");
    }
    // The log that is told of begins with the copy.
    let mut fetch = author.fetch(21, 50, 1 << 20);
    fetch.history.0.retain(|(first, _)| *first > 20);
    fetch.history.0.push_front((20, Epoch(1)));
    let read = opened.reader.read(&fetch).expect("nothing is damaged").expect("they are there");
    assert_eq!(read, author.log[20..50]);
    fetch.from = 19;
    assert_eq!(opened.reader.read(&fetch).expect("nothing is damaged"), None);
}

fn what_was_trimmed_is_gone<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    for _ in 0..100 {
        opened.log.append(&[author.put("key", "value", None)]).expect("the disk works");
    }
    let sequential = opened.reader.read(&author.fetch(1, 100, 500)).expect("nothing is damaged");
    let next = 1 + sequential.expect("they are there").len() as u64;
    opened.data.apply(&author.entries(0, 60)).expect("the disk works");
    opened.log.trim(&opened.data.sync().expect("the disk works")).expect("the disk works");
    for from in [1, next] {
        assert_eq!(opened.reader.read(&author.fetch(from, 100, 500)).expect("nothing is damaged"), None);
    }
    assert_eq!(read_all(&opened.reader, &author, 61, 500), author.log[60..]);
}

fn what_is_retained_is_read_after_a_restart<B: Bench>() {
    let bench = B::retaining();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    for round in 0..60 {
        opened.log.append(&[author.put(&format!("key-{round}"), "value", None)]).expect("the disk works");
        if round % 20 == 19 {
            let end = author.log.len() as u64;
            opened.data.apply(&author.entries(end - 20, end)).expect("the disk works");
            opened.log.trim(&opened.data.sync().expect("the disk works")).expect("the disk works");
            opened.log.append(&[author.open(end, 0)]).expect("the disk works");
        }
    }
    for _ in 0..3 {
        assert_eq!(read_all(&opened.reader, &author, 51, 300), author.log[50..]);
        drop(opened);
        opened = bench.open();
        assert_eq!(opened.recovered.applied[&P], author.applied(60));
        assert!(opened.recovered.replicas[&P].entries.is_empty());
    }
}

fn what_is_not_there_is_not_found<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    for _ in 0..30 {
        opened.log.append(&[author.put("key", "value", None)]).expect("the disk works");
    }
    let read = |fetch: &Fetch| opened.reader.read(fetch).expect("nothing is damaged");
    assert_eq!(read(&author.fetch(31, 40, 100)), None, "it was not written yet");
    assert_eq!(read(&author.fetch(5, 4, 100)), Some(Vec::new()), "nothing was asked for");
    let mut forgotten = author.fetch(5, 10, 100);
    forgotten.history.0.clear();
    assert_eq!(read(&forgotten), None, "nobody knows which one is meant");
    let mut other = author.fetch(5, 10, 100);
    other.history.0[0].1 = Epoch(9);
    assert_eq!(read(&other), None, "it is of another epoch");
    assert_eq!(read(&Author::new(4).fetch(1, 1, 100)), None, "nothing is known of the partition");
}
