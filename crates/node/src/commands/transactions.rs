//! `MULTI` and its relatives.
//!
//! There are no transactions: keys of one block live in different chains. A client that sends `MULTI`, its
//! commands and `EXEC` in one write must find that *nothing* of the block took effect, so a refused `MULTI`
//! also refuses each command up to `EXEC` or `DISCARD`; the state for that is the connection's.

use super::errors::CommandError;
use super::input::{Input, Parsed};
use super::plan::{Plan, ServerCommand};

/// `MULTI`.
pub(super) fn multi(_: Input<'_>) -> Parsed {
    Ok(Plan::Server(ServerCommand::Multi))
}

/// `EXEC`.
pub(super) fn exec(_: Input<'_>) -> Parsed {
    Ok(Plan::Server(ServerCommand::Exec))
}

/// `DISCARD`.
pub(super) fn discard(_: Input<'_>) -> Parsed {
    Ok(Plan::Server(ServerCommand::Discard))
}

/// `WATCH key [key ...]`.
pub(super) fn watch(_: Input<'_>) -> Parsed {
    Err(CommandError::Watch("WATCH"))
}

/// `UNWATCH`.
pub(super) fn unwatch(_: Input<'_>) -> Parsed {
    Err(CommandError::Watch("UNWATCH"))
}
