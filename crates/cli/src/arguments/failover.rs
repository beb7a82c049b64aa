//! The command line of `bench failover`.

use std::convert::Infallible;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::failure::EXIT_CODES;

use super::{DurabilityName, ReportFormat};

/// Measure what clients see of a failing node: how long keys go without a success, what fails, how fast it mends.
///
/// Without --demo and --ring-dir this takes the ring of ./simpledynamo-data if it runs, else a ring of its own, which
/// it starts in a temporary folder and ends afterwards. Nodes of a running ring are really killed; one that was
/// started again goes on running. Keys that begin with failover: are written over.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct FailoverOptions {
    /// What happens to the node.
    #[arg(long, value_enum, default_value_t = Fault::Kill)]
    pub(crate) fault: Fault,
    /// The node that it happens to: a name, or controller, or other for one that is not the controller; rolling
    /// takes all.
    #[arg(long, value_name = "NAME|controller|other", default_value_t = Victim::Other)]
    pub(crate) node: Victim,
    /// The folder of a running ring, as a demo lays it out: config.toml and node.pid of each node in a folder of its name.
    #[arg(long, value_name = "DIR")]
    pub(crate) ring_dir: Option<PathBuf>,
    /// Start a ring of five nodes in a temporary folder, even if one runs.
    #[arg(long, conflicts_with = "ring_dir")]
    pub(crate) demo: bool,
    /// Leave the temporary folder, with configurations, data and logs.
    #[arg(long, conflicts_with = "ring_dir")]
    pub(crate) keep: bool,
    /// When the ring of its own acknowledges a write.
    #[arg(long, value_enum, default_value_t = DurabilityName::Always, conflicts_with = "ring_dir")]
    pub(crate) durability: DurabilityName,
    /// Clients that write, per node that takes clients; each has a key of its own.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) writers: u32,
    /// Clients that read, per node that takes clients; each has a key that nobody writes.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) readers: u32,
    /// Milliseconds between a client's reply and its next request; 0 loads the machine fully.
    #[arg(long, value_name = "MS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub(crate) pause: u64,
    /// Length of the values, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    pub(crate) value_size: u32,
    /// Seconds of load that do not count.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub(crate) warmup: u32,
    /// Seconds that are measured before the signal, and again once the ring is whole.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) around: u32,
    /// Seconds from the signal until the node is started again (or continued); not with rolling and recovery.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// With --fault recovery: pairs that the ring holds before.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    pub(crate) pairs: u64,
    /// With --fault recovery: writes while the node is away.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    pub(crate) missed: u64,
    /// Repeat, and report medians and maxima.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) output: ReportFormat,
}

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// SIGKILL, and a restart.
    Kill,
    /// SIGSTOP, and SIGCONT: the node hangs.
    Stop,
    /// SIGTERM, and a restart.
    Term,
    /// SIGTERM and a restart of every node, one after the other.
    Rolling,
    /// SIGKILL, many writes, and a restart: how long the node takes to catch up.
    Recovery,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Term => "term",
            Self::Rolling => "rolling",
            Self::Recovery => "recovery",
        })
    }
}

/// The node that is hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The one that leads the control group.
    Controller,
    /// Any that does not.
    Other,
    /// The one of this name.
    Named(String),
}

impl FromStr for Victim {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "controller" => Self::Controller,
            "other" => Self::Other,
            name => Self::Named(name.to_owned()),
        })
    }
}

impl Display for Victim {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Controller => "controller",
            Self::Other => "other",
            Self::Named(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::arguments::{Arguments, BenchScenario, Command};

    use super::*;

    fn parse(line: &str) -> Result<FailoverOptions, clap::Error> {
        let words = ["simpledynamo", "bench", "failover"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words)?.command {
            Command::Bench(options) => match options.scenario {
                Some(BenchScenario::Failover(options)) => Ok(options),
                None => panic!("no scenario in {line:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_a_kill_of_a_node_that_is_not_the_controller() {
        let options = parse("").expect("nothing is required");
        assert_eq!((options.fault, options.node, options.runs), (Fault::Kill, Victim::Other, 1));
        assert_eq!((options.pairs, options.missed), (1_000_000, 100_000));
    }

    #[test]
    fn victims_and_faults_are_read() {
        let options = parse("--fault stop --node controller -o json").expect("sensible");
        assert_eq!((options.fault, options.node), (Fault::Stop, Victim::Controller));
        assert_eq!(options.output, ReportFormat::Json);
        assert_eq!(parse("--node 5558").expect("sensible").node, Victim::Named("5558".to_owned()));
        for fault in Fault::value_variants() {
            assert_eq!(parse(&format!("--fault {fault}")).expect("its own name").fault, *fault);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        for wrong in [
            "--demo --ring-dir x",
            "--keep --ring-dir x",
            "--fault hang",
            "--runs 0",
            "--writers 0",
            "--clients 5",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let before = Arguments::try_parse_from(["simpledynamo", "bench", "--seconds", "3", "failover"]);
        assert!(before.is_err(), "options of the steady load have no meaning here");
    }
}
