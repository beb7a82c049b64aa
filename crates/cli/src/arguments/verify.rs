//! The command line of `verify`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use simpledynamo_tester::{FaultKind, Phase};

use crate::failure::EXIT_CODES;

use super::ReportFormat;

/// Check the promises: real nodes, real clients, real faults, and a checker that reads every answer.
///
/// Without --attach and --history this starts a throw-away ring of five nodes, on ports and in a folder of its own beside
/// whatever runs here, and goes through its phases: the six of the classic tester, and more in which nodes crash, hang,
/// restart and are cut off, again and again, while clients work on the same keys. Every answer is checked: each key must
/// have behaved as a single copy. The report is a folder with a page to look at.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct VerifyOptions {
    /// Only these phases, by number or name; all of them unless given. They are listed by --list.
    #[arg(long, value_name = "PHASE,...", value_delimiter = ',', value_parser = phase)]
    pub(crate) phase: Vec<&'static Phase>,
    /// List the phases.
    #[arg(long, conflicts_with_all = ["phase", "attach", "history"])]
    pub(crate) list: bool,
    /// Only these kinds of faults; phases that need others are left out.
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', value_parser = fault())]
    pub(crate) faults: Vec<FaultKind>,
    /// About how long a phase with faults lasts; with --attach, how long clients work [default: 15, with --attach 30].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: Option<u32>,
    /// Same number, same faults and operations; drawn unless given.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Clients at the same time.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) clients: u32,
    /// Keys that the clients of a phase share.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(3..=10_000))]
    pub(crate) keys: u32,
    /// Give each node a network of its own (a network namespace) and cut links there: takes root.
    #[arg(long, conflicts_with_all = ["attach", "history"])]
    pub(crate) netns: bool,
    /// Leave the nodes' folders, with configurations, data and logs.
    #[arg(long, conflicts_with_all = ["attach", "history"])]
    pub(crate) keep: bool,
    /// Check servers that run already, under load and without faults: nodes of a ring, or any server that speaks Redis's
    /// protocol. Keys of its own are removed afterwards, also if Ctrl-C ends the load.
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', conflicts_with_all = ["phase", "faults", "history"])]
    pub(crate) attach: Vec<String>,
    /// With --attach: a file with the password that the servers ask for.
    #[arg(long, value_name = "FILE", env = "SIMPLEDYNAMO_PASSWORD_FILE", requires = "attach")]
    pub(crate) password_file: Option<PathBuf>,
    /// Check a history that was written before (lines of JSON, docs/verify.md), and nothing else.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["phase", "faults"])]
    pub(crate) history: Option<PathBuf>,
    /// The folder for report and history, made if it is missing [default: ./simpledynamo-verify/TIME-SEED].
    #[arg(long, value_name = "DIR", conflicts_with = "history")]
    pub(crate) out: Option<PathBuf>,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) output: ReportFormat,
}

fn phase(named: &str) -> Result<&'static Phase, String> {
    Phase::find(named)
        .ok_or_else(|| "there is no such phase; simpledynamo verify --list shows them".to_owned())
}

/// A parser that knows the names, so that help and errors list them.
fn fault() -> impl TypedValueParser<Value = FaultKind> {
    PossibleValuesParser::new(FaultKind::ALL.map(FaultKind::name))
        .map(|name| FaultKind::find(&name).expect("the name of a kind"))
}
