//! What a command asks the ring to do.

use bytes::Bytes;
use simpledynamo_chain::{Operation, Part};
use simpledynamo_wire::resp::{Protocol, Value};

use super::client::ClientCommand;
use super::config::ConfigCommand;
use super::connection::Credentials;
use super::fault::FaultCommand;
use super::info::Sections;

/// A parsed command: its arguments are checked, nothing has been done yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Answered from the arguments alone.
    Reply(Value),
    /// One operation on one key.
    Key(KeyStep),
    /// Operations on several keys, sent at once and not atomic together.
    Keys {
        /// One operation per key, in the order of the arguments.
        steps: Vec<KeyStep>,
        /// How their replies become one.
        gather: Gather,
    },
    /// Something that concerns many keys of the ring.
    Ring(RingPlan),
    /// Something about this connection or this server.
    Server(ServerCommand),
}

/// One operation on one key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyStep {
    /// A write.
    Write {
        /// The key.
        key: Bytes,
        /// What to do.
        operation: Operation,
        /// How the outcome is told.
        shape: WriteShape,
    },
    /// A read.
    Read {
        /// The key.
        key: Bytes,
        /// Which part of the pair is needed.
        part: Part,
        /// How the outcome is told.
        shape: ReadShape,
    },
}

impl KeyStep {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Write { key, .. } | Self::Read { key, .. } => key,
        }
    }
}

/// How `Done` and `Refused` are told; all other outcomes speak for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteShape {
    /// `OK`, or null if refused.
    OkOrNull,
    /// 1, or 0 if refused.
    OneOrZero,
}

/// How a read is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadShape {
    /// The bytes, or null if the key is absent.
    BytesOrNull,
    /// The bytes, empty if the key is absent.
    Bytes,
    /// The length of the value, 0 if absent.
    Length,
    /// 1, or 0 if absent.
    Exists,
    /// 1, or null if absent.
    OneOrNull,
    /// `string` or `none`.
    Type,
    /// Redis's name of the encoding, or null if absent.
    Encoding,
    /// Bytes of memory and disk that the pair takes, about; null if absent.
    MemoryUsage,
    /// Time to live, or the expiry time itself; -1 without one, -2 if absent.
    Expiry {
        /// In milliseconds rather than seconds.
        millis: bool,
        /// The Unix time rather than what is left.
        absolute: bool,
    },
}

/// How the replies of several steps become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// An array of the replies (`MGET`).
    Array,
    /// The sum of the integer replies (`DEL`, `EXISTS`).
    Sum,
    /// `OK` if all are (`MSET`); an error tells how many keys are set for certain.
    AllOk,
}

/// Which pairs a selection means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All pairs that this node stores, replicas included: `@`.
    Node,
    /// All pairs of the ring, each once: `*`.
    Ring,
    /// One key.
    Key(Bytes),
}

/// What concerns many keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingPlan {
    /// A page of keys from a cursor on (`SCAN`).
    Scan {
        /// 0 to start, else what the page before returned.
        cursor: u64,
        /// About how many keys to look at.
        count: u32,
        /// Only keys that match.
        pattern: Option<Bytes>,
        /// False if a `TYPE` was asked for that no pair has.
        any_type: bool,
    },
    /// All keys that match (`KEYS`).
    Keys(Bytes),
    /// How many keys there are (`DBSIZE`).
    Count,
    /// Some key (`RANDOMKEY`).
    Random,
    /// Delete everything (`FLUSHALL`).
    Flush,
    /// A page of pairs (`SD.QUERY`).
    Query {
        /// Which pairs.
        selection: Selection,
        /// 0 to start, else what the page before returned.
        cursor: u64,
        /// About how many pairs to look at.
        count: u32,
    },
    /// Delete pairs and tell how many there were (`SD.DELETE`).
    Delete(Selection),
    /// The ring and the chains, as JSON (`SD.RING`).
    Describe,
    /// Sections of `INFO`. Only [`Sections::needs_keyspace`] needs to ask the ring; the rest is known here.
    Info(Sections),
}

/// Something about this connection or this server: [`crate::clients::state::ClientState::answer`] carries it
/// out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerCommand {
    /// Greets, and may change the protocol, authenticate and name the client in one step.
    Hello {
        /// The protocol to speak from the reply on.
        protocol: Option<Protocol>,
        /// Who the client is.
        credentials: Option<Credentials>,
        /// The client's name.
        name: Option<Bytes>,
    },
    /// Proves who the client is.
    Auth(Credentials),
    /// Closes the connection after the reply.
    Quit,
    /// Makes the connection as good as new.
    Reset,
    /// About this connection or others.
    Client(ClientCommand),
    /// Reads or changes settings.
    Config(ConfigCommand),
    /// Begins a block that is refused as a whole.
    Multi,
    /// Ends such a block.
    Exec,
    /// Ends such a block as well.
    Discard,
    /// How many replicas besides one have every acknowledged write (`WAIT`).
    Wait,
    /// As `Wait`, for writes that are on disk (`WAITAOF`).
    WaitDurable,
    /// Brings a fault about, or ends it.
    Fault(FaultCommand),
}
