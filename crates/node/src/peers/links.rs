//! Data links between nodes.
//!
//! For each ordered pair of nodes there is one connection, dialled by the sender, on which only the sender
//! speaks once both have introduced themselves. A link that breaks loses what was on its way; the core sends
//! it again when the link is made anew.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use simpledynamo_chain::Event;
use simpledynamo_topology::NodeId;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::peer::{FrameDecoder, LinkKind, PeerFrame};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::core::engine::Engine;
use crate::peers::handshake::{HANDSHAKE_TIMEOUT, Identity, introduce};
use crate::peers::outlets::{Outlet, Outlets};
use crate::peers::stream::{invalid, write_some};
use crate::peers::switch::Gate;

/// From one attempt to reach a node to the next: a node that starts is found at once, and one that is down
/// costs next to nothing.
const REDIAL_PAUSE: Duration = Duration::from_millis(50);

/// How often a node that cannot be reached, for whatever reason, is mentioned in the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Bytes that may wait for one node. A node that takes less than it is sent is cut off at this point, and
/// served from the log when it is linked again.
const OUTLET_BYTES_MAX: usize = 256 << 20;

/// The longest frame between nodes: all unfinished entries of a partition, and a value on top.
const PEER_FRAME_MAX: usize = 256 << 20;

/// Room for what one read brings: a turn's worth of messages from a busy node.
const READ_BYTES: usize = 64 << 10;

/// Keeps a link to each other node, for as long as this node runs.
pub(crate) fn dial_all(engine: &Rc<Engine>, identity: &Arc<Identity>, outlets: &Outlets) {
    for (index, outlet) in outlets.iter().enumerate() {
        let node = NodeId::at(index);
        if node != identity.me {
            spawn_local(dial(Rc::clone(engine), Arc::clone(identity), node, Rc::clone(outlet)));
        }
    }
}

async fn dial(engine: Rc<Engine>, identity: Arc<Identity>, node: NodeId, outlet: Rc<Outlet>) {
    let (name, address) = (&identity.names[node.index()], identity.addresses[node.index()]);
    let gate = identity.switch.gate(node);
    let mut complained: Option<(String, Instant)> = None;
    loop {
        match timeout(HANDSHAKE_TIMEOUT, introduce(&identity, node, LinkKind::Data)).await {
            Ok(Ok(mut stream)) => {
                tracing::info!("linked to node {name} ({address})");
                complained = None;
                outlet.set_up(true);
                engine.take(Event::LinkUp(node));
                let end = speak(&mut stream, &outlet, &gate).await;
                outlet.set_up(false);
                engine.take(Event::LinkDown(node));
                tracing::warn!("lost the link to node {name} ({address}): {end}");
            }
            Ok(Err(error)) => complain(&mut complained, name, address, error.to_string()),
            Err(_) => complain(&mut complained, name, address, "no answer".to_owned()),
        }
        sleep(REDIAL_PAUSE).await;
    }
}

/// Says why a node cannot be reached: at once if the reason is new, else now and then.
fn complain(last: &mut Option<(String, Instant)>, name: &str, address: SocketAddr, reason: String) {
    let is_news =
        last.as_ref().is_none_or(|(said, when)| *said != reason || when.elapsed() > COMPLAINT_INTERVAL);
    if is_news {
        tracing::warn!("no link to node {name} ({address}) yet: {reason}");
        *last = Some((reason, Instant::now()));
    }
}

/// Writes whatever waits until the link breaks, and says why it did.
async fn speak(stream: &mut TcpStream, outlet: &Outlet, gate: &Gate) -> io::Error {
    let (mut reading, writing) = stream.split();
    let mut nothing = [0; 1];
    let mut sending = OutBuffer::new();
    loop {
        outlet.take(&mut sending);
        tokio::select! {
            biased;
            written = write_some(&writing, &mut sending, gate), if !sending.is_empty() => {
                if let Err(error) = written {
                    return error;
                }
            }
            () = outlet.ready() => {
                if sending.len() + outlet.waiting_bytes() > OUTLET_BYTES_MAX {
                    return io::Error::other("it takes less than it is sent");
                }
            }
            // The receiver never speaks on this connection: what comes is its end.
            end = gate.hear(reading.read(&mut nothing)) => {
                return end.err().unwrap_or_else(|| io::Error::other("the node closed it"));
            }
        }
    }
}

/// Takes what a node says on a link that it has made, until it stops. `buffer` is what it has said already.
pub(crate) async fn listen(
    engine: &Engine,
    from: NodeId,
    mut stream: TcpStream,
    mut buffer: BytesMut,
    gate: &Gate,
) -> io::Result<()> {
    let (mut reading, _) = stream.split();
    let mut decoder = FrameDecoder::new(PEER_FRAME_MAX);
    decoder.end_handshake();
    loop {
        engine.look_at_clock();
        while let Some(frame) = decoder.decode(&mut buffer).map_err(invalid)? {
            match frame {
                PeerFrame::Message(envelope) if envelope.from.node == from => {
                    engine.take_message(envelope);
                }
                _ => return Err(io::Error::other("it said what it has no right to say")),
            }
        }
        buffer.reserve(READ_BYTES);
        if gate.hear(reading.read_buf(&mut buffer)).await? == 0 {
            return Ok(());
        }
    }
}
