//! Bringing a command to the leader.

use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use simpledynamo_topology::{Command, Void};
use tokio::time::Instant;

use super::ControlGroup;
use crate::frame::{Reply, Request};
use crate::types::Applied;
use crate::{ControlId, ProposeError};

/// How long to wait before a leader is looked for again.
const PAUSE: Duration = Duration::from_millis(20);

/// What one attempt came to.
pub(super) enum Attempt {
    Decided(Result<u64, Void>),
    /// It did not happen: that member does not lead. This one is thought to.
    NotLeader(Option<ControlId>),
    /// It may have happened.
    Unknown(String),
    Stopped,
}

impl ControlGroup {
    /// Has the group decide a command, and returns what applying it came to: the version of the topology that has it,
    /// or why it changed nothing. It may be called on any member, and on one that is not in the group yet but was
    /// told of the leader ([`Self::ask_announcement`]).
    ///
    /// The command may be decided more than once, if a reply is lost: commands are made so that a second time changes
    /// nothing. The topology of *this* member may still be older when this returns.
    ///
    /// # Errors
    /// When the limit passes ([`crate::Options::proposal_limit`]), and whether it may have been decided.
    pub async fn propose(&self, command: Command) -> Result<Result<u64, Void>, ProposeError> {
        let deadline = Instant::now() + self.inner.options.proposal_limit;
        let mut outcome = ProposeError::NoLeader;
        loop {
            if let Some(leader) = self.leader() {
                match self.attempt(leader, command.clone(), deadline).await {
                    Attempt::Decided(result) => return Ok(result),
                    Attempt::NotLeader(told) => self.remember(told.filter(|&told| told != leader)),
                    Attempt::Unknown(reason) => outcome = ProposeError::Unknown(reason),
                    Attempt::Stopped => return Err(ProposeError::Stopped),
                }
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(outcome);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Has the group decide what only its leader may say: it is proposed if this member leads, and never passed on. A
    /// former leader that has not heard of its successor would otherwise speak in the successor's place.
    ///
    /// # Errors
    /// When this member does not lead, or the limit passes; then it may have been decided.
    pub async fn propose_as_leader(&self, command: Command) -> Result<Result<u64, Void>, ProposeError> {
        let deadline = Instant::now() + self.inner.options.proposal_limit;
        match self.attempt(self.me(), command, deadline).await {
            Attempt::Decided(result) => Ok(result),
            Attempt::NotLeader(_) => Err(ProposeError::NoLeader),
            Attempt::Unknown(reason) => Err(ProposeError::Unknown(reason)),
            Attempt::Stopped => Err(ProposeError::Stopped),
        }
    }

    /// One attempt, which is given up once this member learns of another leader.
    async fn attempt(&self, leader: ControlId, command: Command, deadline: Instant) -> Attempt {
        let mut leadership = self.leadership();
        let limit = deadline.saturating_duration_since(Instant::now());
        let replaced = leadership.wait_for(|now| now.leader.is_some_and(|other| other != leader));
        let attempt = async {
            if leader == self.me() {
                self.propose_here(command).await
            } else {
                self.propose_there(leader, command, limit).await
            }
        };
        tokio::select! {
            attempt = attempt => attempt,
            _ = replaced => Attempt::Unknown("the leader was replaced".to_owned()),
            () = tokio::time::sleep(limit) => Attempt::Unknown("no decision in time".to_owned()),
        }
    }

    /// Proposes to this member's own Raft.
    pub(super) async fn propose_here(&self, command: Command) -> Attempt {
        if !self.inner.leadership.borrow().is_me {
            return Attempt::NotLeader(self.leader());
        }
        match self.inner.raft.client_write(command).await {
            Ok(response) => match response.data {
                Applied::Changed(version) => Attempt::Decided(Ok(version)),
                Applied::Void(void) => Attempt::Decided(Err(void)),
                Applied::Nothing => unreachable!("a command is applied as a command"),
            },
            // Raft says the same when it never took the command and when it dropped it for another leader's entries.
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Attempt::Unknown("the leader was replaced".to_owned())
            }
            Err(RaftError::APIError(error)) => Attempt::Unknown(error.to_string()),
            Err(RaftError::Fatal(_)) => Attempt::Stopped,
        }
    }

    async fn propose_there(&self, leader: ControlId, command: Command, limit: Duration) -> Attempt {
        match self.inner.caller.ask(leader, Request::Propose { command, limit }, limit).await {
            Ok(Reply::Proposed(result)) => Attempt::Decided(result),
            Ok(Reply::NotLeader(told)) => Attempt::NotLeader(told),
            Ok(Reply::Failed(_)) => Attempt::NotLeader(None),
            Ok(Reply::Unknown(reason)) => Attempt::Unknown(reason),
            Ok(_) => Attempt::Unknown("the leader answers something else".to_owned()),
            Err(error) if error.may_have_happened() => Attempt::Unknown(error.to_string()),
            Err(_) => Attempt::NotLeader(None),
        }
    }
}
