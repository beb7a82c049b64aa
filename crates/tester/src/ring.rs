//! The throw-away ring: five nodes, each a process, and everything that is done to them.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use simpledynamo_launch::{End, Ended, NodeFolder, NodeProcess};
use simpledynamo_node::config::Cluster;
use simpledynamo_node::ring_reply::RingReply;
use simpledynamo_wire::resp::Value;
use tokio::time::{Instant, sleep};

use crate::error::TesterError;
use crate::fault::Link;
use crate::namespaces::Namespaces;
use crate::servers::Shared;
use crate::view;

/// How often nodes are asked while something is awaited.
const POLL: Duration = Duration::from_millis(20);

/// How long a node may take to end once it was told to.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a ring may take to be whole again, or to go on without somebody: far longer than it needs on a machine that
/// is busy with other things.
const RING_TIMEOUT: Duration = Duration::from_secs(60);

/// The ring of a run.
#[derive(Debug)]
pub(crate) struct TestRing {
    shared: Rc<Shared>,
    nodes: Vec<Node>,
    network: Option<Namespaces>,
}

#[derive(Debug)]
struct Node {
    folder: NodeFolder,
    process: Option<NodeProcess>,
}

impl TestRing {
    /// Makes the nodes' folders below `dir`. Nothing runs yet.
    pub(crate) fn prepare(
        dir: &Path,
        cluster: &Cluster,
        network: Option<Namespaces>,
        shared: &Rc<Shared>,
    ) -> Result<Self, TesterError> {
        let mut nodes = Vec::new();
        for folder in NodeFolder::prepare(dir, cluster, |_| {})? {
            allow_faults(&folder.config_file)?;
            nodes.push(Node { folder, process: None });
        }
        Ok(Self { shared: Rc::clone(shared), nodes, network })
    }

    /// Starts all nodes and waits until they serve.
    pub(crate) async fn start(&mut self) -> Result<(), TesterError> {
        for node in 0..self.nodes.len() {
            self.launch(node)?;
        }
        self.whole().await.map_err(TesterError::NotUp)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        &self.nodes[node].folder.config.node.name
    }

    /// The folder of a node's data.
    pub(crate) fn data(&self, node: usize) -> &Path {
        &self.nodes[node].folder.config.node.data
    }

    /// Starts a node.
    pub(crate) fn launch(&mut self, node: usize) -> Result<(), TesterError> {
        let command = self.network.as_ref().map_or_else(Vec::new, |network| network.command(node));
        let node = &mut self.nodes[node];
        node.process = Some(NodeProcess::start_within(&node.folder, End::WithParent, &command)?);
        Ok(())
    }

