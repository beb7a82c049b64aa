//! One client: it works through its sequence, asks some node, and writes down what it was told.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use simpledynamo_wire::resp::Value;
use tokio::time::sleep;

use crate::call::{Answer, Call, Kind, Told};
use crate::connection::Connection;
use crate::listing::{self, Selection};
use crate::record::{Outcome, Record, Via};
use crate::servers::Shared;
use crate::workload::{Sequence, Step, Values, What, Workload};

/// How long a client waits for a reply: longer than a failover takes. It does not know the outcome of what takes longer;
/// a node that hangs may do it when it wakes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// After so long without a reply a client still waits, and others keep away from the node: no failover takes longer.
const SLOW: Duration = Duration::from_secs(1);

/// How long it rests when it can reach no node at all.
const NOBODY_PAUSE: Duration = Duration::from_millis(20);

/// Connections to all servers, and the name under which is written down what is asked.
pub(crate) struct Asker {
    shared: Rc<Shared>,
    client: u32,
    phase: u8,
    connections: Vec<Option<Connection>>,
}

impl Asker {
    pub(crate) fn new(shared: &Rc<Shared>, client: u32, phase: u8) -> Self {
        let connections = shared.servers.iter().map(|_| None).collect();
        Self { shared: Rc::clone(shared), client, phase, connections }
    }

    /// Whether a connection to the node is there or can be had.
    pub(crate) async fn reach(&mut self, node: usize) -> bool {
        // What is asked on a connection that is known to have ended would be of unknown outcome for nothing.
        if self.connections[node].as_ref().is_some_and(|connection| !connection.is_closed()) {
            return true;
        }
        self.connections[node] = None;
        let server = &self.shared.servers[node];
        match Connection::open(&server.address, self.shared.password.as_ref()).await {
            Ok(connection) => self.connections[node] = Some(connection),
            Err(_) => self.shared.avoid(node),
        }
        self.connections[node].is_some()
    }

    /// Asks a node, which was reached before.
    pub(crate) async fn raw(&mut self, node: usize, request: &[u8]) -> Result<Value, String> {
        // Whoever gives up while this waits leaves no half-read connection behind.
        let mut connection = self.connections[node].take().ok_or("there is no connection")?;
        let reply = {
            let asking = connection.ask(request, PATIENCE);
            tokio::pin!(asking);
            tokio::select! {
                reply = &mut asking => reply,
                () = sleep(SLOW) => {
                    self.shared.avoid(node);
                    asking.await
                }
            }
        };
        match reply {
            Ok(_) => self.connections[node] = Some(connection),
            Err(_) => self.shared.avoid(node),
        }
        reply
    }

    /// Asks a node, which was reached before, for one key, and writes it down. Returns what was told.
    pub(crate) async fn ask(&mut self, node: usize, key: &Bytes, call: Call) -> Option<Told> {
        let request = call.request(key);
        let clock = self.shared.clock;
        let invoked = clock.now();
        let reply = self.raw(node, &request).await;
        let returned = clock.now();
        let outcome = match reply.map(|reply| call.understand(reply)) {
            Ok(Answer::Told(told)) => Outcome::Answered { told, returned },
            Ok(Answer::Failed(error)) => Outcome::Failed { error, returned },
            Ok(Answer::Unknown(error)) | Err(error) => Outcome::Unknown { error, gave_up: returned },
            Ok(Answer::Nonsense(error)) => {
                let name = &self.shared.servers[node].name;
                let problem = format!("{name} answered {} with {error}", call.kind());
                self.shared.log.borrow_mut().problem(problem);
                Outcome::Unknown { error, gave_up: returned }
            }
        };
        let told = match &outcome {
            Outcome::Answered { told, .. } => Some(told.clone()),
            // A replica that takes no writes is still to be read from.
            Outcome::Failed { error, .. } if error.starts_with("READONLY") => None,
            Outcome::Failed { .. } | Outcome::Unknown { .. } => {
                // Another node may be able to do it.
                self.shared.avoid(node);
                None
            }
        };
        self.write_down(node, key.clone(), call, Via::Key, invoked, outcome);
        told
    }

    fn write_down(&self, node: usize, key: Bytes, call: Call, via: Via, invoked: u64, outcome: Outcome) {
        if matches!(outcome, Outcome::Answered { .. }) {
            self.shared.answered.set(self.shared.answered.get() + 1);
        }
        let node = self.shared.servers[node].name.clone();
        let (client, phase) = (self.client, self.phase);
        let record = Record { phase, client, node, key, call, via, invoked, outcome };
        self.shared.log.borrow_mut().push(record);
    }

