//! What a write can do to one key, evaluated at the head in one step.

use bytes::{Bytes, BytesMut};

use crate::number::{parse_float, parse_integer};
use crate::{Change, Displaced, Record, UnixMillis, Version};

/// A write to one key.
///
/// Each Redis command that changes a key is one of these: what they share is that a head can evaluate them
/// against the newest record alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Gives the key a value (`SET` and its relatives).
    Set {
        /// The new value.
        value: Bytes,
        /// When to do it at all.
        condition: Condition,
        /// What becomes of the expiry time.
        expiry: Expiry,
        /// Reply with the value before, done or not.
        want_old: bool,
    },
    /// Removes the key (`DEL`, `GETDEL`, `DELIFEQ`).
    Delete {
        /// When to do it at all.
        condition: Condition,
        /// Reply with the value before.
        want_old: bool,
    },
    /// Adds bytes at the end; replies with the new length (`APPEND`).
    Append(Bytes),
    /// Overwrites from an offset on, padding with zero bytes; replies with the new length (`SETRANGE`).
    Overwrite {
        /// Where to start.
        offset: u64,
        /// What to write.
        bytes: Bytes,
    },
    /// Adds to the integer that the value spells; replies with the sum (`INCRBY`).
    Increment(i64),
    /// Adds to the number that the value spells; replies with the sum as text (`INCRBYFLOAT`).
    IncrementFloat(Bytes),
    /// Changes the expiry time only (`EXPIRE`, `PERSIST`, `GETEX`).
    Expire {
        /// What becomes of the expiry time. A time that has passed deletes the key.
        expiry: Expiry,
        /// When to do it at all.
        condition: ExpiryCondition,
        /// Reply with the value.
        want_value: bool,
    },
    /// Deletes this version if it is expired by the head's clock.
    Lapse {
        /// The version that somebody found expired.
        version: Version,
    },
}

/// When a `Set` or `Delete` takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    Always,
    /// Only if the key has no value.
    Absent,
    /// Only if the key has a value.
    Present,
    /// Only if the key has exactly this value.
    Equals(Bytes),
}

/// What becomes of an expiry time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The key no longer expires.
    Clear,
    /// It stays as it is.
    Keep,
    /// The key expires at this time.
    At(UnixMillis),
    /// The key expires this many milliseconds from now, by the head's clock.
    In(u64),
}

/// When an `Expire` takes effect. As in Redis, a key without an expiry time counts as living for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryCondition {
    /// If the key has a value.
    Always,
    /// Only if it has no expiry time (`NX`).
    Unset,
    /// Only if it has one (`XX`).
    AlreadySet,
    /// Only if the new time is later (`GT`).
    Later,
    /// Only if the new time is earlier (`LT`).
    Earlier,
}

/// The outcome of a write, stored in the log with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It took effect.
    Done,
    /// Its condition did not hold, or there was nothing to do it to; nothing changed.
    Refused,
    /// It took effect and gave this number.
    Integer(i64),
    /// It took effect and gave these bytes.
    Bytes(Bytes),
    /// The value before, or that there was none.
    Old(Option<Bytes>),
    /// The key no longer has the version that a `Lapse` named.
    Superseded,
    /// The value or the arguments do not allow it; nothing changed.
    Failed(OperationError),
}

/// Why an operation cannot be done to the value that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationError {
    /// The value does not spell a signed 64-bit integer.
    NotAnInteger,
    /// The sum leaves the signed 64-bit integers.
    Overflow,
    /// The value does not spell a number.
    NotAFloat,
    /// The sum is not a finite number.
    NotFinite,
    /// The value would become longer than allowed.
    TooLong,
}

/// Bounds that an evaluation keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest value, in bytes.
    pub max_value: usize,
}

/// What an operation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// What happens to the key.
    pub change: Change,
    /// What the client is told.
    pub reply: Reply,
}

impl Evaluation {
    fn keep(reply: Reply) -> Self {
        Self { change: Change::Keep, reply }
    }

    fn put(value: Bytes, expires_at: Option<UnixMillis>, reply: Reply) -> Self {
        Self { change: Change::Put { value, expires_at }, reply }
    }
}

impl Displaced {
    /// What a change of this record displaces.
    #[must_use]
    pub fn by_change_of(old: Option<&Record>) -> Self {
        Self { existed: old.is_some(), expires_at: old.and_then(|record| record.expires_at) }
    }
}

impl Operation {
    /// Bytes that the operation carries, roughly: for bounds on memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Set { value, .. } => value.len(),
            Self::Append(bytes) | Self::Overwrite { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }

    /// Evaluates the operation against the newest record. `now` is the head's clock.
    ///
    /// The caller deletes an expired record first: `old` is due only for [`Operation::Lapse`].
    #[must_use]
    pub fn evaluate(&self, old: Option<&Record>, now: UnixMillis, limits: Limits) -> Evaluation {
        match self {
            Self::Set { value, condition, expiry, want_old } => {
                set(value, condition, *expiry, *want_old, old, now)
            }
            Self::Delete { condition, want_old } => delete(condition, *want_old, old),
            Self::Append(bytes) => splice(old, usize::MAX, bytes, limits),
            Self::Overwrite { offset, bytes } => {
                splice(old, usize::try_from(*offset).unwrap_or(usize::MAX - 1), bytes, limits)
            }
            Self::Increment(by) => increment(old, *by),
            Self::IncrementFloat(by) => increment_float(old, by),
            Self::Expire { expiry, condition, want_value } => {
                expire(*expiry, *condition, *want_value, old, now)
            }
            Self::Lapse { version } => lapse(*version, old, now),
        }
    }
}

impl Condition {
    fn holds(&self, old: Option<&Record>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => old.is_none(),
            Self::Present => old.is_some(),
            Self::Equals(value) => old.is_some_and(|record| record.value == *value),
        }
    }
}

