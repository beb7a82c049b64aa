//! Control links: requests with replies, and messages without, from this node to each other one.
//!
//! For each ordered pair of nodes there is one connection, dialled by the one that asks. Requests are numbered, and
//! their replies come back on the same connection in any order. Nothing is kept for a node that cannot be reached:
//! whoever asks tries again, and old news about leases is worth nothing.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use simpledynamo_topology::NodeId;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::peer::{FrameDecoder, LinkKind, PeerFrame, encode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::message::Message;
use crate::peers::handshake::{self, HANDSHAKE_TIMEOUT, Identity};
use crate::peers::stream::{invalid, write_some};
use crate::peers::switch::Gate;

/// From one attempt to reach a node to the next.
const REDIAL_PAUSE: Duration = Duration::from_millis(50);

/// Frames that may wait for a node: some rounds of everything that is ever under way. More are dropped.
const WAITING_MAX: usize = 1_024;

/// Requests that may be unanswered at one node; more are refused.
const UNANSWERED_MAX: usize = 4_096;

/// The longest control frame: a topology of a thousand nodes and some entries of the log.
pub(super) const CONTROL_FRAME_MAX: usize = 16 << 20;

/// Why a request got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no link to the node.
    #[error("the node cannot be reached")]
    Unreachable,
    /// The link broke, or no reply came in time.
    #[error("no reply came")]
    NoReply,
}

/// What waits to be sent to a node.
enum Outgoing {
    Message(Vec<u8>),
    Call { body: Vec<u8>, reply: oneshot::Sender<Result<Bytes, CallError>> },
}

/// This node's control links to all others. Clones are the same links.
#[derive(Clone)]
pub(crate) struct ControlLinks {
    peers: Arc<Vec<Option<mpsc::Sender<Outgoing>>>>,
}

impl ControlLinks {
    /// Keeps a link to each other node for as long as the runtime runs. `on_refused` hears of each node whose address
    /// refuses connections.
    pub(super) fn start(identity: &Arc<Identity>, on_refused: mpsc::Sender<NodeId>) -> Self {
        let start = |index: usize| {
            let node = NodeId::at(index);
            if node == identity.me {
                return None;
            }
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            tokio::spawn(dial(Arc::clone(identity), node, receiver, on_refused.clone()));
            Some(sender)
        };
        Self { peers: Arc::new((0..identity.names.len()).map(start).collect()) }
    }

    /// Says something to a node, if it can be reached.
    pub(super) fn say(&self, to: NodeId, message: &Message) {
        if let Some(Some(peer)) = self.peers.get(to.index()) {
            let _ = peer.try_send(Outgoing::Message(message.body()));
        }
    }

    /// Asks a node and waits for its reply, at most so long.
    pub(super) async fn call(&self, to: NodeId, body: Vec<u8>, limit: Duration) -> Result<Bytes, CallError> {
        let Some(Some(peer)) = self.peers.get(to.index()) else { return Err(CallError::Unreachable) };
        let (reply, answer) = oneshot::channel();
        peer.try_send(Outgoing::Call { body, reply }).map_err(|_| CallError::Unreachable)?;
        match timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            _ => Err(CallError::NoReply),
        }
    }
}

async fn dial(
    identity: Arc<Identity>,
    node: NodeId,
    mut outgoing: mpsc::Receiver<Outgoing>,
    on_refused: mpsc::Sender<NodeId>,
) {
    let gate = identity.switch.gate(node);
    loop {
        match timeout(HANDSHAKE_TIMEOUT, handshake::introduce(&identity, node, LinkKind::Control)).await {
            Ok(Ok(mut stream)) => {
                let error = converse(&mut stream, &mut outgoing, &gate).await;
                tracing::debug!("lost the control link to node {}: {error}", identity.names[node.index()]);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let _ = on_refused.try_send(node);
            }
            _ => {}
        }
        // Who asks now shall not wait for a link that may take long to come.
        let pause = sleep(REDIAL_PAUSE);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                waiting = outgoing.recv() => match waiting {
                    Some(Outgoing::Call { reply, .. }) => drop(reply.send(Err(CallError::Unreachable))),
                    Some(Outgoing::Message(_)) => {}
                    None => return,
                },
            }
        }
    }
}

