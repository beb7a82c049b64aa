//! A client that only makes logs and disks grow.

use std::rc::Rc;

use bytes::Bytes;

use crate::asker::Asker;
use crate::call::Call;
use crate::listing;
use crate::servers::Shared;

/// A client of its own, which writes what nobody checks by name.
const FILLER: u32 = 900_000;

/// Large values are written to a few keys over and over: they fill logs, and listings stay short.
const FILLER_KEYS: usize = 8;

/// A client that writes large values to keys of one node, through the others.
pub(crate) struct Filler {
    asker: Asker,
    nodes: Vec<usize>,
    keys: Vec<String>,
    value: Bytes,
}

impl Filler {
    pub(crate) fn new(shared: &Rc<Shared>, node: usize, bytes: usize) -> Self {
        let nodes = (0..shared.servers.len()).filter(|&other| other != node).collect();
        let name = &shared.servers[node].name;
        let keys = (0..).map(|number| format!("fill:{number}"));
        let keys = keys.filter(|key| listing::keeps(shared, name, key.as_bytes())).take(FILLER_KEYS);
        let value = Bytes::from(vec![b'.'; bytes]);
        Self { asker: Asker::new(shared, FILLER, 0), nodes, keys: keys.collect(), value }
    }

    /// Writes one value. What becomes of it is of no interest here: nobody reads it.
    pub(crate) async fn write(&mut self, number: usize) {
        let node = self.nodes[number % self.nodes.len()];
        if self.asker.reach(node).await {
            let key = &self.keys[number % self.keys.len()];
            let _ = self.asker.raw(node, &Call::Set(self.value.clone()).request(key.as_bytes())).await;
        }
    }
}
