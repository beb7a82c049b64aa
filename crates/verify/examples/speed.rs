//! How fast the checker is: `cargo run --release -p simpledynamo-verify --example speed`.
//!
//! Histories are simulated first, outside of the time that is told. Memory is the peak of the whole process, the
//! history included. Keys are shared out among the processors.

#[path = "../tests/verdicts/load.rs"]
mod load;

use std::thread;
use std::time::Instant;

use bytes::Bytes;
use load::{Dice, Load, MIXES, Mix, simulate};
use simpledynamo_verify::{Event, Findings, History, Limits, Operation, Outcome, Reply, check};

fn main() {
    println!("1,000,000 operations over 1,000 keys, 10 clients each, 2 % unknown");
    for mix in MIXES {
        measure(mix, 1_000, Load { mix, clients: 10, operations: 1_000, unknown: 2, failed: 2 }, false);
    }
    println!("one key, 20,000 operations by 20 clients, 5 % unknown");
    for mix in MIXES {
        measure(mix, 1, Load { mix, clients: 20, operations: 20_000, unknown: 5, failed: 2 }, false);
    }
    println!("the same with a stale read at the end");
    // With unique values no write can explain the read; with others one may.
    for mix in [Mix::Register, Mix::Conditional] {
        measure(mix, 1, Load { mix, clients: 20, operations: 20_000, unknown: 5, failed: 2 }, true);
    }
}

fn measure(mix: Mix, keys: u64, load: Load, spoil: bool) {
    let histories = histories(keys, load, spoil);
    #[expect(clippy::disallowed_methods, reason = "this is a measurement")]
    let start = Instant::now();
    // Keys are independent: each processor checks its share.
    let found: Vec<Findings> = thread::scope(|scope| {
        let checks: Vec<_> =
            histories.iter().map(|history| scope.spawn(|| check(history, Limits::default()))).collect();
        checks.into_iter().map(|check| check.join().expect("it does not panic")).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    let windows: Vec<usize> = found
        .iter()
        .flat_map(|found| found.violations.values())
        .map(|window| window.operations.len())
        .collect();
    println!(
        "  {mix:<12} {seconds:>8.3} s  gave up {}  violations {}  window sizes {windows:?}  peak {} MB",
        found.iter().map(|found| found.gave_up.len()).sum::<usize>(),
        windows.len(),
        peak_memory(),
        mix = format!("{mix:?}"),
    );
    for reason in found.iter().flat_map(|found| found.gave_up.values()) {
        println!("    {reason}");
    }
}

/// A history for each processor, which together have so many keys.
fn histories(keys: u64, load: Load, spoil: bool) -> Vec<History> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let mut histories = vec![History::new(); processors];
    for seed in 0..keys {
        let key = Bytes::from(format!("key:{seed}"));
        let mut events = simulate(load, &mut Dice(seed));
        if spoil {
            spoil_last_read(&mut events);
        }
        for event in events {
            histories[seed as usize % processors].push(&key, event).expect("the times are in order");
        }
    }
    histories
}

/// The last read that told a value tells what the first one told.
fn spoil_last_read(events: &mut [Event]) {
    let told = |event: &Event| match (event.operation, event.outcome) {
        (Operation::Read, Outcome::Known { reply: Reply::Value(Some(value)), .. }) => Some(value),
        _ => None,
    };
    let first = events.iter().find_map(told).expect("some read told a value");
    let last = events.iter().rposition(|event| told(event).is_some()).expect("some read told a value");
    if let Outcome::Known { reply, .. } = &mut events[last].outcome {
        *reply = Reply::Value(Some(first));
    }
}

/// Megabytes, as Linux tells them; 0 elsewhere.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) / 1_024
}
