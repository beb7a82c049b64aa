//! Reading and writing frames on a connection between nodes.

use std::io;

use bytes::BytesMut;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::peer::{FrameDecoder, PeerFrame};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::switch::Gate;
use crate::socket;

/// Writes as much as the socket takes, waiting until it takes something.
pub(crate) async fn write_some(writing: &WriteHalf<'_>, out: &mut OutBuffer, gate: &Gate) -> io::Result<()> {
    writing.writable().await?;
    gate.way_out().await?;
    match socket::write_from(out, |slices| writing.try_write_vectored(slices)) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

/// Writes all that the buffer holds.
pub(crate) async fn write_all(writing: &WriteHalf<'_>, out: &mut OutBuffer, gate: &Gate) -> io::Result<()> {
    while !out.is_empty() {
        write_some(writing, out, gate).await?;
    }
    Ok(())
}

/// The next frame.
pub(crate) async fn read_frame(
    reading: &mut ReadHalf<'_>,
    decoder: &mut FrameDecoder,
    buffer: &mut BytesMut,
    gate: &Gate,
) -> io::Result<PeerFrame> {
    loop {
        if let Some(frame) = decoder.decode(buffer).map_err(invalid)? {
            return Ok(frame);
        }
        if gate.hear(reading.read_buf(buffer)).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
        }
    }
}

/// What came cannot be understood.
pub(crate) fn invalid(error: impl std::error::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("what came is no frame of this protocol: {error}"))
}
