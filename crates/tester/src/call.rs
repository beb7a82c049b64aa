//! What clients ask, as commands of Redis's protocol, and what the replies say.

use std::fmt;

use bytes::{Buf as _, Bytes};
use simpledynamo_verify::{Condition, History, Operation, Reply};
use simpledynamo_wire::OutBuffer;
use simpledynamo_wire::resp::{Value, encode_command};

/// What is asked of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GET`, or a look at the key in a listing.
    Get,
    /// `SET value`.
    Set(Bytes),
    /// `SET value NX`.
    SetNx(Bytes),
    /// `SET value XX`.
    SetXx(Bytes),
    /// `SET value IFEQ expected`.
    SetIfeq {
        /// The new value.
        value: Bytes,
        /// The value that it replaces.
        expected: Bytes,
    },
    /// `DEL`.
    Del,
    /// `GETDEL`.
    Getdel,
    /// `DELIFEQ expected`.
    Delifeq(Bytes),
    /// `INCR`.
    Incr,
}

/// The kinds of [`Call`], without values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`Call::Get`].
    Get,
    /// [`Call::Set`].
    Set,
    /// [`Call::SetNx`].
    SetNx,
    /// [`Call::SetXx`].
    SetXx,
    /// [`Call::SetIfeq`].
    SetIfeq,
    /// [`Call::Del`].
    Del,
    /// [`Call::Getdel`].
    Getdel,
    /// [`Call::Delifeq`].
    Delifeq,
    /// [`Call::Incr`].
    Incr,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Get,
        Self::Set,
        Self::SetNx,
        Self::SetXx,
        Self::SetIfeq,
        Self::Del,
        Self::Getdel,
        Self::Delifeq,
        Self::Incr,
    ];

    /// The name in history files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::SetNx => "set-nx",
            Self::SetXx => "set-xx",
            Self::SetIfeq => "set-ifeq",
            Self::Del => "del",
            Self::Getdel => "getdel",
            Self::Delifeq => "delifeq",
            Self::Incr => "incr",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a reply that is no error says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// `OK`.
    Ok,
    /// Nothing: no value, or a condition that did not hold.
    Nothing,
    /// A value.
    Value(Bytes),
    /// A number: a sum, or how many keys were deleted.
    Integer(i64),
}

/// What a reply, of whatever kind, lets the client conclude.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was carried out, or refused by its own condition.
    Told(Told),
    /// It was certainly not carried out.
    Failed(String),
    /// It may have been carried out.
    Unknown(String),
    /// No server that is right answers so.
    Nonsense(String),
}

/// First words of errors by which a server says that it did nothing: ours, and those of Redis and its relatives that
/// come before a command is run.
const CERTAIN_FAILURES: [&str; 11] = [
    "UNAVAILABLE",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "OOM",
    "NOAUTH",
    "NOREPLICAS",
    "MISCONF",
    "BUSY",
];

