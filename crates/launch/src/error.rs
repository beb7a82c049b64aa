//! Why a ring cannot be started here.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use simpledynamo_node::config::ConfigError;

/// Why a ring cannot be started here. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A folder that nodes were to live in.
    #[error("cannot use the folder {}: {source}; choose another with --dir", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder for a while.
    #[error("cannot make {}: {source}; choose another place by the environment variable TMPDIR", path.display())]
    Temporary {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A node's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A node's folder holds the configuration of another one.
    #[error("{}: [node] name = {found:?}, but this is the folder of node {expected}: correct it", path.display())]
    OtherNode {
        /// The configuration.
        path: PathBuf,
        /// The name that it gives.
        found: String,
        /// The name of the folder's node.
        expected: String,
    },
    /// A configuration whose ring cannot be replaced by this one.
    #[error(
        "{}: its [cluster] table is of another ring and cannot be replaced here; move the file away",
        path.display()
    )]
    OtherRing {
        /// The configuration.
        path: PathBuf,
    },
    /// A port that a node was to listen on.
    #[error("cannot listen on {address} for the {role} port of node {node}: {reason}")]
    Port {
        /// Where.
        address: SocketAddr,
        /// For whom it was to be.
        role: &'static str,
        /// Whose it was to be.
        node: String,
        /// Why not.
        reason: String,
    },
    /// No range of ports is free.
    #[error("no free ports were found from {from} on; the last attempt: {last}")]
    NoPorts {
        /// Where the search began.
        from: u16,
        /// What was wrong with the last range.
        last: Box<LaunchError>,
    },
    /// A process.
    #[error("cannot start node {node}: {source}")]
    Start {
        /// Whose process.
        node: String,
        /// What the system said.
        source: io::Error,
    },
}
