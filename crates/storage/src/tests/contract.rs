//! What every store does, case by case.

use super::*;
use simpledynamo_chain::DataKey;

for_both_stores! {
    a_new_store_is_empty
    what_was_appended_is_recovered
    an_open_replaces_all_above_the_watermark
    applied_entries_are_not_recovered_and_raise_the_watermark
    entries_are_applied_once_and_in_order
    a_gap_in_the_log_is_refused
    entries_that_the_log_lacks_are_not_applied
    trimming_keeps_what_is_needed
    entries_that_were_replaced_do_not_hold_up_trimming
    a_range_is_in_ring_order_and_ends_at_its_bounds
    a_range_does_not_see_what_is_applied_while_it_is_read
    keys_come_due_by_their_newest_expiry_time
    a_store_of_another_node_is_refused
    a_second_opener_is_refused
    a_store_keeps_its_uuid
}

const P: PartitionId = PartitionId(2);

fn up_to(up_to: u64) -> BTreeMap<PartitionId, u64> {
    BTreeMap::from([(P, up_to)])
}

fn value<D: Data>(data: &D, key: &str) -> Option<String> {
    let record = data.get(&DataKey::of(key.as_bytes())).expect("nothing is damaged");
    record.map(|record| String::from_utf8(record.value.to_vec()).expect("a test's values are text"))
}

fn a_new_store_is_empty<B: Bench>() {
    let bench = B::new();
    let opened = bench.open();
    assert!(opened.recovered.replicas.is_empty());
    assert!(opened.recovered.applied.is_empty());
    assert_eq!(opened.data.range(0, u64::MAX).count(), 0);
}

fn what_was_appended_is_recovered<B: Bench>() {
    let bench = B::new();
    let (mut two, mut four) = (Author::new(2), Author::new(4));
    let mut batches = Vec::new();
    let mut opened = bench.open();
    for round in 0..60 {
        let mut batch = vec![two.put(&format!("key-{round}"), "two", Some(round)), four.keep("absent")];
        match round % 4 {
            0 => batch.push(Persist::Seal { partition: P, epoch: Epoch(round + 2) }),
            1 => batch.push(two.watermark(round / 2)),
            _ => {}
        }
        opened.log.append(&batch).expect("the disk works");
        batches.push(batch);
    }
    opened.log.sync().expect("the disk works");
    for _ in 0..3 {
        drop(opened);
        opened = bench.open();
        assert_eq!(opened.recovered.replicas, expected_replicas(&batches, &BTreeMap::new()));
    }
}

fn an_open_replaces_all_above_the_watermark<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    let mut batches = vec![(0..10).map(|n| author.put("key", &n.to_string(), None)).collect::<Vec<_>>()];
    batches.push(vec![author.open(4, 2)]);
    batches.push(vec![author.put("key", "instead", None)]);
    for batch in &batches {
        opened.log.append(batch).expect("the disk works");
    }
    drop(opened);

    let recovered = bench.open().recovered;
    let replica = &recovered.replicas[&P];
    assert_eq!((replica.open, replica.watermark, replica.end), (Epoch(2), 4, 7));
    assert_eq!(replica.entries, author.log);
    assert_eq!(recovered.replicas, expected_replicas(&batches, &BTreeMap::new()));
}

fn applied_entries_are_not_recovered_and_raise_the_watermark<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    let batch: Vec<_> = (0..5).map(|n| author.put(&format!("key-{n}"), "value", None)).collect();
    opened.log.append(&batch).expect("the disk works");
    opened.data.apply(&author.entries(0, 3)).expect("the disk works");
    opened.data.sync().expect("the disk works");
    drop(opened);

    let recovered = bench.open().recovered;
    assert_eq!(recovered.applied[&P].up_to, 3);
    assert_eq!(recovered.applied[&P].counts.keys, 3);
    let replica = &recovered.replicas[&P];
    assert_eq!((replica.watermark, replica.end), (3, 5));
    assert_eq!(replica.entries, author.log[3..].to_vec());
}

