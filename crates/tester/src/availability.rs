//! What clients had of the ring in a phase: how much, how fast, and how long nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use simpledynamo_ring::{Ring, Token};
use simpledynamo_verify::Ticks;

use crate::record::{Outcome, Record, Via};

/// What clients had of the ring in a phase.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Availability {
    /// Looks.
    pub reads: Share,
    /// Everything that may change something.
    pub writes: Share,
    /// Listings of a node or the ring that were answered, each counted once for all keys that it shows.
    pub listed_keys: u64,
    /// Errors by their first word, and replies that did not come.
    pub errors: BTreeMap<String, u64>,
    /// The phase in pieces of equal length, to be drawn.
    pub pieces: Vec<Piece>,
}

/// Operations of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Share {
    /// They were answered.
    pub answered: u64,
    /// They certainly did not happen.
    pub failed: u64,
    /// Nobody knows.
    pub unknown: u64,
    /// The longest time without a success, in nanoseconds: of the part of the ring for which it was longest.
    pub longest_gap: Ticks,
    /// How long those took that were answered, in nanoseconds.
    pub latency: Latency,
}

/// How long operations took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50: Ticks,
    /// 99 of 100 took no longer.
    pub p99: Ticks,
    /// None took longer.
    pub max: Ticks,
}

/// A piece of the time of a phase.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Piece {
    /// Reads answered.
    pub reads: u64,
    /// Writes answered.
    pub writes: u64,
    /// Operations that failed or whose outcome is unknown.
    pub errors: u64,
    /// How long the answered ones took, of both kinds.
    pub latency: Latency,
}

/// Pieces that a phase is cut into.
pub(crate) const PIECES: usize = 150;

/// What clients had of the ring between two moments.
pub(crate) fn measure(records: &[Record], ring: Option<&Ring>, began: Ticks, ended: Ticks) -> Availability {
    let by_name = || records.iter().filter(|record| record.via == Via::Key);
    let listed = records.len() - by_name().count();
    Availability {
        reads: share(by_name().filter(|record| record.call.is_read()), ring, began, ended),
        writes: share(by_name().filter(|record| !record.call.is_read()), ring, began, ended),
        listed_keys: listed as u64,
        errors: errors(by_name()),
        pieces: pieces(by_name(), began, ended),
    }
}

fn share<'a>(
    records: impl Iterator<Item = &'a Record>,
    ring: Option<&Ring>,
    began: Ticks,
    ended: Ticks,
) -> Share {
    let mut share = Share::default();
    let mut latencies = Vec::new();
    let mut successes: BTreeMap<usize, Vec<Ticks>> = BTreeMap::new();
    for record in records {
        match record.outcome {
            Outcome::Answered { returned, .. } => {
                share.answered += 1;
                latencies.push(returned - record.invoked);
                let part = ring.map_or(0, |ring| ring.partition_of(Token::of(&record.key)));
                successes.entry(part).or_default().push(returned);
            }
            Outcome::Failed { .. } => share.failed += 1,
            Outcome::Unknown { .. } => share.unknown += 1,
        }
    }
    let gap = |times: Vec<Ticks>| longest_gap(times, began, ended);
    // A ring in which nothing succeeded had one gap.
    share.longest_gap = successes.into_values().map(gap).max().unwrap_or(ended - began);
    share.latency = latency(latencies);
    share
}

/// The longest time between two successes, or between one and the beginning or the end.
fn longest_gap(mut successes: Vec<Ticks>, began: Ticks, ended: Ticks) -> Ticks {
    successes.extend([began, ended]);
    successes.sort_unstable();
    successes.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn latency(mut latencies: Vec<Ticks>) -> Latency {
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
    let max = latencies.last().copied().unwrap_or_default();
    Latency { p50: at(50).unwrap_or(max), p99: at(99).unwrap_or(max), max }
}

fn errors<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeMap<String, u64> {
    let mut errors = BTreeMap::new();
    for record in records {
        let error = match &record.outcome {
            Outcome::Answered { .. } => continue,
            Outcome::Failed { error, .. } | Outcome::Unknown { error, .. } => error,
        };
        let first = error.split(' ').next().unwrap_or_default();
        let is_code = first.len() > 1 && first.bytes().all(|byte| byte.is_ascii_uppercase());
        let kind = if is_code { first.to_owned() } else { error.clone() };
        *errors.entry(kind).or_default() += 1;
    }
    errors
}

fn pieces<'a>(records: impl Iterator<Item = &'a Record>, began: Ticks, ended: Ticks) -> Vec<Piece> {
    let length = ((ended - began) / PIECES as u64).max(1);
    let mut pieces = vec![Piece::default(); PIECES];
    let mut latencies = vec![Vec::new(); PIECES];
    for record in records {
        let place = usize::try_from(record.ended().saturating_sub(began) / length).unwrap_or(usize::MAX);
        let place = place.min(PIECES - 1);
        let piece = &mut pieces[place];
        match (record.is_answered(), record.call.is_read()) {
            (true, true) => piece.reads += 1,
            (true, false) => piece.writes += 1,
            (false, _) => piece.errors += 1,
        }
        if record.is_answered() {
            latencies[place].push(record.ended() - record.invoked);
        }
    }
    for (piece, latencies) in pieces.iter_mut().zip(latencies) {
        piece.latency = latency(latencies);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::call::{Call, Told};

    fn read(invoked: Ticks, outcome: Outcome) -> Record {
        let (key, call) = (Bytes::from_static(b"k"), Call::Get);
        Record { phase: 1, client: 0, node: "a".into(), key, call, via: Via::Key, invoked, outcome }
    }

    fn answered(invoked: Ticks, returned: Ticks) -> Record {
        read(invoked, Outcome::Answered { told: Told::Nothing, returned })
    }

    #[test]
    fn gaps_and_errors_are_counted() {
        let records = [
            answered(10, 20),
            answered(30, 150),
            read(40, Outcome::Failed { error: "UNAVAILABLE no lease".to_owned(), returned: 60 }),
            read(70, Outcome::Unknown { error: "the connection was closed".to_owned(), gave_up: 80 }),
        ];
        let found = measure(&records, None, 0, 300);
        assert_eq!((found.reads.answered, found.reads.failed, found.reads.unknown), (2, 1, 1));
        assert_eq!(found.reads.longest_gap, 150, "from the last success to the end");
        assert_eq!((found.reads.latency.p50, found.reads.latency.max), (120, 120));
        assert_eq!(found.writes.longest_gap, 300, "nothing was written");
        let errors = [("UNAVAILABLE".to_owned(), 1), ("the connection was closed".to_owned(), 1)];
        assert_eq!(found.errors, errors.into());
        assert_eq!(found.pieces.len(), PIECES);
        assert_eq!(found.pieces.iter().map(|piece| piece.reads + piece.errors).sum::<u64>(), 4);
    }
}
