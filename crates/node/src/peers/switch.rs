//! Cuts between this node and others, for tests.
//!
//! A cut is a network that loses packets, not a connection that is closed: what would be written waits, what would
//! be read is left where it is. So nothing is ever lost out of the middle of a connection that goes on, which the core
//! relies on. All else is as TCP would have it: where one way is cut, acknowledgements of what goes the other way are
//! lost too, so that its sender soon says nothing new; and a connection that has been cut for as long as
//! [`LINK_TIMEOUT`] breaks.
//!
//! Whoever reads or writes a stream to a node does so through its [`Gate`]. Without `fault_injection` gates are always
//! open, and cost one comparison.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use simpledynamo_topology::NodeId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::socket::LINK_TIMEOUT;

/// For so long what travels one way still arrives while the other is cut: until TCP misses acknowledgements.
const STALL_AFTER: Duration = Duration::from_millis(200);

/// Cuts this node off from others; there only with `fault_injection`. Clones are the same switch.
#[derive(Clone)]
pub(crate) struct Switch(Option<Arc<watch::Sender<Cuts>>>);

/// By node; none if nothing is cut.
type Cuts = BTreeMap<NodeId, Cut>;

/// What is cut between this node and another.
#[derive(Clone, Copy)]
struct Cut {
    /// Nothing is sent there.
    to: bool,
    /// Nothing is received from there.
    from: bool,
    /// Since when one of the two is so.
    since: Instant,
}

impl Cut {
    fn is_stalled(self) -> bool {
        self.since.elapsed() >= STALL_AFTER
    }

    fn is_broken(self) -> bool {
        self.since.elapsed() >= LINK_TIMEOUT
    }
}

impl Switch {
    pub(crate) fn new(fault_injection: bool) -> Self {
        Self(fault_injection.then(Arc::default))
    }

    /// Whether anything can be cut.
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// From now on nothing that this node sends reaches the other.
    pub(crate) fn cut_to(&self, node: NodeId) {
        self.change(|cuts| cut(cuts, node).to = true);
    }

    /// From now on nothing that the other sends reaches this node.
    pub(crate) fn cut_from(&self, node: NodeId) {
        self.change(|cuts| cut(cuts, node).from = true);
    }

    /// All cuts end.
    pub(crate) fn heal(&self) {
        self.change(Cuts::clear);
    }

    fn change(&self, change: impl FnOnce(&mut Cuts)) {
        if let Some(cuts) = &self.0 {
            cuts.send_modify(change);
        }
    }

    /// What streams to a node pass through.
    pub(crate) fn gate(&self, node: NodeId) -> Gate {
        Gate(self.0.clone().map(|cuts| (cuts, node)))
    }
}

fn cut(cuts: &mut Cuts, node: NodeId) -> &mut Cut {
    cuts.entry(node).or_insert_with(|| Cut { to: false, from: false, since: Instant::now() })
}

/// What streams to one node pass through. The default is always open: for who connects before he says who he is.
#[derive(Clone, Default)]
pub(crate) struct Gate(Option<(Arc<watch::Sender<Cuts>>, NodeId)>);

impl Gate {
    /// Returns once a connection can be made.
    pub(crate) async fn both_ways(&self) {
        if let Some((cuts, node)) = &self.0 {
            // The sender lives as long as this gate.
            let _ = cuts.subscribe().wait_for(|cuts| !cuts.contains_key(node)).await;
        }
    }

    /// Returns once bytes may be sent. To be awaited last before they are.
    ///
    /// # Errors
    /// When the connection has been cut for too long.
    pub(crate) async fn way_out(&self) -> io::Result<()> {
        self.pass(|cut| cut.to, ready(Ok(()))).await
    }

    /// Reads, but only while something may be received. As cancel-safe as the read is.
    ///
    /// # Errors
    /// Those of the read, and when the connection has been cut for too long.
    pub(crate) async fn hear<T>(&self, read: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        self.pass(|cut| cut.from, read).await
    }

    /// Does some work on a connection while it is not held up, until the connection breaks.
    async fn pass<T>(
        &self,
        is_cut: impl Fn(Cut) -> bool,
        work: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let Some((cuts, node)) = &self.0 else { return work.await };
        let mut changes = cuts.subscribe();
        let mut work = pin!(work);
        loop {
            let cut = changes.borrow_and_update().get(node).copied();
            if cut.is_some_and(Cut::is_broken) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let is_held = cut.is_some_and(|cut| is_cut(cut) || cut.is_stalled());
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = next_stage(cut) => {}
                done = &mut work, if !is_held => return done,
            }
        }
    }
}

/// Returns when a cut connection stalls, or, if it does already, when it breaks.
async fn next_stage(cut: Option<Cut>) {
    match cut {
        Some(cut) if cut.is_stalled() => sleep_until(cut.since + LINK_TIMEOUT).await,
        Some(cut) => sleep_until(cut.since + STALL_AFTER).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
