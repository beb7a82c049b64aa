//! What is measured: one thing grows, and the others stay.

use crate::cell::{Cell, Operations};
use crate::servers::NODES;

/// How many there are of what grows.
const CONNECTIONS: [u32; 6] = [1, 4, 16, 64, 256, 1024];
const NODES_OF_RINGS: [u16; 4] = [3, 5, 7, 9];
const KEYS: [u64; 3] = [10_000, 100_000, 1_000_000];
const KEYS_LARGE: u64 = 10_000_000;

/// How many connections there are while something else grows.
const CONNECTIONS_OTHERWISE: u32 = 64;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grows {
    Connections,
    Nodes,
    Keys,
}

impl Grows {
    pub(crate) const ALL: [Self; 3] = [Self::Connections, Self::Nodes, Self::Keys];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Nodes => "nodes",
            Self::Keys => "keys",
        }
    }
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) grows: Grows,
    pub(crate) connections: u32,
    pub(crate) nodes: u16,
    pub(crate) keys: u64,
}

impl Point {
    /// How much there is of what grows.
    pub(crate) fn size(&self) -> u64 {
        match self.grows {
            Grows::Connections => self.connections.into(),
            Grows::Nodes => self.nodes.into(),
            Grows::Keys => self.keys,
        }
    }

    pub(crate) fn cell(&self, operations: Operations) -> Cell {
        Cell::new(operations, self.connections, 1)
    }

    /// Whether this can be measured on the ring of the other point, and there is no need for a fresh one.
    pub(crate) fn shares_ring_with(&self, other: &Self) -> bool {
        (self.nodes, self.keys) == (other.nodes, other.keys) && self.grows == other.grows
    }
}

/// All points, curve by curve. Unless they are what grows, there are `keys` keys.
pub(crate) fn points(keys: u64, is_large: bool) -> Vec<Point> {
    let point = |grows| Point { grows, connections: CONNECTIONS_OTHERWISE, nodes: NODES, keys };
    let mut points = Vec::new();
    points.extend(CONNECTIONS.map(|connections| Point { connections, ..point(Grows::Connections) }));
    points.extend(NODES_OF_RINGS.map(|nodes| Point { nodes, ..point(Grows::Nodes) }));
    points.extend(KEYS.map(|keys| Point { keys, ..point(Grows::Keys) }));
    if is_large {
        points.push(Point { keys: KEYS_LARGE, ..point(Grows::Keys) });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_grows_and_the_others_stay() {
        let points = points(500, true);
        for grows in Grows::ALL {
            let curve: Vec<&Point> = points.iter().filter(|point| point.grows == grows).collect();
            assert!(curve.windows(2).all(|pair| pair[0].size() < pair[1].size()), "{grows:?} does not grow");
            let rest = |point: &Point| match grows {
                Grows::Connections => (0, point.nodes, point.keys),
                Grows::Nodes => (point.connections, 0, point.keys),
                Grows::Keys => (point.connections, point.nodes, 0),
            };
            assert!(curve.iter().all(|point| rest(point) == rest(curve[0])), "more than {grows:?} grows");
        }
    }

    #[test]
    fn many_keys_are_for_those_who_ask() {
        let most = |is_large| points(500, is_large).iter().map(|point| point.keys).max();
        assert_eq!((most(false), most(true)), (Some(1_000_000), Some(10_000_000)));
    }

    #[test]
    fn only_connections_share_a_ring() {
        let points = points(100_000, false);
        let shared = points.windows(2).filter(|pair| pair[0].shares_ring_with(&pair[1])).count();
        assert_eq!(shared, CONNECTIONS.len() - 1);
    }
}
