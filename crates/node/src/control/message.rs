//! What nodes say to each other on control links.
//!
//! The first byte of a body tells what it is: a frame of the control group, whose format is the group's own
//! business, a question, or one of the messages here, as JSON: there are few of them, and people can read them.

use serde::{Deserialize, Serialize};
use simpledynamo_chain::control::{Grant, Renewal};
use simpledynamo_topology::{Member, NodeState};

/// The first byte of a frame of the control group.
const GROUP: u8 = 0;

/// The first byte of a message.
const MESSAGE: u8 = 1;

/// The first byte of the question what the receiver knows of the sender's node; nothing follows.
const WHO_AM_I: u8 = 2;

/// One message; none of them is answered on the spot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    /// Node to voters: renew my lease.
    Renewal(Renewal),
    /// Controller to node: it is renewed.
    Grant(Grant),
    /// Node to voters: I use my lease no more, and am about to leave.
    Surrender(Member),
    /// To voters: I led the control group, and lead it no more; somebody else should stand for election.
    HandOver,
}

/// What the body of a control frame is.
pub(super) enum Body<'a> {
    /// A frame of the control group.
    Group(&'a [u8]),
    /// A message.
    Message(Message),
    /// The question what the receiver knows of the sender's node.
    WhoAmI,
}

impl<'a> Body<'a> {
    /// Reads a body; `None` if it is none.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&GROUP, frame) => Some(Self::Group(frame)),
            (&MESSAGE, json) => serde_json::from_slice(json).ok().map(Self::Message),
            (&WHO_AM_I, []) => Some(Self::WhoAmI),
            _ => None,
        }
    }
}

/// The body that carries a frame of the control group.
pub(super) fn group_body(frame: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(1 + frame.len());
    body.push(GROUP);
    body.extend_from_slice(frame);
    body
}

/// The body that asks what the receiver knows of the sender's node.
pub(super) fn who_am_i_body() -> Vec<u8> {
    vec![WHO_AM_I]
}

/// The answer: what the topology says of the node, if one is known.
pub(super) fn known_body(known: Option<NodeState>) -> Vec<u8> {
    serde_json::to_vec(&known).expect("writing to memory does not fail")
}

/// Reads the answer.
pub(super) fn read_known(body: &[u8]) -> Option<NodeState> {
    serde_json::from_slice(body).ok().flatten()
}

impl Message {
    /// The body that carries the message.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = vec![MESSAGE];
        serde_json::to_writer(&mut body, self).expect("writing to memory does not fail");
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simpledynamo_topology::{NodeId, Session};

    #[test]
    fn bodies_are_read_as_they_were_written() {
        let message = Message::Surrender(Member { node: NodeId(2), session: Session(7) });
        assert!(matches!(Body::read(&message.body()), Some(Body::Message(read)) if read == message));
        assert!(matches!(Body::read(&group_body(b"frame")), Some(Body::Group(b"frame"))));
        assert!(matches!(Body::read(&who_am_i_body()), Some(Body::WhoAmI)));
        let known = NodeState { nonce: 5, is_live: true, ..NodeState::default() };
        assert_eq!(read_known(&known_body(Some(known))), Some(known));
        assert_eq!(read_known(&known_body(None)), None);
        for nonsense in [&b""[..], b"\x01", b"\x01{}", b"\x02frame", b"\x03"] {
            assert!(Body::read(nonsense).is_none());
        }
    }
}
