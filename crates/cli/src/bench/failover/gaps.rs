//! How long a key went without a success.

use std::time::{Duration, Instant};

/// When the two things happened that a measurement is about. With several nodes in turn, the first signal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    /// The signal was sent.
    pub(super) signal: Option<Instant>,
    /// The node was started again.
    pub(super) restart: Option<Instant>,
}

/// What a gap is put down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nothing: it was over before the signal. What the load and the machine do by themselves.
    Load,
    /// The node's end: it was still open at the signal or began later, but before the restart.
    Fault,
    /// The node's return: it began after the restart.
    Return,
}

impl Cause {
    /// All of them, in order of time.
    pub(super) const ALL: [Self; 3] = [Self::Load, Self::Fault, Self::Return];
}

/// The gaps between the successes of one key.
///
/// A gap lasts from the end of one success to the end of the next, or from the start of the measurement to the
/// first, or from the last to the end of the measurement: what is still failing then counts too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gaps {
    /// The last success, or the start.
    last: Instant,
    longest: [Duration; Cause::ALL.len()],
}

impl Gaps {
    /// Successes before `start` will not count.
    pub(super) fn new(start: Instant) -> Self {
        Self { last: start, longest: Default::default() }
    }

    /// A success, whose reply came at `at`: ends a gap and begins the next one.
    pub(super) fn success(&mut self, at: Instant, moments: Moments) {
        let cause = match moments {
            Moments { signal: Some(signal), .. } if at < signal => Cause::Load,
            Moments { signal: None, .. } => Cause::Load,
            Moments { restart: Some(restart), .. } if self.last >= restart => Cause::Return,
            Moments { .. } => Cause::Fault,
        };
        let gap = at.saturating_duration_since(self.last);
        let longest = &mut self.longest[cause as usize];
        *longest = gap.max(*longest);
        self.last = at.max(self.last);
    }

    /// Ends the measurement, and the gap that is open.
    pub(super) fn close(mut self, at: Instant, moments: Moments) -> Longest {
        self.success(at, moments);
        Longest(self.longest)
    }
}

/// The longest gap of a key for each cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Longest([Duration; Cause::ALL.len()]);

impl Longest {
    /// The longest gap for that cause; zero if there was none.
    pub(super) fn of(&self, cause: Cause) -> Duration {
        self.0[cause as usize]
    }

    /// The longest one from the signal on.
    pub(super) fn since_signal(&self) -> Duration {
        self.of(Cause::Fault).max(self.of(Cause::Return))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest gaps in ms of a key with successes at those times, from 0 to `end`.
    fn longest(successes: &[u64], signal: Option<u64>, restart: Option<u64>, end: u64) -> [u64; 3] {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        // A moment becomes known when it comes, as in a measurement.
        let known = |now: u64| Moments {
            signal: signal.filter(|ms| *ms <= now).map(at),
            restart: restart.filter(|ms| *ms <= now).map(at),
        };
        let mut gaps = Gaps::new(zero);
        successes.iter().for_each(|&ms| gaps.success(at(ms), known(ms)));
        let longest = gaps.close(at(end), known(end));
        Cause::ALL.map(|cause| longest.of(cause).as_millis() as u64)
    }

    #[test]
    fn gap_lasts_from_success_to_success() {
        assert_eq!(longest(&[10, 40, 45], None, None, 50), [30, 0, 0]);
        assert_eq!(longest(&[70, 75], None, None, 80), [70, 0, 0], "the first success was late");
    }

    #[test]
    fn gap_that_is_open_at_the_end_counts() {
        assert_eq!(longest(&[10, 20], None, None, 90), [70, 0, 0]);
        assert_eq!(longest(&[], None, None, 90), [90, 0, 0], "nothing ever succeeded");
        assert_eq!(longest(&[10, 20], Some(25), None, 90), [10, 70, 0]);
        assert_eq!(longest(&[10, 20], Some(25), Some(80), 90), [10, 70, 0], "not the restart's fault");
        assert_eq!(longest(&[10, 26, 81], Some(25), Some(80), 100), [10, 55, 19]);
    }

    #[test]
    fn gap_across_the_signal_belongs_to_the_fault() {
        // The last success was before the signal; the failure explains why the next one was late.
        assert_eq!(longest(&[10, 20, 320], Some(21), None, 330), [10, 300, 0]);
    }

    #[test]
    fn gap_across_the_restart_belongs_to_the_fault_and_later_ones_to_the_return() {
        assert_eq!(longest(&[10, 20, 150, 230, 240], Some(21), Some(100), 250), [10, 130, 80]);
        assert_eq!(longest(&[10, 30, 100, 105, 175], Some(20), Some(100), 180), [10, 70, 70]);
    }

    #[test]
    fn successes_of_the_warm_up_do_not_count() {
        let zero = Instant::now();
        let start = zero + Duration::from_millis(100);
        let mut gaps = Gaps::new(start);
        gaps.success(zero, Moments::default());
        gaps.success(start + Duration::from_millis(3), Moments::default());
        let longest = gaps.close(start + Duration::from_millis(5), Moments::default());
        assert_eq!(longest.of(Cause::Load), Duration::from_millis(3));
        assert_eq!(longest.since_signal(), Duration::ZERO);
    }
}
