//! What the answers of the nodes come to.

use std::collections::BTreeMap;

use serde::Serialize;
use simpledynamo_node::ring_reply::{ControlReply, NodeReply, RingReply, SyncReply};
use simpledynamo_ring::Ring;

use crate::failure::Failure;

use super::ask::{Answer, own_address};

/// The whole ring in one word. Ordered by how bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// All nodes are up, and each pair is on all its nodes.
    Whole,
    /// Each pair can be read and written, but something is missing.
    Short,
    /// A part of the ring is not served.
    Unserved,
}

/// The state of the ring.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) state: State,
    pub(super) cluster: String,
    pub(super) replicas: usize,
    /// The newest view among those that were told, and which node told it.
    pub(super) version: u64,
    pub(super) told_by: String,
    pub(super) control: ControlReply,
    /// Voters that answer.
    pub(super) voters_up: usize,
    /// In ring order.
    pub(super) nodes: Vec<NodeStatus>,
    /// In ring order: each has the name of its owner.
    pub(super) partitions: Vec<PartitionStatus>,
}

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NodeState {
    /// It serves what it keeps.
    Up,
    /// It is in the ring, and lacks something of what it keeps.
    Syncing,
    /// It is in the ring, but has no lease at this moment: it answers no read.
    Leaseless,
    /// It answers, but is not in the ring, or not yet.
    Waiting,
    /// It does not answer from here, though the ring has not given it up, or not yet.
    Unreachable,
    /// It does not answer, and the ring goes on without it.
    Down,
}

impl NodeState {
    /// The word for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Syncing => "syncing",
            Self::Leaseless => "no lease",
            Self::Waiting => "waiting",
            Self::Unreachable => "unreachable",
            Self::Down => "down",
        }
    }
}

/// One node.
#[derive(Debug)]
pub(super) struct NodeStatus {
    pub(super) name: String,
    pub(super) client: String,
    pub(super) state: NodeState,
    /// Its latest session, ended or not.
    pub(super) session: u64,
    /// What it says itself; none if it does not answer.
    pub(super) own: Option<Own>,
    /// How many partitions it keeps.
    pub(super) keeps: usize,
    /// Why it does not answer.
    pub(super) trouble: Option<String>,
}

/// What a node says of itself.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) has_lease: bool,
    /// Names of the partitions that it serves.
    pub(super) serving: Vec<String>,
    pub(super) syncing: Vec<SyncReply>,
}

/// How a partition is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PartitionState {
    /// By all its nodes.
    Whole,
    /// By some of them.
    Short,
    /// By nobody, or not yet: its chain has a new form that has not begun.
    Opening,
    /// By nobody.
    Unserved,
}

/// One partition.
#[derive(Debug)]
pub(super) struct PartitionStatus {
    pub(super) name: String,
    pub(super) state: PartitionState,
    /// Who should keep it, head to tail.
    pub(super) preference: Vec<String>,
    /// The form of its chain: epoch and members. None if it never had one.
    pub(super) chain: Option<(u64, Vec<String>)>,
    /// Nodes of the preference list that do not serve.
    pub(super) missing: Vec<String>,
}

