//! The command line.

mod failover;
mod verify;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use simpledynamo_node::config::{CLASSIC_BASE_PORT, CLASSIC_BASE_PORT_MAX, Durability};

use crate::failure::EXIT_CODES;

pub(crate) use failover::{FailoverOptions, Fault, Victim};
pub(crate) use verify::VerifyOptions;

/// The client address of the first classic node.
pub(crate) const DEFAULT_NODE: &str = "127.0.0.1:11108";

/// A replicated key-value store: a ring of nodes, each key on a chain of three, for any Redis client.
#[derive(Debug, Parser)]
#[command(name = "simpledynamo", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeOptions),
    Demo(DemoOptions),
    Insert(InsertOptions),
    Query(QueryOptions),
    Delete(DeleteOptions),
    Status(StatusOptions),
    Ring(RingOptions),
    Locate(LocateOptions),
    Bench(BenchOptions),
    Verify(Box<VerifyOptions>),
}

/// Run one node until SIGTERM or Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ServeOptions {
    /// The node's configuration (docs/configuration.md).
    #[arg(long, value_name = "FILE", env = "SIMPLEDYNAMO_CONFIG")]
    pub(crate) config: PathBuf,
    /// Die at once when the process of this number, which started this one, ends.
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) die_with_parent: Option<u32>,
}

/// Run the five classic nodes on this machine until SIGTERM or Ctrl-C; their data is there the next time.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct DemoOptions {
    /// The folder for configuration, data and log of each node.
    #[arg(long, default_value = "./simpledynamo-data")]
    pub(crate) dir: PathBuf,
    /// The client port of the first node; the others follow four apart, peer ports are 10000 higher.
    #[arg(long, value_name = "N", default_value_t = CLASSIC_BASE_PORT,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CLASSIC_BASE_PORT_MAX)))]
    pub(crate) base_port: u16,
    /// The address that the nodes listen on.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// When a write is acknowledged.
    #[arg(long, value_enum, default_value_t = DurabilityName::Always)]
    pub(crate) durability: DurabilityName,
}

/// [`Durability`] as the command line spells it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DurabilityName {
    /// On the disk of every serving replica.
    Always,
    /// Synced every 100 ms.
    Interval,
    /// When the operating system pleases.
    None,
}

impl From<DurabilityName> for Durability {
    fn from(name: DurabilityName) -> Self {
        match name {
            DurabilityName::Always => Self::Always,
            DurabilityName::Interval => Self::Interval,
            DurabilityName::None => Self::None,
        }
    }
}

/// How to reach the ring.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Any node of the ring [default: 127.0.0.1:11108].
    #[arg(long, value_name = "HOST:PORT", env = "SIMPLEDYNAMO_NODE")]
    pub(crate) node: Option<String>,
    /// A file with the password that the nodes ask for.
    #[arg(long, value_name = "FILE", env = "SIMPLEDYNAMO_PASSWORD_FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// How pairs and answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PairFormat {
    /// For people; bytes that cannot be shown as \xNN.
    Table,
    /// One document; bytes that are not UTF-8 as {"base64": "..."}.
    Json,
    /// One pair a line, key TAB value; \t \n \r \\ stand for those four bytes, all others are as they are.
    Tsv,
}

/// How the ring and measurements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Store a pair; a value that was there is replaced.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct InsertOptions {
    /// The key: any bytes. Write -- before a key or value that starts with a dash.
    pub(crate) key: OsString,
    /// The value: any bytes.
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: OsString,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = PairFormat::Table)]
    pub(crate) output: PairFormat,
}

/// Show the pair of a key, of one node (@) or of the whole ring (*).
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct QueryOptions {
    /// A key; or @ for all pairs that the node stores, replicas included; or '*' for all pairs of the ring,
    /// each once. (For a key that is spelled @ or * use a Redis client's GET.)
    #[arg(value_name = "KEY|@|*")]
    pub(crate) selection: OsString,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How pairs are written.
    #[arg(short, long, value_enum, default_value_t = PairFormat::Table)]
    pub(crate) output: PairFormat,
}

/// Delete a key, or every key that one node stores (@), or every key of the ring (*), and print how many there
/// were.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct DeleteOptions {
    /// A key; or @ for all keys that the node stores, on all their replicas; or '*' for all keys of the ring.
    #[arg(value_name = "KEY|@|*")]
    pub(crate) selection: OsString,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How the number is written.
    #[arg(short, long, value_enum, default_value_t = PairFormat::Table)]
    pub(crate) output: PairFormat,
}

