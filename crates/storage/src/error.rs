//! Why a store cannot go on.

use std::io;
use std::path::PathBuf;

/// Why a store cannot go on. None of these is survivable: the node says it and stops.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done, as a word such as "cannot write".
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what was written to it.
    #[error("{path} is damaged at byte {offset}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A stored record cannot be read.
    #[error("the record of key {key} in {path} is damaged: {reason}: check the disk")]
    Record {
        /// The folder of the data.
        path: PathBuf,
        /// The key as it is stored, its token first, in hexadecimal digits and cut short.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Log and data contradict each other, so one of them lost something.
    #[error("the store in {path} lost a part of what it held: {reason}")]
    Inconsistent {
        /// The store's folder.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The folder belongs to another node, cluster or format.
    #[error("the store in {path} belongs to {found}, not to {expected}: give this node a folder of its own")]
    Foreign {
        /// The store's folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// Another process has the folder open.
    #[error("{path} is in use by another process: stop it, or give this node a folder of its own")]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// The key-value engine failed.
    #[error("the data in {path} failed: {source}")]
    Engine {
        /// The store's folder.
        path: PathBuf,
        /// What the engine said.
        source: fjall::Error,
    },
    /// An earlier write or sync failed; what is on disk since is unknown.
    #[error("the store in {path} failed before and takes nothing more")]
    Poisoned {
        /// The store's folder.
        path: PathBuf,
    },
}
