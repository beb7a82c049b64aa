//! Pages and counters against a plain sorted list.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use simpledynamo_chain::{
    Change, Condition, Counts, DataKey, Displaced, Entry, Expiry, Item, OpId, Operation, Page, PageRequest,
    Query, Reading, Record, Reply, Version,
};
use simpledynamo_ring::Token;
use simpledynamo_topology::{Epoch, NodeId, PartitionId, Session};

use crate::cluster::Cluster;

/// Positions are the first 52 of a token's 64 prefix bits.
const POSITION_SHIFT: u32 = 12;

const LAST_POSITION: u64 = (1 << 52) - 1;

fn ring(nodes: usize) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    (0..nodes).for_each(|node| cluster.start(node));
    for (from, to) in cluster.pairs() {
        cluster.connect(from, to);
    }
    cluster.settle();
    cluster
}

fn set(value: &str) -> Operation {
    Operation::Set {
        value: Bytes::from(value.to_owned()),
        condition: Condition::Always,
        expiry: Expiry::Clear,
        want_old: false,
    }
}

fn delete() -> Operation {
    Operation::Delete { condition: Condition::Always, want_old: false }
}

fn ask(cluster: &mut Cluster, node: usize, partition: u16, request: PageRequest) -> Page {
    match cluster.ask(node, PartitionId(partition), Query::Page(request)) {
        Ok(Reading::Page(page)) => page,
        other => panic!("a clean member answers a page at once, not {other:?}"),
    }
}

fn request(from: u64, to: u64, count: u32) -> PageRequest {
    PageRequest { from, to, count, values: true, pattern: None }
}

/// All pages of a range, following `next`, each checked on its own.
fn all_pages(
    cluster: &mut Cluster,
    node: usize,
    partition: u16,
    from: u64,
    to: u64,
    count: u32,
) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at = from;
    loop {
        let page = ask(cluster, node, partition, request(at, to, count));
        let position = |item: &Item| Token::of(&item.key).prefix() >> POSITION_SHIFT;
        assert!(
            page.items.iter().all(|item| (at..=to).contains(&position(item))),
            "inside what was asked for"
        );
        assert!(page.items.len() <= count.max(1) as usize, "no two keys of these tests share a position");
        items.extend(page.items);
        match page.next {
            None => return items,
            Some(next) => {
                assert!(next > at && next <= to, "each page goes on: {at}, then {next}, up to {to}");
                at = next;
            }
        }
    }
}

/// The pairs of a partition in ring order.
fn expected(cluster: &Cluster, pairs: &BTreeMap<String, String>, partition: u16) -> Vec<(String, String)> {
    let mut own: Vec<(DataKey, String, String)> = pairs
        .iter()
        .filter(|(key, _)| cluster.partition_of(key.as_bytes()) == PartitionId(partition))
        .map(|(key, value)| (DataKey::of(key.as_bytes()), key.clone(), value.clone()))
        .collect();
    own.sort();
    own.into_iter().map(|(_, key, value)| (key, value)).collect()
}

fn shown(items: &[Item]) -> Vec<(String, String)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    items.iter().map(|item| (text(&item.key), text(&item.value))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Some of the pairs are in the data, some only in the log, some deleted in the log and still in the data.
    #[test]
    fn pages_show_each_pair_once_wherever_it_is(
        writes in prop::collection::vec((0u8..40, prop::bool::ANY, prop::bool::ANY), 1..60),
        count in 0u32..9,
        cut in 0u64..=LAST_POSITION,
    ) {
        let mut cluster = ring(2);
        let mut pairs = BTreeMap::new();
        for (step, (key, is_delete, is_applied)) in writes.into_iter().enumerate() {
            let (key, value) = (format!("key{key}"), format!("v{step}"));
            cluster.write(0, &key, if is_delete { delete() } else { set(&value) });
            if is_delete { pairs.remove(&key) } else { pairs.insert(key, value) };
            // All becomes clean; the data follows or stays behind.
            for _ in 0..8 {
                while let Some(&(from, to)) = cluster.network.busy().first() {
                    cluster.deliver(from, to);
                }
                for node in 0..2 {
                    cluster.sync(node, usize::MAX);
                }
            }
            if is_applied {
                for node in 0..2 {
                    cluster.apply(node, usize::MAX);
                }
            }
        }
        let mut total = 0;
        for partition in 0..2 {
            let wanted = expected(&cluster, &pairs, partition);
            for node in 0..2 {
                let whole = all_pages(&mut cluster, node, partition, 0, LAST_POSITION, count);
                prop_assert_eq!(&shown(&whole), &wanted);
                let mut halves = all_pages(&mut cluster, node, partition, 0, cut, count);
                if cut < LAST_POSITION {
                    halves.extend(all_pages(&mut cluster, node, partition, cut + 1, LAST_POSITION, count));
                }
                prop_assert_eq!(&shown(&halves), &wanted, "the bounds of a page are part of it");
                let keys = wanted.len() as u64;
                let counts = cluster.ask(node, PartitionId(partition), Query::Count);
                prop_assert_eq!(counts, Ok(Reading::Counts(Counts { keys, expiring: 0 })));
            }
            total += wanted.len();
        }
        prop_assert_eq!(total, pairs.len(), "each pair is of one partition");
    }

    /// The counters never ask the data: what each entry displaced tells enough.
    #[test]
    fn counters_follow_a_plain_map(
        writes in prop::collection::vec((0u8..4, prop::option::of(prop::option::of(1u64..9))), 0..40),
    ) {
        let mut pairs: BTreeMap<u8, Option<u64>> = BTreeMap::new();
        let mut counts = Counts::default();
        for (key, written) in writes {
            let old = pairs.get(&key).copied();
            let displaced = Displaced { existed: old.is_some(), expires_at: old.flatten() };
            let change = match (written, old) {
                (Some(expires_at), _) => Change::Put { value: Bytes::new(), expires_at },
                (None, Some(_)) => Change::Remove,
                (None, None) => Change::Keep,
            };
            counts = counts.after(&entry(change, displaced));
            match written {
                Some(expires_at) => drop(pairs.insert(key, expires_at)),
                None => drop(pairs.remove(&key)),
            }
            let expiring = pairs.values().flatten().count() as u64;
            prop_assert_eq!(counts, Counts { keys: pairs.len() as u64, expiring });
        }
    }
}

