//! The obligation to answer one request.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use simpledynamo_chain::{Outcome, Query, Reading};
use simpledynamo_wire::resp::Value;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::clients::client::Client;
use crate::clients::server::Server;
use crate::clients::walk;
use crate::commands::{CommandId, KeyStep, read_outcome_reply, write_outcome_reply};
use crate::core::engine::Answer;

/// How often a read that was put off looks whether its turn has come.
const TURN_PAUSE: Duration = Duration::from_millis(10);

/// The obligation to answer one request, in its place among the client's replies.
pub(crate) struct Ticket {
    server: Rc<Server>,
    client: Rc<Client>,
    command: Option<CommandId>,
    is_silent: bool,
    began: Instant,
}

impl Ticket {
    pub(crate) fn new(
        server: &Rc<Server>,
        client: &Rc<Client>,
        command: Option<CommandId>,
        is_silent: bool,
    ) -> Self {
        Self {
            server: Rc::clone(server),
            client: Rc::clone(client),
            command,
            is_silent,
            began: server.counters.clock(),
        }
    }

    /// Answers a request for which nothing had to be done: an error before all else.
    pub(crate) fn answer_unrun(self, value: Value) {
        match self.command {
            Some(command) if matches!(value, Value::Error(_)) => self.server.counters.rejected(command),
            _ => self.count(&value),
        }
        self.client.reply(value, self.is_silent);
    }

    /// Answers a request that is answered at once.
    pub(crate) fn answer_now(self, value: Value) {
        self.count(&value);
        self.client.reply(value, self.is_silent);
    }

    /// Leaves a request without an answer, as the client asked for.
    pub(crate) fn leave_unanswered(self) {
        self.count(&Value::Null);
    }

    fn answer(&self, slot: u64, value: Value) {
        self.count(&value);
        self.client.answer(slot, value);
    }

    fn count(&self, value: &Value) {
        if let Some(command) = self.command {
            let has_failed = matches!(value, Value::Error(_));
            self.server.counters.called(command, self.began, has_failed);
        }
    }

    /// Runs a request that takes several steps; those after it wait.
    pub(crate) fn run(self, work: impl Future<Output = Value> + 'static) {
        let slot = self.client.reserve(self.is_silent);
        self.client.set_walking(true);
        spawn_local(async move {
            let value = work.await;
            self.client.set_walking(false);
            self.answer(slot, value);
        });
    }

    /// Runs a request on one key.
    pub(crate) fn run_step(self, step: KeyStep) {
        match step {
            KeyStep::Write { key, operation, shape } => {
                let slot = self.client.reserve(self.is_silent);
                self.client.begin(&key, true);
                let engine = Rc::clone(&self.server.engine);
                engine.write(key.clone(), operation, move |outcome| {
                    self.client.end(&key);
                    self.answer(slot, write_outcome_reply(shape, outcome));
                });
            }
            read => self.run_read(read),
        }
    }

    fn run_read(self, step: KeyStep) {
        let KeyStep::Read { key, part, .. } = &step else { unreachable!("writes are run elsewhere") };
        let engine = Rc::clone(&self.server.engine);
        let (slot, request) = match engine.read(Query::Get { key: key.clone(), part: *part }) {
            Answer::Now(reading) if !is_due(&reading) => {
                let value = self.tell(&step, Outcome::Read(reading));
                return self.answer_now(value);
            }
            Answer::Now(reading) => {
                self.client.begin(key, false);
                let slot = self.client.reserve(self.is_silent);
                return self.settle(slot, step, Outcome::Read(reading));
            }
            Answer::Later(request) => {
                self.client.begin(key, false);
                (self.client.reserve(self.is_silent), request)
            }
        };
        engine.on_answer(request, move |outcome| match &outcome {
            Outcome::Read(reading) if is_due(reading) => self.settle(slot, step, outcome),
            _ => self.finish(slot, step, outcome),
        });
    }

    /// Has the head check a record that looks expired before anything is told about it.
    fn settle(self, slot: u64, step: KeyStep, outcome: Outcome) {
        spawn_local(async move {
            let KeyStep::Read { key, part, .. } = &step else {
                unreachable!("only a read meets such a record")
            };
            let settled = walk::settle_reading(&self.server.engine, key.clone(), *part, outcome).await;
            self.finish(slot, step, settled.map_or_else(|failed| failed, Outcome::Read));
        });
    }

    fn finish(self, slot: u64, step: KeyStep, outcome: Outcome) {
        match &outcome {
            Outcome::Read(Reading::Present { bytes, .. }) if !self.client.takes(slot, bytes.len()) => {
                drop(outcome);
                self.read_again_in_turn(slot, step);
            }
            _ => self.conclude(slot, &step, outcome),
        }
    }

    /// Lets go of what was read, since clients leave too much unread, and reads it again once it is the next
    /// reply that this client is owed. A read can be repeated; and of each client one reply always finds room, or
    /// nothing would ever be taken again.
    fn read_again_in_turn(self, slot: u64, step: KeyStep) {
        spawn_local(async move {
            while !self.client.is_next(slot) {
                if self.client.is_gone() {
                    return;
                }
                sleep(TURN_PAUSE).await;
            }
            let KeyStep::Read { key, part, .. } = &step else { unreachable!("writes are not repeated") };
            let settled = walk::read(&self.server.engine, key.clone(), *part).await;
            self.conclude(slot, &step, settled.map_or_else(|failed| failed, Outcome::Read));
        });
    }

    fn conclude(&self, slot: u64, step: &KeyStep, outcome: Outcome) {
        let KeyStep::Read { key, .. } = step else { unreachable!("writes finish elsewhere") };
        self.client.end(key);
        let value = self.tell(step, outcome);
        self.answer(slot, value);
    }

    fn tell(&self, step: &KeyStep, outcome: Outcome) -> Value {
        let KeyStep::Read { key, shape, .. } = step else { unreachable!("writes are told elsewhere") };
        self.server.counters.read(&outcome);
        read_outcome_reply(*shape, key, outcome, self.server.engine.now().unix)
    }
}

fn is_due(reading: &Reading) -> bool {
    matches!(reading, Reading::Present { due: true, .. })
}
