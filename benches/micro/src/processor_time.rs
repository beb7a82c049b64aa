//! How much of a processor's time a step takes.

use rustix::time::{ClockId, clock_gettime};

use crate::case::Repeat;

/// How long one batch of repetitions takes at least, in nanoseconds: far more than the clock's own cost.
const BATCH_NANOS: u64 = 20_000_000;

/// Batches, of which the median counts. An odd number.
const BATCHES: usize = 15;

/// The most repetitions of a batch: what is made ready for them must fit into memory.
const REPETITIONS_MAX: u64 = 1 << 20;

/// The clock of what this thread has had of a processor.
const THREAD: ClockId = ClockId::ThreadCPUTime;

/// Nanoseconds per repetition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spent {
    /// Of the fastest batch.
    pub(crate) min: f64,
    /// Of the batch in the middle.
    pub(crate) median: f64,
    /// Of the slowest batch.
    pub(crate) max: f64,
}

/// Measures a step by the time of the thread that carries it out, the system's share in it included. What other
/// threads do meanwhile, and waiting for a disk, does not count.
pub(crate) fn measure(step: &mut dyn Repeat) -> Spent {
    let repetitions = repetitions(step);
    let batches: Vec<f64> =
        (0..BATCHES).map(|_| batch(THREAD, step, repetitions) as f64 / repetitions as f64).collect();
    summarise(batches)
}

/// Nanoseconds per repetition that all threads of this process spend while the step is carried out so often: what it
/// has others do is among it, as far as they get to it.
#[cfg(feature = "storage")]
pub(crate) fn of_all_threads(step: &mut dyn Repeat, repetitions: u64) -> f64 {
    batch(ClockId::ProcessCPUTime, step, repetitions) as f64 / repetitions as f64
}

/// How many repetitions make a batch.
fn repetitions(step: &mut dyn Repeat) -> u64 {
    let mut repetitions = 1;
    while repetitions < REPETITIONS_MAX {
        let nanos = batch(THREAD, step, repetitions);
        if nanos >= BATCH_NANOS {
            break;
        }
        // No more than ten times as many at once: the first repetitions say little about the others.
        let wanted = repetitions * BATCH_NANOS / nanos.max(1) + 1;
        repetitions = wanted.min(10 * repetitions).min(REPETITIONS_MAX);
    }
    repetitions
}

/// The nanoseconds of so many repetitions.
fn batch(clock: ClockId, step: &mut dyn Repeat, repetitions: u64) -> u64 {
    step.make_ready(repetitions);
    let start = now(clock);
    for _ in 0..repetitions {
        step.repeat();
    }
    now(clock) - start
}

/// Nanoseconds by a clock of time spent.
fn now(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let whole = u64::try_from(time.tv_sec).expect("time spent is not negative");
    whole * 1_000_000_000 + u64::try_from(time.tv_nsec).expect("nor is this")
}

fn summarise(mut batches: Vec<f64>) -> Spent {
    batches.sort_by(f64::total_cmp);
    let (min, max) = (batches[0], batches[batches.len() - 1]);
    Spent { min, median: batches[batches.len() / 2], max }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let spent = summarise(vec![5.0, 1.0, 100.0, 3.0, 4.0]);
        assert_eq!(spent, Spent { min: 1.0, median: 4.0, max: 100.0 });
    }

    #[test]
    fn a_batch_carries_out_what_it_made_ready() {
        struct Stock {
            ready: u64,
            done: Rc<Cell<u64>>,
        }
        impl Repeat for Stock {
            fn make_ready(&mut self, repetitions: u64) {
                assert_eq!(self.ready, 0, "all was used up");
                self.ready = repetitions;
            }
            fn repeat(&mut self) {
                self.ready -= 1;
                self.done.set(self.done.get() + 1);
            }
        }
        let done = Rc::new(Cell::new(0));
        batch(THREAD, &mut Stock { ready: 0, done: Rc::clone(&done) }, 7);
        assert_eq!(done.get(), 7);
    }

    /// A step that takes as long as a batch is not repeated to find out.
    #[test]
    fn slow_steps_make_small_batches() {
        let mut slow = || {
            let until = now(THREAD) + BATCH_NANOS;
            while now(THREAD) < until {}
        };
        assert_eq!(repetitions(&mut slow), 1);
    }
}
