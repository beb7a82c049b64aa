//! Who uses the ring, and what they were told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use simpledynamo_chain::{
    Condition, Expiry, ExpiryCondition, OpId, Operation, OperationError, Outcome, PageRequest, Part, Query,
    Reading, Reply, Version,
};
use simpledynamo_ring::{Ring, Token};
use simpledynamo_topology::PartitionId;
use simpledynamo_verify as verify;

use crate::clock::Micros;
use crate::host::Work;
use crate::knobs::Knobs;
use crate::random::Random;
use crate::world::{Happening, World};

/// Keys on which operations are made that the checker does not know: those of parts of values, and of times. The other
/// invariants hold for them too.
const OTHER: &str = "other-";
const OTHER_KEYS: usize = 2;

/// The clients, and the history of what they did.
pub(crate) struct Clients {
    keys: Vec<(Bytes, PartitionId)>,
    count: usize,
    operations: Vec<Done>,
    values: u64,
    /// Versions that were found expired.
    found_due: BTreeMap<Bytes, Version>,
    /// Writes of which the network made a second copy: what is said of a failure of theirs does not count.
    doubled: BTreeSet<OpId>,
    /// No client begins anything any more.
    pub(crate) are_stopped: bool,
}

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Write(Bytes, Operation),
    Ask(PartitionId, Query),
}

/// One operation.
struct Done {
    client: usize,
    partition: PartitionId,
    key: Bytes,
    request: Request,
    /// The machine it was sent to, and that machine's life.
    at: usize,
    invoked: Micros,
    /// How much was committed in the partition when it was called.
    committed: u64,
    outcome: Option<(Micros, Outcome)>,
    /// The process that took it died.
    is_lost: bool,
    op: Option<OpId>,
}

