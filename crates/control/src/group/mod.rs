//! The handle on this node's part in the group.

mod admit;
mod confirm;
mod hint;
mod lead;
mod propose;
mod serve;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::error::{InitializeError, RaftError};
use simpledynamo_ring::Ring;
use simpledynamo_topology::{NodeId, Topology};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::frame::{Refusal, Refusals, Reply, Request};
use crate::network::{AskError, Caller};
use crate::store::Store;
use crate::types::{Raft, Types, Vote};
use crate::{
    Announcement, ControlError, ControlId, InitialiseError, Members, Options, Transport, TransportError,
    VOTERS_MAX,
};

use self::lead::Silence;

pub use admit::Role;
pub use lead::Leadership;

/// How long a member may take to say who it is.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(1);

/// This node's part in the control group: a voter, a learner, or somebody who is not in it yet. Clones are handles on
/// the same.
///
/// Its tasks run in the runtime in which it was opened, and all methods that wait have to be called within it. They
/// do no work that blocks.
#[derive(Clone)]
pub struct ControlGroup {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    raft: Raft,
    store: Arc<Store>,
    caller: Caller,
    topology: watch::Receiver<Arc<Topology>>,
    leadership: watch::Receiver<Leadership>,
    fatal: watch::Receiver<Option<String>>,
    /// The leader as somebody else told, for as long as this one follows none.
    told: Mutex<Option<ControlId>>,
    /// When a leader was last heard here.
    heard: Mutex<Option<Instant>>,
    /// Whether a hint is being followed.
    is_hinted: AtomicBool,
    /// Changes of the membership go one by one.
    admitting: tokio::sync::Mutex<()>,
    runtime: tokio::runtime::Handle,
}

impl ControlGroup {
    /// Opens the store and starts to take part: as what the store says, and as nobody if it is empty.
    ///
    /// # Errors
    /// When the options do not fit together, or the store cannot be opened.
    ///
    /// # Panics
    /// When called outside of a tokio runtime that has time.
    pub async fn open<T: Transport>(
        options: Options,
        ring: Arc<Ring>,
        transport: T,
    ) -> Result<Self, ControlError> {
        let config = Arc::new(options.to_config()?);
        let (fatal_sender, fatal) = watch::channel(None);
        let (publish, topology) = watch::channel(Arc::new(Topology::new(Arc::clone(&ring))));
        let (store, log, machine) =
            Store::open(&options.folder, &options.ring_id, options.me, ring, fatal_sender.clone(), publish)?;
        let caller = Caller {
            ring: options.ring_id.as_str().into(),
            me: options.me,
            transport: Arc::new(transport),
            refusals: Arc::new(Refusals::default()),
            pause: options.heartbeat,
            is_muted: Arc::default(),
        };
        let start = |error: &dyn std::fmt::Display| ControlError::Start(error.to_string());
        let raft = Raft::new(options.me, config, caller.clone(), log, machine)
            .await
            .map_err(|error| start(&error))?;
        // Once it answers, its metrics say what the store says.
        raft.with_raft_state(|_| ()).await.map_err(|error| start(&error))?;
        let is_muted = Arc::clone(&caller.is_muted);
        let silence = Silence { limit: options.election_max * 3, is_muted };
        let leadership = lead::follow(&raft, options.me, silence, fatal_sender);
        let inner = Inner {
            raft,
            store,
            caller,
            topology,
            leadership,
            fatal,
            told: Mutex::new(None),
            heard: Mutex::new(None),
            is_hinted: AtomicBool::new(false),
            admitting: tokio::sync::Mutex::new(()),
            runtime: tokio::runtime::Handle::current(),
            options,
        };
        let group = Self { inner: Arc::new(inner) };
        lead::tidy(&group);
        Ok(group)
    }

    /// Who this member is.
    #[must_use]
    pub fn me(&self) -> ControlId {
        self.inner.options.me
    }

    /// The topology, as far as this member knows it. There is a new value whenever a command was applied here; the
    /// version of each is higher than that of the one before, and some may be skipped.
    #[must_use]
    pub fn topology(&self) -> watch::Receiver<Arc<Topology>> {
        self.inner.topology.clone()
    }

