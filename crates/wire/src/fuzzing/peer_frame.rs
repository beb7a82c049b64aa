//! Frames of nodes.

use bytes::{Buf, BytesMut};

use crate::OutBuffer;
use crate::peer::{FrameDecoder, PeerFrame, encode};

/// Reads the input as the body of a frame. Nothing panics, and each thing that can be said has one encoding.
pub fn peer_frame(body: &[u8]) {
    let Ok(length) = u32::try_from(body.len()) else { return };
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(body);

    let mut decoder = FrameDecoder::new(1024 * 1024);
    decoder.end_handshake();
    let mut buffer = BytesMut::from(&frame[..]);
    match decoder.decode(&mut buffer) {
        Err(_) => {}
        // The reason may have been repaired, and what follows another version's greeting is not kept.
        Ok(Some(PeerFrame::Refused(_) | PeerFrame::OtherVersion { .. })) => {}
        Ok(Some(read)) => {
            let mut out = OutBuffer::new();
            encode(&read, &mut out);
            assert_eq!(out.copy_to_bytes(out.remaining()), frame);
        }
        Ok(None) => panic!("the frame is complete"),
    }
}
