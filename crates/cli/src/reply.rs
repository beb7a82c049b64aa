//! What `SD.RING` answers: the ring as one node sees it, and what that node does in it.
//!
//! Fields that a later version adds are passed over; those that an earlier one lacks count as unknown.

use serde::Deserialize;
use simpledynamo_wire::resp::Value;

use crate::client::{Client, Effect, unexpected};
use crate::failure::Failure;

/// The answer of one node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RingReply {
    pub(crate) cluster: String,
    pub(crate) replicas: usize,
    /// How much of the control group's log the node knows.
    pub(crate) version: u64,
    pub(crate) nodes: Vec<NodeReply>,
    /// The chains that have a form.
    pub(crate) chains: Vec<ChainReply>,
    pub(crate) control: ControlReply,
    pub(crate) here: HereReply,
}

/// A node as the topology has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeReply {
    pub(crate) name: String,
    pub(crate) client: String,
    pub(crate) peer: String,
    /// Its latest session; 0 if it never had one.
    pub(crate) session: u64,
    /// Whether that has not ended.
    pub(crate) live: bool,
}

/// The present form of a chain.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ChainReply {
    /// The owner's position in ring order.
    pub(crate) partition: usize,
    pub(crate) epoch: u64,
    pub(crate) members: Vec<String>,
    /// Whether the epoch has begun: before, requests wait.
    pub(crate) open: bool,
    /// Whether no member lives.
    pub(crate) headless: bool,
}

/// The control group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ControlReply {
    /// Whether it was ever formed.
    pub(crate) formed: bool,
    /// Voters that have to be seen before it can be.
    pub(crate) missing: Vec<String>,
    pub(crate) controller: Option<String>,
    pub(crate) term: u64,
    pub(crate) voters: Vec<String>,
}

/// The node that answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HereReply {
    pub(crate) node: String,
    /// The session that its process holds; 0 if none.
    pub(crate) session: u64,
    /// Whether it may answer reads.
    pub(crate) lease: bool,
    /// Whether the ring is whole, and the node has begun the epochs that make it so.
    pub(crate) whole: bool,
    /// Partitions that it serves.
    pub(crate) serving: Vec<String>,
    /// Partitions that it keeps and lacks something of.
    pub(crate) syncing: Vec<SyncReply>,
}

/// How far a node has come with a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(default)]
pub(crate) struct SyncReply {
    pub(crate) partition: String,
    /// All entries up to here are held.
    pub(crate) held: u64,
    /// All up to here are known to be committed; 0 if nothing was heard yet.
    pub(crate) committed: u64,
    /// While the data is copied as a whole: how many pages have come.
    pub(crate) pages: Option<u32>,
}

/// Asks a node.
pub(crate) fn ask(client: &mut Client, address: &str) -> Result<RingReply, Failure> {
    match client.call(&[b"SD.RING"], Effect::Read)? {
        Value::Bulk(text) | Value::Verbatim(text) => serde_json::from_slice(&text).map_err(|error| {
            Failure::Other(format!("{address} answered SD.RING with something unreadable: {error}"))
        }),
        other => Err(unexpected("SD.RING", &other)),
    }
}
