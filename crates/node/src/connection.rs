//! One client's connection: requests in, replies out, in order.
//!
//! A pipeline is decoded and dispatched whole: requests on different keys are in flight together. A request
//! on a key that an earlier one of the same connection still works on waits for that one, so that a client
//! sees its own commands take effect in the order in which it sent them. Commands that speak of many keys wait
//! for everything before them, and everything after waits for them.
//!
//! What a client can make this node hold is bounded: by the limits of the decoder, by
//! [`REQUESTS_MAX`], and by [`OUTPUT_PAUSE_BYTES`], at which its requests rest until it has read its replies.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{RequestDecoder, Value};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::client_state::{Admitted, ClientState, ServerAnswer};
use crate::commands::{CommandId, KeyStep, Plan, ServerCommand};
use crate::execute;
use crate::server::Server;
use crate::socket;
use crate::ticket::Ticket;

/// Requests of one connection that may be unanswered: far more than a client gains by pipelining, few enough
/// that their bookkeeping stays small.
const REQUESTS_MAX: usize = 1_024;

/// Bytes of unread replies at which a client's further requests rest.
const OUTPUT_PAUSE_BYTES: usize = 1 << 20;

/// Room for what one read brings, at first and at most: a client that sends little costs little.
const READ_BYTES_MIN: usize = 2 << 10;
/// See [`READ_BYTES_MIN`].
const READ_BYTES_MAX: usize = 64 << 10;

/// One client, as the rest of the server sees it.
pub(crate) struct Client {
    pub(crate) state: RefCell<ClientState>,
    replies: RefCell<Replies>,
    /// Keys that unanswered requests work on, and how.
    busy_keys: RefCell<HashMap<Bytes, Use>>,
    /// Whether a command that takes several steps is unanswered.
    is_walking: Cell<bool>,
    wake: Notify,
    is_killed: Cell<bool>,
    /// Since when replies wait that the client does not take.
    unread_since: Cell<Option<Instant>>,
    /// Since when a request is half sent.
    partial_since: Cell<Option<Instant>>,
}

/// How unanswered requests use a key.
#[derive(Clone, Copy, Debug)]
enum Use {
    Reads(usize),
    Write,
}

/// Replies in the order of their requests. Those that are ready go out as soon as all before them have.
#[derive(Default)]
struct Replies {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    out: OutBuffer,
}

/// The place of a reply that is not there yet, or waits for those before it.
struct Slot {
    reply: Option<Value>,
    /// The client asked for no reply.
    is_silent: bool,
}

impl Client {
    pub(crate) fn new(state: ClientState) -> Rc<Self> {
        Rc::new(Self {
            state: RefCell::new(state),
            replies: RefCell::default(),
            busy_keys: RefCell::default(),
            is_walking: Cell::new(false),
            wake: Notify::new(),
            is_killed: Cell::new(false),
            unread_since: Cell::new(None),
            partial_since: Cell::new(None),
        })
    }

    /// Ends the connection; replies that were not written yet are lost.
    pub(crate) fn kill(&self) {
        self.is_killed.set(true);
        self.wake.notify_one();
    }

    /// Lets the connection notice that something about it has changed.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }

    /// Since when replies wait that the client does not take.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        self.unread_since.get()
    }

    /// Since when a request is half sent.
    pub(crate) fn partial_since(&self) -> Option<Instant> {
        self.partial_since.get()
    }

    /// Whether every request is answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.replies.borrow().slots.is_empty()
    }

    /// A command that takes several steps begins or ends.
    pub(crate) fn set_walking(&self, is_walking: bool) {
        self.is_walking.set(is_walking);
    }

    /// Keeps a place among the replies.
    pub(crate) fn reserve(&self, is_silent: bool) -> u64 {
        let mut replies = self.replies.borrow_mut();
        replies.slots.push_back(Slot { reply: None, is_silent });
        replies.first + replies.slots.len() as u64 - 1
    }

    /// Fills a place among the replies.
    pub(crate) fn answer(&self, slot: u64, value: Value) {
        let mut replies = self.replies.borrow_mut();
        let index = usize::try_from(slot - replies.first).expect("slots fit in memory");
        replies.slots[index].reply = Some(value);
        let protocol = self.state.borrow().protocol();
        while let Some(Slot { reply: Some(_), .. }) = replies.slots.front() {
            let ready = replies.slots.pop_front().expect("looked at just now");
            replies.first += 1;
            if let (Some(value), false) = (ready.reply, ready.is_silent) {
                value.encode(protocol, &mut replies.out);
            }
        }
        self.wake.notify_one();
    }

    /// Adds a reply after all others.
    pub(crate) fn reply(&self, value: Value, is_silent: bool) {
        let mut replies = self.replies.borrow_mut();
        if !replies.slots.is_empty() {
            replies.slots.push_back(Slot { reply: Some(value), is_silent });
        } else if !is_silent {
            value.encode(self.state.borrow().protocol(), &mut replies.out);
        }
    }

    /// Whether a request on this key has to wait for an earlier one.
    fn is_busy(&self, key: &Bytes, writes: bool) -> bool {
        match self.busy_keys.borrow().get(key) {
            None => false,
            Some(Use::Reads(_)) => writes,
            Some(Use::Write) => true,
        }
    }

    pub(crate) fn begin(&self, key: &Bytes, writes: bool) {
        let mut keys = self.busy_keys.borrow_mut();
        if writes {
            keys.insert(key.clone(), Use::Write);
        } else if let Use::Reads(count) = keys.entry(key.clone()).or_insert(Use::Reads(0)) {
            *count += 1;
        }
    }

    pub(crate) fn end(&self, key: &Bytes) {
        let mut keys = self.busy_keys.borrow_mut();
        match keys.get_mut(key) {
            Some(Use::Reads(count)) if *count > 1 => *count -= 1,
            _ => drop(keys.remove(key)),
        }
    }

    fn note(since: &Cell<Option<Instant>>, is_so: bool) {
        if is_so != since.get().is_some() {
            since.set(is_so.then(Instant::now));
        }
    }
}