    /// Lists what the node stores, or everything, and writes down what that says of these keys. Why not, if it was not
    /// answered.
    pub(crate) async fn list(
        &mut self,
        node: usize,
        selection: Selection,
        keys: impl IntoIterator<Item = &Bytes>,
    ) -> Result<(), String> {
        let clock = self.shared.clock;
        let invoked = clock.now();
        let pairs = listing::all(self, node, selection).await?;
        let returned = clock.now();
        let shared = Rc::clone(&self.shared);
        let name = &shared.servers[node].name;
        for key in keys {
            let is_kept = match selection {
                Selection::Ring => true,
                Selection::Node => listing::keeps(&shared, name, key),
            };
            let found = pairs.get(key).cloned();
            if !is_kept {
                if found.is_some() {
                    let key = String::from_utf8_lossy(key);
                    shared.log.borrow_mut().problem(format!("{name} stores {key}, which is not its"));
                }
                continue;
            }
            let told = found.map_or(Told::Nothing, Told::Value);
            let outcome = Outcome::Answered { told, returned };
            self.write_down(node, key.clone(), Call::Get, selection.via(), invoked, outcome);
        }
        Ok(())
    }
}

/// Works through a sequence until it is over.
pub(crate) async fn work(
    shared: Rc<Shared>,
    workload: Rc<Workload>,
    client: u32,
    mut sequence: Sequence,
    is_over: Rc<Cell<bool>>,
) {
    let mut asker = Asker::new(&shared, client, workload.phase);
    let mut values = Values::new(workload.phase, client);
    let mut home = client as usize % shared.servers.len();
    while !is_over.get() && !shared.log.borrow().is_full() {
        let Step { what, node, second_look, pause_micros } = sequence.next();
        home = node.unwrap_or(home);
        let node = shared.near(home);
        if !asker.reach(node).await {
            sleep(NOBODY_PAUSE).await;
            continue;
        }
        match what {
            What::ListNode => drop(asker.list(node, Selection::Node, workload.names()).await),
            What::ListRing => drop(asker.list(node, Selection::Ring, workload.names()).await),
            What::Operation(kind, key) => {
                let (call, name) = (values.call(kind, key), &workload.keys[key].name);
                let told = asker.ask(node, name, call.clone()).await;
                remember(&mut values, key, call, told);
                if let Some(further) = second_look {
                    let other = shared.near((node + further) % shared.servers.len());
                    if asker.reach(other).await {
                        asker.ask(other, name, Call::Get).await;
                    }
                }
            }
        }
        sleep(Duration::from_micros(pause_micros)).await;
    }
}

/// What the key held, as far as this operation tells.
fn remember(values: &mut Values, key: usize, call: Call, told: Option<Told>) {
    match (call, told) {
        (Call::Get, Some(Told::Value(value)))
        | (
            Call::Set(value) | Call::SetNx(value) | Call::SetXx(value) | Call::SetIfeq { value, .. },
            Some(Told::Ok),
        ) => values.saw(key, value),
        _ => {}
    }
}

/// Which of the commands that this program uses a server knows, judged by asking it about a key that is not there.
pub(crate) async fn known_kinds(connection: &mut Connection, key: &Bytes) -> Result<Vec<Kind>, String> {
    let mut known = Vec::new();
    let nothing = || Bytes::from_static(b"nothing");
    let calls = [
        Call::Get,
        Call::Set(nothing()),
        Call::Del,
        Call::SetXx(nothing()),
        Call::SetIfeq { value: nothing(), expected: nothing() },
        Call::SetNx(nothing()),
        Call::Delifeq(nothing()),
        Call::Getdel,
        Call::Incr,
    ];
    for call in calls {
        match call.understand(connection.ask(&call.request(key), PATIENCE).await?) {
            Answer::Told(_) => known.push(call.kind()),
            Answer::Failed(error) | Answer::Unknown(error) => return Err(error),
            Answer::Nonsense(error) if error.starts_with("ERR") => {}
            Answer::Nonsense(error) => return Err(error),
        }
    }
    connection.ask(&Call::Del.request(key), PATIENCE).await?;
    Ok(known)
}
