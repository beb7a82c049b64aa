//! A client that writes down what it asks and what it is told.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use simpledynamo_verify::{Condition, Event, History, Operation, Outcome, Reply, Ticks};

/// How long a client waits for a reply: longer than a failover takes. It does not know the outcome of what takes longer;
/// a node that hangs may do it when it wakes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rest between two operations, at most: so that what overlaps stays few enough to check.
const PAUSE_MS: u64 = 4;

/// Keys that hold texts, and keys that hold numbers. They lie in different partitions.
const TEXTS: u64 = 5;
const NUMBERS: u64 = 3;

/// What is asked.
pub(crate) const KINDS: [&str; 7] = ["GET", "SET", "SET NX", "SET IFEQ", "DEL", "GETDEL", "INCR"];

/// Numbers that follow from a seed (`SplitMix64`).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).expect("fits")]
    }

    pub(crate) fn shuffle<T>(&mut self, what: &mut [T]) {
        for end in (1..what.len()).rev() {
            what.swap(end, usize::try_from(self.below(end as u64 + 1)).expect("fits"));
        }
    }
}

/// An operation, and what came of it.
#[derive(Debug)]
pub(crate) struct Asked {
    client: u32,
    kind: &'static str,
    pub(crate) key: Bytes,
    /// The new value, or the value that is compared with and the new one.
    values: Vec<String>,
    invoked: Ticks,
    /// None if no reply came.
    reply: Option<(Answer, Ticks)>,
}

/// What a node said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Ok,
    Nothing,
    Integer(i64),
    Bulk(Vec<u8>),
    Error(String),
}

impl Asked {
    /// Whether the operation is of this kind and changed something, or told something.
    pub(crate) fn was_done(&self, kind: &str) -> bool {
        let done =
            |answer: &Answer| !matches!(answer, Answer::Nothing | Answer::Integer(0) | Answer::Error(_));
        self.kind == kind && self.reply.as_ref().is_some_and(|(answer, _)| done(answer))
    }

    /// The operation as the checker has it.
    pub(crate) fn event(&self, history: &mut History) -> Event {
        let mut value = |index: usize| history.value(self.values[index].as_bytes());
        let operation = match self.kind {
            "GET" => Operation::Read,
            "SET" => Operation::Set { value: value(0), condition: Condition::Always, want_old: false },
            "SET NX" => Operation::Set { value: value(0), condition: Condition::Absent, want_old: false },
            "SET IFEQ" => {
                let condition = Condition::Equals(value(1));
                Operation::Set { value: value(0), condition, want_old: false }
            }
            "DEL" => Operation::Delete { condition: Condition::Always, want_old: false },
            "GETDEL" => Operation::Delete { condition: Condition::Always, want_old: true },
            "INCR" => Operation::Increment(1),
            other => unreachable!("{other} is never asked"),
        };
        let outcome = match &self.reply {
            None => Outcome::Unknown,
            Some((Answer::Error(error), returned)) => match error.split(' ').next() {
                Some("UNAVAILABLE") => Outcome::Failed { returned: *returned },
                Some("UNKNOWN") => Outcome::Unknown,
                _ => panic!("{self:?} was answered by an error that it cannot have"),
            },
            Some((answer, returned)) => {
                Outcome::Known { reply: self.told(answer, history), returned: *returned }
            }
        };
        Event { client: self.client, operation, invoked: self.invoked, outcome }
    }

    fn told(&self, answer: &Answer, history: &mut History) -> Reply {
        match (self.kind, answer) {
            ("GET" | "GETDEL", Answer::Nothing) => Reply::Value(None),
            ("GET" | "GETDEL", Answer::Bulk(bytes)) => Reply::Value(Some(history.value(bytes))),
            ("SET" | "SET NX" | "SET IFEQ", Answer::Ok) | ("DEL", Answer::Integer(1)) => Reply::Done,
            ("SET NX" | "SET IFEQ", Answer::Nothing) | ("DEL", Answer::Integer(0)) => Reply::Refused,
            ("INCR", Answer::Integer(sum)) => Reply::Integer(*sum),
            _ => panic!("{self:?} was answered by what it cannot have"),
        }
    }
}

/// One client, with a connection to each node.
pub(crate) struct Client {
    number: u32,
    addresses: Vec<SocketAddr>,
    connections: Vec<Option<BufReader<TcpStream>>>,
    dice: Dice,
    began: Instant,
    asked: Vec<Asked>,
    /// The last value that was seen of each key with texts: what `IFEQ` compares with.
    seen: Vec<Option<String>>,
}

impl Client {
    pub(crate) fn new(number: u32, addresses: Vec<SocketAddr>, dice: Dice, began: Instant) -> Self {
        let connections = addresses.iter().map(|_| None).collect();
        let seen = (0..TEXTS).map(|_| None).collect();
        Self { number, addresses, connections, dice, began, asked: Vec::new(), seen }
    }

