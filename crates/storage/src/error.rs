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
    /// A page of a full copy cannot be a part of it. Nothing was changed.
    #[error("page {number} of a copy cannot be installed in {path}: {reason}")]
    BadPage {
        /// The store's folder.
        path: PathBuf,
        /// The number of the page.
        number: u32,
        /// What does not fit.
        reason: &'static str,
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

impl StoreError {
    /// Whether the store lost or garbled something that it held, so that it cannot be opened as it is however
    /// often one tries. A store that merely cannot be read or written now, or belongs to somebody else, is not
    /// damaged.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Record { .. } | Self::Inconsistent { .. } => true,
            Self::Engine { source, .. } => is_engine_damage(source),
            Self::Io { .. }
            | Self::BadPage { .. }
            | Self::Foreign { .. }
            | Self::InUse { .. }
            | Self::Poisoned { .. } => false,
        }
    }
}

fn is_engine_damage(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Io(error) => is_missing_part(error),
        fjall::Error::Storage(error) => {
            // Everything else that goes wrong in there is a check that failed.
            let refused = std::error::Error::source(error).and_then(|source| source.downcast_ref());
            refused.is_none_or(is_missing_part)
        }
        fjall::Error::JournalRecovery(_)
        | fjall::Error::InvalidVersion(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::Unrecoverable => true,
        _ => false,
    }
}

/// Whether a file of the engine, or a part of one, is not there; or is there where a new one should begin, because
/// what says so is not.
fn is_missing_part(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::AlreadyExists
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_from_a_disk_that_refuses() {
        let path = PathBuf::from("store");
        let engine = |source| StoreError::Engine { path: path.clone(), source };
        let io = |kind: io::ErrorKind| engine(fjall::Error::Io(kind.into()));
        let reason = "lost".to_owned();
        assert!(StoreError::Inconsistent { path: path.clone(), reason: reason.clone() }.is_damage());
        assert!(StoreError::Damaged { path: path.clone(), offset: 1, reason }.is_damage());
        assert!(engine(fjall::Error::Unrecoverable).is_damage());
        assert!(engine(fjall::Error::InvalidTrailer).is_damage());
        assert!(io(io::ErrorKind::UnexpectedEof).is_damage());
        assert!(!io(io::ErrorKind::StorageFull).is_damage());
        assert!(!io(io::ErrorKind::PermissionDenied).is_damage());
        assert!(!engine(fjall::Error::Poisoned).is_damage());
        assert!(!engine(fjall::Error::Locked).is_damage());
        assert!(!StoreError::Poisoned { path: path.clone() }.is_damage());
        assert!(!StoreError::InUse { path }.is_damage());
    }
}
