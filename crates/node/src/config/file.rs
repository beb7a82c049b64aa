//! The shape of the file, and the checks that turn it into a [`Config`].

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use simpledynamo_ring::Token;
use toml::Spanned;

use super::{
    Cluster, ClusterNode, Config, ConfigError, Durability, HEARTBEAT_DEFAULT, LEASE_DEFAULT, LogLevel,
    MAX_VALUE_DEFAULT, NodeSettings, OPERATION_TIMEOUT_DEFAULT, Password, READ_TIMEOUT_DEFAULT,
    REPLICAS_DEFAULT, ReadFrom, VOTERS_MAX,
};

/// Every node is a partition and knows all others: far beyond this, tables and links stop being small.
const NODES_MAX: u64 = 1000;
/// Names become folder names and columns of tables.
const NAME_MAX: usize = 64;
/// A value lies in memory as a whole on each of its replicas while it is written.
const MAX_VALUE_MAX: u64 = 64 << 20;
/// Longer than ten minutes no client waits.
const TIMEOUT_MS_MAX: u64 = 600_000;
/// Shorter, and a disk's ordinary pause would fail operations.
const OPERATION_TIMEOUT_MS_MIN: u64 = 100;
/// Shorter, and a busy scheduler would look like a dead node.
const READ_TIMEOUT_MS_MIN: u64 = 10;
/// A node that is late by less than its heartbeats cannot keep a lease; above a minute nobody waits for a failover.
const LEASE_MS: RangeInclusive<u64> = 100..=60_000;
/// Shorter, and signs of life are most of what is said; longer than a tenth of the longest lease makes no sense.
const HEARTBEAT_MS: RangeInclusive<u64> = 10..=6_000;
/// A lease has to outlast some lost renewals and an election.
const HEARTBEATS_PER_LEASE_MIN: u64 = 10;
const LOG_RETENTION_BYTES_DEFAULT: u64 = 256 << 20;
/// Two segments of the log: less is not kept in any case.
const LOG_RETENTION_BYTES_MIN: u64 = 64 << 20;
const LOG_RETENTION_BYTES_MAX: u64 = 1 << 40;
const MAX_CLIENTS_DEFAULT: u64 = 10_000;
/// Linux gives one process no more descriptors than this by default (`fs.nr_open`).
const MAX_CLIENTS_MAX: u64 = 1_048_576;
const IDLE_TIMEOUT_S_DEFAULT: u64 = 300;
/// One day.
const IDLE_TIMEOUT_S_MAX: u64 = 86_400;
const CACHE_BYTES_DEFAULT: u64 = 64 << 20;
const CACHE_BYTES_MIN: u64 = 1 << 20;
const CACHE_BYTES_MAX: u64 = 1 << 40;
/// Redis's clients send it in one argument; longer is a mistaken file.
const PASSWORD_MAX: usize = 512;
/// A line quoted in a message.
const QUOTE_MAX: usize = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cluster: ClusterTable,
    node: NodeTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterTable {
    id: Spanned<String>,
    replicas: Option<Spanned<u64>>,
    nodes: Spanned<Vec<NodeEntry>>,
    #[serde(default)]
    durability: Durability,
    max_value: Option<Spanned<u64>>,
    operation_timeout_ms: Option<Spanned<u64>>,
    read_timeout_ms: Option<Spanned<u64>>,
    lease_ms: Option<Spanned<u64>>,
    heartbeat_ms: Option<Spanned<u64>>,
    voters: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeEntry {
    name: Spanned<String>,
    client: Spanned<String>,
    peer: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeTable {
    name: Spanned<String>,
    data: Option<PathBuf>,
    #[serde(default)]
    read_from: ReadFrom,
    max_clients: Option<Spanned<u64>>,
    idle_timeout_s: Option<Spanned<u64>>,
    password_file: Option<PathBuf>,
    cache_bytes: Option<Spanned<u64>>,
    log_retention_bytes: Option<Spanned<u64>>,
    #[serde(default)]
    log_level: LogLevel,
    pid_file: Option<PathBuf>,
    #[serde(default)]
    fault_injection: bool,
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let source = Source { text, path };
    let file: File = toml::from_str(text).map_err(|error| source.malformed(&error))?;
    let node_name = file.node.name.clone();
    let cluster = source.cluster(file.cluster)?;
    if cluster.node(node_name.get_ref()).is_none() {
        let known: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        return Err(source.invalid(
            node_name.span(),
            format!(
                "[node] name = {:?} is not in [cluster] nodes: give one of {}",
                node_name.get_ref(),
                some(&known)
            ),
        ));
    }
    Ok(Config { node: source.node(file.node)?, cluster })
}

/// The first few of a list, for a message of one line.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown}, ...") } else { shown }
}

/// The text being checked, so that every message can name file and line.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn invalid(&self, at: Range<usize>, reason: String) -> ConfigError {
        let line = 1 + self.text[..at.start.min(self.text.len())].matches('\n').count();
        ConfigError::Invalid { path: self.path.to_owned(), line, reason }
    }

    /// What the TOML parser or a type had to say, with the line that it stumbled over.
    fn malformed(&self, error: &toml::de::Error) -> ConfigError {
        let at = error.span().unwrap_or(0..0);
        let start = self.text[..at.start].rfind('\n').map_or(0, |end| end + 1);
        let quoted: String =
            self.text[start..].lines().next().unwrap_or("").trim().chars().take(QUOTE_MAX).collect();
        let message = error.message().replace('\n', ", ");
        // A missing key has no line of its own: the parser then points at its table, or at the whole file.
        let place = if quoted.is_empty() { String::new() } else { format!(" at `{quoted}`") };
        self.invalid(at, format!("{message}{place}; docs/configuration.md lists every key"))
    }

    fn cluster(&self, table: ClusterTable) -> Result<Cluster, ConfigError> {
        self.name("[cluster] id", &table.id)?;
        let nodes = self.nodes(&table.nodes)?;
        let count = nodes.len() as u64;
        let replicas_at = table.replicas.as_ref().map_or(table.nodes.span(), Spanned::span);
        let replicas = table.replicas.map_or(REPLICAS_DEFAULT as u64, Spanned::into_inner);
        if !(1..=count).contains(&replicas) {
            return Err(self.invalid(
                replicas_at,
                format!("replicas = {replicas} does not fit {count} node(s): give 1 to {count}"),
            ));
        }
        let max_value =
            self.number("max_value", table.max_value, MAX_VALUE_DEFAULT as u64, 1..=MAX_VALUE_MAX)?;
        let read_at =
            table.read_timeout_ms.as_ref().or(table.operation_timeout_ms.as_ref()).map(Spanned::span);
        let operation_ms = self.number(
            "operation_timeout_ms",
            table.operation_timeout_ms,
            millis(OPERATION_TIMEOUT_DEFAULT),
            OPERATION_TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX,
        )?;
        let read_ms = self.number(
            "read_timeout_ms",
            table.read_timeout_ms,
            millis(READ_TIMEOUT_DEFAULT),
            READ_TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX,
        )?;
        if read_ms >= operation_ms {
            return Err(self.invalid(
                read_at.unwrap_or(0..0),
                format!(
                    "read_timeout_ms = {read_ms} must be below operation_timeout_ms = {operation_ms}, so that \
                     another member can still be asked"
                ),
            ));
        }
        let (lease_ms, heartbeat_ms) = self.lease_and_heartbeat(table.lease_ms, table.heartbeat_ms)?;
        let voters = self.voters(table.voters, &nodes)?;
        Ok(Cluster {
            id: table.id.into_inner(),
            replicas: size(replicas),
            voters,
            nodes,
            durability: table.durability,
            max_value: size(max_value),
            operation_timeout: Duration::from_millis(operation_ms),
            read_timeout: Duration::from_millis(read_ms),
            lease: Duration::from_millis(lease_ms),
            heartbeat: Duration::from_millis(heartbeat_ms),
        })
    }

    fn lease_and_heartbeat(
        &self,
        lease: Option<Spanned<u64>>,
        heartbeat: Option<Spanned<u64>>,
    ) -> Result<(u64, u64), ConfigError> {
        let at = lease.as_ref().or(heartbeat.as_ref()).map(Spanned::span);
        let lease = self.number("lease_ms", lease, millis(LEASE_DEFAULT), LEASE_MS)?;
        let heartbeat = self.number("heartbeat_ms", heartbeat, millis(HEARTBEAT_DEFAULT), HEARTBEAT_MS)?;
        if lease < HEARTBEATS_PER_LEASE_MIN * heartbeat {
            return Err(self.invalid(
                at.unwrap_or(0..0),
                format!(
                    "lease_ms = {lease} must be at least {HEARTBEATS_PER_LEASE_MIN} times heartbeat_ms = {heartbeat}, \
                     so that a lost renewal or an election costs no lease"
                ),
            ));
        }
        Ok((lease, heartbeat))
    }

    /// The voters, in ring order.
    fn voters(
        &self,
        listed: Option<Spanned<Vec<String>>>,
        nodes: &[ClusterNode],
    ) -> Result<Vec<String>, ConfigError> {
        let Some(listed) = listed else { return Ok(Cluster::voters_among(nodes)) };
        let (at, mut voters) = (listed.span(), listed.into_inner());
        voters.sort_by_key(|name| Token::of(name.as_bytes()));
        if voters.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(self.invalid(at, "voters lists a node twice".to_owned()));
        }
        if let Some(stranger) = voters.iter().find(|voter| nodes.iter().all(|node| node.name != **voter)) {
            return Err(
                self.invalid(at, format!("voters lists {stranger:?}, which is not in [cluster] nodes"))
            );
        }
        if !(1..=VOTERS_MAX).contains(&voters.len()) {
            let count = voters.len();
            return Err(
                self.invalid(at, format!("voters lists {count} nodes: give 1 to {VOTERS_MAX}, best 3 or 5"))
            );
        }
        Ok(voters)
    }

    fn nodes(&self, entries: &Spanned<Vec<NodeEntry>>) -> Result<Vec<ClusterNode>, ConfigError> {
        let count = entries.get_ref().len() as u64;
        if !(1..=NODES_MAX).contains(&count) {
            let reason = format!("[cluster] nodes lists {count} nodes: give 1 to {NODES_MAX}");
            return Err(self.invalid(entries.span(), reason));
        }
        let mut names = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        let mut nodes = Vec::with_capacity(entries.get_ref().len());
        for entry in entries.get_ref() {
            self.name("the name of a node", &entry.name)?;
            let name = entry.name.get_ref();
            if names.insert(name.clone(), ()).is_some() {
                return Err(self.invalid(entry.name.span(), format!("node name {name:?} is listed twice")));
            }
            let client = self.address("client", name, &entry.client)?;
            let peer = self.address("peer", name, &entry.peer)?;
            if peer.ip().is_unspecified() {
                let reason = format!(
                    "peer = \"{peer}\" of node {name}: other nodes cannot connect to it, give its own address"
                );
                return Err(self.invalid(entry.peer.span(), reason));
            }
            for (role, address, at) in [("client", client, &entry.client), ("peer", peer, &entry.peer)] {
                if let Some(owner) = addresses.insert(address, format!("{role} of node {name}")) {
                    let reason = format!("{role} = \"{address}\" of node {name} is already the {owner}");
                    return Err(self.invalid(at.span(), reason));
                }
            }
            nodes.push(ClusterNode { name: name.clone(), client, peer });
        }
        Ok(nodes)
    }

    fn node(&self, table: NodeTable) -> Result<NodeSettings, ConfigError> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let max_clients =
            self.number("max_clients", table.max_clients, MAX_CLIENTS_DEFAULT, 1..=MAX_CLIENTS_MAX)?;
        let idle_s = self.number(
            "idle_timeout_s",
            table.idle_timeout_s,
            IDLE_TIMEOUT_S_DEFAULT,
            0..=IDLE_TIMEOUT_S_MAX,
        )?;
        let cache_bytes = self.number(
            "cache_bytes",
            table.cache_bytes,
            CACHE_BYTES_DEFAULT,
            CACHE_BYTES_MIN..=CACHE_BYTES_MAX,
        )?;
        let log_retention_bytes = self.number(
            "log_retention_bytes",
            table.log_retention_bytes,
            LOG_RETENTION_BYTES_DEFAULT,
            LOG_RETENTION_BYTES_MIN..=LOG_RETENTION_BYTES_MAX,
        )?;
        Ok(NodeSettings {
            name: table.name.into_inner(),
            data: folder.join(table.data.unwrap_or_else(|| PathBuf::from("data"))),
            read_from: table.read_from,
            max_clients: size(max_clients),
            idle_timeout: (idle_s > 0).then(|| Duration::from_secs(idle_s)),
            password: table.password_file.map(|file| password(&folder.join(file))).transpose()?,
            cache_bytes,
            log_retention_bytes,
            log_level: table.log_level,
            pid_file: table.pid_file.map(|file| folder.join(file)),
            fault_injection: table.fault_injection,
        })
    }

    fn number(
        &self,
        key: &str,
        value: Option<Spanned<u64>>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let Some(value) = value else { return Ok(default) };
        if range.contains(value.get_ref()) {
            return Ok(value.into_inner());
        }
        let (low, high) = (range.start(), range.end());
        Err(self.invalid(
            value.span(),
            format!("{key} = {} is out of range: give {low} to {high}", value.get_ref()),
        ))
    }

    /// A name that is safe as a folder, in a log line and in a table.
    fn name(&self, what: impl Display, name: &Spanned<String>) -> Result<(), ConfigError> {
        let text = name.get_ref();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.');
        if fits {
            return Ok(());
        }
        Err(self.invalid(
            name.span(),
            format!("{what} = {text:?}: give 1 to {NAME_MAX} of A-Z a-z 0-9 . _ -, not starting with a dot"),
        ))
    }

    fn address(&self, key: &str, node: &str, text: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
        match text.get_ref().parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(address),
            _ => Err(self.invalid(
                text.span(),
                format!(
                    "{key} = {:?} of node {node} is no address: give IP:PORT such as \"127.0.0.1:11108\"",
                    text.get_ref()
                ),
            )),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a default of seconds")
}

/// A number whose range was checked, and whose upper bound fits the 64-bit machines that this runs on.
fn size(number: u64) -> usize {
    usize::try_from(number).expect("bounded by its range")
}

pub(super) fn password(path: &Path) -> Result<Password, ConfigError> {
    let refuse = |reason: String| ConfigError::Password { path: path.to_owned(), reason };
    let unreadable = |error: std::io::Error| refuse(format!("cannot read the password file: {error}"));
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(refuse(format!(
            "the password file is open to others (mode {:03o}): run chmod 600 on it",
            mode & 0o777
        )));
    }
    let mut bytes = std::fs::read(path).map_err(unreadable)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if !(1..=PASSWORD_MAX).contains(&bytes.len()) || bytes.contains(&b'\n') {
        return Err(refuse(format!("the password file must hold one line of 1 to {PASSWORD_MAX} bytes")));
    }
    Ok(Password(bytes))
}
