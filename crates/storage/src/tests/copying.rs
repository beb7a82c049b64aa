//! Cuts, resets and full copies, interrupted wherever they can be.

use super::*;
use crate::Snapshot;
use crate::memory::Unsynced;

for_both_stores! {
    a_cut_removes_what_lies_above_the_watermark
    a_copy_replaces_all_that_the_partition_held
    a_copy_that_was_interrupted_counts_as_nothing_and_can_begin_again
    a_page_replaces_its_own_range_only
    what_is_applied_late_does_not_disturb_a_copy
    a_page_without_a_reset_is_refused
    a_page_that_does_not_fit_is_refused_and_changes_nothing
    a_snapshot_does_not_see_what_is_applied_later
    a_store_is_copied_to_another_page_by_page
    a_key_of_a_neighbour_that_shares_a_prefix_is_left_alone
    a_ring_of_one_node_is_copied_once
    a_large_copy_is_installed_in_several_batches
    an_empty_partition_is_copied
}

const P: PartitionId = PartitionId(0);
const NEIGHBOUR: PartitionId = PartitionId(1);

fn due<D: Data>(data: &D) -> Vec<DataKey> {
    data.due(u64::MAX, usize::MAX).expect("nothing is damaged")
}

/// The expiry index by its definition.
fn expiring(records: &BTreeMap<DataKey, Record>) -> Vec<DataKey> {
    let items = records.iter().filter_map(|(key, record)| Some((record.expires_at?, key.clone())));
    let mut items: Vec<_> = items.collect();
    items.sort();
    items.into_iter().map(|(_, key)| key).collect()
}

/// The author of a log of so many entries that put and remove, expire and do not.
fn busy(partition: PartitionId, entries: usize) -> (Author, Vec<Persist>) {
    let mut author = Author::new(partition.0);
    let batch = (0..entries).map(|n| match n % 5 {
        0 => author.put(key_in(partition, n % 40), &format!("value {n}"), Some(n as u64 % 7)),
        3 => author.remove(key_in(partition, (n * 7) % 40)),
        _ => author.put(key_in(partition, (n * 3) % 40), &format!("value {n}"), None),
    });
    let batch = batch.collect();
    (author, batch)
}

/// A store that holds other data of the partition, and some of a neighbour.
fn standing<B: Bench>(bench: &B) -> (Opened<B::Log, B::Data>, Author, Author) {
    let mut opened = bench.open();
    let (mut old, (neighbour, batch)) = (Author::new(P.0), busy(NEIGHBOUR, 50));
    opened.log.append(&batch).expect("the disk works");
    opened.data.apply(&neighbour.entries(0, 50)).expect("the disk works");
    for n in 0..60 {
        let expires_at = (n % 3 == 0).then_some(100 + n as u64);
        let put = old.put(key_in(P, n), "old", expires_at);
        opened.log.append(&[put]).expect("the disk works");
    }
    opened.data.apply(&old.entries(0, 60)).expect("the disk works");
    (opened, old, neighbour)
}

fn a_cut_removes_what_lies_above_the_watermark<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(P.0);
    let mut opened = bench.open();
    let batch: Vec<_> = (0..9).map(|n| author.put(key_in(P, n), "lost", None)).collect();
    let batches = [batch, vec![author.cut(6), author.put(key_in(P, 1), "sent again", None)]];
    for batch in &batches {
        opened.log.append(batch).expect("the disk works");
    }
    opened.data.apply(&author.entries(0, 7)).expect("the disk works");
    opened.data.sync().expect("the disk works");
    drop(opened);
    let opened = bench.open();
    assert_eq!(opened.recovered.replicas, expected_replicas(&batches, &opened.recovered.applied));
    let replica = &opened.recovered.replicas[&P];
    assert_eq!((replica.end, replica.watermark), (7, 7));
    assert_eq!(records(&opened.data), author.records(7));
}

