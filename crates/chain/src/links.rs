//! Which nodes can be reached, as far as their links tell.

use simpledynamo_topology::{Member, NodeId, Session};

/// The links to the other nodes that are up, and the session at their other end.
///
/// A link that is down is a hint only: it steers requests, and decides nothing that safety rests on.
#[derive(Debug)]
pub struct Links {
    me: Member,
    up: Vec<Option<Session>>,
}

impl Links {
    pub(crate) fn new(me: Member, nodes: usize) -> Self {
        Self { me, up: vec![None; nodes] }
    }

    pub(crate) fn set(&mut self, node: NodeId, session: Option<Session>) {
        self.up[node.index()] = session;
    }

    /// Whether messages to this member are likely to arrive.
    #[must_use]
    pub fn reach(&self, member: Member) -> bool {
        member == self.me || self.up[member.node.index()] == Some(member.session)
    }

    /// Whether messages to all of these members are likely to arrive.
    #[must_use]
    pub fn reach_all(&self, members: &[Member]) -> bool {
        members.iter().all(|&member| self.reach(member))
    }
}
