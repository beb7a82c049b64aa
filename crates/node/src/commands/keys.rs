//! Commands on keys whatever their value, and on their expiry times.

use std::collections::HashSet;

use simpledynamo_chain::number::parse_integer;
use simpledynamo_chain::{Condition, Expiry, ExpiryCondition, Operation, Part};
use simpledynamo_wire::resp::Value;

use super::errors::{CommandError, echo};
use super::input::{Input, Parsed, integer, is};
use super::plan::{Gather, KeyStep, Plan, ReadShape, WriteShape};
use super::shape::lines;
use super::strings::{TimeForm, read, write};

/// Bytes of a value, and one more, that tell its encoding: Redis stores up to 44 in one piece with the key.
const ENCODING_BYTES: i64 = 45;

/// `DEL key [key ...]` and `UNLINK`.
pub(super) fn del(input: Input<'_>) -> Parsed {
    let delete = |key| KeyStep::Write {
        key,
        operation: Operation::Delete { condition: Condition::Always, want_old: false },
        shape: WriteShape::OneOrZero,
    };
    let plan = per_key(input, delete)?;
    let Plan::Keys { mut steps, gather } = plan else { return Ok(plan) };
    // The writes run side by side. A key that is named again is gone already and would count 0.
    let mut named = HashSet::with_capacity(steps.len());
    steps.retain(|step| named.insert(step.key().clone()));
    Ok(Plan::Keys { steps, gather })
}

/// `EXISTS key [key ...]`, and `TOUCH`, since access times are not kept.
pub(super) fn exists(input: Input<'_>) -> Parsed {
    per_key(input, |key| KeyStep::Read { key, part: Part::Meta, shape: ReadShape::Exists })
}

/// One step per key, whose integer replies add up.
fn per_key(input: Input<'_>, step: impl Fn(bytes::Bytes) -> KeyStep) -> Parsed {
    if let [key] = input.rest(1) {
        return Ok(Plan::Key(step(input.checked_key(key)?)));
    }
    let keys = input.rest(1).iter();
    let steps = keys.map(|key| Ok(step(input.checked_key(key)?))).collect::<Result<_, _>>()?;
    Ok(Plan::Keys { steps, gather: Gather::Sum })
}

/// `TYPE key`.
pub(super) fn key_type(input: Input<'_>) -> Parsed {
    Ok(read(input.key(1)?, Part::Meta, ReadShape::Type))
}

/// `OBJECT ENCODING key`.
pub(super) fn object_encoding(input: Input<'_>) -> Parsed {
    Ok(read(input.key(2)?, Part::Range { start: 0, end: ENCODING_BYTES - 1 }, ReadShape::Encoding))
}

/// `OBJECT FREQ key`.
pub(super) fn object_freq(_: Input<'_>) -> Parsed {
    Err(CommandError::NoFrequency)
}

/// `OBJECT IDLETIME key`.
pub(super) fn object_idletime(_: Input<'_>) -> Parsed {
    Err(CommandError::NoIdleTime)
}

/// `OBJECT REFCOUNT key`.
pub(super) fn object_refcount(input: Input<'_>) -> Parsed {
    Ok(read(input.key(2)?, Part::Meta, ReadShape::OneOrNull))
}

/// `OBJECT HELP`.
pub(super) fn object_help(_: Input<'_>) -> Parsed {
    Ok(Plan::Reply(lines(&[
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return how Redis would store the value of the <key>: int, embstr or raw.",
        "REFCOUNT <key>",
        "    Return 1, since values are not shared, or nil if the <key> does not exist.",
        "HELP",
        "    Print this help.",
    ])))
}

/// `MEMORY USAGE key [SAMPLES count]`; samples matter to nested values only, which do not exist here.
pub(super) fn memory_usage(input: Input<'_>) -> Parsed {
    match input.rest(3) {
        [] => {}
        [option, count] if is(option, "samples") => {
            if integer(count)? < 0 {
                return Err(CommandError::Syntax);
            }
        }
        _ => return Err(CommandError::Syntax),
    }
    Ok(read(input.key(2)?, Part::Meta, ReadShape::MemoryUsage))
}

