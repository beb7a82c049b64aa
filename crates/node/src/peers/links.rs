//! Links between nodes.
//!
//! For each ordered pair of nodes there is one connection, dialled by the sender, on which only the sender
//! speaks once both have introduced themselves. A link that breaks loses what was on its way; the core sends
//! it again when the link is made anew.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use simpledynamo_chain::Event;
use simpledynamo_storage::disk::{Acquaintances, Stranger};
use simpledynamo_topology::{Member, NodeId, Session};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::peer::{FrameDecoder, Hello, Life, PROTOCOL_VERSION, PeerFrame, Welcome, encode};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::core::engine::Engine;
use crate::peers::outlets::{Outlet, Outlets};
use crate::{fatal, socket};

/// How long the two ends may take to introduce themselves.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// From one attempt to reach a node to the next: a node that starts is found at once, and one that is down
/// costs next to nothing.
const REDIAL_PAUSE: Duration = Duration::from_millis(100);

/// How often a node that cannot be reached, for whatever reason, is mentioned in the log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Different complaints about strangers that are remembered, and so logged, within that time.
const COMPLAINTS_MAX: usize = 100;

/// Bytes that may wait for one node. A node that takes less than it is sent is cut off at this point, and
/// served from the log when it is linked again.
const OUTLET_BYTES_MAX: usize = 256 << 20;

/// The longest frame between nodes: all unfinished entries of a partition, and a value on top.
pub(crate) const PEER_FRAME_MAX: usize = 256 << 20;

/// Connections that may introduce themselves at the same time: all nodes of a large ring at once, and no more
/// than a scanner of ports can do harm with.
const HANDSHAKES_MAX: usize = 1_024;

/// Room for what one read brings: a turn's worth of messages from a busy node.
const READ_BYTES: usize = 64 << 10;

/// What every link needs to know.
pub(crate) struct Identity {
    pub(crate) cluster: String,
    pub(crate) table: [u8; 20],
    pub(crate) me: Member,
    /// The life of this node that the session is.
    pub(crate) life: Life,
    /// Whom this node has met.
    pub(crate) acquaintances: RefCell<Acquaintances>,
    /// Names, in ring order.
    pub(crate) names: Vec<String>,
    /// Peer addresses, in ring order.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Identity {
    fn hello(&self, to: NodeId) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            cluster: self.cluster.clone(),
            table: self.table,
            from: self.me,
            life: self.life.clone(),
            to,
        }
    }

    /// Meets a node in a life of its own; why not, if an earlier life or another store of it is known.
    fn meet(&self, member: Member, life: &Life) -> Result<(), String> {
        if life.lineage.last().is_none_or(|(session, _)| *session != member.session) {
            return Err("its last life is not the session that it speaks in".to_owned());
        }
        let name = &self.names[member.node.index()];
        match self.acquaintances.borrow_mut().meet(name, life) {
            Ok(()) => Ok(()),
            Err(Stranger::Store(error)) => fatal::stop(&error),
            Err(stranger) => Err(format!("node {name}: {stranger}")),
        }
    }

    /// Why this introduction cannot be accepted.
    fn refusal(&self, hello: &Hello) -> Option<String> {
        if hello.cluster != self.cluster {
            return Some(format!(
                "it belongs to cluster {:?}, this node to {:?}",
                hello.cluster, self.cluster
            ));
        }
        if hello.table != self.table {
            return Some("its [cluster] table differs from this node's: give both the same".to_owned());
        }
        if hello.to != self.me.node {
            return Some("it looks for another node at this address".to_owned());
        }
        if hello.from.node.index() >= self.names.len() || hello.from.node == self.me.node {
            return Some("it claims to be a node that it cannot be".to_owned());
        }
        None
    }
}

/// Keeps a link to each other node, for as long as this node runs.
pub(crate) fn dial_all(engine: &Rc<Engine>, identity: &Rc<Identity>, outlets: &Outlets) {
    for (index, outlet) in outlets.iter().enumerate() {
        if index != identity.me.node.index() {
            let node = NodeId(u16::try_from(index).expect("at most 65,535 nodes"));
            spawn_local(dial(Rc::clone(engine), Rc::clone(identity), node, Rc::clone(outlet)));
        }
    }
}

