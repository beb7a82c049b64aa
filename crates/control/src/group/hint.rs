//! Starting an election early.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use simpledynamo_topology::NodeId;
use tokio::time::Instant;

use super::ControlGroup;

impl ControlGroup {
    /// Takes in that a node seems to be down: it refuses or resets connections. This is a hint, never a proof.
    ///
    /// If that node leads as far as this voter knows, and is not heard until nobody has to hold to it any more
    /// ([`crate::Options::election_max`]), an election starts then, and not a further time to an election later.
    /// Voters take turns at it. It may be called from any thread and as often as one likes.
    pub fn hint_down(&self, node: NodeId) {
        let leads = self.inner.leadership.borrow().leader.is_some_and(|leader| leader.node == node);
        if !leads || self.inner.is_hinted.swap(true, Ordering::Relaxed) {
            return;
        }
        let group = self.clone();
        self.inner.runtime.spawn(async move {
            group.elect_early(node).await;
            group.inner.is_hinted.store(false, Ordering::Relaxed);
        });
    }

    /// Stops sending signs of life as the leader, so that another can be elected before this member ends: those who
    /// are told ([`Self::hint_down`]) stand for election as soon as nobody has to hold to this one any more. The caller
    /// makes no further [`Self::confirm`], which would be a sign of life too.
    pub fn hand_over(&self) {
        self.inner.raft.runtime_config().heartbeat(false);
    }

    async fn elect_early(&self, node: NodeId) {
        let options = &self.inner.options;
        let leadership = self.inner.leadership.borrow().to_owned();
        let follows = leadership.leader.is_some_and(|leader| leader.node == node) && !leadership.is_me;
        if !follows || !self.members().voters.contains(&self.me()) {
            return;
        }
        let heard = self.heard();
        let free = heard.map_or_else(Instant::now, |heard| heard + options.election_max);
        tokio::time::sleep_until(free + options.heartbeat / 2 * (options.slot() + 1)).await;
        if self.heard() != heard || *self.inner.leadership.borrow() != leadership {
            return;
        }
        // The next hint must wait its turn anew.
        self.note_heard();
        let topology = self.topology().borrow().clone();
        let name = &topology.ring().names()[node.index()];
        tracing::info!("node {name}, which leads the control group, is not heard: starting an election");
        // If it has ended there is nothing to elect.
        drop(self.inner.raft.trigger().elect().await);
    }

    /// When a leader was last heard.
    fn heard(&self) -> Option<Instant> {
        *self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_heard(&self) {
        *self.inner.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