fn entries_are_applied_once_and_in_order<B: Bench>() {
    let mut author = Author::new(2);
    let bench = B::new();
    let mut opened = bench.open();
    let batch = [
        author.put("a", "1", None),
        author.put("a", "2", Some(50)),
        author.put("b", "3", None),
        author.remove("b"),
        author.keep("a"),
    ];
    opened.log.append(&batch).expect("the disk works");

    let once = opened.data.apply(&author.entries(0, 4)).expect("the disk works");
    let again = opened.data.apply(&author.entries(1, 4)).expect("the disk works");
    assert_eq!(once, again);
    assert_eq!((once[&P].up_to, once[&P].counts.keys, once[&P].counts.expiring), (4, 1, 1));
    assert_eq!(value(&opened.data, "a").as_deref(), Some("2"));
    assert_eq!(value(&opened.data, "b"), None);
    let all = opened.data.apply(&author.entries(0, 5)).expect("the disk works");
    assert_eq!((all[&P].up_to, all[&P].counts), (5, once[&P].counts));

    let mut skipping = author.clone();
    opened.log.append(&[skipping.keep("a"), skipping.keep("a")]).expect("the disk works");
    let gap = opened.data.apply(&skipping.entries(6, 7));
    assert!(matches!(gap, Err(StoreError::Inconsistent { .. })), "{gap:?}");
    let after = opened.data.apply(&skipping.entries(5, 7));
    assert!(matches!(after, Err(StoreError::Poisoned { .. })), "{after:?}");
}

fn a_gap_in_the_log_is_refused<B: Bench>() {
    let mut author = Author::new(2);
    let bench = B::new();
    let mut opened = bench.open();
    let _skipped = author.put("a", "1", None);
    let gap = opened.log.append(&[author.put("a", "2", None)]);
    assert!(matches!(gap, Err(StoreError::Inconsistent { .. })), "{gap:?}");
    let after = opened.log.sync();
    assert!(matches!(after, Err(StoreError::Poisoned { .. })), "{after:?}");
}

fn entries_that_the_log_lacks_are_not_applied<B: Bench>() {
    let mut author = Author::new(2);
    let bench = B::new();
    let opened = bench.open();
    let _never_appended = author.put("a", "1", None);
    let refused = opened.data.apply(&author.entries(0, 1));
    assert!(matches!(refused, Err(StoreError::Inconsistent { .. })), "{refused:?}");
}

fn trimming_keeps_what_is_needed<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(2);
    let mut batches = Vec::new();
    let mut opened = bench.open();
    for round in 0..200 {
        let batch = vec![author.put(&format!("key-{round}"), "value", None)];
        opened.log.append(&batch).expect("the disk works");
        batches.push(batch);
        if round % 20 == 19 {
            let end = author.log.len() as u64;
            opened.data.apply(&author.entries(0, end - 10)).expect("the disk works");
            let applied = opened.data.sync().expect("the disk works");
            assert_eq!(applied, up_to(end - 10));
            opened.log.trim(&applied).expect("the disk works");
        }
    }
    for _ in 0..2 {
        drop(opened);
        opened = bench.open();
        assert_eq!(opened.recovered.replicas, expected_replicas(&batches, &opened.recovered.applied));
        assert_eq!(opened.recovered.replicas[&P].entries, author.log[190..].to_vec());
    }
}

fn entries_that_were_replaced_do_not_hold_up_trimming<B: Bench>() {
    let bench = B::new();
    let mut author = Author::new(2);
    let mut opened = bench.open();
    let batch: Vec<_> = (0..30).map(|_| author.put("key", "value", None)).collect();
    opened.log.append(&batch).expect("the disk works");
    let reopened = author.open(5, 0);
    opened.log.append(&[reopened]).expect("the disk works");
    opened.data.apply(&author.entries(0, 5)).expect("the disk works");
    let applied = opened.data.sync().expect("the disk works");
    for _ in 0..3 {
        opened.log.append(&[author.watermark(5)]).expect("the disk works");
        opened.log.trim(&applied).expect("the disk works");
    }
    drop(opened);
    let recovered = bench.open().recovered;
    assert_eq!((recovered.replicas[&P].end, recovered.replicas[&P].watermark), (5, 5));
    assert!(recovered.replicas[&P].entries.is_empty());
}

