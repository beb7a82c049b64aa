//! What a node remembers of one client's connection, and what `HELLO`, `AUTH`, `CLIENT` and their like do to it.
//!
//! Each request passes two steps. [`ClientState::admit`] decides whether it may run at all (the client may have
//! to prove who it is first, or be in a block that was refused) and makes its plan. If the plan is a
//! [`ServerCommand`], [`ClientState::answer`] carries it out, at once and before the next request is admitted,
//! since what comes after a `HELLO` or a `MULTI` depends on it. What needs other connections or the server's
//! settings is handed back to the driver as a [`ServerAnswer`].

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::SocketAddr;

use bytes::Bytes;
use simpledynamo_chain::UnixMillis;
use simpledynamo_wire::resp::{Protocol, Value};

use crate::commands::{
    COMPATIBLE_VERSION, ClientCommand, CommandError, CommandId, ConfigCommand, ConfigValues, Context,
    Credentials, FaultCommand, Flag, KillFilter, ListFilter, Plan, ReplyMode, ServerCommand, Setting,
    plan_resolved, resolve,
};

/// The only user there is.
const USER: &str = "default";

/// One client's connection.
#[derive(Debug)]
pub struct ClientState {
    id: u64,
    peer: SocketAddr,
    local: SocketAddr,
    descriptor: i32,
    created: UnixMillis,
    last_active: UnixMillis,
    last_command: Option<CommandId>,
    name: Bytes,
    library_name: Bytes,
    library_version: Bytes,
    protocol: Protocol,
    is_authenticated: bool,
    replies: Replies,
    in_refused_block: bool,
    no_evict: bool,
    no_touch: bool,
}

/// Which commands are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replies {
    All,
    None,
    AllButNext,
}

/// A request that has passed [`ClientState::admit`].
#[derive(Debug)]
pub struct Admitted {
    /// What to do; an error to tell is a plan, too.
    pub plan: Plan,
    /// The command, for counters; none if there is no such command or its arguments do not fit it.
    pub command: Option<CommandId>,
    /// Whether the reply must be withheld (`CLIENT REPLY`).
    pub silent: bool,
}

/// What a server command needs to know of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerFacts<'a> {
    /// The clock.
    pub now: UnixMillis,
    /// The password that clients must give; none if they need not. Never empty.
    pub password: Option<&'a [u8]>,
    /// The settings in force.
    pub config: &'a ConfigValues,
    /// How many replicas besides one serve every partition: all of them have every acknowledged write.
    pub other_replicas: u32,
}

/// What a server command comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerAnswer {
    /// This reply.
    Reply(Value),
    /// No reply at all.
    Silent,
    /// This reply, and then the end of the connection.
    ReplyAndClose(Value),
    /// The driver is to show connections, by [`list_reply`].
    ListClients(ListFilter),
    /// The driver is to close connections and reply by [`kill_reply`].
    KillClients(KillFilter),
    /// The driver is to apply these settings and reply `OK`.
    SetConfig(Vec<Setting>),
    /// The driver is to set its counters to 0 and reply `OK`.
    ResetStatistics,
    /// The driver is to bring a fault about, or to end it.
    Fault(FaultCommand),
}

impl ClientState {
    /// The state of a new connection. Ids are unique on this node and rise; `descriptor` is the socket's number,
    /// shown only; a client without a password to give counts as authenticated.
    #[must_use]
    pub fn new(
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        descriptor: i32,
        needs_password: bool,
        now: UnixMillis,
    ) -> Self {
        Self {
            id,
            peer,
            local,
            descriptor,
            created: now,
            last_active: now,
            last_command: None,
            name: Bytes::new(),
            library_name: Bytes::new(),
            library_version: Bytes::new(),
            protocol: Protocol::Resp2,
            is_authenticated: !needs_password,
            replies: Replies::All,
            in_refused_block: false,
            no_evict: false,
            no_touch: false,
        }
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The version of RESP that replies are written in.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether the client has proved who it is, or need not.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }

