//! Who leads, and what a new leader does first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::{ChangeMembers, ServerState};
use tokio::sync::watch;
use tokio::time::Instant;

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

/// Has a leader keep silent at times that no majority answers.
///
/// A leader that is heard, but does not hear, would lead for ever: its heartbeats keep the others from electing one
/// that can decide something, and Raft does not have it step down. It cannot keep silent for good either: if the
/// others have come back meanwhile, it may be the only one with the log to lead them. So times of silence and times of
/// speaking take turns, each long enough for an election.
pub(super) struct Silence {
    /// How long each time lasts.
    pub(super) limit: Duration,
    pub(super) is_muted: Arc<AtomicBool>,
}

impl Silence {
    /// `unheard` is how long no majority has answered a leader; `None` on others.
    fn update(&self, unheard: Option<Duration>) {
        let is_muted = unheard.is_some_and(|unheard| is_time_of_silence(unheard, self.limit));
        if self.is_muted.swap(is_muted, Ordering::Relaxed) != is_muted && is_muted {
            tracing::warn!("no majority answers this leader: it keeps silent so that another may be elected");
        }
    }
}

fn is_time_of_silence(unheard: Duration, limit: Duration) -> bool {
    unheard.as_millis() / limit.as_millis().max(1) % 2 == 1
}

/// Shows the leadership as Raft reports it, until that ends; then, if it failed, says why.
pub(super) fn follow(
    raft: &Raft,
    me: ControlId,
    silence: Silence,
    fatal: watch::Sender<Option<String>>,
) -> watch::Receiver<Leadership> {
    let mut metrics = raft.metrics();
    let (sender, receiver) = watch::channel(read(&metrics.borrow(), me));
    tokio::spawn(async move {
        let mut began = Instant::now();
        loop {
            // Raft reports at every tick, whether anything has changed or not.
            let (now, acked, running) = {
                let metrics = metrics.borrow_and_update();
                (read(&metrics, me), metrics.millis_since_quorum_ack, metrics.running_state.clone())
            };
            if sender.send_if_modified(|shown| std::mem::replace(shown, now) != now) {
                began = Instant::now();
            }
            let since_ack = acked.map_or(Duration::MAX, Duration::from_millis);
            silence.update(now.is_me.then(|| since_ack.min(began.elapsed())));
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

fn read(metrics: &openraft::RaftMetrics<ControlId, openraft::EmptyNode>, me: ControlId) -> Leadership {
    Leadership {
        leader: metrics.current_leader,
        term: metrics.current_term,
        is_me: metrics.state == ServerState::Leader && metrics.current_leader == Some(me),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_silence_and_of_speaking_take_turns() {
        let limit = Duration::from_millis(750);
        let silent = |millis| is_time_of_silence(Duration::from_millis(millis), limit);
        assert_eq!(
            [0, 749, 750, 1_499, 1_500, 2_249, 2_250].map(silent),
            [false, false, true, true, false, false, true]
        );
    }
}
