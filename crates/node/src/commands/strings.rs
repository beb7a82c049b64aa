//! Commands on string values. Sources: the pages of the Redis and Valkey command references.

use bytes::Bytes;
use simpledynamo_chain::{Condition, Expiry, ExpiryCondition, Operation, Part, UnixMillis};

use super::errors::CommandError;
use super::input::{Input, Parsed, integer, is};
use super::plan::{Gather, KeyStep, Plan, ReadShape, WriteShape};
use simpledynamo_chain::number::parse_float;

/// A plan to write one key.
pub(super) fn write(key: Bytes, operation: Operation, shape: WriteShape) -> Plan {
    Plan::Key(KeyStep::Write { key, operation, shape })
}

/// A plan to read one key.
pub(super) fn read(key: Bytes, part: Part, shape: ReadShape) -> Plan {
    Plan::Key(KeyStep::Read { key, part, shape })
}

/// How an expiry time is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeForm {
    /// In milliseconds rather than seconds.
    pub(super) millis: bool,
    /// A Unix time rather than one from now.
    pub(super) absolute: bool,
}

impl TimeForm {
    fn of_option(option: &[u8]) -> Option<Self> {
        let form = |millis, absolute| Some(Self { millis, absolute });
        match () {
            () if is(option, "ex") => form(false, false),
            () if is(option, "px") => form(true, false),
            () if is(option, "exat") => form(false, true),
            () if is(option, "pxat") => form(true, true),
            () => None,
        }
    }

    /// A positive time, as every command but the `EXPIRE` family demands it.
    fn positive(self, text: &[u8], input: &Input<'_>) -> Result<Expiry, CommandError> {
        let number = integer(text)?;
        if number <= 0 {
            return Err(CommandError::InvalidExpire(input.name()));
        }
        self.expiry(number, input)
    }

    /// Any time that stays within signed 64-bit milliseconds since 1970. One that has passed is the start of
    /// time, or no time from now.
    pub(super) fn expiry(self, number: i64, input: &Input<'_>) -> Result<Expiry, CommandError> {
        let invalid = CommandError::InvalidExpire(input.name());
        let Some(millis) = number.checked_mul(if self.millis { 1 } else { 1_000 }) else {
            return Err(invalid);
        };
        if self.absolute {
            return Ok(Expiry::At(UnixMillis::try_from(millis).unwrap_or(0)));
        }
        let now = i64::try_from(input.context.now).unwrap_or(i64::MAX);
        match now.checked_add(millis) {
            Some(_) => Ok(Expiry::In(u64::try_from(millis).unwrap_or(0))),
            None => Err(invalid),
        }
    }
}

/// The one expiry option among a command's options: it may be repeated in the same form, the last one counts.
struct TimeOption<'a>(Option<(TimeForm, &'a Bytes)>);

impl<'a> TimeOption<'a> {
    /// Takes the option if it is one of time, and its value from what follows.
    fn take(&mut self, option: &[u8], rest: &mut std::slice::Iter<'a, Bytes>) -> Result<bool, CommandError> {
        let Some(form) = TimeForm::of_option(option) else { return Ok(false) };
        if self.0.is_some_and(|(before, _)| before != form) {
            return Err(CommandError::Syntax);
        }
        self.0 = Some((form, rest.next().ok_or(CommandError::Syntax)?));
        Ok(true)
    }

    fn expiry(&self, input: &Input<'_>) -> Result<Option<Expiry>, CommandError> {
        self.0.map(|(form, text)| form.positive(text, input)).transpose()
    }
}

