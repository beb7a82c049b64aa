//! Many writes as fast as the ring takes them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use simpledynamo_load::{Clients, Loading, Payload, Resp, Tally};

use crate::bench::report::errors_line;
use crate::failure::Failure;
use crate::terminal::grouped;

use super::connection::Setup;

/// Connections, over all nodes that take clients.
const CLIENTS: u32 = 32;

/// Requests that each of them sends at once.
const PIPELINE: usize = 64;

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
    let loading = Loading::new(count);
    let password = setup.password.as_ref().map(|password| password.as_bytes());
    let clients = Clients {
        protocol: Resp::new(Payload::new(value_size as usize, seed), seed, password),
        servers: setup.nodes,
        count: CLIENTS,
        pipeline: PIPELINE,
    };
    let tally = Rc::new(RefCell::new(Tally::new(Instant::now())));
    let watch = async {
        loop {
            tokio::time::sleep(POLL).await;
            let tally = tally.borrow();
            bar.set_message(format!("{what}: {} of {}", grouped(tally.replies), grouped(count)));
            if tally.errors_total() > FAILURES_MAX {
                loading.stop();
            }
        }
    };
    tokio::select! {
        () = clients.run(&tally, |_| loading.clone()) => {}
        () = watch => {}
    }
    let tally = tally.borrow();
    let written = tally.writes.len();
    if tally.errors_total() > FAILURES_MAX {
        return Err(Failure::Unavailable(format!(
            "{what} failed after {} of {}: {}; a version without failover cannot write while a node is away",
            grouped(written),
            grouped(count),
            errors_line(&tally)
        )));
    }
    Ok(written)
}
