//! A group in one process, whose links can be cut.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use simpledynamo_control::{
    ControlGroup, ControlId, Formation, Options, ProposeError, Step, Transport, TransportError,
};
use simpledynamo_ring::Ring;
use simpledynamo_topology::{Command, NodeId, Session, StoreId, Void};
use tempfile::TempDir;

/// Far longer than anything takes: only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const RING: &str = "a ring";

/// Who is reachable under which name, and which links are cut.
#[derive(Clone, Default)]
pub(crate) struct Net {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    groups: BTreeMap<NodeId, ControlGroup>,
    cut: BTreeSet<(NodeId, NodeId)>,
}

impl Net {
    pub(crate) fn cut(&self, one: NodeId, other: NodeId) {
        self.shared.lock().unwrap().cut.extend([(one, other), (other, one)]);
    }

    pub(crate) fn heal(&self) {
        self.shared.lock().unwrap().cut.clear();
    }

    /// Takes a node off the net. It goes on for itself, and nobody hears it.
    pub(crate) fn remove(&self, node: NodeId) {
        let mut shared = self.shared.lock().unwrap();
        shared.groups.remove(&node);
        let cut: Vec<_> = shared.groups.keys().map(|&other| (node, other)).collect();
        shared.cut.extend(cut);
    }

    /// Lets nothing through from one to the other, so that replies to the other are lost too.
    pub(crate) fn cut_one_way(&self, from: NodeId, to: NodeId) {
        self.shared.lock().unwrap().cut.insert((from, to));
    }

    fn route(&self, from: NodeId, to: NodeId) -> Option<ControlGroup> {
        let shared = self.shared.lock().unwrap();
        if shared.cut.contains(&(from, to)) { None } else { shared.groups.get(&to).cloned() }
    }
}

pub(crate) struct Link {
    from: NodeId,
    net: Net,
}

impl Transport for Link {
    async fn call(&self, to: NodeId, request: Vec<u8>, limit: Duration) -> Result<Vec<u8>, TransportError> {
        let group = self
            .net
            .route(self.from, to)
            .ok_or_else(|| TransportError::NotReached("connection refused".to_owned()))?;
        // As over a network, the other side works on when this one has given up.
        let work = tokio::spawn(async move { group.handle(&request).await });
        let reply = tokio::time::timeout(limit, work).await;
        let reply = reply.map_err(|_| TransportError::NoReply("too late".to_owned()))?;
        if self.net.route(to, self.from).is_none() {
            return Err(TransportError::NoReply("cut".to_owned()));
        }
        reply.map_err(|error| TransportError::NoReply(error.to_string()))
    }
}

/// The nodes of a ring with their folders.
pub(crate) struct Cluster {
    pub(crate) net: Net,
    pub(crate) ring: Arc<Ring>,
    folders: TempDir,
    pub(crate) ids: BTreeMap<NodeId, ControlId>,
}

pub(crate) fn node(number: u16) -> NodeId {
    NodeId(number)
}

impl Cluster {
    pub(crate) fn new(nodes: u16) -> Self {
        let names: Vec<_> = (0..nodes).map(|number| format!("node{number}")).collect();
        let ids = (0..nodes).map(|number| (node(number), id(number, 1))).collect();
        Self {
            net: Net::default(),
            ring: Arc::new(Ring::new(&names, 3).unwrap()),
            folders: tempfile::tempdir().unwrap(),
            ids,
        }
    }

    /// Starts a node with the store that it has.
    pub(crate) async fn start(&self, node: NodeId) -> ControlGroup {
        let me = self.ids[&node];
        self.start_in(me, &self.folder(me)).await
    }

    /// Where a store is.
    pub(crate) fn folder(&self, id: ControlId) -> PathBuf {
        self.folders.path().join(format!("{}-{:x}", id.node, id.store.0))
    }

    pub(crate) fn link(&self, from: NodeId) -> Link {
        Link { from, net: self.net.clone() }
    }