    /// Ends a node's process at once.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill();
        }
    }

    /// Ends several processes as nearly at the same moment as can be.
    pub(crate) fn kill_all(&mut self) {
        let running = self.nodes.iter().filter_map(|node| node.process.as_ref());
        running.for_each(|process| process.signal(Signal::KILL));
        (0..self.nodes.len()).for_each(|node| self.kill(node));
    }

    /// Stops a process as it is: it keeps its connections and does nothing.
    pub(crate) fn hang(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn wake(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    fn signal(&self, node: usize, signal: Signal) {
        if let Some(process) = &self.nodes[node].process {
            process.signal(signal);
        }
    }

    /// Stops a node in order, and waits until it has ended.
    pub(crate) async fn terminate(&mut self, node: usize) -> Result<(), String> {
        self.signal(node, Signal::TERM);
        let ended = self.ended(node).await?;
        self.nodes[node].process = None;
        match ended.status.success() {
            true => Ok(()),
            false => Err(format!("node {} was told to stop and {}", self.name(node), ended.describe())),
        }
    }

    /// How a node ended, once it has.
    pub(crate) async fn ended(&mut self, node: usize) -> Result<Ended, String> {
        let give_up = Instant::now() + END_TIMEOUT;
        while Instant::now() < give_up {
            if let Some(ended) = self.newly_ended(node) {
                return Ok(ended);
            }
            sleep(POLL).await;
        }
        Err(format!("node {} did not end within {} s", self.name(node), END_TIMEOUT.as_secs()))
    }

    /// How a node ended, if it has since it was asked last.
    pub(crate) fn newly_ended(&mut self, node: usize) -> Option<Ended> {
        self.nodes[node].process.as_mut().and_then(NodeProcess::newly_ended)
    }

    /// A node that has ended though nobody told it to, in words.
    pub(crate) fn casualty(&mut self) -> Option<String> {
        self.nodes.iter_mut().find_map(|node| {
            let process = node.process.as_mut()?;
            let ended = process.newly_ended()?;
            let words =
                format!("node {} {} by itself: {}", process.name(), ended.describe(), process.last_words());
            node.process = None;
            Some(words)
        })
    }

    /// From now on these links carry nothing, and no others are cut.
    pub(crate) async fn cut(&mut self, links: &[Link]) -> Result<(), String> {
        if let Some(network) = &mut self.network {
            return network.cut(links).map_err(|error| error.to_string());
        }
        for &(from, to) in links {
            // The sender's switch is enough: what has left it before was sent before the cut.
            self.switch(from, &[b"CUT", b"TO", self.name(to).as_bytes()]).await?;
        }
        Ok(())
    }

    /// All links carry again.
    pub(crate) async fn heal(&mut self) -> Result<(), String> {
        if let Some(network) = &mut self.network {
            return network.heal().map_err(|error| error.to_string());
        }
        for node in 0..self.nodes.len() {
            self.switch(node, &[b"HEAL"]).await?;
        }
        Ok(())
    }

    /// Has a node's clocks run faster by parts per million, and its wall clock be off by milliseconds.
    pub(crate) async fn skew(&self, node: usize, ppm: i32, millis: i32) -> Result<(), String> {
        self.switch(node, &[b"CLOCK", ppm.to_string().as_bytes(), millis.to_string().as_bytes()]).await
    }

    async fn switch(&self, node: usize, arguments: &[&[u8]]) -> Result<(), String> {
        let command: Vec<&[u8]> = [&b"SD.FAULT"[..]].into_iter().chain(arguments.iter().copied()).collect();
        match view::command(&self.shared, node, &command).await {
            Ok(Value::Simple(_)) => Ok(()),
            Ok(other) => Err(format!("node {} answered SD.FAULT with {other:?}", self.name(node))),
            Err(error) => Err(format!("node {} took no fault: {error}", self.name(node))),
        }
    }

    /// What a node knows of the ring.
    pub(crate) async fn view(&self, node: usize) -> Option<RingReply> {
        view::ask(&self.shared, node).await
    }

    /// The node that leads the control group, as any node knows it that runs.
    pub(crate) async fn controller(&self) -> Result<usize, String> {
        let give_up = Instant::now() + RING_TIMEOUT;
        while Instant::now() < give_up {
            for node in 0..self.nodes.len() {
                let named = self.view(node).await.and_then(|view| view.control.controller);
                if let Some(leader) = named.and_then(|name| self.position(&name)) {
                    return Ok(leader);
                }
            }
            sleep(POLL).await;
        }
        Err("no node names a controller".to_owned())
    }

    fn position(&self, name: &str) -> Option<usize> {
        (0..self.nodes.len()).find(|&node| self.name(node) == name)
    }

    /// The number of a node's latest session, as the ring knows it.
    pub(crate) async fn session(&self, node: usize) -> Option<u64> {
        for asked in 0..self.nodes.len() {
            if let Some(view) = self.view(asked).await {
                let known = view.nodes.iter().find(|known| known.name == self.name(node));
                return known.map(|known| known.session);
            }
        }
        None
    }

    /// Waits until every node says that all is served by all, and all know the same.
    pub(crate) async fn whole(&mut self) -> Result<(), String> {
        let give_up = Instant::now() + RING_TIMEOUT;
        loop {
            if let Some(casualty) = self.casualty() {
                return Err(casualty);
            }
            let missing = self.missing().await;
            if missing.is_none() {
                return Ok(());
            }
            if Instant::now() > give_up {
                let reason = missing.unwrap_or_default();
                return Err(format!(
                    "the ring is not whole {} s after all faults ended: {reason}",
                    RING_TIMEOUT.as_secs()
                ));
            }
            sleep(POLL).await;
        }
    }

    /// What keeps the ring from being whole.
    async fn missing(&self) -> Option<String> {
        let mut version = None;
        for node in 0..self.nodes.len() {
            let Some(view) = self.view(node).await else {
                return Some(format!("node {} does not answer", self.name(node)));
            };
            if !view.here.whole || !view.here.lease {
                return Some(format!("node {} does not serve all that it keeps", self.name(node)));
            }
            if *version.get_or_insert(view.version) != view.version {
                return Some("the nodes do not know the same of the ring".to_owned());
            }
        }
        None
    }

    /// Waits until all others serve everything without these nodes.
    pub(crate) async fn without(&mut self, lost: &[usize]) -> Result<(), String> {
        let give_up = Instant::now() + RING_TIMEOUT;
        let names: Vec<String> = lost.iter().map(|&node| self.name(node).to_owned()).collect();
        loop {
            if let Some(casualty) = self.casualty() {
                return Err(casualty);
            }
            let mut go_on = true;
            for node in (0..self.nodes.len()).filter(|node| !lost.contains(node)) {
                go_on &= self.view(node).await.is_some_and(|view| goes_on(&view, &names));
            }
            if go_on {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(format!(
                    "the others did not go on without {} within {} s",
                    names.join(" and "),
                    RING_TIMEOUT.as_secs()
                ));
            }
            sleep(POLL).await;
        }
    }

    /// The ends of all logs, by node.
    pub(crate) fn keep_logs(&self, dir: &Path) -> Result<(), TesterError> {
        let failed = |source| TesterError::File { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        for node in &self.nodes {
            let name = format!("{}.log", node.folder.config.node.name);
            fs::copy(&node.folder.log_file, dir.join(name)).map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for TestRing {
    fn drop(&mut self) {
        // Nothing may write to the folders any more when they are removed.
        self.kill_all();
    }
}

fn goes_on(view: &RingReply, lost: &[String]) -> bool {
    let are_down = lost.iter().all(|name| view.nodes.iter().any(|node| node.name == *name && !node.live));
    are_down && view.chains.iter().all(|chain| chain.open && !chain.headless)
}

/// The nodes of this ring take faults from whoever can reach them.
fn allow_faults(config: &Path) -> Result<(), TesterError> {
    let failed = |source| TesterError::File { path: config.to_owned(), source };
    let mut text = fs::read_to_string(config).map_err(failed)?;
    text.push_str("fault_injection = true\n");
    fs::write(config, text).map_err(failed)
}