fn a_copy_replaces_all_that_the_partition_held<B: Bench>() {
    let (source, _) = busy(P, 200);
    for records_max in [1, 3, 100] {
        let bench = B::new();
        let (mut opened, mut old, neighbour) = standing(&bench);
        opened.log.append(&[old.reset()]).expect("the disk works");
        for page in source.pages(180, records_max) {
            opened.data.install(P, arc(P), &page).expect("the disk works");
        }
        opened.log.append(&[source.clone().installed(180)]).expect("the disk works");

        let mut expected = source.records(180);
        expected.extend(neighbour.records(50));
        assert_eq!(records(&opened.data), expected);
        assert_eq!(due(&opened.data), expiring(&expected));

        drop(opened);
        let mut opened = bench.open();
        assert_eq!(records(&opened.data), expected);
        assert_eq!(due(&opened.data), expiring(&expected));
        assert_eq!(opened.recovered.applied[&P], source.applied(180));
        let replica = &opened.recovered.replicas[&P];
        assert!(!replica.is_incomplete);
        assert_eq!((replica.start, replica.watermark, replica.end), (181, 180, 180));
        assert_eq!(replica.writers, source.durable().base_at(180).writers);

        // The log goes on from there, and so does the data.
        let mut joined = source.clone();
        joined.installed(180);
        opened.log.append(&[joined.put(key_in(P, 0), "next", None)]).expect("the disk works");
        opened.data.apply(&joined.entries(180, 181)).expect("the disk works");
        assert_eq!(reopen(&bench, opened).recovered.applied[&P], joined.applied(181));
    }
}

fn reopen<B: Bench>(bench: &B, opened: Opened<B::Log, B::Data>) -> Opened<B::Log, B::Data> {
    drop(opened);
    bench.open()
}

fn a_copy_that_was_interrupted_counts_as_nothing_and_can_begin_again<B: Bench>() {
    let (source, _) = busy(P, 200);
    let pages = source.pages(200, 7);
    // With so many pages installed; at the last, the copy is complete but the log does not say so.
    for installed in 0..=pages.len() {
        let bench = B::new();
        let (mut opened, mut old, neighbour) = standing(&bench);
        opened.log.append(&[old.reset()]).expect("the disk works");
        for page in &pages[..installed] {
            opened.data.install(P, arc(P), page).expect("the disk works");
        }
        for _ in 0..2 {
            opened = reopen(&bench, opened);
            assert_eq!(opened.recovered.applied.keys().collect::<Vec<_>>(), [&NEIGHBOUR]);
            let replica = &opened.recovered.replicas[&P];
            assert!(replica.is_incomplete && replica.entries.is_empty());
            let synced = opened.data.sync().expect("the disk works");
            assert_eq!(synced, BTreeMap::from([(NEIGHBOUR, 50)]));
            opened.log.trim(&synced).expect("the disk works");
        }
        opened.log.append(&[old.reset()]).expect("the disk works");
        for page in source.pages(150, 9) {
            opened.data.install(P, arc(P), &page).expect("the disk works");
        }
        opened.log.append(&[source.clone().installed(150)]).expect("the disk works");
        let opened = reopen(&bench, opened);
        let mut expected = source.records(150);
        expected.extend(neighbour.records(50));
        assert_eq!(records(&opened.data), expected);
        assert_eq!(due(&opened.data), expiring(&expected));
        assert_eq!(opened.recovered.applied[&P], source.applied(150));
    }
}

fn a_page_replaces_its_own_range_only<B: Bench>() {
    let bench = B::new();
    let (mut opened, mut old, neighbour) = standing(&bench);
    opened.log.append(&[old.reset()]).expect("the disk works");
    let (source, _) = busy(P, 200);
    let page = &source.pages(200, 10)[0];
    opened.data.install(P, arc(P), page).expect("the disk works");
    let applied = opened.data.snapshot().expect("nothing is damaged").applied(P);
    assert_eq!(applied, Applied::default(), "nothing counts as applied");

    let (last, _) = page.records.last().expect("ten records");
    let mut expected = old.records(60);
    expected.retain(|key, _| key > last);
    expected.extend(page.records.clone());
    expected.extend(neighbour.records(50));
    assert_eq!(records(&opened.data), expected);
    assert_eq!(due(&opened.data), expiring(&expected));
}

fn what_is_applied_late_does_not_disturb_a_copy<B: Bench>() {
    let bench = B::new();
    let (mut opened, mut old, _) = standing(&bench);
    let late = old.put(key_in(P, 70), "late", Some(5));
    opened.log.append(&[late]).expect("the disk works");
    opened.log.append(&[old.reset()]).expect("the disk works");
    opened.data.apply(&old.entries(60, 61)).expect("the log said that it does not matter");
    let (source, _) = busy(P, 100);
    for page in source.pages(100, 20) {
        opened.data.install(P, arc(P), &page).expect("the disk works");
    }
    opened.log.append(&[source.clone().installed(100)]).expect("the disk works");
    let opened = reopen(&bench, opened);
    assert_eq!(opened.recovered.applied[&P], source.applied(100));
    assert_eq!(opened.data.get(&DataKey::of(key_in(P, 70).as_bytes())).expect("nothing is damaged"), None);
}