async fn dial(engine: Rc<Engine>, identity: Rc<Identity>, node: NodeId, outlet: Rc<Outlet>) {
    let (name, address) = (&identity.names[node.index()], identity.addresses[node.index()]);
    let mut complained: Option<(String, Instant)> = None;
    loop {
        match timeout(HANDSHAKE_TIMEOUT, introduce(&identity, node, address)).await {
            Ok(Ok((mut stream, session))) => {
                tracing::info!("linked to node {name} ({address})");
                complained = None;
                outlet.set_up(true);
                engine.take(Event::LinkUp(Member { node, session }));
                let end = speak(&mut stream, &outlet).await;
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

async fn introduce(
    identity: &Identity,
    node: NodeId,
    address: SocketAddr,
) -> io::Result<(TcpStream, Session)> {
    let mut stream = TcpStream::connect(address).await?;
    socket::tune(&stream)?;
    let mut out = OutBuffer::new();
    encode(&PeerFrame::Hello(identity.hello(node)), &mut out);
    let (mut reading, writing) = stream.split();
    write_all(&writing, &mut out).await?;
    let mut decoder = FrameDecoder::new(PEER_FRAME_MAX);
    let answer = read_frame(&mut reading, &mut decoder, &mut BytesMut::new()).await?;
    match answer {
        PeerFrame::Welcome(Welcome { session, life }) => {
            identity.meet(Member { node, session }, &life).map_err(io::Error::other)?;
            Ok((stream, session))
        }
        PeerFrame::Refused(reason) => Err(io::Error::other(format!("it refused this node: {reason}"))),
        _ => Err(io::Error::other("what answers there is no node of this cluster")),
    }
}

/// Writes whatever waits until the link breaks, and says why it did.
async fn speak(stream: &mut TcpStream, outlet: &Outlet) -> io::Error {
    let (mut reading, writing) = stream.split();
    let mut nothing = [0; 1];
    let mut sending = OutBuffer::new();
    loop {
        outlet.take(&mut sending);
        tokio::select! {
            biased;
            written = write_some(&writing, &mut sending), if !sending.is_empty() => {
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
            end = reading.read(&mut nothing) => {
                return end.err().unwrap_or_else(|| io::Error::other("the node closed it"));
            }
        }
    }
}

/// Writes as much as the socket takes, waiting until it takes something.
async fn write_some(writing: &WriteHalf<'_>, out: &mut OutBuffer) -> io::Result<()> {
    writing.writable().await?;
    match socket::write_from(out, |slices| writing.try_write_vectored(slices)) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

async fn write_all(writing: &WriteHalf<'_>, out: &mut OutBuffer) -> io::Result<()> {
    while !out.is_empty() {
        write_some(writing, out).await?;
    }
    Ok(())
}

async fn read_frame(
    reading: &mut ReadHalf<'_>,
    decoder: &mut FrameDecoder,
    buffer: &mut BytesMut,
) -> io::Result<PeerFrame> {
    loop {
        if let Some(frame) = decoder.decode(buffer).map_err(invalid)? {
            return Ok(frame);
        }
        if reading.read_buf(buffer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
        }
    }
}

fn invalid(error: impl std::error::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("what came is no frame of this protocol: {error}"))
}

/// Accepts links from other nodes, for as long as this node runs.
pub(crate) async fn accept(engine: Rc<Engine>, identity: Rc<Identity>, listener: TcpListener) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let complaints = Rc::new(RefCell::new(Complaints::default()));
    loop {
        let (stream, from) = socket::accept(&listener).await;
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            tracing::warn!("turned away a connection from {from}: too many are introducing themselves");
            continue;
        };
        let (engine, identity) = (Rc::clone(&engine), Rc::clone(&identity));
        let complaints = Rc::clone(&complaints);
        spawn_local(async move {
            if let Err(error) = listen(&engine, &identity, stream, permit).await {
                let reason = error.to_string();
                if complaints.borrow_mut().is_news(from.ip(), &reason) {
                    tracing::warn!("a link from {from} ended: {reason}");
                }
            }
        });
    }
}

/// What has been complained of lately, so that a node that tries again and again does not fill the log.
#[derive(Default)]
struct Complaints(BTreeMap<(IpAddr, String), Instant>);

impl Complaints {
    /// Whether this was not said within the last [`COMPLAINT_INTERVAL`].
    fn is_news(&mut self, from: IpAddr, reason: &str) -> bool {
        self.0.retain(|_, said| said.elapsed() < COMPLAINT_INTERVAL);
        if self.0.len() >= COMPLAINTS_MAX {
            return false;
        }
        self.0.insert((from, reason.to_owned()), Instant::now()).is_none()
    }
}

/// Takes what one node says, until it stops.
async fn listen(
    engine: &Engine,
    identity: &Identity,
    mut stream: TcpStream,
    handshake: OwnedSemaphorePermit,
) -> io::Result<()> {
    socket::tune(&stream)?;
    let (mut reading, writing) = stream.split();
    let mut buffer = BytesMut::new();
    let mut decoder = FrameDecoder::new(PEER_FRAME_MAX);
    let first = timeout(HANDSHAKE_TIMEOUT, read_frame(&mut reading, &mut decoder, &mut buffer)).await;
    let silent = || io::Error::other(format!("it did not introduce itself ({} bytes came)", buffer.len()));
    let introduced = match first.map_err(|_| silent())?? {
        PeerFrame::Hello(hello) => match identity.refusal(&hello) {
            Some(reason) => Err(reason),
            None => identity.meet(hello.from, &hello.life).map(|()| hello),
        },
        PeerFrame::OtherVersion { version, cluster } => Err(format!(
            "it speaks version {version} of the protocol (cluster {cluster:?}), this node {PROTOCOL_VERSION}"
        )),
        _ => Err("it did not introduce itself".to_owned()),
    };
    let mut out = OutBuffer::new();
    let hello = match introduced {
        Ok(hello) => hello,
        Err(reason) => {
            encode(&PeerFrame::Refused(reason.clone()), &mut out);
            write_all(&writing, &mut out).await?;
            return Err(io::Error::other(reason));
        }
    };
    encode(
        &PeerFrame::Welcome(Welcome { session: identity.me.session, life: identity.life.clone() }),
        &mut out,
    );
    write_all(&writing, &mut out).await?;
    drop(handshake);
    engine.take(Event::Heard(hello.from));
    decoder.end_handshake();
    loop {
        while let Some(frame) = decoder.decode(&mut buffer).map_err(invalid)? {
            engine.take(event(engine, hello.from, frame)?);
        }
        buffer.reserve(READ_BYTES);
        if reading.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// What a frame means, if its sender may say it.
fn event(engine: &Engine, from: Member, frame: PeerFrame) -> io::Result<Event> {
    match frame {
        PeerFrame::Message(envelope) if envelope.from == from => Ok(Event::Message(envelope)),
        PeerFrame::Form(form) if engine.look(|node| node.topology().admits(from.node, &form)) => {
            Ok(Event::Form(form))
        }
        _ => Err(io::Error::other("it said what it has no right to say")),
    }
}
