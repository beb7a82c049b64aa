//! A connection that carries one request at a time.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use simpledynamo_node::config::Password;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{ReplyDecoder, Value, encode_command};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{REPLY_BYTES_MAX, REPLY_DEPTH_MAX};

/// How long a node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Room for replies, to begin with.
const INCOMING: usize = 16 * 1024;

/// What every client needs to know.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// Addresses of nodes.
    pub(super) nodes: Vec<String>,
    pub(super) password: Option<Password>,
}

/// Why a single request has no reply.
pub(super) enum Unanswered {
    /// It never left: certainly nothing was done.
    NotSent,
    /// The connection ended before the reply.
    Broken(io::Error),
}

/// A connection to a node.
pub(super) struct Connection {
    stream: TcpStream,
    decoder: ReplyDecoder,
    incoming: BytesMut,
}

impl Connection {
    /// Connects to a node, and gives the password if there is one.
    pub(super) async fn open(node: &str, setup: &Setup) -> io::Result<Self> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(node)).await??;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            decoder: ReplyDecoder::new(REPLY_DEPTH_MAX, REPLY_BYTES_MAX),
            incoming: BytesMut::with_capacity(INCOMING),
        };
        if let Some(password) = &setup.password {
            let mut request = OutBuffer::new();
            encode_command(&[b"AUTH".as_slice(), password.as_bytes()], &mut request);
            connection.stream.write_all_buf(&mut request).await?;
            if let Value::Error(text) = tokio::time::timeout(CONNECT_TIMEOUT, connection.reply()).await?? {
                return Err(io::Error::other(text.into_owned()));
            }
        }
        Ok(connection)
    }

    /// Whether the node has closed the connection, as far as that has arrived. Only to be asked while no reply is
    /// under way.
    pub(super) fn is_closed(&self) -> bool {
        let idle = self.stream.try_read(&mut [0]);
        !matches!(idle, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends one request and waits for its reply.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Value, Unanswered> {
        self.stream.write_all(request).await.map_err(|_| Unanswered::NotSent)?;
        self.reply().await.map_err(Unanswered::Broken)
    }

    async fn reply(&mut self) -> io::Result<Value> {
        loop {
            if let Some(reply) = self.decoder.decode(&mut self.incoming).map_err(io::Error::other)? {
                return Ok(reply);
            }
            self.incoming.reserve(1024);
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
