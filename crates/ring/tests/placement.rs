//! Placement, to the letter, against the classic ring and against a naive oracle.

use proptest::prelude::*;
use simpledynamo_ring::{Ring, RingError, Token};

const CLASSIC: [&str; 5] = ["5554", "5556", "5558", "5560", "5562"];

fn classic() -> Ring {
    Ring::new(&CLASSIC, 3).expect("the classic ring")
}

#[test]
fn the_classic_ring_is_in_id_order() {
    assert_eq!(classic().names(), ["5562", "5556", "5554", "5558", "5560"]);
}

#[test]
fn node_ids_are_the_sha1_of_the_name() {
    assert_eq!(Token::of(b"5554").to_string(), "33d6357cfaaf0f72991b0ecd8c56da066613c089");
    assert_eq!(Token::of(b"5562").to_string(), "177ccecaec32c54b82d5aaafc18a2dadb753e3b1");
}

#[test]
fn each_partition_lives_on_three_consecutive_nodes_and_wraps() {
    let ring = classic();
    let names = |partition: usize| -> Vec<&str> {
        ring.partitions()[partition].preference.iter().map(|&node| ring.names()[node].as_str()).collect()
    };
    assert_eq!(names(0), ["5562", "5556", "5554"]);
    assert_eq!(names(3), ["5558", "5560", "5562"]);
    assert_eq!(names(4), ["5560", "5562", "5556"]);
}

#[test]
fn a_key_at_a_nodes_own_token_belongs_to_that_node() {
    let ring = classic();
    for (index, name) in ring.names().iter().enumerate() {
        assert_eq!(ring.partition_of(Token::of(name.as_bytes())), index, "inclusive upper end");
    }
}

#[test]
fn tokens_past_the_highest_id_wrap_to_the_lowest() {
    let ring = classic();
    assert_eq!(ring.partition_of(Token::from_bytes([0xff; 20])), 0);
    assert_eq!(ring.partition_of(Token::from_bytes([0; 20])), 0);
}

#[test]
fn impossible_rings_are_refused() {
    assert_eq!(Ring::new::<&str>(&[], 3), Err(RingError::Empty));
    assert_eq!(Ring::new(&["a", "a"], 1), Err(RingError::Duplicate("a".into())));
    assert_eq!(Ring::new(&["a", "b"], 3), Err(RingError::Replicas { replicas: 3, nodes: 2 }));
    assert_eq!(Ring::new(&["a"], 0), Err(RingError::Replicas { replicas: 0, nodes: 1 }));
}

/// The definition, word for word: of all ids not below the hash the least, else the least of all; then the
/// next ones in id order.
fn oracle(names: &[String], replicas: usize, key: Token) -> Vec<String> {
    let mut ids: Vec<(Token, &String)> =
        names.iter().map(|name| (Token::of(name.as_bytes()), name)).collect();
    ids.sort();
    let first = ids.iter().position(|(id, _)| *id >= key).unwrap_or(0);
    ids.iter().cycle().skip(first).take(replicas).map(|(_, name)| (*name).clone()).collect()
}

proptest! {
    #[test]
    fn placement_agrees_with_the_definition(
        names in prop::collection::btree_set("[a-z0-9]{1,8}", 1..12),
        replicas in 1usize..5,
        keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 1..24),
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let replicas = replicas.min(names.len());
        let ring = Ring::new(&names, replicas).expect("distinct names");
        for key in keys {
            let token = Token::of(&key);
            let index = ring.partition_of(token);
            let partition = &ring.partitions()[index];
            let placed: Vec<String> = partition.preference.iter().map(|&i| ring.names()[i].clone()).collect();
            prop_assert_eq!(placed, oracle(&names, replicas, token));
            for (other, candidate) in ring.partitions().iter().enumerate() {
                prop_assert_eq!(candidate.contains(token), other == index, "exactly one partition holds a key");
            }
            let prefix = token.prefix();
            prop_assert!(partition.prefix_ranges().iter().any(|&(low, high)| low <= prefix && prefix <= high));
        }
        let whole: f64 = ring.partitions().iter().map(|partition| partition.share()).sum();
        prop_assert!((whole - 1.0).abs() < 1e-9, "the arcs make up the circle");
    }
}
