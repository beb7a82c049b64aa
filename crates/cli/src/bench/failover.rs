//! `simpledynamo bench failover`: what clients see of a node that fails and returns.
//!
//! A pure measurement from outside: clients of the nodes that are not hit write and read without a stop, one of the
//! ring's processes gets a signal and is started again, and the clients' own clocks tell how long each key went
//! without a success. What runs was found by its pid file or started here; everything that was started for the
//! measurement is ended with it, and what was done to a ring that ran before is undone, on Ctrl-C too.
//!
//! | module | subject |
//! |---|---|
//! | `ring` | the ring and its processes |
//! | `keys`, `load`, `connection` | the clients |
//! | `gaps`, `tally` | what they count |
//! | `bulk` | many writes at once |
//! | `health` | what nodes say of the ring |
//! | `run` | the course of a measurement |
//! | `report` | its result |

mod bulk;
mod connection;
mod gaps;
mod health;
mod keys;
mod load;
mod report;
mod ring;
mod run;
mod tally;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use simpledynamo_launch::{End, NodeFolder, NodeProcess, TemporaryFolder, free_cluster};
use simpledynamo_node::config::Durability;
use tokio::task::LocalSet;

use crate::arguments::{FailoverOptions, Fault, ReportFormat};
use crate::demo::{Signals, ready};
use crate::failure::Failure;

use ring::TestRing;
use run::RunResult;

/// Where a demo keeps its ring unless it is told otherwise.
const DEMO_DIR: &str = "./simpledynamo-data";

/// How often the progress line moves.
const TICK: Duration = Duration::from_millis(200);

/// Measures and reports.
pub(crate) fn run(options: &FailoverOptions) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start the load: {error}")))?;
    // Nodes die with the thread that has started them: this one, on which everything runs.
    runtime.block_on(async {
        // Signals are caught before there is anything that they would leave behind.
        let mut signals = Signals::catch()?;
        match running(options)? {
            Some((ring, name)) => measure(options, ring, &name, &mut signals).await,
            None => {
                let folder = TemporaryFolder::create("failover", options.keep)?;
                let ring = own_ring(options, &folder, &mut signals).await?;
                measure(options, ring, "a ring of its own", &mut signals).await
            }
        }
    })
}

/// The ring that runs and is to be measured, with a name for people; none if one is to be started.
fn running(options: &FailoverOptions) -> Result<Option<(TestRing, String)>, Failure> {
    if options.demo {
        return Ok(None);
    }
    let dir = options.ring_dir.as_deref().unwrap_or(Path::new(DEMO_DIR));
    let name = format!("the ring of {}", dir.display());
    match (TestRing::running(dir)?, &options.ring_dir) {
        (Some(ring), _) => Ok(Some((ring, name))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Failure::Unavailable(format!(
            "no node of {name} runs: start it, or leave out --ring-dir to measure a ring of its own"
        ))),
    }
}

async fn own_ring(
    options: &FailoverOptions,
    folder: &TemporaryFolder,
    signals: &mut Signals,
) -> Result<TestRing, Failure> {
    let mut processes = Vec::new();
    let started = tokio::select! {
        started = start(folder, options.durability.into(), &mut processes) => started,
        () = signals.end() => Err(interrupted()),
    };
    // Nothing may write to the folder any more when it is removed.
    processes.iter_mut().for_each(NodeProcess::kill);
    started
}

/// Starts the five nodes, and returns once they serve. `processes` has those that run, however this ends.
async fn start(
    folder: &TemporaryFolder,
    durability: Durability,
    processes: &mut Vec<NodeProcess>,
) -> Result<TestRing, Failure> {
    let mut cluster = free_cluster()?;
    cluster.durability = durability;
    for node in &NodeFolder::prepare(folder.path(), &cluster, |_| {})? {
        processes.push(NodeProcess::start(node, End::WithParent)?);
    }
    ready::wait(&cluster, processes, |text| eprintln!("{text}")).await?;
    Ok(TestRing::own(&cluster, std::mem::take(processes)))
}

async fn measure(
    options: &FailoverOptions,
    mut ring: TestRing,
    name: &str,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let bar = progress(options.output);
    let local = LocalSet::new();
    let measured = tokio::select! {
        measured = local.run_until(all_runs(options, &mut ring, &bar)) => measured,
        () = signals.end() => Err(interrupted()),
    };
    bar.finish_and_clear();
    drop(local);
    if ring.is_own() {
        ring.end();
    } else {
        ring.mend().await;
    }
    let clients = ring.names().len() - usize::from(options.fault != Fault::Rolling);
    report::write(options, name, clients, &measured?);
    Ok(ExitCode::SUCCESS)
}

async fn all_runs(
    options: &FailoverOptions,
    ring: &mut TestRing,
    bar: &ProgressBar,
) -> Result<Vec<RunResult>, Failure> {
    if options.fault == Fault::Recovery {
        run::fill(options, ring, bar).await?;
    }
    let mut results = Vec::new();
    for number in 1..=options.runs {
        bar.set_prefix(format!("run {number} of {}", options.runs));
        results.push(run::run(options, ring, bar).await?);
    }
    Ok(results)
}

fn interrupted() -> Failure {
    Failure::Other("interrupted: nothing was measured".to_owned())
}

/// A line on the terminal that says what goes on.
fn progress(output: ReportFormat) -> ProgressBar {
    if output == ReportFormat::Json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("  {spinner} {prefix}  {msg} ({elapsed})").expect("a constant template"),
    );
    bar.enable_steady_tick(TICK);
    bar
}