impl Report {
    /// Puts the answers together. At least one node must have told something.
    pub(super) fn of(answers: &[Answer]) -> Result<Self, Failure> {
        let told = answers.iter().filter_map(|answer| answer.told.as_ref().ok());
        let newest = told
            .clone()
            .max_by_key(|reply| (reply.version, reply.control.term))
            .ok_or_else(|| Failure::other("no node has answered"))?;
        let names: Vec<&str> = newest.nodes.iter().map(|node| node.name.as_str()).collect();
        let ring = Ring::new(&names, newest.replicas).map_err(|error| {
            Failure::Other(format!("{} tells of a ring that cannot be: {error}", newest.here.node))
        })?;
        let replies: BTreeMap<&str, &RingReply> = told
            .clone()
            .filter(|reply| reply.cluster == newest.cluster)
            .map(|reply| (reply.here.node.as_str(), reply))
            .collect();
        let nodes: Vec<NodeStatus> = (0..names.len())
            .map(|position| {
                let name = ring.names()[position].as_str();
                let known = newest.nodes.iter().find(|node| node.name == name).expect("it is of them");
                let keeps =
                    ring.partitions().iter().filter(|partition| partition.preference.contains(&position));
                let trouble = answers.iter().find_map(|answer| trouble(answer, known, newest));
                NodeStatus::of(known, replies.get(name).copied(), keeps.count(), trouble)
            })
            .collect();
        // A lease needs a majority of the voters: where nobody holds one there is none.
        let some_lease = nodes.iter().any(|node| node.own.as_ref().is_some_and(|own| own.has_lease));
        let partitions: Vec<PartitionStatus> = (0..names.len())
            .map(|position| PartitionStatus::of(position, &ring, newest, &nodes, some_lease))
            .collect();
        let control = told
            .map(|reply| &reply.control)
            .max_by_key(|control| (control.formed, control.term, control.controller.is_some()))
            .cloned()
            .unwrap_or_default();
        let answers = |voter: &&String| nodes.iter().any(|node| node.name == **voter && node.own.is_some());
        Ok(Self {
            state: state(&nodes, &partitions),
            cluster: newest.cluster.clone(),
            replicas: newest.replicas,
            version: newest.version,
            told_by: newest.here.node.clone(),
            voters_up: control.voters.iter().filter(answers).count(),
            control,
            nodes,
            partitions,
        })
    }

    /// Names of the nodes in a state.
    pub(super) fn nodes_in(&self, state: NodeState) -> Vec<&str> {
        self.nodes.iter().filter(|node| node.state == state).map(|node| node.name.as_str()).collect()
    }

    /// How many partitions are in a state.
    pub(super) fn partitions_in(&self, state: PartitionState) -> usize {
        self.partitions.iter().filter(|partition| partition.state == state).count()
    }

    /// Whether any node holds a lease.
    pub(super) fn has_leases(&self) -> bool {
        self.nodes.iter().any(|node| node.own.as_ref().is_some_and(|own| own.has_lease))
    }

    /// How many voters make a majority.
    pub(super) fn majority(&self) -> usize {
        self.control.voters.len() / 2 + 1
    }
}

fn state(nodes: &[NodeStatus], partitions: &[PartitionStatus]) -> State {
    let of_partitions = partitions.iter().map(|partition| match partition.state {
        PartitionState::Whole => State::Whole,
        PartitionState::Short => State::Short,
        PartitionState::Opening | PartitionState::Unserved => State::Unserved,
    });
    let all_up = nodes.iter().all(|node| node.state == NodeState::Up);
    let of_nodes = if all_up { State::Whole } else { State::Short };
    of_partitions.max().unwrap_or(State::Whole).max(of_nodes)
}

/// Why the node at an address does not answer as a node of this ring, if that is where this one should be.
fn trouble(answer: &Answer, node: &NodeReply, newest: &RingReply) -> Option<String> {
    match &answer.told {
        Err(failure) if answer.address == node.client => Some(brief(failure, &answer.address)),
        Ok(reply) if answer.address == node.client && reply.cluster != newest.cluster => {
            Some(format!("a node of cluster {:?} answers there", reply.cluster))
        }
        Ok(reply) if answer.address == node.client && own_address(reply) != node.client => {
            Some(format!("node {} answers there", reply.here.node))
        }
        _ => None,
    }
}

/// What went wrong, without the address, which stands beside it, and without advice.
fn brief(failure: &Failure, address: &str) -> String {
    let reason = failure.reason();
    let reason = reason.strip_prefix("cannot reach ").unwrap_or(reason);
    let reason = reason.strip_prefix(address).unwrap_or(reason).trim_start_matches([':', ' ']);
    reason.split(';').next().unwrap_or(reason).to_owned()
}

