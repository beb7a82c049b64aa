//! Which keys the clients use.
//!
//! Each client has one key, and asks for nothing else: were it to take turns at several, one that fails would hold up
//! the others, and their gaps would tell of the client rather than of the ring. A written key has a single writer; a
//! key that is read has none, so that no write in flight can hold its reads up.

use simpledynamo_ring::{Ring, Token};

use super::tally::Kind;

/// What all keys begin with.
const PREFIX: &str = "failover";

/// One client: what it does, and through which node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) key: String,
    /// The position of its node among those that take clients.
    pub(super) home: usize,
}

/// The clients of all nodes. Those of one node are spread over all partitions as evenly as their number allows.
pub(super) fn plan(ring: &Ring, nodes: usize, writers: u32, readers: u32) -> Vec<Plan> {
    let mut next = 0;
    let mut clients = Vec::new();
    for (kind, count, name) in [(Kind::Write, writers as usize, "w"), (Kind::Read, readers as usize, "r")] {
        for client in 0..nodes * count {
            let partition = client % ring.partitions().len();
            clients.push(Plan { kind, key: key_in(ring, partition, name, &mut next), home: client / count });
        }
    }
    clients
}

/// The next key of the sequence that the partition owns. Even the smallest arc of a ring gets one soon.
fn key_in(ring: &Ring, partition: usize, name: &str, next: &mut u64) -> String {
    loop {
        let key = format!("{PREFIX}:{name}:{next}");
        *next += 1;
        if ring.partition_of(Token::of(key.as_bytes())) == partition {
            return key;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use simpledynamo_node::config::CLASSIC_NAMES;

    use super::*;

    #[test]
    fn every_node_reaches_every_partition_and_no_key_is_shared() {
        let ring = Ring::new(&CLASSIC_NAMES, 3).expect("the classic ring");
        let plans = plan(&ring, 4, 8, 6);
        assert_eq!(plans.len(), 4 * (8 + 6));
        let keys: BTreeSet<&str> = plans.iter().map(|plan| plan.key.as_str()).collect();
        assert_eq!(keys.len(), plans.len());
        for kind in [Kind::Write, Kind::Read] {
            let reached: BTreeSet<(usize, usize)> = plans
                .iter()
                .filter(|plan| plan.kind == kind)
                .map(|plan| (plan.home, ring.partition_of(Token::of(plan.key.as_bytes()))))
                .collect();
            assert_eq!(reached.len(), 4 * 5, "{kind:?}");
        }
    }

    #[test]
    fn few_clients_still_cover_the_partitions_together() {
        let ring = Ring::new(&CLASSIC_NAMES, 3).expect("the classic ring");
        let partitions: BTreeSet<usize> = plan(&ring, 4, 2, 1)
            .iter()
            .filter(|plan| plan.kind == Kind::Write)
            .map(|plan| ring.partition_of(Token::of(plan.key.as_bytes())))
            .collect();
        assert_eq!(partitions.len(), 5);
    }
}
