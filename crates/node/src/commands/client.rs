//! `CLIENT` and its subcommands.

use bytes::Bytes;

use super::errors::{CommandError, echo};
use super::input::{Input, Parsed, is};
use super::plan::{Plan, ServerCommand};
use super::shape::lines;
use simpledynamo_chain::number::parse_integer;

/// The longest name, library name or library version that is kept per client, in bytes: ten thousand clients
/// must not take much memory by them.
pub const TEXT_MAX: usize = 256;

/// A parsed `CLIENT` command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCommand {
    /// The connection's id.
    Id,
    /// The connection's line of `CLIENT LIST`.
    Info,
    /// The lines of many connections.
    List(ListFilter),
    /// Names the connection; empty takes the name away.
    SetName(Bytes),
    /// The connection's name.
    GetName,
    /// Notes the client library's name.
    SetLibraryName(Bytes),
    /// Notes the client library's version.
    SetLibraryVersion(Bytes),
    /// Which commands are answered from now on.
    Reply(ReplyMode),
    /// Noted and shown; nothing is ever evicted here.
    NoEvict(bool),
    /// Noted and shown; access times are not kept here.
    NoTouch(bool),
    /// Closes connections.
    Kill(KillFilter),
}

/// What `CLIENT REPLY` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Every command is answered.
    On,
    /// None is.
    Off,
    /// Neither this command nor the next one is.
    Skip,
}

/// Which connections `CLIENT LIST` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListFilter {
    /// All of them.
    All,
    /// None: a type of client that Redis has and that cannot exist here.
    None,
    /// Those with these ids.
    Ids(Vec<u64>),
}

/// Which connections `CLIENT KILL` closes: those for which all that is given holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillFilter {
    /// The id.
    pub id: Option<u64>,
    /// The client's address, `ip:port`.
    pub peer: Option<Bytes>,
    /// The address here, `ip:port`.
    pub local: Option<Bytes>,
    /// At least this many seconds old.
    pub age_min: Option<u64>,
    /// False for a type of client that cannot exist here.
    pub any_type: bool,
    /// Spares the connection that asks.
    pub skip_me: bool,
    /// The old form `CLIENT KILL ip:port`, which is answered by `OK` or an error instead of a count.
    pub old_form: bool,
}

fn client(command: ClientCommand) -> Parsed {
    Ok(Plan::Server(ServerCommand::Client(command)))
}

/// `CLIENT ID`.
pub(super) fn id(_: Input<'_>) -> Parsed {
    client(ClientCommand::Id)
}

/// `CLIENT INFO`.
pub(super) fn info(_: Input<'_>) -> Parsed {
    client(ClientCommand::Info)
}

/// `CLIENT GETNAME`.
pub(super) fn getname(_: Input<'_>) -> Parsed {
    client(ClientCommand::GetName)
}

/// `CLIENT LIST [TYPE type] [ID id [id ...]]`.
pub(super) fn list(input: Input<'_>) -> Parsed {
    let filter = match input.rest(2) {
        [] => ListFilter::All,
        [option, kind] if is(option, "type") => {
            if is_normal_type(kind)? {
                ListFilter::All
            } else {
                ListFilter::None
            }
        }
        [option, first, more @ ..] if is(option, "id") => {
            let ids = std::iter::once(first).chain(more);
            let number = |id: &Bytes| parse_integer(id).ok_or(CommandError::ClientId);
            let ids: Vec<i64> = ids.map(number).collect::<Result<_, _>>()?;
            // A negative number is a number, but nobody's id.
            ListFilter::Ids(ids.into_iter().filter_map(|id| u64::try_from(id).ok()).collect())
        }
        _ => return Err(CommandError::Syntax),
    };
    client(ClientCommand::List(filter))
}

/// Whether the type is the one that clients here have; the others of Redis exist but match none.
fn is_normal_type(kind: &[u8]) -> Result<bool, CommandError> {
    match () {
        () if is(kind, "normal") => Ok(true),
        () if ["master", "replica", "slave", "pubsub"].iter().any(|other| is(kind, other)) => Ok(false),
        () => Err(CommandError::ClientType(echo(kind))),
    }
}

/// `CLIENT SETNAME name`.
pub(super) fn setname(input: Input<'_>) -> Parsed {
    client(ClientCommand::SetName(checked_name(&input.all[2])?))
}

/// A client's name that neither garbles `CLIENT LIST` nor fills memory.
pub(super) fn checked_name(name: &Bytes) -> Result<Bytes, CommandError> {
    if !is_printable(name) {
        return Err(CommandError::ClientName);
    }
    within_bound(name, "the client name")
}

fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn within_bound(text: &Bytes, what: &str) -> Result<Bytes, CommandError> {
    if text.len() > TEXT_MAX {
        return Err(CommandError::ClientText { what: what.to_owned(), max: TEXT_MAX });
    }
    Ok(text.clone())
}

/// `CLIENT SETINFO LIB-NAME name | LIB-VER version`.
pub(super) fn setinfo(input: Input<'_>) -> Parsed {
    let (option, text) = (&input.all[2], &input.all[3]);
    let command = match () {
        () if is(option, "lib-name") => ClientCommand::SetLibraryName,
        () if is(option, "lib-ver") => ClientCommand::SetLibraryVersion,
        () => return Err(CommandError::InfoOption(echo(option))),
    };
    if !is_printable(text) {
        return Err(CommandError::InfoText(echo(option)));
    }
    client(command(within_bound(text, &echo(option))?))
}

/// `CLIENT REPLY ON | OFF | SKIP`.
pub(super) fn reply(input: Input<'_>) -> Parsed {
    let mode = &input.all[2];
    client(ClientCommand::Reply(match () {
        () if is(mode, "on") => ReplyMode::On,
        () if is(mode, "off") => ReplyMode::Off,
        () if is(mode, "skip") => ReplyMode::Skip,
        () => return Err(CommandError::Syntax),
    }))
}

/// `CLIENT NO-EVICT ON | OFF`.
pub(super) fn no_evict(input: Input<'_>) -> Parsed {
    client(ClientCommand::NoEvict(switch(&input.all[2])?))
}

/// `CLIENT NO-TOUCH ON | OFF`.
pub(super) fn no_touch(input: Input<'_>) -> Parsed {
    client(ClientCommand::NoTouch(switch(&input.all[2])?))
}

fn switch(argument: &[u8]) -> Result<bool, CommandError> {
    match () {
        () if is(argument, "on") => Ok(true),
        () if is(argument, "off") => Ok(false),
        () => Err(CommandError::Syntax),
    }
}

/// `CLIENT KILL ip:port`, or `CLIENT KILL [ID id] [ADDR ip:port] [LADDR ip:port] [TYPE type] [USER user]
/// [SKIPME yes | no] [MAXAGE seconds]`.
pub(super) fn kill(input: Input<'_>) -> Parsed {
    let mut filter = KillFilter {
        id: None,
        peer: None,
        local: None,
        age_min: None,
        any_type: true,
        skip_me: true,
        old_form: false,
    };
    if let [address] = input.rest(2) {
        let filter = KillFilter { peer: Some(address.clone()), skip_me: false, old_form: true, ..filter };
        return client(ClientCommand::Kill(filter));
    }
    let (options, []) = input.rest(2).as_chunks::<2>() else { return Err(CommandError::Syntax) };
    for [option, value] in options {
        match () {
            () if is(option, "id") => filter.id = Some(positive(value).ok_or(CommandError::KillId)?),
            () if is(option, "addr") => filter.peer = Some(value.clone()),
            () if is(option, "laddr") => filter.local = Some(value.clone()),
            () if is(option, "type") => filter.any_type = is_normal_type(value)?,
            () if is(option, "user") && value.as_ref() != b"default" => {
                return Err(CommandError::NoUser(echo(value)));
            }
            () if is(option, "user") => {}
            () if is(option, "skipme") && is(value, "yes") => filter.skip_me = true,
            () if is(option, "skipme") && is(value, "no") => filter.skip_me = false,
            () if is(option, "maxage") => {
                parse_integer(value).ok_or(CommandError::MaxAgeNumber)?;
                filter.age_min = Some(positive(value).ok_or(CommandError::MaxAge)?);
            }
            () => return Err(CommandError::Syntax),
        }
    }
    client(ClientCommand::Kill(filter))
}

fn positive(text: &[u8]) -> Option<u64> {
    parse_integer(text).and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

/// `CLIENT HELP`.
pub(super) fn help(_: Input<'_>) -> Parsed {
    Ok(Plan::Reply(lines(&[
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Close the connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Close connections. Options are ID <id>, ADDR <ip:port>, LADDR <ip:port>,",
        "    TYPE (NORMAL|MASTER|REPLICA|PUBSUB), USER <username>, MAXAGE <seconds>,",
        "    SKIPME (YES|NO) (spares the current connection, default: yes).",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> [<id> ...]]",
        "    Return information about client connections of this node.",
        "NO-EVICT (ON|OFF)",
        "    Noted only: no connection is ever evicted.",
        "NO-TOUCH (ON|OFF)",
        "    Noted only: access times are not kept.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETINFO (LIB-NAME|LIB-VER) <value>",
        "    Note the name or the version of the client library.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "HELP",
        "    Print this help.",
    ])))
}
