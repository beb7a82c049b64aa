//! The ring that is measured, and its processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use simpledynamo_launch::{End, NodeFolder, NodeProcess};
use simpledynamo_node::config::{Cluster, Password};

use crate::failure::Failure;

/// How often a process is looked at that is about to end.
const POLL: Duration = Duration::from_millis(5);

/// How long a node may take to end once it was told to.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// A ring whose nodes run on this machine.
#[derive(Debug)]
pub(super) struct TestRing {
    nodes: Vec<Node>,
    /// How nodes are started again: those of somebody else's ring are to outlive the measurement.
    end: End,
}

#[derive(Debug)]
struct Node {
    name: String,
    address: String,
    folder: NodeFolder,
    /// The process, if this one has started it.
    process: Option<NodeProcess>,
    disturbed: Disturbed,
}

/// What was done to a node and not undone yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbed {
    No,
    Stopped,
    Ended,
}

impl TestRing {
    /// The ring of a folder, if all its nodes run. None if none does, and an error if only some do.
    pub(super) fn running(dir: &Path) -> Result<Option<Self>, Failure> {
        let Some(cluster) = cluster_of(dir)? else { return Ok(None) };
        let mut nodes = Vec::new();
        let mut down = Vec::new();
        for node in &cluster.nodes {
            let folder = NodeFolder::load(&dir.join(&node.name))?;
            if folder.running_pid().is_none() {
                down.push(node.name.as_str());
            }
            nodes.push(Node::new(&cluster, folder, None));
        }
        if down.len() == nodes.len() {
            return Ok(None);
        }
        if !down.is_empty() {
            return Err(Failure::Unavailable(format!(
                "{} of the ring of {} cannot be found running (by its node.pid): start it, or measure a ring of its \
                 own with --demo",
                down.join(", "),
                dir.display()
            )));
        }
        Ok(Some(Self { nodes, end: End::OnItsOwn }))
    }

    /// A ring that this process has started and will end.
    pub(super) fn own(cluster: &Cluster, processes: Vec<NodeProcess>) -> Self {
        let nodes = processes
            .into_iter()
            .map(|process| Node::new(cluster, process.folder().clone(), Some(process)))
            .collect();
        Self { nodes, end: End::WithParent }
    }

    /// Client addresses, in the order of the configuration.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    /// Names, in the same order.
    pub(super) fn names(&self) -> Vec<&str> {
        self.nodes.iter().map(|node| node.name.as_str()).collect()
    }

