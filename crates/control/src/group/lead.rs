//! Who leads, and what a new leader does first.

use openraft::{ChangeMembers, ServerState};
use tokio::sync::watch;

use super::ControlGroup;
use crate::ControlId;
use crate::types::Raft;

/// Who leads, as far as one member knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader; none while it is not known.
    pub leader: Option<ControlId>,
    /// The term, which only rises. Within one there may be two leaders, one after the other, but each member leads at
    /// most once in a term: term and leader together name a leadership.
    pub term: u64,
    /// Whether this member is the leader, as far as it knows.
    pub is_me: bool,
}

/// Shows the leadership as Raft reports it, until that ends; then, if it failed, says why.
pub(super) fn follow(
    raft: &Raft,
    me: ControlId,
    fatal: watch::Sender<Option<String>>,
) -> watch::Receiver<Leadership> {
    let mut metrics = raft.metrics();
    let read = move |metrics: &openraft::RaftMetrics<ControlId, openraft::EmptyNode>| Leadership {
        leader: metrics.current_leader,
        term: metrics.current_term,
        is_me: metrics.state == ServerState::Leader && metrics.current_leader == Some(me),
    };
    let (sender, receiver) = watch::channel(read(&metrics.borrow()));
    tokio::spawn(async move {
        loop {
            let (now, running) = {
                let metrics = metrics.borrow_and_update();
                (read(&metrics), metrics.running_state.clone())
            };
            sender.send_if_modified(|shown| std::mem::replace(shown, now) != now);
            if let Err(error) = running {
                if !matches!(error, openraft::error::Fatal::Stopped) {
                    report(&fatal, error.to_string());
                }
                return;
            }
            if metrics.changed().await.is_err() {
                // It went without a word: it panicked.
                return report(&fatal, "the task of the control group is gone".to_owned());
            }
        }
    });
    receiver
}

/// The first reason counts.
fn report(fatal: &watch::Sender<Option<String>>, reason: String) {
    fatal.send_if_modified(|shown| {
        let is_first = shown.is_none();
        shown.get_or_insert(reason);
        is_first
    });
}

/// Whenever this member becomes the leader, completes a change of voters that the leader before left half done: until
/// then every decision needs a majority of both the old and the new voters.
pub(super) fn tidy(group: &ControlGroup) {
    let mut leadership = group.leadership();
    // The task must not keep the group alive.
    let inner = std::sync::Arc::downgrade(&group.inner);
    tokio::spawn(async move {
        loop {
            let now = *leadership.borrow_and_update();
            if now.is_me {
                let Some(inner) = inner.upgrade() else { return };
                complete(&ControlGroup { inner }).await;
            }
            if leadership.changed().await.is_err() {
                return;
            }
        }
    });
}

async fn complete(group: &ControlGroup) {
    let _one_by_one = group.inner.admitting.lock().await;
    while group.inner.leadership.borrow().is_me {
        let metrics = group.inner.raft.server_metrics();
        let joint = metrics.borrow().membership_config.membership().get_joint_config().clone();
        let [_, target] = joint.as_slice() else { return };
        let change = ChangeMembers::ReplaceAllVoters(target.clone());
        match group.inner.raft.change_membership(change, false).await {
            Ok(_) => return,
            Err(error) => tracing::info!("completing a change of voters: {error}"),
        }
        tokio::time::sleep(group.inner.options.heartbeat).await;
    }
}
