//! How two nodes introduce themselves to each other.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use simpledynamo_topology::{NodeId, StoreId};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::peer::{FrameDecoder, Hello, LinkKind, PROTOCOL_VERSION, PeerFrame, Welcome, encode};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stream::{read_frame, write_all};
use super::switch::{Gate, Switch};
use crate::socket;

/// How long the two ends may take to introduce themselves.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// What every link needs to know.
pub(crate) struct Identity {
    pub(crate) cluster: String,
    pub(crate) table: [u8; 20],
    pub(crate) me: NodeId,
    /// The store that this node runs on.
    pub(crate) store: StoreId,
    /// Names, in ring order.
    pub(crate) names: Vec<String>,
    /// Peer addresses, in ring order.
    pub(crate) addresses: Vec<SocketAddr>,
    /// What links pass through.
    pub(crate) switch: Switch,
}

impl Identity {
    fn hello(&self, to: NodeId, link: LinkKind) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            cluster: self.cluster.clone(),
            table: self.table,
            from: self.me,
            to,
            store: self.store.0,
            link,
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
        if hello.to != self.me {
            return Some("it looks for another node at this address".to_owned());
        }
        if hello.from.index() >= self.names.len() || hello.from == self.me {
            return Some("it claims to be a node that it cannot be".to_owned());
        }
        None
    }
}

/// Connects to a node and introduces this one.
pub(crate) async fn introduce(identity: &Identity, node: NodeId, link: LinkKind) -> io::Result<TcpStream> {
    let gate = identity.switch.gate(node);
    gate.both_ways().await;
    let mut stream = TcpStream::connect(identity.addresses[node.index()]).await?;
    socket::tune_link(&stream)?;
    let mut out = OutBuffer::new();
    encode(&PeerFrame::Hello(identity.hello(node, link)), &mut out);
    let (mut reading, writing) = stream.split();
    write_all(&writing, &mut out, &gate).await?;
    // The other end says nothing after its welcome before it is asked something: nothing is left in the buffer.
    let mut decoder = FrameDecoder::new(0);
    match read_frame(&mut reading, &mut decoder, &mut BytesMut::new(), &gate).await? {
        PeerFrame::Welcome(_) => Ok(stream),
        PeerFrame::Refused(reason) => Err(io::Error::other(format!("it refused this node: {reason}"))),
        _ => Err(io::Error::other("what answers there is no node of this cluster")),
    }
}

/// Lets who has connected introduce itself. Returns what it has said beyond that already.
pub(crate) async fn welcome(
    identity: &Identity,
    stream: &mut TcpStream,
) -> io::Result<(NodeId, LinkKind, BytesMut)> {
    socket::tune_link(stream)?;
    let (mut reading, writing) = stream.split();
    let mut buffer = BytesMut::new();
    let mut decoder = FrameDecoder::new(0);
    let gate = Gate::default();
    let first = timeout(HANDSHAKE_TIMEOUT, read_frame(&mut reading, &mut decoder, &mut buffer, &gate)).await;
    let silent = || io::Error::other(format!("it did not introduce itself ({} bytes came)", buffer.len()));
    let introduced = match first.map_err(|_| silent())?? {
        PeerFrame::Hello(hello) => identity.refusal(&hello).map_or(Ok(hello), Err),
        PeerFrame::OtherVersion { version, cluster } => Err(format!(
            "it speaks version {version} of the protocol (cluster {cluster:?}), this node {PROTOCOL_VERSION}"
        )),
        _ => Err("it did not introduce itself".to_owned()),
    };
    let mut out = OutBuffer::new();
    match introduced {
        Ok(hello) => {
            let gate = identity.switch.gate(hello.from);
            // Whoever connects gives up after the same time.
            timeout(HANDSHAKE_TIMEOUT, gate.both_ways()).await?;
            encode(&PeerFrame::Welcome(Welcome { store: identity.store.0 }), &mut out);
            write_all(&writing, &mut out, &gate).await?;
            Ok((hello.from, hello.link, buffer))
        }
        Err(reason) => {
            encode(&PeerFrame::Refused(reason.clone()), &mut out);
            write_all(&writing, &mut out, &gate).await?;
            Err(io::Error::other(reason))
        }
    }
}
