//! Answering other members.

use std::time::Duration;

use super::ControlGroup;
use super::propose::Attempt;
use crate::frame::{self, Refusal, Reply, Request};
use crate::types::Snapshot;
use crate::{AdmitError, ControlId};

impl ControlGroup {
    /// Answers a request that another node's [`crate::Transport`] carried here. There is a reply to everything, if
    /// only a refusal. The caller bounds how long it waits and how many it serves at once.
    ///
    /// Requests of one sender may be answered in any order, at the same time.
    pub async fn handle(&self, request: &[u8]) -> Vec<u8> {
        let (ring, me) = (&self.inner.caller.ring, self.me());
        let (from, reply) = match frame::read_request(request, ring, me) {
            Ok((from, request)) => (Some(from), self.serve(from, request).await),
            Err((from, reason)) => {
                self.refuse(from, reason);
                (from, Reply::Refused(reason))
            }
        };
        frame::write(ring, me, from, reply)
    }

    fn refuse(&self, from: Option<ControlId>, reason: Refusal) {
        self.inner.caller.refusals.count(reason);
        match from {
            Some(from) => tracing::debug!("refused a frame of {from}: {reason}"),
            None => tracing::debug!("refused a frame: {reason}"),
        }
    }

    async fn serve(&self, from: ControlId, request: Request) -> Reply {
        let raft = &self.inner.raft;
        let ended = |error: &dyn std::fmt::Display| Reply::Failed(error.to_string());
        match request {
            Request::Append(request) => match raft.append_entries(request).await {
                Ok(response) => {
                    self.note_heard_from(from);
                    Reply::Append(response)
                }
                Err(error) => ended(&error),
            },
            Request::Vote(request) => match raft.vote(request).await {
                Ok(response) => Reply::Vote(response),
                Err(error) => ended(&error),
            },
            Request::Snapshot { vote, meta, state } => {
                match raft.install_full_snapshot(vote, Snapshot { meta, snapshot: state }).await {
                    Ok(response) => Reply::Snapshot(response),
                    Err(error) => ended(&error),
                }
            }
            Request::Propose { command, limit } => self.serve_proposal(command, limit).await,
            Request::Admit { id, role } => match self.admit_here(id, role).await {
                Ok(()) => Reply::Admitted,
                Err(AdmitError::NoLeader) => Reply::NotLeader(self.leader()),
                Err(AdmitError::Rejected(reason)) => Reply::Failed(reason),
                Err(error) => Reply::Unknown(error.to_string()),
            },
            // Who asks says of itself what only its own formation needs to know.
            Request::Announce(_) => match self.announcement().await {
                Ok(announcement) => Reply::Announce(announcement),
                Err(error) => ended(&error),
            },
        }
    }

    async fn serve_proposal(&self, command: simpledynamo_topology::Command, limit: Duration) -> Reply {
        let limit = limit.min(self.inner.options.proposal_limit);
        match tokio::time::timeout(limit, self.propose_here(command)).await {
            Ok(Attempt::Decided(result)) => Reply::Proposed(result),
            Ok(Attempt::NotLeader(told)) => Reply::NotLeader(told),
            Ok(Attempt::Unknown(reason)) => Reply::Unknown(reason),
            Ok(Attempt::Stopped) => Reply::Unknown("the leader has ended".to_owned()),
            Err(_) => Reply::Unknown("no decision in time".to_owned()),
        }
    }

    fn note_heard_from(&self, from: ControlId) {
        if self.inner.leadership.borrow().leader == Some(from) {
            self.note_heard();
        }
    }
}
