//! The circle of nodes, cut into partitions.

use crate::Token;

/// Why no ring can be built from a list of names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// A ring needs at least one node.
    #[error("a ring needs at least one node")]
    Empty,
    /// Two nodes stand at the same point.
    #[error("node name {0:?} is listed twice")]
    Duplicate(String),
    /// A pair cannot live on more nodes than there are, nor on none.
    #[error("replicas = {replicas} does not fit a ring of {nodes} nodes: give 1 to {nodes}")]
    Replicas {
        /// The number asked for.
        replicas: usize,
        /// The number of nodes.
        nodes: usize,
    },
}

/// The arc `(after, token]` and the nodes that keep its pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The token of the previous node, which is not part of the arc.
    pub after: Token,
    /// The token of the owner, which is part of the arc.
    pub token: Token,
    /// Indices of the distinct nodes clockwise from the token; the owner is the first.
    pub preference: Vec<usize>,
}

impl Partition {
    /// Whether a key with this token belongs to the partition.
    #[must_use]
    pub fn contains(&self, key: Token) -> bool {
        if self.after < self.token {
            self.after < key && key <= self.token
        } else {
            // The arc passes the top of the circle, or is the whole circle.
            self.after < key || key <= self.token
        }
    }

    /// The arc's share of the circle, in `0.0..=1.0`.
    #[must_use]
    pub fn share(&self) -> f64 {
        let width = self.token.fraction() - self.after.fraction();
        if width > 0.0 { width } else { width + 1.0 }
    }

    /// The arc as at most two ranges of 64-bit token prefixes, both ends included, in ascending order.
    ///
    /// A prefix at either end may also belong to a neighbour: there [`Partition::contains`] decides.
    #[must_use]
    pub fn prefix_ranges(&self) -> Vec<(u64, u64)> {
        let (after, token) = (self.after.prefix(), self.token.prefix());
        if self.after < self.token { vec![(after, token)] } else { vec![(0, token), (after, u64::MAX)] }
    }
}

/// Nodes and partitions in ring order. Invariant: tokens rise strictly, and partition `i` is owned by the
/// node at position `i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    names: Vec<String>,
    partitions: Vec<Partition>,
}

impl Ring {
    /// Places each name at its SHA-1 and cuts the circle, each partition kept by `replicas` nodes.
    ///
    /// # Errors
    /// When no node is given, a name comes twice, or `replicas` is 0 or more than there are nodes.
    pub fn new<S: AsRef<str>>(names: &[S], replicas: usize) -> Result<Self, RingError> {
        let nodes = names.len();
        if nodes == 0 {
            return Err(RingError::Empty);
        }
        if replicas == 0 || replicas > nodes {
            return Err(RingError::Replicas { replicas, nodes });
        }
        let mut placed: Vec<(Token, &str)> =
            names.iter().map(|name| (Token::of(name.as_ref().as_bytes()), name.as_ref())).collect();
        placed.sort();
        if let Some(twice) = placed.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(RingError::Duplicate(twice[0].1.to_owned()));
        }
        let partitions = (0..nodes)
            .map(|owner| Partition {
                after: placed[(owner + nodes - 1) % nodes].0,
                token: placed[owner].0,
                preference: (0..replicas).map(|step| (owner + step) % nodes).collect(),
            })
            .collect();
        Ok(Self { names: placed.into_iter().map(|(_, name)| name.to_owned()).collect(), partitions })
    }

    /// Node names in ring order: the position of a name is the node's index everywhere else.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Partitions in ring order.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The index of the partition that a token belongs to.
    #[must_use]
    pub fn partition_of(&self, key: Token) -> usize {
        // The first id that is not below the key's; past the highest the circle starts again.
        let owner = self.partitions.partition_point(|partition| partition.token < key);
        owner % self.partitions.len()
    }
}
