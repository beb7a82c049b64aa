//! A connection to one server: a request, its reply.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use simpledynamo_node::config::Password;
use simpledynamo_wire::resp::{ReplyDecoder, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::call::encoded;

/// How long a server may take to accept a connection: it is near or not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Replies nest no deeper: a page of pairs is two levels.
const REPLY_DEPTH_MAX: usize = 8;

/// The longest reply, in bytes: a page of all keys of a run with room to spare.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// Room for what one read brings.
const READ_BYTES: usize = 4 * 1024;

/// A connection to one server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    decoder: ReplyDecoder,
    incoming: BytesMut,
}

impl Connection {
    /// Connects, and gives the password if there is one.
    pub(crate) async fn open(address: &str, password: Option<&Password>) -> io::Result<Self> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let decoder = ReplyDecoder::new(REPLY_DEPTH_MAX, REPLY_BYTES_MAX);
        let mut connection = Self { stream, decoder, incoming: BytesMut::new() };
        if let Some(password) = password {
            let request = encoded(&[b"AUTH", password.as_bytes()]);
            match connection.ask(&request, CONNECT_TIMEOUT).await {
                Ok(Value::Error(text)) => return Err(io::Error::other(text.into_owned())),
                Ok(_) => {}
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Ok(connection)
    }

    /// Whether the server has closed the connection, as far as that has arrived. Only to be asked while no reply is under
    /// way.
    pub(crate) fn is_closed(&self) -> bool {
        let idle = self.stream.try_read(&mut [0]);
        !matches!(idle, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends one request and waits for its reply, at most for `patience`. After an error, which says why there is none,
    /// the connection is of no use, and the request may have been carried out.
    pub(crate) async fn ask(&mut self, request: &[u8], patience: Duration) -> Result<Value, String> {
        match timeout(patience, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no reply within {} ms", patience.as_millis())),
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Value, String> {
        self.stream.write_all(request).await.map_err(|error| error.to_string())?;
        loop {
            match self.decoder.decode(&mut self.incoming) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
            self.incoming.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.incoming).await {
                Ok(0) => return Err("the connection was closed".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
