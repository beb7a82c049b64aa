//! How a connection between two nodes begins.

use bytes::{Buf, Bytes};
use simpledynamo_topology::NodeId;

use super::{PROTOCOL_VERSION, PeerFrame};
use crate::OutBuffer;
use crate::codec::{DecodeError, get_bytes, get_string, get_u8, get_u16, put_count, put_u64};

/// The first bytes of every Hello: whoever connects to the wrong port is told apart at once.
const MAGIC: [u8; 4] = *b"SDp\x01";

/// Reasons for a refusal are cut to this length, in bytes.
pub const REFUSAL_REASON_MAX: usize = 1024;

/// What a connection is for. Each link to a peer has a connection of its own, so that a large value never delays
/// what keeps the node alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// Messages about partitions.
    Data,
    /// Requests and replies of the control group.
    Control,
}

/// The first frame of a connection: who I am, and who I think you are.
///
/// Sessions are not told: every message carries those of both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the protocol that the sender speaks.
    pub version: u16,
    /// The cluster's id.
    pub cluster: String,
    /// The digest of the cluster's table of nodes: equal on nodes that agree about the ring.
    pub table: [u8; 20],
    /// The sender.
    pub from: NodeId,
    /// The node that the sender means to talk to.
    pub to: NodeId,
    /// The uuid of the sender's store: a node that lost its disk is told from the one that it was.
    pub store: u128,
    /// What the connection is for.
    pub link: LinkKind,
}

/// The answer to a Hello that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The uuid of the answering node's store.
    pub store: u128,
}

/// The part of a Hello that every version has in common.
fn put_greeting(version: u16, cluster: &str, out: &mut OutBuffer) {
    out.put_slice(&MAGIC);
    out.put_u16(version);
    put_text(cluster, out);
}

pub(super) fn put_other_version(version: u16, cluster: &str, out: &mut OutBuffer) {
    put_greeting(version, cluster, out);
}

pub(super) fn put_hello(hello: &Hello, out: &mut OutBuffer) {
    let Hello { version, cluster, table, from, to, store, link } = hello;
    put_greeting(*version, cluster, out);
    out.put_slice(table);
    put_u64(from.0.into(), out);
    put_u64(to.0.into(), out);
    put_store(*store, out);
    out.put_u8(match link {
        LinkKind::Data => 0,
        LinkKind::Control => 1,
    });
}

/// Reads a Hello. What follows the greeting of another version is not looked at.
pub(super) fn get_hello(input: &mut Bytes) -> Result<PeerFrame, DecodeError> {
    if get_array::<4>(input)? != MAGIC {
        return Err(DecodeError::NotAPeer);
    }
    let version = u16::from_le_bytes(get_array(input)?);
    let cluster = get_string(input)?;
    if version != PROTOCOL_VERSION {
        input.clear();
        return Ok(PeerFrame::OtherVersion { version, cluster });
    }
    Ok(PeerFrame::Hello(Hello {
        version,
        cluster,
        table: get_array(input)?,
        from: NodeId(get_u16(input, "a node's number")?),
        to: NodeId(get_u16(input, "a node's number")?),
        store: get_store(input)?,
        link: get_link(input)?,
    }))
}

fn get_link(input: &mut Bytes) -> Result<LinkKind, DecodeError> {
    match get_u8(input)? {
        0 => Ok(LinkKind::Data),
        1 => Ok(LinkKind::Control),
        tag => Err(DecodeError::Kind { what: "a link", tag }),
    }
}

pub(super) fn put_refused(reason: &str, out: &mut OutBuffer) {
    let mut end = reason.len().min(REFUSAL_REASON_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    put_text(&reason[..end], out);
}

/// Reads a refusal's reason. It goes to a log, so what is no text in it is replaced, not refused.
pub(super) fn get_refused(input: &mut Bytes) -> Result<String, DecodeError> {
    let reason = get_bytes(input)?;
    input.clear();
    Ok(String::from_utf8_lossy(&reason).into_owned())
}

pub(super) fn put_welcome(welcome: Welcome, out: &mut OutBuffer) {
    put_store(welcome.store, out);
}

pub(super) fn get_welcome(input: &mut Bytes) -> Result<Welcome, DecodeError> {
    Ok(Welcome { store: get_store(input)? })
}

fn put_store(store: u128, out: &mut OutBuffer) {
    out.put_slice(&store.to_be_bytes());
}

fn get_store(input: &mut Bytes) -> Result<u128, DecodeError> {
    get_array(input).map(u128::from_be_bytes)
}

fn put_text(text: &str, out: &mut OutBuffer) {
    put_count(text.len(), out);
    out.put_slice(text.as_bytes());
}

fn get_array<const N: usize>(input: &mut Bytes) -> Result<[u8; N], DecodeError> {
    let Some(array) = input.first_chunk::<N>().copied() else {
        return Err(DecodeError::Truncated { missing: (N - input.len()) as u64 });
    };
    input.advance(N);
    Ok(array)
}
