//! Five real nodes in processes of their own, which end with the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client;

/// In the order of their ports.
pub(crate) const NODES: [&str; 5] = ["5554", "5556", "5558", "5560", "5562"];

/// Longer than anything here takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The end of a log that is shown with a failure, in bytes.
const LOG_TAIL: usize = 6_000;

/// A ring, which ends when the test does.
pub(crate) struct Ring {
    folder: TempDir,
    host: String,
    nodes: Vec<Option<Child>>,
}

impl Ring {
    /// A new ring that is whole.
    pub(crate) fn start() -> Self {
        // All of 127.0.0.0/8 is this machine; other tests keep to lower last numbers.
        let run = std::process::id();
        let host = format!("127.{}.{}.77", 100 + run / 250 % 100, 1 + run % 250);
        let folder = TempDir::new().expect("a folder");
        let mut ring = Self { folder, host, nodes: Vec::new() };
        for (number, name) in NODES.iter().enumerate() {
            fs::create_dir(ring.home(number)).expect("made");
            fs::write(ring.home(number).join("config.toml"), ring.config(name)).expect("written");
            ring.nodes.push(None);
            ring.launch(number);
        }
        ring.wait();
        ring
    }

    fn home(&self, node: usize) -> PathBuf {
        self.folder.path().join(NODES[node])
    }

    fn port(number: usize) -> u16 {
        11_108 + 4 * u16::try_from(number).expect("few")
    }

    fn config(&self, name: &str) -> String {
        let mut text = "[cluster]\nid = \"histories\"\nnodes = [\n".to_owned();
        for (number, name) in NODES.iter().enumerate() {
            let (host, port) = (&self.host, Self::port(number));
            let peer = port + 10_000;
            let _ = writeln!(
                text,
                "{{ name = \"{name}\", client = \"{host}:{port}\", peer = \"{host}:{peer}\" }},"
            );
        }
        let _ = write!(text, "]\n[node]\nname = \"{name}\"\n");
        text
    }

    /// Where clients find the nodes.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let address = |number| format!("{}:{}", self.host, Self::port(number)).parse().expect("an address");
        (0..NODES.len()).map(address).collect()
    }

    /// Starts a node.
    pub(crate) fn launch(&mut self, node: usize) {
        assert!(self.nodes[node].is_none(), "it runs");
        let home = self.home(node);
        let log = File::options().append(true).create(true).open(home.join("node.log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_simpledynamo"))
            .args(["serve", "--die-with-parent", &std::process::id().to_string(), "--config"])
            .arg(home.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.nodes[node] = Some(child);
    }

    fn signal(&self, node: usize, signal: Signal) {
        let child = self.nodes[node].as_ref().expect("it runs");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process number");
        kill_process(pid, signal).expect("it runs");
    }

    pub(crate) fn kill(&mut self, node: usize) {
        let mut child = self.nodes[node].take().expect("it runs");
        child.kill().and_then(|()| child.wait()).expect("it ends");
    }

    pub(crate) fn hang(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    pub(crate) fn wake(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    /// Stops a node in order.
    pub(crate) fn stop(&mut self, node: usize) {
        self.signal(node, Signal::TERM);
        let mut child = self.nodes[node].take().expect("it runs");
        let code = child.wait().expect("it ends");
        assert!(code.success(), "node {} stopped with {code}\n{}", NODES[node], self.logs());
    }

    /// The fields of a node's `INFO ring`; none if it does not answer.
    fn info(&self, node: usize) -> BTreeMap<String, String> {
        let text = client::text(self.addresses()[node], &[b"INFO", b"ring"]).unwrap_or_default();
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The number of each node's session.
    pub(crate) fn sessions(&self) -> Vec<u64> {
        let session = |node| self.info(node)["session"].parse().expect("a number");
        (0..NODES.len()).map(session).collect()
    }

    /// Waits until all nodes serve all that they keep.
    pub(crate) fn wait(&self) {
        self.eventually("the ring is whole", || {
            let infos: Vec<_> = (0..NODES.len()).map(|node| self.info(node)).collect();
            let has = |name: &str, value: &str| {
                infos.iter().all(|info| info.get(name).is_some_and(|found| found == value))
            };
            let version = infos[0].get("topology_version").cloned().unwrap_or_default();
            has("whole", "yes") && has("lease", "yes") && has("topology_version", &version)
        });
    }

    /// Waits until all others serve everything without this node.
    pub(crate) fn wait_without(&self, lost: usize) {
        let is_missed = |node| {
            let info = self.info(node);
            let is = |name: &str, value: &str| info.get(name).is_some_and(|found| found == value);
            is("down_nodes", NODES[lost]) && is("partitions_unserved", "0")
        };
        self.eventually("the others serve without it", || {
            (0..NODES.len()).filter(|&node| node != lost).all(is_missed)
        });
    }

    /// Waits until the condition holds.
    pub(crate) fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !condition() {
            if Instant::now() >= give_up {
                let infos: Vec<_> = (0..NODES.len()).map(|node| self.info(node)).collect();
                panic!("never: {what}\n{infos:#?}\n{}", self.logs());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The ends of all logs.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for (number, name) in NODES.iter().enumerate() {
            let log = fs::read(self.home(number).join("node.log")).unwrap_or_default();
            let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned();
            let _ = writeln!(text, "--- {name}\n{tail}");
        }
        text
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            // Hung ones end as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
