//! The end of the process, where going on would mean to serve wrong data.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The exit code of a node that stopped itself: its disk failed, or an invariant does not hold.
const EXIT_FATAL: i32 = 70;

/// Says what happened and ends the process at once, whatever else it was doing. What was in flight is unknown
/// to its clients, never "failed".
pub(crate) fn stop(what: &dyn fmt::Display) -> ! {
    tracing::error!("{what}: this node stops now, before it could serve wrong data");
    std::process::exit(EXIT_FATAL);
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
