//! A node's life: open the store, begin a session, serve, and stop in order.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use simpledynamo_chain::control::LeaseTerms;
use simpledynamo_chain::{Effects, Event, Limits, Millis, Node, ReadFrom, Setup, Timing};
use simpledynamo_ring::{Ring, RingError};
use simpledynamo_storage::disk::{DiskData, DiskLog, DiskOptions, Lives, empty, is_marked_damaged, open};
use simpledynamo_storage::{Identity, Opened, StoreError};
use simpledynamo_topology::{NodeId, StoreId};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use crate::clients::expiry;
use crate::clients::server::{Server, Stopping};
use crate::config::{self, Config};
use crate::control::{self, ControlHandle, FromControl};
use crate::core::disk::Disk;
use crate::core::engine::Engine;
use crate::core::pulse::Pulse;
use crate::core::view::DataView;
use crate::fatal;
use crate::peers::handshake;
use crate::peers::links;
use crate::peers::outlets::Outlets;
use crate::peers::switch::Switch;
use crate::socket;

/// How long clients of a stopping node may go on before they are sent away between two requests: a client that asks
/// often is sent away together with a reply.
const FAREWELL: Duration = Duration::from_millis(100);

/// How long a stopping node goes on answering the requests that it has taken.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How often it looks whether all are answered.
const DRAIN_PAUSE: Duration = Duration::from_millis(5);

/// How long a node that stops waits for the others to take over; the control thread gives up a little earlier.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// From sending a write to sending it again while no answer comes: well above what a slow disk takes.
const RESEND: Duration = Duration::from_secs(1);

/// How far apart two clocks of the ring may run, in millionths: twenty times what ordinary quartz does.
const DRIFT_PPM: u64 = 2_000;

/// What both sides of a lease leave to the granularity of their clocks.
const LEASE_MARGIN: Millis = 10;

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
    /// A safeguard is to be left out that does not exist.
    #[cfg(feature = "sabotage")]
    #[error("{0}")]
    Sabotage(String),
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
    #[cfg(feature = "sabotage")]
    crate::sabotage::choose().map_err(ServeError::Sabotage)?;
    // From here on a signal stops the node in order, however far its start has come.
    let mut stop_signals = StopSignals::install()?;
    let max_clients = raise_descriptors(config.node.max_clients);
    let this = config.this_node();
    // Addresses first: a port in use is the commonest mistake.
    let clients = listen(this.client, "clients")?;
    let nodes = listen(this.peer, "other nodes")?;
    let ring = Arc::new(config.cluster.ring());
    let (store, lives) = open_store(config)?;
    fatal::watch_store(config.node.data.clone());
    let me = node_id(&ring, &config.node.name);
    let identity = Arc::new(link_identity(config, &ring, me, StoreId(u128::from_be_bytes(store.uuid))));
    let pulse = Arc::new(Pulse::default());
    let listener =
        nodes.into_std().map_err(|source| ServeError::System { what: "hand on a port", source })?;
    let control_setup = control::Setup {
        identity: Arc::clone(&identity),
        ring: Arc::clone(&ring),
        voters: config.cluster.voters.iter().map(|name| node_id(&ring, name)).collect::<BTreeSet<_>>(),
        terms: lease_terms(config),
        heartbeat: config.cluster.heartbeat,
        election: (3 * config.cluster.heartbeat, 5 * config.cluster.heartbeat),
        folder: config.node.data.clone(),
        lives,
        pulse: Arc::clone(&pulse),
        listener,
    };
    let (control, from_control) = control::start(control_setup)
        .map_err(|source| ServeError::System { what: "start the control thread", source })?;

    let (done_sender, done) = unbounded_channel();
    let durability = config.cluster.durability;
    let disk =
        Disk::start(store.log, store.data.clone(), store.reader, &ring, durability, pulse, done_sender);
    let mut effects = Effects::default();
    let node = Node::new(
        Setup {
            ring: Arc::clone(&ring),
            node: me,
            limits: Limits { max_value: config.cluster.max_value },
            cache_bytes: config.node.cache_bytes - engine_cache(config),
            timing: timing(config),
            read_from: read_from(config),
            replicas: store.recovered.replicas,
            applied: store.recovered.applied,
        },
        &mut effects,
    );
    let outlets = Rc::new(Outlets::new(ring.names().len()));
    let engine = Engine::new(node, effects, DataView(store.data), disk, control.clone(), Rc::clone(&outlets));
    tracing::info!("node {} starts: clients at {}", config.node.name, this.client);
    if config.node.fault_injection {
        tracing::warn!(
            "fault_injection is on: any client can cut this node off and put its clocks wrong; for tests only"
        );
    }

    spawn_local(Rc::clone(&engine).pump());
    spawn_local(Rc::clone(&engine).drive(done));
    let has_left = Rc::new(Notify::new());
    spawn_local(hear_control(Rc::clone(&engine), from_control, Rc::clone(&has_left)));
    links::dial_all(&engine, &identity, &outlets);
    let server = Server::new(Rc::clone(&engine), config, max_clients, identity.switch.clone());
    spawn_local(expiry::sweep(Rc::clone(&server)));
    spawn_local(Rc::clone(&server).watch());
    let accepting = spawn_local(Rc::clone(&server).accept(clients));

    stop_signals.received().await;
    accepting.abort();
    stop(&engine, &server, &control, &has_left).await;
    Ok(())
}