    /// Who leads, as far as this member knows. A leader that is gone stays named until there is another, and one that
    /// has been replaced may not know it: [`Self::confirm`] tells.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Why this member failed, once it has: a write or sync failed, or a part of it panicked. From then on it takes
    /// no part, and what it knows must not be trusted. The process should end.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.inner.fatal.clone()
    }

    /// The members that this one knows, whether it is one of them or not. While voters change, those before and after
    /// the change are voters.
    #[must_use]
    pub fn members(&self) -> Members {
        let metrics = self.inner.raft.server_metrics();
        let metrics = metrics.borrow();
        members_of(metrics.membership_config.membership())
    }

    /// Whether this member knows of a group that has formed.
    #[must_use]
    pub fn is_formed(&self) -> bool {
        !self.members().voters.is_empty()
    }

    /// How many frames were refused for a reason: requests here, and replies to what this member asked.
    #[must_use]
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.inner.caller.refusals.of(reason)
    }

    /// What this member says of itself to one that asks.
    ///
    /// # Errors
    /// When this member has ended: then it must say nothing.
    pub async fn announcement(&self) -> Result<Announcement, Stopped> {
        let id = self.me();
        let leader = self.inner.leadership.borrow().leader;
        self.inner
            .raft
            .with_raft_state(move |state| {
                let membership = state.membership_state.effective();
                // The first entry of any log is a membership.
                let is_pristine = *state.vote_ref() == Vote::default() && membership.log_id().is_none();
                Announcement { id, is_pristine, members: members_of(membership.membership()), leader }
            })
            .await
            .map_err(|_| Stopped)
    }

    /// Asks a node who it is and what it knows, for [`crate::Formation`]. What it says of the leader is remembered:
    /// so one that is in no group yet finds the leader.
    ///
    /// # Errors
    /// When there is no answer within a second.
    pub async fn ask_announcement(&self, node: NodeId) -> Result<Announcement, TransportError> {
        let mine = self.announcement().await.map_err(|_| TransportError::NotReached(Stopped.to_string()))?;
        match self.inner.caller.ask_node(node, Request::Announce(mine), ANNOUNCE_LIMIT).await {
            Ok(Reply::Announce(announcement)) if announcement.id.node == node => {
                if announcement.leader.is_some() {
                    self.remember(announcement.leader);
                }
                Ok(announcement)
            }
            Ok(_) => Err(TransportError::NoReply("it answers something else".to_owned())),
            Err(AskError::Transport(error)) => Err(error),
            Err(error) => Err(TransportError::NoReply(error.to_string())),
        }
    }

    /// Forms the group with these voters. [`crate::Formation`] says when.
    ///
    /// It is safe if several of them do it, as long as they name the same voters.
    ///
    /// # Errors
    /// When this member knows of a group already, or the voters do not name it.
    pub async fn initialise(&self, voters: BTreeSet<ControlId>) -> Result<(), InitialiseError> {
        let mut nodes: Vec<_> = voters.iter().map(|voter| voter.node).collect();
        nodes.dedup();
        if nodes.len() != voters.len() || voters.len() > VOTERS_MAX || !voters.contains(&self.me()) {
            return Err(InitialiseError::Members);
        }
        self.inner.raft.initialize(voters).await.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => InitialiseError::Formed,
            RaftError::APIError(InitializeError::NotInMembers(_)) => InitialiseError::Members,
            RaftError::Fatal(_) => InitialiseError::Stopped,
        })
    }

    /// Ends this member's part: its tasks stop, what waits is written, and every call on any handle fails from then
    /// on.
    pub async fn shutdown(&self) {
        // The task ends with an error if it had failed before, which was reported then.
        drop(self.inner.raft.shutdown().await);
        self.inner.store.close().await;
    }

    fn remember(&self, leader: Option<ControlId>) {
        *self.inner.told.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    /// The leader to turn to.
    fn leader(&self) -> Option<ControlId> {
        let known = self.inner.leadership.borrow().leader;
        known.or_else(|| *self.inner.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// This member has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control group has ended here")]
pub struct Stopped;

type Membership = openraft::Membership<
    <Types as openraft::RaftTypeConfig>::NodeId,
    <Types as openraft::RaftTypeConfig>::Node,
>;

fn members_of(membership: &Membership) -> Members {
    Members { voters: membership.voter_ids().collect(), learners: membership.learner_ids().collect() }
}
