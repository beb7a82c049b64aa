//! What nodes say to each other.
//!
//! A connection carries frames: four bytes of length (little-endian, of all that follows), a byte for the
//! kind, and the body. The node that connects says [`Hello`]; the other one answers [`Welcome`] or
//! [`PeerFrame::Refused`] and closes. From then on both send frames, in order, without waiting for each
//! other: messages about partitions over a data link, requests and replies of the control group over a
//! control link. Until a connection is past the handshake, a [`FrameDecoder`] takes nothing but its three
//! frames, and none longer than [`HANDSHAKE_FRAME_MAX`].
//!
//! The layout of a frame, of `Refused`, and of a Hello's beginning (magic, version, cluster) is the same in
//! every version of the protocol, so that nodes of different versions can tell each other what is wrong. All
//! else is encoded as in [`crate::codec`].
//!
//! Frames carry no checksum: TCP has one, and whatever reaches a disk gets a stronger one there.

mod envelope;
mod frame;
mod handshake;
mod operation;
mod query;

pub use frame::{FrameDecoder, PeerFrame, encode};
pub use handshake::{Hello, LinkKind, REFUSAL_REASON_MAX, Welcome};

/// The version of the protocol that this code speaks.
pub const PROTOCOL_VERSION: u16 = 2;

/// The longest frame that is taken before the handshake is done, in bytes after the length: a Hello with a
/// cluster id and a refusal with a reason fit many times over.
pub const HANDSHAKE_FRAME_MAX: usize = 4 * 1024;
