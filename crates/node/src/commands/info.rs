//! `INFO`: figures of the node as the text that clients and monitors of Redis read.

use std::fmt::Write as _;

use bytes::Bytes;
use simpledynamo_chain::UnixMillis;
use simpledynamo_wire::resp::Value;

use super::connection::COMPATIBLE_VERSION;
use super::input::is;
use super::table::CommandId;

/// A part of `INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The process.
    Server,
    /// Connected clients.
    Clients,
    /// Memory.
    Memory,
    /// What is on disk.
    Persistence,
    /// Counters of commands and traffic.
    Stats,
    /// The node's role, as clients see it.
    Replication,
    /// Processor time.
    Cpu,
    /// Counters of each command.
    CommandStats,
    /// Whether clients should treat the node as a part of Redis Cluster.
    Cluster,
    /// How many pairs the whole ring holds.
    Keyspace,
    /// What Redis has no name for.
    SimpleDynamo,
    /// The ring as this node sees it, and what is missing in it.
    Ring,
}

impl Section {
    /// All sections in the order in which they are shown, by name.
    const ALL: [(Self, &'static str); 12] = [
        (Self::Server, "server"),
        (Self::Clients, "clients"),
        (Self::Memory, "memory"),
        (Self::Persistence, "persistence"),
        (Self::Stats, "stats"),
        (Self::Replication, "replication"),
        (Self::Cpu, "cpu"),
        (Self::CommandStats, "commandstats"),
        (Self::Cluster, "cluster"),
        (Self::SimpleDynamo, "simpledynamo"),
        (Self::Ring, "ring"),
        (Self::Keyspace, "keyspace"),
    ];
}

/// A set of sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections(u16);

impl Sections {
    /// What `INFO` shows with these arguments. A name that does not exist adds nothing, as in Redis.
    pub(super) fn named(names: &[Bytes]) -> Self {
        let every = || Section::ALL.into_iter().map(|(section, _)| section);
        let usual = Self::of(every().filter(|section| *section != Section::CommandStats));
        if names.is_empty() {
            return usual;
        }
        let mut set = Self(0);
        for name in names {
            set.0 |= match () {
                () if is(name, "all") || is(name, "everything") => Self::of(every()).0,
                () if is(name, "default") => usual.0,
                () => {
                    let found = Section::ALL.into_iter().filter(|(_, known)| is(name, known));
                    Self::of(found.map(|(section, _)| section)).0
                }
            };
        }
        set
    }

    fn of(sections: impl Iterator<Item = Section>) -> Self {
        Self(sections.fold(0, |set, section| set | 1 << section as u16))
    }

    /// Whether the section is wanted.
    #[must_use]
    pub fn contains(self, section: Section) -> bool {
        self.0 & (1 << section as u16) != 0
    }

    /// Whether the whole ring must be asked for its counters first.
    #[must_use]
    pub fn needs_keyspace(self) -> bool {
        self.contains(Section::Keyspace)
    }
}

/// What a node knows of itself. Counters start at 0 with the process or at `CONFIG RESETSTAT`.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The node's name.
    pub node: String,
    /// The cluster's id.
    pub cluster: String,
    /// 40 hexadecimal digits, new at each start of the process.
    pub run_id: String,
    /// The clients' port.
    pub port: u16,
    /// The clock.
    pub now: UnixMillis,
    /// Seconds since the process started.
    pub uptime: u64,
    /// Clients connected now.
    pub connected_clients: u64,
    /// How many may be connected at once.
    pub max_clients: u64,
    /// Bytes of memory that the process holds.
    pub resident_memory: u64,
    /// The most that it ever held.
    pub resident_memory_peak: u64,
    /// Bytes of memory of the machine.
    pub system_memory: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused because `max_clients` were connected.
    pub rejected_connections: u64,
    /// Commands carried out.
    pub commands: u64,
    /// Commands of the last second.
    pub commands_per_second: u64,
    /// Bytes received from clients.
    pub input_bytes: u64,
    /// Bytes sent to clients.
    pub output_bytes: u64,
    /// Keys that this node deleted because their time had come.
    pub expired_keys: u64,
    /// Reads that found their key.
    pub keyspace_hits: u64,
    /// Reads that did not.
    pub keyspace_misses: u64,
    /// Seconds of processor time in the kernel.
    pub cpu_system: f64,
    /// Seconds of processor time outside it.
    pub cpu_user: f64,
    /// `always`, `interval` or `none`.
    pub durability: &'static str,
    /// Where reads go: `any` or `tail`.
    pub read_from: &'static str,
    /// How many nodes keep each pair.
    pub replicas: usize,
    /// The ring as this node sees it.
    pub ring: RingFigures,
    /// Writes of this node's clients that are under way.
    pub writes_in_flight: u64,
    /// Bytes that wait to be sent to other nodes.
    pub unsent_bytes: u64,
    /// Messages of other nodes that were dropped, by the name of the reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Pairs stored by this node, replicas included.
    pub local_keys: u64,
    /// The counters of each command that has been called.
    pub by_command: Vec<(CommandId, CommandFigures)>,
    /// What the whole ring holds; none if it was not asked or could not be reached.
    pub keyspace: Option<Keyspace>,
}

