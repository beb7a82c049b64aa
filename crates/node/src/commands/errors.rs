//! Every error that a client can be told about its command, worded as Redis words it where Redis has it.
//!
//! Client libraries recognise errors by their first word and some by the whole text, so the texts are part of
//! the protocol: they are the ones of Redis 7, compared with that server.

use std::borrow::Cow;

use bytes::Bytes;
use simpledynamo_wire::resp::Value;

use super::fault::{OFFSET_MAX, PPM_MAX};

/// The longest piece of a client's own bytes that an error repeats, as in Redis.
const ECHO_MAX: usize = 128;

/// Why a command is refused before anything was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such command.
    #[error("ERR unknown command '{name}', with args beginning with: {arguments}")]
    UnknownCommand {
        /// The name as the client wrote it.
        name: String,
        /// The first arguments, quoted.
        arguments: String,
    },
    /// A command that people know from Redis and that does not exist here.
    #[error("ERR unsupported command '{name}': {reason}")]
    Unsupported {
        /// The command.
        name: &'static str,
        /// Why, and what to do instead.
        reason: &'static str,
    },
    /// The command exists, the subcommand does not.
    #[error("ERR unknown subcommand '{name}'. Try {container} HELP.")]
    UnknownSubcommand {
        /// The subcommand as the client wrote it.
        name: String,
        /// The command, in upper case.
        container: String,
    },
    /// Too few or too many arguments.
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arguments(&'static str),
    /// An option that does not exist, lacks its value, or contradicts another.
    #[error("ERR syntax error")]
    Syntax,
    /// An argument that should be a signed 64-bit integer.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// An argument that should be a number.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// `DECRBY` by the one number that has no negative.
    #[error("ERR decrement would overflow")]
    Decrement,
    /// A time to live that is not positive, or too far away.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    /// An option of the `EXPIRE` family that does not exist.
    #[error("ERR Unsupported option {0}")]
    ExpireOption(String),
    /// `NX` with another option of the `EXPIRE` family.
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    ExpireUnsetWithOther,
    /// `GT` with `LT`.
    #[error("ERR GT and LT options at the same time are not compatible")]
    ExpireLaterAndEarlier,
    /// A negative offset.
    #[error("ERR offset is out of range")]
    Offset,
    /// A value that is, or would become, longer than `max_value`.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    ValueTooLong,
    /// A key that is longer than keys may be.
    #[error("ERR key is too long: {length} bytes, at most {max} are allowed")]
    KeyTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// A cursor that no page returned.
    #[error("ERR invalid cursor")]
    Cursor,
    /// Any database but the first.
    #[error("ERR DB index is out of range")]
    Database,
    /// A command that has been refused until the client proves who it is.
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    /// `HELLO` without credentials where a password is needed.
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
         <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
         the same time"
    )]
    NoAuthHello,
    /// Credentials that do not fit.
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPassword,
    /// A password where none is configured.
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    )]
    NoPassword,
    /// A version of RESP that is neither 2 nor 3.
    #[error("NOPROTO unsupported protocol version")]
    Protocol,
    /// A version of RESP that is no number.
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNumber,
    /// An option of `HELLO` that does not exist or lacks its value.
    #[error("ERR Syntax error in HELLO option '{0}'")]
    HelloOption(String),
    /// A client's name with bytes that would garble `CLIENT LIST`.
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    /// A name that is longer than is kept per client.
    #[error("ERR {what} is too long: at most {max} bytes are kept per client")]
    ClientText {
        /// What is too long.
        what: String,
        /// The limit.
        max: usize,
    },
    /// `CLIENT SETINFO` of something else.
    #[error("ERR Unrecognized option '{0}'")]
    InfoOption(String),
    /// `CLIENT SETINFO` with bytes that would garble `CLIENT LIST`.
    #[error("ERR {0} cannot contain spaces, newlines or special characters.")]
    InfoText(String),
    /// A client id that is none.
    #[error("ERR Invalid client ID")]
    ClientId,
    /// A client id to be killed that is none.
    #[error("ERR client-id should be greater than 0")]
    KillId,
    /// A `MAXAGE` that is no number.
    #[error("ERR maxage is not an integer or out of range")]
    MaxAgeNumber,
    /// A `MAXAGE` that is not positive.
    #[error("ERR maxage should be greater than 0")]
    MaxAge,
    /// A kind of client that does not exist.
    #[error("ERR Unknown client type '{0}'")]
    ClientType(String),
    /// A user other than `default`.
    #[error("ERR No such user '{0}'")]
    NoUser(String),
    /// No client has that address.
    #[error("ERR No such client")]
    NoClient,
    /// `CONFIG SET` of something that does not exist.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    ConfigUnknown(String),
    /// `CONFIG SET` of something that exists, with a reason.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    ConfigSet {
        /// The setting.
        name: &'static str,
        /// Why not.
        reason: String,
    },
    /// `CONFIG REWRITE`, since nobody but the operator writes the configuration file.
    #[error("ERR CONFIG REWRITE is not supported: edit the node's configuration file and restart the node")]
    ConfigRewrite,
    /// `COMMAND GETKEYS` of a command that does not exist.
    #[error("ERR Invalid command specified")]
    GetKeysCommand,
    /// `COMMAND GETKEYS` with too few or too many arguments.
    #[error("ERR Invalid number of arguments specified for command")]
    GetKeysArguments,
    /// `COMMAND GETKEYS` of a command without keys.
    #[error("ERR The command has no key arguments")]
    GetKeysNone,
    /// Commands of Redis Cluster: the ring forwards instead.
    #[error("ERR This instance has cluster support disabled")]
    Cluster,
    /// `WAIT` with a timeout that is no number.
    #[error("ERR timeout is not an integer or out of range")]
    TimeoutNumber,
    /// `WAIT` with a negative timeout.
    #[error("ERR timeout is negative")]
    TimeoutNegative,
    /// `WAITAOF` for more than this node and none.
    #[error("ERR value is out of range, value must between 0 and 1")]
    LocalCount,
    /// `WAITAOF` for a negative number of replicas.
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    /// An `SD.FAULT` that is none.
    #[error("ERR SD.FAULT takes CUT TO node, CUT FROM node, HEAL, or CLOCK ppm [milliseconds]")]
    Fault,
    /// `SD.FAULT CLOCK` with numbers that are too large.
    #[error(
        "ERR a clock can be put wrong by at most {PPM_MAX} ppm and {OFFSET_MAX} milliseconds, either way"
    )]
    FaultClock,
    /// `SD.FAULT CUT` of a node that does not exist, or of this one.
    #[error("ERR there is no other node '{0}'")]
    FaultNode(String),
    /// `OBJECT FREQ`.
    #[error("ERR An LFU maxmemory policy is not selected, access frequency not tracked.")]
    NoFrequency,
    /// `OBJECT IDLETIME`.
    #[error("ERR Access times are not tracked, idle time unknown.")]
    NoIdleTime,
    /// `MULTI`.
    #[error(
        "ERR MULTI is not supported: there are no transactions across keys. Send the commands without MULTI, \
         in redis-py by pipeline(transaction=False)"
    )]
    Multi,
    /// A command between a refused `MULTI` and its end.
    #[error("ERR not executed: its MULTI was refused, and so is every command until EXEC or DISCARD")]
    InRefusedBlock,
    /// `EXEC` after a refused `MULTI`.
    #[error(
        "EXECABORT Transaction discarded because of: MULTI is not supported. Nothing took effect; send the \
         commands without MULTI, in redis-py by pipeline(transaction=False)"
    )]
    ExecAbort,
    /// `EXEC` without `MULTI`.
    #[error("ERR EXEC without MULTI")]
    ExecWithoutMulti,
    /// `DISCARD` without `MULTI`.
    #[error("ERR DISCARD without MULTI")]
    DiscardWithoutMulti,
    /// `WATCH` and `UNWATCH`.
    #[error(
        "ERR {0} is not supported: there are no transactions. To change a value only if it is still the same, \
         use SET key value IFEQ old"
    )]
    Watch(&'static str),
}