impl Clients {
    pub(crate) fn new(knobs: &Knobs, ring: &Ring) -> Self {
        let names = (0..knobs.keys).map(|index| format!("key-{index}"));
        let keys = names.chain((0..OTHER_KEYS).map(|index| format!("{OTHER}{index}"))).map(|name| {
            let key = Bytes::from(name);
            let partition = ring.partition_of(Token::of(&key));
            (key, PartitionId::at(partition))
        });
        Self {
            keys: keys.collect(),
            count: knobs.clients,
            operations: Vec::new(),
            values: 0,
            found_due: BTreeMap::new(),
            doubled: BTreeSet::new(),
            are_stopped: false,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn request(&self, operation: usize) -> Request {
        self.operations[operation].request.clone()
    }

    /// The question that an operation is.
    pub(crate) fn question(&self, operation: usize) -> (PartitionId, Query) {
        match &self.operations[operation].request {
            Request::Ask(partition, query) => (*partition, query.clone()),
            Request::Write(..) => unreachable!("a write is no question"),
        }
    }

    pub(crate) fn on_doubled(&mut self, id: OpId) {
        self.doubled.insert(id);
    }

    pub(crate) fn on_death(&mut self, at: usize) {
        for done in self.operations.iter_mut().filter(|done| done.at == at && done.outcome.is_none()) {
            done.is_lost = true;
        }
    }

    /// Operations that wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.operations.iter().filter(|done| done.outcome.is_none() && !done.is_lost).count()
    }

    fn draw(&mut self, random: &mut Random, reads: u64) -> (Bytes, PartitionId, Request) {
        if random.chance(100) {
            return self.draw_other(random);
        }
        let hot = random.chance(500);
        let at = if hot { 0 } else { random.index(self.keys.len() - OTHER_KEYS) };
        let (key, partition) = self.keys[at].clone();
        if random.chance(reads) {
            let query = if random.chance(80) {
                let (from, to, count) = (0, (1 << 52) - 1, 100);
                Query::Page(PageRequest { from, to, count, values: true, pattern: None })
            } else {
                Query::Get { key: key.clone(), part: Part::Value }
            };
            return (key, partition, Request::Ask(partition, query));
        }
        self.values += 1;
        let value = Bytes::from(format!("v{}", self.values));
        let set = |condition, want_old| Operation::Set {
            value: value.clone(),
            condition,
            expiry: Expiry::Clear,
            want_old,
        };
        let guess = Bytes::from(format!("v{}", self.values - random.below(self.values.min(4))));
        // Every third key is a counter.
        let operation = if at % 3 == 2 {
            match random.below(10) {
                0 => Operation::Delete { condition: Condition::Always, want_old: true },
                _ => Operation::Increment(1),
            }
        } else {
            match random.below(12) {
                0 | 1 => set(Condition::Absent, false),
                2 => set(Condition::Present, true),
                3 => set(Condition::Equals(guess), false),
                4 | 5 => Operation::Delete { condition: Condition::Always, want_old: false },
                6 => Operation::Delete { condition: Condition::Always, want_old: true },
                _ => set(Condition::Always, false),
            }
        };
        (key.clone(), partition, Request::Write(key, operation))
    }

    fn draw_other(&mut self, random: &mut Random) -> (Bytes, PartitionId, Request) {
        let (key, partition) = self.keys[self.keys.len() - 1 - random.index(OTHER_KEYS)].clone();
        self.values += 1;
        let value = Bytes::from(format!("{}.5", self.values));
        let expiry = *random.pick(&[Expiry::In(50), Expiry::In(400), Expiry::Clear, Expiry::Keep]);
        let version = self.found_due.get(&key).copied();
        let operation = match random.below(6) {
            0 | 1 => Operation::Set { value, condition: Condition::Always, expiry, want_old: false },
            2 => Operation::Expire { expiry, condition: ExpiryCondition::Always, want_value: true },
            3 => Operation::Append(Bytes::from_static(b"1")),
            4 => Operation::IncrementFloat(Bytes::from_static(b"0.5")),
            _ => match version {
                Some(version) => Operation::Lapse { version },
                None => {
                    let query = Query::Get { key: key.clone(), part: Part::Value };
                    return (key, partition, Request::Ask(partition, query));
                }
            },
        };
        (key.clone(), partition, Request::Write(key, operation))
    }

    /// The history, as the checker reads it.
    pub(crate) fn history(&self) -> verify::History {
        let mut history = verify::History::new();
        for done in &self.operations {
            if let Some((operation, outcome)) = self.event(done, &mut history) {
                let client = u32::try_from(done.client).expect("few clients");
                let event = verify::Event { client, operation, invoked: done.invoked, outcome };
                history.push(&done.key, event).expect("true time does not go back");
            }
        }
        history
    }

    fn event(
        &self,
        done: &Done,
        history: &mut verify::History,
    ) -> Option<(verify::Operation, verify::Outcome)> {
        if done.key.starts_with(OTHER.as_bytes()) {
            return None;
        }
        let operation = match &done.request {
            Request::Ask(_, Query::Get { .. }) => verify::Operation::Read,
            Request::Ask(..) => return None,
            Request::Write(_, operation) => translate(operation, history),
        };
        // A write that was not sent before its node's session changed goes out under the next one.
        let is_doubled = done.op.is_some_and(|id| {
            let is_same = |other: &&OpId| other.node == id.node && other.counter == id.counter;
            self.doubled.iter().any(|other| is_same(&other) && other.session >= id.session)
        });
        let outcome = match &done.outcome {
            None | Some((_, Outcome::Unknown)) => verify::Outcome::Unknown,
            Some((_, Outcome::Unavailable(_))) if is_doubled => verify::Outcome::Unknown,
            Some((returned, Outcome::Unavailable(_))) => verify::Outcome::Failed { returned: *returned },
            Some((returned, Outcome::Written { reply, .. })) => {
                verify::Outcome::Known { reply: told(reply, history), returned: *returned }
            }
            Some((returned, Outcome::Read(reading))) => {
                let state = match reading {
                    Reading::Absent => None,
                    Reading::Present { bytes, .. } => Some(history.value(bytes)),
                    _ => unreachable!("a key was asked for"),
                };
                verify::Outcome::Known { reply: verify::Reply::Value(state), returned: *returned }
            }
        };
        Some((operation, outcome))
    }
}

fn translate(operation: &Operation, history: &mut verify::History) -> verify::Operation {
    let mut condition = |condition: &Condition| match condition {
        Condition::Always => verify::Condition::Always,
        Condition::Absent => verify::Condition::Absent,
        Condition::Present => verify::Condition::Present,
        Condition::Equals(value) => verify::Condition::Equals(history.value(value)),
    };
    match operation {
        Operation::Set { value, condition: when, want_old, .. } => {
            let condition = condition(when);
            verify::Operation::Set { value: history.value(value), condition, want_old: *want_old }
        }
        Operation::Delete { condition: when, want_old } => {
            verify::Operation::Delete { condition: condition(when), want_old: *want_old }
        }
        Operation::Increment(by) => verify::Operation::Increment(*by),
        _ => unreachable!("no client asks for that"),
    }
}

fn told(reply: &Reply, history: &mut verify::History) -> verify::Reply {
    match reply {
        Reply::Done => verify::Reply::Done,
        Reply::Refused => verify::Reply::Refused,
        Reply::Integer(sum) => verify::Reply::Integer(*sum),
        Reply::Old(old) => verify::Reply::Value(old.as_ref().map(|bytes| history.value(bytes))),
        Reply::Failed(OperationError::NotAnInteger | OperationError::Overflow) => verify::Reply::NotCountable,
        Reply::Bytes(_) | Reply::Superseded | Reply::Failed(_) => unreachable!("no client asks for that"),
    }
}

impl World {
    /// A client calls its next operation, at whatever node it reaches.
    pub(crate) fn on_client(&mut self, client: usize) {
        if self.clients.are_stopped {
            return;
        }
        let wait = self.random.between(1, 2 * self.knobs.think);
        self.after(wait, Happening::Client(client));
        let (key, partition, request) = self.clients.draw(&mut self.random, self.knobs.reads);
        let at = self.random.index(self.hosts.len());
        self.call(client, at, key, partition, request);
    }

