//! One client of the load.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{ReplyDecoder, Value, encode_command};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{REPLY_BYTES_MAX, REPLY_DEPTH_MAX};

use super::workload::{Kind, Source};
use super::{CONNECT_TIMEOUT, Setup, Tally};

/// How long a round of the pipeline may take: longer than a node takes to give an operation up.
const ROUND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client waits before it connects again: a dead node must not cost the machine its time.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Room for replies, to begin with.
const INCOMING: usize = 16 * 1024;

/// Sends rounds of requests until the source ends. A connection that fails is counted, and another node tried.
pub(super) async fn drive(setup: Rc<Setup>, client: u32, mut source: Source, tally: Rc<RefCell<Tally>>) {
    let mut attempt = client as usize;
    loop {
        let node = &setup.nodes[attempt % setup.nodes.len()];
        let lost = match Connection::open(node, &setup).await {
            Ok(mut connection) => match connection.rounds(&setup, &mut source, &tally).await {
                Ok(()) => return,
                Err(lost) => lost,
            },
            Err(error) => Lost { kind: describe("cannot connect", &error), requests: 1 },
        };
        tally.borrow_mut().error(&lost.kind, lost.requests);
        if !source.goes_on() {
            return;
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
        attempt += 1;
    }
}

fn describe(what: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut {
        format!("{what}: timeout")
    } else {
        format!("{what}: {error}")
    }
}

/// Why a single request has no reply.
pub(super) enum Unanswered {
    /// It never left: certainly nothing was done.
    NotSent,
    /// The connection ended before the reply.
    Broken(io::Error),
}

/// Requests that a failed connection left without an answer.
struct Lost {
    kind: String,
    requests: u64,
}

/// A connection to a node.
pub(super) struct Connection {
    stream: TcpStream,
    decoder: ReplyDecoder,
    incoming: BytesMut,
    outgoing: Vec<u8>,
    kinds: Vec<Kind>,
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
            outgoing: Vec::new(),
            kinds: Vec::new(),
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

    async fn rounds(
        &mut self,
        setup: &Setup,
        source: &mut Source,
        tally: &RefCell<Tally>,
    ) -> Result<(), Lost> {
        loop {
            self.outgoing.clear();
            self.kinds.clear();
            source.fill(setup.pipeline, &mut self.outgoing, &mut self.kinds);
            if self.kinds.is_empty() {
                return Ok(());
            }
            let mut answered = 0;
            let round = tokio::time::timeout(ROUND_TIMEOUT, self.round(tally, &mut answered)).await;
            let requests = (self.kinds.len() - answered) as u64;
            match round {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Lost { kind: describe("connection lost", &error), requests }),
                Err(_) => return Err(Lost { kind: "no answer".to_owned(), requests }),
            }
        }
    }

    /// One write, and as few reads as bring all replies.
    async fn round(&mut self, tally: &RefCell<Tally>, answered: &mut usize) -> io::Result<()> {
        let sent_at = Instant::now();
        self.stream.write_all(&self.outgoing).await?;
        while *answered < self.kinds.len() {
            self.read_some().await?;
            let now = Instant::now();
            let mut tally = tally.borrow_mut();
            while let Some(reply) = self.decoder.decode(&mut self.incoming).map_err(io::Error::other)? {
                let Some(kind) = self.kinds.get(*answered) else {
                    return Err(io::Error::other("more replies than requests"));
                };
                tally.count(*kind, &reply, now, now - sent_at);
                *answered += 1;
            }
        }
        Ok(())
    }

    async fn reply(&mut self) -> io::Result<Value> {
        loop {
            if let Some(reply) = self.decoder.decode(&mut self.incoming).map_err(io::Error::other)? {
                return Ok(reply);
            }
            self.read_some().await?;
        }
    }

    async fn read_some(&mut self) -> io::Result<()> {
        self.incoming.reserve(1024);
        match self.stream.read_buf(&mut self.incoming).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Tally {
    /// Counts a reply, if it came after the warm-up.
    fn count(&mut self, kind: Kind, reply: &Value, now: Instant, latency: Duration) {
        self.replies += 1;
        if now < self.counts_from {
            return;
        }
        if let Value::Error(text) = reply {
            return self.error(text.split(' ').next().unwrap_or("error"), 1);
        }
        match kind {
            Kind::Read => {
                self.misses += u64::from(*reply == Value::Null);
                self.reads.record(latency);
            }
            Kind::Write => self.writes.record(latency),
        }
    }
}