fn entry(change: Change, displaced: Displaced) -> Entry {
    Entry {
        version: Version { epoch: Epoch(1), seq: 1 },
        id: OpId { node: NodeId(0), session: Session(1), counter: 1 },
        floor: 1,
        key: DataKey::of(b""),
        change,
        displaced,
        reply: Reply::Done,
    }
}

/// A record in the data of a node under a token of our choice, as if a key hashed there.
fn plant(cluster: &mut Cluster, node: usize, prefix: u64, name: &str) {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&prefix.to_be_bytes());
    let key = DataKey::with_token(Token::from_bytes(bytes), name.as_bytes());
    let version = Version { epoch: Epoch(1), seq: 1 };
    let record = Record { version, expires_at: None, value: Bytes::new() };
    cluster.machines[node].data.records.insert(key, record);
}

fn names(page: &Page) -> Vec<Bytes> {
    page.items.iter().map(|item| item.key.clone()).collect()
}

/// A position is 52 bits, the end of an arc is finer: one position has keys of both neighbours, and a node that
/// keeps both must show each key in its own partition.
#[test]
fn keys_that_share_a_position_with_the_end_of_an_arc_are_shown_in_their_own_partition() {
    let mut cluster = ring(3);
    let end = cluster.ring.partitions()[1].token.prefix();
    assert!((1..0xfff).contains(&(end & 0xfff)), "the neighbours of this end share its position");
    plant(&mut cluster, 0, end - 1, "before");
    plant(&mut cluster, 0, end + 1, "after");
    let position = end >> POSITION_SHIFT;
    let before = ask(&mut cluster, 0, 1, request(position, position, 10));
    let after = ask(&mut cluster, 0, 2, request(position, position, 10));
    assert_eq!(names(&before), ["before"]);
    assert_eq!(names(&after), ["after"]);
}

/// A cursor names a position, so a page may not end inside one.
#[test]
fn keys_of_one_position_come_in_one_page() {
    let mut cluster = ring(1);
    for low in 0..5 {
        plant(&mut cluster, 0, (7 << POSITION_SHIFT) | low, &format!("seven{low}"));
    }
    plant(&mut cluster, 0, 8 << POSITION_SHIFT, "eight");
    let first = ask(&mut cluster, 0, 0, request(0, LAST_POSITION, 2));
    assert_eq!((first.items.len(), first.next), (5, Some(8)));
    let second = ask(&mut cluster, 0, 0, request(8, LAST_POSITION, 2));
    assert_eq!((names(&second), second.next), (vec![Bytes::from("eight")], None));
}

/// The count bounds what is looked at, not what fits: or one page could take for ever to find nothing.
#[test]
fn a_pattern_counts_what_was_looked_at() {
    let mut cluster = ring(1);
    for position in 1..=9 {
        plant(&mut cluster, 0, position << POSITION_SHIFT, &format!("k{position}"));
    }
    let pattern = Some(Bytes::from("*[39]"));
    let page =
        ask(&mut cluster, 0, 0, PageRequest { pattern, values: false, ..request(0, LAST_POSITION, 4) });
    assert_eq!((names(&page), page.next), (vec![Bytes::from("k3")], Some(5)));
}
