//! What `SD.RING` answers, as JSON: the ring as one node sees it, and what that node does in it.
//!
//! For those who read it: fields that a later version adds are passed over; those that an earlier one lacks count as
//! unknown.

use serde::{Deserialize, Serialize};

/// The answer of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct RingReply {
    /// The cluster's id.
    pub cluster: String,
    /// How many nodes keep each pair.
    pub replicas: usize,
    /// How much of the control group's log the node knows.
    pub version: u64,
    /// All nodes, in ring order.
    pub nodes: Vec<NodeReply>,
    /// The chains that have a form.
    pub chains: Vec<ChainReply>,
    /// The control group.
    pub control: ControlReply,
    /// The node that answers.
    pub here: HereReply,
}

/// A node as the topology has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeReply {
    /// Its name.
    pub name: String,
    /// Its place on the ring: the SHA-1 of its name, in hexadecimal digits.
    pub id: String,
    /// Where clients reach it.
    pub client: String,
    /// Where other nodes reach it.
    pub peer: String,
    /// Its latest session; 0 if it never had one.
    pub session: u64,
    /// Whether that has not ended.
    pub live: bool,
}

/// The present form of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ChainReply {
    /// The owner's position in ring order.
    pub partition: usize,
    /// The number of this form.
    pub epoch: u64,
    /// Its members, head to tail.
    pub members: Vec<String>,
    /// Whether the epoch has begun: before, requests wait.
    pub open: bool,
    /// Whether every node of the preference list is a member.
    pub whole: bool,
    /// Whether no member lives.
    pub headless: bool,
}

/// The control group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ControlReply {
    /// Whether it was ever formed.
    pub formed: bool,
    /// Voters that have to be seen before it can be.
    pub missing: Vec<String>,
    /// The node that leads it, as far as is known.
    pub controller: Option<String>,
    /// The term of its leader.
    pub term: u64,
    /// Who votes.
    pub voters: Vec<String>,
}

/// The node that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct HereReply {
    /// Its name.
    pub node: String,
    /// The session that its process holds; 0 if none.
    pub session: u64,
    /// Whether it may answer reads.
    pub lease: bool,
    /// Whether the ring is whole, and the node has begun the epochs that make it so.
    pub whole: bool,
    /// Partitions that it serves.
    pub serving: Vec<String>,
    /// Partitions that it keeps and lacks something of.
    pub syncing: Vec<SyncReply>,
}

/// How far a node has come with a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SyncReply {
    /// The name of the owner.
    pub partition: String,
    /// All entries up to here are held.
    pub held: u64,
    /// All up to here are known to be committed; 0 if nothing was heard yet.
    pub committed: u64,
    /// While the data is copied as a whole: how many pages have come.
    pub pages: Option<u32>,
}
