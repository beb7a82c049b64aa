//! What a write can do to one key, evaluated at the head in one step.

use bytes::{Bytes, BytesMut};

use crate::number::{add_decimals, parse_float, parse_integer};
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
    /// Only if it has an expiry time and the new one is earlier (`XX LT`).
    AlreadySetAndEarlier,
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

impl Reply {
    /// Bytes that the reply carries: for bounds on memory. The value before may be as long as the new one.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Bytes(bytes) | Self::Old(Some(bytes)) => bytes.len(),
            _ => 0,
        }
    }
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
                // The largest number means the end of the value.
                let offset = usize::try_from(*offset).unwrap_or(usize::MAX).min(usize::MAX - 1);
                splice(old, offset, bytes, limits)
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
    let expires_at = old.and_then(|record| record.expires_at);
    if let Some(sum) = add_decimals(old.map_or(b"0", |record| &record.value), by) {
        let text = Bytes::from(sum);
        return Evaluation::put(text.clone(), expires_at, Reply::Bytes(text));
    }
    let (Some(before), Some(by)) =
        (old.map_or(Some(0.0), |record| parse_float(&record.value)), parse_float(by))
    else {
        return failed(OperationError::NotAFloat);
    };
    let sum = before + by;
    if !sum.is_finite() {
        return failed(OperationError::NotFinite);
    }
    // Adding zero turns a negative zero into a plain one.
    let text = Bytes::from((sum + 0.0).to_string());
    Evaluation::put(text.clone(), expires_at, Reply::Bytes(text))
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
        ExpiryCondition::AlreadySetAndEarlier => {
            record.expires_at.is_some_and(|before| for_ever(at) < before)
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use simpledynamo_topology::Epoch;

    const NOW: UnixMillis = 1_000;
    const LIMITS: Limits = Limits { max_value: 16 };
    const VERSION: Version = Version { epoch: Epoch(1), seq: 7 };

    fn bytes(text: &str) -> Bytes {
        Bytes::from(text.to_owned())
    }

    fn record(value: &str, expires_at: Option<UnixMillis>) -> Record {
        Record { version: VERSION, expires_at, value: bytes(value) }
    }

    fn put(value: &str, expires_at: Option<UnixMillis>) -> Change {
        Change::Put { value: bytes(value), expires_at }
    }

    fn old(value: &str) -> Reply {
        Reply::Old(Some(bytes(value)))
    }

    fn set(condition: Condition, expiry: Expiry, want_old: bool) -> Operation {
        Operation::Set { value: bytes("new"), condition, expiry, want_old }
    }

    fn plain_set(condition: Condition) -> Operation {
        set(condition, Expiry::Clear, false)
    }

    fn set_until(expiry: Expiry) -> Operation {
        set(Condition::Always, expiry, false)
    }

    fn delete(condition: Condition, want_old: bool) -> Operation {
        Operation::Delete { condition, want_old }
    }

    fn overwrite(offset: u64, text: &str) -> Operation {
        Operation::Overwrite { offset, bytes: bytes(text) }
    }

    fn expire(expiry: Expiry, condition: ExpiryCondition) -> Operation {
        Operation::Expire { expiry, condition, want_value: false }
    }

    fn get_and_expire(expiry: Expiry) -> Operation {
        Operation::Expire { expiry, condition: ExpiryCondition::Always, want_value: true }
    }

    /// One row each: the operation, the record it meets, what becomes of it, the reply.
    fn check(rows: Vec<(Operation, Option<Record>, Change, Reply)>) {
        for (operation, before, change, reply) in rows {
            let found = operation.evaluate(before.as_ref(), NOW, LIMITS);
            assert_eq!(found, Evaluation { change, reply }, "{operation:?} on {before:?}");
        }
    }

    /// <https://redis.io/docs/latest/commands/set/>
    #[test]
    fn set_keeps_its_conditions() {
        let there = || Some(record("a", Some(5_000)));
        let equals = |text| Condition::Equals(bytes(text));
        check(vec![
            (plain_set(Condition::Always), None, put("new", None), Reply::Done),
            // A plain SET drops the expiry time.
            (plain_set(Condition::Always), there(), put("new", None), Reply::Done),
            (plain_set(Condition::Absent), None, put("new", None), Reply::Done),
            (plain_set(Condition::Absent), there(), Change::Keep, Reply::Refused),
            (plain_set(Condition::Present), None, Change::Keep, Reply::Refused),
            (plain_set(Condition::Present), there(), put("new", None), Reply::Done),
            (plain_set(equals("a")), there(), put("new", None), Reply::Done),
            (plain_set(equals("b")), there(), Change::Keep, Reply::Refused),
            (plain_set(equals("")), None, Change::Keep, Reply::Refused),
        ]);
    }

    /// With `GET` the old value is the reply, done or not; only the value tells whether NX succeeded.
    #[test]
    fn set_with_get_tells_the_value_before() {
        let there = || Some(record("a", None));
        let get = |condition| set(condition, Expiry::Clear, true);
        check(vec![
            (get(Condition::Always), there(), put("new", None), old("a")),
            (get(Condition::Always), None, put("new", None), Reply::Old(None)),
            (get(Condition::Absent), there(), Change::Keep, old("a")),
            (get(Condition::Absent), None, put("new", None), Reply::Old(None)),
            (get(Condition::Present), None, Change::Keep, Reply::Old(None)),
        ]);
    }

    #[test]
    fn set_fixes_the_time_of_expiry() {
        let there = || Some(record("a", Some(5_000)));
        check(vec![
            (set_until(Expiry::In(50)), None, put("new", Some(NOW + 50)), Reply::Done),
            (set_until(Expiry::At(7_000)), there(), put("new", Some(7_000)), Reply::Done),
            (set_until(Expiry::Keep), there(), put("new", Some(5_000)), Reply::Done),
            (set_until(Expiry::Keep), None, put("new", None), Reply::Done),
            (set_until(Expiry::In(u64::MAX)), None, put("new", Some(u64::MAX)), Reply::Done),
            // A time that has come is a delete, and the SET counts as done.
            (set_until(Expiry::At(NOW)), there(), Change::Remove, Reply::Done),
            (set_until(Expiry::At(NOW - 1)), None, Change::Keep, Reply::Done),
            (set_until(Expiry::At(NOW + 1)), there(), put("new", Some(NOW + 1)), Reply::Done),
        ]);
    }

    /// <https://redis.io/docs/latest/commands/del/>, `getdel`
    #[test]
    fn delete_removes_what_is_there() {
        let there = || Some(record("a", None));
        let equals = |text| Condition::Equals(bytes(text));
        check(vec![
            (delete(Condition::Always, false), there(), Change::Remove, Reply::Done),
            (delete(Condition::Always, false), None, Change::Keep, Reply::Refused),
            (delete(Condition::Always, true), there(), Change::Remove, old("a")),
            (delete(Condition::Always, true), None, Change::Keep, Reply::Old(None)),
            (delete(equals("a"), false), there(), Change::Remove, Reply::Done),
            (delete(equals("b"), false), there(), Change::Keep, Reply::Refused),
        ]);
    }

    /// <https://redis.io/docs/latest/commands/append/>: the expiry time stays.
    #[test]
    fn append_adds_at_the_end() {
        let append = |text| Operation::Append(bytes(text));
        let limit = "sixteen bytes ok";
        check(vec![
            (append("b"), None, put("b", None), Reply::Integer(1)),
            (append("b"), Some(record("a", Some(5_000))), put("ab", Some(5_000)), Reply::Integer(2)),
            // An empty APPEND still creates the key, and changes no other.
            (append(""), None, put("", None), Reply::Integer(0)),
            (append(""), Some(record("a", None)), Change::Keep, Reply::Integer(1)),
            (append(limit), None, put(limit, None), Reply::Integer(16)),
            (append(limit), Some(record("a", None)), Change::Keep, Reply::Failed(OperationError::TooLong)),
        ]);
    }

    /// <https://redis.io/docs/latest/commands/setrange/>
    #[test]
    fn overwrite_pads_with_zero_bytes() {
        let there = || Some(record("abcd", Some(5_000)));
        let too_long = || Reply::Failed(OperationError::TooLong);
        check(vec![
            (overwrite(1, "XY"), there(), put("aXYd", Some(5_000)), Reply::Integer(4)),
            (overwrite(3, "XY"), there(), put("abcXY", Some(5_000)), Reply::Integer(5)),
            (overwrite(6, "X"), there(), put("abcd\0\0X", Some(5_000)), Reply::Integer(7)),
            (overwrite(2, "X"), None, put("\0\0X", None), Reply::Integer(3)),
            // Nothing to write: no key is created, no value is padded, and no length is too long.
            (overwrite(9, ""), None, Change::Keep, Reply::Integer(0)),
            (overwrite(99, ""), there(), Change::Keep, Reply::Integer(4)),
            (overwrite(15, "X"), None, put("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0X", None), Reply::Integer(16)),
            (overwrite(16, "X"), None, Change::Keep, too_long()),
        ]);
    }

    /// The largest offset is an offset like any other, and not a name for the end of the value.
    #[test]
    fn an_offset_past_all_memory_is_too_long() {
        for offset in [u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX as u64] {
            let reply = Reply::Failed(OperationError::TooLong);
            check(vec![(overwrite(offset, "X"), Some(record("abcd", None)), Change::Keep, reply)]);
        }
    }

    /// <https://redis.io/docs/latest/commands/incrby/>
    #[test]
    fn increment_takes_the_value_for_an_integer() {
        let add = Operation::Increment;
        let fails = Reply::Failed;
        let max = i64::MAX.to_string();
        let min = i64::MIN.to_string();
        let mut rows = vec![
            (add(1), None, put("1", None), Reply::Integer(1)),
            (add(-3), Some(record("10", Some(5_000))), put("7", Some(5_000)), Reply::Integer(7)),
            (add(0), Some(record("-5", None)), put("-5", None), Reply::Integer(-5)),
            (add(1), Some(record(&max, None)), Change::Keep, fails(OperationError::Overflow)),
            (add(-1), Some(record(&min, None)), Change::Keep, fails(OperationError::Overflow)),
            (add(i64::MIN), Some(record("0", None)), put(&min, None), Reply::Integer(i64::MIN)),
        ];
        for bad in ["", "a", "1.0", " 1", "1 ", "01", "+1", "-0", "9223372036854775808"] {
            let before = Some(record(bad, None));
            rows.push((add(1), before, Change::Keep, fails(OperationError::NotAnInteger)));
        }
        check(rows);
    }

    /// <https://redis.io/docs/latest/commands/incrbyfloat/>: its own examples, and what it refuses.
    #[test]
    fn increment_float_takes_the_value_for_a_number() {
        let add = |by: &str| Operation::IncrementFloat(bytes(by));
        let sum = |text: &str| Reply::Bytes(bytes(text));
        let fails = Reply::Failed;
        check(vec![
            (add("0.1"), Some(record("10.50", None)), put("10.6", None), sum("10.6")),
            (add("-5"), Some(record("10.6", Some(5_000))), put("5.6", Some(5_000)), sum("5.6")),
            (add("2.0e2"), Some(record("5.0e3", None)), put("5200", None), sum("5200")),
            (add("3"), None, put("3", None), sum("3")),
            (add("-1"), Some(record("1", None)), put("0", None), sum("0")),
            (add("-0.0"), None, put("0", None), sum("0")),
            (add("1"), Some(record("a", None)), Change::Keep, fails(OperationError::NotAFloat)),
            (add(" 1"), None, Change::Keep, fails(OperationError::NotAFloat)),
            (add("nan"), None, Change::Keep, fails(OperationError::NotAFloat)),
            (add("inf"), None, Change::Keep, fails(OperationError::NotFinite)),
            (add("1e308"), Some(record("1.7e308", None)), Change::Keep, fails(OperationError::NotFinite)),
        ]);
    }

    /// <https://redis.io/docs/latest/commands/expire/>, `persist`
    #[test]
    fn expire_changes_the_time_only() {
        use ExpiryCondition::{AlreadySet, Always, Earlier, Later, Unset};
        let ever = || Some(record("a", None));
        let timed = || Some(record("a", Some(5_000)));
        let until = |at| put("a", Some(at));
        let at = Expiry::At;
        check(vec![
            (expire(at(9_000), Always), None, Change::Keep, Reply::Refused),
            (expire(at(9_000), Always), ever(), until(9_000), Reply::Done),
            (expire(Expiry::In(50), Always), timed(), until(NOW + 50), Reply::Done),
            (expire(at(9_000), Unset), ever(), until(9_000), Reply::Done),
            (expire(at(9_000), Unset), timed(), Change::Keep, Reply::Refused),
            (expire(at(9_000), AlreadySet), ever(), Change::Keep, Reply::Refused),
            (expire(at(9_000), AlreadySet), timed(), until(9_000), Reply::Done),
            // A key that lives for ever lives longer than any other.
            (expire(at(9_000), Later), ever(), Change::Keep, Reply::Refused),
            (expire(at(9_000), Later), timed(), until(9_000), Reply::Done),
            (expire(at(5_000), Later), timed(), Change::Keep, Reply::Refused),
            (expire(at(9_000), Earlier), ever(), until(9_000), Reply::Done),
            (expire(at(9_000), Earlier), timed(), Change::Keep, Reply::Refused),
            (expire(at(4_000), Earlier), timed(), until(4_000), Reply::Done),
            // A time that has come deletes the key.
            (expire(at(NOW), Always), ever(), Change::Remove, Reply::Done),
            (expire(at(NOW - 1), Later), timed(), Change::Keep, Reply::Refused),
            (expire(Expiry::Clear, Always), timed(), put("a", None), Reply::Done),
            (expire(Expiry::Clear, Always), ever(), Change::Keep, Reply::Refused),
            (expire(Expiry::Clear, Always), None, Change::Keep, Reply::Refused),
        ]);
    }

    /// <https://redis.io/docs/latest/commands/getex/>
    #[test]
    fn get_and_expire_tells_the_value_in_any_case() {
        let timed = || Some(record("a", Some(5_000)));
        check(vec![
            (get_and_expire(Expiry::At(9_000)), timed(), put("a", Some(9_000)), old("a")),
            (get_and_expire(Expiry::Clear), timed(), put("a", None), old("a")),
            (get_and_expire(Expiry::Clear), Some(record("a", None)), Change::Keep, old("a")),
            (get_and_expire(Expiry::At(NOW)), timed(), Change::Remove, old("a")),
            (get_and_expire(Expiry::At(9_000)), None, Change::Keep, Reply::Old(None)),
        ]);
    }

    #[test]
    fn lapse_deletes_only_the_version_that_was_found_expired() {
        let lapse = |version| Operation::Lapse { version };
        let newer = Version { seq: 8, ..VERSION };
        check(vec![
            (lapse(VERSION), Some(record("a", Some(NOW))), Change::Remove, Reply::Done),
            (lapse(VERSION), Some(record("a", Some(NOW + 1))), Change::Keep, Reply::Refused),
            (lapse(VERSION), Some(record("a", None)), Change::Keep, Reply::Refused),
            (lapse(newer), Some(record("a", Some(NOW))), Change::Keep, Reply::Superseded),
            (lapse(VERSION), None, Change::Keep, Reply::Superseded),
        ]);
    }

    #[test]
    fn what_is_displaced_tells_counters_enough() {
        let none = Displaced { existed: false, expires_at: None };
        assert_eq!(Displaced::by_change_of(None), none);
        let timed = Displaced { existed: true, expires_at: Some(5_000) };
        assert_eq!(Displaced::by_change_of(Some(&record("a", Some(5_000)))), timed);
    }
}
