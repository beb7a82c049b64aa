//! The clients' port.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{Protocol, RequestLimits, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::clients::client::Client;
use crate::clients::connection::Connection;
use crate::clients::counters::Counters;
use crate::clients::execute;
use crate::clients::facts::{Facts, KEY_BYTES_MAX};
use crate::clients::fault;
use crate::clients::state::{ClientState, kill_reply, list_reply};
use crate::clients::walk;
use crate::clock;
use crate::commands::{
    CommandLimits, Context, FaultCommand, Keyspace, KillFilter, ListFilter, RingPlan, render_info,
};
use crate::config::Config;
use crate::core::engine::Engine;
use crate::peers::switch::Switch;
use crate::socket;

/// Arguments of one request: keys of an `MSET` or `DEL`. Their bookkeeping is larger than they are.
const ARGUMENTS_MAX: usize = 65_536;

/// Bytes of one request that names many keys. A single value may be longer, where the configuration allows it.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Bytes of half-read requests, over all clients. The client that would exceed it is cut off: if all waited
/// for one another, none would ever be finished.
const INPUT_BYTES_MAX: usize = 256 << 20;

/// How long a client may leave replies unread before it is cut off.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(60);

/// From the longest value to the longest argument that is read at all.
const BULK_SLACK: usize = 64 << 10;

/// How often idle and slow clients are looked for.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// What all connections share.
pub(crate) struct Server {
    pub(crate) engine: Rc<Engine>,
    pub(crate) counters: Counters,
    pub(crate) facts: Facts,
    switch: Switch,
    clients: RefCell<BTreeMap<u64, Rc<Client>>>,
    last_id: Cell<u64>,
    max_value: usize,
    /// How long a request may stay half sent.
    partial_timeout: Option<Duration>,
    /// Bytes of replies that clients have not taken.
    held_replies: Rc<Cell<usize>>,
    /// Bytes of half-read requests.
    input_held: Cell<usize>,
    stopping: Cell<Stopping>,
}

/// How far the node has come with its stop, as clients notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// It is not stopping.
    No,
    /// A client is sent away together with its next reply.
    Gently,
    /// No more requests are taken.
    Now,
}

impl Server {
    pub(crate) fn new(engine: Rc<Engine>, config: &Config, max_clients: usize, switch: Switch) -> Rc<Self> {
        Rc::new(Self {
            facts: Facts::new(config, max_clients),
            switch,
            engine,
            counters: Counters::new(),
            clients: RefCell::default(),
            last_id: Cell::new(0),
            max_value: config.cluster.max_value,
            partial_timeout: config.node.idle_timeout,
            held_replies: Rc::default(),
            input_held: Cell::new(0),
            stopping: Cell::new(Stopping::No),
        })
    }
}

impl Server {
    /// Accepts clients, for as long as the node runs.
    pub(crate) async fn accept(self: Rc<Self>, listener: TcpListener) {
        loop {
            let (stream, peer) = socket::accept(&listener).await;
            if self.clients.borrow().len() >= self.facts.max_clients() {
                self.counters.rejected_connections.add(1);
                turn_away(&stream);
                continue;
            }
            self.counters.connections.add(1);
            match self.admit(&stream, peer) {
                Ok(client) => drop(spawn_local(Rc::clone(&self).serve(client, stream))),
                Err(error) => tracing::debug!("a client at {peer} was gone at once: {error}"),
            }
        }
    }

    fn admit(&self, stream: &TcpStream, peer: SocketAddr) -> io::Result<Rc<Client>> {
        socket::tune(stream)?;
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let needs_password = self.facts.needs_password();
        let local = stream.local_addr()?;
        let state =
            ClientState::new(id, peer, local, stream.as_raw_fd(), needs_password, clock::unix_millis());
        let client = Client::new(state, Rc::clone(&self.held_replies));
        self.clients.borrow_mut().insert(id, Rc::clone(&client));
        Ok(client)
    }

    async fn serve(self: Rc<Self>, client: Rc<Client>, stream: TcpStream) {
        let id = client.state.borrow().id();
        if let Err(error) = Connection::new(Rc::clone(&self), client).run(stream).await {
            tracing::debug!("client {id}: {error}");
        }
        self.clients.borrow_mut().remove(&id);
    }