fn a_range_is_in_ring_order_and_ends_at_its_bounds<B: Bench>() {
    let mut author = Author::new(2);
    let bench = B::new();
    let mut opened = bench.open();
    let keys: Vec<String> = (0..40).map(|n| format!("key-{n}")).collect();
    let batch: Vec<_> = keys.iter().map(|key| author.put(key, key, None)).collect();
    opened.log.append(&batch).expect("the disk works");
    opened.data.apply(&author.entries(0, 40)).expect("the disk works");

    let mut sorted: Vec<DataKey> = keys.iter().map(|key| DataKey::of(key.as_bytes())).collect();
    sorted.sort();
    let read = |low: u64, high: u64| -> Vec<DataKey> {
        let items = opened.data.range(low, high).map(|item| item.expect("nothing is damaged"));
        items.inspect(|(key, record)| assert_eq!(key.key(), record.value)).map(|(key, _)| key).collect()
    };
    assert_eq!(read(0, u64::MAX), sorted);
    assert_eq!(read(sorted[10].prefix(), sorted[20].prefix()), sorted[10..=20]);
    assert_eq!(read(sorted[10].prefix() + 1, sorted[20].prefix() - 1), sorted[11..20]);
    assert_eq!(read(sorted[39].prefix(), u64::MAX), sorted[39..]);
    assert_eq!(read(5, 4), []);
}

fn a_range_does_not_see_what_is_applied_while_it_is_read<B: Bench>() {
    let mut author = Author::new(2);
    let bench = B::new();
    let mut opened = bench.open();
    let before: Vec<_> = (0..20).map(|n| author.put(&format!("key-{n}"), "before", None)).collect();
    let after: Vec<_> = (0..40).map(|n| author.put(&format!("key-{n}"), "after", None)).collect();
    opened.log.append(&before).expect("the disk works");
    opened.log.append(&after).expect("the disk works");
    opened.data.apply(&author.entries(0, 20)).expect("the disk works");

    let mut range = opened.data.range(0, u64::MAX);
    let first = range.next().expect("there are records").expect("nothing is damaged");
    opened.data.apply(&author.entries(20, 60)).expect("the disk works");
    let rest = range.map(|item| item.expect("nothing is damaged"));
    let values: Vec<_> = std::iter::once(first).chain(rest).map(|(_, record)| record.value).collect();
    assert_eq!(values, ["before"; 20]);
}

fn keys_come_due_by_their_newest_expiry_time<B: Bench>() {
    let mut author = Author::new(2);
    let bench = B::new();
    let mut opened = bench.open();
    let batch = [
        author.put("late", "1", Some(300)),
        author.put("early", "1", Some(100)),
        author.put("moved", "1", Some(50)),
        author.put("same", "1", Some(200)),
        author.put("moved", "2", Some(400)),
        author.put("same", "2", Some(200)),
        author.put("gone", "1", Some(10)),
        author.remove("gone"),
        author.put("persisted", "1", Some(20)),
        author.put("persisted", "1", None),
    ];
    opened.log.append(&batch).expect("the disk works");
    // In two batches, so that old times are taken out both within a batch and by a later one.
    opened.data.apply(&author.entries(0, 4)).expect("the disk works");
    let applied = opened.data.apply(&author.entries(4, 10)).expect("the disk works");
    assert_eq!((applied[&P].counts.keys, applied[&P].counts.expiring), (5, 4));

    let due = |now, limit| -> Vec<Bytes> {
        let keys = opened.data.due(now, limit).expect("nothing is damaged");
        keys.iter().map(DataKey::key).collect()
    };
    assert_eq!(due(99, 10), [""; 0]);
    assert_eq!(due(100, 10), ["early"]);
    assert_eq!(due(u64::MAX, 10), ["early", "same", "late", "moved"]);
    assert_eq!(due(u64::MAX, 2), ["early", "same"]);
}

fn a_store_of_another_node_is_refused<B: Bench>() {
    let bench = B::new();
    drop(bench.open());
    let refused = bench.open_as(&identity("5556")).map(|_| ());
    let Err(StoreError::Foreign { found, expected, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(found, "node 5554 of cluster classic");
    assert_eq!(expected, "node 5556 of cluster classic");
    drop(bench.open());
}

fn a_second_opener_is_refused<B: Bench>() {
    let bench = B::new();
    let Opened { log, data, .. } = bench.open();
    let is_refused = || matches!(bench.open_as(&identity("5554")), Err(StoreError::InUse { .. }));
    assert!(is_refused());
    drop(log);
    assert!(is_refused(), "the data is still open");
    drop(data);
    drop(bench.open());
}

fn a_store_keeps_its_uuid<B: Bench>() {
    let bench = B::new();
    let uuid = bench.open().uuid;
    assert_ne!(uuid, [0; 16]);
    assert_eq!(bench.open().uuid, uuid);
}
