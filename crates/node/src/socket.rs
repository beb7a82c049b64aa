//! What clients' and nodes' connections have in common.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use simpledynamo_wire::OutBuffer;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// Pieces handed to the system in one call: more than a busy turn has, less than the system's limit of 1,024.
const SLICES_MAX: usize = 64;

/// After this long without a sign of life the other end is asked for one.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// A link between nodes ends when what was sent has not arrived for this long: the receiving system says so even while
/// the process there hangs.
pub(crate) const LINK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to rest when no connection can be accepted, as when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens at an address.
///
/// # Errors
/// As the system has it, usually because the port is in use.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A node that starts again must not wait for connections of its last life to time out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The next connection, whatever happens in between.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Sends what is written at once, and notices in the end if the other side is gone.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_TIME))
}

/// As [`tune`], for a link between nodes: one on which nothing arrives any more is given up, so that a new one can be
/// made. TCP by itself would try again at growing intervals, and find out that a long cut has healed as late as the
/// cut was long.
pub(crate) fn tune_link(stream: &TcpStream) -> io::Result<()> {
    tune(stream)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(LINK_TIMEOUT))
}

/// Writes from a buffer with one call, and drops from it what was taken.
pub(crate) fn write_from(
    out: &mut OutBuffer,
    write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<()> {
    let written = {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = out.chunks(&mut slices);
        write(&slices[..count])?
    };
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    out.advance(written);
    Ok(())
}
