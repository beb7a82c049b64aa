//! Commands about the client's own connection.

use std::fmt;

use bytes::Bytes;
use simpledynamo_wire::resp::{Protocol, Value};

use super::client::checked_name;
use super::errors::{CommandError, echo};
use super::input::{Input, Parsed, is};
use super::plan::{Plan, ServerCommand};
use simpledynamo_chain::number::parse_integer;

/// The version of Redis that clients should expect, in `HELLO` and as `redis_version` in `INFO`.
///
/// Clients choose by it which commands they send; 7.4 has `CLIENT SETINFO`, `EXPIRETIME` and the replies of
/// `COMMAND` as they are here. `HELLO` names the server `redis` for the same reason: what a client concludes
/// from the version holds for that name only.
pub const COMPATIBLE_VERSION: &str = "7.4.0";

/// What a client gives to prove who it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; none means `default`, the only one there is.
    pub user: Option<Bytes>,
    /// The password.
    pub password: Bytes,
}

impl fmt::Debug for Credentials {
    /// Never shows the password: commands may end up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

fn ok() -> Parsed {
    Ok(Plan::Reply(Value::OK))
}

/// `PING [message]`.
pub(super) fn ping(input: Input<'_>) -> Parsed {
    match input.rest(1) {
        [] => Ok(Plan::Reply(Value::Simple("PONG".into()))),
        [message] => Ok(Plan::Reply(Value::Bulk(message.clone()))),
        _ => Err(input.wrong_arguments()),
    }
}

/// `ECHO message`.
pub(super) fn echo_message(input: Input<'_>) -> Parsed {
    Ok(Plan::Reply(Value::Bulk(input.bytes(1))))
}

/// `SELECT 0`: there is one database.
pub(super) fn select(input: Input<'_>) -> Parsed {
    if input.integer(1)? == 0 { ok() } else { Err(CommandError::Database) }
}

/// `READONLY`, `READWRITE` and `ASKING`: any node serves any key, so these always hold.
pub(super) fn always_ok(_: Input<'_>) -> Parsed {
    ok()
}

/// `QUIT`.
pub(super) fn quit(_: Input<'_>) -> Parsed {
    Ok(Plan::Server(ServerCommand::Quit))
}

/// `RESET`.
pub(super) fn reset(_: Input<'_>) -> Parsed {
    Ok(Plan::Server(ServerCommand::Reset))
}

/// `AUTH [username] password`.
pub(super) fn auth(input: Input<'_>) -> Parsed {
    let (user, password) = match input.rest(1) {
        [password] => (None, password.clone()),
        [user, password] => (Some(user.clone()), password.clone()),
        _ => return Err(CommandError::Syntax),
    };
    Ok(Plan::Server(ServerCommand::Auth(Credentials { user, password })))
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`.
pub(super) fn hello(input: Input<'_>) -> Parsed {
    let protocol = input.rest(1).first().map(|version| protocol(version)).transpose()?;
    let (mut credentials, mut name) = (None, None);
    let mut rest = input.rest(2);
    loop {
        rest = match rest {
            [] => break,
            [option, user, password, rest @ ..] if is(option, "auth") => {
                credentials = Some(Credentials { user: Some(user.clone()), password: password.clone() });
                rest
            }
            [option, text, rest @ ..] if is(option, "setname") => {
                name = Some(checked_name(text)?);
                rest
            }
            [option, ..] => return Err(CommandError::HelloOption(echo(option))),
        };
    }
    Ok(Plan::Server(ServerCommand::Hello { protocol, credentials, name }))
}

fn protocol(version: &[u8]) -> Result<Protocol, CommandError> {
    match parse_integer(version).ok_or(CommandError::ProtocolNumber)? {
        2 => Ok(Protocol::Resp2),
        3 => Ok(Protocol::Resp3),
        _ => Err(CommandError::Protocol),
    }
}
