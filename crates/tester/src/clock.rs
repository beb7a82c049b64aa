//! The one clock that stamps everything that happens in a run.

use std::time::Instant;

use simpledynamo_verify::Ticks;

/// Nanoseconds since the run began. Copies are the same clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now() }
    }

    pub(crate) fn now(self) -> Ticks {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a run is shorter than centuries")
    }
}
