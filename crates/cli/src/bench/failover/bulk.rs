//! Many writes as fast as the ring takes them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::bench::workload::{Loading, Source};
use crate::bench::{Setup, Tally, join, report, spawn_clients};
use crate::failure::Failure;

/// Connections, over all nodes that take clients.
const CLIENTS: u32 = 32;

/// Requests that each of them sends at once.
pub(super) const PIPELINE: usize = 64;

/// Writes may fail while a node is away, but when so many did there is nothing to be measured.
const FAILURES_MAX: u64 = 1000;

/// How often progress is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Writes the first `count` keys of the sequence `key:000000000000`, and returns how many writes succeeded. `seed`
/// makes the values differ from those of another time.
pub(super) async fn write(
    setup: Setup,
    count: u64,
    value_size: u32,
    seed: u64,
    what: &str,
    bar: &ProgressBar,
) -> Result<u64, Failure> {
    let loading = Loading::new(count, value_size, seed);
    let tally = Rc::new(RefCell::new(Tally::new(Instant::now())));
    let clients = spawn_clients(CLIENTS, setup, &tally, |_| Source::Loading(loading.clone()));
    let watch = async {
        loop {
            tokio::time::sleep(POLL).await;
            let tally = tally.borrow();
            bar.set_message(format!(
                "{what}: {} of {}",
                report::grouped(tally.replies),
                report::grouped(count)
            ));
            if tally.errors.values().sum::<u64>() > FAILURES_MAX {
                loading.stop();
            }
        }
    };
    tokio::select! {
        () = join(clients) => {}
        () = watch => {}
    }
    let tally = tally.borrow();
    let written = tally.writes.latencies.len();
    if tally.errors.values().sum::<u64>() > FAILURES_MAX {
        return Err(Failure::Unavailable(format!(
            "{what} failed after {} of {}: {}; a version without failover cannot write while a node is away",
            report::grouped(written),
            report::grouped(count),
            report::errors_line(&tally)
        )));
    }
    Ok(written)
}