/// The ring as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingFigures {
    /// Whether every node of every preference list serves, and this node has opened its chains.
    pub is_whole: bool,
    /// Whether the control group was ever formed.
    pub is_formed: bool,
    /// The voters that are missing before it can be.
    pub missing: Vec<String>,
    /// The node that leads the control group; empty if none is known.
    pub controller: String,
    /// The control group's term.
    pub term: u64,
    /// The voters.
    pub voters: Vec<String>,
    /// The place in the control log that this node knows.
    pub version: u64,
    /// This node's session; 0 while it has none.
    pub session: u64,
    /// Whether this node may answer reads.
    pub has_lease: bool,
    /// Nodes without a live session.
    pub down: Vec<String>,
    /// Partitions that this node keeps and serves.
    pub serving: usize,
    /// Partitions that this node keeps and lacks something of: name, entries held, entries committed, pages copied.
    pub syncing: Vec<(String, u64, u64, Option<u32>)>,
    /// Partitions of the ring that fewer nodes serve than should.
    pub short: usize,
    /// Partitions of the ring that nobody serves.
    pub unserved: usize,
}

/// Counters of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandFigures {
    /// How often it was carried out.
    pub calls: u64,
    /// Microseconds from its arrival to its reply, all together.
    pub micros: u64,
    /// Refused before anything was done: wrong arguments, no authentication.
    pub rejected: u64,
    /// Answered by an error after that.
    pub failed: u64,
}

/// What the whole ring holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keyspace {
    /// Pairs, each counted once.
    pub keys: u64,
    /// Those that have an expiry time.
    pub expiring: u64,
}

/// The reply to `INFO`.
#[must_use]
pub fn render(sections: Sections, figures: &Figures) -> Value {
    let mut text = String::new();
    for (section, _) in Section::ALL {
        if !sections.contains(section) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let (title, fields) = figures.section(section);
        let _ = write!(text, "# {title}\r\n");
        for (name, value) in fields {
            let _ = write!(text, "{name}:{value}\r\n");
        }
    }
    Value::Verbatim(Bytes::from(text))
}

/// The name of a field and its value.
type Field = (String, String);

fn field(name: &str, value: impl ToString) -> Field {
    (name.to_owned(), value.to_string())
}

impl Figures {
    fn section(&self, section: Section) -> (&'static str, Vec<Field>) {
        match section {
            Section::Server => ("Server", self.server()),
            Section::Clients => ("Clients", self.clients()),
            Section::Memory => ("Memory", self.memory()),
            Section::Persistence => ("Persistence", self.persistence()),
            Section::Stats => ("Stats", self.stats()),
            Section::Replication => ("Replication", self.replication()),
            Section::Cpu => ("CPU", self.cpu()),
            Section::CommandStats => ("Commandstats", self.command_stats()),
            Section::Cluster => ("Cluster", vec![field("cluster_enabled", 0)]),
            Section::Keyspace => ("Keyspace", self.keyspace()),
            Section::SimpleDynamo => ("SimpleDynamo", self.simpledynamo()),
            Section::Ring => ("Ring", self.ring.fields()),
        }
    }

