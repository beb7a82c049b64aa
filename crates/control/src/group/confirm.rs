//! Whether this member leads at this moment.

use openraft::error::{CheckIsLeaderError, RaftError};

use super::ControlGroup;
use crate::NotConfirmed;

impl ControlGroup {
    /// Confirms that this member leads, and returns the term: a majority of the voters answers messages that are sent
    /// after the call, so at some moment between call and return nobody had been elected after it.
    ///
    /// The voters have one heartbeat to answer. Each call makes a round of its own.
    ///
    /// # Errors
    /// When it does not lead, or not enough voters answered in time, or another has been elected meanwhile.
    pub async fn confirm(&self) -> Result<u64, NotConfirmed> {
        let limit = self.inner.options.heartbeat * 3;
        // The round is bounded by itself, but Raft's task may be waiting for a disk.
        tokio::time::timeout(limit, self.confirm_round()).await.unwrap_or(Err(NotConfirmed::NoQuorum))
    }

    async fn confirm_round(&self) -> Result<u64, NotConfirmed> {
        // Votes only rise. If it is the same before and after, it is the one that the round was made under.
        let before = self.vote().await?;
        self.inner.raft.get_read_log_id().await.map_err(|error| match error {
            RaftError::APIError(CheckIsLeaderError::ForwardToLeader(_)) => NotConfirmed::NotLeader,
            RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)) => NotConfirmed::NoQuorum,
            RaftError::Fatal(_) => NotConfirmed::Stopped,
        })?;
        if self.vote().await? != before || before.leader_id().voted_for() != Some(self.me()) {
            return Err(NotConfirmed::NotLeader);
        }
        Ok(before.leader_id().term)
    }

    async fn vote(&self) -> Result<crate::types::Vote, NotConfirmed> {
        self.inner.raft.with_raft_state(|state| *state.vote_ref()).await.map_err(|_| NotConfirmed::Stopped)
    }
}