/// `SET key value [NX | XX | IFEQ comparison] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`; `IFEQ` is
/// Valkey's.
pub(super) fn set(input: Input<'_>) -> Parsed {
    let (key, value) = (input.key(1)?, input.value(2)?);
    let (mut condition, mut time, mut keep, mut want_old) =
        (Condition::Always, TimeOption(None), false, false);
    let mut options = input.rest(3).iter();
    while let Some(option) = options.next() {
        if is(option, "nx") && matches!(condition, Condition::Always | Condition::Absent) {
            condition = Condition::Absent;
        } else if is(option, "xx") && matches!(condition, Condition::Always | Condition::Present) {
            condition = Condition::Present;
        } else if is(option, "ifeq") && condition == Condition::Always {
            condition = Condition::Equals(options.next().ok_or(CommandError::Syntax)?.clone());
        } else if is(option, "get") {
            want_old = true;
        } else if is(option, "keepttl") && time.0.is_none() {
            keep = true;
        } else if keep || !time.take(option, &mut options)? {
            return Err(CommandError::Syntax);
        }
    }
    let kept = if keep { Expiry::Keep } else { Expiry::Clear };
    let expiry = time.expiry(&input)?.unwrap_or(kept);
    Ok(write(key, Operation::Set { value, condition, expiry, want_old }, WriteShape::OkOrNull))
}

/// `SETNX key value`.
pub(super) fn setnx(input: Input<'_>) -> Parsed {
    let (key, value) = (input.key(1)?, input.value(2)?);
    let set = Operation::Set { value, condition: Condition::Absent, expiry: Expiry::Clear, want_old: false };
    Ok(write(key, set, WriteShape::OneOrZero))
}

/// `SETEX key seconds value`.
pub(super) fn setex(input: Input<'_>) -> Parsed {
    set_for(input, TimeForm { millis: false, absolute: false })
}

/// `PSETEX key milliseconds value`.
pub(super) fn psetex(input: Input<'_>) -> Parsed {
    set_for(input, TimeForm { millis: true, absolute: false })
}

fn set_for(input: Input<'_>, form: TimeForm) -> Parsed {
    let (key, value) = (input.key(1)?, input.value(3)?);
    let expiry = form.positive(&input.all[2], &input)?;
    let set = Operation::Set { value, condition: Condition::Always, expiry, want_old: false };
    Ok(write(key, set, WriteShape::OkOrNull))
}

/// `GET key`.
pub(super) fn get(input: Input<'_>) -> Parsed {
    Ok(read(input.key(1)?, Part::Value, ReadShape::BytesOrNull))
}

/// `GETSET key value`.
pub(super) fn getset(input: Input<'_>) -> Parsed {
    let (key, value) = (input.key(1)?, input.value(2)?);
    let set = Operation::Set { value, condition: Condition::Always, expiry: Expiry::Clear, want_old: true };
    Ok(write(key, set, WriteShape::OkOrNull))
}