    /// When the last request arrived.
    #[must_use]
    pub fn last_active(&self) -> UnixMillis {
        self.last_active
    }

    /// Decides what a request comes to in this connection's state.
    #[must_use]
    pub fn admit(&mut self, arguments: &[Bytes], context: &Context) -> Admitted {
        let resolved = resolve(arguments, context);
        let command = resolved.as_ref().ok().copied();
        self.last_active = context.now;
        self.last_command = command.or(self.last_command);
        let plan = match self.permit(resolved) {
            Ok(command) => plan_resolved(command, arguments, context),
            Err(Barred::Told(error)) => Plan::Reply(error.into()),
            Err(Barred::EndOfBlock) => Plan::Server(ServerCommand::Exec),
        };
        let silent = self.replies != Replies::All;
        if self.replies == Replies::AllButNext {
            self.replies = Replies::All;
        }
        // `CLIENT REPLY` decides itself whether it is answered.
        let chooses = matches!(plan, Plan::Server(ServerCommand::Client(ClientCommand::Reply(_))));
        Admitted { plan, command, silent: silent && !chooses }
    }

    /// Whether the command may run now.
    fn permit(&self, resolved: Result<CommandId, CommandError>) -> Result<CommandId, Barred> {
        if self.in_refused_block {
            match &resolved {
                // An `EXEC` ends the block even if it is written wrongly, as in Redis.
                Err(CommandError::Arguments("exec")) => return Err(Barred::EndOfBlock),
                Ok(command) if ENDS_OR_LEAVES_BLOCK.contains(&command.spec().name) => {}
                _ => return Err(Barred::Told(CommandError::InRefusedBlock)),
            }
        }
        let command = resolved.map_err(Barred::Told)?;
        if self.is_authenticated || command.spec().is(Flag::NoAuth) {
            Ok(command)
        } else {
            Err(Barred::Told(CommandError::NoAuth))
        }
    }

    /// Carries out a command about this connection or the server.
    #[must_use]
    pub fn answer(&mut self, command: ServerCommand, server: &ServerFacts<'_>) -> ServerAnswer {
        match command {
            ServerCommand::Hello { protocol, credentials, name } => {
                reply(self.hello(protocol, credentials, name, server))
            }
            ServerCommand::Auth(credentials) => {
                reply(self.authenticate(&credentials, server).map(|()| Value::OK))
            }
            ServerCommand::Quit => ServerAnswer::ReplyAndClose(Value::OK),
            ServerCommand::Reset => {
                self.reset(server);
                ServerAnswer::Reply(Value::Simple("RESET".into()))
            }
            ServerCommand::Client(command) => self.client(command, server),
            ServerCommand::Config(command) => config(command, server),
            ServerCommand::Multi => {
                self.in_refused_block = true;
                reply(Err(CommandError::Multi))
            }
            ServerCommand::Exec if self.leave_block() => reply(Err(CommandError::ExecAbort)),
            ServerCommand::Exec => reply(Err(CommandError::ExecWithoutMulti)),
            ServerCommand::Discard if self.leave_block() => reply(Ok(Value::OK)),
            ServerCommand::Discard => reply(Err(CommandError::DiscardWithoutMulti)),
            ServerCommand::Wait => reply(Ok(Value::Integer(server.other_replicas.into()))),
            ServerCommand::WaitDurable => reply(Ok(wait_durable(server))),
            ServerCommand::Fault(fault) => ServerAnswer::Fault(fault),
        }
    }

    /// Ends a refused block; false if there was none.
    fn leave_block(&mut self) -> bool {
        std::mem::take(&mut self.in_refused_block)
    }

    fn hello(
        &mut self,
        protocol: Option<Protocol>,
        credentials: Option<Credentials>,
        name: Option<Bytes>,
        server: &ServerFacts<'_>,
    ) -> Result<Value, CommandError> {
        if let Some(credentials) = credentials {
            self.authenticate(&credentials, server)?;
        }
        if !self.is_authenticated {
            return Err(CommandError::NoAuthHello);
        }
        self.name = name.unwrap_or_else(|| std::mem::take(&mut self.name));
        self.protocol = protocol.unwrap_or(self.protocol);
        Ok(self.greeting())
    }

