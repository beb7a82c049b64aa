//! `simpledynamo verify`: checks the promises, and shows what came of it.
//!
//! The work is done by the crate `simpledynamo-tester`; here are its command line, its progress and its result for
//! people.

mod progress;
mod screen;

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simpledynamo_tester::history::read_history;
use simpledynamo_tester::{Attached, FaultKind, News, Options, PHASES, RunReport, TesterError, judge};
use simpledynamo_verify::Limits;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::arguments::{ReportFormat, VerifyOptions};
use crate::client::load_password;
use crate::demo::Signals;
use crate::failure::{BROKEN, Failure, unless_reader_gone};

use progress::Progress;

/// Where reports go unless they are told otherwise.
const REPORTS: &str = "./simpledynamo-verify";

/// How long a phase lasts, and a load on running servers, in seconds.
const PHASE_SECONDS: u32 = 15;
const ATTACHED_SECONDS: u32 = 30;

/// Checks and reports.
pub(crate) fn run(options: &VerifyOptions) -> Result<ExitCode, Failure> {
    if options.list {
        screen::list_phases();
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(file) = &options.history {
        return check_file(file, options.output);
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = options.seed.unwrap_or_else(|| u64::from(since_epoch.subsec_nanos()));
    let out = folder(options, since_epoch.as_secs(), seed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
    // Nodes die with the thread that has started them: this one, on which everything runs.
    let report = runtime.block_on(async {
        // Signals are caught before there is anything that they would leave behind.
        let mut signals = Signals::catch()?;
        let progress = Progress::new(options.output == ReportFormat::Json);
        let stop = Notify::new();
        let local = LocalSet::new();
        let mut done = pin!(local.run_until(carry_out(options, seed, &out, &stop, &progress)));
        tokio::select! {
            report = &mut done => return report,
            () = signals.end() => {}
        }
        if options.attach.is_empty() {
            return Err(interrupted());
        }
        // Running servers are to keep nothing of the load: the first signal only ends it.
        stop.notify_one();
        tokio::select! {
            report = done => report,
            () = signals.end() => Err(interrupted()),
        }
    })?;
    show(&report, &out, options.output)?;
    Ok(if report.holds { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}

fn interrupted() -> Failure {
    Failure::Other("interrupted: there is no verdict".to_owned())
}

async fn carry_out(
    options: &VerifyOptions,
    seed: u64,
    out: &Path,
    stop: &Notify,
    progress: &Progress,
) -> Result<RunReport, Failure> {
    let tell = |news: News<'_>| progress.tell(&news);
    if !options.attach.is_empty() {
        let attached = Attached {
            addresses: options.attach.clone(),
            password: options.password_file.as_deref().map(load_password).transpose()?,
            seed,
            clients: options.clients,
            keys: options.keys as usize,
            out: out.to_owned(),
        };
        let seconds = options.seconds.unwrap_or(ATTACHED_SECONDS);
        let until = async {
            tokio::select! {
                () = sleep(Duration::from_secs(seconds.into())) => {}
                () = stop.notified() => {}
            }
        };
        return Ok(simpledynamo_tester::attach(&attached, until, &tell).await?);
    }
    let run = Options {
        phases: if options.phase.is_empty() { PHASES.iter().collect() } else { options.phase.clone() },
        faults: if options.faults.is_empty() { FaultKind::ALL.to_vec() } else { options.faults.clone() },
        seconds: options.seconds.unwrap_or(PHASE_SECONDS),
        seed,
        clients: options.clients,
        keys: options.keys as usize,
        namespaces: options.netns,
        keep: options.keep,
        out: out.to_owned(),
    };
    Ok(simpledynamo_tester::run(&run, &tell).await?)
}

impl From<TesterError> for Failure {
    fn from(error: TesterError) -> Self {
        match error {
            TesterError::Unreachable { .. } => Self::Unavailable(error.to_string()),
            other => Self::other(other),
        }
    }
}

/// The folder of the report.
fn folder(options: &VerifyOptions, time: u64, seed: u64) -> Result<PathBuf, Failure> {
    let named = || Path::new(REPORTS).join(format!("{time}-{seed}"));
    let out = options.out.clone().unwrap_or_else(named);
    fs::create_dir_all(&out)
        .map_err(|error| Failure::Other(format!("cannot make the folder {}: {error}", out.display())))?;
    Ok(out)
}

fn show(report: &RunReport, out: &Path, format: ReportFormat) -> Result<(), Failure> {
    match format {
        ReportFormat::Table => screen::show(report, out),
        ReportFormat::Json => {
            let json = serde_json::to_string_pretty(report).map_err(Failure::other)?;
            unless_reader_gone(screen::print(&json))
        }
    }
}

/// Checks a history file.
fn check_file(path: &Path, format: ReportFormat) -> Result<ExitCode, Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::Other(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| named(&error))?;
    let records = read_history(BufReader::new(file)).map_err(|error| named(&error))?;
    let findings = judge(&records, Limits::default()).map_err(|error| named(&error))?;
    match format {
        ReportFormat::Table => screen::show_findings(&findings)?,
        ReportFormat::Json => {
            let json = serde_json::to_string_pretty(&findings).map_err(Failure::other)?;
            unless_reader_gone(screen::print(&json))?;
        }
    }
    Ok(if findings.hold() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}
