//! Writes and reads through the core of real nodes, in memory.

use std::hint::black_box;

use bytes::Bytes;
use simpledynamo_chain::{Outcome, Reading, Reply};

use crate::case::{Case, Measure, Step};
use crate::nodes::Nodes;
use crate::samples::{self, VALUE, value};

/// Keys that are written and read by turns.
const KEYS: u64 = 64;

pub(crate) fn cases() -> [Case; 4] {
    [
        Case {
            name: "chain-write",
            about: "SET of 100 bytes: coordinator, head, middle, tail and all acknowledgements",
            measure: Measure::Counted(512),
            prepare: || write(3, 1, VALUE),
        },
        Case {
            name: "chain-write-16",
            about: "16 of these in flight together",
            measure: Measure::Counted(64),
            prepare: || write(3, 16, VALUE),
        },
        Case {
            name: "chain-read-own",
            about: "GET of 100 bytes that the coordinator's own replica answers",
            measure: Measure::Counted(4_096),
            prepare: || read(true),
        },
        Case {
            name: "chain-read-asked",
            about: "GET of 100 bytes that a member is asked for",
            measure: Measure::Counted(1_024),
            prepare: || read(false),
        },
    ]
}

/// Writes through a chain of so many members, so many at a time.
pub(crate) fn write(members: usize, at_once: usize, length: usize) -> Step {
    let mut nodes = Nodes::new(members);
    let keys = nodes.keys(KEYS);
    let value = value(1, length);
    let mut keys = keys.into_iter().cycle();
    Box::new(move || {
        for key in keys.by_ref().take(at_once) {
            nodes.write(key, samples::set(value.clone()));
        }
        let outcomes = nodes.run();
        assert_eq!(outcomes.len(), at_once, "each write is answered");
        let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Written { reply: Reply::Done, .. });
        assert!(outcomes.iter().all(is_done), "{outcomes:?}");
    })
}

fn read(is_own: bool) -> Step {
    let mut nodes = Nodes::new(3);
    let keys = nodes.keys(KEYS);
    for key in &keys {
        nodes.write(key.clone(), samples::set(value(1, VALUE)));
    }
    nodes.run();
    let mut keys = keys.into_iter().cycle();
    Box::new(move || {
        let key: Bytes = keys.next().expect("it goes round");
        let reading = if is_own { nodes.read_own(key) } else { nodes.read_asked(key) };
        assert!(
            matches!(&reading, Reading::Present { length, .. } if *length == VALUE as u64),
            "{reading:?}"
        );
        black_box(reading);
    })
}
