//! One client's connection: requests in, replies out, in order.
//!
//! A pipeline is decoded and dispatched whole: requests on different keys are in flight together. A request
//! on a key that an earlier one of the same connection still works on waits for that one, so that a client
//! sees its own commands take effect in the order in which it sent them. Commands that speak of many keys wait
//! for everything before them, and everything after waits for them.
//!
//! What a client can make this node hold is bounded: by the limits of the decoder, by a window of unanswered
//! requests that is small where replies are large, and by [`OUTPUT_PAUSE_BYTES`], at which its requests rest
//! until it has read its replies.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{RequestDecoder, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clients::client::Client;
use crate::clients::execute;
use crate::clients::server::{Server, Stopping};
use crate::clients::state::{Admitted, ServerAnswer};
use crate::clients::ticket::Ticket;
use crate::commands::{CommandId, KeyStep, Plan, ServerCommand};
use crate::socket;

/// Bytes of unread replies at which a client's further requests rest.
const OUTPUT_PAUSE_BYTES: usize = 1 << 20;

/// Room for what one read brings, at first and at most: a client that sends little costs little.
const READ_BYTES_MIN: usize = 2 << 10;
/// See [`READ_BYTES_MIN`].
const READ_BYTES_MAX: usize = 64 << 10;

/// How long a client of a node that stops may take to notice that the connection has ended. Closed at once, with a
/// request of the client's unread, it would be reset, and the last reply might be lost with it.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);

/// Whether a command is the beginning of a line that HTTP clients send. Any page that a browser shows can send
/// them to an address of its own machine, with commands of the page's choice in the body.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
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
        self.client.leave();
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
        let mut was_stopping = false;
        loop {
            let pause = self.advance(out.len());
            let unwritten = out.len();
            self.client.take_ready(&mut out);
            let before = out.len();
            // A client that has just been answered learns of the end together with its reply, before it asks again.
            self.is_ending |= match self.server.stopping() {
                Stopping::No => false,
                Stopping::Gently => was_stopping && before > unwritten,
                Stopping::Now => true,
            };
            was_stopping = self.server.stopping() != Stopping::No;
            if !out.is_empty() {
                match socket::write_from(&mut out, |slices| writing.try_write_vectored(slices)) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
            self.server.counters.output_bytes.add(before - out.len());
            self.client.note_output(before - out.len(), !out.is_empty());
            if self.is_ending && out.is_empty() && self.client.is_idle() && self.held.is_none() {
                return if was_stopping { say_goodbye(stream).await } else { Ok(()) };
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
                stays = self.client.woken() => {
                    if !stays {
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
        if self.held.is_some() || !self.input.is_empty() {
            // Once for all requests that came together.
            self.server.engine.look_at_clock();
            self.server.counters.look_at_clock();
        }
        if let Some(request) = self.held.take()
            && let Some(pause) = self.dispatch(request)
        {
            return pause;
        }
        while !self.is_deaf {
            if unwritten + self.client.ready_bytes() >= OUTPUT_PAUSE_BYTES {
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
        self.client.note_partial(!self.input.is_empty());
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
        if arguments.first().is_some_and(|name| is_http(name)) {
            tracing::warn!("client {} speaks HTTP: cut off", self.client.state.borrow().id());
            self.refuse(&"Protocol error: this is no HTTP server");
            return None;
        }
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
                let server = Rc::clone(&self.server);
                ticket.run(
                    async move { execute::steps(&server.engine, &server.counters, steps, gather).await },
                );
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
            ServerAnswer::Fault(fault) => ticket.answer_now(self.server.inject(&fault)),
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
        if waits || client.has_many_unanswered() || client.is_walking() {
            return Some(Pause::Earlier);
        }
        let changes = matches!(plan, Plan::Key(KeyStep::Write { .. }) | Plan::Keys { .. });
        (changes && self.server.engine.is_full()).then_some(Pause::Room)
    }
}

/// Ends a connection so that the client sees its end behind the last reply, whatever it has sent meanwhile.
async fn say_goodbye(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 1_024];
    let until_it_leaves = async {
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    timeout(GOODBYE_TIMEOUT, until_it_leaves).await.unwrap_or(Ok(()))
}