fn a_page_without_a_reset_is_refused<B: Bench>() {
    let bench = B::new();
    let (opened, old, _) = standing(&bench);
    let refused = opened.data.install(P, arc(P), &old.pages(60, 100)[0]);
    assert!(matches!(refused, Err(StoreError::Inconsistent { .. })), "{refused:?}");
}

fn a_page_that_does_not_fit_is_refused_and_changes_nothing<B: Bench>() {
    let bench = B::new();
    let (mut opened, mut old, _) = standing(&bench);
    opened.log.append(&[old.reset()]).expect("the disk works");
    let before = records(&opened.data);
    let good = old.pages(60, 10)[1].clone();
    let stranger = DataKey::of(key_in(NEIGHBOUR, 0).as_bytes());
    let record = good.records[0].1.clone();
    let bad = [
        CopyPage { number: 0, ..good.clone() },
        CopyPage { after: None, ..good.clone() },
        CopyPage { after: Some(good.records[0].0.clone()), ..good.clone() },
        CopyPage { records: Vec::new(), ..good.clone() },
        CopyPage { records: good.records.iter().rev().cloned().collect(), ..good.clone() },
        CopyPage { number: 0, after: None, records: vec![(stranger, record)], end: None },
    ];
    for page in &bad {
        let refused = opened.data.install(P, arc(P), page);
        assert!(matches!(refused, Err(StoreError::BadPage { .. })), "{refused:?}: {page:?}");
    }
    assert_eq!(records(&opened.data), before);
    opened.data.install(P, arc(P), &good).expect("it is not poisoned");
}

fn a_snapshot_does_not_see_what_is_applied_later<B: Bench>() {
    let bench = B::new();
    let mut opened = bench.open();
    let (mut author, batch) = busy(P, 100);
    opened.log.append(&batch).expect("the disk works");
    opened.data.apply(&author.entries(0, 100)).expect("the disk works");
    let snapshot = opened.data.snapshot().expect("nothing is damaged");
    let expected: Vec<_> = author.records(100).into_iter().collect();

    let mut pages: Vec<CopyPage> = Vec::new();
    while pages.last().is_none_or(|page| page.end.is_none()) {
        let last = pages.last().and_then(|page| page.records.last());
        let after = last.map(|(key, _)| key.clone());
        let number = u32::try_from(pages.len()).expect("a small number");
        pages.push(snapshot.page(P, arc(P), number, after, 200).expect("nothing is damaged"));
        // Meanwhile everything changes.
        let changes = [
            author.put(key_in(P, pages.len() % 100), "later", Some(1)),
            author.remove(key_in(P, (pages.len() * 7) % 40)),
        ];
        opened.log.append(&changes).expect("the disk works");
        let end = author.log.len() as u64;
        opened.data.apply(&author.entries(end - 2, end)).expect("the disk works");
    }
    assert!(pages.len() > 5, "there are {} pages", pages.len());
    assert!(pages.iter().all(|page| !page.records.is_empty()));
    let read: Vec<_> = pages.iter().flat_map(|page| page.records.clone()).collect();
    assert_eq!(read, expected);
    assert_eq!(snapshot.applied(P), author.applied(100));
    assert_eq!(pages.last().expect("the last one").end, Some(author.applied(100)));
    assert_eq!(snapshot.applied(NEIGHBOUR), Applied::default());
}

/// Copies a partition from one store to another.
fn copy<D: Data>(from: &D, to: &D, partition: PartitionId, arc: &Partition, bytes_max: usize) -> u32 {
    let snapshot = from.snapshot().expect("nothing is damaged");
    let (mut number, mut after) = (0, None);
    loop {
        let page = snapshot.page(partition, arc, number, after, bytes_max).expect("nothing is damaged");
        to.install(partition, arc, &page).expect("the disk works");
        if page.end.is_some() {
            return number + 1;
        }
        (number, after) = (number + 1, page.records.last().map(|(key, _)| key.clone()));
    }
}

