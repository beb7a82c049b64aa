//! What a node is told when it starts: one TOML file.
//!
//! The file has two tables. `[cluster]` describes the ring and is identical in the files of all nodes: nodes
//! compare its digest when they meet ([`Cluster::digest`]), so that two that disagree about where a key lives
//! never exchange a write. `[node]` says which of the nodes this one is, where its data lies, and how much it
//! may use. Keys that nobody knows are refused, since a misspelt one would silently leave a default in force.
//!
//! `docs/configuration.md` explains every key and shows the file that [`render`] writes.
//!
//! Left out: reloading. A changed file takes effect when the node starts again.

mod file;
mod render;
#[cfg(test)]
mod tests;

pub use render::{render, replace_cluster};

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use simpledynamo_ring::{Ring, Token};

/// The names of the classic ring, in the order of their ports.
pub const CLASSIC_NAMES: [&str; 5] = ["5554", "5556", "5558", "5560", "5562"];

/// Where the classic names begin, and from one to the next: rings of other sizes go on like this.
const CLASSIC_FIRST_NAME: u16 = 5554;
const CLASSIC_NAME_STEP: u16 = 2;

/// The client port of the first classic node: twice its name.
pub const CLASSIC_BASE_PORT: u16 = 11_108;

/// From a classic client port to the next: the names are two apart, and a port is twice a name.
const CLASSIC_PORT_STEP: u16 = 4;

/// From a classic node's client port to its peer port.
const PEER_PORT_OFFSET: u16 = 10_000;

/// How many nodes keep a pair, unless the file says otherwise.
pub const REPLICAS_DEFAULT: usize = 3;

/// The highest base port that leaves room below 65,536 for all ports of the classic ring.
pub const CLASSIC_BASE_PORT_MAX: u16 =
    u16::MAX - PEER_PORT_OFFSET - CLASSIC_PORT_STEP * (CLASSIC_NAMES.len() as u16 - 1);

/// Why a configuration was refused. Each is one line that names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot read the configuration: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that makes no sense here.
    #[error("{}:{line}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The password file named in the configuration cannot be used.
    #[error("{}: {reason}", path.display())]
    Password {
        /// The password file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// When a write counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Once it is on the disk of every serving replica.
    #[default]
    Always,
    /// Once every serving replica has given it to its operating system, which is synced every 100 ms.
    Interval,
    /// Once every serving replica has given it to its operating system.
    None,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Interval => "interval",
            Self::None => "none",
        })
    }
}

/// Which members of a chain answer reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadFrom {
    /// Any member whose newest version of the key is clean.
    #[default]
    Any,
    /// The tail alone: textbook chain replication.
    Tail,
}

/// The least important messages that the log still shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What stops something from working.
    Error,
    /// What an operator should look at.
    Warn,
    /// Starts, stops and changes of the ring.
    #[default]
    Info,
    /// What each part decides.
    Debug,
    /// Every message.
    Trace,
}

/// One node as all others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its name, whose SHA-1 is its place on the ring: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Where clients reach it.
    pub client: SocketAddr,
    /// Where other nodes reach it.
    pub peer: SocketAddr,
}

/// The ring as every node must see it: the `[cluster]` table.
///
/// Invariants: at least one node and at most 1000; names and addresses are unique; `replicas` is between 1
/// and the number of nodes; `read_timeout` is shorter than `operation_timeout`; `lease` is at least ten heartbeats;
/// `voters` are 1 to 7 of the nodes' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Keeps rings apart that could reach each other by mistake. Same characters as a node's name.
    pub id: String,
    /// How many nodes keep each pair.
    pub replicas: usize,
    /// The nodes, in the order of the file.
    pub nodes: Vec<ClusterNode>,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// The longest value, in bytes.
    pub max_value: usize,
    /// How long an operation may take before its client is told that it failed or is unknown.
    pub operation_timeout: Duration,
    /// How long one member may take to answer a read before another is asked.
    pub read_timeout: Duration,
    /// How long a node may go on answering reads after it last asked the control group: what a lost node costs.
    pub lease: Duration,
    /// From one sign of life of the control group's leader to the next. Elections take three to five of them.
    pub heartbeat: Duration,
    /// The nodes that decide who is in the ring, in ring order.
    pub voters: Vec<String>,
}

/// The longest value unless the file says otherwise, in bytes: 8 MiB.
pub const MAX_VALUE_DEFAULT: usize = 8 << 20;

/// See [`Cluster::operation_timeout`].
pub const OPERATION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// See [`Cluster::read_timeout`].
pub const READ_TIMEOUT_DEFAULT: Duration = Duration::from_millis(250);

/// See [`Cluster::lease`].
pub const LEASE_DEFAULT: Duration = Duration::from_millis(750);

/// See [`Cluster::heartbeat`].
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_millis(50);

/// At most this many nodes vote: more would make every decision slower and no safer. In a ring of up to so many nodes
/// all do, unless the file says otherwise; in a larger one the first five in ring order.
pub const VOTERS_MAX: usize = 7;

/// How many nodes of a large ring vote.
const VOTERS_OF_MANY: usize = 5;

impl Cluster {
    /// The classic ring on one address: five nodes, each pair on three, client ports four apart from
    /// `base_port` on, peer ports 10,000 higher. `None` if `base_port` is 0 or above
    /// [`CLASSIC_BASE_PORT_MAX`].
    #[must_use]
    pub fn classic(host: IpAddr, base_port: u16) -> Option<Self> {
        Self::of_size(CLASSIC_NAMES.len() as u16, host, base_port)
    }

