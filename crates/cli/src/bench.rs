//! `simpledynamo bench`: a closed-loop load generator.
//!
//! Every client sends its requests, waits for all replies, and sends again, so that the load follows the
//! server's pace. Everything runs on one thread, since it often shares a small machine with what it measures:
//! requests are filled into one buffer, a round of the pipeline is one write and as few reads as it takes.
//!
//! A closed loop does not see what requests would have suffered that it could not send while it waited
//! (coordinated omission): the latencies tell what these clients met, not what an open crowd would.

mod choice;
mod connection;
mod failover;
mod report;
mod workload;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use simpledynamo_node::config::Password;
use tokio::task::LocalSet;

use crate::arguments::{BenchOptions, BenchScenario, ReportFormat};
use crate::client::{Client, load_password};
use crate::failure::Failure;

use connection::drive;
use workload::{Loading, Mixed, Source};

/// Latencies are kept in steps of a microsecond up to a minute, to three digits: more than any timeout here.
const LATENCY_MAX_US: u64 = 60_000_000;
const LATENCY_DIGITS: u8 = 3;

/// Keys are written this many at a time before a measurement, unless the pipeline is longer still.
const LOADING_PIPELINE: u32 = 16;

/// How long a node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What was counted of one kind of operation.
#[derive(Debug)]
struct Counts {
    latencies: Histogram<u64>,
}

impl Counts {
    fn new() -> Self {
        let latencies =
            Histogram::new_with_bounds(1, LATENCY_MAX_US, LATENCY_DIGITS).expect("constant bounds");
        Self { latencies }
    }

    fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US);
        self.latencies.saturating_record(micros.max(1));
    }
}

/// What all clients together have counted.
#[derive(Debug)]
struct Tally {
    reads: Counts,
    writes: Counts,
    /// Reads of keys that are not there.
    misses: u64,
    /// Errors by the first word of the reply, or by what became of the connection.
    errors: BTreeMap<String, u64>,
    /// Replies since the start, warm-up included, for the progress line.
    replies: u64,
    /// Only what is answered from here on counts.
    counts_from: Instant,
}

impl Tally {
    fn new(counts_from: Instant) -> Self {
        Self {
            reads: Counts::new(),
            writes: Counts::new(),
            misses: 0,
            errors: BTreeMap::new(),
            replies: 0,
            counts_from,
        }
    }

    fn error(&mut self, kind: &str, count: u64) {
        *self.errors.entry(kind.to_owned()).or_default() += count;
    }
}

/// What every client needs to know.
#[derive(Debug)]
struct Setup {
    nodes: Vec<String>,
    password: Option<Password>,
    pipeline: usize,
}

/// Measures and reports.
pub(crate) fn run(options: &BenchOptions) -> Result<ExitCode, Failure> {
    if let Some(BenchScenario::Failover(options)) = &options.scenario {
        return failover::run(options);
    }
    let password = options.password_file.as_deref().map(load_password).transpose()?;
    let nodes = reachable(&options.nodes, password.as_ref())?;
    let setup = Setup { nodes, password, pipeline: options.pipeline as usize };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start the load: {error}")))?;
    if options.load {
        runtime.block_on(LocalSet::new().run_until(load(options, &setup)))?;
    }
    let tally = runtime.block_on(LocalSet::new().run_until(measure(options, &setup)));
    report::write(options, &tally);
    let answered = tally.reads.latencies.len() + tally.writes.latencies.len();
    if answered == 0 {
        return Err(Failure::Unavailable(format!(
            "no operation was answered: {}",
            report::errors_line(&tally)
        )));
    }
    Ok(ExitCode::SUCCESS)
}

/// The nodes that are there; at least one must be.
fn reachable(nodes: &[String], password: Option<&Password>) -> Result<Vec<String>, Failure> {
    let mut there = Vec::new();
    let mut refusal = None;
    for node in nodes {
        match Client::connect(node, password, CONNECT_TIMEOUT) {
            Ok(_) => there.push(node.clone()),
            Err(failure @ Failure::Unavailable(_)) => {
                eprintln!("simpledynamo: leaving out {node}: {failure}");
                refusal = Some(failure);
            }
            Err(other) => return Err(other),
        }
    }
    match refusal {
        Some(failure) if there.is_empty() => Err(failure),
        _ => Ok(there),
    }
}

