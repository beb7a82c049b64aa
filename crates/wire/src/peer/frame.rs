//! Frames, and finding them in a stream.

use bytes::{Buf, Bytes, BytesMut};
use simpledynamo_chain::Envelope;

use super::HANDSHAKE_FRAME_MAX;
use super::envelope::{get_envelope, put_envelope};
use super::handshake::{
    Hello, Welcome, get_hello, get_refused, get_welcome, put_hello, put_other_version, put_refused,
    put_welcome,
};
use crate::OutBuffer;
use crate::codec::{DecodeError, finish, get_bool, get_bytes, get_u8, get_u64, put_bool, put_bytes, put_u64};
use crate::room::{let_go_after, make_room};

/// The bytes that tell a frame's length.
const LENGTH_SIZE: usize = 4;

/// The byte after the length.
mod frame_kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const MESSAGE: u8 = 4;
    pub(super) const CONTROL: u8 = 5;
}

/// What one node says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerFrame {
    /// The first frame of a connection.
    Hello(Hello),
    /// A Hello of a node that speaks another version of the protocol; only what every version has is known.
    OtherVersion {
        /// The version that the sender speaks; not [`super::PROTOCOL_VERSION`].
        version: u16,
        /// The cluster's id.
        cluster: String,
    },
    /// The Hello is accepted.
    Welcome(Welcome),
    /// The Hello is not accepted; the connection ends. The reason is for the log of the node that connected.
    Refused(String),
    /// A message about a partition: what data links carry.
    Message(Envelope),
    /// What control links carry: a request of the control group, or the reply to one.
    Control {
        /// Names a request to its sender; the reply carries the same number.
        id: u64,
        /// Whether this is a reply.
        is_reply: bool,
        /// The request or reply, in a form that only the control group knows.
        body: Bytes,
    },
}

/// Writes a frame.
///
/// The receiver drops the connection over a frame that is longer than its limit, so the sender keeps the
/// entries of a message within it.
///
/// # Panics
/// When the frame is longer than 4 GiB.
pub fn encode(frame: &PeerFrame, out: &mut OutBuffer) {
    let length = out.reserve_u32();
    let start = out.len();
    match frame {
        PeerFrame::Hello(hello) => {
            out.put_u8(frame_kind::HELLO);
            put_hello(hello, out);
        }
        PeerFrame::OtherVersion { version, cluster } => {
            out.put_u8(frame_kind::HELLO);
            put_other_version(*version, cluster, out);
        }
        PeerFrame::Welcome(welcome) => {
            out.put_u8(frame_kind::WELCOME);
            put_welcome(*welcome, out);
        }
        PeerFrame::Refused(reason) => {
            out.put_u8(frame_kind::REFUSED);
            put_refused(reason, out);
        }
        PeerFrame::Message(envelope) => {
            out.put_u8(frame_kind::MESSAGE);
            put_envelope(envelope, out);
        }
        PeerFrame::Control { id, is_reply, body } => {
            out.put_u8(frame_kind::CONTROL);
            put_u64(*id, out);
            put_bool(*is_reply, out);
            put_bytes(body, out);
        }
    }
    let size = u32::try_from(out.len() - start).expect("a frame is shorter than 4 GiB");
    out.fill_u32(length, size);
}

/// Finds frames in a stream.
#[derive(Debug)]
pub struct FrameDecoder {
    max_frame: usize,
    in_handshake: bool,
    failed: Option<DecodeError>,
}

impl FrameDecoder {
    /// A decoder for a new connection, which begins with the handshake. `max_frame` is the longest frame taken
    /// after it, in bytes after the length.
    #[must_use]
    pub fn new(max_frame: usize) -> Self {
        Self { max_frame, in_handshake: true, failed: None }
    }

    /// The handshake is done: longer frames, and the other kinds, are taken from now on.
    pub fn end_handshake(&mut self) {
        self.in_handshake = false;
    }

    /// Takes the next frame off the front of the buffer; `None` if it has not arrived as a whole.
    ///
    /// Keys and values are slices of the buffer's memory, which they keep alive. For a long frame that is
    /// arriving, the buffer is given room beforehand.
    ///
    /// # Errors
    /// When the bytes are no frame or one longer than allowed. The connection cannot be read any further: the
    /// same error comes again.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<PeerFrame>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.next_frame(buffer).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn next_frame(&self, buffer: &mut BytesMut) -> Result<Option<PeerFrame>, DecodeError> {
        let Some(announced) = buffer.first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
        let length = u32::from_le_bytes(*announced) as usize;
        let max = if self.in_handshake { HANDSHAKE_FRAME_MAX } else { self.max_frame };
        if length > max {
            return Err(DecodeError::FrameTooLong { length, max });
        }
        let whole = LENGTH_SIZE + length;
        if buffer.len() < whole {
            make_room(buffer, whole - buffer.len());
            return Ok(None);
        }
        buffer.advance(LENGTH_SIZE);
        let mut body = buffer.split_to(length).freeze();
        let_go_after(length, buffer);
        let frame = self.read(&mut body)?;
        finish(&body)?;
        Ok(Some(frame))
    }

    fn read(&self, body: &mut Bytes) -> Result<PeerFrame, DecodeError> {
        let kind = get_u8(body)?;
        match kind {
            frame_kind::HELLO => get_hello(body),
            frame_kind::WELCOME => get_welcome(body).map(PeerFrame::Welcome),
            frame_kind::REFUSED => get_refused(body).map(PeerFrame::Refused),
            frame_kind::MESSAGE | frame_kind::CONTROL if self.in_handshake => Err(DecodeError::NotAPeer),
            frame_kind::MESSAGE => get_envelope(body).map(PeerFrame::Message),
            frame_kind::CONTROL => Ok(PeerFrame::Control {
                id: get_u64(body)?,
                is_reply: get_bool(body, "whether a frame is a reply")?,
                body: get_bytes(body)?,
            }),
            tag => Err(DecodeError::Kind { what: "a frame", tag }),
        }
    }
}
