//! From what came of a plan to the reply that the client gets.

use std::borrow::Cow;

use bytes::Bytes;
use simpledynamo_chain::{Operation, OperationError, Outcome, Reading, Refusal, Reply, UnixMillis};
use simpledynamo_wire::resp::Value;

use super::errors::CommandError;
use super::keys::encoding;
use super::plan::{Gather, KeyStep, ReadShape, WriteShape};

/// Bytes that a stored pair takes besides its key and its value, about: the key's position, its version, its
/// expiry time and the store's own frame.
const PAIR_OVERHEAD: usize = 48;

/// The reply to one step. `now` is the node's clock, for times to live.
#[must_use]
pub fn step_reply(step: &KeyStep, outcome: Outcome, now: UnixMillis) -> Value {
    match step {
        KeyStep::Write { shape, .. } => write_outcome_reply(*shape, outcome),
        KeyStep::Read { key, shape, .. } => read_outcome_reply(*shape, key, outcome, now),
    }
}

/// The reply to a write.
///
/// # Panics
/// When the outcome is that of a read.
#[must_use]
pub fn write_outcome_reply(shape: WriteShape, outcome: Outcome) -> Value {
    match outcome {
        Outcome::Written { reply, .. } => write_reply(shape, reply),
        Outcome::Unavailable(refusal) => unavailable(refusal),
        Outcome::Unknown => unknown(),
        Outcome::Read(reading) => panic!("a write is never answered by {reading:?}"),
    }
}

/// The reply to a read of one key.
///
/// # Panics
/// When the outcome is that of a write.
#[must_use]
pub fn read_outcome_reply(shape: ReadShape, key: &Bytes, outcome: Outcome, now: UnixMillis) -> Value {
    match outcome {
        Outcome::Read(reading) => read_reply(shape, key, &reading, now),
        Outcome::Unavailable(_) | Outcome::Unknown => unread(&outcome),
        Outcome::Written { reply, .. } => panic!("a read is never answered by {reply:?}"),
    }
}

/// The error for a write that certainly did not happen.
#[must_use]
pub fn unavailable(refusal: Refusal) -> Value {
    error(format!("UNAVAILABLE {refusal}; nothing was changed"))
}

/// The error for a write whose outcome cannot be known.
#[must_use]
pub fn unknown() -> Value {
    error(
        "UNKNOWN the write may have happened, may still happen, or may never happen: its outcome did not arrive \
         in time",
    )
}

/// The error for a question that was not answered. Nothing can have changed by it.
///
/// # Panics
/// When it was answered.
#[must_use]
pub fn unread(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Unavailable(refusal) => error(format!("UNAVAILABLE {refusal}")),
        Outcome::Unknown => error("UNAVAILABLE the read was not answered in time"),
        answer => panic!("{answer:?} is an answer"),
    }
}

fn error(text: impl Into<Cow<'static, str>>) -> Value {
    Value::Error(text.into())
}

fn write_reply(shape: WriteShape, reply: Reply) -> Value {
    match (reply, shape) {
        (Reply::Done, WriteShape::OkOrNull) => Value::OK,
        (Reply::Done, WriteShape::OneOrZero) => Value::Integer(1),
        (Reply::Refused | Reply::Superseded, WriteShape::OkOrNull) => Value::Null,
        (Reply::Refused | Reply::Superseded, WriteShape::OneOrZero) => Value::Integer(0),
        (Reply::Integer(number), _) => Value::Integer(number),
        (Reply::Bytes(bytes), _) => Value::Bulk(bytes),
        (Reply::Old(old), _) => old.map_or(Value::Null, Value::Bulk),
        (Reply::Failed(failure), _) => operation_error(failure),
    }
}

fn operation_error(failure: OperationError) -> Value {
    match failure {
        OperationError::NotAnInteger => CommandError::NotAnInteger.into(),
        OperationError::Overflow => error("ERR increment or decrement would overflow"),
        OperationError::NotAFloat => CommandError::NotAFloat.into(),
        OperationError::NotFinite => error("ERR increment would produce NaN or Infinity"),
        OperationError::TooLong => CommandError::ValueTooLong.into(),
    }
}

fn read_reply(shape: ReadShape, key: &Bytes, reading: &Reading, now: UnixMillis) -> Value {
    match reading {
        Reading::Absent => absent(shape),
        Reading::Present { expires_at, length, bytes, .. } => match shape {
            ReadShape::BytesOrNull | ReadShape::Bytes => Value::Bulk(bytes.clone()),
            ReadShape::Length => integer(*length),
            ReadShape::Exists | ReadShape::OneOrNull => Value::Integer(1),
            ReadShape::Type => Value::Simple("string".into()),
            ReadShape::Encoding => encoding(bytes, *length),
            ReadShape::MemoryUsage => integer((key.len() + PAIR_OVERHEAD) as u64 + length),
            ReadShape::Expiry { millis, absolute } => expiry(*expires_at, millis, absolute, now),
        },
        Reading::Page(_) | Reading::Counts(_) => panic!("a read of one key is never answered by a listing"),
    }
}

fn absent(shape: ReadShape) -> Value {
    match shape {
        ReadShape::BytesOrNull | ReadShape::Encoding | ReadShape::OneOrNull | ReadShape::MemoryUsage => {
            Value::Null
        }
        ReadShape::Bytes => Value::Bulk(Bytes::new()),
        ReadShape::Length | ReadShape::Exists => Value::Integer(0),
        ReadShape::Type => Value::Simple("none".into()),
        ReadShape::Expiry { .. } => Value::Integer(-2),
    }
}

