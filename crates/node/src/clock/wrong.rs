//! Clocks that go wrong, for tests: this process's alone.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use simpledynamo_chain::UnixMillis;

/// How this process's clocks go wrong; empty until they first do.
static ERROR: OnceLock<Mutex<ClockError>> = OnceLock::new();

/// How clocks go wrong.
///
/// The boot clock runs faster or slower, from a moment at which it showed what it showed before: so it never jumps,
/// and never goes back.
#[derive(Clone, Copy, Debug, Default)]
struct ClockError {
    /// The moment, in nanoseconds of the true clock.
    since: u64,
    /// What the clock showed then.
    shown: u64,
    /// How much faster it runs since, in millionths.
    ppm: i64,
    /// How far ahead the wall clock is, in milliseconds.
    offset: i64,
}

impl ClockError {
    fn boot_nanos(self, now: u64) -> u64 {
        let passed = i128::from(now) - i128::from(self.since);
        let shown = i128::from(self.shown) + passed * i128::from(1_000_000 + self.ppm) / 1_000_000;
        u64::try_from(shown).unwrap_or(0)
    }

    /// From now on the clocks go wrong in another way.
    fn turn(&mut self, now: u64, ppm: i64, offset: i64) {
        *self = Self { since: now, shown: self.boot_nanos(now), ppm, offset };
    }
}

/// From now on the boot clock runs faster by so many millionths, and the wall clock is ahead by so many milliseconds.
pub(crate) fn put_wrong(ppm: i64, offset: i64) {
    // In two steps, of which the first changes nothing: who still reads the true clock does so before the second.
    let mut error = lock(ERROR.get_or_init(Mutex::default));
    error.turn(super::boot_nanos(), ppm, offset);
}

/// What the boot clock shows, which the caller has just read.
pub(super) fn boot_nanos(just_read: u64) -> u64 {
    match ERROR.get() {
        None => just_read,
        // Read again under the lock, so that no reading is older than the error that it is subject to.
        Some(error) => {
            let error = lock(error);
            error.boot_nanos(super::boot_nanos())
        }
    }
}

/// What the wall clock shows at that time.
pub(super) fn unix_millis(now: UnixMillis) -> UnixMillis {
    ERROR.get().map_or(now, |error| now.saturating_add_signed(lock(error).offset))
}

fn lock(error: &Mutex<ClockError>) -> MutexGuard<'_, ClockError> {
    error.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_clock_that_was_never_wrong_shows_the_time() {
        assert_eq!(ClockError::default().boot_nanos(17), 17);
    }

    #[test]
    fn a_clock_runs_faster_and_slower_without_a_jump() {
        let mut error = ClockError::default();
        error.turn(1_000 * SECOND, 2_000, 0);
        assert_eq!(error.boot_nanos(1_000 * SECOND), 1_000 * SECOND);
        assert_eq!(error.boot_nanos(2_000 * SECOND), 2_002 * SECOND);
        error.turn(2_000 * SECOND, -2_000, 0);
        assert_eq!(error.boot_nanos(2_000 * SECOND), 2_002 * SECOND);
        assert_eq!(error.boot_nanos(2_500 * SECOND), 2_501 * SECOND);
    }

    #[test]
    fn a_clock_that_is_put_right_keeps_what_it_is_ahead() {
        let mut error = ClockError::default();
        error.turn(1_000 * SECOND, 1_000, 5);
        error.turn(2_000 * SECOND, 0, 0);
        assert_eq!(error.boot_nanos(2_000 * SECOND), 2_001 * SECOND);
        assert_eq!(error.boot_nanos(3_000 * SECOND), 3_001 * SECOND);
    }

    #[test]
    fn a_slow_clock_that_changes_again_and_again_never_goes_back() {
        let mut error = ClockError::default();
        let mut last = 0;
        for step in 0..10_000_u64 {
            let now = SECOND + step * 37;
            error.turn(now, if step % 2 == 0 { -2_000 } else { 2_000 }, 0);
            let shown = error.boot_nanos(now);
            assert!(shown >= last, "{shown} after {last}");
            last = error.boot_nanos(now + 36);
        }
    }
}
