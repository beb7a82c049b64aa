//! The requests that a client sends.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::arguments::{BenchOptions, Distribution};

use super::choice::{Choice, Random, Zipfian};

/// Digits of a key's number.
const KEY_DIGITS: usize = 12;
/// `key:` and the digits.
const KEY_LENGTH: usize = 4 + KEY_DIGITS;
/// Values are cut from a pool of random bytes longer than any compressor's window of attention, so that they
/// do not shrink on disk more than real ones would.
const POOL_EXTRA: usize = 64 * 1024;

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// Where a client's requests come from.
#[derive(Debug)]
pub(super) enum Source {
    Loading(Loading),
    Mixed(MixedClient),
}

impl Source {
    /// Adds up to `count` requests to the buffer, and their kinds to `kinds`. None means that the client ends.
    pub(super) fn fill(&mut self, count: usize, buffer: &mut Vec<u8>, kinds: &mut Vec<Kind>) {
        match self {
            Self::Loading(loading) => loading.fill(count, buffer, kinds),
            Self::Mixed(mixed) => mixed.fill(count, buffer, kinds),
        }
    }

    /// Whether the client goes on after a failure.
    pub(super) fn goes_on(&self) -> bool {
        match self {
            // What one client lost nobody would write again.
            Self::Loading(_) => false,
            Self::Mixed(mixed) => Instant::now() < mixed.ends_at,
        }
    }
}

/// The text of requests.
#[derive(Clone, Debug)]
struct Requests {
    pool: Rc<[u8]>,
    value_size: usize,
    /// `SET`, up to the key's digits.
    set_start: Rc<[u8]>,
    /// `GET`, up to the key's digits.
    get_start: Rc<[u8]>,
    /// Between the digits and the value.
    set_middle: Rc<[u8]>,
}

impl Requests {
    fn new(value_size: usize, seed: u64) -> Self {
        let mut random = Random::new(seed, u64::MAX);
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
        let pool = (0..value_size + POOL_EXTRA).map(|_| letters[(random.bits() >> 58) as usize]).collect();
        let start = |header: &str| format!("{header}\r\n${KEY_LENGTH}\r\nkey:").into_bytes().into();
        Self {
            pool,
            value_size,
            set_start: start("*3\r\n$3\r\nSET"),
            get_start: start("*2\r\n$3\r\nGET"),
            set_middle: format!("\r\n${value_size}\r\n").into_bytes().into(),
        }
    }

    fn read(&self, key: u64, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.get_start);
        buffer.extend_from_slice(&digits(key));
        buffer.extend_from_slice(b"\r\n");
    }

    fn write(&self, key: u64, random: &mut Random, buffer: &mut Vec<u8>) {
        let at = random.below(POOL_EXTRA as u64) as usize;
        buffer.extend_from_slice(&self.set_start);
        buffer.extend_from_slice(&digits(key));
        buffer.extend_from_slice(&self.set_middle);
        buffer.extend_from_slice(&self.pool[at..at + self.value_size]);
        buffer.extend_from_slice(b"\r\n");
    }
}

fn digits(mut number: u64) -> [u8; KEY_DIGITS] {
    let mut text = [b'0'; KEY_DIGITS];
    for digit in text.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    text
}

/// Each of the first keys once; all clients share the counter.
#[derive(Clone, Debug)]
pub(super) struct Loading {
    requests: Requests,
    random: Random,
    next: Rc<Cell<u64>>,
    keys: u64,
}

impl Loading {
    pub(super) fn new(keys: u64, value_size: u32, seed: u64) -> Self {
        Self {
            requests: Requests::new(value_size as usize, seed),
            random: Random::new(seed, u64::MAX - 1),
            next: Rc::default(),
            keys,
        }
    }

    /// Has all clients end after what they have sent.
    pub(super) fn stop(&self) {
        self.next.set(self.keys);
    }

    fn fill(&mut self, count: usize, buffer: &mut Vec<u8>, kinds: &mut Vec<Kind>) {
        let first = self.next.get();
        let last = self.keys.min(first + count as u64);
        self.next.set(last);
        for key in first..last {
            self.requests.write(key, &mut self.random, buffer);
            kinds.push(Kind::Write);
        }
    }
}

/// Reads and writes of chosen keys until the time is over.
#[derive(Debug)]
pub(super) struct Mixed {
    requests: Requests,
    choice: Choice,
    reads: u32,
    seed: u64,
    ends_at: Instant,
}

