//! Why nothing could be compared.

use std::io;
use std::path::PathBuf;

use simpledynamo_launch::LaunchError;

/// Why nothing could be compared. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The ring, or the folder of all servers.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A server's process, folder or log.
    #[error("cannot start {name}: {source}")]
    Start { name: String, source: io::Error },
    #[error("{name} is not there: build it by cargo build --release, or name it by --binary")]
    NoBinary { name: String },
    #[error("no {count} free ports were found from {from} on; end what listens there")]
    NoPorts { count: usize, from: u16 },
    #[error("{name} ended while it was needed; its log ends with: {log}")]
    Ended { name: String, log: String },
    #[error("{name} did not serve within {seconds} s; its log ends with: {log}")]
    NotReady { name: String, seconds: u64, log: String },
    #[error("not every key could be written to {name}: {errors}")]
    Loading { name: String, errors: String },
    #[error("no cell's name contains {pattern:?}: the names are those of the table, such as \"reads, 64\"")]
    NoCell { pattern: String },
    #[error("cannot read {}: {source}", path.display())]
    Usage { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}; choose another folder by --out", path.display())]
    Output { path: PathBuf, source: io::Error },
    #[error("cannot start the load: {0}")]
    Runtime(io::Error),
    #[error("interrupted: nothing was written")]
    Interrupted,
}
