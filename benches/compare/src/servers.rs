//! The servers that are compared: all of this machine, bound to loopback, in one folder.

mod etcd;
mod ports;
mod process;
mod redis;
pub(crate) mod ring;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::options::Options;

use process::Process;

/// How long a server may take to serve, on a machine that is busy.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked.
const READY_POLL: Duration = Duration::from_millis(100);
/// How long it may take to answer such a question; it is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest answer to one.
const ANSWER_MAX: u64 = 64 * 1024;

/// The nodes of the ring that is compared.
pub(crate) const NODES: u16 = 5;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Ring,
    Etcd,
    RedisAlways,
    RedisEverysec,
}

impl Target {
    /// Its name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ring => "five nodes",
            Self::Etcd => "five-node etcd",
            Self::RedisAlways => "redis-server, always",
            Self::RedisEverysec => "redis-server, everysec",
        }
    }

    /// Its name for programs.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Etcd => "etcd",
            Self::RedisAlways => "redis_always",
            Self::RedisEverysec => "redis_everysec",
        }
    }
}

/// Servers that run together as one target. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) target: Target,
    /// Where clients connect.
    pub(crate) addresses: Vec<String>,
    /// What the program calls its version.
    pub(crate) version: String,
    processes: Vec<Process>,
    /// How often they were measured.
    measured: u64,
}

impl Servers {
    /// Another seed for each measurement: what one has asked for is no help to the next, which would find it in caches
    /// that hold only a part of all keys. All targets have the same ones.
    pub(crate) fn next_seed(&mut self) -> u64 {
        self.measured += 1;
        self.measured
    }

    /// Who they are, for people: a ring by its size.
    pub(crate) fn name(&self) -> String {
        match self.target {
            Target::Ring => format!("{} nodes", self.processes.len()),
            other => other.name().to_owned(),
        }
    }

    /// The numbers of the processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }

    /// Whether all still run.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// Waits until every server answers `request` with something that contains `expected`.
    async fn ready(mut self, request: &str, expected: &str) -> Result<Self, Failure> {
        let started = tokio::time::Instant::now();
        for place in 0..self.addresses.len() {
            while !answers(&self.addresses[place], request, expected).await {
                self.check()?;
                if started.elapsed() > READY_TIMEOUT {
                    return Err(self.processes[place].not_ready(READY_TIMEOUT));
                }
                tokio::time::sleep(READY_POLL).await;
            }
        }
        Ok(self)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"name": self.target.name(), "version": self.version, "processes": self.processes.len()})
    }
}

/// Starts every target whose program is there, says which are not, and returns once all serve. The ring comes first.
pub(crate) async fn start(options: &Options, folder: &Path) -> Result<Vec<Servers>, Failure> {
    let mut targets = vec![ring::start(&options.binary, folder, NODES).await?];
    if let Some(version) = process::version(&options.etcd, &["--version"]) {
        targets.push(etcd::start(&options.etcd, folder, version).await?);
    } else {
        eprintln!("{} is not there: no comparison with etcd", options.etcd.display());
    }
    if let Some(version) = process::version(&options.redis, &["--version"]) {
        for target in [Target::RedisAlways, Target::RedisEverysec] {
            targets.push(redis::start(&options.redis, folder, target, version.clone()).await?);
        }
    } else {
        eprintln!("{} is not there: no comparison with Redis", options.redis.display());
    }
    Ok(targets)
}

/// Whether the server answers so at once.
async fn answers(address: &str, request: &str, expected: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let (mut answer, mut stream) = (Vec::new(), stream.take(ANSWER_MAX));
        while !String::from_utf8_lossy(&answer).contains(expected) {
            if stream.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
        }
        Some(())
    };
    tokio::time::timeout(ANSWER_TIMEOUT, ask).await.is_ok_and(|answer| answer.is_some())
}
