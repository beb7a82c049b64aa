//! How a ring that never was comes to be, decided by a pure value.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use simpledynamo_topology::NodeId;

use crate::ControlId;

/// The members of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Those who vote. Empty as long as the group has not formed.
    pub voters: BTreeSet<ControlId>,
    /// Those who receive the log and do not vote.
    pub learners: BTreeSet<ControlId>,
}

impl Members {
    /// Whether this store of this node is a member.
    #[must_use]
    pub fn contains(&self, id: ControlId) -> bool {
        self.voters.contains(&id) || self.learners.contains(&id)
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = ControlId> + '_ {
        self.voters.union(&self.learners).copied()
    }
}

/// What a node says of itself to one that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Who it is.
    pub id: ControlId,
    /// Whether it has neither voted nor logged anything yet.
    pub is_pristine: bool,
    /// The members that it knows; no voters if it knows of no group.
    pub members: Members,
    /// The leader that it follows.
    pub leader: Option<ControlId>,
}

impl Announcement {
    /// Whether it knows of a group that has formed.
    #[must_use]
    pub fn is_formed(&self) -> bool {
        !self.members.voters.is_empty()
    }
}

/// What a node that is in no group has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask these again: the group has not formed as far as is known, and without hearing of each of them once nobody
    /// may form it.
    WaitFor(BTreeSet<NodeId>),
    /// Form the group of these: [`crate::ControlGroup::initialise`].
    Initialise(BTreeSet<ControlId>),
    /// Nothing: the log will come from others. They have formed the group with this node in it, or the named one is
    /// to form it.
    Await(Option<ControlId>),
    /// Ask to be taken in: [`crate::ControlGroup::admit`]. The group has formed without this store.
    Join,
}

/// Gathers what the nodes say of themselves until it is clear how this one gets into the group.
///
/// - An empty store says nothing about the ring: it may be new, or the disk of an old one was lost. So no node forms
///   a group before every configured voter has said that it knows of none.
/// - One voter forms it, the first of those that are pristine. So there are never two first memberships, even if a
///   store is replaced in the middle of it.
/// - A group that a peer knows of has formed. Whoever is not in it joins it.
#[derive(Clone, Debug)]
pub struct Formation {
    me: ControlId,
    voters: BTreeSet<NodeId>,
    heard: BTreeMap<NodeId, Announcement>,
}

impl Formation {
    /// The formation as `me` sees it, of a group with one voter on each of `voters`.
    #[must_use]
    pub fn new(me: ControlId, voters: BTreeSet<NodeId>) -> Self {
        Self { me, voters, heard: BTreeMap::new() }
    }

    /// Takes in what a node says of itself, in place of what it said before. This node's own counts too.
    pub fn hear(&mut self, announcement: Announcement) {
        self.heard.insert(announcement.id.node, announcement);
    }

    /// What to do next.
    #[must_use]
    pub fn step(&self) -> Step {
        let formed: Vec<_> = self.heard.values().filter(|heard| heard.is_formed()).collect();
        if formed.iter().any(|heard| heard.members.contains(self.me)) {
            return Step::Await(None);
        }
        if !formed.is_empty() {
            return Step::Join;
        }
        let missing: BTreeSet<_> =
            self.voters.iter().copied().filter(|voter| !self.heard.contains_key(voter)).collect();
        if !missing.is_empty() {
            return Step::WaitFor(missing);
        }
        let voters = || self.voters.iter().filter_map(|voter| self.heard.get(voter));
        let first = voters().find(|voter| voter.is_pristine).map(|voter| voter.id);
        if first == Some(self.me) {
            Step::Initialise(voters().map(|voter| voter.id).collect())
        } else {
            Step::Await(first)
        }
    }
}

#[cfg(test)]
mod tests {
    use simpledynamo_topology::StoreId;

    use super::*;

    fn id(node: u16) -> ControlId {
        ControlId { node: NodeId(node), store: StoreId(u128::from(node) + 100) }
    }

    fn empty(node: u16) -> Announcement {
        Announcement { id: id(node), is_pristine: true, members: Members::default(), leader: None }
    }

    fn formed(node: u16, members: &[u16]) -> Announcement {
        let voters = members.iter().map(|&node| id(node)).collect();
        let members = Members { voters, learners: BTreeSet::new() };
        Announcement { is_pristine: false, members, ..empty(node) }
    }

    fn formation(me: u16) -> Formation {
        let mut formation = Formation::new(id(me), (0..3).map(NodeId).collect());
        formation.hear(empty(me));
        formation
    }

    #[test]
    fn nobody_forms_it_before_every_voter_was_heard() {
        let mut formation = formation(0);
        assert_eq!(formation.step(), Step::WaitFor([NodeId(1), NodeId(2)].into()));
        formation.hear(empty(2));
        formation.hear(empty(4));
        assert_eq!(formation.step(), Step::WaitFor([NodeId(1)].into()));
        formation.hear(empty(1));
        assert_eq!(formation.step(), Step::Initialise([id(0), id(1), id(2)].into()));
    }

    #[test]
    fn only_the_first_pristine_voter_forms_it() {
        for me in [1, 2, 3] {
            let mut formation = formation(me);
            (0..3).for_each(|node| formation.hear(empty(node)));
            assert_eq!(formation.step(), Step::Await(Some(id(0))));
        }
        let mut formation = formation(1);
        formation.hear(Announcement { is_pristine: false, ..empty(0) });
        formation.hear(empty(2));
        assert_eq!(formation.step(), Step::Initialise([id(0), id(1), id(2)].into()));
    }

    #[test]
    fn one_with_an_empty_store_joins_a_group_that_any_peer_knows_of() {
        let mut formation = formation(0);
        formation.hear(empty(1));
        formation.hear(formed(2, &[1, 2, 5]));
        assert_eq!(formation.step(), Step::Join);
    }

    #[test]
    fn a_member_waits_for_the_log() {
        let mut formation = formation(0);
        formation.hear(formed(2, &[0, 1, 2]));
        assert_eq!(formation.step(), Step::Await(None));
    }

    #[test]
    fn a_lost_disk_makes_another_member() {
        let mut wiped =
            Formation::new(ControlId { store: StoreId(7), ..id(0) }, (0..3).map(NodeId).collect());
        wiped.hear(formed(2, &[0, 1, 2]));
        assert_eq!(wiped.step(), Step::Join);
    }

    #[test]
    fn what_a_node_says_last_counts() {
        let mut formation = formation(0);
        formation.hear(empty(1));
        formation.hear(Announcement { id: ControlId { store: StoreId(7), ..id(2) }, ..empty(2) });
        formation.hear(empty(2));
        assert_eq!(formation.step(), Step::Initialise([id(0), id(1), id(2)].into()));
    }
}
