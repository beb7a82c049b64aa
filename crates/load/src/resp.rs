//! Redis's protocol.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::choice::Random;
use crate::client::{Answer, CONNECT_TIMEOUT, Connection, Protocol, Round};
use crate::payload::{KEY_LENGTH, Payload, key};
use crate::skim::{LINE_MAX, Skim, Skimmed};
use crate::workload::Operation;

/// What one read takes from a socket at most: the replies of a pipeline 16 deep with values of 4 KiB, almost.
const INCOMING: usize = 64 * 1024;

// Lines that are not whole stay in the buffer until their rest has come.
const _: () = assert!(LINE_MAX < INCOMING);

/// How to speak to a server with Redis's protocol: a read is a `GET`, a write a `SET`.
pub struct Resp {
    requests: Requests,
    seed: u64,
    password: Option<Vec<u8>>,
}

impl Resp {
    /// Writes `payload`, cut by random numbers of `seed`; gives the password first if there is one.
    #[must_use]
    pub fn new(payload: Payload, seed: u64, password: Option<&[u8]>) -> Self {
        Self { requests: Requests::new(payload), seed, password: password.map(<[u8]>::to_vec) }
    }
}

/// The text of requests, ready but for the key and the value.
#[derive(Clone)]
struct Requests {
    payload: Payload,
    /// `SET`, up to the key.
    set_start: Rc<[u8]>,
    /// `GET`, up to the key.
    get_start: Rc<[u8]>,
    /// Between the key and the value.
    set_middle: Rc<[u8]>,
}

impl Requests {
    fn new(payload: Payload) -> Self {
        let start = |header: &str| format!("{header}\r\n${KEY_LENGTH}\r\n").into_bytes().into();
        Self {
            set_start: start("*3\r\n$3\r\nSET"),
            get_start: start("*2\r\n$3\r\nGET"),
            set_middle: format!("\r\n${}\r\n", payload.value_size()).into_bytes().into(),
            payload,
        }
    }

    fn add(&self, operation: Operation, random: &mut Random, buffer: &mut Vec<u8>) {
        match operation {
            Operation::Read(number) => {
                buffer.extend_from_slice(&self.get_start);
                buffer.extend_from_slice(&key(number));
            }
            Operation::Write(number) | Operation::Insert(number) => {
                buffer.extend_from_slice(&self.set_start);
                buffer.extend_from_slice(&key(number));
                buffer.extend_from_slice(&self.set_middle);
                buffer.extend_from_slice(self.payload.value(random));
            }
        }
        buffer.extend_from_slice(b"\r\n");
    }
}

impl Protocol for Resp {
    type Connection = RespConnection;

    async fn connect(&self, server: &str, client: u32) -> io::Result<RespConnection> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(server)).await??;
        stream.set_nodelay(true)?;
        let mut connection = RespConnection {
            replies: Replies {
                stream,
                skim: Skim::default(),
                buffer: vec![0; INCOMING].into(),
                read: 0,
                filled: 0,
            },
            requests: self.requests.clone(),
            // Streams of the sources' random numbers are the clients' numbers themselves.
            random: Random::new(self.seed, (1 << 32) | u64::from(client)),
            outgoing: Vec::new(),
        };
        if let Some(password) = &self.password {
            tokio::time::timeout(CONNECT_TIMEOUT, connection.authenticate(password)).await??;
        }
        Ok(connection)
    }
}

/// A connection to a server with Redis's protocol.
pub struct RespConnection {
    replies: Replies,
    requests: Requests,
    random: Random,
    outgoing: Vec<u8>,
}

impl RespConnection {
    async fn authenticate(&mut self, password: &[u8]) -> io::Result<()> {
        let mut request = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n", password.len()).into_bytes();
        request.extend_from_slice(password);
        request.extend_from_slice(b"\r\n");
        self.replies.stream.write_all(&request).await?;
        loop {
            match self.replies.next()? {
                Some(Answer::Error(text)) => return Err(io::Error::other(String::from_utf8_lossy(text))),
                Some(_) => return Ok(()),
                None => self.replies.read_some().await?,
            }
        }
    }
}

impl Connection for RespConnection {
    /// One write, and as few reads as bring all replies.
    async fn exchange(&mut self, round: &mut Round<'_>) -> io::Result<()> {
        self.outgoing.clear();
        for operation in round.operations() {
            self.requests.add(*operation, &mut self.random, &mut self.outgoing);
        }
        self.replies.stream.write_all(&self.outgoing).await?;
        let count = round.operations().len();
        while round.answered() < count {
            self.replies.read_some().await?;
            let now = Instant::now();
            while let Some(answer) = self.replies.next()? {
                if round.answered() == count {
                    return Err(io::Error::other("more replies than requests"));
                }
                round.answer(round.answered(), answer, now);
            }
        }
        Ok(())
    }
}

/// The replies that arrive on a connection.
struct Replies {
    stream: TcpStream,
    skim: Skim,
    buffer: Box<[u8]>,
    /// What has arrived and was not looked at: `buffer[read..filled]`.
    read: usize,
    filled: usize,
}

impl Replies {
    /// The next reply of those that have arrived.
    fn next(&mut self) -> io::Result<Option<Answer<'_>>> {
        let (taken, found) = self.skim.next(&self.buffer[self.read..self.filled])?;
        self.read += taken;
        Ok(match found {
            Skimmed::Reply(answer) => Some(answer),
            Skimmed::Unfinished => None,
        })
    }

    /// Waits until more has arrived.
    async fn read_some(&mut self) -> io::Result<()> {
        // What is left is a piece of a line, as a rule nothing.
        self.buffer.copy_within(self.read..self.filled, 0);
        self.filled -= self.read;
        self.read = 0;
        match self.stream.read(&mut self.buffer[self.filled..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.filled += count;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use simpledynamo_wire::resp::{ReplyDecoder, Value};

    use super::*;

    /// Requests have the form of an array reply: what the client sent can be read back.
    fn decoded(buffer: &[u8]) -> Vec<Vec<String>> {
        let mut bytes = BytesMut::from(buffer);
        let mut decoder = ReplyDecoder::new(2, 1 << 20);
        let mut requests = Vec::new();
        while let Some(value) = decoder.decode(&mut bytes).expect("well formed") {
            let Value::Array(items) = value else { panic!("{value:?}") };
            let text = |item| match item {
                Value::Bulk(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
                other => panic!("{other:?}"),
            };
            requests.push(items.into_iter().map(text).collect());
        }
        assert!(bytes.is_empty(), "nothing is left over");
        requests
    }

    #[test]
    fn requests_are_well_formed() {
        for value_size in [0, 7, 5000] {
            let requests = Requests::new(Payload::new(value_size, 1));
            let (mut buffer, mut random) = (Vec::new(), Random::new(1, 1));
            for operation in [Operation::Write(3), Operation::Read(12), Operation::Insert(4)] {
                requests.add(operation, &mut random, &mut buffer);
            }
            let requests = decoded(&buffer);
            assert_eq!((&requests[0][0], &requests[0][1]), (&"SET".into(), &"key:000000000003".into()));
            assert_eq!(requests[1], ["GET", "key:000000000012"]);
            assert_eq!((&requests[2][0], &requests[2][1]), (&"SET".into(), &"key:000000000004".into()));
            assert_eq!(
                (requests[0].len(), requests[0][2].len(), requests[2][2].len()),
                (3, value_size, value_size)
            );
        }
    }
}