/// Writes every key once.
async fn load(options: &BenchOptions, setup: &Setup) -> Result<(), Failure> {
    let setup = Setup {
        nodes: setup.nodes.clone(),
        password: setup.password.clone(),
        pipeline: setup.pipeline.max(LOADING_PIPELINE as usize),
    };
    let loading = Loading::new(options.keys, options.value_size, options.seed);
    let bar = ProgressBar::new(options.keys).with_style(
        ProgressStyle::with_template("  loading  {bar:30} {pos} of {len} keys").expect("a constant template"),
    );
    let tally = Rc::new(RefCell::new(Tally::new(Instant::now())));
    let clients = spawn_clients(options.clients, setup, &tally, |_| Source::Loading(loading.clone()));
    let watch = tokio::task::spawn_local({
        let (tally, bar) = (tally.clone(), bar.clone());
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                bar.set_position(tally.borrow().replies);
            }
        }
    });
    join(clients).await;
    watch.abort();
    bar.finish_and_clear();
    let tally = tally.borrow();
    if tally.errors.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(format!("not every key could be written: {}", report::errors_line(&tally))))
}

/// Runs the load, the warm-up first.
async fn measure(options: &BenchOptions, setup: &Setup) -> Tally {
    let setup =
        Setup { nodes: setup.nodes.clone(), password: setup.password.clone(), pipeline: setup.pipeline };
    let counts_from = Instant::now() + Duration::from_secs(options.warmup.into());
    let ends_at = counts_from + Duration::from_secs(options.seconds.into());
    let tally = Rc::new(RefCell::new(Tally::new(counts_from)));
    let mixed = Mixed::new(options, ends_at);
    let clients =
        spawn_clients(options.clients, setup, &tally, |client| Source::Mixed(mixed.for_client(client)));
    let watch = tokio::task::spawn_local(show_progress(options.output, counts_from, ends_at, tally.clone()));
    join(clients).await;
    watch.abort();
    // The clients have ended, and the watcher is dropped with its share before it can run again.
    let _ = watch.await;
    Rc::into_inner(tally).expect("nobody else holds it").into_inner()
}

fn spawn_clients(
    clients: u32,
    setup: Setup,
    tally: &Rc<RefCell<Tally>>,
    source: impl Fn(u32) -> Source,
) -> Vec<tokio::task::JoinHandle<()>> {
    let setup = Rc::new(setup);
    (0..clients)
        .map(|client| tokio::task::spawn_local(drive(setup.clone(), client, source(client), tally.clone())))
        .collect()
}

async fn join(clients: Vec<tokio::task::JoinHandle<()>>) {
    for client in clients {
        client.await.expect("a client neither panics nor is aborted");
    }
}

/// One line a second on the terminal: what the last second brought.
async fn show_progress(
    output: ReportFormat,
    counts_from: Instant,
    ends_at: Instant,
    tally: Rc<RefCell<Tally>>,
) {
    let start = Instant::now();
    let whole = ends_at.duration_since(start);
    let bar =
        if output == ReportFormat::Json { ProgressBar::hidden() } else { ProgressBar::new(whole.as_secs()) };
    bar.set_style(
        ProgressStyle::with_template("  {bar:30} {pos} of {len} s  {msg}").expect("a constant template"),
    );
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    let mut before = 0;
    let _cleared = ClearOnDrop(bar.clone());
    loop {
        ticks.tick().await;
        let (replies, errors) = {
            let tally = tally.borrow();
            (tally.replies, tally.errors.values().sum::<u64>())
        };
        let phase = if Instant::now() < counts_from { "warming up, " } else { "" };
        let trouble = if errors > 0 { format!(", {errors} errors") } else { String::new() };
        bar.set_message(format!("{phase}{} operations/s{trouble}", report::grouped(replies - before)));
        bar.set_position(start.elapsed().as_secs());
        before = replies;
    }
}

/// Takes the progress line off the screen when its task is dropped.
struct ClearOnDrop(ProgressBar);

impl Drop for ClearOnDrop {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