fn a_store_is_copied_to_another_page_by_page<B: Bench>() {
    for bytes_max in [0, 300, 1 << 20] {
        let (source_bench, bench) = (B::new(), B::new());
        let mut source = source_bench.open();
        let (author, batch) = busy(P, 150);
        let (elsewhere, other) = busy(NEIGHBOUR, 60);
        source.log.append(&batch).expect("the disk works");
        source.log.append(&other).expect("the disk works");
        source.data.apply(&author.entries(0, 150)).expect("the disk works");
        source.data.apply(&elsewhere.entries(0, 60)).expect("the disk works");

        let (mut opened, mut old, neighbour) = standing(&bench);
        opened.log.append(&[old.reset()]).expect("the disk works");
        let pages = copy(&source.data, &opened.data, P, arc(P), bytes_max);
        match bytes_max {
            0 => assert_eq!(pages as usize, author.records(150).len(), "one record each"),
            300 => assert!(pages > 3),
            _ => assert_eq!(pages, 1),
        }
        let mut expected = author.records(150);
        expected.extend(neighbour.records(50));
        assert_eq!(records(&opened.data), expected);
        assert_eq!(due(&opened.data), expiring(&expected));
    }
}

fn a_key_of_a_neighbour_that_shares_a_prefix_is_left_alone<B: Bench>() {
    let (inside, outside) = (key_in(P, 0), key_in(NEIGHBOUR, 0));
    // The arc ends just below the neighbour's key, at the same prefix.
    let mut end = *Token::of(outside.as_bytes()).as_bytes();
    end[19] = end[19].checked_sub(1).expect("the token does not end with a zero");
    let arc = Partition { token: Token::from_bytes(end), ..arc(P).clone() };
    assert_eq!(arc.token.prefix(), Token::of(outside.as_bytes()).prefix());

    let (source_bench, bench) = (B::new(), B::new());
    let mut stores = [source_bench.open(), bench.open()];
    for (opened, value) in stores.iter_mut().zip(["source", "target"]) {
        let (mut author, mut neighbour) = (Author::new(P.0), Author::new(NEIGHBOUR.0));
        let batch = [author.put(inside, value, Some(1)), neighbour.put(outside, value, Some(2))];
        opened.log.append(&batch).expect("the disk works");
        opened.data.apply(&author.entries(0, 1)).expect("the disk works");
        opened.data.apply(&neighbour.entries(0, 1)).expect("the disk works");
    }
    let [source, target] = &mut stores;
    target.log.append(&[Persist::Reset { partition: P }]).expect("the disk works");
    assert_eq!(copy(&source.data, &target.data, P, &arc, 1 << 20), 1);
    let value = |key: &str| records(&target.data)[&DataKey::of(key.as_bytes())].value.clone();
    assert_eq!((&value(inside)[..], &value(outside)[..]), (&b"source"[..], &b"target"[..]));
    assert_eq!(due(&target.data).len(), 2);
}

fn a_ring_of_one_node_is_copied_once<B: Bench>() {
    let ring = Ring::new(&["5554"], 1).expect("one name");
    let arc = &ring.partitions()[0];
    let (source_bench, bench) = (B::new(), B::new());
    let (mut source, mut target) = (source_bench.open(), bench.open());
    let mut author = Author::new(0);
    let mut batch: Vec<_> = (0..59).map(|n| author.put(&format!("key-{n}"), "value", None)).collect();
    // This one stands where the circle begins and ends.
    batch.push(author.put("5554", "value", None));
    source.log.append(&batch).expect("the disk works");
    source.data.apply(&author.entries(0, 60)).expect("the disk works");
    target.log.append(&[author.reset()]).expect("the disk works");
    copy(&source.data, &target.data, PartitionId(0), arc, 500);
    assert_eq!(records(&target.data), author.records(60));
}

fn a_large_copy_is_installed_in_several_batches<B: Bench>() {
    let ring = Ring::new(&["5554"], 1).expect("one name");
    let arc = &ring.partitions()[0];
    let bench = B::new();
    let mut opened = bench.open();
    let mut old = Author::new(0);
    let record = |n: u64| Record {
        version: Version { epoch: Epoch(1), seq: n + 1 },
        expires_at: Some(n),
        value: Bytes::from_static(b"value"),
    };
    // The second copy replaces some of what the first one brought, and all else goes.
    for range in [0..6_000, 5_000..9_000] {
        opened.log.append(&[old.reset()]).expect("the disk works");
        let keys = range.map(|n| (DataKey::of(format!("key-{n}").as_bytes()), record(n)));
        let expected: BTreeMap<_, _> = keys.collect();
        let counts = Counts { keys: expected.len() as u64, expiring: expected.len() as u64 };
        let end = Some(Applied { up_to: 9_000, counts });
        let page = CopyPage { number: 0, after: None, records: expected.clone().into_iter().collect(), end };
        opened.data.install(PartitionId(0), arc, &page).expect("the disk works");
        assert_eq!(records(&opened.data), expected);
        assert_eq!(due(&opened.data), expiring(&expected));
    }
}