fn expiry(expires_at: Option<UnixMillis>, millis: bool, absolute: bool, now: UnixMillis) -> Value {
    let Some(at) = expires_at else { return Value::Integer(-1) };
    // The head's clock decides that a key is there; by this node's clock its time may have come already.
    let time = if absolute { at } else { at.saturating_sub(now) };
    integer(if millis { time } else { time.saturating_add(500) / 1_000 })
}

/// A number that Redis's protocol can carry.
fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// What became of several writes of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Certainly took effect, or found nothing to do.
    pub done: usize,
    /// Certainly did not happen.
    pub refused: usize,
    /// May or may not have happened.
    pub unknown: usize,
    /// The first reason of a refusal.
    pub reason: Option<Refusal>,
}

impl Tally {
    /// Counts one more outcome of a write.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Written { .. } | Outcome::Read(_) => self.done += 1,
            Outcome::Unavailable(refusal) => {
                self.refused += 1;
                self.reason.get_or_insert(*refusal);
            }
            Outcome::Unknown => self.unknown += 1,
        }
    }

    /// The error if not all is done. `verb` is the participle of what was to be done: "set", "deleted".
    ///
    /// It begins with `UNAVAILABLE` if nothing happened, with `UNKNOWN` if nothing is certain to have
    /// happened, and with `PARTIAL` if a part is.
    #[must_use]
    pub fn error(&self, verb: &str) -> Option<Value> {
        let Self { done, refused, unknown, reason } = *self;
        match (done, refused, unknown) {
            (_, 0, 0) => return None,
            (0, 0, 1) => return Some(self::unknown()),
            (0, _, 0) => {
                // Only a refusal counts as refused, so there is a reason.
                return reason.map(unavailable);
            }
            _ => {}
        }
        let code = if done == 0 { "UNKNOWN" } else { "PARTIAL" };
        let mut text = format!(
            "{code} of {} keys {done} {} certainly {verb}, {refused} certainly not, {unknown} unknown",
            done + refused + unknown,
            if done == 1 { "is" } else { "are" },
        );
        if let Some(reason) = reason {
            text.push_str(&format!(": {reason}"));
        }
        Some(error(text))
    }
}

/// The one reply to several steps, whose outcomes come in the steps' order.
#[must_use]
pub fn gather(gather: Gather, steps: &[KeyStep], outcomes: Vec<Outcome>, now: UnixMillis) -> Value {
    let (mut tally, mut writes) = (Tally::default(), None);
    for (step, outcome) in steps.iter().zip(&outcomes) {
        if let KeyStep::Write { operation, .. } = step {
            writes.get_or_insert(if matches!(operation, Operation::Delete { .. }) {
                "deleted"
            } else {
                "set"
            });
            tally.count(outcome);
        }
    }
    if let Some(error) = writes.and_then(|verb| tally.error(verb)) {
        return error;
    }
    let mut replies = steps.iter().zip(outcomes).map(|(step, outcome)| step_reply(step, outcome, now));
    match gather {
        Gather::Array => first_error_or(replies, Value::Array),
        Gather::Sum => first_error_or(replies, |replies| {
            let numbers =
                replies.iter().map(|reply| if let Value::Integer(number) = reply { *number } else { 0 });
            Value::Integer(numbers.sum())
        }),
        Gather::AllOk => replies.find(|reply| matches!(reply, Value::Error(_))).unwrap_or(Value::OK),
    }
}

/// A reply without one of its parts would be a wrong one: the first error stands for all.
fn first_error_or(replies: impl Iterator<Item = Value>, whole: impl FnOnce(Vec<Value>) -> Value) -> Value {
    let part = |reply| if let Value::Error(_) = reply { Err(reply) } else { Ok(reply) };
    replies.map(part).collect::<Result<Vec<_>, _>>().map_or_else(|error| error, whole)
}

/// The reply to `SCAN`: where to go on, 0 at the end, and keys.
#[must_use]
pub fn scan_reply(next: u64, keys: Vec<Bytes>) -> Value {
    Value::Array(vec![cursor(next), keys_reply(keys)])
}

/// The reply to `SD.QUERY`: where to go on, 0 at the end, and key, value, key, value ...
#[must_use]
pub fn query_reply(next: u64, pairs: Vec<(Bytes, Bytes)>) -> Value {
    let flat = pairs.into_iter().flat_map(|(key, value)| [Value::Bulk(key), Value::Bulk(value)]);
    Value::Array(vec![cursor(next), Value::Array(flat.collect())])
}

/// Keys as an array.
#[must_use]
pub fn keys_reply(keys: Vec<Bytes>) -> Value {
    Value::Array(keys.into_iter().map(Value::Bulk).collect())
}

/// As in Redis, a cursor is text: not every client's integers reach so far.
fn cursor(next: u64) -> Value {
    Value::Bulk(Bytes::from(next.to_string()))
}

/// The reply of the `HELP` subcommands.
pub(super) fn lines(lines: &[&'static str]) -> Value {
    Value::Array(lines.iter().map(|line| Value::Simple(Cow::Borrowed(*line))).collect())
}