/// What a connection waits for before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// More from the client.
    Input,
    /// That the client takes its replies.
    Output,
    /// Answers to earlier requests of the same client.
    Earlier,
    /// That less is in flight for all clients together.
    Room,
}

/// A request that has been admitted and not been carried out yet.
struct Request {
    plan: Plan,
    command: Option<CommandId>,
    is_silent: bool,
}

/// A client's connection and what it is in the middle of.
pub(crate) struct Connection {
    server: Rc<Server>,
    client: Rc<Client>,
    decoder: RequestDecoder,
    input: BytesMut,
    /// Bytes of `input` that the server counts as held.
    held_input: usize,
    /// A request that waits for something.
    held: Option<Request>,
    /// Nothing more is read; the connection ends once all is answered and written.
    is_ending: bool,
    /// Nothing more is decoded either: what came last cannot be read, or was `QUIT`.
    is_deaf: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.release_input(self.held_input);
    }
}

impl Connection {
    pub(crate) fn new(server: Rc<Server>, client: Rc<Client>) -> Self {
        let decoder = RequestDecoder::new(server.request_limits(&client.state.borrow()));
        Self {
            server,
            client,
            decoder,
            input: BytesMut::new(),
            held_input: 0,
            held: None,
            is_ending: false,
            is_deaf: false,
        }
    }

