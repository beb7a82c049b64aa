//! Names of nodes and partitions, and the form of a chain in one epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A node: its position in ring order.
    NodeId(u16)
}
number! {
    /// A partition: the position of its owner in ring order.
    PartitionId(u16)
}
number! {
    /// One life of a node in the ring, ended by `Down` or by the node's next registration. 0 is no session.
    Session(u64)
}
number! {
    /// The number of a chain's form. 0 is before the first form.
    Epoch(u64)
}
number! {
    /// One activation of a controller: the place of its `ControllerUp` in the control log. 0 is none.
    Generation(u64)
}

impl NodeId {
    /// The node's index in ring order.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The node at an index in ring order.
    ///
    /// # Panics
    /// When the index is above 65,535: no ring is that large.
    #[must_use]
    pub fn at(index: usize) -> Self {
        Self(u16::try_from(index).expect("at most 65,535 nodes"))
    }
}

impl PartitionId {
    /// The partition's index in ring order.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The partition at an index in ring order.
    ///
    /// # Panics
    /// When the index is above 65,535: no ring is that large.
    #[must_use]
    pub fn at(index: usize) -> Self {
        Self(u16::try_from(index).expect("at most 65,535 partitions"))
    }
}

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A node in one of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// The life of it that is meant.
    pub session: Session,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.session)
    }
}

/// The members that serve a partition in one epoch, head first.
///
/// Invariant: never empty, and no node comes twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// The partition served.
    pub partition: PartitionId,
    /// The number of this form.
    pub epoch: Epoch,
    /// The members, head to tail.
    pub members: Vec<Member>,
}

impl Form {
    /// The member at which writes enter.
    #[must_use]
    pub fn head(&self) -> Member {
        self.members[0]
    }

    /// The member whose commit is the answer.
    #[must_use]
    pub fn tail(&self) -> Member {
        self.members[self.members.len() - 1]
    }

    /// Where a node stands in the chain.
    #[must_use]
    pub fn position(&self, node: NodeId) -> Option<usize> {
        self.members.iter().position(|member| member.node == node)
    }

    /// The member of this form that is the given node.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<Member> {
        self.position(node).map(|position| self.members[position])
    }

    /// The next member towards the head.
    #[must_use]
    pub fn predecessor(&self, node: NodeId) -> Option<Member> {
        self.position(node)?.checked_sub(1).map(|position| self.members[position])
    }

    /// The next member towards the tail.
    #[must_use]
    pub fn successor(&self, node: NodeId) -> Option<Member> {
        self.members.get(self.position(node)? + 1).copied()
    }
}
