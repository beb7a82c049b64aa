//! From a client's arguments to what is to be done, and from what came of it to the reply.
//!
//! [`plan`] looks a command up in the one table of all commands (`table`), checks the number of its
//! arguments, and has the command's own parser make a [`Plan`] of them. Carrying the plan out is the driver's
//! work; `shape` then tells the outcome in Redis's words. Nothing here waits, does I/O, or knows more of the
//! time than what [`Context`] says.
//!
//! | module | what it parses |
//! |---|---|
//! | `strings`, `keys` | commands on single keys, each one operation or one read per key |
//! | `listing` | commands that speak of many keys: `SCAN`, `KEYS`, `DBSIZE`, `FLUSHALL`, `SD.QUERY` ... |
//! | `connection`, `client` | the client's own connection: `HELLO`, `AUTH`, `CLIENT` ... |
//! | `server`, `config` | the server: `INFO`, `CONFIG`, `WAIT`, `ROLE` ... |
//! | `fault` | `SD.FAULT`, for tests |
//! | `docs`, `syntax` | `COMMAND`, answered from the table itself |
//! | `support`, `refused` | `docs/commands.md`, and commands that do not exist here, with the reason |
//! | `transactions` | `MULTI` and its relatives, which are refused as a block |
//!
//! Left out: the state of a connection, which `clients::state` keeps; everything that needs a socket or a disk.

mod client;
mod config;
mod connection;
mod docs;
mod errors;
mod fault;
mod info;
mod input;
mod keys;
mod listing;
mod plan;
mod refused;
mod server;
mod shape;
mod spec;
mod strings;
mod support;
mod syntax;
mod table;
mod transactions;

pub use client::{ClientCommand, KillFilter, ListFilter, ReplyMode, TEXT_MAX};
pub use config::{ConfigCommand, ConfigValues, Setting};
pub use connection::{COMPATIBLE_VERSION, Credentials};
pub use errors::CommandError;
pub use fault::{FaultCommand, OFFSET_MAX, PPM_MAX};
pub use info::{CommandFigures, Figures, Keyspace, RingFigures, Section, Sections, render as render_info};
pub use listing::{CURSOR_MAX, PAGE_COUNT_MAX};
pub use plan::{Gather, KeyStep, Plan, ReadShape, RingPlan, Selection, ServerCommand, WriteShape};
pub use shape::{
    Tally, gather, keys_reply, query_reply, read_outcome_reply, scan_reply, step_reply, unavailable, unknown,
    unread, write_outcome_reply,
};
pub use spec::{Flag, Group, KeyPositions, Spec, Support};
pub use support::render_markdown;
pub use table::{COMMANDS, CommandId};

use bytes::Bytes;
use simpledynamo_chain::UnixMillis;
use simpledynamo_wire::resp::Value;

use input::Input;

/// What parsing depends on besides the arguments.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The node's clock. Only bounds of expiry times depend on it: the head's clock decides when a key expires.
    pub now: UnixMillis,
    /// The longest keys and values.
    pub limits: CommandLimits,
    /// Whether there are commands that bring faults about.
    pub fault_injection: bool,
}

impl Context {
    /// Whether a command of the table is there.
    fn has(&self, command: CommandId) -> bool {
        self.fault_injection || !command.spec().is(Flag::Test)
    }
}

/// How long keys and values may be.
#[derive(Clone, Copy, Debug)]
pub struct CommandLimits {
    /// Bytes of a key, 65,000 at most: what the storage takes.
    pub max_key: usize,
    /// Bytes of a value.
    pub max_value: usize,
}

/// What a command asks for. An error is a plan, too: its reply.
#[must_use]
pub fn plan(arguments: &[Bytes], context: &Context) -> Plan {
    match resolve(arguments, context) {
        Ok(command) => plan_resolved(command, arguments, context),
        Err(error) => Plan::Reply(Value::from(error)),
    }
}

/// Finds the command, subcommand included, and checks the number of its arguments.
///
/// # Errors
/// When there is no such command or subcommand, or the number of arguments is wrong.
pub fn resolve(arguments: &[Bytes], context: &Context) -> Result<CommandId, CommandError> {
    let unknown = || CommandError::unknown_command(arguments);
    let name = arguments.first().ok_or_else(unknown)?;
    let Some(command) = table::find(name).filter(|command| context.has(*command)) else {
        return Err(refused::reason(name).unwrap_or_else(unknown));
    };
    let spec = command.spec();
    match arguments.get(1) {
        Some(subcommand) if spec.has_subcommands => resolve_subcommand(spec, subcommand, arguments.len()),
        _ if spec.accepts(arguments.len()) => Ok(command),
        _ => Err(CommandError::Arguments(spec.name)),
    }
}

fn resolve_subcommand(container: &Spec, name: &[u8], arguments: usize) -> Result<CommandId, CommandError> {
    let command = table::find_subcommand(container, name).ok_or_else(|| CommandError::UnknownSubcommand {
        name: errors::echo(name),
        container: container.name.to_ascii_uppercase(),
    })?;
    let spec = command.spec();
    if spec.accepts(arguments) { Ok(command) } else { Err(CommandError::Arguments(spec.name)) }
}

/// As [`plan`], for a command that [`resolve`] has found for the same arguments.
#[must_use]
pub fn plan_resolved(command: CommandId, arguments: &[Bytes], context: &Context) -> Plan {
    let input = Input { command, all: arguments, context };
    (command.spec().parse)(input).unwrap_or_else(|error| Plan::Reply(Value::from(error)))
}

#[cfg(test)]
mod tests;
