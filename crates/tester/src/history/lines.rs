//! One operation a line, as JSON: `docs/verify.md` describes the fields.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::call::{Call, Told};
use crate::record::{Outcome, Record, Via};

/// The longest line that is read, in bytes: a value as long as any that a ring takes, escaped, twice.
pub(super) const LINE_MAX: usize = 64 << 20;

/// A line of a history file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    #[serde(default)]
    pub(super) phase: u8,
    pub(super) client: u32,
    #[serde(default)]
    pub(super) node: String,
    pub(super) key: String,
    pub(super) op: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) via: Option<String>,
    pub(super) invoked: u64,
    pub(super) ended: u64,
    pub(super) outcome: Ending,
    /// What the client was told, if the outcome is `ok`.
    #[serde(default, skip_serializing_if = "Reply::is_none")]
    pub(super) reply: Reply,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ending {
    Ok,
    Fail,
    Unknown,
}

/// A reply as JSON has it: a text, a number, or nothing. `OK` is told from a value by the operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Reply {
    #[default]
    Nothing,
    Integer(i64),
    Text(String),
}

impl Reply {
    fn is_none(&self) -> bool {
        *self == Self::Nothing
    }

    fn of(told: &Told) -> Self {
        match told {
            Told::Ok => Self::Text("OK".to_owned()),
            Told::Nothing => Self::Nothing,
            Told::Value(bytes) => Self::Text(text(bytes)),
            Told::Integer(number) => Self::Integer(*number),
        }
    }
}

/// Names of the ways to look at a key in a listing.
pub(super) const VIA_NODE: &str = "@";
pub(super) const VIA_RING: &str = "*";

/// Writes one operation as a line.
///
/// # Errors
/// As the writer has it.
pub fn write_line(record: &Record, out: &mut impl Write) -> io::Result<()> {
    let (value, expected) = match &record.call {
        Call::Set(value) | Call::SetNx(value) | Call::SetXx(value) => (Some(value), None),
        Call::SetIfeq { value, expected } => (Some(value), Some(expected)),
        Call::Delifeq(expected) => (None, Some(expected)),
        Call::Get | Call::Del | Call::Getdel | Call::Incr => (None, None),
    };
    let (outcome, reply, error) = match &record.outcome {
        Outcome::Answered { told, .. } => (Ending::Ok, Reply::of(told), None),
        Outcome::Failed { error, .. } => (Ending::Fail, Reply::Nothing, Some(error.clone())),
        Outcome::Unknown { error, .. } => (Ending::Unknown, Reply::Nothing, Some(error.clone())),
    };
    let via = match record.via {
        Via::Key => None,
        Via::Node => Some(VIA_NODE.to_owned()),
        Via::Ring => Some(VIA_RING.to_owned()),
    };
    let line = Line {
        phase: record.phase,
        client: record.client,
        node: record.node.to_string(),
        key: text(&record.key),
        op: record.call.kind().name().to_owned(),
        value: value.map(|value| text(value)),
        expected: expected.map(|expected| text(expected)),
        via,
        invoked: record.invoked,
        ended: record.ended(),
        outcome,
        reply,
        error,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Keys and values are written by this program and are text; a server that answers with something else has not
/// answered with any of them.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
