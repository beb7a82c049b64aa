//! An etcd client: `etcdserverpb.KV` over gRPC, a stream of HTTP/2 for each operation of a round.
//!
//! Sources: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md> for the form of a call. What of gRPC a load
//! has no use for is left out: compression, deadlines, metadata.

mod call;
mod protobuf;

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use http::uri::Uri;
use simpledynamo_load::{
    Answer, CONNECT_TIMEOUT, Connection, Operation, Payload, Protocol, Random, Round, key,
};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use call::{Call, Outcome, message};

/// What a server may send before it must wait for us: more than any round brings.
const WINDOW: u32 = 8 << 20;

/// How to speak to members of etcd: a read is a linearizable `Range` of one key, a write a `Put`.
pub(crate) struct Etcd {
    payload: Payload,
    seed: u64,
}

impl Etcd {
    /// Writes `payload`, cut by random numbers of `seed`.
    pub(crate) fn new(payload: Payload, seed: u64) -> Self {
        Self { payload, seed }
    }
}

impl Protocol for Etcd {
    type Connection = EtcdConnection;

    async fn connect(&self, server: &str, client: u32) -> io::Result<EtcdConnection> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(server)).await??;
        stream.set_nodelay(true)?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
        let (requests, connection) =
            tokio::time::timeout(CONNECT_TIMEOUT, builder.handshake::<_, Bytes>(stream))
                .await?
                .map_err(io::Error::other)?;
        // Its end is told to every call, so nothing is lost with this result.
        let driver = tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        let uri = |method: &str| call::method_uri(server, method).map_err(io::Error::other);
        Ok(EtcdConnection {
            requests,
            driver,
            put: uri("Put")?,
            range: uri("Range")?,
            payload: self.payload.clone(),
            random: Random::new(self.seed, (1 << 32) | u64::from(client)),
            calls: Vec::new(),
        })
    }
}

/// A connection to a member of etcd.
pub(crate) struct EtcdConnection {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<()>,
    put: Uri,
    range: Uri,
    payload: Payload,
    random: Random,
    /// The calls of this round that have not ended, with their places in it.
    calls: Vec<(usize, Call)>,
}

impl Drop for EtcdConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl EtcdConnection {
    fn message(&mut self, operation: Operation) -> (Request<()>, Bytes) {
        let (uri, message) = match operation {
            Operation::Read(number) => {
                (&self.range, message(|buffer| protobuf::range_request(&key(number), buffer)))
            }
            Operation::Write(number) | Operation::Insert(number) => {
                let value = self.payload.value(&mut self.random);
                (&self.put, message(|buffer| protobuf::put_request(&key(number), value, buffer)))
            }
        };
        (call::head(uri.clone()), message)
    }
}

impl Connection for EtcdConnection {
    async fn exchange(&mut self, round: &mut Round<'_>) -> io::Result<()> {
        self.calls.clear();
        for place in 0..round.operations().len() {
            let operation = round.operations()[place];
            let (head, message) = self.message(operation);
            poll_fn(|context| self.requests.poll_ready(context)).await.map_err(io::Error::other)?;
            let (response, mut body) = self.requests.send_request(head, false).map_err(io::Error::other)?;
            body.send_data(message, true).map_err(io::Error::other)?;
            self.calls.push((place, Call::new(response, matches!(operation, Operation::Read(_)))));
        }
        let calls = &mut self.calls;
        poll_fn(|context| {
            let mut failure = None;
            calls.retain_mut(|(place, call)| match call.poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(outcome)) => {
                    let answer = match &outcome {
                        Outcome::Done => Answer::Done,
                        Outcome::Missing => Answer::Missing,
                        Outcome::Error(text) => Answer::Error(text.as_bytes()),
                    };
                    round.answer(*place, answer, Instant::now());
                    false
                }
                Poll::Ready(Err(error)) => {
                    failure = Some(error);
                    false
                }
            });
            match failure {
                Some(error) => Poll::Ready(Err(error)),
                None if calls.is_empty() => Poll::Ready(Ok(())),
                None => Poll::Pending,
            }
        })
        .await
    }
}
