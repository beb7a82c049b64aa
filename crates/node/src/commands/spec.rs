//! What the table of commands tells of each.

use super::input::{Input, Parsed};

/// One command or subcommand.
#[derive(Debug)]
pub struct Spec {
    /// In lower case; a subcommand's after its command's and a `|`.
    pub name: &'static str,
    /// The number of arguments as Redis counts it, the name included: exactly `n`, or at least `-n`.
    pub arity: i32,
    /// Which arguments are keys.
    pub keys: KeyPositions,
    /// The family.
    pub group: Group,
    /// The version of Redis or Valkey that introduced it; for our own, of SimpleDynamo.
    pub since: &'static str,
    /// What kind of command it is.
    pub flags: &'static [Flag],
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Its arguments, in the notation of Redis's documentation.
    pub syntax: &'static str,
    /// How much of it is supported.
    pub support: Support,
    /// Whether the argument after the name chooses a subcommand.
    pub has_subcommands: bool,
    /// Makes a plan of the arguments.
    pub(super) parse: fn(Input<'_>) -> Parsed,
}

impl Spec {
    /// Whether the command takes this many arguments, its name included.
    #[must_use]
    pub fn accepts(&self, arguments: usize) -> bool {
        let bound = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { arguments >= bound } else { arguments == bound }
    }

    /// Whether it has the flag.
    #[must_use]
    pub fn is(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// Whether it is a subcommand.
    #[must_use]
    pub fn is_subcommand(&self) -> bool {
        self.name.contains('|')
    }
}

/// Where the keys stand among the arguments, as Redis tells it: every `step`th from `first` to `last`; a
/// negative `last` counts from the end. All 0 without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPositions {
    /// The first key.
    pub first: i32,
    /// The last key.
    pub last: i32,
    /// From one key to the next.
    pub step: i32,
}

/// What kind of command it is; the names are Redis's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// May change data.
    Write,
    /// Reads data.
    ReadOnly,
    /// Takes constant time at the server, besides the network.
    Fast,
    /// Operators' business.
    Admin,
    /// Can do harm by accident, or takes long.
    Dangerous,
    /// Allowed before the client has proved who it is.
    NoAuth,
    /// There only with `fault_injection`.
    Test,
}

impl Flag {
    /// Redis's name of the flag; none for one that `COMMAND` shows as a category only.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Write => Some("write"),
            Self::ReadOnly => Some("readonly"),
            Self::Fast => Some("fast"),
            Self::Admin => Some("admin"),
            Self::Dangerous | Self::Test => None,
            Self::NoAuth => Some("no_auth"),
        }
    }
}

/// A family of commands, as Redis's documentation groups them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Values.
    String,
    /// Keys whatever their value.
    Generic,
    /// The client's connection.
    Connection,
    /// The server.
    Server,
    /// `MULTI` and its relatives.
    Transactions,
    /// Redis Cluster.
    Cluster,
    /// Our own commands.
    SimpleDynamo,
}

impl Group {
    /// The name in `COMMAND DOCS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Generic => "generic",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Transactions => "transactions",
            Self::Cluster => "cluster",
            Self::SimpleDynamo => "simpledynamo",
        }
    }
}

/// How much of a command is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// All of it; a note may tell what to know.
    Full(&'static str),
    /// With a difference, which the note tells.
    Partial(&'static str),
    /// Not at all: it is in the table for its error, which the note explains.
    No(&'static str),
}
