//! One measurement of one target.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use simpledynamo_load::{Clients, Loading, Mixed, Payload, Protocol, Resp, Source, Tally, Workload};
use tokio::task::LocalSet;

use crate::cell::Cell;
use crate::etcd::Etcd;
use crate::failure::Failure;
use crate::options::Options;
use crate::results::Sample;
use crate::servers::{Servers, Target};
use crate::usage::processor_time;

/// What values are cut from, the same for all targets.
const PAYLOAD_SEED: u64 = 1;

/// How keys are written before a measurement: fast with every target.
const LOADING_CLIENTS: u32 = 64;
const LOADING_PIPELINE: u32 = 16;

/// Which share of the cell's load goes where.
struct Load<'a> {
    servers: &'a Servers,
    value_size: u32,
    clients: u32,
    pipeline: u32,
}

impl Load<'_> {
    /// Runs clients of the target's protocol until their sources end.
    async fn run<S: Source + 'static>(&self, tally: &Rc<RefCell<Tally>>, source: impl Fn(u32) -> S) {
        let payload = Payload::new(self.value_size as usize, PAYLOAD_SEED);
        match self.servers.target {
            Target::Etcd => self.run_over(Etcd::new(payload, PAYLOAD_SEED), tally, source).await,
            Target::Ring | Target::RedisAlways | Target::RedisEverysec => {
                self.run_over(Resp::new(payload, PAYLOAD_SEED, None), tally, source).await;
            }
        }
    }

    async fn run_over<P: Protocol + 'static, S: Source + 'static>(
        &self,
        protocol: P,
        tally: &Rc<RefCell<Tally>>,
        source: impl Fn(u32) -> S,
    ) {
        let clients = Clients {
            servers: self.servers.addresses.clone(),
            protocol,
            count: self.clients,
            pipeline: self.pipeline as usize,
        };
        // With the set, whatever tasks connections have left behind end too.
        LocalSet::new().run_until(clients.run(tally, source)).await;
    }
}

/// Writes the first keys, once each.
pub(crate) async fn load(servers: &mut Servers, keys: u64, value_size: u32) -> Result<(), Failure> {
    let tally = Rc::new(RefCell::new(Tally::new(Instant::now())));
    let loading = Loading::new(keys);
    let load = Load { servers, value_size, clients: LOADING_CLIENTS, pipeline: LOADING_PIPELINE };
    load.run(&tally, |_| loading.clone()).await;
    servers.check()?;
    let tally = tally.borrow();
    if tally.errors.is_empty() {
        return Ok(());
    }
    Err(Failure::Loading { name: servers.name(), errors: format!("{:?}", tally.errors) })
}

/// Measures a cell on a target that stores the first `keys` keys, which then are more if the cell inserts some.
pub(crate) async fn measure(
    servers: &mut Servers,
    cell: &Cell,
    options: &Options,
    keys: &mut u64,
) -> Result<Sample, Failure> {
    let workload = Workload { keys: *keys, ..cell.workload(options.keys) };
    let counts_from = Instant::now() + Duration::from_secs(options.warmup.into());
    let ends_at = counts_from + Duration::from_secs(options.seconds.into());
    let mixed = Mixed::new(&workload, servers.next_seed(), ends_at);
    let tally = Rc::new(RefCell::new(Tally::new(counts_from).until(ends_at)));
    let load =
        Load { servers, value_size: cell.value_size, clients: cell.connections, pipeline: cell.pipeline };
    let (pids, own) = (servers.pids(), [std::process::id()]);
    let usage = async {
        tokio::time::sleep_until(counts_from.into()).await;
        let before = (processor_time(&pids)?, processor_time(&own)?);
        tokio::time::sleep_until(ends_at.into()).await;
        let after = (processor_time(&pids)?, processor_time(&own)?);
        Ok::<_, Failure>((after.0.saturating_sub(before.0), after.1.saturating_sub(before.1)))
    };
    let (usage, ()) = tokio::join!(usage, load.run(&tally, |client| mixed.for_client(client)));
    servers.check()?;
    let (servers_time, generator_time) = usage?;
    *keys = mixed.keys();
    let tally = tally.borrow();
    Ok(Sample::new(&tally, f64::from(options.seconds), servers_time, generator_time))
}
