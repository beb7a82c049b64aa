//! From a key to the nodes that keep it.

use std::hint::black_box;

use bytes::Bytes;
use simpledynamo_ring::{Ring, Token};

use crate::case::{Case, Measure, Step};
use crate::samples;

/// Keys that are looked up by turns: more than one, so that no branch is always the same.
const KEYS: u64 = 1_024;

pub(crate) fn cases() -> [Case; 2] {
    [
        Case {
            name: "ring-token",
            about: "SHA-1 of a key of 14 bytes",
            measure: Measure::Counted(4_096),
            prepare: token,
        },
        Case {
            name: "ring-lookup",
            about: "key to token to partition to preference list, 5 nodes",
            measure: Measure::Counted(4_096),
            prepare: || lookup(5),
        },
    ]
}

fn token() -> Step {
    let mut keys = keys();
    Box::new(move || {
        black_box(Token::of(black_box(&next(&mut keys))));
    })
}

/// Looks keys up in a ring of so many nodes.
pub(crate) fn lookup(nodes: usize) -> Step {
    let names: Vec<String> = (0..nodes).map(|node| (5554 + 2 * node).to_string()).collect();
    let ring = Ring::new(&names, 3).expect("names are unlike, and three nodes there are");
    let mut keys = keys();
    Box::new(move || {
        let partition = ring.partition_of(Token::of(black_box(&next(&mut keys))));
        let preference = &ring.partitions()[partition].preference;
        assert_eq!(preference.len(), 3, "each pair is kept three times");
        black_box(preference);
    })
}

fn keys() -> std::iter::Cycle<std::vec::IntoIter<Bytes>> {
    (0..KEYS).map(samples::key).collect::<Vec<_>>().into_iter().cycle()
}

fn next(keys: &mut impl Iterator<Item = Bytes>) -> Bytes {
    keys.next().expect("it goes round")
}
