//! The clean data, as a replica reads it.

use crate::{DataKey, Record};

/// The pairs that have been applied, in ring order. A replica looks here for what its log no longer holds.
///
/// Reading cannot fail: a driver whose disk fails ends the process instead of answering.
pub trait Records {
    /// The record of a key.
    fn get(&self, key: &DataKey) -> Option<Record>;

    /// The records whose token prefixes lie in `low..=high`, in order.
    fn range(&self, low: u64, high: u64) -> Box<dyn Iterator<Item = (DataKey, Record)> + '_>;
}
