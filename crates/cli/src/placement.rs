//! What a ring looks like: from a node, from a configuration, or the classic one.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use simpledynamo_node::config::{CLASSIC_BASE_PORT, Cluster, Config, Password};
use simpledynamo_node::ring_reply::{ChainReply, RingReply};
use simpledynamo_ring::Ring;

use crate::arguments::{DEFAULT_NODE, RingSource};
use crate::client::{Client, load_password};
use crate::failure::Failure;
use crate::reply;

/// How long a node that nobody asked for by name may take to be there: without it only the present chains are
/// missing.
const GLANCE: Duration = Duration::from_millis(500);

/// A ring and what is known of its chains.
#[derive(Debug)]
pub(crate) struct Placement {
    /// The cluster's id.
    pub(crate) cluster: String,
    /// How many nodes keep each pair.
    pub(crate) replicas: usize,
    /// Places keys.
    pub(crate) ring: Ring,
    /// Client and peer address of each node, in ring order.
    pub(crate) addresses: Vec<(String, String)>,
    /// The present chain of each partition, where a node told it.
    pub(crate) chains: Vec<Option<Chain>>,
    /// Where all this comes from, for people.
    pub(crate) origin: String,
}

/// The present form of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its number.
    pub(crate) epoch: u64,
    /// Names of its members, head to tail.
    pub(crate) members: Vec<String>,
    /// Whether its epoch has begun: before, requests wait.
    pub(crate) is_open: bool,
    /// Whether no member lives.
    pub(crate) is_headless: bool,
}

impl Chain {
    /// The nodes of a preference list that do not serve in it.
    pub(crate) fn missing<'a>(&self, preference: &[&'a str]) -> Vec<&'a str> {
        let serves = |node: &str| !self.is_headless && self.members.iter().any(|member| member == node);
        preference.iter().copied().filter(|node| !serves(node)).collect()
    }
}

impl From<ChainReply> for Chain {
    fn from(reply: ChainReply) -> Self {
        Self { epoch: reply.epoch, members: reply.members, is_open: reply.open, is_headless: reply.headless }
    }
}

impl Placement {
    /// The ring that the command line asks for. A node that was named must answer; the nodes of a
    /// configuration, or of the classic ring, are asked for their chains only if `chains` says so, and need
    /// not be there.
    pub(crate) fn find(source: &RingSource, chains: bool) -> Result<Self, Failure> {
        let password = source.connection.password_file.as_deref().map(load_password).transpose()?;
        if let Some(node) = &source.connection.node {
            let mut client = Client::open(&source.connection)?;
            return Self::from_reply(reply::ask(&mut client, node)?, node);
        }
        let (planned, candidates) = match &source.config {
            Some(path) => {
                let cluster = Config::load(path).map_err(Failure::other)?.cluster;
                let candidates = cluster.nodes.iter().map(|node| node.client.to_string()).collect();
                (Self::of(&cluster, format!("as {} plans it", path.display())), candidates)
            }
            None => (Self::classic(), vec![DEFAULT_NODE.to_owned()]),
        };
        let told = chains.then(|| Self::glance(&candidates, password.as_ref())).flatten();
        Ok(told.unwrap_or(planned))
    }

    /// What the first candidate that is there says.
    fn glance(candidates: &[String], password: Option<&Password>) -> Option<Self> {
        candidates.iter().find_map(|address| {
            let mut client = Client::connect(address, password, GLANCE).ok()?;
            client.set_reply_timeout(GLANCE);
            Self::from_reply(reply::ask(&mut client, address).ok()?, address).ok()
        })
    }

    /// The ring as a node tells it.
    pub(crate) fn from_reply(reply: RingReply, address: &str) -> Result<Self, Failure> {
        let refuse = |what: &str| Failure::Other(format!("{address} answered SD.RING with a ring of {what}"));
        let names: Vec<&str> = reply.nodes.iter().map(|node| node.name.as_str()).collect();
        let ring = Ring::new(&names, reply.replicas).map_err(|error| refuse(&error.to_string()))?;
        let mut chains = vec![None; names.len()];
        for chain in reply.chains {
            let place =
                chains.get_mut(chain.partition).ok_or_else(|| refuse("a partition that it does not have"))?;
            *place = Some(chain.into());
        }
        let addresses = in_ring_order(&ring, |name| {
            let node = reply.nodes.iter().find(|node| node.name == name)?;
            Some((node.client.clone(), node.peer.clone()))
        });
        let origin = format!("as {address} tells");
        Ok(Self { cluster: reply.cluster, replicas: reply.replicas, ring, addresses, chains, origin })
    }

    /// The ring of a configuration, of whose chains nothing is known.
    pub(crate) fn of(cluster: &Cluster, origin: String) -> Self {
        let ring = cluster.ring();
        let addresses = in_ring_order(&ring, |name| {
            cluster.node(name).map(|node| (node.client.to_string(), node.peer.to_string()))
        });
        let chains = vec![None; cluster.nodes.len()];
        Self { cluster: cluster.id.clone(), replicas: cluster.replicas, ring, addresses, chains, origin }
    }

    /// The classic ring on its own ports.
    pub(crate) fn classic() -> Self {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let cluster = Cluster::classic(host, CLASSIC_BASE_PORT).expect("the classic ports fit");
        Self::of(&cluster, "as planned, whether or not it runs".to_owned())
    }

    /// Names of the nodes that keep a partition, head to tail.
    pub(crate) fn preference(&self, partition: usize) -> Vec<&str> {
        let nodes = &self.ring.partitions()[partition].preference;
        nodes.iter().map(|&node| self.ring.names()[node].as_str()).collect()
    }
}

fn in_ring_order(ring: &Ring, find: impl Fn(&str) -> Option<(String, String)>) -> Vec<(String, String)> {
    ring.names().iter().map(|name| find(name).expect("the ring was made of these names")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_of_a_node_is_read() {
        let text = r#"{"cluster":"c","replicas":2,"later":1,
            "nodes":[{"name":"5554","id":"33","client":"h:1","peer":"h:2"},{"name":"5562","id":"17","client":"h:3","peer":"h:4"}],
            "chains":[{"partition":1,"epoch":7,"members":["5562","5554"],"open":true}]}"#;
        let reply = serde_json::from_str(text).expect("well formed");
        let placement = Placement::from_reply(reply, "h:1").expect("sensible");
        assert_eq!(placement.ring.names(), ["5562", "5554"]);
        assert_eq!(placement.addresses, [("h:3".into(), "h:4".into()), ("h:1".into(), "h:2".into())]);
        assert_eq!(placement.chains[0], None);
        assert_eq!(
            placement.chains[1],
            Some(Chain {
                epoch: 7,
                members: vec!["5562".into(), "5554".into()],
                is_open: true,
                is_headless: false
            })
        );
        assert_eq!(placement.preference(1), ["5554", "5562"]);
    }

    #[test]
    fn senseless_reply_is_refused() {
        for (replicas, partition) in [(3, 0), (1, 2)] {
            let text = format!(
                r#"{{"cluster":"c","replicas":{replicas},
                "nodes":[{{"name":"a","client":"h:1","peer":"h:2"}},{{"name":"b","client":"h:3","peer":"h:4"}}],
                "chains":[{{"partition":{partition},"epoch":1,"members":[]}}]}}"#
            );
            let reply = serde_json::from_str(&text).expect("well formed");
            assert!(Placement::from_reply(reply, "h:1").is_err());
        }
    }
}
