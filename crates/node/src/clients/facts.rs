//! What a node tells about itself.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use simpledynamo_wire::resp::Value;
use tokio::time::Instant;

use crate::clients::counters::Counters;
use crate::clients::ring::{self, Place};
use crate::clients::state::ServerFacts;
use crate::clock;
use crate::commands::{ConfigValues, Figures, Keyspace, Setting};
use crate::config::{Config, Durability, Password, ReadFrom};
use crate::core::engine::Engine;

/// The longest key, in bytes: the storage engine takes 65,535, prefix included.
pub(crate) const KEY_BYTES_MAX: usize = 65_000;

/// Units in which the kernel counts processor time (`USER_HZ`), per second; the same on every Linux that Rust
/// supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Settings, and what does not change while the node runs.
pub(crate) struct Facts {
    node: String,
    cluster: String,
    /// The nodes, in ring order.
    places: Vec<Place>,
    password: Option<Password>,
    config: RefCell<ConfigValues>,
    run_id: String,
    began: Instant,
    /// Commands counted at the last tick, and when that was.
    last_tick: Cell<(u64, Instant)>,
    commands_per_second: Cell<u64>,
}

impl Facts {
    pub(crate) fn new(config: &Config, max_clients: usize) -> Self {
        let this = config.this_node();
        let values = ConfigValues {
            bind: this.client.ip().to_string(),
            port: this.client.port(),
            dir: config.node.data.display().to_string(),
            durability: match config.cluster.durability {
                Durability::Always => "always",
                Durability::Interval => "interval",
                Durability::None => "none",
            },
            read_from: match config.node.read_from {
                ReadFrom::Any => "any",
                ReadFrom::Tail => "tail",
            },
            replicas: config.cluster.replicas,
            max_clients: u32::try_from(max_clients).unwrap_or(u32::MAX),
            idle_timeout: 0,
            max_key: KEY_BYTES_MAX,
            max_value: config.cluster.max_value,
        };
        let ring = config.cluster.ring();
        let places = ring.names().iter().map(|name| {
            let node = config.cluster.node(name).expect("the ring has the cluster's names");
            Place { name: name.clone(), client: node.client.to_string(), peer: node.peer.to_string() }
        });
        Self {
            node: config.node.name.clone(),
            cluster: config.cluster.id.clone(),
            places: places.collect(),
            password: config.node.password.clone(),
            config: RefCell::new(values),
            run_id: run_id(),
            began: Instant::now(),
            last_tick: Cell::new((0, Instant::now())),
            commands_per_second: Cell::new(0),
        }
    }

    /// Lends what server commands need to know.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&ServerFacts<'_>) -> T) -> T {
        let config = self.config.borrow();
        let other_replicas = u32::try_from(config.replicas.saturating_sub(1)).unwrap_or(u32::MAX);
        look(&ServerFacts {
            now: clock::unix_millis(),
            password: self.password.as_ref().map(Password::as_bytes),
            config: &config,
            other_replicas,
        })
    }

    /// Applies `CONFIG SET`.
    pub(crate) fn set(&self, settings: &[Setting]) {
        let mut config = self.config.borrow_mut();
        for setting in settings {
            match *setting {
                Setting::IdleTimeout(seconds) => config.idle_timeout = seconds,
                Setting::MaxClients(clients) => config.max_clients = clients,
            }
        }
    }

    pub(crate) fn needs_password(&self) -> bool {
        self.password.is_some()
    }

    pub(crate) fn max_clients(&self) -> usize {
        usize::try_from(self.config.borrow().max_clients).unwrap_or(usize::MAX)
    }

    /// How long a client may stay connected without a command.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        let seconds = self.config.borrow().idle_timeout;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    /// Measures the rate of commands, about once a second.
    pub(crate) fn tick(&self, commands: u64) {
        let (before, when) = self.last_tick.get();
        let elapsed = when.elapsed().as_secs_f64();
        if elapsed >= 1.0 {
            let rate = commands.saturating_sub(before) as f64 / elapsed;
            self.commands_per_second.set(rate as u64);
            self.last_tick.set((commands, Instant::now()));
        }
    }

    /// The figures of `INFO`.
    pub(crate) fn figures(
        &self,
        engine: &Engine,
        counters: &Counters,
        clients: usize,
        keyspace: Option<Keyspace>,
    ) -> Figures {
        let config = self.config.borrow();
        let memory = Memory::now();
        let (cpu_user, cpu_system) = processor_time();
        let local_keys =
            engine.look(|node| node.replicas().values().map(|replica| replica.counts().keys).sum());
        Figures {
            node: self.node.clone(),
            cluster: self.cluster.clone(),
            run_id: self.run_id.clone(),
            port: config.port,
            now: clock::unix_millis(),
            uptime: self.began.elapsed().as_secs(),
            connected_clients: clients as u64,
            max_clients: config.max_clients.into(),
            resident_memory: memory.resident,
            resident_memory_peak: memory.resident_peak,
            system_memory: memory.system,
            connections: counters.connections.get(),
            rejected_connections: counters.rejected_connections.get(),
            commands: counters.commands.get(),
            commands_per_second: self.commands_per_second.get(),
            input_bytes: counters.input_bytes.get(),
            output_bytes: counters.output_bytes.get(),
            expired_keys: counters.expired.get(),
            keyspace_hits: counters.hits.get(),
            keyspace_misses: counters.misses.get(),
            cpu_system,
            cpu_user,
            durability: config.durability,
            read_from: config.read_from,
            replicas: config.replicas,
            ring: ring::figures(engine, &self.places),
            writes_in_flight: engine.look(|node| node.writes_in_flight()) as u64,
            unsent_bytes: engine.unsent_bytes() as u64,
            dropped: engine.dropped(),
            local_keys,
            by_command: counters.by_command(),
            keyspace,
        }
    }

    /// The ring and its chains, and what this node does in it, as JSON.
    pub(crate) fn describe(&self, engine: &Engine) -> Value {
        ring::describe(engine, &self.cluster, self.config.borrow().replicas, &self.places)
    }
}

/// 40 hexadecimal digits that tell this process from every other.
fn run_id() -> String {
    let mut id = String::new();
    for part in 0..3_u8 {
        let _ = write!(id, "{:016x}", RandomState::new().hash_one(part));
    }
    id.truncate(40);
    id
}

/// Memory, in bytes.
struct Memory {
    resident: u64,
    resident_peak: u64,
    system: u64,
}

impl Memory {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            resident: kibibytes(&status, "VmRSS:"),
            resident_peak: kibibytes(&status, "VmHWM:"),
            system: kibibytes(&machine, "MemTotal:"),
        }
    }
}

/// The number on the line that begins with this name, in bytes; 0 if there is none.
fn kibibytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1_024
}

/// Seconds of processor time of this process, outside the kernel and in it (`/proc/self/stat`, proc(5)).
fn processor_time() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The process's name stands in parentheses and may hold spaces: what counts comes after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let seconds = |index: usize| {
        fields.get(index).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0) / TICKS_PER_SECOND
    };
    (seconds(11), seconds(12))
}