    pub(super) fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    /// The cluster as the nodes know it.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.nodes[0].folder.config.cluster
    }

    /// The password that nodes ask for, if they do.
    pub(super) fn password(&self) -> Option<Password> {
        self.nodes.iter().find_map(|node| node.folder.config.node.password.clone())
    }

    /// Sends a node the signal that hits it.
    pub(super) fn signal(&mut self, node: usize, signal: Signal) -> Result<(), Failure> {
        let node = &mut self.nodes[node];
        node.signal(signal)?;
        node.disturbed = if signal == Signal::STOP { Disturbed::Stopped } else { Disturbed::Ended };
        Ok(())
    }

    /// Returns once the process of a node has ended.
    pub(super) async fn ended(&mut self, node: usize) -> Result<(), Failure> {
        let node = &mut self.nodes[node];
        let give_up = Instant::now() + END_TIMEOUT;
        while node.is_running() {
            if Instant::now() > give_up {
                return Err(Failure::Other(format!(
                    "node {} did not end within {} s of its signal; see {}",
                    node.name,
                    END_TIMEOUT.as_secs(),
                    node.folder.log_file.display()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Lets a node that was stopped go on, or starts one that has ended.
    pub(super) fn restore(&mut self, node: usize) -> Result<(), Failure> {
        let node = &mut self.nodes[node];
        match node.disturbed {
            Disturbed::No => {}
            Disturbed::Stopped => node.signal(Signal::CONT)?,
            Disturbed::Ended => node.process = Some(NodeProcess::start(&node.folder, self.end)?),
        }
        node.disturbed = Disturbed::No;
        Ok(())
    }

    /// Fails if a process that was started here has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        for node in self.nodes.iter_mut().filter(|node| node.disturbed == Disturbed::No) {
            let Some(process) = &mut node.process else { continue };
            if let Some(ended) = process.newly_ended() {
                return Err(Failure::Other(format!(
                    "node {} {}; {} ends with: {}",
                    node.name,
                    ended.describe(),
                    node.folder.log_file.display(),
                    process.last_words()
                )));
            }
        }
        Ok(())
    }

    /// Undoes what was done to nodes of a running ring. Says which of them no longer belong to what started them.
    pub(super) async fn mend(&mut self) {
        for node in 0..self.nodes.len() {
            let mended = match self.nodes[node].disturbed {
                // A start before the old process has ended would be refused.
                Disturbed::Ended => self.ended(node).await.and_then(|()| self.restore(node)),
                Disturbed::No | Disturbed::Stopped => self.restore(node),
            };
            if let Err(failure) = mended {
                eprintln!("simpledynamo: node {} is left as it is: {failure}", self.name(node));
            }
        }
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process
                && process.is_running()
            {
                eprintln!(
                    "simpledynamo: node {} was started again and goes on running, as process {}",
                    process.name(),
                    process.pid()
                );
            }
        }
    }

    /// Ends the nodes of a ring of its own: their data is not wanted any more.
    pub(super) fn end(&mut self) {
        self.nodes.iter_mut().filter_map(|node| node.process.as_mut()).for_each(NodeProcess::kill);
    }

    /// Whether this process ends the nodes when it is done.
    pub(super) fn is_own(&self) -> bool {
        self.end == End::WithParent
    }
}

impl Node {
    fn new(cluster: &Cluster, folder: NodeFolder, process: Option<NodeProcess>) -> Self {
        let name = folder.config.node.name.clone();
        let address = cluster.node(&name).map(|node| node.client.to_string()).unwrap_or_default();
        Self { name, address, folder, process, disturbed: Disturbed::No }
    }

    fn is_running(&mut self) -> bool {
        match &mut self.process {
            Some(process) => process.is_running(),
            None => self.folder.running_pid().is_some(),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        // The lock of the pid file proves that the number is still this node's.
        let pid = self.folder.running_pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| {
            Failure::Unavailable(format!("node {} does not run any more; start it again", self.name))
        })?;
        kill_process(pid, signal)
            .map_err(|error| Failure::Other(format!("cannot signal node {}: {error}", self.name)))
    }
}

/// The cluster that the configurations in a folder describe, if there are any.
fn cluster_of(dir: &Path) -> Result<Option<Cluster>, Failure> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(None) };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let found = folders.iter().find(|folder| folder.join("config.toml").is_file());
    found.map(|folder| Ok(NodeFolder::load(folder)?.config.cluster)).transpose()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn ring_is_running_only_if_all_its_nodes_are() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(TestRing::running(dir.path()).expect("an empty folder is no mistake").is_none());
        assert!(TestRing::running(&dir.path().join("missing")).expect("nor is none").is_none());
        let cluster = Cluster::classic(IpAddr::V4(Ipv4Addr::LOCALHOST), 20_000).expect("fits");
        let folders = NodeFolder::prepare(dir.path(), &cluster, |_| {}).expect("prepared");
        assert!(TestRing::running(dir.path()).expect("nothing runs").is_none());

        // A process is known by the lock that it holds.
        let mut held = Vec::new();
        for folder in &folders {
            if !held.is_empty() && held.len() < folders.len() {
                let some = TestRing::running(dir.path()).expect_err("only some run").to_string();
                assert!(some.contains("5562 of the ring") && some.contains("--demo"), "{some}");
            }
            let path = folder.config.node.pid_file.as_ref().expect("the demo has one");
            fs::write(path, "1\n").expect("written");
            let file = File::open(path).expect("there");
            file.lock().expect("free");
            held.push(file);
        }
        let ring = TestRing::running(dir.path()).expect("fine").expect("all run");
        assert_eq!(ring.names(), ["5554", "5556", "5558", "5560", "5562"]);
        assert_eq!(ring.addresses()[2], "127.0.0.1:20008");
        assert!(!ring.is_own());
    }
}