impl Mixed {
    pub(super) fn new(options: &BenchOptions, ends_at: Instant) -> Self {
        let choice = match options.distribution {
            Distribution::Uniform => Choice::Uniform { limit: options.keys },
            Distribution::Zipfian => Choice::Zipfian(Zipfian::new(options.keys)),
        };
        let requests = Requests::new(options.value_size as usize, options.seed);
        Self { requests, choice, reads: options.reads, seed: options.seed, ends_at }
    }

    /// The share of one client, with random numbers of its own.
    pub(super) fn for_client(&self, client: u32) -> MixedClient {
        MixedClient {
            requests: self.requests.clone(),
            choice: self.choice.clone(),
            random: Random::new(self.seed, client.into()),
            reads: self.reads,
            ends_at: self.ends_at,
        }
    }
}

#[derive(Debug)]
pub(super) struct MixedClient {
    requests: Requests,
    choice: Choice,
    random: Random,
    /// In percent.
    reads: u32,
    ends_at: Instant,
}

impl MixedClient {
    fn fill(&mut self, count: usize, buffer: &mut Vec<u8>, kinds: &mut Vec<Kind>) {
        if Instant::now() >= self.ends_at {
            return;
        }
        for _ in 0..count {
            let key = self.choice.next(&mut self.random);
            if self.random.below(100) < u64::from(self.reads) {
                self.requests.read(key, buffer);
                kinds.push(Kind::Read);
            } else {
                self.requests.write(key, &mut self.random, buffer);
                kinds.push(Kind::Write);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use clap::Parser as _;
    use simpledynamo_wire::resp::{ReplyDecoder, Value};

    use crate::arguments::{Arguments, Command};

    use super::*;

    fn options(line: &str) -> BenchOptions {
        let words = ["simpledynamo", "bench"].into_iter().chain(line.split_whitespace());
        match Arguments::parse_from(words).command {
            Command::Bench(options) => options,
            other => panic!("{other:?}"),
        }
    }

    /// Requests have the form of an array reply: what the client sent can be read back.
    fn decoded(buffer: &[u8]) -> Vec<Vec<String>> {
        let mut bytes = BytesMut::from(buffer);
        let mut decoder = ReplyDecoder::new(2, 1 << 20);
        let mut requests = Vec::new();
        while let Some(value) = decoder.decode(&mut bytes).expect("well formed") {
            let Value::Array(items) = value else { panic!("{value:?}") };
            requests.push(
                items
                    .into_iter()
                    .map(|item| match item {
                        Value::Bulk(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
                        other => panic!("{other:?}"),
                    })
                    .collect(),
            );
        }
        assert!(bytes.is_empty(), "nothing is left over");
        requests
    }

    #[test]
    fn loading_writes_each_key_once() {
        let loading = Loading::new(25, 7, 1);
        let (mut one, mut other) = (Source::Loading(loading.clone()), Source::Loading(loading));
        let (mut buffer, mut kinds) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            one.fill(7, &mut buffer, &mut kinds);
            other.fill(7, &mut buffer, &mut kinds);
        }
        let requests = decoded(&buffer);
        let keys: Vec<String> = requests.iter().map(|request| request[1].clone()).collect();
        assert_eq!(keys, (0..25).map(|key| format!("key:{key:012}")).collect::<Vec<_>>());
        assert!(requests.iter().all(|request| request[0] == "SET" && request[2].len() == 7));
        assert_eq!(kinds, [Kind::Write; 25]);
    }

    #[test]
    fn mixture_has_the_share_of_reads_asked_for() {
        let later = Instant::now() + std::time::Duration::from_secs(60);
        let fill = |line: &str, ends_at| {
            let (mut buffer, mut kinds) = (Vec::new(), Vec::new());
            Source::Mixed(Mixed::new(&options(line), ends_at).for_client(3)).fill(
                2000,
                &mut buffer,
                &mut kinds,
            );
            let requests = decoded(&buffer);
            let is_read = |kind: &Kind| *kind == Kind::Read;
            assert!(
                requests.iter().zip(&kinds).all(|(request, kind)| (request[0] == "GET") == is_read(kind))
            );
            (requests.len(), kinds.iter().filter(|kind| is_read(kind)).count())
        };
        assert_eq!(fill("--reads 0", later), (2000, 0));
        assert_eq!(fill("--reads 100", later), (2000, 2000));
        let (_, reads) = fill("--reads 30 --distribution zipfian --value-size 0", later);
        assert!((500..700).contains(&reads), "{reads}");
        assert_eq!(fill("--reads 50", Instant::now()), (0, 0), "the time is over");
    }
}