/// Of the memory for what was used last a quarter keeps blocks of the engine's files, for ranges and for what is seldom
/// used; the rest keeps pairs as clients ask for them.
fn engine_cache(config: &Config) -> u64 {
    config.node.cache_bytes / 4
}

/// Opens the store. One that was found to lack something is emptied first: the others fill it again.
fn open_store(config: &Config) -> Result<(Opened<DiskLog, DiskData>, Lives), ServeError> {
    let folder = &config.node.data;
    let identity = Identity { cluster: config.cluster.id.clone(), node: config.node.name.clone() };
    let options = DiskOptions {
        cache_size: engine_cache(config),
        log_retention: config.node.log_retention_bytes,
        ..DiskOptions::default()
    };
    if is_marked_damaged(folder)? {
        tracing::warn!(
            "{} was found to be damaged: it is emptied, and filled again by the others",
            folder.display()
        );
        empty(folder)?;
    }
    let open_all = || Ok((open(folder, &identity, &options)?, Lives::open(folder)?));
    open_all().map_err(|error: StoreError| {
        if error.is_damage() {
            fatal::note_damage(folder);
        }
        error.into()
    })
}

/// Passes on what the control thread says, for as long as the node runs.
async fn hear_control(
    engine: Rc<Engine>,
    mut from_control: UnboundedReceiver<FromControl>,
    has_left: Rc<Notify>,
) {
    while let Some(heard) = from_control.recv().await {
        #[cfg(feature = "sabotage")]
        let heard = crate::sabotage::hear(heard, &engine).await;
        match heard {
            FromControl::Topology { topology, session } => engine.take(Event::Topology { topology, session }),
            FromControl::Lease { until, version } => engine.take(Event::Lease { until, version }),
            FromControl::Left => has_left.notify_one(),
            FromControl::Link { from, stream, buffer, gate } => {
                let engine = Rc::clone(&engine);
                spawn_local(async move {
                    let ended = match TcpStream::from_std(stream) {
                        Ok(stream) => links::listen(&engine, from, stream, buffer, &gate).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = ended {
                        let name = engine.look(|node| node.topology().ring().names()[from.index()].clone());
                        tracing::warn!("a link from node {name} ended: {error}");
                    }
                });
            }
        }
    }
}

fn listen(address: SocketAddr, whom: &'static str) -> Result<TcpListener, ServeError> {
    socket::listen(address).map_err(|source| ServeError::Listen { address, whom, source })
}

fn node_id(ring: &Ring, name: &str) -> NodeId {
    let index = ring.names().iter().position(|other| other == name).expect("the name was checked");
    NodeId::at(index)
}

fn timing(config: &Config) -> Timing {
    let millis = |duration: Duration| Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX);
    Timing {
        operation: millis(config.cluster.operation_timeout),
        read: millis(config.cluster.read_timeout),
        resend: millis(RESEND),
        lease: millis(config.cluster.lease),
    }
}

fn lease_terms(config: &Config) -> LeaseTerms {
    let millis = |duration: Duration| Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX);
    LeaseTerms {
        term: millis(config.cluster.lease),
        drift_ppm: DRIFT_PPM,
        margin: LEASE_MARGIN,
        renew_every: millis(config.cluster.heartbeat * 3 / 2),
    }
}

fn read_from(config: &Config) -> ReadFrom {
    match config.node.read_from {
        config::ReadFrom::Any => ReadFrom::Any,
        config::ReadFrom::Tail => ReadFrom::Tail,
    }
}

fn link_identity(config: &Config, ring: &Ring, me: NodeId, store: StoreId) -> handshake::Identity {
    let peers: BTreeMap<&str, SocketAddr> =
        config.cluster.nodes.iter().map(|node| (node.name.as_str(), node.peer)).collect();
    handshake::Identity {
        cluster: config.cluster.id.clone(),
        table: config.cluster_digest(),
        me,
        store,
        names: ring.names().to_vec(),
        addresses: ring.names().iter().map(|name| peers[name.as_str()]).collect(),
        switch: Switch::new(config.node.fault_injection),
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

/// Answers what has been taken, within a bound, lets the others take over, and closes the store.
async fn stop(engine: &Engine, server: &Server, control: &ControlHandle, has_left: &Notify) {
    tracing::info!("stopping");
    server.stop_taking(Stopping::Gently);
    let give_up = Instant::now() + FAREWELL;
    while server.has_clients() && Instant::now() < give_up {
        sleep(DRAIN_PAUSE).await;
    }
    server.stop_taking(Stopping::Now);
    let give_up = Instant::now() + DRAIN_TIMEOUT;
    while (engine.is_busy() || server.has_clients()) && Instant::now() < give_up {
        sleep(DRAIN_PAUSE).await;
    }
    // No read is answered from here on, so the lease is worth nothing and can be given back at once.
    engine.take(Event::Surrender);
    control.surrender();
    if timeout(LEAVE_TIMEOUT, has_left.notified()).await.is_err() {
        tracing::warn!("the others have not taken over yet");
    }
    engine.close();
    tracing::info!("stopped");
}
