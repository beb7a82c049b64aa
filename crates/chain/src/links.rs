//! Which nodes can be reached, as far as their links tell.

use simpledynamo_topology::{Member, NodeId};

use crate::Millis;

/// The links to the other nodes that are up.
///
/// A link that is down is a hint only: it steers requests, and decides nothing that safety rests on.
#[derive(Debug)]
pub struct Links {
    me: NodeId,
    /// Since when the link to each node has been down; none while it is up.
    down_since: Vec<Option<Millis>>,
}

impl Links {
    pub(crate) fn new(me: NodeId, nodes: usize) -> Self {
        Self { me, down_since: vec![Some(0); nodes] }
    }

    pub(crate) fn set(&mut self, now: Millis, node: NodeId, is_up: bool) {
        let down_since = &mut self.down_since[node.index()];
        *down_since = if is_up { None } else { Some(down_since.unwrap_or(now)) };
    }

    /// Whether messages to this member are likely to arrive.
    #[must_use]
    pub fn reach(&self, member: Member) -> bool {
        member.node == self.me || self.down_since[member.node.index()].is_none()
    }

    /// Since when messages to this member are not likely to arrive; none if they are. 0 is the node's start.
    #[must_use]
    pub fn out_of_reach_since(&self, member: Member) -> Option<Millis> {
        self.down_since[member.node.index()].filter(|_| member.node != self.me)
    }
}