    /// As [`Cluster::classic`], of another number of nodes: names and ports go on as those of the classic nodes do.
    /// `None` if a port would not fit, or there are fewer nodes than a pair has copies.
    #[must_use]
    pub fn of_size(nodes: u16, host: IpAddr, base_port: u16) -> Option<Self> {
        let last = nodes.checked_sub(1)?.checked_mul(CLASSIC_PORT_STEP)?.checked_add(base_port)?;
        if base_port == 0 || usize::from(nodes) < REPLICAS_DEFAULT || last > u16::MAX - PEER_PORT_OFFSET {
            return None;
        }
        let ports = (base_port..).step_by(usize::from(CLASSIC_PORT_STEP));
        let names = (CLASSIC_FIRST_NAME..).step_by(usize::from(CLASSIC_NAME_STEP));
        let nodes = names.take(usize::from(nodes)).zip(ports).map(|(name, port)| ClusterNode {
            name: name.to_string(),
            client: SocketAddr::new(host, port),
            peer: SocketAddr::new(host, port + PEER_PORT_OFFSET),
        });
        let nodes: Vec<ClusterNode> = nodes.collect();
        Some(Self {
            id: "classic".to_owned(),
            replicas: REPLICAS_DEFAULT,
            voters: Self::voters_among(&nodes),
            nodes,
            durability: Durability::default(),
            max_value: MAX_VALUE_DEFAULT,
            operation_timeout: OPERATION_TIMEOUT_DEFAULT,
            read_timeout: READ_TIMEOUT_DEFAULT,
            lease: LEASE_DEFAULT,
            heartbeat: HEARTBEAT_DEFAULT,
        })
    }

    /// Who votes among these nodes unless the file says otherwise.
    fn voters_among(nodes: &[ClusterNode]) -> Vec<String> {
        let mut names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        names.sort_by_key(|name| Token::of(name.as_bytes()));
        if names.len() > VOTERS_MAX {
            names.truncate(VOTERS_OF_MANY);
        }
        names
    }

    /// The ring that places keys on these nodes.
    ///
    /// # Panics
    /// Never for a cluster that was read from a file or built by [`Cluster::classic`]: names and replicas
    /// have been checked.
    #[must_use]
    pub fn ring(&self) -> Ring {
        let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        Ring::new(&names, self.replicas).expect("names and replicas were checked")
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&ClusterNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// SHA-1 of everything that nodes must agree on. The order in which nodes are listed does not count, nor
    /// do comments and spaces.
    #[must_use]
    pub fn digest(&self) -> [u8; 20] {
        *Token::of(self.canonical().as_bytes()).as_bytes()
    }

    /// One line per fact, the nodes by name. Names cannot hold spaces, so no two clusters read alike.
    fn canonical(&self) -> String {
        let mut nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("node {} {} {}\n", node.name, node.client, node.peer))
            .collect();
        nodes.sort();
        format!(
            "simpledynamo cluster 2\nid {}\nreplicas {}\ndurability {}\nmax_value {}\noperation_timeout_ms {}\n\
             read_timeout_ms {}\nlease_ms {}\nheartbeat_ms {}\nvoters {}\n{}",
            self.id,
            self.replicas,
            self.durability,
            self.max_value,
            self.operation_timeout.as_millis(),
            self.read_timeout.as_millis(),
            self.lease.as_millis(),
            self.heartbeat.as_millis(),
            self.voters.join(" "),
            nodes.concat()
        )
    }
}

/// A password as read from its file, without the line end. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// Reads a password file: one line of at most 512 bytes, readable by its owner alone.
    ///
    /// # Errors
    /// When it cannot be read, is readable by others, is empty, or holds more than one line.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        file::password(path)
    }

    /// The password.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A node's own lines: the `[node]` table. Paths are resolved against the folder of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Which of the cluster's nodes this is.
    pub name: String,
    /// The folder of the node's data.
    pub data: PathBuf,
    /// Which members of a chain answer the reads that come in here.
    pub read_from: ReadFrom,
    /// How many clients may be connected at once.
    pub max_clients: usize,
    /// How long a client may leave a request half sent. `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// What clients must say before anything else.
    pub password: Option<Password>,
    /// Memory for the pairs that were used last, in bytes.
    pub cache_bytes: u64,
    /// How much of the log is kept for nodes that come back, in bytes: who missed more is copied as a whole.
    pub log_retention_bytes: u64,
    /// What the log shows.
    pub log_level: LogLevel,
    /// Where the process's number is written while the node runs.
    pub pid_file: Option<PathBuf>,
    /// Whether clients may bring faults about (`SD.FAULT`): for tests.
    pub fault_injection: bool,
}

/// A node's configuration, checked.
///
/// Invariant: `node.name` is one of `cluster.nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The ring, the same on every node.
    pub cluster: Cluster,
    /// This node's own lines.
    pub node: NodeSettings,
}

impl Config {
    /// Reads and checks a file, and the password file that it names.
    ///
    /// # Errors
    /// When a file cannot be read, or says something that makes no sense.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks a configuration's text; `path` is where it came from, for messages and relative paths.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        file::parse(text, path)
    }

    /// This node as the others know it.
    ///
    /// # Panics
    /// Never for a configuration that was read from a file: the name has been checked.
    #[must_use]
    pub fn this_node(&self) -> &ClusterNode {
        self.cluster.node(&self.node.name).expect("the node's name was checked")
    }

    /// See [`Cluster::digest`].
    #[must_use]
    pub fn cluster_digest(&self) -> [u8; 20] {
        self.cluster.digest()
    }
}
