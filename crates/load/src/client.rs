//! A client's rounds, over any protocol.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::tally::Tally;
use crate::workload::{Operation, Source};

/// How long a server may take to accept a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a round of the pipeline may take: longer than a node takes to give an operation up.
const ROUND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client waits before it connects again: a dead node must not cost the machine its time.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// What a server said to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It was done.
    Done,
    /// The key is not there.
    Missing,
    /// It was refused; the first word names the kind of error.
    Error(&'a [u8]),
}

/// How to speak to a kind of server.
pub trait Protocol {
    /// A connection to one of them.
    type Connection: Connection;

    /// Connects to `server`, a host and a port, within [`CONNECT_TIMEOUT`]. `client` is the number of the client.
    ///
    /// # Errors
    /// When the server is not there, or refuses this client.
    fn connect(&self, server: &str, client: u32) -> impl Future<Output = io::Result<Self::Connection>>;
}

/// A connection that carries rounds of operations.
pub trait Connection {
    /// Sends all operations of the round and tells it of every answer, once.
    ///
    /// # Errors
    /// When the connection broke, or what came was no answer: it is not used any further.
    fn exchange(&mut self, round: &mut Round<'_>) -> impl Future<Output = io::Result<()>>;
}

/// Operations that were sent together, and what became of them.
#[derive(Debug)]
pub struct Round<'a> {
    operations: &'a [Operation],
    sent_at: Instant,
    answered: usize,
    tally: &'a RefCell<Tally>,
}

impl Round<'_> {
    /// What is to be sent, in this order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        self.operations
    }

    /// How many have been answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// The operation at that place of the round got this answer, which arrived at `now`.
    pub fn answer(&mut self, place: usize, answer: Answer<'_>, now: Instant) {
        self.answered += 1;
        self.tally.borrow_mut().count(self.operations[place], answer, now, now - self.sent_at);
    }
}

/// Operations that a failed connection left without an answer.
struct Lost {
    kind: String,
    operations: u64,
}

/// Many clients of the same servers.
#[derive(Debug)]
pub struct Clients<P> {
    /// The servers, each a host and a port. Clients are spread over them in turn; at least one.
    pub servers: Vec<String>,
    /// How to speak to them.
    pub protocol: P,
    /// How many clients.
    pub count: u32,
    /// Operations that a client sends before it waits for their answers; at least 1.
    pub pipeline: usize,
}

impl<P: Protocol + 'static> Clients<P> {
    /// Starts all clients, and returns when all have ended. `source` gives each its operations by its number, from
    /// 0. If this is dropped before its end, the clients end with the [`tokio::task::LocalSet`] that it runs in.
    ///
    /// # Panics
    /// Outside of a `LocalSet`.
    pub async fn run<S: Source + 'static>(self, tally: &Rc<RefCell<Tally>>, source: impl Fn(u32) -> S) {
        let count = self.count;
        let clients = Rc::new(self);
        let tasks: Vec<JoinHandle<()>> = (0..count)
            .map(|number| {
                tokio::task::spawn_local(drive(clients.clone(), number, source(number), tally.clone()))
            })
            .collect();
        for task in tasks {
            task.await.expect("a client neither panics nor is aborted");
        }
    }
}

/// Sends rounds of operations until the source ends. A connection that fails is counted, and another server tried.
async fn drive<P: Protocol>(
    clients: Rc<Clients<P>>,
    number: u32,
    mut source: impl Source,
    tally: Rc<RefCell<Tally>>,
) {
    let mut attempt = number as usize;
    loop {
        let server = &clients.servers[attempt % clients.servers.len()];
        let lost = match clients.protocol.connect(server, number).await {
            Ok(mut connection) => {
                match rounds(&mut connection, clients.pipeline, &mut source, &tally).await {
                    Ok(()) => return,
                    Err(lost) => lost,
                }
            }
            Err(error) => Lost { kind: describe("cannot connect", &error), operations: 1 },
        };
        tally.borrow_mut().error(&lost.kind, lost.operations);
        if !source.goes_on() {
            return;
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
        attempt += 1;
    }
}

fn describe(what: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut {
        format!("{what}: timeout")
    } else {
        format!("{what}: {error}")
    }
}

async fn rounds(
    connection: &mut impl Connection,
    pipeline: usize,
    source: &mut impl Source,
    tally: &RefCell<Tally>,
) -> Result<(), Lost> {
    let mut operations = Vec::with_capacity(pipeline);
    // One timer for all rounds: to set and clear one for each would take processor time from what is measured.
    let mut overdue = pin!(tokio::time::sleep(ROUND_TIMEOUT));
    loop {
        operations.clear();
        source.fill(pipeline, &mut operations);
        if operations.is_empty() {
            return Ok(());
        }
        let sent_at = Instant::now();
        let mut round = Round { operations: &operations, sent_at, answered: 0, tally };
        let lost = {
            let mut exchange = pin!(connection.exchange(&mut round));
            loop {
                tokio::select! {
                    biased;
                    exchanged = &mut exchange => {
                        break exchanged.err().map(|error| describe("connection lost", &error));
                    }
                    () = &mut overdue => {}
                }
                if sent_at.elapsed() >= ROUND_TIMEOUT {
                    break Some("no answer".to_owned());
                }
                overdue.as_mut().reset((sent_at + ROUND_TIMEOUT).into());
            }
        };
        let unanswered = (operations.len() - round.answered) as u64;
        source.settle(&operations);
        if let Some(kind) = lost {
            return Err(Lost { kind, operations: unanswered });
        }
    }
}