/// `GETDEL key`.
pub(super) fn getdel(input: Input<'_>) -> Parsed {
    let delete = Operation::Delete { condition: Condition::Always, want_old: true };
    Ok(write(input.key(1)?, delete, WriteShape::OkOrNull))
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`; without an option it only reads.
pub(super) fn getex(input: Input<'_>) -> Parsed {
    let key = input.key(1)?;
    let (mut time, mut persist) = (TimeOption(None), false);
    let mut options = input.rest(2).iter();
    while let Some(option) = options.next() {
        if is(option, "persist") && time.0.is_none() {
            persist = true;
        } else if persist || !time.take(option, &mut options)? {
            return Err(CommandError::Syntax);
        }
    }
    let expiry = match time.expiry(&input)? {
        Some(expiry) => expiry,
        None if persist => Expiry::Clear,
        None => return Ok(read(key, Part::Value, ReadShape::BytesOrNull)),
    };
    let expire = Operation::Expire { expiry, condition: ExpiryCondition::Always, want_value: true };
    Ok(write(key, expire, WriteShape::OkOrNull))
}

/// `APPEND key value`.
pub(super) fn append(input: Input<'_>) -> Parsed {
    let (key, value) = (input.key(1)?, input.value(2)?);
    Ok(write(key, Operation::Append(value), WriteShape::OneOrZero))
}

/// `STRLEN key`.
pub(super) fn strlen(input: Input<'_>) -> Parsed {
    Ok(read(input.key(1)?, Part::Meta, ReadShape::Length))
}

/// `GETRANGE key start end`, once called `SUBSTR`.
pub(super) fn getrange(input: Input<'_>) -> Parsed {
    let (start, end) = (input.integer(2)?, input.integer(3)?);
    Ok(read(input.key(1)?, Part::Range { start, end }, ReadShape::Bytes))
}

/// `SETRANGE key offset value`; with an empty value it changes nothing and tells the length.
pub(super) fn setrange(input: Input<'_>) -> Parsed {
    let (key, bytes) = (input.key(1)?, input.value(3)?);
    let offset = u64::try_from(input.integer(2)?).map_err(|_| CommandError::Offset)?;
    if bytes.is_empty() {
        return Ok(read(key, Part::Meta, ReadShape::Length));
    }
    if offset.saturating_add(bytes.len() as u64) > input.context.limits.max_value as u64 {
        return Err(CommandError::ValueTooLong);
    }
    Ok(write(key, Operation::Overwrite { offset, bytes }, WriteShape::OneOrZero))
}

/// `INCR key`.
pub(super) fn incr(input: Input<'_>) -> Parsed {
    Ok(write(input.key(1)?, Operation::Increment(1), WriteShape::OneOrZero))
}

/// `DECR key`.
pub(super) fn decr(input: Input<'_>) -> Parsed {
    Ok(write(input.key(1)?, Operation::Increment(-1), WriteShape::OneOrZero))
}

/// `INCRBY key increment`.
pub(super) fn incrby(input: Input<'_>) -> Parsed {
    Ok(write(input.key(1)?, Operation::Increment(input.integer(2)?), WriteShape::OneOrZero))
}

/// `DECRBY key decrement`.
pub(super) fn decrby(input: Input<'_>) -> Parsed {
    let by = input.integer(2)?.checked_neg().ok_or(CommandError::Decrement)?;
    Ok(write(input.key(1)?, Operation::Increment(by), WriteShape::OneOrZero))
}

/// `INCRBYFLOAT key increment`.
pub(super) fn incrbyfloat(input: Input<'_>) -> Parsed {
    let by = input.bytes(2);
    if parse_float(&by).is_none() {
        return Err(CommandError::NotAFloat);
    }
    Ok(write(input.key(1)?, Operation::IncrementFloat(by), WriteShape::OneOrZero))
}

/// `MGET key [key ...]`.
pub(super) fn mget(input: Input<'_>) -> Parsed {
    let step = |key| {
        let key = input.checked_key(key)?;
        Ok(KeyStep::Read { key, part: Part::Value, shape: ReadShape::BytesOrNull })
    };
    let steps = input.rest(1).iter().map(step).collect::<Result<_, _>>()?;
    Ok(Plan::Keys { steps, gather: Gather::Array })
}

/// `MSET key value [key value ...]`: one write per key, not atomic together.
pub(super) fn mset(input: Input<'_>) -> Parsed {
    let (pairs, []) = input.rest(1).as_chunks::<2>() else { return Err(input.wrong_arguments()) };
    // The writes run side by side, so of a key that is named twice only the last value is written.
    let mut places = std::collections::HashMap::with_capacity(pairs.len());
    let mut steps = Vec::with_capacity(pairs.len());
    for [key, value] in pairs {
        let (key, value) = (input.checked_key(key)?, input.checked_value(value)?);
        let place = *places.entry(key.clone()).or_insert(steps.len());
        let operation =
            Operation::Set { value, condition: Condition::Always, expiry: Expiry::Clear, want_old: false };
        let step = KeyStep::Write { key, operation, shape: WriteShape::OkOrNull };
        if place == steps.len() {
            steps.push(step);
        } else {
            steps[place] = step;
        }
    }
    Ok(Plan::Keys { steps, gather: Gather::AllOk })
}

/// `DELIFEQ key value`, as in Valkey: deletes the key if it has this value.
pub(super) fn delifeq(input: Input<'_>) -> Parsed {
    let delete = Operation::Delete { condition: Condition::Equals(input.bytes(2)), want_old: false };
    Ok(write(input.key(1)?, delete, WriteShape::OneOrZero))
}