    /// The reply to `HELLO`. Clients read its fields by name, some of them in this order.
    fn greeting(&self) -> Value {
        let text = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        Value::Map(vec![
            (text("server"), text("redis")),
            (text("version"), text(COMPATIBLE_VERSION)),
            (text("proto"), Value::Integer(version(self.protocol))),
            (text("id"), Value::Integer(i64::try_from(self.id).unwrap_or(i64::MAX))),
            (text("mode"), text("standalone")),
            (text("role"), text("master")),
            (text("modules"), Value::Array(Vec::new())),
        ])
    }

    fn authenticate(
        &mut self,
        credentials: &Credentials,
        server: &ServerFacts<'_>,
    ) -> Result<(), CommandError> {
        let is_known = credentials.user.as_ref().is_none_or(|user| user == USER);
        match server.password {
            None if credentials.user.is_none() => return Err(CommandError::NoPassword),
            None if is_known => {}
            Some(password) if is_same_secret(&credentials.password, password) & is_known => {}
            _ => return Err(CommandError::WrongPassword),
        }
        self.is_authenticated = true;
        Ok(())
    }

    /// What the client is called and which library it uses stays known in part, as in Redis.
    fn reset(&mut self, server: &ServerFacts<'_>) {
        self.name = Bytes::new();
        self.protocol = Protocol::Resp2;
        self.is_authenticated = server.password.is_none();
        self.replies = Replies::All;
        self.in_refused_block = false;
        self.no_evict = false;
        self.no_touch = false;
    }

    fn client(&mut self, command: ClientCommand, server: &ServerFacts<'_>) -> ServerAnswer {
        match command {
            ClientCommand::Id => {
                return reply(Ok(Value::Integer(i64::try_from(self.id).unwrap_or(i64::MAX))));
            }
            ClientCommand::Info => return reply(Ok(Value::Verbatim(Bytes::from(self.line(server.now))))),
            ClientCommand::GetName if self.name.is_empty() => return reply(Ok(Value::Null)),
            ClientCommand::GetName => return reply(Ok(Value::Bulk(self.name.clone()))),
            ClientCommand::List(filter) => return ServerAnswer::ListClients(filter),
            ClientCommand::Kill(filter) => return ServerAnswer::KillClients(filter),
            ClientCommand::Reply(mode) => return self.choose_replies(mode),
            ClientCommand::SetName(name) => self.name = name,
            ClientCommand::SetLibraryName(name) => self.library_name = name,
            ClientCommand::SetLibraryVersion(version) => self.library_version = version,
            ClientCommand::NoEvict(on) => self.no_evict = on,
            ClientCommand::NoTouch(on) => self.no_touch = on,
        }
        reply(Ok(Value::OK))
    }

    fn choose_replies(&mut self, mode: ReplyMode) -> ServerAnswer {
        match mode {
            ReplyMode::On => {
                self.replies = Replies::All;
                return reply(Ok(Value::OK));
            }
            ReplyMode::Off => self.replies = Replies::None,
            // While nothing is answered there is nothing to skip.
            ReplyMode::Skip if self.replies == Replies::None => {}
            ReplyMode::Skip => self.replies = Replies::AllButNext,
        }
        ServerAnswer::Silent
    }