    fn call(&mut self, client: usize, at: usize, key: Bytes, partition: PartitionId, request: Request) {
        if self.hosts[at].process.is_none() {
            return;
        }
        let committed = self.judge.committed(partition).len() as u64;
        let (invoked, operation) = (self.now, self.clients.operations.len());
        let (outcome, is_lost, op) = (None, false, None);
        let done = Done { client, partition, key, request, at, invoked, committed, outcome, is_lost, op };
        self.clients.operations.push(done);
        let wait = self.random.between(10, 500);
        self.give(wait, at, Work::Request(operation));
    }

    /// Asks for every key at some node, so that the last state is in the history too.
    pub(crate) fn ask_for_all(&mut self) {
        for index in 0..self.clients.key_count() {
            let (key, partition) = self.clients.keys[index].clone();
            let query = Query::Get { key: key.clone(), part: Part::Value };
            let at = *self.random.pick(&self.addresses);
            self.call(self.clients.count, at, key, partition, Request::Ask(partition, query));
        }
    }

    /// An operation is answered.
    pub(crate) fn finish(&mut self, operation: usize, outcome: Outcome) {
        let done = &mut self.clients.operations[operation];
        let host = &self.hosts[done.at];
        if done.is_lost {
            return;
        }
        self.trace.say(self.now, || {
            format!("client {}: {:?} at machine {}: {outcome:?}", done.client, done.request, done.at)
        });
        let partition = done.partition;
        if let Outcome::Written { version, reply } = &outcome {
            self.judge.on_answered(partition, *version, reply);
        }
        if let (Outcome::Read(reading), Request::Ask(_, query)) = (&outcome, &done.request) {
            if let Reading::Present { version, due: true, .. } = reading {
                self.clients.found_due.insert(done.key.clone(), *version);
            }
            self.judge.on_read(partition, query, reading, done.committed, &self.clients.keys);
        }
        // The number of the request was the counter of the op id.
        if let Some(process) = &host.process
            && let Request::Write(..) = done.request
        {
            done.op = process.ops.get(&operation).copied();
        }
        done.outcome = Some((self.now, outcome));
    }

    /// How often each outcome was met.
    pub(crate) fn tally(&self) -> BTreeMap<&'static str, usize> {
        let mut tally = BTreeMap::new();
        for done in &self.clients.operations {
            let name = match &done.outcome {
                None => "lost",
                Some((_, Outcome::Unknown)) => "unknown",
                Some((_, Outcome::Unavailable(_))) => "unavailable",
                Some((_, Outcome::Written { .. })) => "written",
                Some((_, Outcome::Read(_))) => "read",
            };
            *tally.entry(name).or_default() += 1;
        }
        tally
    }
}
