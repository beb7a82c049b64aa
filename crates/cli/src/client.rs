//! A client of one node: one request at a time, answered or given up after a while.
//!
//! What can be said of a request that failed depends on how far it got: before it was sent nothing was done;
//! afterwards a write may have been done even though no answer came ([`Failure::UnknownOutcome`]).

use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use simpledynamo_node::config::Password;
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{ReplyDecoder, Value, encode_command};

use crate::arguments::{Connection, DEFAULT_NODE};
use crate::failure::Failure;

/// How long a node may take to accept a connection: it is in the same machine room or not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a node may take to answer: longer than the longest wait of an operation inside an ordinary ring.
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);

/// Replies of a node nest no deeper: a page of pairs is one level, `COMMAND INFO` a few.
pub(crate) const REPLY_DEPTH_MAX: usize = 8;

/// The longest reply: a page of large values with room to spare. More would be some other server.
pub(crate) const REPLY_BYTES_MAX: usize = 512 << 20;

/// What one read takes from the socket at most.
const READ_SIZE: usize = 64 * 1024;

/// Whether a request may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only looks.
    Read,
    /// It may change pairs.
    Write,
}

/// A connection to a node.
#[derive(Debug)]
pub(crate) struct Client {
    address: String,
    stream: TcpStream,
    decoder: ReplyDecoder,
    incoming: BytesMut,
    reply_timeout: Duration,
}

impl Client {
    /// Connects to the node that the command line names, or to the first classic one, and gives the password.
    pub(crate) fn open(connection: &Connection) -> Result<Self, Failure> {
        let password = connection.password_file.as_deref().map(load_password).transpose()?;
        Self::connect(connection.node.as_deref().unwrap_or(DEFAULT_NODE), password.as_ref(), CONNECT_TIMEOUT)
    }

    /// Connects to `address`, a host and a port, within `timeout`, and gives the password if there is one.
    pub(crate) fn connect(
        address: &str,
        password: Option<&Password>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let stream = connect_any(address, timeout)?;
        let mut client = Self {
            address: address.to_owned(),
            stream,
            decoder: ReplyDecoder::new(REPLY_DEPTH_MAX, REPLY_BYTES_MAX),
            incoming: BytesMut::new(),
            reply_timeout: REPLY_TIMEOUT,
        };
        client.stream.set_nodelay(true).map_err(|error| client.broken(Effect::Read, error))?;
        if let Some(password) = password {
            client.call(&[b"AUTH", password.as_bytes()], Effect::Read)?;
        }
        Ok(client)
    }

    /// Sets how long an answer may take from now on.
    pub(crate) fn set_reply_timeout(&mut self, timeout: Duration) {
        self.reply_timeout = timeout;
    }

    /// Sends a request and returns its reply. A reply that is an error becomes a [`Failure`].
    pub(crate) fn call(&mut self, arguments: &[&[u8]], effect: Effect) -> Result<Value, Failure> {
        let deadline = Instant::now() + self.reply_timeout;
        let mut request = OutBuffer::new();
        encode_command(arguments, &mut request);
        self.send(&mut request, deadline).map_err(|error| self.broken(effect, error))?;
        match self.receive(deadline, effect)? {
            Value::Error(text) => Err(self.refused(&text)),
            reply => Ok(reply),
        }
    }

    fn send(&mut self, request: &mut OutBuffer, deadline: Instant) -> io::Result<()> {
        while request.has_remaining() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            let written = self.stream.write(request.chunk())?;
            request.advance(written);
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant, effect: Effect) -> Result<Value, Failure> {
        let mut chunk = [0; READ_SIZE];
        loop {
            let decoded = self.decoder.decode(&mut self.incoming);
            if let Some(reply) =
                decoded.map_err(|error| self.gone(effect, format!("sent no Redis protocol: {error}")))?
            {
                return Ok(reply);
            }
            let arrived = left(deadline)
                .and_then(|wait| self.stream.set_read_timeout(Some(wait)))
                .and_then(|()| self.stream.read(&mut chunk));
            match arrived {
                Ok(0) => return Err(self.gone(effect, "closed the connection without an answer")),
                Ok(count) => self.incoming.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(effect, error)),
            }
        }
    }

    fn broken(&self, effect: Effect, error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                self.gone(effect, format!("did not answer within {} s", self.reply_timeout.as_secs()))
            }
            _ => self.gone(effect, format!("broke off: {error}")),
        }
    }

    /// The node will not answer this request any more.
    fn gone(&self, effect: Effect, what: impl Display) -> Failure {
        let address = &self.address;
        match effect {
            Effect::Read => {
                Failure::Unavailable(format!("{address} {what}; try again, or another node with --node"))
            }
            Effect::Write => Failure::UnknownOutcome(format!(
                "{address} {what}: the write may or may not have been done; query before trying again"
            )),
        }
    }

    /// Sorts an error reply by what it lets the caller conclude.
    fn refused(&self, text: &str) -> Failure {
        let message = format!("{} answered: {text}", self.address);
        match text.split(' ').next().unwrap_or("") {
            "UNAVAILABLE" => Failure::Unavailable(message),
            _ if text.starts_with("ERR max number of clients") => Failure::Unavailable(message),
            "UNKNOWN" => Failure::UnknownOutcome(message),
            "NOAUTH" => Failure::Other(format!("{message} Give the password with --password-file")),
            _ => Failure::Other(message),
        }
    }
}