    /// Cuts off clients that leave their replies unread, a request half sent, or themselves idle for too long.
    pub(crate) async fn watch(self: Rc<Self>) {
        loop {
            sleep(WATCH_INTERVAL).await;
            self.facts.tick(self.counters.commands.get());
            let idle_timeout = self.facts.idle_timeout();
            let now = clock::unix_millis();
            for client in self.clients.borrow().values() {
                let longer_than = |since: Option<Instant>, limit: Option<Duration>| matches!((since, limit), (Some(since), Some(limit)) if since.elapsed() > limit);
                let state = client.state.borrow();
                let idle = Duration::from_millis(now.saturating_sub(state.last_active()));
                let reason = if longer_than(client.unread_since(), Some(UNREAD_TIMEOUT)) {
                    "it does not read its replies"
                } else if longer_than(client.partial_since(), self.partial_timeout) {
                    "it left a request half sent"
                } else if idle_timeout.is_some_and(|limit| idle > limit) && client.is_idle() {
                    "it was idle for too long"
                } else {
                    continue;
                };
                tracing::info!("cut off client {}: {reason}", state.id());
                client.kill();
            }
        }
    }

    /// The connections that a filter lets through, as `CLIENT LIST` shows them.
    pub(crate) fn list(&self, filter: &ListFilter) -> Value {
        let clients = self.clients.borrow();
        let states: Vec<_> = clients.values().map(|client| client.state.borrow()).collect();
        list_reply(states.iter().map(|state| &**state), filter, clock::unix_millis())
    }

    /// Ends the connections that a filter names.
    pub(crate) fn kill(&self, filter: &KillFilter, asker: u64) -> Value {
        let now = clock::unix_millis();
        let clients = self.clients.borrow();
        let meant = clients.values().filter(|client| client.state.borrow().is_killed_by(filter, asker, now));
        let killed = meant.map(|client| client.kill()).count();
        kill_reply(filter, killed)
    }

    /// What a client may send.
    pub(crate) fn request_limits(&self, client: &ClientState) -> RequestLimits {
        if !client.is_authenticated() {
            return RequestLimits::unauthenticated();
        }
        // A value that is a little too long is refused by its command, not by the end of the connection.
        let max_bulk = self.max_value.max(KEY_BYTES_MAX) + BULK_SLACK;
        RequestLimits {
            max_arguments: ARGUMENTS_MAX,
            max_bulk,
            max_request: REQUEST_BYTES_MAX.max(2 * max_bulk),
            ..RequestLimits::default()
        }
    }

    /// What parsing depends on, as of the last look at the clock.
    pub(crate) fn context(&self) -> Context {
        let limits = CommandLimits { max_key: KEY_BYTES_MAX, max_value: self.max_value };
        Context { now: self.engine.now().unix, limits, fault_injection: self.switch.is_there() }
    }

    /// Brings a fault about, or ends it.
    pub(crate) fn inject(&self, fault: &FaultCommand) -> Value {
        let done = self.engine.look(|node| fault::inject(fault, node, &self.switch));
        done.map_or_else(Value::from, |()| Value::OK)
    }

    /// Counts the bytes of a half-read request; false if all of them together are too many.
    pub(crate) fn hold_input(&self, before: usize, after: usize) -> bool {
        self.input_held.set(self.input_held.get() - before + after);
        after <= before || self.input_held.get() <= INPUT_BYTES_MAX
    }

    /// A half-read request is gone.
    pub(crate) fn release_input(&self, bytes: usize) {
        self.input_held.set(self.input_held.get() - bytes);
    }

    /// Does what concerns many keys of the ring, or tells about it.
    pub(crate) async fn ring(&self, plan: RingPlan) -> Value {
        match plan {
            RingPlan::Info(sections) => {
                let counts =
                    if sections.needs_keyspace() { walk::count(&self.engine).await.ok() } else { None };
                let keyspace = counts.map(|counts| Keyspace { keys: counts.keys, expiring: counts.expiring });
                let figures =
                    self.facts.figures(&self.engine, &self.counters, self.clients.borrow().len(), keyspace);
                render_info(sections, &figures)
            }
            RingPlan::Describe => self.facts.describe(&self.engine),
            plan => execute::ring(&self.engine, plan).await,
        }
    }

    /// Sends clients away: at first each together with its next reply, then all that wait for nothing, and the others
    /// after their answers.
    pub(crate) fn stop_taking(&self, stopping: Stopping) {
        self.stopping.set(stopping);
        for client in self.clients.borrow().values() {
            client.nudge();
        }
    }

    /// How far the node has come with its stop.
    pub(crate) fn stopping(&self) -> Stopping {
        self.stopping.get()
    }

    /// Whether clients are connected that have not been answered yet.
    pub(crate) fn has_clients(&self) -> bool {
        !self.clients.borrow().is_empty()
    }
}

/// Says why to a client that finds no place, if it can be said without waiting.
fn turn_away(stream: &TcpStream) {
    let mut out = OutBuffer::new();
    Value::Error("ERR max number of clients reached".into()).encode(Protocol::Resp2, &mut out);
    // The client will see the end of the connection in any case.
    let _ = socket::write_from(&mut out, |slices| stream.try_write_vectored(slices));
}
