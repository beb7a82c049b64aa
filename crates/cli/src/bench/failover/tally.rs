//! What the clients of a measurement count together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::gaps::{Gaps, Longest, Moments};

/// As many different messages of one kind of failure are kept.
const EXAMPLES_MAX: usize = 3;

/// Whether a client reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Read,
}

/// The parts of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// All nodes run.
    Before,
    /// From the signal until the restart. Of several nodes in turn: until the last one is back.
    Away,
    /// From the restart until the ring is whole.
    Returning,
    /// The ring is whole again.
    After,
}

const PHASES: usize = 4;

/// Failures of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    pub(super) count: u64,
    /// The first messages that differ.
    pub(super) examples: Vec<String>,
}

/// Counters that all clients share. Everything runs on one thread.
#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    /// The present phase and when it began; none before the start.
    phase: Cell<Option<(Phase, Instant)>>,
    lasted: Cell<[Duration; PHASES]>,
    successes: Cell<[[u64; PHASES]; 2]>,
    moments: Cell<Moments>,
    failures: RefCell<BTreeMap<String, Failures>>,
    gaps: RefCell<Vec<(Kind, Gaps)>>,
}

impl Tally {
    /// A measurement that begins at `start`, with a key for each of the kinds.
    pub(super) fn new(start: Instant, keys: impl Iterator<Item = Kind>) -> Self {
        Self {
            start,
            phase: Cell::default(),
            lasted: Cell::default(),
            successes: Cell::default(),
            moments: Cell::default(),
            failures: RefCell::default(),
            gaps: RefCell::new(keys.map(|kind| (kind, Gaps::new(start))).collect()),
        }
    }

    /// Begins a phase, and ends the one before.
    pub(super) fn enter(&self, phase: Phase, at: Instant) {
        self.leave(at);
        self.phase.set(Some((phase, at)));
    }

    fn leave(&self, at: Instant) {
        if let Some((phase, since)) = self.phase.take() {
            let mut lasted = self.lasted.get();
            lasted[phase as usize] += at.saturating_duration_since(since);
            self.lasted.set(lasted);
        }
    }

    /// The first signal is about to be sent.
    pub(super) fn signal(&self, at: Instant) {
        let moments = self.moments.get();
        self.moments.set(Moments { signal: moments.signal.or(Some(at)), ..moments });
    }

    /// The node is about to be started again.
    pub(super) fn restart(&self, at: Instant) {
        self.moments.set(Moments { restart: Some(at), ..self.moments.get() });
    }

    /// The operation of the client with that number was answered as it should be.
    pub(super) fn success(&self, client: usize, at: Instant) {
        let mut gaps = self.gaps.borrow_mut();
        let (kind, gaps) = &mut gaps[client];
        gaps.success(at, self.moments.get());
        if let Some((phase, _)) = self.phase.get() {
            let mut successes = self.successes.get();
            successes[*kind as usize][phase as usize] += 1;
            self.successes.set(successes);
        }
    }

    /// An operation failed. `kind` is a code such as `UNAVAILABLE`, `example` the whole story.
    pub(super) fn failure(&self, kind: &str, example: impl FnOnce(Duration) -> String) {
        if self.phase.get().is_none() {
            return;
        }
        let mut all = self.failures.borrow_mut();
        let failures = all.entry(kind.to_owned()).or_default();
        failures.count += 1;
        if failures.examples.len() < EXAMPLES_MAX {
            let since = self.moments.get().signal.unwrap_or(self.start);
            failures.examples.push(example(since.elapsed()));
        }
    }

    /// Ends the measurement.
    pub(super) fn close(&self, at: Instant) -> Outcome {
        self.leave(at);
        let moments = self.moments.get();
        let longest = |wanted: Kind| {
            let gaps = self.gaps.borrow();
            gaps.iter().filter(|(kind, _)| *kind == wanted).map(|(_, gaps)| gaps.close(at, moments)).collect()
        };
        Outcome {
            write_gaps: longest(Kind::Write),
            read_gaps: longest(Kind::Read),
            failures: self.failures.take(),
            lasted: self.lasted.get(),
            successes: self.successes.get(),
        }
    }
}

/// What was counted.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Of each written key.
    pub(super) write_gaps: Vec<Longest>,
    /// Of each key that is only read.
    pub(super) read_gaps: Vec<Longest>,
    pub(super) failures: BTreeMap<String, Failures>,
    lasted: [Duration; PHASES],
    successes: [[u64; PHASES]; 2],
}

impl Outcome {
    /// Successes per second during those phases together; none if they took no time.
    pub(super) fn rate(&self, kinds: &[Kind], phases: &[Phase]) -> Option<f64> {
        let lasted: Duration = phases.iter().map(|phase| self.lasted[*phase as usize]).sum();
        let count: u64 = kinds
            .iter()
            .flat_map(|kind| phases.iter().map(|phase| self.successes[*kind as usize][*phase as usize]))
            .sum();
        (!lasted.is_zero()).then(|| count as f64 / lasted.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successes_are_put_down_to_the_phase_they_end_in() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let tally = Tally::new(start, [Kind::Write, Kind::Read].into_iter());
        tally.success(0, at(0));
        tally.failure("UNKNOWN", |_| panic!("the warm-up does not count"));
        tally.enter(Phase::Before, at(0));
        (0..10).for_each(|_| tally.success(0, at(50)));
        tally.enter(Phase::Away, at(100));
        tally.signal(at(100));
        (0..3).for_each(|_| tally.success(1, at(150)));
        tally.enter(Phase::Returning, at(200));
        tally.enter(Phase::After, at(400));
        for text in ["a", "b", "c", "d"] {
            tally.failure("UNKNOWN", |_| text.to_owned());
        }
        let outcome = tally.close(at(500));
        let rate = |kinds: &[Kind], phases: &[Phase]| outcome.rate(kinds, phases).expect("took time");
        assert_eq!(rate(&[Kind::Write], &[Phase::Before]), 100.0);
        assert_eq!(rate(&[Kind::Write, Kind::Read], &[Phase::Away, Phase::Returning]), 10.0);
        assert_eq!(rate(&[Kind::Read], &[Phase::After]), 0.0);
        assert_eq!(outcome.write_gaps[0].since_signal(), Duration::from_millis(450), "open at the end");
        let unknown = &outcome.failures["UNKNOWN"];
        assert_eq!((unknown.count, unknown.examples.len()), (4, EXAMPLES_MAX));
    }

    #[test]
    fn phase_that_took_no_time_has_no_rate() {
        let start = Instant::now();
        let tally = Tally::new(start, std::iter::empty());
        tally.enter(Phase::Before, start);
        assert_eq!(tally.close(start).rate(&[Kind::Read], &[Phase::Before]), None);
    }
}