impl NodeStatus {
    fn of(known: &NodeReply, reply: Option<&RingReply>, keeps: usize, trouble: Option<String>) -> Self {
        let state = match reply {
            None if known.live => NodeState::Unreachable,
            None => NodeState::Down,
            // What it says may be a moment older than what another has told of it, or newer.
            Some(reply) if reply.here.session == 0 || reply.here.session < known.session => {
                NodeState::Waiting
            }
            Some(reply) if !reply.here.lease => NodeState::Leaseless,
            Some(reply) if !reply.here.syncing.is_empty() => NodeState::Syncing,
            Some(_) => NodeState::Up,
        };
        let own = reply.map(|reply| Own {
            has_lease: reply.here.lease,
            serving: reply.here.serving.clone(),
            syncing: reply.here.syncing.clone(),
        });
        Self {
            name: known.name.clone(),
            client: known.client.clone(),
            state,
            session: known.session,
            trouble: trouble.filter(|_| own.is_none()),
            own,
            keeps,
        }
    }

    fn serves(&self, partition: &str) -> bool {
        self.own.as_ref().is_some_and(|own| own.serving.iter().any(|served| served == partition))
    }
}

impl PartitionStatus {
    fn of(position: usize, ring: &Ring, newest: &RingReply, nodes: &[NodeStatus], some_lease: bool) -> Self {
        let name = ring.names()[position].clone();
        let preference = &ring.partitions()[position].preference;
        let chain = newest.chains.iter().find(|chain| chain.partition == position);
        let is_missing = |node: &&NodeStatus| {
            let is_member = chain.is_some_and(|chain| chain.members.contains(&node.name));
            !(is_member && node.serves(&name))
        };
        let missing: Vec<String> = preference
            .iter()
            .map(|&keeper| &nodes[keeper])
            .filter(is_missing)
            .map(|node| node.name.clone())
            .collect();
        let state = match chain {
            Some(chain) if !chain.headless && some_lease => match (chain.open, missing.is_empty()) {
                (false, _) => PartitionState::Opening,
                (true, true) => PartitionState::Whole,
                (true, false) => PartitionState::Short,
            },
            _ => PartitionState::Unserved,
        };
        Self {
            name,
            state,
            preference: preference.iter().map(|&keeper| nodes[keeper].name.clone()).collect(),
            chain: chain.map(|chain| (chain.epoch, chain.members.clone())),
            missing,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What the nodes of the classic ring answer, and how many: the first is told by `change` how it differs from a
    /// ring that is whole.
    pub(in crate::status) fn answers(change: impl Fn(&str, &mut Value)) -> Vec<Answer> {
        const NAMES: [&str; 5] = ["5562", "5556", "5554", "5558", "5560"];
        let keeps = |node: usize| (0..3).map(move |step| NAMES[(node + 5 - step) % 5]);
        let answer = |node: usize| {
            let mut reply = json!({
                "cluster": "classic", "replicas": 3, "version": 12,
                "nodes": NAMES.map(|name| json!({"name": name, "client": format!("h:{name}"), "session": 1, "live": true})),
                "chains": (0..5).map(|at| json!({
                    "partition": at, "epoch": 1, "open": true, "headless": false,
                    "members": (0..3).map(|step| NAMES[(at + step) % 5]).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
                "control": {"formed": true, "controller": "5562", "term": 4, "voters": NAMES},
                "here": {"node": NAMES[node], "session": 1, "lease": true, "serving": keeps(node).collect::<Vec<_>>()},
            });
            change(NAMES[node], &mut reply);
            let told = serde_json::from_value(reply).map_err(|_| {
                Failure::Unavailable(format!("cannot reach h:{}: it is gone; look there", NAMES[node]))
            });
            Answer { address: format!("h:{}", NAMES[node]), told }
        };
        (0..5).map(answer).collect()
    }

    /// Node 5558 does not answer, and the others have given it up.
    pub(in crate::status) fn one_down(name: &str, reply: &mut Value) {
        if name == "5558" {
            *reply = Value::Null;
            return;
        }
        reply["version"] = json!(17);
        reply["nodes"][3]["live"] = json!(false);
        for (partition, members) in [(1, ["5556", "5554"]), (2, ["5554", "5560"]), (3, ["5560", "5562"])] {
            reply["chains"][partition]["members"] = json!(members);
            reply["chains"][partition]["epoch"] = json!(2);
        }
    }

    /// Node 5558 is back, serves one of its partitions, and fetches what it missed of the others.
    pub(in crate::status) fn one_syncing(name: &str, reply: &mut Value) {
        let is_it = name == "5558";
        if !is_it {
            one_down(name, reply);
        }
        reply["nodes"][3] = json!({"name": "5558", "client": "h:5558", "session": 2, "live": true});
        reply["chains"][1]["members"] = json!(["5556", "5554", "5558"]);
        if is_it {
            reply["here"] = json!({"node": "5558", "session": 2, "lease": true, "serving": ["5556"], "syncing": [
                {"partition": "5554", "held": 1200, "committed": 54321},
                {"partition": "5558", "held": 0, "committed": 0, "pages": 12},
            ]});
        }
    }

    fn report(change: impl Fn(&str, &mut Value)) -> Report {
        Report::of(&answers(change)).expect("sensible")
    }

    #[test]
    fn ring_is_whole_if_all_serve_all() {
        let report = report(|_, _| {});
        assert_eq!(report.state, State::Whole);
        assert!(report.nodes.iter().all(|node| node.state == NodeState::Up && node.keeps == 3));
        assert_eq!((report.partitions_in(PartitionState::Whole), report.voters_up), (5, 5));
    }

    #[test]
    fn node_that_is_down_leaves_its_partitions_short() {
        let report = report(one_down);
        assert_eq!((report.state, report.version), (State::Short, 17));
        assert_eq!(report.nodes_in(NodeState::Down), ["5558"]);
        assert_eq!(report.partitions_in(PartitionState::Short), 3);
        assert_eq!(report.partitions[3].missing, ["5558"]);
        assert_eq!(report.nodes[3].trouble.as_deref(), Some("it is gone"));
    }

    #[test]
    fn node_that_lacks_something_is_syncing() {
        let report = report(one_syncing);
        assert_eq!(report.state, State::Short);
        assert_eq!(report.nodes_in(NodeState::Syncing), ["5558"]);
        assert_eq!(report.partitions_in(PartitionState::Short), 2);
    }

    #[test]
    fn node_that_hangs_is_unreachable_until_it_is_given_up() {
        let report = report(|name, reply| {
            if name == "5558" {
                *reply = Value::Null;
            }
        });
        assert_eq!(report.nodes_in(NodeState::Unreachable), ["5558"]);
        assert_eq!(
            (report.state, report.partitions[3].missing.as_slice()),
            (State::Short, &["5558".to_owned()][..])
        );
    }

    #[test]
    fn node_whose_session_has_ended_waits_whatever_it_thinks() {
        let report = report(|name, reply| {
            if name != "5558" {
                one_down(name, reply);
                reply["nodes"][3]["session"] = json!(2);
            }
        });
        assert_eq!(report.nodes_in(NodeState::Waiting), ["5558"]);
    }

    #[test]
    fn nothing_is_served_without_a_majority() {
        let report = report(|name, reply| {
            if ["5554", "5558", "5560"].contains(&name) {
                *reply = Value::Null;
            } else {
                reply["here"]["lease"] = json!(false);
            }
        });
        assert_eq!((report.state, report.has_leases()), (State::Unserved, false));
        assert_eq!(report.partitions_in(PartitionState::Unserved), 5);
        assert_eq!((report.voters_up, report.majority()), (2, 3));
    }

    #[test]
    fn partition_without_a_member_is_unserved_and_others_are_not() {
        let report = report(|name, reply| {
            one_down(name, reply);
            if name != "5558" {
                reply["chains"][3]["headless"] = json!(true);
            }
        });
        assert_eq!(report.state, State::Unserved);
        assert_eq!(report.partitions_in(PartitionState::Unserved), 1);
        assert_eq!(report.partitions_in(PartitionState::Short), 2);
    }

    #[test]
    fn node_of_another_ring_is_no_node_of_this_one() {
        let report = report(|name, reply| {
            one_down(name, reply);
            if name == "5560" {
                reply["cluster"] = json!("other");
                reply["version"] = json!(1);
            }
        });
        assert!(report.nodes[4].trouble.as_ref().is_some_and(|trouble| trouble.contains("\"other\"")));
        assert_eq!(report.nodes[4].state, NodeState::Unreachable);
    }
}