/// Sends what waits and hands out replies until the link breaks, and says why it did.
async fn converse(stream: &mut TcpStream, outgoing: &mut mpsc::Receiver<Outgoing>, gate: &Gate) -> io::Error {
    let (mut reading, writing) = stream.split();
    let mut out = OutBuffer::new();
    let mut decoder = FrameDecoder::new(CONTROL_FRAME_MAX);
    decoder.end_handshake();
    let mut buffer = BytesMut::new();
    let mut unanswered: HashMap<u64, oneshot::Sender<Result<Bytes, CallError>>> = HashMap::new();
    let mut last = 0;
    loop {
        tokio::select! {
            biased;
            read = gate.hear(reading.read_buf(&mut buffer)) => {
                match read {
                    Ok(0) => return io::Error::other("the node closed it"),
                    Ok(_) => {}
                    Err(error) => return error,
                }
                loop {
                    match decoder.decode(&mut buffer) {
                        Ok(Some(PeerFrame::Control { id, is_reply: true, body })) => {
                            if let Some(reply) = unanswered.remove(&id) {
                                let _ = reply.send(Ok(body));
                            }
                        }
                        Ok(Some(_)) => return io::Error::other("it said what it has no right to say"),
                        Ok(None) => break,
                        Err(error) => return invalid(error),
                    }
                }
            }
            written = write_some(&writing, &mut out, gate), if !out.is_empty() => {
                if let Err(error) = written {
                    return error;
                }
            }
            waiting = outgoing.recv() => {
                let (id, body) = match waiting {
                    None => return io::Error::other("the node is stopping"),
                    Some(Outgoing::Message(body)) => (0, body),
                    Some(Outgoing::Call { body, reply }) => {
                        unanswered.retain(|_, reply| !reply.is_closed());
                        if unanswered.len() >= UNANSWERED_MAX {
                            let _ = reply.send(Err(CallError::NoReply));
                            continue;
                        }
                        last += 1;
                        unanswered.insert(last, reply);
                        (last, body)
                    }
                };
                if out.len() > CONTROL_FRAME_MAX {
                    return io::Error::other("it takes less than it is sent");
                }
                encode(&PeerFrame::Control { id, is_reply: false, body: body.into() }, &mut out);
            }
        }
    }
}

/// Takes what one node asks on a control link, until it stops. Each request is answered by `answer`, in any order.
pub(super) async fn serve<A, F>(
    mut stream: TcpStream,
    mut buffer: BytesMut,
    gate: &Gate,
    answer: A,
) -> io::Result<()>
where
    A: Fn(Bytes) -> F,
    F: Future<Output = Option<Vec<u8>>> + Send + 'static,
{
    let (mut reading, writing) = stream.split();
    let mut decoder = FrameDecoder::new(CONTROL_FRAME_MAX);
    decoder.end_handshake();
    let mut out = OutBuffer::new();
    let (replies, mut ready) = mpsc::channel::<(u64, Vec<u8>)>(WAITING_MAX);
    loop {
        while let Some(frame) = decoder.decode(&mut buffer).map_err(invalid)? {
            let PeerFrame::Control { id, is_reply: false, body } = frame else {
                return Err(io::Error::other("it said what it has no right to say"));
            };
            let (answer, replies) = (answer(body), replies.clone());
            tokio::spawn(async move {
                if let Some(body) = answer.await {
                    let _ = replies.send((id, body)).await;
                }
            });
        }
        // Who takes no replies is not listened to.
        let has_room = out.len() <= CONTROL_FRAME_MAX;
        tokio::select! {
            biased;
            Some((id, body)) = ready.recv(), if has_room => {
                encode(&PeerFrame::Control { id, is_reply: true, body: body.into() }, &mut out);
            }
            written = write_some(&writing, &mut out, gate), if !out.is_empty() => written?,
            read = gate.hear(reading.read_buf(&mut buffer)), if has_room => {
                if read? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
