//! How a connection between two nodes begins.

use bytes::{Buf, Bytes};
use simpledynamo_topology::{Member, NodeId, Session};

use super::envelope::{get_member, put_member};
use super::{PROTOCOL_VERSION, PeerFrame};
use crate::OutBuffer;
use crate::codec::{DecodeError, get_bytes, get_count, get_string, get_u16, get_u64, put_count, put_u64};

/// The first bytes of every Hello: whoever connects to the wrong port is told apart at once.
const MAGIC: [u8; 4] = *b"SDp\x01";

/// Reasons for a refusal are cut to this length, in bytes.
pub const REFUSAL_REASON_MAX: usize = 1024;

/// The most lives of a store that are told, the present one included. A node that has met none of the last so many
/// cannot tell any more whether the store is the one it knew.
pub const LINEAGE_MAX: usize = 128;

/// The store that a node runs on, and its last lives: a node whose data folder was replaced, or put back from an
/// old copy, would otherwise use numbers again that are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The store.
    pub store: [u8; 16],
    /// Sessions that began on it, each with a nonce that tells it from a session of the same number on a copy of
    /// the store. The present one is the last. At most [`LINEAGE_MAX`].
    pub lineage: Vec<(Session, u64)>,
}

/// The first frame of a connection: who I am, and who I think you are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the protocol that the sender speaks.
    pub version: u16,
    /// The cluster's id.
    pub cluster: String,
    /// The digest of the cluster's table of nodes: equal on nodes that agree about the ring.
    pub table: [u8; 20],
    /// The sender, in its present session.
    pub from: Member,
    /// The life of the sender that the session is.
    pub life: Life,
    /// The node that the sender means to talk to.
    pub to: NodeId,
}

/// The answer to a Hello that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The present session of the node that answers.
    pub session: Session,
    /// The life of it that the session is.
    pub life: Life,
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
    let Hello { version, cluster, table, from, life, to } = hello;
    put_greeting(*version, cluster, out);
    out.put_slice(table);
    put_member(*from, out);
    put_life(life, out);
    put_u64(to.0.into(), out);
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
        from: get_member(input)?,
        life: get_life(input)?,
        to: NodeId(get_u16(input, "a node's number")?),
    }))
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

pub(super) fn put_welcome(welcome: &Welcome, out: &mut OutBuffer) {
    put_u64(welcome.session.0, out);
    put_life(&welcome.life, out);
}

pub(super) fn get_welcome(input: &mut Bytes) -> Result<Welcome, DecodeError> {
    Ok(Welcome { session: Session(get_u64(input)?), life: get_life(input)? })
}

fn put_life(life: &Life, out: &mut OutBuffer) {
    out.put_slice(&life.store);
    let told = &life.lineage[life.lineage.len().saturating_sub(LINEAGE_MAX)..];
    put_count(told.len(), out);
    for (session, nonce) in told {
        put_u64(session.0, out);
        out.put_u64(*nonce);
    }
}

fn get_life(input: &mut Bytes) -> Result<Life, DecodeError> {
    let store = get_array(input)?;
    let count = get_count(input, LIFE_BYTES_MIN)?;
    let mut lineage = Vec::with_capacity(count);
    for _ in 0..count {
        lineage.push((Session(get_u64(input)?), u64::from_le_bytes(get_array(input)?)));
    }
    Ok(Life { store, lineage })
}

/// The fewest bytes that one life takes: a session and a nonce.
const LIFE_BYTES_MIN: usize = 1 + 8;

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
