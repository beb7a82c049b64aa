//! `SD.FAULT`: faults for tests.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::errors::CommandError;
use super::input::{Input, Parsed, integer, is};
use super::plan::{Plan, ServerCommand};

/// How much faster or slower a clock may be made to run, in millionths: as much as leases allow for.
pub const PPM_MAX: i64 = 2_000;

/// How wrong a wall clock may be made, in milliseconds: a day.
pub const OFFSET_MAX: i64 = 86_400_000;

/// A fault to bring about, or to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultCommand {
    /// Nothing that this node sends to the named one gets there.
    CutTo(Bytes),
    /// Nothing that the named node sends to this one gets here.
    CutFrom(Bytes),
    /// All cuts of this node end.
    Heal,
    /// This node's clocks go wrong.
    Clock {
        /// How much faster the clock runs that leases are measured by, in millionths: at most [`PPM_MAX`] either way.
        ppm: i64,
        /// How far ahead the wall clock is, in milliseconds: at most [`OFFSET_MAX`] either way.
        offset: i64,
    },
}

/// `SD.FAULT CUT TO node | CUT FROM node | HEAL | CLOCK ppm [milliseconds]`.
pub(super) fn fault(input: Input<'_>) -> Parsed {
    let fault = match input.rest(1) {
        [word, way, node] if is(word, "cut") && is(way, "to") => FaultCommand::CutTo(node.clone()),
        [word, way, node] if is(word, "cut") && is(way, "from") => FaultCommand::CutFrom(node.clone()),
        [word] if is(word, "heal") => FaultCommand::Heal,
        [word, ppm] if is(word, "clock") => clock(ppm, b"0")?,
        [word, ppm, offset] if is(word, "clock") => clock(ppm, offset)?,
        _ => return Err(CommandError::Fault),
    };
    Ok(Plan::Server(ServerCommand::Fault(fault)))
}

fn clock(ppm: &[u8], offset: &[u8]) -> Result<FaultCommand, CommandError> {
    let within = |max: i64| RangeInclusive::new(-max, max);
    let (ppm, offset) = (integer(ppm)?, integer(offset)?);
    if within(PPM_MAX).contains(&ppm) && within(OFFSET_MAX).contains(&offset) {
        Ok(FaultCommand::Clock { ppm, offset })
    } else {
        Err(CommandError::FaultClock)
    }
}
