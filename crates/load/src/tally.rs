//! What all clients together have counted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::client::Answer;
use crate::workload::Operation;

/// Latencies are kept in steps of a microsecond up to a minute, to three digits: more than any timeout here.
const LATENCY_MAX_US: u64 = 60_000_000;
const LATENCY_DIGITS: u8 = 3;

/// What all clients together have counted.
#[derive(Debug)]
pub struct Tally {
    /// Latencies of reads that were answered without an error, in microseconds.
    pub reads: Histogram<u64>,
    /// Latencies of writes that were answered without an error, in microseconds.
    pub writes: Histogram<u64>,
    /// Reads of keys that are not there.
    pub misses: u64,
    /// Errors by the first word of the answer, or by what became of the connection.
    pub errors: BTreeMap<String, u64>,
    /// Answers since the start, warm-up included: for telling progress.
    pub replies: u64,
    /// Only what is answered from here on counts.
    counts_from: Instant,
    /// Answers, but for errors, after this are not counted.
    counts_until: Option<Instant>,
}

impl Tally {
    /// Nothing yet. What is answered before `counts_from` is the warm-up.
    #[must_use]
    pub fn new(counts_from: Instant) -> Self {
        let latencies =
            Histogram::new_with_bounds(1, LATENCY_MAX_US, LATENCY_DIGITS).expect("constant bounds");
        Self {
            reads: latencies.clone(),
            writes: latencies,
            misses: 0,
            errors: BTreeMap::new(),
            replies: 0,
            counts_from,
            counts_until: None,
        }
    }

    /// Leaves out what is answered without an error after `counts_until`: the last rounds of many clients with long
    /// pipelines are no small part of a short measurement.
    #[must_use]
    pub fn until(self, counts_until: Instant) -> Self {
        Self { counts_until: Some(counts_until), ..self }
    }

    /// Latencies of reads and writes together.
    #[must_use]
    pub fn all(&self) -> Histogram<u64> {
        let mut all = self.reads.clone();
        all.add(&self.writes).expect("both have the same bounds");
        all
    }

    /// Operations that were answered without an error.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.reads.len() + self.writes.len()
    }

    /// All errors, of whatever kind.
    #[must_use]
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Counts `count` errors of a kind.
    pub fn error(&mut self, kind: &str, count: u64) {
        if let Some(known) = self.errors.get_mut(kind) {
            *known += count;
        } else {
            self.errors.insert(kind.to_owned(), count);
        }
    }

    /// Counts an answer, if it came after the warm-up.
    pub(crate) fn count(&mut self, operation: Operation, answer: Answer<'_>, now: Instant, took: Duration) {
        self.replies += 1;
        if now < self.counts_from {
            return;
        }
        if let Answer::Error(text) = answer {
            let kind = text.split(|byte| *byte == b' ').next().unwrap_or(text);
            return self.error(&String::from_utf8_lossy(kind), 1);
        }
        if self.counts_until.is_some_and(|until| now > until) {
            return;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(LATENCY_MAX_US).max(1);
        match operation {
            Operation::Read(_) => {
                self.misses += u64::from(matches!(answer, Answer::Missing));
                self.reads.saturating_record(micros);
            }
            Operation::Write(_) | Operation::Insert(_) => self.writes.saturating_record(micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let took = Duration::from_micros(40);
        let mut count = |operation, answer| tally.count(operation, answer, start, took);
        count(Operation::Read(1), Answer::Done);
        count(Operation::Read(1), Answer::Missing);
        count(Operation::Write(1), Answer::Done);
        count(Operation::Insert(1), Answer::Done);
        count(Operation::Write(1), Answer::Error(b"UNAVAILABLE no lease"));
        count(Operation::Read(1), Answer::Error(b"UNAVAILABLE"));
        assert_eq!((tally.reads.len(), tally.writes.len(), tally.misses, tally.replies), (2, 2, 1, 6));
        assert_eq!(tally.errors, BTreeMap::from([("UNAVAILABLE".to_owned(), 2)]));
        assert_eq!((tally.answered(), tally.errors_total()), (4, 2));
        assert_eq!(tally.all().max(), 40);
    }

    #[test]
    fn warm_up_is_only_progress() {
        let start = Instant::now();
        let mut tally = Tally::new(start + Duration::from_secs(1));
        tally.count(Operation::Read(1), Answer::Missing, start, Duration::ZERO);
        tally.count(Operation::Read(1), Answer::Error(b"ERR"), start, Duration::ZERO);
        assert_eq!((tally.replies, tally.answered(), tally.misses, tally.errors_total()), (2, 0, 0, 0));
    }

    #[test]
    fn last_rounds_are_left_out_but_not_their_errors() {
        let start = Instant::now();
        let mut tally = Tally::new(start).until(start + Duration::from_secs(1));
        for after in [500, 1500] {
            let now = start + Duration::from_millis(after);
            tally.count(Operation::Write(1), Answer::Done, now, Duration::ZERO);
            tally.count(Operation::Write(1), Answer::Error(b"ERR"), now, Duration::ZERO);
        }
        assert_eq!((tally.answered(), tally.errors_total()), (1, 2));
    }
}
