//! What a coordinator asks the head to do to a key.

use bytes::Bytes;
use simpledynamo_chain::{Condition, Expiry, ExpiryCondition, Operation};

use crate::OutBuffer;
use crate::codec::{
    DecodeError, get_bool, get_bytes, get_i64, get_u8, get_u64, get_version, put_bool, put_bytes, put_i64,
    put_u64, put_version,
};

/// The first byte of an operation.
mod operation_kind {
    pub(super) const SET: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const APPEND: u8 = 3;
    pub(super) const OVERWRITE: u8 = 4;
    pub(super) const INCREMENT: u8 = 5;
    pub(super) const INCREMENT_FLOAT: u8 = 6;
    pub(super) const EXPIRE: u8 = 7;
    pub(super) const LAPSE: u8 = 8;
}

pub(super) fn put_operation(operation: &Operation, out: &mut OutBuffer) {
    match operation {
        Operation::Set { value, condition, expiry, want_old } => {
            out.put_u8(operation_kind::SET);
            put_condition(condition, out);
            put_expiry(*expiry, out);
            put_bool(*want_old, out);
            put_bytes(value, out);
        }
        Operation::Delete { condition, want_old } => {
            out.put_u8(operation_kind::DELETE);
            put_condition(condition, out);
            put_bool(*want_old, out);
        }
        Operation::Append(bytes) => {
            out.put_u8(operation_kind::APPEND);
            put_bytes(bytes, out);
        }
        Operation::Overwrite { offset, bytes } => {
            out.put_u8(operation_kind::OVERWRITE);
            put_u64(*offset, out);
            put_bytes(bytes, out);
        }
        Operation::Increment(by) => {
            out.put_u8(operation_kind::INCREMENT);
            put_i64(*by, out);
        }
        Operation::IncrementFloat(by) => {
            out.put_u8(operation_kind::INCREMENT_FLOAT);
            put_bytes(by, out);
        }
        Operation::Expire { expiry, condition, want_value } => {
            out.put_u8(operation_kind::EXPIRE);
            put_expiry(*expiry, out);
            put_expiry_condition(*condition, out);
            put_bool(*want_value, out);
        }
        Operation::Lapse { version } => {
            out.put_u8(operation_kind::LAPSE);
            put_version(*version, out);
        }
    }
}

pub(super) fn get_operation(input: &mut Bytes) -> Result<Operation, DecodeError> {
    Ok(match get_u8(input)? {
        operation_kind::SET => {
            let condition = get_condition(input)?;
            let expiry = get_expiry(input)?;
            let want_old = get_bool(input, "the wish for the old value")?;
            Operation::Set { value: get_bytes(input)?, condition, expiry, want_old }
        }
        operation_kind::DELETE => Operation::Delete {
            condition: get_condition(input)?,
            want_old: get_bool(input, "the wish for the old value")?,
        },
        operation_kind::APPEND => Operation::Append(get_bytes(input)?),
        operation_kind::OVERWRITE => {
            Operation::Overwrite { offset: get_u64(input)?, bytes: get_bytes(input)? }
        }
        operation_kind::INCREMENT => Operation::Increment(get_i64(input)?),
        operation_kind::INCREMENT_FLOAT => Operation::IncrementFloat(get_bytes(input)?),
        operation_kind::EXPIRE => Operation::Expire {
            expiry: get_expiry(input)?,
            condition: get_expiry_condition(input)?,
            want_value: get_bool(input, "the wish for the value")?,
        },
        operation_kind::LAPSE => Operation::Lapse { version: get_version(input)? },
        tag => return Err(DecodeError::Kind { what: "an operation", tag }),
    })
}

fn put_condition(condition: &Condition, out: &mut OutBuffer) {
    match condition {
        Condition::Always => out.put_u8(0),
        Condition::Absent => out.put_u8(1),
        Condition::Present => out.put_u8(2),
        Condition::Equals(value) => {
            out.put_u8(3);
            put_bytes(value, out);
        }
    }
}

fn get_condition(input: &mut Bytes) -> Result<Condition, DecodeError> {
    Ok(match get_u8(input)? {
        0 => Condition::Always,
        1 => Condition::Absent,
        2 => Condition::Present,
        3 => Condition::Equals(get_bytes(input)?),
        tag => return Err(DecodeError::Kind { what: "a condition", tag }),
    })
}

fn put_expiry(expiry: Expiry, out: &mut OutBuffer) {
    match expiry {
        Expiry::Clear => out.put_u8(0),
        Expiry::Keep => out.put_u8(1),
        Expiry::At(at) => {
            out.put_u8(2);
            put_u64(at, out);
        }
        Expiry::In(millis) => {
            out.put_u8(3);
            put_u64(millis, out);
        }
    }
}

fn get_expiry(input: &mut Bytes) -> Result<Expiry, DecodeError> {
    Ok(match get_u8(input)? {
        0 => Expiry::Clear,
        1 => Expiry::Keep,
        2 => Expiry::At(get_u64(input)?),
        3 => Expiry::In(get_u64(input)?),
        tag => return Err(DecodeError::Kind { what: "an expiry", tag }),
    })
}

fn put_expiry_condition(condition: ExpiryCondition, out: &mut OutBuffer) {
    out.put_u8(match condition {
        ExpiryCondition::Always => 0,
        ExpiryCondition::Unset => 1,
        ExpiryCondition::AlreadySet => 2,
        ExpiryCondition::Later => 3,
        ExpiryCondition::Earlier => 4,
        ExpiryCondition::AlreadySetAndEarlier => 5,
    });
}

fn get_expiry_condition(input: &mut Bytes) -> Result<ExpiryCondition, DecodeError> {
    Ok(match get_u8(input)? {
        0 => ExpiryCondition::Always,
        1 => ExpiryCondition::Unset,
        2 => ExpiryCondition::AlreadySet,
        3 => ExpiryCondition::Later,
        4 => ExpiryCondition::Earlier,
        5 => ExpiryCondition::AlreadySetAndEarlier,
        tag => return Err(DecodeError::Kind { what: "an expiry's condition", tag }),
    })
}