    /// The connection's line of `CLIENT LIST`, line end included. Fields of Redis that have no meaning here
    /// are left out, except those that clients take for granted.
    #[must_use]
    pub fn line(&self, now: UnixMillis) -> String {
        let seconds_since = |then: UnixMillis| now.saturating_sub(then) / 1_000;
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let flags = match (self.no_evict, self.no_touch) {
            (false, false) => "N",
            (true, false) => "e",
            (false, true) => "T",
            (true, true) => "eT",
        };
        let mut line = format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 ssub=0 multi=-1 \
             watch=0 ",
            self.id,
            self.peer,
            self.local,
            self.descriptor,
            text(&self.name),
            seconds_since(self.created),
            seconds_since(self.last_active),
        );
        let command = self.last_command.map_or("NULL", |command| command.spec().name);
        let _ = writeln!(
            line,
            "events=r cmd={command} user={USER} redir=-1 resp={} lib-name={} lib-ver={}",
            version(self.protocol),
            text(&self.library_name),
            text(&self.library_version),
        );
        line
    }

    /// Whether `CLIENT LIST` shows this connection.
    #[must_use]
    pub fn is_listed_by(&self, filter: &ListFilter) -> bool {
        match filter {
            ListFilter::All => true,
            ListFilter::None => false,
            ListFilter::Ids(ids) => ids.contains(&self.id),
        }
    }

    /// Whether `CLIENT KILL`, asked for by the connection `asker`, closes this one.
    #[must_use]
    pub fn is_killed_by(&self, filter: &KillFilter, asker: u64, now: UnixMillis) -> bool {
        let is_at = |address: SocketAddr, wanted: &Option<Bytes>| {
            wanted.as_ref().is_none_or(|wanted| *wanted == address.to_string())
        };
        let age = now.saturating_sub(self.created) / 1_000;
        filter.any_type
            && filter.id.is_none_or(|id| id == self.id)
            && is_at(self.peer, &filter.peer)
            && is_at(self.local, &filter.local)
            && filter.age_min.is_none_or(|least| age >= least)
            && !(filter.skip_me && asker == self.id)
    }
}

/// Why a request may not run.
enum Barred {
    /// This is told.
    Told(CommandError),
    /// It ends the refused block that it is in.
    EndOfBlock,
}

/// Commands that work inside a refused block.
const ENDS_OR_LEAVES_BLOCK: [&str; 6] = ["exec", "discard", "reset", "quit", "hello", "auth"];

/// The reply to `CLIENT LIST`: the lines of the connections that the filter lets through.
#[must_use]
pub fn list_reply<'a>(
    clients: impl IntoIterator<Item = &'a ClientState>,
    filter: &ListFilter,
    now: UnixMillis,
) -> Value {
    let listed = clients.into_iter().filter(|client| client.is_listed_by(filter));
    Value::Verbatim(Bytes::from(listed.map(|client| client.line(now)).collect::<String>()))
}

/// The reply to `CLIENT KILL` after so many connections were closed.
#[must_use]
pub fn kill_reply(filter: &KillFilter, killed: usize) -> Value {
    match (filter.old_form, killed) {
        (true, 0) => CommandError::NoClient.into(),
        (true, _) => Value::OK,
        (false, killed) => Value::Integer(i64::try_from(killed).unwrap_or(i64::MAX)),
    }
}

fn reply(result: Result<Value, CommandError>) -> ServerAnswer {
    ServerAnswer::Reply(result.unwrap_or_else(Value::from))
}

fn config(command: ConfigCommand, server: &ServerFacts<'_>) -> ServerAnswer {
    match command {
        ConfigCommand::Get(patterns) => reply(Ok(server.config.get(&patterns))),
        ConfigCommand::Set(assignments) => match server.config.set(&assignments) {
            Ok(settings) => ServerAnswer::SetConfig(settings),
            Err(error) => reply(Err(error)),
        },
        ConfigCommand::ResetStatistics => ServerAnswer::ResetStatistics,
    }
}

/// How many nodes certainly have the connection's writes on disk: this one or none, and others.
fn wait_durable(server: &ServerFacts<'_>) -> Value {
    let is_synced = server.config.durability == "always";
    let counts = if is_synced { [1, server.other_replicas.into()] } else { [0, 0] };
    Value::Array(counts.map(Value::Integer).to_vec())
}

fn version(protocol: Protocol) -> i64 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}

/// Compares in a time that depends on the given bytes' length only, so that it tells nothing of the expected
/// ones.
fn is_same_secret(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = given.len() ^ expected.len();
    let cycle = expected.iter().cycle();
    for (given, expected) in given.iter().zip(cycle) {
        difference |= usize::from(black_box(given ^ expected));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests;
