//! The end of the process, where going on would mean to serve wrong data.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use simpledynamo_storage::StoreError;
use simpledynamo_storage::disk::mark_damaged;

/// The exit code of a node that stopped itself: its disk failed, or an invariant does not hold.
const EXIT_FATAL: i32 = 70;

/// Says what happened and ends the process at once, whatever else it was doing. What was in flight is unknown
/// to its clients, never "failed".
pub(crate) fn stop(what: &dyn fmt::Display) -> ! {
    tracing::error!("{what}: this node stops now, before it could serve wrong data");
    std::process::exit(EXIT_FATAL);
}

/// The folder of this process's store, once it is open.
static STORE: OnceLock<PathBuf> = OnceLock::new();

/// From now on a store that turns out to be damaged is marked as such ([`stop_for`]).
pub(crate) fn watch_store(folder: PathBuf) {
    let _ = STORE.set(folder);
}

/// As [`stop`], for a store that failed. One that does not hold what was written to it is marked, so that the node
/// begins with an empty one when it starts again: it would fail at the same place for ever. One whose parts contradict
/// each other is left as it is: that may be a mistake of this program, and other nodes may have made it too.
pub(crate) fn stop_for(error: &StoreError) -> ! {
    let is_spoiled = error.is_damage() && !matches!(error, StoreError::Inconsistent { .. });
    if let Some(folder) = STORE.get().filter(|_| is_spoiled) {
        note_damage(folder);
    }
    stop(error)
}

/// From the next start on the store in this folder counts as empty.
pub(crate) fn note_damage(folder: &Path) {
    match mark_damaged(folder) {
        Ok(()) => tracing::error!(
            "when this node starts again it begins with an empty store, which the others fill"
        ),
        Err(error) => tracing::error!("{error}"),
    }
}

/// Replaces the process by a new one of the same program with the same arguments: nothing of what it knew counts.
/// Its files and locks are let go of.
pub(crate) fn begin_anew() -> ! {
    let mut arguments = std::env::args_os();
    let named = arguments.next();
    let program = std::env::current_exe().ok().map(Into::into).or(named);
    if let Some(program) = program {
        let error = Command::new(program).args(arguments).exec();
        tracing::error!("cannot start anew: {error}");
    }
    std::process::exit(EXIT_FATAL);
}

/// From now on a panic in any thread ends the process: a node that lost a part of itself must not go on.
pub(crate) fn stop_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(EXIT_FATAL);
    }));
}