fn an_empty_partition_is_copied<B: Bench>() {
    let bench = B::new();
    let (mut opened, mut old, neighbour) = standing(&bench);
    let mut nothing = Author::new(P.0);
    opened.log.append(&[old.reset()]).expect("the disk works");
    for page in nothing.pages(0, 10) {
        opened.data.install(P, arc(P), &page).expect("the disk works");
    }
    opened.log.append(&[nothing.installed(0)]).expect("the disk works");
    let mut opened = reopen(&bench, opened);
    assert_eq!(records(&opened.data), neighbour.records(50));
    opened.log.append(&[nothing.put(key_in(P, 1), "first", None)]).expect("the disk works");
    opened.data.apply(&nothing.entries(0, 1)).expect("the disk works");
    assert_eq!(reopen(&bench, opened).recovered.applied[&P], nothing.applied(1));
}

/// Power fails after each step of a copy, and any part of what is not durable survives.
#[test]
fn a_loss_of_power_leaves_a_copy_whole_or_nothing_of_it() {
    let (source, _) = busy(P, 60);
    let pages = source.pages(60, 5);
    let steps = pages.len() + 2;
    for step in 0..=steps {
        for survives in (0..4).flat_map(|log| (0..6).map(move |data| Unsynced { log, data })) {
            let bench = MemoryBench::new();
            let (mut opened, mut old, _) = standing(&bench);
            for step in 0..step {
                if step == 0 {
                    opened.log.append(&[old.reset()]).expect("the disk works");
                } else if let Some(page) = pages.get(step - 1) {
                    opened.data.install(P, arc(P), page).expect("the disk works");
                } else {
                    opened.log.append(&[source.clone().installed(60)]).expect("the disk works");
                }
            }
            let case = format!("after {step} of {steps} steps, {survives:?}");
            if step == 1 {
                // Nobody made the beginning durable yet.
                assert_eq!(bench.0.unsynced().log, 1, "{case}");
            }
            if step == steps - 1 {
                assert_eq!(bench.0.unsynced().data, 0, "{case}: the last page makes all durable");
            }
            bench.0.lose_power(survives);
            let opened = bench.open();
            let replica = opened.recovered.replicas.get(&P);
            let applied = opened.recovered.applied.get(&P);
            if replica.is_some_and(|replica| replica.is_incomplete) {
                assert!(step > 0, "{case}");
                assert_eq!(applied, None, "{case}");
            } else if replica.is_some_and(|replica| replica.start == 61) {
                assert_eq!(step, steps, "{case}");
                assert_eq!(applied, Some(&source.applied(60)), "{case}");
                let mut found = records(&opened.data);
                found.retain(|key, _| arc(P).contains(Token::of(&key.key())));
                assert_eq!(found, source.records(60), "{case}");
            } else {
                assert!(step <= 1, "{case}: the first page made the beginning durable");
                let up_to = applied.map_or(0, |applied| applied.up_to);
                let mut found = records(&opened.data);
                found.retain(|key, _| arc(P).contains(Token::of(&key.key())));
                assert_eq!(found, old.records(up_to), "{case}");
            }
        }
    }
}

/// An entry that is applied after the log dropped it: had the log lost that again, it would lack what the
/// data holds.
#[test]
fn a_loss_of_power_does_not_part_the_log_from_what_was_applied_late() {
    let bench = MemoryBench::new();
    let (mut opened, mut old, _) = standing(&bench);
    opened.log.append(&[old.put(key_in(P, 70), "late", None)]).expect("the disk works");
    opened.log.append(&[old.reset()]).expect("the disk works");
    opened.data.apply(&old.entries(60, 61)).expect("the disk works");
    bench.0.lose_power(Unsynced { log: 0, data: usize::MAX });
    assert!(bench.open().recovered.replicas[&P].is_incomplete);
}