/// `MEMORY HELP`.
pub(super) fn memory_help(_: Input<'_>) -> Parsed {
    Ok(Plan::Reply(lines(&[
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "USAGE <key> [SAMPLES <count>]",
        "    Return about how many bytes one replica of <key> and its value takes.",
        "HELP",
        "    Print this help.",
    ])))
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`.
pub(super) fn expire(input: Input<'_>) -> Parsed {
    expire_by(input, TimeForm { millis: false, absolute: false })
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`.
pub(super) fn pexpire(input: Input<'_>) -> Parsed {
    expire_by(input, TimeForm { millis: true, absolute: false })
}

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`.
pub(super) fn expireat(input: Input<'_>) -> Parsed {
    expire_by(input, TimeForm { millis: false, absolute: true })
}

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`.
pub(super) fn pexpireat(input: Input<'_>) -> Parsed {
    expire_by(input, TimeForm { millis: true, absolute: true })
}

/// Options are checked before the time, as in Redis.
fn expire_by(input: Input<'_>, form: TimeForm) -> Parsed {
    let condition = expiry_condition(input)?;
    let expiry = form.expiry(input.integer(2)?, &input)?;
    let expire = Operation::Expire { expiry, condition, want_value: false };
    Ok(write(input.key(1)?, expire, WriteShape::OneOrZero))
}

fn expiry_condition(input: Input<'_>) -> Result<ExpiryCondition, CommandError> {
    let (mut unset, mut set, mut later, mut earlier) = (false, false, false, false);
    for option in input.rest(3) {
        let flag = match () {
            () if is(option, "nx") => &mut unset,
            () if is(option, "xx") => &mut set,
            () if is(option, "gt") => &mut later,
            () if is(option, "lt") => &mut earlier,
            () => return Err(CommandError::ExpireOption(echo(option))),
        };
        *flag = true;
    }
    match (unset, set, later, earlier) {
        (true, false, false, false) => Ok(ExpiryCondition::Unset),
        (true, _, _, _) => Err(CommandError::ExpireUnsetWithOther),
        (_, _, true, true) => Err(CommandError::ExpireLaterAndEarlier),
        // A key without expiry time lives for ever, so no time is later: `XX` adds nothing to `GT`.
        (_, _, true, false) => Ok(ExpiryCondition::Later),
        (_, true, false, true) => Ok(ExpiryCondition::AlreadySetAndEarlier),
        (_, false, false, true) => Ok(ExpiryCondition::Earlier),
        (_, true, false, false) => Ok(ExpiryCondition::AlreadySet),
        (false, false, false, false) => Ok(ExpiryCondition::Always),
    }
}

/// `PERSIST key`.
pub(super) fn persist(input: Input<'_>) -> Parsed {
    let condition = ExpiryCondition::AlreadySet;
    let expire = Operation::Expire { expiry: Expiry::Clear, condition, want_value: false };
    Ok(write(input.key(1)?, expire, WriteShape::OneOrZero))
}

/// `TTL key`.
pub(super) fn ttl(input: Input<'_>) -> Parsed {
    time_of(input, false, false)
}

/// `PTTL key`.
pub(super) fn pttl(input: Input<'_>) -> Parsed {
    time_of(input, true, false)
}

/// `EXPIRETIME key`.
pub(super) fn expiretime(input: Input<'_>) -> Parsed {
    time_of(input, false, true)
}

/// `PEXPIRETIME key`.
pub(super) fn pexpiretime(input: Input<'_>) -> Parsed {
    time_of(input, true, true)
}

fn time_of(input: Input<'_>, millis: bool, absolute: bool) -> Parsed {
    Ok(read(input.key(1)?, Part::Meta, ReadShape::Expiry { millis, absolute }))
}

/// Redis's name for how it would store this value: `start` is its beginning, 45 bytes if it has that many.
pub(super) fn encoding(start: &[u8], length: u64) -> Value {
    let integer = length == start.len() as u64 && parse_integer(start).is_some();
    let name = match length {
        _ if integer => "int",
        0..45 => "embstr",
        _ => "raw",
    };
    Value::Bulk(bytes::Bytes::from_static(name.as_bytes()))
}