/// Reads the password of the command line.
pub(crate) fn load_password(path: &Path) -> Result<Password, Failure> {
    Password::load(path).map_err(Failure::other)
}

/// A reply that the command never gives: the server is not what it was taken for.
pub(crate) fn unexpected(command: &str, reply: &Value) -> Failure {
    let mut shown = format!("{reply:?}");
    if let Some((end, _)) = shown.char_indices().nth(60) {
        shown.truncate(end);
        shown.push_str("...");
    }
    Failure::Other(format!("{command} was answered by {shown}: is this a node of SimpleDynamo?"))
}

/// Resolves a host and a port; a name may stand for several addresses.
pub(crate) fn resolve(address: &str) -> Result<Vec<SocketAddr>, Failure> {
    let help = "give HOST:PORT such as 127.0.0.1:11108";
    match address.to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(Failure::Other(format!("{address:?} is no address: {help}")))
        }
        Err(error) => Err(Failure::Unavailable(format!("cannot resolve {address:?}: {error}; {help}"))),
    }
}

fn connect_any(address: &str, timeout: Duration) -> Result<TcpStream, Failure> {
    let mut refusal = None;
    for candidate in resolve(address)? {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => refusal = Some(error),
        }
    }
    let reason = refusal.map_or_else(|| "the name has no address".to_owned(), |error| error.to_string());
    Err(Failure::Unavailable(format!(
        "cannot reach {address}: {reason}; is a node running there? (simpledynamo demo starts five)"
    )))
}

/// What is left until the deadline, or the error of a timeout.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that reads one request, answers it with `reply`, and closes the connection.
    fn server(reply: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let read = stream.read(&mut [0; 1024]).expect("a request");
            assert!(read > 0, "a request came");
            stream.write_all(reply).expect("sent");
        });
        address
    }

    fn call(reply: &'static [u8], effect: Effect) -> Result<Value, Failure> {
        let mut client = Client::connect(&server(reply), None, CONNECT_TIMEOUT).expect("connected");
        client.call(&[b"SET", b"k", b"v"], effect)
    }

    #[test]
    fn failures_say_what_may_have_happened() {
        assert_eq!(call(b"+OK\r\n", Effect::Write).expect("answered"), Value::OK);
        assert!(matches!(call(b"", Effect::Write), Err(Failure::UnknownOutcome(_))));
        assert!(matches!(call(b"+O", Effect::Write), Err(Failure::UnknownOutcome(_))), "half an answer");
        assert!(matches!(call(b"", Effect::Read), Err(Failure::Unavailable(_))), "a read changes nothing");
        assert!(matches!(call(b"-UNAVAILABLE x\r\n", Effect::Write), Err(Failure::Unavailable(_))));
        let full = b"-ERR max number of clients reached\r\n";
        assert!(matches!(call(full, Effect::Write), Err(Failure::Unavailable(_))));
        assert!(matches!(call(b"-UNKNOWN x\r\n", Effect::Write), Err(Failure::UnknownOutcome(_))));
        assert!(matches!(call(b"-ERR x\r\n", Effect::Write), Err(Failure::Other(_))));
    }

    #[test]
    fn silent_node_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let mut client = Client::connect(&address, None, CONNECT_TIMEOUT).expect("connected");
        client.set_reply_timeout(Duration::from_millis(50));
        let failure = client.call(&[b"GET", b"k"], Effect::Read).expect_err("silence");
        assert!(
            matches!(&failure, Failure::Unavailable(text) if text.contains("did not answer")),
            "{failure}"
        );
    }

    #[test]
    fn unreachable_and_senseless_addresses_are_told_apart() {
        let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
        let refused = Client::connect(&closed.to_string(), None, CONNECT_TIMEOUT).expect_err("closed");
        assert!(
            matches!(&refused, Failure::Unavailable(text) if text.contains("cannot reach 127.0.0.1")),
            "{refused}"
        );
        let senseless = Client::connect("11108", None, CONNECT_TIMEOUT).expect_err("no host");
        assert!(matches!(&senseless, Failure::Other(text) if text.contains("HOST:PORT")), "{senseless}");
    }
}
