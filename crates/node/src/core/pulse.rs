//! Signs of life of this node's threads, for the one that asks for the lease.

use std::sync::atomic::{AtomicU64, Ordering};

use simpledynamo_chain::Millis;

use crate::clock;

/// Signs of life. A node that is alive but stuck must not keep its lease: the chains that it is in would wait for it
/// for ever.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// When the data thread last looked at its clock.
    ticked: AtomicU64,
    /// Since when the writer has been at work on one batch; 0 if it waits for work.
    writing_since: AtomicU64,
}

/// Lasts as long as the work on one batch.
pub(crate) struct Writing<'a>(&'a Pulse);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing_since.store(0, Ordering::Relaxed);
    }
}

impl Pulse {
    /// The data thread is alive.
    pub(crate) fn tick(&self, now: Millis) {
        self.ticked.store(now, Ordering::Relaxed);
    }

    /// The writer works until what is returned is dropped: it hands a batch to the disk, and waits for it, or for those
    /// who are behind it.
    pub(crate) fn begin_work(&self) -> Writing<'_> {
        self.writing_since.store(clock::boot_millis(), Ordering::Relaxed);
        Writing(self)
    }

    /// Whether the data thread and the disk have both moved within this time.
    pub(crate) fn is_alive(&self, now: Millis, patience: Millis) -> bool {
        let since = self.writing_since.load(Ordering::Relaxed);
        let writes = since == 0 || now < since + patience;
        writes && now < self.ticked.load(Ordering::Relaxed) + patience
    }
}
