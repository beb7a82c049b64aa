//! What becomes of the ring when nodes of the demo have died: when the others go on without them, and when they are
//! back.

use std::time::{Duration, Instant};

use simpledynamo_node::config::{Cluster, Password};
use simpledynamo_node::ring_reply::RingReply;

use crate::client::Client;
use crate::reply;

/// How often the ring is asked while something is awaited.
const POLL: Duration = Duration::from_millis(100);

/// How long a node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Nodes that have died, and what has been said of them.
#[derive(Debug, Default)]
pub(super) struct Watch {
    dead: Vec<Dead>,
}

#[derive(Debug)]
struct Dead {
    name: String,
    died: Instant,
    /// The session that it was in.
    session: Option<u64>,
    /// Whether the others go on without it.
    is_replaced: bool,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// The others serve everything without this node, so long after it died.
    GoesOn { node: String, after: Duration },
    /// This node serves all that it keeps again.
    IsBack { node: String },
}

impl Watch {
    /// A node has died.
    pub(super) fn died(&mut self, name: &str) {
        self.dead.retain(|dead| dead.name != name);
        self.dead.push(Dead {
            name: name.to_owned(),
            died: Instant::now(),
            session: None,
            is_replaced: false,
        });
    }

    /// Whether nothing is awaited.
    pub(super) fn is_calm(&self) -> bool {
        self.dead.is_empty()
    }

    /// Waits a moment and asks the ring. Can be dropped at any time.
    pub(super) async fn look(&mut self, cluster: &Cluster, password: Option<Password>) -> Vec<News> {
        tokio::time::sleep(POLL).await;
        let is_alive = |name: &str| !self.dead.iter().any(|dead| dead.name == name);
        let alive = cluster.nodes.iter().filter(|node| is_alive(&node.name));
        let addresses: Vec<String> = alive.map(|node| node.client.to_string()).collect();
        let asked = tokio::task::spawn_blocking(move || ask(&addresses, password.as_ref())).await;
        asked.ok().flatten().map_or_else(Vec::new, |ring| self.hear(&ring))
    }

    /// What the ring's answer says of the nodes that have died.
    fn hear(&mut self, ring: &RingReply) -> Vec<News> {
        let all_open = ring.chains.iter().all(|chain| chain.open && !chain.headless);
        let mut news = Vec::new();
        self.dead.retain_mut(|dead| {
            let Some(node) = ring.nodes.iter().find(|node| node.name == dead.name) else { return false };
            let session = *dead.session.get_or_insert(node.session);
            let chains = ring.chains.iter().filter(|chain| chain.members.contains(&dead.name)).count();
            if node.live
                && (dead.is_replaced || node.session > session)
                && chains == ring.replicas
                && all_open
            {
                news.push(News::IsBack { node: dead.name.clone() });
                return false;
            }
            if !node.live && !dead.is_replaced && all_open {
                dead.is_replaced = true;
                news.push(News::GoesOn { node: dead.name.clone(), after: dead.died.elapsed() });
            }
            true
        });
        news
    }
}

/// What the first node that answers says.
fn ask(addresses: &[String], password: Option<&Password>) -> Option<RingReply> {
    addresses.iter().find_map(|address| {
        let mut client = Client::connect(address, password, ANSWER_TIMEOUT).ok()?;
        client.set_reply_timeout(ANSWER_TIMEOUT);
        reply::ask(&mut client, address).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use simpledynamo_node::ring_reply::{ChainReply, NodeReply};

    /// A ring of two nodes that keep everything, as far as node `b` is concerned.
    fn ring(session: u64, live: bool, chains_of_b: usize, open: bool) -> RingReply {
        let chain = |with_b: bool| {
            let members = if with_b { vec!["a".to_owned(), "b".to_owned()] } else { vec!["a".to_owned()] };
            ChainReply { members, open, ..ChainReply::default() }
        };
        RingReply {
            replicas: 2,
            nodes: vec![NodeReply { name: "b".to_owned(), session, live, ..NodeReply::default() }],
            chains: (0..2).map(|chain_of| chain(chain_of < chains_of_b)).collect(),
            ..RingReply::default()
        }
    }

    fn names(news: &[News]) -> Vec<&'static str> {
        let name = |news: &News| match news {
            News::GoesOn { .. } => "goes on",
            News::IsBack { .. } => "is back",
        };
        news.iter().map(name).collect()
    }

    #[test]
    fn others_go_on_once_its_session_has_ended_and_all_chains_are_open() {
        let mut watch = Watch::default();
        watch.died("b");
        assert!(watch.hear(&ring(1, true, 2, true)).is_empty(), "not noticed yet");
        assert!(watch.hear(&ring(1, false, 0, false)).is_empty(), "the chains change");
        assert_eq!(names(&watch.hear(&ring(1, false, 0, true))), ["goes on"]);
        assert!(watch.hear(&ring(1, false, 0, true)).is_empty(), "said once");
        assert!(watch.hear(&ring(2, true, 1, true)).is_empty(), "it still lacks something");
        assert_eq!(names(&watch.hear(&ring(2, true, 2, true))), ["is back"]);
        assert!(watch.is_calm());
    }

    #[test]
    fn node_that_is_back_before_it_was_missed_is_back() {
        let mut watch = Watch::default();
        watch.died("b");
        assert!(watch.hear(&ring(1, true, 2, true)).is_empty());
        assert_eq!(names(&watch.hear(&ring(2, true, 2, true))), ["is back"]);
    }
}
