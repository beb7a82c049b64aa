//! Asking servers: connections to all of them, and writing down what was asked and told.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use simpledynamo_wire::resp::Value;
use tokio::time::sleep;

use crate::call::{Answer, Call, Told, understand_error};
use crate::connection::Connection;
use crate::listing::{self, Selection};
use crate::record::{Outcome, Record, Via};
use crate::servers::Shared;

/// How long a client waits for a reply: longer than a failover takes. It does not know the outcome of what takes longer;
/// a node that hangs may do it when it wakes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// After so long without a reply a client still waits, and others keep away from the node: no failover takes longer.
const SLOW: Duration = Duration::from_secs(1);

/// The most pages of a listing: a cursor that does not end is the server's mistake.
const PAGES_MAX: usize = 10_000;

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
        let pairs = self.pairs(node, selection).await?;
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

    /// Everything that the node lists, or why it did not.
    pub(crate) async fn pairs(
        &mut self,
        node: usize,
        selection: Selection,
    ) -> Result<BTreeMap<Bytes, Bytes>, String> {
        let mut pairs = BTreeMap::new();
        let mut cursor = Bytes::from_static(b"0");
        for _ in 0..PAGES_MAX {
            let reply = match self.raw(node, &listing::request(selection, &cursor)).await? {
                Value::Error(text) => return Err(self.refused(node, &text)),
                reply => reply,
            };
            let (next, page) = listing::page(reply).map_err(|reason| self.nonsense(node, reason))?;
            for (key, value) in page {
                if pairs.insert(key.clone(), value).is_some() {
                    let key = String::from_utf8_lossy(&key);
                    return Err(self.nonsense(node, format!("{key}, which it has listed before")));
                }
            }
            if next == b"0"[..] {
                return Ok(pairs);
            }
            cursor = next;
        }
        Err(self.nonsense(node, format!("more than {PAGES_MAX} pages")))
    }

    /// A listing that was refused; some errors no server that is right gives.
    fn refused(&self, node: usize, text: &str) -> String {
        match understand_error(text) {
            Answer::Nonsense(text) => self.nonsense(node, text),
            _ => text.to_owned(),
        }
    }

    /// A listing as no server that is right gives it: noted, and returned.
    fn nonsense(&self, node: usize, what: String) -> String {
        let name = &self.shared.servers[node].name;
        self.shared.log.borrow_mut().problem(format!("{name} answered a listing with {what}"));
        what
    }
}