    /// Works until it is over.
    pub(crate) fn run(&mut self, is_over: &AtomicBool, answered: &AtomicUsize) {
        while !is_over.load(Ordering::Relaxed) {
            let asked = self.draw();
            if self.ask(asked) {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(self.dice.below(PAUSE_MS)));
        }
    }

    pub(crate) fn into_events(self) -> Vec<Asked> {
        self.asked
    }

    fn draw(&mut self) -> Asked {
        let which = self.dice.below(TEXTS + NUMBERS);
        let (name, kinds): (&str, &[&'static str]) = if which < TEXTS {
            ("text", &["GET", "GET", "SET", "SET NX", "SET NX", "SET IFEQ", "SET IFEQ", "DEL", "GETDEL"])
        } else {
            ("number", &["INCR", "INCR", "INCR", "GET", "GET", "DEL"])
        };
        let kind = *self.dice.choose(kinds);
        // No value is written twice, so that each read names its write.
        let mut values = vec![format!("{}:{}", self.number, self.asked.len())];
        if kind == "SET IFEQ" {
            let seen = self.seen.get(usize::try_from(which).expect("few")).cloned().flatten();
            values.push(seen.unwrap_or_else(|| "nothing".to_owned()));
        }
        let key = Bytes::from(format!("{name}{which}"));
        Asked { client: self.number, kind, key, values, invoked: 0, reply: None }
    }

    /// Asks some node; whether it was answered without an error.
    fn ask(&mut self, mut asked: Asked) -> bool {
        let node = usize::try_from(self.dice.below(self.addresses.len() as u64)).expect("few");
        if self.connections[node].is_none() {
            // Nothing was asked if this fails.
            let Ok(stream) = TcpStream::connect_timeout(&self.addresses[node], PATIENCE) else {
                return false;
            };
            stream
                .set_nodelay(true)
                .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
                .expect("a socket");
            self.connections[node] = Some(BufReader::new(stream));
        }
        let request = request(&asked);
        let connection = self.connections[node].as_mut().expect("it was made");
        asked.invoked = now(self.began);
        let sent = connection.get_mut().write_all(&request);
        match sent.and_then(|()| receive(connection)) {
            Ok(answer) => asked.reply = Some((answer, now(self.began))),
            Err(_) => self.connections[node] = None,
        }
        self.remember(&asked);
        let is_answered = asked.reply.as_ref().is_some_and(|(answer, _)| !matches!(answer, Answer::Error(_)));
        self.asked.push(asked);
        is_answered
    }

    fn remember(&mut self, asked: &Asked) {
        let Some(which) = asked.key.strip_prefix(b"text") else { return };
        let which = usize::from(which[0] - b'0');
        match (asked.kind, &asked.reply) {
            ("GET", Some((Answer::Bulk(bytes), _))) => {
                self.seen[which] = Some(String::from_utf8_lossy(bytes).into_owned());
            }
            ("SET" | "SET NX" | "SET IFEQ", Some((Answer::Ok, _))) => {
                self.seen[which] = Some(asked.values[0].clone());
            }
            _ => {}
        }
    }
}

fn now(began: Instant) -> Ticks {
    Ticks::try_from(began.elapsed().as_nanos()).expect("centuries")
}

fn request(asked: &Asked) -> Vec<u8> {
    let (key, value) = (&asked.key[..], |index: usize| asked.values[index].as_bytes());
    match asked.kind {
        "SET" => command(&[b"SET", key, value(0)]),
        "SET NX" => command(&[b"SET", key, value(0), b"NX"]),
        "SET IFEQ" => command(&[b"SET", key, value(0), b"IFEQ", value(1)]),
        name => command(&[name.as_bytes(), key]),
    }
}

/// A request as an array of bulk strings.
pub(crate) fn command(arguments: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        request.extend_from_slice(argument);
        request.extend_from_slice(b"\r\n");
    }
    request
}

fn receive(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at(1);
    Ok(match kind {
        "+" => Answer::Ok,
        "-" => Answer::Error(rest.to_owned()),
        ":" => Answer::Integer(rest.parse().expect("an integer")),
        "$" if rest == "-1" => Answer::Nothing,
        "$" => {
            let mut bytes = vec![0; rest.parse::<usize>().expect("a length") + 2];
            connection.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Answer::Bulk(bytes)
        }
        _ => panic!("no reply begins with {line:?}"),
    })
}

/// The text that a node answers a request with, which is a bulk string.
pub(crate) fn text(address: SocketAddr, arguments: &[&[u8]]) -> Option<String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    // A node that hangs is asked as well.
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut connection = BufReader::new(stream);
    connection.get_mut().write_all(&command(arguments)).ok()?;
    match receive(&mut connection).ok()? {
        Answer::Bulk(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    }
}
