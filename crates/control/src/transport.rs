//! The road between the members of the group, which the node provides.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use simpledynamo_topology::NodeId;

/// Why a call got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The request certainly did not reach the peer: it refuses connections, say.
    #[error("not reached: {0}")]
    NotReached(String),
    /// The request may have reached the peer.
    #[error("no reply: {0}")]
    NoReply(String),
}

/// Carries one request to a node and its reply back.
///
/// A call must end within its limit, and calls must not wait for each other: a heartbeat that waits behind a lost
/// connection costs an election. The bytes are opaque; [`crate::ControlGroup::handle`] makes the reply on the other
/// side. Where a node runs on another store than the frame is meant for, that side refuses it.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request and waits for the reply, for `limit` at most.
    ///
    /// # Errors
    /// When there is no reply within the limit, and whether the request may have been received.
    fn call(
        &self,
        to: NodeId,
        request: Vec<u8>,
        limit: Duration,
    ) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;
}

/// The future of a call, boxed.
type Call<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, TransportError>> + Send + 'a>>;

/// [`Transport`] without its type, so that the group needs no parameter.
pub(crate) trait AnyTransport: Send + Sync + 'static {
    fn call_boxed(&self, to: NodeId, request: Vec<u8>, limit: Duration) -> Call<'_>;
}

impl<T: Transport> AnyTransport for T {
    fn call_boxed(&self, to: NodeId, request: Vec<u8>, limit: Duration) -> Call<'_> {
        Box::pin(self.call(to, request, limit))
    }
}
