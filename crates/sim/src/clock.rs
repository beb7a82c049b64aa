//! What time a machine thinks it is.

use simpledynamo_chain::{Millis, Now};

/// Microseconds of true time, from the beginning of the simulation.
pub(crate) type Micros = u64;

/// The clocks of a machine. Both run on while its processes are paused or the machine sleeps.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// What the monotonic clock showed at time 0.
    pub(crate) offset: Micros,
    /// How much faster than true time it runs, in millionths.
    pub(crate) drift_ppm: i64,
    /// How far the wall clock is ahead of the monotonic one, in milliseconds; it jumps.
    pub(crate) wall: u64,
}

impl Clock {
    /// The monotonic clock at a moment of true time.
    pub(crate) fn millis(&self, now: Micros) -> Millis {
        let drift = i128::from(now) * i128::from(self.drift_ppm) / 1_000_000;
        let local = i128::from(self.offset) + i128::from(now) + drift;
        u64::try_from(local / 1_000).expect("the clock starts late enough for any drift")
    }

    /// Both clocks at a moment of true time.
    pub(crate) fn now(&self, now: Micros) -> Now {
        let millis = self.millis(now);
        Now { millis, unix: millis + self.wall }
    }
}
