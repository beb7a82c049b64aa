//! Asking other members, for openraft and for the group itself.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, OptionalSend};
use simpledynamo_topology::NodeId;

use crate::frame::{self, Refusal, Refusals, Reply, Request};
use crate::transport::AnyTransport;
use crate::types::{Snapshot, Types, Vote};
use crate::{ControlId, TransportError};

/// Why a question got no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The peer does not take the frame: it runs on another store, say.
    #[error("refused as {0}")]
    Refused(Refusal),
    /// The answer is not one to this question.
    #[error("the reply is {0}")]
    BadReply(Refusal),
}

impl AskError {
    /// Whether the question may have had an effect.
    pub(crate) fn may_have_happened(&self) -> bool {
        match self {
            Self::Transport(TransportError::NotReached(_)) | Self::Refused(_) => false,
            Self::Transport(TransportError::NoReply(_)) | Self::BadReply(_) => true,
        }
    }
}

/// Asks on behalf of one member.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) ring: Arc<str>,
    pub(crate) me: ControlId,
    pub(crate) transport: Arc<dyn AnyTransport>,
    pub(crate) refusals: Arc<Refusals>,
    /// How long openraft leaves a member alone that it could not reach.
    pub(crate) pause: Duration,
    /// Whether the leader keeps silent, so that another may be elected.
    pub(crate) is_muted: Arc<AtomicBool>,
}

impl Caller {
    /// Asks a member.
    pub(crate) async fn ask(
        &self,
        peer: ControlId,
        request: Request,
        limit: Duration,
    ) -> Result<Reply, AskError> {
        self.exchange(peer.node, Some(peer), request, limit).await
    }

    /// Asks whoever runs as a node.
    pub(crate) async fn ask_node(
        &self,
        node: NodeId,
        request: Request,
        limit: Duration,
    ) -> Result<Reply, AskError> {
        self.exchange(node, None, request, limit).await
    }

    async fn exchange(
        &self,
        node: NodeId,
        peer: Option<ControlId>,
        request: Request,
        limit: Duration,
    ) -> Result<Reply, AskError> {
        let bytes = frame::write(&self.ring, self.me, peer, request);
        // The limit is kept here too: nothing good comes of a transport that forgets it.
        let call = tokio::time::timeout(limit, self.transport.call_boxed(node, bytes, limit));
        let late = |_| TransportError::NoReply(format!("none within {limit:?}"));
        let bytes = call.await.map_err(late)??;
        match frame::read_reply(&bytes, &self.ring, self.me, peer) {
            Ok(Reply::Refused(reason)) => Err(AskError::Refused(reason)),
            Ok(reply) => Ok(reply),
            Err(reason) => {
                self.refusals.count(reason);
                Err(AskError::BadReply(reason))
            }
        }
    }
}

impl RaftNetworkFactory<Types> for Caller {
    type Network = Peer;

    async fn new_client(&mut self, target: ControlId, _node: &EmptyNode) -> Peer {
        Peer { caller: self.clone(), target }
    }
}

/// One member, as openraft speaks to it.
pub(crate) struct Peer {
    caller: Caller,
    target: ControlId,
}

type RpcError = RPCError<ControlId, EmptyNode, RaftError<ControlId>>;

impl Peer {
    async fn ask(&self, request: Request, limit: Duration) -> Result<Reply, AskError> {
        self.caller.ask(self.target, request, limit).await
    }

    /// Asks as the leader.
    async fn lead(&self, request: Request, limit: Duration) -> Result<Reply, AskError> {
        if self.caller.is_muted.load(Ordering::Relaxed) {
            let reason = "this leader has lost its majority and keeps silent".to_owned();
            return Err(TransportError::NotReached(reason).into());
        }
        self.ask(request, limit).await
    }
}

/// Without a pause openraft repeats at once what failed, which for a peer that refuses connections is a busy loop.
fn unreachable(error: &AskError) -> Unreachable {
    Unreachable::new(error)
}

fn unexpected() -> NetworkError {
    NetworkError::new(&AskError::BadReply(Refusal::Malformed))
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<ControlId>, RpcError> {
        match self.lead(Request::Append(request), option.hard_ttl()).await {
            Ok(Reply::Append(response)) => Ok(response),
            Ok(_) => Err(unexpected().into()),
            Err(error) => Err(unreachable(&error).into()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<ControlId>,
        option: RPCOption,
    ) -> Result<VoteResponse<ControlId>, RpcError> {
        match self.ask(Request::Vote(request), option.hard_ttl()).await {
            Ok(Reply::Vote(response)) => Ok(response),
            Ok(_) => Err(unexpected().into()),
            Err(error) => Err(unreachable(&error).into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<ControlId>, StreamingError<Types, Fatal<ControlId>>> {
        let request = Request::Snapshot { vote, meta: snapshot.meta, state: snapshot.snapshot };
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            reply = self.lead(request, option.hard_ttl()) => match reply {
                Ok(Reply::Snapshot(response)) => Ok(response),
                Ok(_) => Err(unexpected().into()),
                Err(error) => Err(unreachable(&error).into()),
            },
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.caller.pause))
    }
}