impl Call {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Get => Kind::Get,
            Self::Set(_) => Kind::Set,
            Self::SetNx(_) => Kind::SetNx,
            Self::SetXx(_) => Kind::SetXx,
            Self::SetIfeq { .. } => Kind::SetIfeq,
            Self::Del => Kind::Del,
            Self::Getdel => Kind::Getdel,
            Self::Delifeq(_) => Kind::Delifeq,
            Self::Incr => Kind::Incr,
        }
    }

    /// Whether it only looks.
    #[must_use]
    pub fn is_read(&self) -> bool {
        *self == Self::Get
    }

    /// The request, as bytes of the protocol.
    pub(crate) fn request(&self, key: &[u8]) -> Vec<u8> {
        match self {
            Self::Get => encoded(&[b"GET", key]),
            Self::Set(value) => encoded(&[b"SET", key, value]),
            Self::SetNx(value) => encoded(&[b"SET", key, value, b"NX"]),
            Self::SetXx(value) => encoded(&[b"SET", key, value, b"XX"]),
            Self::SetIfeq { value, expected } => encoded(&[b"SET", key, value, b"IFEQ", expected]),
            Self::Del => encoded(&[b"DEL", key]),
            Self::Getdel => encoded(&[b"GETDEL", key]),
            Self::Delifeq(expected) => encoded(&[b"DELIFEQ", key, expected]),
            Self::Incr => encoded(&[b"INCR", key]),
        }
    }

    /// What a reply to it says.
    pub(crate) fn understand(&self, reply: Value) -> Answer {
        let told = match reply {
            Value::Error(text) => return understand_error(&text),
            Value::Simple(text) if text == "OK" => Told::Ok,
            Value::Null | Value::NullArray => Told::Nothing,
            Value::Bulk(bytes) => Told::Value(bytes),
            Value::Integer(number) => Told::Integer(number),
            other => return Answer::Nonsense(shortened(&other)),
        };
        match self.reply(&told, &mut History::new()) {
            Some(_) => Answer::Told(told),
            None => Answer::Nonsense(format!("{told:?} to {}", self.kind())),
        }
    }

    /// The operation as the checker has it.
    pub(crate) fn operation(&self, history: &mut History) -> Operation {
        let mut set = |value: &Bytes, condition| {
            let value = history.value(value);
            Operation::Set { value, condition, want_old: false }
        };
        match self {
            Self::Get => Operation::Read,
            Self::Set(value) => set(value, Condition::Always),
            Self::SetNx(value) => set(value, Condition::Absent),
            Self::SetXx(value) => set(value, Condition::Present),
            Self::SetIfeq { value, expected } => {
                let condition = Condition::Equals(history.value(expected));
                Operation::Set { value: history.value(value), condition, want_old: false }
            }
            Self::Del => Operation::Delete { condition: Condition::Always, want_old: false },
            Self::Getdel => Operation::Delete { condition: Condition::Always, want_old: true },
            Self::Delifeq(expected) => {
                Operation::Delete { condition: Condition::Equals(history.value(expected)), want_old: false }
            }
            Self::Incr => Operation::Increment(1),
        }
    }

    /// The reply as the checker has it; none if a server that is right never gives it.
    pub(crate) fn reply(&self, told: &Told, history: &mut History) -> Option<Reply> {
        Some(match (self, told) {
            (Self::Get | Self::Getdel, Told::Nothing) => Reply::Value(None),
            (Self::Get | Self::Getdel, Told::Value(bytes)) => Reply::Value(Some(history.value(bytes))),
            (Self::Set(_) | Self::SetNx(_) | Self::SetXx(_) | Self::SetIfeq { .. }, Told::Ok)
            | (Self::Del | Self::Delifeq(_), Told::Integer(1)) => Reply::Done,
            (Self::SetNx(_) | Self::SetXx(_) | Self::SetIfeq { .. }, Told::Nothing)
            | (Self::Del | Self::Delifeq(_), Told::Integer(0)) => Reply::Refused,
            (Self::Incr, Told::Integer(sum)) => Reply::Integer(*sum),
            _ => return None,
        })
    }
}

/// What an error lets the client conclude.
pub(crate) fn understand_error(text: &str) -> Answer {
    let word = text.split(' ').next().unwrap_or_default();
    if CERTAIN_FAILURES.contains(&word) || text.starts_with("ERR max number of clients") {
        Answer::Failed(text.to_owned())
    } else if word == "UNKNOWN" {
        Answer::Unknown(text.to_owned())
    } else {
        Answer::Nonsense(text.to_owned())
    }
}

/// A request as bytes of the protocol.
pub(crate) fn encoded(arguments: &[&[u8]]) -> Vec<u8> {
    let mut request = OutBuffer::new();
    encode_command(arguments, &mut request);
    request.copy_to_bytes(request.remaining()).to_vec()
}

/// A reply in a few words, for messages.
pub(crate) fn shortened(reply: &Value) -> String {
    format!("{reply:?}").chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn replies_say_what_may_be_concluded() {
        let value = Bytes::from_static(b"a");
        let understood = |call: &Call, reply| call.understand(reply);
        assert_eq!(understood(&Call::Get, bulk("a")), Answer::Told(Told::Value(value.clone())));
        assert_eq!(understood(&Call::Get, Value::Null), Answer::Told(Told::Nothing));
        assert_eq!(understood(&Call::Set(value.clone()), Value::OK), Answer::Told(Told::Ok));
        assert_eq!(understood(&Call::SetNx(value.clone()), Value::Null), Answer::Told(Told::Nothing));
        let failed = Value::Error("UNAVAILABLE no lease".into());
        assert!(matches!(understood(&Call::Incr, failed), Answer::Failed(_)));
        let unknown = Value::Error("UNKNOWN it may have been done".into());
        assert!(matches!(understood(&Call::Incr, unknown), Answer::Unknown(_)));
        for nonsense in [Value::Error("ERR what".into()), bulk("x"), Value::Null, Value::Array(Vec::new())] {
            assert!(matches!(understood(&Call::Incr, nonsense), Answer::Nonsense(_)));
        }
        assert!(matches!(understood(&Call::Set(value), Value::Null), Answer::Nonsense(_)));
        assert!(matches!(understood(&Call::Del, Value::Integer(2)), Answer::Nonsense(_)));
    }

    #[test]
    fn requests_are_commands() {
        let call = Call::SetIfeq { value: Bytes::from_static(b"n"), expected: Bytes::from_static(b"o") };
        let request = String::from_utf8(call.request(b"k")).expect("text");
        assert_eq!(request, "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nn\r\n$4\r\nIFEQ\r\n$1\r\no\r\n");
    }
}
