//! The measurements.

use simpledynamo_wire::resp::Value;

use super::{Panel, Series};
use crate::case::Step;
use crate::cases::{chain, peer, resp, ring};
use crate::processor_time;
use crate::samples::{VALUE, value};

/// Lengths of values, in bytes.
const LENGTHS: [u64; 6] = [10, 100, 1_024, 4_096, 16_384, 65_536];

/// Members of a chain.
const MEMBERS: [u64; 3] = [1, 3, 5];

/// Nodes of a ring.
const NODES: [u64; 4] = [5, 50, 500, 1_000];

/// Measures one panel after the other, and prints each when it is there.
pub(super) fn measure(is_large: bool) -> Vec<Panel> {
    let mut panels = vec![requests(), frames(), writes_by_length(), writes_by_members(), lookups()];
    panels.iter().for_each(Panel::print);
    panels.extend(store(is_large));
    panels
}

fn series(name: &'static str, sizes: &[u64], prepare: impl Fn(usize) -> Step) -> Series {
    let point = |&size: &u64| (size, processor_time::measure(&mut *prepare(size as usize)).median);
    Series { name, points: sizes.iter().map(point).collect() }
}

fn requests() -> Panel {
    Panel {
        title: "Clients' requests and replies",
        grows: "bytes of the value",
        series: vec![
            series("SET from bytes", &LENGTHS, |length| resp::decode(&resp::set(length), 1)),
            series("reply to GET", &LENGTHS, |length| resp::encode(Value::Bulk(value(1, length)))),
        ],
    }
}

fn frames() -> Panel {
    Panel {
        title: "Frames between nodes",
        grows: "bytes of the value",
        series: vec![
            series("Append to bytes", &LENGTHS, |length| peer::encode(peer::append(1, length))),
            series("Append from bytes", &LENGTHS, |length| peer::decode(peer::append(1, length))),
        ],
    }
}

fn writes_by_length() -> Panel {
    Panel {
        title: "A write through three members",
        grows: "bytes of the value",
        series: vec![
            series("one", &LENGTHS, |length| chain::write(3, 1, length)),
            series("16 at once", &LENGTHS, |length| chain::write(3, 16, length)),
        ],
    }
}

fn writes_by_members() -> Panel {
    Panel {
        title: "A write through the chain",
        grows: "members",
        series: vec![
            series("one", &MEMBERS, |members| chain::write(members, 1, VALUE)),
            series("16 at once", &MEMBERS, |members| chain::write(members, 16, VALUE)),
        ],
    }
}

fn lookups() -> Panel {
    Panel {
        title: "From a key to its nodes",
        grows: "nodes of the ring",
        series: vec![series("lookup", &NODES, ring::lookup)],
    }
}

#[cfg(not(feature = "storage"))]
fn store(_is_large: bool) -> Option<Panel> {
    println!("\nbuilt without the store: it is left out");
    None
}

#[cfg(feature = "storage")]
fn store(is_large: bool) -> Option<Panel> {
    use crate::cases::store::{Store, append, apply, read};

    /// Entries that are applied to see what the engine's threads make of them: some times what it gathers in memory.
    const APPLIED: u64 = 400_000;
    /// How many at a time.
    const AT_ONCE: u64 = 16;

    let mut pairs = vec![10_000, 100_000, 1_000_000];
    if is_large {
        pairs.push(10_000_000);
    }
    let apply_all = |&pairs: &u64| {
        let mut step = apply(Store::filled(pairs), AT_ONCE);
        (pairs, processor_time::of_all_threads(&mut *step, APPLIED / AT_ONCE) / AT_ONCE as f64)
    };
    let filled = |pairs: usize| Store::filled(pairs as u64);
    let panel = Panel {
        title: "The store",
        grows: "pairs stored",
        series: vec![
            series("read", &pairs, |pairs| read(filled(pairs))),
            series("append to the log", &pairs, |pairs| append(filled(pairs), 1)),
            series("apply", &pairs, |pairs| apply(filled(pairs), 1)),
            Series { name: "apply, all threads", points: pairs.iter().map(apply_all).collect() },
        ],
    };
    panel.print();
    Some(panel)
}