impl CommandError {
    /// The error for a name that is no other node's.
    pub(crate) fn no_other_node(name: &[u8]) -> Self {
        Self::FaultNode(echo(name))
    }

    /// The error for a command that no table has.
    pub(super) fn unknown_command(arguments: &[Bytes]) -> Self {
        let name = arguments.first().map_or_else(String::new, |name| echo(name));
        let mut quoted = String::new();
        for argument in arguments.iter().skip(1) {
            // Redis stops once the quoted arguments have come to 128 bytes.
            let Some(room @ 1..) = ECHO_MAX.checked_sub(quoted.len()) else { break };
            quoted.push('\'');
            quoted.push_str(&echo(&argument[..argument.len().min(room)]));
            quoted.push_str("' ");
        }
        Self::UnknownCommand { name, arguments: quoted }
    }
}

impl From<CommandError> for Value {
    fn from(error: CommandError) -> Self {
        Self::Error(Cow::Owned(error.to_string()))
    }
}

/// A client's bytes as an error repeats them: at most 128, on one line, as text.
pub(super) fn echo(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(ECHO_MAX)]);
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(arguments: &[&[u8]]) -> String {
        let arguments: Vec<Bytes> = arguments.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
        CommandError::unknown_command(&arguments).to_string()
    }

    #[test]
    fn unknown_commands_are_told_as_redis_tells_them() {
        assert_eq!(unknown(&[b"foo"]), "ERR unknown command 'foo', with args beginning with: ");
        assert_eq!(
            unknown(&[b"foo", b"a", b"b"]),
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
        );
        assert_eq!(unknown(&[b"foo", b""]), "ERR unknown command 'foo', with args beginning with: '' ");
        assert_eq!(
            unknown(&[b"foo\nbar", b"a\r\nb"]),
            "ERR unknown command 'foo bar', with args beginning with: 'a  b' "
        );
        let long = b"1234567890".repeat(20);
        assert_eq!(
            unknown(&[b"foo", &long[..100], &long]),
            format!(
                "ERR unknown command 'foo', with args beginning with: '{}' '{}' ",
                "1234567890".repeat(10),
                "1234567890123456789012345"
            )
        );
        assert_eq!(
            unknown(&[&long, b"a"]),
            format!(
                "ERR unknown command '{}', with args beginning with: 'a' ",
                &String::from_utf8_lossy(&long)[..128]
            )
        );
    }

    #[test]
    fn an_error_stays_on_one_line_whatever_the_client_sent() {
        for bytes in [&b"\r\n+OK\r\n"[..], b"\xff\xfe", b"\0"] {
            let Value::Error(text) = Value::from(CommandError::ExpireOption(echo(bytes))) else {
                panic!("an error is told as an error")
            };
            assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
        }
    }
}