impl Expiry {
    fn resolve(self, old: Option<&Record>, now: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Clear => None,
            Self::Keep => old.and_then(|record| record.expires_at),
            Self::At(at) => Some(at),
            Self::In(millis) => Some(now.saturating_add(millis)),
        }
    }
}

fn set(
    value: &Bytes,
    condition: &Condition,
    expiry: Expiry,
    want_old: bool,
    old: Option<&Record>,
    now: UnixMillis,
) -> Evaluation {
    let done = condition.holds(old);
    let reply = match (want_old, done) {
        (true, _) => Reply::Old(old.map(|record| record.value.clone())),
        (false, true) => Reply::Done,
        (false, false) => Reply::Refused,
    };
    if !done {
        return Evaluation::keep(reply);
    }
    let expires_at = expiry.resolve(old, now);
    if expires_at.is_some_and(|at| at <= now) {
        // A time that has passed already: the key is gone at once, as in Redis.
        return Evaluation { change: if old.is_some() { Change::Remove } else { Change::Keep }, reply };
    }
    Evaluation::put(value.clone(), expires_at, reply)
}

fn delete(condition: &Condition, want_old: bool, old: Option<&Record>) -> Evaluation {
    let done = old.is_some() && condition.holds(old);
    let reply = match (want_old, done) {
        (true, _) => Reply::Old(old.map(|record| record.value.clone())),
        (false, true) => Reply::Done,
        (false, false) => Reply::Refused,
    };
    Evaluation { change: if done { Change::Remove } else { Change::Keep }, reply }
}

/// Writes `bytes` over the old value from `offset` on; an offset of `usize::MAX` is the end of the value.
fn splice(old: Option<&Record>, offset: usize, bytes: &Bytes, limits: Limits) -> Evaluation {
    let before = old.map_or(&[][..], |record| &record.value);
    let expires_at = old.and_then(|record| record.expires_at);
    let length = |length: usize| Reply::Integer(i64::try_from(length).expect("a value is shorter than 2^63"));
    if bytes.is_empty() && (offset != usize::MAX || old.is_some()) {
        return Evaluation::keep(length(before.len()));
    }
    let start = if offset == usize::MAX { before.len() } else { offset };
    let end = start.saturating_add(bytes.len());
    if end > limits.max_value {
        return Evaluation::keep(Reply::Failed(OperationError::TooLong));
    }
    let mut value = BytesMut::zeroed(end.max(before.len()));
    value[..before.len()].copy_from_slice(before);
    value[start..end].copy_from_slice(bytes);
    let reply = length(value.len());
    Evaluation::put(value.freeze(), expires_at, reply)
}

fn increment(old: Option<&Record>, by: i64) -> Evaluation {
    let failed = |error| Evaluation::keep(Reply::Failed(error));
    let Some(before) = old.map_or(Some(0), |record| parse_integer(&record.value)) else {
        return failed(OperationError::NotAnInteger);
    };
    let Some(sum) = before.checked_add(by) else {
        return failed(OperationError::Overflow);
    };
    let expires_at = old.and_then(|record| record.expires_at);
    Evaluation::put(Bytes::from(sum.to_string()), expires_at, Reply::Integer(sum))
}

fn increment_float(old: Option<&Record>, by: &[u8]) -> Evaluation {
    let failed = |error| Evaluation::keep(Reply::Failed(error));
    let (Some(before), Some(by)) = (old.map_or(Some(0.0), |record| parse_float(&record.value)), parse_float(by))
    else {
        return failed(OperationError::NotAFloat);
    };
    let sum = before + by;
    if !sum.is_finite() {
        return failed(OperationError::NotFinite);
    }
    // Adding zero turns a negative zero into a plain one.
    let text = Bytes::from((sum + 0.0).to_string());
    Evaluation::put(text.clone(), old.and_then(|record| record.expires_at), Reply::Bytes(text))
}

fn expire(
    expiry: Expiry,
    condition: ExpiryCondition,
    want_value: bool,
    old: Option<&Record>,
    now: UnixMillis,
) -> Evaluation {
    let reply = |done: bool| match (want_value, done) {
        (true, _) => Reply::Old(old.map(|record| record.value.clone())),
        (false, true) => Reply::Done,
        (false, false) => Reply::Refused,
    };
    let Some(record) = old else { return Evaluation::keep(reply(false)) };
    let at = expiry.resolve(old, now);
    let for_ever = |time: Option<UnixMillis>| time.unwrap_or(UnixMillis::MAX);
    let holds = match condition {
        ExpiryCondition::Always => true,
        ExpiryCondition::Unset => record.expires_at.is_none(),
        ExpiryCondition::AlreadySet => record.expires_at.is_some(),
        ExpiryCondition::Later => for_ever(at) > for_ever(record.expires_at),
        ExpiryCondition::Earlier => for_ever(at) < for_ever(record.expires_at),
    };
    if !holds {
        return Evaluation::keep(reply(false));
    }
    match at {
        Some(at) if at <= now => Evaluation { change: Change::Remove, reply: reply(true) },
        // `PERSIST` of a key that does not expire changes nothing and says so.
        None if record.expires_at.is_none() => Evaluation::keep(reply(false)),
        at => Evaluation::put(record.value.clone(), at, reply(true)),
    }
}

fn lapse(version: Version, old: Option<&Record>, now: UnixMillis) -> Evaluation {
    match old {
        Some(record) if record.version == version && record.is_due(now) => {
            Evaluation { change: Change::Remove, reply: Reply::Done }
        }
        Some(record) if record.version == version => Evaluation::keep(Reply::Refused),
        _ => Evaluation::keep(Reply::Superseded),
    }
}
