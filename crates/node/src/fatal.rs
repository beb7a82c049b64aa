//! The end of the process, where going on would mean to serve wrong data.

use std::fmt;

/// The exit code of a node that stopped itself: its disk failed, or an invariant does not hold.
const EXIT_FATAL: i32 = 70;

/// Says what happened and ends the process at once, whatever else it was doing. What was in flight is unknown
/// to its clients, never "failed".
pub(crate) fn stop(what: &dyn fmt::Display) -> ! {
    tracing::error!("{what}: this node stops now, before it could serve wrong data");
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