    /// Serves the client until it leaves.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) async fn run(mut self, mut stream: TcpStream) -> io::Result<()> {
        let (mut reading, writing) = stream.split();
        let mut out = OutBuffer::new();
        let mut read_bytes = READ_BYTES_MIN;
        loop {
            let pause = self.advance(out.len());
            out.append(&mut self.client.replies.borrow_mut().out);
            if !out.is_empty() {
                let before = out.len();
                match socket::write_from(&mut out, |slices| writing.try_write_vectored(slices)) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
                let written = before - out.len();
                self.server.counters.output_bytes.add(written);
                if written > 0 {
                    // The client reads, if slowly: its time begins anew.
                    self.client.unread_since.set(None);
                }
            }
            Client::note(&self.client.unread_since, !out.is_empty());
            self.is_ending |= self.server.is_stopping();
            if self.is_ending && out.is_empty() && self.client.is_idle() && self.held.is_none() {
                return Ok(());
            }
            if pause == Pause::Output && out.len() < OUTPUT_PAUSE_BYTES {
                // The client took enough at once. Others come first all the same.
                tokio::task::yield_now().await;
                continue;
            }
            let is_reading = !self.is_ending && self.held.is_none() && out.len() < OUTPUT_PAUSE_BYTES;
            if is_reading && self.input.capacity() - self.input.len() < read_bytes / 2 {
                self.input.reserve(read_bytes);
            }
            tokio::select! {
                biased;
                () = self.client.wake.notified() => {
                    if self.client.is_killed.get() {
                        return Ok(());
                    }
                }
                () = self.server.engine.room(), if pause == Pause::Room => {}
                ready = writing.writable(), if !out.is_empty() => ready?,
                read = reading.read_buf(&mut self.input), if is_reading => {
                    let count = read?;
                    self.is_ending = count == 0;
                    self.server.counters.input_bytes.add(count);
                    // Read in larger pieces where much is sent, and in small ones where little is.
                    if count >= read_bytes {
                        read_bytes = (read_bytes * 2).min(READ_BYTES_MAX);
                    }
                }
            }
        }
    }

    /// Dispatches what has been read, as far as it can go now.
    fn advance(&mut self, unwritten: usize) -> Pause {
        if let Some(request) = self.held.take()
            && let Some(pause) = self.dispatch(request)
        {
            return pause;
        }
        while !self.is_deaf {
            if unwritten + self.client.replies.borrow().out.len() >= OUTPUT_PAUSE_BYTES {
                return Pause::Output;
            }
            match self.decoder.decode(&mut self.input) {
                Ok(Some(arguments)) => {
                    if let Some(pause) = self.take(&arguments) {
                        return pause;
                    }
                }
                Ok(None) => break,
                Err(error) => self.refuse(&error),
            }
        }
        self.account_for_input();
        Pause::Input
    }

    /// Takes nothing more from the client, neither what it sends nor what it has sent.
    fn end(&mut self) {
        self.input.clear();
        self.is_ending = true;
        self.is_deaf = true;
    }

    /// A request that cannot be read: nothing after it can be either.
    fn refuse(&mut self, error: &dyn fmt::Display) {
        tracing::debug!("client {}: {error}", self.client.state.borrow().id());
        self.client.reply(Value::Error(format!("ERR {error}").into()), false);
        self.end();
    }

    /// Notes a half-sent request and what it takes up. A client that would make all of them take too much is
    /// sent away.
    fn account_for_input(&mut self) {
        Client::note(&self.client.partial_since, !self.input.is_empty());
        let held = if self.input.len() > READ_BYTES_MAX { self.input.len() } else { 0 };
        if held != self.held_input {
            let fits = self.server.hold_input(self.held_input, held);
            self.held_input = held;
            if !fits {
                self.refuse(&"Protocol error: all clients together hold too many half-sent requests");
            }
        }
    }

    fn take(&mut self, arguments: &[Bytes]) -> Option<Pause> {
        let admitted = self.client.state.borrow_mut().admit(arguments, &self.server.context());
        let Admitted { plan, command, silent } = admitted;
        self.dispatch(Request { plan, command, is_silent: silent })
    }

    /// Starts a request, or holds it if something stands in its way.
    fn dispatch(&mut self, request: Request) -> Option<Pause> {
        let pause = self.pause_before(&request.plan);
        if pause.is_some() {
            self.held = Some(request);
            return pause;
        }
        let Request { plan, command, is_silent } = request;
        let ticket = Ticket::new(&self.server, &self.client, command, is_silent);
        match plan {
            Plan::Reply(value) => ticket.answer_unrun(value),
            Plan::Server(command) => self.answer(command, ticket),
            Plan::Key(step) => ticket.run_step(step),
            Plan::Keys { steps, gather } => {
                let engine = Rc::clone(&self.server.engine);
                ticket.run(async move { execute::steps(&engine, steps, gather).await });
            }
            Plan::Ring(plan) => {
                let server = Rc::clone(&self.server);
                ticket.run(async move { server.ring(plan).await });
            }
        }
        None
    }

    /// Carries out a command about this connection or the server.
    fn answer(&mut self, command: ServerCommand, ticket: Ticket) {
        let answer = self.server.facts.with(|facts| self.client.state.borrow_mut().answer(command, facts));
        match answer {
            ServerAnswer::Reply(value) => ticket.answer_now(value),
            ServerAnswer::Silent => ticket.leave_unanswered(),
            ServerAnswer::ReplyAndClose(value) => {
                ticket.answer_now(value);
                self.end();
            }
            ServerAnswer::ListClients(filter) => ticket.answer_now(self.server.list(&filter)),
            ServerAnswer::KillClients(filter) => {
                let asker = self.client.state.borrow().id();
                ticket.answer_now(self.server.kill(&filter, asker));
            }
            ServerAnswer::SetConfig(settings) => {
                self.server.facts.set(&settings);
                ticket.answer_now(Value::OK);
            }
            ServerAnswer::ResetStatistics => {
                self.server.counters.reset();
                ticket.answer_now(Value::OK);
            }
        }
        // A client that has proved who it is may send more.
        self.decoder.set_limits(self.server.request_limits(&self.client.state.borrow()));
    }

    /// What a request has to wait for.
    fn pause_before(&self, plan: &Plan) -> Option<Pause> {
        let client = &self.client;
        let waits = match plan {
            Plan::Reply(_) => false,
            Plan::Key(KeyStep::Read { key, .. }) => client.is_busy(key, false),
            Plan::Key(KeyStep::Write { key, .. }) => client.is_busy(key, true),
            // These touch many keys, or change how all later requests are treated.
            Plan::Keys { .. } | Plan::Ring(_) | Plan::Server(_) => !client.is_idle(),
        };
        let has_many = client.replies.borrow().slots.len() >= REQUESTS_MAX;
        if waits || has_many || client.is_walking.get() {
            return Some(Pause::Earlier);
        }
        let changes = matches!(plan, Plan::Key(KeyStep::Write { .. }) | Plan::Keys { .. });
        (changes && self.server.engine.is_full()).then_some(Pause::Room)
    }
}
