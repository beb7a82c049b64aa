//! Taking in a member.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, EmptyNode};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::ControlGroup;
use crate::frame::{Reply, Request};
use crate::types::LogId;
use crate::{AdmitError, ControlId, VOTERS_MAX};

/// How long taking in a member may take: it has to receive the whole log or a snapshot.
const ADMIT_LIMIT: Duration = Duration::from_secs(10);

/// As what a member is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It receives the log and votes.
    Voter,
    /// It receives the log.
    Learner,
}

type ChangeError = RaftError<ControlId, ClientWriteError<ControlId, EmptyNode>>;

/// A change that was cut short may have been made.
fn failed(error: ChangeError) -> AdmitError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => {
            AdmitError::Unknown("the leader was replaced".to_owned())
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            AdmitError::Rejected(error.to_string())
        }
        RaftError::Fatal(_) => AdmitError::Stopped,
    }
}

impl ControlGroup {
    /// Takes in a member, this one or another, and has it take the place of the same node's member before, whose
    /// store is gone. It first receives all that is logged; then, as a voter, the voters are changed. It may be
    /// called on any member, and on one that is not in the group yet but was told of the leader
    /// ([`Self::ask_announcement`]); it may be called again, and does nothing if it is done.
    ///
    /// The node is asked who it is first. So a second process with an empty store cannot take the place of one that
    /// runs.
    ///
    /// # Errors
    /// When it was not done within ten seconds, and whether it may yet be. When there would be more than
    /// [`VOTERS_MAX`] voters, or none.
    pub async fn admit(&self, id: ControlId, role: Role) -> Result<(), AdmitError> {
        match self.leader() {
            None => Err(AdmitError::NoLeader),
            Some(leader) if leader == self.me() => self.admit_here(id, role).await,
            Some(leader) => {
                let request = Request::Admit { id, role };
                match self.inner.caller.ask(leader, request, ADMIT_LIMIT).await {
                    Ok(Reply::Admitted) => Ok(()),
                    Ok(Reply::NotLeader(told)) => {
                        self.remember(told);
                        Err(AdmitError::NoLeader)
                    }
                    Ok(Reply::Failed(reason)) => Err(AdmitError::Rejected(reason)),
                    Ok(Reply::Unknown(reason)) => Err(AdmitError::Unknown(reason)),
                    Ok(_) => Err(AdmitError::Unknown("the leader answers something else".to_owned())),
                    Err(error) if error.may_have_happened() => Err(AdmitError::Unknown(error.to_string())),
                    Err(_) => Err(AdmitError::NoLeader),
                }
            }
        }
    }

    /// The same on the leader.
    pub(super) async fn admit_here(&self, id: ControlId, role: Role) -> Result<(), AdmitError> {
        if !self.inner.leadership.borrow().is_me {
            return Err(AdmitError::NoLeader);
        }
        if id.node == self.me().node {
            let is_me = id == self.me();
            let reason = || AdmitError::Rejected("this node runs on another store".to_owned());
            return is_me.then_some(()).ok_or_else(reason);
        }
        let deadline = Instant::now() + ADMIT_LIMIT;
        let late = |_| AdmitError::Unknown(format!("not done within {ADMIT_LIMIT:?}"));
        timeout_at(deadline, self.take_in(id, role)).await.unwrap_or_else(|late_by| Err(late(late_by)))
    }

    async fn take_in(&self, id: ControlId, role: Role) -> Result<(), AdmitError> {
        let _one_by_one = self.inner.admitting.lock().await;
        let found = self.ask_announcement(id.node).await.map_err(|error| {
            AdmitError::Rejected(format!("node {} does not say who it is: {error}", id.node))
        })?;
        if found.id != id {
            return Err(AdmitError::Rejected(format!("node {} is {}", id.node, found.id)));
        }
        self.check_room(id, role)?;
        if !self.members().contains(id) {
            let learners = ChangeMembers::AddNodes([(id, EmptyNode {})].into());
            let added = self.inner.raft.change_membership(learners, true).await.map_err(failed)?;
            self.caught_up(id, added.log_id).await?;
        }
        self.replace_voters(id, role).await?;
        self.remove_former(id).await
    }

    /// The voters once this member is taken in.
    fn voters_with(&self, id: ControlId, role: Role) -> BTreeSet<ControlId> {
        let voters = self.members().voters;
        let stays = role == Role::Voter || voters.contains(&id);
        voters.into_iter().filter(|voter| voter.node != id.node).chain(stays.then_some(id)).collect()
    }

    fn check_room(&self, id: ControlId, role: Role) -> Result<(), AdmitError> {
        match self.voters_with(id, role).len() {
            0 => Err(AdmitError::Rejected("no voter would be left".to_owned())),
            1..=VOTERS_MAX => Ok(()),
            _ => Err(AdmitError::Rejected(format!("there are {VOTERS_MAX} voters already"))),
        }
    }

    /// Waits until a learner has all up to its own admission.
    async fn caught_up(&self, id: ControlId, admitted: LogId) -> Result<(), AdmitError> {
        let mut metrics = self.inner.raft.metrics();
        let reached = metrics.wait_for(|metrics| match &metrics.replication {
            None => true,
            Some(replication) => {
                replication.get(&id).is_some_and(|matched| matched.is_some_and(|last| last >= admitted))
            }
        });
        let is_leader = reached.await.map_err(|_| AdmitError::Stopped)?.replication.is_some();
        is_leader.then_some(()).ok_or_else(|| AdmitError::Unknown("the leader was replaced".to_owned()))
    }

    async fn replace_voters(&self, id: ControlId, role: Role) -> Result<(), AdmitError> {
        let voters = self.voters_with(id, role);
        if voters == self.members().voters {
            return Ok(());
        }
        let change = ChangeMembers::ReplaceAllVoters(voters);
        self.inner.raft.change_membership(change, false).await.map_err(failed)?;
        Ok(())
    }

    /// Removes what is left of the node's members before, if they were learners.
    async fn remove_former(&self, id: ControlId) -> Result<(), AdmitError> {
        let learners = self.members().learners;
        let former: BTreeSet<_> =
            learners.into_iter().filter(|other| other.node == id.node && *other != id).collect();
        if !former.is_empty() {
            let change = ChangeMembers::RemoveNodes(former);
            self.inner.raft.change_membership(change, false).await.map_err(failed)?;
        }
        Ok(())
    }
}
