//! How a subcommand ends when it does not end well.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use simpledynamo_launch::LaunchError;

/// Exit code of a key that is not there.
pub(crate) const NOT_FOUND: u8 = 1;

/// Exit code of a ring that serves every pair, some of them on fewer nodes than should be.
pub(crate) const SHORT: u8 = 6;

/// Exit code of a ring of which a part is not served.
pub(crate) const UNSERVED: u8 = 7;

/// Exit code of a promise that was found broken.
pub(crate) const BROKEN: u8 = 8;

/// The exit codes as `--help` tells them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  there is no such key
  2  the command line makes no sense
  3  no node could be reached, or the ring could not do it now: nothing was done
  4  the answer to a write did not come: it may or may not have been done
  5  any other error
  6  status: every pair can be read and written, but not all are on all their nodes
  7  status: a part of the ring is not served
  8  verify: something does not hold that is promised";

/// Why a subcommand could not do its work. The message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Certainly nothing was done; trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// A write may or may not have taken effect.
    #[error("{0}")]
    UnknownOutcome(String),
    /// Trying the same again does not help.
    #[error("{0}")]
    Other(String),
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        Self::other(error)
    }
}

impl Failure {
    /// A failure that trying again does not mend.
    pub(crate) fn other(reason: impl Display) -> Self {
        Self::Other(reason.to_string())
    }

    /// What went wrong.
    pub(crate) fn reason(&self) -> &str {
        let (Self::Unavailable(reason) | Self::UnknownOutcome(reason) | Self::Other(reason)) = self;
        reason
    }

    /// The code that scripts see.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Unavailable(_) => 3,
            Self::UnknownOutcome(_) => 4,
            Self::Other(_) => 5,
        })
    }
}

/// Ends output quietly when its reader has gone, as in `simpledynamo query '*' | head`.
pub(crate) fn unless_reader_gone(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::Other(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}
