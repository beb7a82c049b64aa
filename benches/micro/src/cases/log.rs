//! Entries to the bytes of a log's frame and back. How they get to the disk is the store's business.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use simpledynamo_chain::{Displaced, Persist};
use simpledynamo_topology::PartitionId;
use simpledynamo_wire::codec::{finish, get_persist, put_persist};

use crate::case::{Case, Measure, Step};
use crate::samples::{self, VALUE, key, value};

pub(crate) fn cases() -> [Case; 3] {
    [
        Case {
            name: "log-encode-1",
            about: "an entry of 100 bytes to the log's bytes",
            measure: Measure::Counted(4_096),
            prepare: || encode(1),
        },
        Case {
            name: "log-encode-16",
            about: "16 entries of 100 bytes to the log's bytes",
            measure: Measure::Counted(1_024),
            prepare: || encode(16),
        },
        Case {
            name: "log-decode-16",
            about: "16 entries of 100 bytes from the log's bytes",
            measure: Measure::Counted(1_024),
            prepare: decode,
        },
    ]
}

fn batch(entries: u64) -> Vec<Persist> {
    let entry = |at| Arc::new(samples::entry(at, key(at), value(at, VALUE), Displaced::default()));
    (1..=entries).map(|at| Persist::Append { partition: PartitionId(1), entry: entry(at) }).collect()
}

fn encode(entries: u64) -> Step {
    let batch = batch(entries);
    let mut bytes = Vec::new();
    Box::new(move || {
        bytes.clear();
        for persist in black_box(&batch) {
            put_persist(persist, &mut bytes);
        }
        black_box(&bytes);
    })
}

fn decode() -> Step {
    let batch = batch(16);
    let mut bytes = Vec::new();
    batch.iter().for_each(|persist| put_persist(persist, &mut bytes));
    let bytes = Bytes::from(bytes);
    Box::new(move || {
        let mut input = black_box(&bytes).clone();
        for _ in 0..batch.len() {
            black_box(get_persist(&mut input).expect("it was written so"));
        }
        finish(&input).expect("there was nothing else");
    })
}