    fn server(&self) -> Vec<Field> {
        vec![
            field("redis_version", COMPATIBLE_VERSION),
            field("simpledynamo_version", env!("CARGO_PKG_VERSION")),
            field("redis_mode", "standalone"),
            field("os", format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
            field("arch_bits", usize::BITS),
            field("process_id", std::process::id()),
            field("run_id", &self.run_id),
            field("tcp_port", self.port),
            field("server_time_usec", self.now.saturating_mul(1_000)),
            field("uptime_in_seconds", self.uptime),
            field("uptime_in_days", self.uptime / 86_400),
        ]
    }

    fn clients(&self) -> Vec<Field> {
        vec![
            field("connected_clients", self.connected_clients),
            field("maxclients", self.max_clients),
            field("blocked_clients", 0),
        ]
    }

    fn memory(&self) -> Vec<Field> {
        vec![
            field("used_memory", self.resident_memory),
            field("used_memory_human", human(self.resident_memory)),
            field("used_memory_rss", self.resident_memory),
            field("used_memory_rss_human", human(self.resident_memory)),
            field("used_memory_peak", self.resident_memory_peak),
            field("used_memory_peak_human", human(self.resident_memory_peak)),
            field("total_system_memory", self.system_memory),
            field("total_system_memory_human", human(self.system_memory)),
            field("maxmemory", 0),
            field("maxmemory_human", "0B"),
            field("maxmemory_policy", "noeviction"),
        ]
    }

    /// A node that answers has loaded all it has, and saves nothing beyond the log of its writes.
    fn persistence(&self) -> Vec<Field> {
        vec![
            field("loading", 0),
            field("async_loading", 0),
            field("rdb_changes_since_last_save", 0),
            field("rdb_bgsave_in_progress", 0),
            field("rdb_last_bgsave_status", "ok"),
            field("aof_enabled", 1),
            field("aof_rewrite_in_progress", 0),
            field("aof_last_write_status", "ok"),
        ]
    }

    fn stats(&self) -> Vec<Field> {
        vec![
            field("total_connections_received", self.connections),
            field("total_commands_processed", self.commands),
            field("instantaneous_ops_per_sec", self.commands_per_second),
            field("total_net_input_bytes", self.input_bytes),
            field("total_net_output_bytes", self.output_bytes),
            field("rejected_connections", self.rejected_connections),
            field("expired_keys", self.expired_keys),
            field("evicted_keys", 0),
            field("keyspace_hits", self.keyspace_hits),
            field("keyspace_misses", self.keyspace_misses),
        ]
    }

    /// To a client all nodes are alike: masters without replicas of their own.
    fn replication(&self) -> Vec<Field> {
        vec![
            field("role", "master"),
            field("connected_slaves", 0),
            field("master_replid", &self.run_id),
            field("master_repl_offset", 0),
        ]
    }

    fn cpu(&self) -> Vec<Field> {
        vec![
            field("used_cpu_sys", format_args!("{:.6}", self.cpu_system)),
            field("used_cpu_user", format_args!("{:.6}", self.cpu_user)),
        ]
    }

    fn command_stats(&self) -> Vec<Field> {
        let line = |(command, it): &(CommandId, CommandFigures)| {
            let per_call = it.micros as f64 / it.calls.max(1) as f64;
            let name = format!("cmdstat_{}", command.spec().name);
            let value = format!(
                "calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
                it.calls, it.micros, it.rejected, it.failed
            );
            (name, value)
        };
        self.by_command.iter().map(line).collect()
    }

    fn simpledynamo(&self) -> Vec<Field> {
        vec![
            field("node", &self.node),
            field("cluster", &self.cluster),
            field("replicas", self.replicas),
            field("durability", self.durability),
            field("read_from", self.read_from),
            field("simpledynamo_serving", u8::from(self.ring.is_whole)),
            field("local_keys", self.local_keys),
            field("writes_in_flight", self.writes_in_flight),
            field("unsent_bytes", self.unsent_bytes),
            field("dropped_messages", self.dropped_messages()),
        ]
    }

    /// `stale_epoch=2,duplicate=1`, or nothing.
    fn dropped_messages(&self) -> String {
        let reasons: Vec<String> =
            self.dropped.iter().map(|(reason, count)| format!("{reason}={count}")).collect();
        reasons.join(",")
    }

    /// As in Redis, an empty database has no line. One that could not be counted says so.
    fn keyspace(&self) -> Vec<Field> {
        match self.keyspace {
            Some(Keyspace { keys: 0, .. }) => Vec::new(),
            Some(Keyspace { keys, expiring }) => {
                vec![field("db0", format_args!("keys={keys},expires={expiring},avg_ttl=0"))]
            }
            None => vec![field("sd_keyspace", "unavailable: a part of the ring did not answer")],
        }
    }
}

impl RingFigures {
    fn fields(&self) -> Vec<Field> {
        let yes = |is_so: bool| if is_so { "yes" } else { "no" };
        let mut fields = vec![
            field("whole", yes(self.is_whole)),
            field("formed", yes(self.is_formed)),
            field("controller", &self.controller),
            field("term", self.term),
            field("voters", self.voters.join(",")),
            field("missing_voters", self.missing.join(",")),
            field("topology_version", self.version),
            field("session", self.session),
            field("lease", yes(self.has_lease)),
            field("down_nodes", self.down.join(",")),
            field("partitions_short", self.short),
            field("partitions_unserved", self.unserved),
            field("partitions_serving_here", self.serving),
            field("partitions_syncing_here", self.syncing.len()),
        ];
        for (partition, held, committed, pages) in &self.syncing {
            let pages = pages.map(|pages| format!(",pages={pages}")).unwrap_or_default();
            fields.push(field(
                &format!("syncing_{partition}"),
                format_args!("held={held},committed={committed}{pages}"),
            ));
        }
        fields
    }
}

/// Bytes as people read them: `1.50M`.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["K", "M", "G", "T"];
    if bytes < 1_024 {
        return format!("{bytes}B");
    }
    let (mut number, mut unit) = (bytes as f64 / 1_024.0, 0);
    while number >= 1_024.0 && unit + 1 < UNITS.len() {
        number /= 1_024.0;
        unit += 1;
    }
    format!("{number:.2}{}", UNITS[unit])
}