/// Where the description of the ring comes from.
#[derive(Debug, Args)]
pub(crate) struct RingSource {
    /// Take the ring from this configuration; no node need run.
    #[arg(long, value_name = "FILE", env = "SIMPLEDYNAMO_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Show whether the ring is whole: who is up, who is down or catching up, which chains are short.
///
/// Asks every node. The exit code tells scripts the outcome: 0 whole, 6 short, 7 not all served, 3 nobody answers.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pub(crate) source: RingSource,
    /// How the state is written.
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) output: ReportFormat,
}

/// Show the ring: who stands where, and which nodes keep what.
///
/// Without --config and --node this is the classic ring: as it runs, or as it would be placed.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct RingOptions {
    #[command(flatten)]
    pub(crate) source: RingSource,
    /// How the ring is written.
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) output: ReportFormat,
}

/// Show where keys live: hash, partition, preference list, and the chain that serves them now.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct LocateOptions {
    /// Keys: any bytes.
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<OsString>,
    #[command(flatten)]
    pub(crate) source: RingSource,
    /// How the places are written.
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) output: ReportFormat,
}

/// How often each key is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Distribution {
    /// All alike.
    Uniform,
    /// A few very often, as YCSB draws them (constant 0.99).
    Zipfian,
}

/// A core workload of YCSB; E is missing, since it scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum YcsbWorkload {
    /// 50 % reads, 50 % writes; zipfian.
    A,
    /// 95 % reads, 5 % writes; zipfian.
    B,
    /// 100 % reads; zipfian.
    C,
    /// 95 % reads, of the latest keys above all; 5 % writes of new keys.
    D,
    /// 50 % reads, 50 % reads that are each followed by a write of the same key; zipfian.
    F,
}

/// Measure a ring, or any other server that speaks Redis's protocol: each client sends, waits, sends again.
///
/// Keys named key:000000000000 and on are written over.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
pub(crate) struct BenchOptions {
    #[command(subcommand)]
    pub(crate) scenario: Option<BenchScenario>,
    /// Addresses that the clients are spread over.
    #[arg(
        long,
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:11108,127.0.0.1:11112,127.0.0.1:11116,127.0.0.1:11120,127.0.0.1:11124"
    )]
    pub(crate) nodes: Vec<String>,
    /// A file with the password that the nodes ask for.
    #[arg(long, value_name = "FILE", env = "SIMPLEDYNAMO_PASSWORD_FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) clients: u32,
    /// Requests that a client sends before it waits for their replies.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) pipeline: u32,
    /// Share of reads, in percent; the others are writes.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) reads: u32,
    /// Length of the values, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=64 << 20))]
    pub(crate) value_size: u32,
    /// How many different keys.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) keys: u64,
    /// How often each key is chosen.
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    pub(crate) distribution: Distribution,
    /// A workload of YCSB, instead of --reads and --distribution.
    #[arg(long, value_enum, conflicts_with_all = ["reads", "distribution"])]
    pub(crate) workload: Option<YcsbWorkload>,
    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Seconds of load before the measurement.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub(crate) warmup: u32,
    /// Write every key once before, so that no read misses.
    #[arg(long)]
    pub(crate) load: bool,
    /// Same number, same choice of keys and operations.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    pub(crate) output: ReportFormat,
}

/// Measurements other than of a steady load.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchScenario {
    Failover(FailoverOptions),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &[&str]) -> Result<Command, clap::Error> {
        let arguments = std::iter::once("simpledynamo").chain(line.iter().copied());
        Arguments::try_parse_from(arguments).map(|parsed| parsed.command)
    }

    #[test]
    fn definitions_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn negative_and_dashed_values_can_be_given() {
        let value = |line: &[&str]| match parse(line) {
            Ok(Command::Insert(options)) => options.value,
            other => panic!("{other:?}"),
        };
        assert_eq!(value(&["insert", "k", "-5"]), "-5");
        assert_eq!(value(&["insert", "-o", "json", "--", "-k", "--v"]), "--v");
    }

    #[test]
    fn base_port_is_checked_to_fit() {
        assert!(parse(&["demo", "--base-port", "55519"]).is_ok());
        for wrong in ["55520", "65536", "0", "x"] {
            let error = parse(&["demo", "--base-port", wrong]).expect_err(wrong);
            assert!(error.to_string().contains("--base-port"), "{error}");
        }
    }

    #[test]
    fn exit_codes_are_in_the_help_of_every_subcommand() {
        for subcommand in Arguments::command().get_subcommands_mut() {
            let help = subcommand.render_help().to_string();
            assert!(help.contains(EXIT_CODES), "{help}");
        }
    }
}
