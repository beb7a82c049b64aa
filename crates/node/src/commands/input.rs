//! The arguments of one command, as its parser reads them.

use bytes::Bytes;

use super::errors::CommandError;
use super::{CommandId, Context, Plan};
use simpledynamo_chain::number::parse_integer;

/// What a parser returns.
pub(super) type Parsed = Result<Plan, CommandError>;

/// The arguments of one command. The table's arity has been checked, so the positions that it demands exist.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// The command, subcommand included.
    pub(super) command: CommandId,
    /// All arguments, the command's name the first.
    pub(super) all: &'a [Bytes],
    /// What else parsing depends on.
    pub(super) context: &'a Context,
}

impl<'a> Input<'a> {
    /// The command's name, in lower case, with its subcommand after a `|`.
    pub(super) fn name(&self) -> &'static str {
        self.command.spec().name
    }

    /// Arguments from a position on: none if there are not that many.
    pub(super) fn rest(&self, from: usize) -> &'a [Bytes] {
        self.all.get(from..).unwrap_or_default()
    }

    /// The argument as it is.
    pub(super) fn bytes(&self, index: usize) -> Bytes {
        self.all[index].clone()
    }

    /// The argument as a key.
    pub(super) fn key(&self, index: usize) -> Result<Bytes, CommandError> {
        self.checked_key(&self.all[index])
    }

    /// A key whose length is allowed.
    pub(super) fn checked_key(&self, key: &Bytes) -> Result<Bytes, CommandError> {
        let max = self.context.limits.max_key;
        if key.len() > max {
            Err(CommandError::KeyTooLong { length: key.len(), max })
        } else {
            Ok(key.clone())
        }
    }

    /// The argument as a value.
    pub(super) fn value(&self, index: usize) -> Result<Bytes, CommandError> {
        self.checked_value(&self.all[index])
    }

    /// A value whose length is allowed.
    pub(super) fn checked_value(&self, value: &Bytes) -> Result<Bytes, CommandError> {
        if value.len() > self.context.limits.max_value {
            Err(CommandError::ValueTooLong)
        } else {
            Ok(value.clone())
        }
    }

    /// The argument as a signed 64-bit integer.
    pub(super) fn integer(&self, index: usize) -> Result<i64, CommandError> {
        integer(&self.all[index])
    }

    /// The error for a wrong number of arguments that the table's arity cannot express.
    pub(super) fn wrong_arguments(&self) -> CommandError {
        CommandError::Arguments(self.name())
    }
}

/// An argument as a signed 64-bit integer.
pub(super) fn integer(bytes: &[u8]) -> Result<i64, CommandError> {
    parse_integer(bytes).ok_or(CommandError::NotAnInteger)
}

/// Whether an argument is this word, in any case.
pub(super) fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}
