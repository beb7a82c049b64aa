//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Measures a throw-away ring of five nodes, a five-node etcd and two redis-servers by the same load.
///
/// Everything runs on this machine, in one temporary folder, and shares its processors with the load: compare figures of
/// one run with each other, not with those of another machine.
#[derive(Clone, Debug, Parser)]
// `run` names programs and folders first, and what is asked for besides comes after.
#[command(name = "compare", max_term_width = 100, args_override_self = true)]
pub(crate) struct Options {
    /// How often each cell is measured on each target, in turn; medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) seconds: u32,
    /// Seconds of load before each measurement.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub(crate) warmup: u32,
    /// How many different keys.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) keys: u64,
    /// Pairs stored in the ring at the end, for the figures of memory; 0 leaves them out.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    pub(crate) pairs: u64,
    /// Only the cells whose name contains this text; the names are those of the table.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// The whole matrix of values, connections, pipelines, operations and keys instead of the cells with aims.
    #[arg(long)]
    pub(crate) full: bool,
    /// What an operation costs as connections, nodes and stored keys grow instead: of the ring alone.
    #[arg(long, conflicts_with_all = ["only", "full", "pairs"])]
    pub(crate) grow: bool,
    /// With --grow: up to 10,000,000 stored keys, which take some GB of the disk.
    #[arg(long, requires = "grow")]
    pub(crate) large: bool,
    /// Where results.json, compare.md and compare.svg are written; with --grow, growth.json, growth.md and growth.svg.
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    pub(crate) out: PathBuf,
    /// The program of the five nodes.
    #[arg(long, value_name = "FILE", default_value = "target/release/simpledynamo")]
    pub(crate) binary: PathBuf,
    /// The program of etcd; left out if it is not there.
    #[arg(long, value_name = "FILE", default_value = "etcd")]
    pub(crate) etcd: PathBuf,
    /// The program of Redis; left out if it is not there.
    #[arg(long, value_name = "FILE", default_value = "redis-server")]
    pub(crate) redis: PathBuf,
}
