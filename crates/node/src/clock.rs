//! The clocks of the machine.

mod wrong;

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use simpledynamo_chain::{Millis, Now, UnixMillis};

pub(crate) use wrong::put_wrong;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Milliseconds since the machine started, suspends included (`CLOCK_BOOTTIME`): a deadline that passes
/// during a suspend has passed.
pub(crate) fn boot_millis() -> Millis {
    wrong::boot_nanos(boot_nanos()) / NANOS_PER_MILLI
}

fn boot_nanos() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds * 1_000 * NANOS_PER_MILLI + nanos
}

/// Milliseconds since the Unix epoch, by the machine's wall clock: for expiry times only.
pub(crate) fn unix_millis() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    wrong::unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Both clocks.
pub(crate) fn now() -> Now {
    Now { millis: boot_millis(), unix: unix_millis() }
}
