//! The linearizability checker.

#[path = "../../../../crates/verify/tests/verdicts/load.rs"]
mod load;

use std::hint::black_box;

use bytes::Bytes;
use load::{Dice, Load, MIXES, simulate};
use simpledynamo_verify::{History, Limits, check};

use crate::case::{Case, Measure, Step};

const KEYS: u64 = 100;

pub(crate) fn cases() -> [Case; 1] {
    [Case {
        name: "check-10000",
        about: "is it linearizable: 10,000 operations on 100 keys, all kinds of loads, 2 % of them unknown",
        measure: Measure::Counted(1),
        prepare: || check_history(100),
    }]
}

fn check_history(operations: usize) -> Step {
    let mut history = History::new();
    for seed in 0..KEYS {
        let mix = MIXES[seed as usize % MIXES.len()];
        let load = Load { mix, clients: 10, operations, unknown: 2, failed: 2 };
        let key = Bytes::from(format!("key:{seed}"));
        for event in simulate(load, &mut Dice(seed)) {
            history.push(&key, event).expect("the times are in order");
        }
    }
    Box::new(move || {
        let findings = check(black_box(&history), Limits::default());
        assert!(findings.is_linearizable(), "what one copy answers is linearizable");
    })
}
