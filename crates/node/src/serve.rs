//! A node's life: open the store, begin a session, serve, and stop in order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use simpledynamo_chain::{Effects, Limits, Millis, Node, Persist, ReadFrom, Setup, Timing, next_session};
use simpledynamo_ring::{Ring, RingError};
use simpledynamo_storage::disk::{Acquaintances, DiskOptions, begin_life, open};
use simpledynamo_storage::{Identity, Log, StoreError};
use simpledynamo_topology::{Member, NodeId, Topology};
use simpledynamo_wire::peer::Life;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

use crate::clients::expiry;
use crate::clients::server::Server;
use crate::config::{self, Config};
use crate::core::disk::Disk;
use crate::core::engine::Engine;
use crate::core::view::DataView;
use crate::fatal;
use crate::peers::links;
use crate::peers::outlets::Outlets;
use crate::socket;

/// How long a stopping node goes on answering the requests that it has taken.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it looks whether all are answered.
const DRAIN_PAUSE: Duration = Duration::from_millis(5);

/// From sending a write to sending it again while no answer comes: well above what a slow disk takes.
const RESEND: Duration = Duration::from_secs(1);

/// File descriptors that a node needs besides its clients': files of the store, links, and some in reserve.
const DESCRIPTORS_RESERVED: u64 = 1_200;

/// Why a node did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address cannot be listened at.
    #[error(
        "cannot listen at {address} for {whom}: {source}; stop what uses this address, or give the node another in \
         [cluster]"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// `clients` or `other nodes`.
        whom: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The ring cannot be built.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The operating system does not give what every node needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs a node until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: its store or an address cannot be used. What fails later ends the process.
pub fn serve(config: &Config) -> Result<(), ServeError> {
    fatal::stop_on_panic();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ServeError::System { what: "start the event loop", source })?;
    LocalSet::new().block_on(&runtime, run(config))
}

async fn run(config: &Config) -> Result<(), ServeError> {
    // From here on a signal stops the node in order, however far its start has come.
    let mut stop_signals = StopSignals::install()?;
    let max_clients = raise_descriptors(config.node.max_clients);
    let this = config.this_node();
    // Addresses first: a port in use is the commonest mistake, and must not cost a session.
    let clients = listen(this.client, "clients")?;
    let nodes = listen(this.peer, "other nodes")?;
    let ring = config.cluster.ring();
    let identity = Identity { cluster: config.cluster.id.clone(), node: config.node.name.clone() };
    let options = DiskOptions { cache_size: config.node.cache_bytes, ..DiskOptions::default() };
    let store = open(&config.node.data, &identity, &options)?;
    let (mut log, recovered) = (store.log, store.recovered);
    let me = Member { node: node_id(&ring, &config.node.name), session: next_session(recovered.session) };
    log.append(&[Persist::Session(me.session)])?;
    log.sync()?;

    let (done_sender, done) = unbounded_channel();
    let disk = Disk::start(log, store.data.clone(), config.cluster.durability, done_sender);
    let mut effects = Effects::default();
    let node = Node::new(
        Setup {
            topology: Topology::new(ring.clone()),
            me,
            limits: Limits { max_value: config.cluster.max_value },
            timing: timing(config),
            read_from: read_from(config),
            replicas: recovered.replicas,
            applied: recovered.applied,
        },
        &mut effects,
    );
    let outlets = Rc::new(Outlets::new(ring.names().len()));
    let engine = Engine::new(node, effects, DataView(store.data), disk, Rc::clone(&outlets));
    tracing::info!("node {} begins session {}: clients at {}", config.node.name, me.session, this.client);

    let life =
        begin_life(&config.node.data, store.uuid, me.session, RandomState::new().hash_one(me.session.0))?;
    let acquaintances = Acquaintances::open(&config.node.data)?;
    let link_identity = Rc::new(link_identity(config, &ring, me, life, acquaintances));
    spawn_local(Rc::clone(&engine).pump());
    spawn_local(Rc::clone(&engine).drive(done));
    spawn_local(links::accept(Rc::clone(&engine), Rc::clone(&link_identity), nodes));
    links::dial_all(&engine, &link_identity, &outlets);
    let server = Server::new(Rc::clone(&engine), config, max_clients);
    spawn_local(expiry::sweep(Rc::clone(&server)));
    spawn_local(Rc::clone(&server).watch());
    let accepting = spawn_local(Rc::clone(&server).accept(clients));

    stop_signals.received().await;
    accepting.abort();
    stop(&engine, &server).await;
    Ok(())
}

fn listen(address: SocketAddr, whom: &'static str) -> Result<TcpListener, ServeError> {
    socket::listen(address).map_err(|source| ServeError::Listen { address, whom, source })
}

fn node_id(ring: &Ring, name: &str) -> NodeId {
    let index = ring.names().iter().position(|other| other == name).expect("the node's name was checked");
    NodeId(u16::try_from(index).expect("at most 65,535 nodes"))
}

fn timing(config: &Config) -> Timing {
    let millis = |duration: Duration| Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX);
    Timing {
        operation: millis(config.cluster.operation_timeout),
        read: millis(config.cluster.read_timeout),
        resend: millis(RESEND),
    }
}

fn read_from(config: &Config) -> ReadFrom {
    match config.node.read_from {
        config::ReadFrom::Any => ReadFrom::Any,
        config::ReadFrom::Tail => ReadFrom::Tail,
    }
}

fn link_identity(
    config: &Config,
    ring: &Ring,
    me: Member,
    life: Life,
    acquaintances: Acquaintances,
) -> links::Identity {
    let peers: BTreeMap<&str, SocketAddr> =
        config.cluster.nodes.iter().map(|node| (node.name.as_str(), node.peer)).collect();
    links::Identity {
        cluster: config.cluster.id.clone(),
        table: config.cluster_digest(),
        me,
        life,
        acquaintances: RefCell::new(acquaintances),
        names: ring.names().to_vec(),
        addresses: ring.names().iter().map(|name| peers[name.as_str()]).collect(),
    }
}

/// Raises the limit of file descriptors as far as all clients need, and returns how many clients then fit.
fn raise_descriptors(max_clients: usize) -> usize {
    let wanted = max_clients as u64 + DESCRIPTORS_RESERVED;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return max_clients;
    }
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let granted = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum })
    {
        Ok(()) => raised,
        Err(_) => limit.current.unwrap_or(wanted),
    };
    let fitting = usize::try_from(granted.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(max_clients).max(1);
    if fitting < max_clients {
        tracing::warn!(
            "max_clients is {fitting} instead of {max_clients}: the system allows this process {granted} open \
             files (raise it with ulimit -n)"
        );
    }
    fitting.min(max_clients)
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn install() -> Result<Self, ServeError> {
        let listen =
            |kind| signal(kind).map_err(|source| ServeError::System { what: "wait for signals", source });
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Answers what has been taken, within a bound, then closes the store.
async fn stop(engine: &Engine, server: &Server) {
    tracing::info!("stopping");
    server.stop_taking();
    let give_up = Instant::now() + DRAIN_TIMEOUT;
    while (engine.is_busy() || server.has_clients()) && Instant::now() < give_up {
        sleep(DRAIN_PAUSE).await;
    }
    engine.close();
    tracing::info!("stopped");
}
