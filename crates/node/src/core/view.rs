//! The data as replicas read it.

use simpledynamo_chain::{DataKey, Record, Records};
use simpledynamo_storage::Data;
use simpledynamo_storage::disk::DiskData;

use crate::fatal;

/// The node's data. A read that fails ends the process: what could be answered instead might be wrong.
pub(crate) struct DataView(pub(crate) DiskData);

impl Records for DataView {
    fn get(&self, key: &DataKey) -> Option<Record> {
        self.0.get(key).unwrap_or_else(|error| fatal::stop_for(&error))
    }

    fn range(&self, low: u64, high: u64) -> Box<dyn Iterator<Item = (DataKey, Record)> + '_> {
        Box::new(self.0.range(low, high).map(|pair| pair.unwrap_or_else(|error| fatal::stop_for(&error))))
    }
}
