//! Why a run could not be carried out. What it found is another matter.

use std::io;
use std::path::PathBuf;

use simpledynamo_launch::LaunchError;

/// Why a run could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum TesterError {
    /// The ring cannot be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The ring was started and does not serve.
    #[error("the ring of the test did not come up: {0}")]
    NotUp(String),
    /// A server to attach to.
    #[error("cannot check {address}: {reason}")]
    Unreachable {
        /// Its address.
        address: String,
        /// What it or the system said.
        reason: String,
    },
    /// A file of the report.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A network of its own.
    #[error(
        "cannot make network namespaces: {0}; it takes root and the programs ip and nsenter (iproute2, util-linux)"
    )]
    Namespaces(io::Error),
    /// Times that are not of one clock.
    #[error("the history makes no sense: {0}")]
    History(#[from] simpledynamo_verify::HistoryError),
}