    async fn start_in(&self, me: ControlId, folder: &Path) -> ControlGroup {
        let link = self.link(me.node);
        let options = Options::new(folder.to_owned(), me, RING.to_owned());
        let group = ControlGroup::open(options, Arc::clone(&self.ring), link).await.unwrap();
        self.net.shared.lock().unwrap().groups.insert(me.node, group.clone());
        group
    }

    /// Ends a node as a crash does, but for what waits to be written.
    pub(crate) async fn stop(&self, node: NodeId) {
        let group = self.net.shared.lock().unwrap().groups.remove(&node);
        group.expect("it runs").shutdown().await;
    }

    /// Gives a node an empty store.
    pub(crate) fn wipe(&mut self, node: NodeId) {
        self.ids.get_mut(&node).unwrap().store.0 += 1;
    }

    pub(crate) fn group(&self, node: NodeId) -> ControlGroup {
        self.net.shared.lock().unwrap().groups[&node].clone()
    }

    pub(crate) fn running(&self) -> Vec<ControlGroup> {
        self.net.shared.lock().unwrap().groups.values().cloned().collect()
    }

    /// Starts all nodes and has the first `voters` of them form the group.
    pub(crate) async fn form(&self, voters: u16) {
        for &node in self.ids.keys() {
            self.start(node).await;
        }
        self.form_started(voters).await;
    }

    /// Has each node that runs do what its formation says, until all voters know of the group.
    pub(crate) async fn form_started(&self, voters: u16) {
        let voters: BTreeSet<_> = (0..voters).map(node).collect();
        for group in self.running() {
            let (voters, all) = (voters.clone(), self.ids.keys().copied().collect::<Vec<_>>());
            tokio::spawn(async move { enter(&group, voters, &all).await });
        }
        for voter in voters {
            let group = self.group(voter);
            eventually("the voters know of the group", || group.is_formed()).await;
        }
        self.leader().await;
    }

    /// The leader, once a majority of the running nodes agrees on one and it confirms.
    pub(crate) async fn leader(&self) -> ControlGroup {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            for group in self.running() {
                let leads = group.leadership().borrow().is_me;
                if leads && group.confirm().await.is_ok() {
                    return group;
                }
            }
            assert!(tokio::time::Instant::now() < deadline, "no leader");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn follower(&self) -> ControlGroup {
        let leader = self.leader().await.me();
        self.running().into_iter().find(|group| group.me() != leader).expect("more than one runs")
    }

    /// Waits until all running nodes have a version.
    pub(crate) async fn all_reach(&self, version: u64) {
        for group in self.running() {
            let mut topology = group.topology();
            let reached = topology.wait_for(|topology| topology.version() >= version);
            tokio::time::timeout(PATIENCE, reached).await.expect("it is applied everywhere").unwrap();
        }
    }
}

/// What the node does until it is in the group.
pub(crate) async fn enter(group: &ControlGroup, voters: BTreeSet<NodeId>, all: &[NodeId]) {
    let mut formation = Formation::new(group.me(), voters);
    while !group.is_formed() {
        let Ok(mine) = group.announcement().await else { return };
        formation.hear(mine);
        for &peer in all.iter().filter(|&&peer| peer != group.me().node) {
            if let Ok(announcement) = group.ask_announcement(peer).await {
                formation.hear(announcement);
            }
        }
        match formation.step() {
            Step::Initialise(set) => drop(group.initialise(set).await),
            Step::WaitFor(_) | Step::Await(_) => {}
            Step::Join => return,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn id(node: u16, store: u128) -> ControlId {
    ControlId { node: NodeId(node), store: StoreId((u128::from(node) << 96) + store) }
}

/// A first registration.
pub(crate) fn register(node: u16) -> Command {
    Command::Register { node: NodeId(node), replaces: Session(0), store: StoreId(1), nonce: u64::from(node) }
}

/// A command that always changes something.
pub(crate) fn up(nonce: u64) -> Command {
    Command::ControllerUp { node: NodeId(0), nonce }
}

/// Proposes until it is decided, as the node does.
pub(crate) async fn decide(group: &ControlGroup, command: Command) -> Result<u64, Void> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match group.propose(command.clone()).await {
            Ok(result) => return result,
            Err(ProposeError::Stopped) => panic!("it has ended"),
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
    }
}

pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
