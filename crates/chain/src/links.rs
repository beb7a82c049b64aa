//! Which nodes can be reached, as far as their links tell.

use simpledynamo_topology::{Member, NodeId};

/// The links to the other nodes that are up.
///
/// A link that is down is a hint only: it steers requests, and decides nothing that safety rests on.
#[derive(Debug)]
pub struct Links {
    me: NodeId,
    up: Vec<bool>,
}

impl Links {
    pub(crate) fn new(me: NodeId, nodes: usize) -> Self {
        Self { me, up: vec![false; nodes] }
    }

    pub(crate) fn set(&mut self, node: NodeId, is_up: bool) {
        self.up[node.index()] = is_up;
    }

    /// Whether messages to this member are likely to arrive.
    #[must_use]
    pub fn reach(&self, member: Member) -> bool {
        member.node == self.me || self.up[member.node.index()]
    }

    /// Whether messages to all of these members are likely to arrive.
    #[must_use]
    pub fn reach_all(&self, members: &[Member]) -> bool {
        members.iter().all(|&member| self.reach(member))
    }
}
