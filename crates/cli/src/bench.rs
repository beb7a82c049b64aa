//! `simpledynamo bench`: a closed-loop load generator.
//!
//! The generator itself is a crate of its own, `simpledynamo-load`, which says what its figures mean. Here are its options,
//! its progress, and its report.

mod choice;
mod failover;
mod report;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use simpledynamo_load::{CONNECT_TIMEOUT, Clients, Loading, Mixed, Payload, Resp, Tally};
use simpledynamo_node::config::Password;
use tokio::task::LocalSet;

use crate::arguments::{BenchOptions, BenchScenario, ReportFormat};
use crate::client::{Client, load_password};
use crate::failure::Failure;
use crate::terminal::grouped;

/// Keys are written this many at a time before a measurement, unless the pipeline is longer still.
const LOADING_PIPELINE: u32 = 16;

/// Measures and reports.
pub(crate) fn run(options: &BenchOptions) -> Result<ExitCode, Failure> {
    if let Some(BenchScenario::Failover(options)) = &options.scenario {
        return failover::run(options);
    }
    let password = options.password_file.as_deref().map(load_password).transpose()?;
    let nodes = reachable(&options.nodes, password.as_ref())?;
    let clients = |pipeline: u32| Clients {
        protocol: Resp::new(
            Payload::new(options.value_size as usize, options.seed),
            options.seed,
            password.as_ref().map(Password::as_bytes),
        ),
        servers: nodes.clone(),
        count: options.clients,
        pipeline: pipeline as usize,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start the load: {error}")))?;
    if options.load {
        runtime.block_on(
            LocalSet::new().run_until(load(options, clients(options.pipeline.max(LOADING_PIPELINE)))),
        )?;
    }
    let tally = runtime.block_on(LocalSet::new().run_until(measure(options, clients(options.pipeline))));
    report::write(options, &tally);
    if tally.answered() == 0 {
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
async fn load(options: &BenchOptions, clients: Clients<Resp>) -> Result<(), Failure> {
    let loading = Loading::new(options.keys);
    let bar = ProgressBar::new(options.keys).with_style(
        ProgressStyle::with_template("  loading  {bar:30} {pos} of {len} keys").expect("a constant template"),
    );
    let tally = Rc::new(RefCell::new(Tally::new(Instant::now())));
    let watch = tokio::task::spawn_local({
        let (tally, bar) = (tally.clone(), bar.clone());
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                bar.set_position(tally.borrow().replies);
            }
        }
    });
    clients.run(&tally, |_| loading.clone()).await;
    watch.abort();
    bar.finish_and_clear();
    let tally = tally.borrow();
    if tally.errors.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(format!("not every key could be written: {}", report::errors_line(&tally))))
}

/// Runs the load, the warm-up first.
async fn measure(options: &BenchOptions, clients: Clients<Resp>) -> Tally {
    let counts_from = Instant::now() + Duration::from_secs(options.warmup.into());
    let ends_at = counts_from + Duration::from_secs(options.seconds.into());
    let tally = Rc::new(RefCell::new(Tally::new(counts_from)));
    let mixed = Mixed::new(&options.load_workload(), options.seed, ends_at);
    let watch = tokio::task::spawn_local(show_progress(options.output, counts_from, ends_at, tally.clone()));
    clients.run(&tally, |client| mixed.for_client(client)).await;
    watch.abort();
    // The clients have ended, and the watcher is dropped with its share before it can run again.
    let _ = watch.await;
    Rc::into_inner(tally).expect("nobody else holds it").into_inner()
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
            (tally.replies, tally.errors_total())
        };
        let phase = if Instant::now() < counts_from { "warming up, " } else { "" };
        let trouble = if errors > 0 { format!(", {errors} errors") } else { String::new() };
        bar.set_message(format!("{phase}{} operations/s{trouble}", grouped(replies - before)));
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
