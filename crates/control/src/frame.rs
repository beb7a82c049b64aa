//! What goes over the road: one JSON value per request and per reply.
//!
//! Every frame names the ring, its sender and its receiver, by control ids. A node refuses what is meant for another
//! (invariant I16): a store that was replaced must not be voted for, nor vote, under the name of the old one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};
use simpledynamo_topology::{Command, State, Void};

use crate::types::{SnapshotMeta, Types, Vote};
use crate::{Announcement, ControlId, Role};

/// A request or a reply, and between whom.
#[derive(Serialize, Deserialize)]
pub(crate) struct Frame<B> {
    pub(crate) ring: String,
    pub(crate) from: ControlId,
    /// Who it is meant for. Only who asks for an announcement does not know that yet.
    pub(crate) to: Option<ControlId>,
    pub(crate) body: B,
}

/// What is asked.
#[derive(Serialize, Deserialize)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<ControlId>),
    Snapshot { vote: Vote, meta: SnapshotMeta, state: Box<State> },
    Propose { command: Command, limit: Duration },
    Admit { id: ControlId, role: Role },
    Announce(Announcement),
}

/// What is answered.
#[derive(Serialize, Deserialize)]
pub(crate) enum Reply {
    Append(AppendEntriesResponse<ControlId>),
    Vote(VoteResponse<ControlId>),
    Snapshot(SnapshotResponse<ControlId>),
    Proposed(Result<u64, Void>),
    Admitted,
    Announce(Announcement),
    /// Only the leader does that; this one is thought to be it.
    NotLeader(Option<ControlId>),
    /// It is not done and will not be, and why.
    Failed(String),
    /// Whether it will be done is not known, and why.
    Unknown(String),
    Refused(Refusal),
}

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// It is no frame.
    Malformed,
    /// It is of another ring.
    OtherRing,
    /// It is meant for another node, or for another store of this one.
    OtherReceiver,
    /// It comes from this node's own name, or speaks for another than its sender.
    OtherSender,
}

impl Refusal {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::OtherRing, Self::OtherReceiver, Self::OtherSender];
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a frame",
            Self::OtherRing => "of another ring",
            Self::OtherReceiver => "meant for another",
            Self::OtherSender => "not from whom it speaks for",
        })
    }
}

/// How many frames were refused, by reason.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; Refusal::ALL.len()]);

impl Refusals {
    pub(crate) fn count(&self, reason: Refusal) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, reason: Refusal) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}

impl Request {
    /// In whose name a Raft request speaks: it must be the sender.
    fn leader(&self) -> Option<ControlId> {
        match self {
            Self::Append(request) => request.vote.leader_id().voted_for(),
            Self::Vote(request) => request.vote.leader_id().voted_for(),
            Self::Snapshot { vote, .. } => vote.leader_id().voted_for(),
            Self::Propose { .. } | Self::Admit { .. } | Self::Announce(_) => None,
        }
    }
}

/// Reads a request, and refuses it unless it is one for `me`.
pub(crate) fn read_request(
    bytes: &[u8],
    ring: &str,
    me: ControlId,
) -> Result<(ControlId, Request), (Option<ControlId>, Refusal)> {
    let frame: Frame<Request> = serde_json::from_slice(bytes).map_err(|_| (None, Refusal::Malformed))?;
    let refuse = |reason| Err((Some(frame.from), reason));
    if frame.ring != ring {
        return refuse(Refusal::OtherRing);
    }
    let is_for_me = match frame.to {
        Some(to) => to == me,
        None => matches!(frame.body, Request::Announce(_)),
    };
    if !is_for_me {
        return refuse(Refusal::OtherReceiver);
    }
    let speaks_for_other = frame.body.leader().is_some_and(|leader| leader != frame.from);
    if speaks_for_other || frame.from.node == me.node {
        return refuse(Refusal::OtherSender);
    }
    Ok((frame.from, frame.body))
}

/// Reads a reply, and refuses it unless it is one to `me`, from `peer` if that is known.
pub(crate) fn read_reply(
    bytes: &[u8],
    ring: &str,
    me: ControlId,
    peer: Option<ControlId>,
) -> Result<Reply, Refusal> {
    let frame: Frame<Reply> = serde_json::from_slice(bytes).map_err(|_| Refusal::Malformed)?;
    // What a refusal says of its sender cannot match.
    if let Reply::Refused(_) = frame.body {
        return Ok(frame.body);
    }
    if frame.ring != ring {
        return Err(Refusal::OtherRing);
    }
    if frame.to != Some(me) {
        return Err(Refusal::OtherReceiver);
    }
    if peer.is_some_and(|peer| peer != frame.from) {
        return Err(Refusal::OtherSender);
    }
    Ok(frame.body)
}

/// Writes a frame.
pub(crate) fn write<B: Serialize>(ring: &str, from: ControlId, to: Option<ControlId>, body: B) -> Vec<u8> {
    let frame = Frame { ring: ring.to_owned(), from, to, body };
    serde_json::to_vec(&frame).expect("a frame has no map keys but texts, and writing to memory succeeds")
}
