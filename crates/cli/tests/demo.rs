//! The demo as its user meets it: the real binary, real nodes, real signals.
//!
//! Each test has a loopback address of its own (Linux has all of 127.0.0.0/8), so that the classic ports are
//! free on it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Longer than anything here takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

const BINARY: &str = env!("CARGO_BIN_EXE_simpledynamo");

/// A demo, which ends when the test does.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    dir: PathBuf,
    host: String,
}

impl Demo {
    fn start(dir: &Path, host: &str) -> Self {
        let mut child = demo_command(dir, host).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, lines, dir: dir.to_owned(), host: host.to_owned() }
    }

    fn serving(dir: &Path, host: &str) -> Self {
        let demo = Self::start(dir, host);
        demo.wait_for("Ctrl-C stops all nodes");
        demo
    }

    /// The next line that holds the text.
    fn wait_for(&self, part: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("the demo never said {part:?}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).expect("the demo runs");
    }

    fn pid_file(&self, node: &str) -> PathBuf {
        self.dir.join(node).join("node.pid")
    }

    fn node_pid(&self, node: &str) -> Pid {
        let text = fs::read_to_string(self.pid_file(node)).expect("a pid file");
        pid(text.trim().parse().expect("a number"))
    }

    fn node_pids(&self) -> Vec<Pid> {
        ["5554", "5556", "5558", "5560", "5562"].map(|node| self.node_pid(node)).to_vec()
    }

    /// Runs a client command through the node on the given port.
    fn client(&self, port: u16, arguments: &[&str]) -> Output {
        Command::new(BINARY)
            .args(arguments)
            .args(["--node", &format!("{}:{port}", self.host)])
            .output()
            .expect("the binary starts")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The nodes die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn demo_command(dir: &Path, host: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("demo").arg("--dir").arg(dir).args(["--host", host]);
    command
}

/// A loopback address that no other test has, nor another run of these tests.
fn host(test: u8) -> String {
    let run = std::process::id();
    format!("127.{}.{}.{test}", 100 + run / 250 % 100, 1 + run % 250)
}

fn pid(number: u32) -> Pid {
    i32::try_from(number).ok().and_then(Pid::from_raw).expect("a process number")
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn are_gone(pids: &[Pid]) -> bool {
    pids.iter().all(|pid| test_kill_process(*pid).is_err())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn data_outlives_a_demo_that_is_stopped_or_killed() {
    let folder = TempDir::new().expect("a folder");
    let mut demo = Demo::serving(folder.path(), &host(1));
    assert!(demo.client(11108, &["insert", "greeting", "hello"]).status.success());
    let nodes = demo.node_pids();
    demo.signal(Signal::TERM);
    assert!(demo.child.wait().expect("a status").success());
    assert!(are_gone(&nodes), "a stopped demo leaves no node");
    assert!(!demo.pid_file("5554").exists(), "and no pid file");

    let mut demo = Demo::serving(folder.path(), &host(1));
    assert_eq!(text(&demo.client(11124, &["query", "greeting", "-o", "tsv"]).stdout), "greeting\thello\n");
    let nodes = demo.node_pids();
    demo.signal(Signal::KILL);
    demo.child.wait().expect("a status");
    eventually("a killed demo leaves no node", || are_gone(&nodes));

    let demo = Demo::serving(folder.path(), &host(1));
    assert_eq!(text(&demo.client(11116, &["query", "*", "-o", "tsv"]).stdout), "greeting\thello\n");
    assert_eq!(text(&demo.client(11120, &["delete", "greeting"]).stdout), "1\n");
    assert_eq!(demo.client(11112, &["query", "greeting"]).status.code(), Some(1), "not found");
}

#[test]
fn dead_node_is_reported_and_one_started_by_hand_is_left() {
    let folder = TempDir::new().expect("a folder");
    let mut demo = Demo::serving(folder.path(), &host(2));
    kill_process(demo.node_pid("5558"), Signal::KILL).expect("the node runs");
    let report = demo.wait_for("node 5558");
    assert!(report.contains("was ended by signal 9; to start it again: "), "{report}");
    // The line is made to be copied.
    let line = report.split("to start it again: ").nth(1).expect("a line");
    let mut by_hand =
        Command::new("sh").arg("-c").arg(format!("exec {line}")).stderr(Stdio::null()).spawn().expect("sh");
    eventually("the node runs again", || {
        fs::read_to_string(demo.pid_file("5558")).is_ok_and(|text| text.trim() == by_hand.id().to_string())
    });
    // Only a node that serves stops in order; one that still starts is ended by the signal itself.
    eventually("the node serves again", || demo.client(11116, &["query", "none"]).status.code() == Some(1));
    demo.signal(Signal::INT);
    let named = demo.wait_for("node 5558 was started by hand");
    assert!(named.contains(&format!("process {}", by_hand.id())), "{named}");
    assert!(demo.child.wait().expect("a status").success());
    assert!(by_hand.try_wait().expect("a status").is_none(), "it was left alone");
    kill_process(pid(by_hand.id()), Signal::TERM).expect("it runs");
    assert!(by_hand.wait().expect("a status").success());
}

#[test]
fn second_demo_and_taken_port_are_refused_in_one_line() {
    let folder = TempDir::new().expect("a folder");
    let demo = Demo::serving(&folder.path().join("one"), &host(3));
    let refused = |dir: &str| {
        let output = demo_command(&folder.path().join(dir), &host(3)).output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(5));
        let message = text(&output.stderr);
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    };
    let same_folder = refused("one");
    assert!(same_folder.contains(&format!("as process {}", demo.child.id())), "{same_folder}");
    assert!(same_folder.contains("one-2 --base-port 12108"), "{same_folder}");
    let same_ports = refused("two");
    let owner = demo.node_pid("5554").as_raw_nonzero();
    assert!(same_ports.contains(&format!("port 11108 is in use by process {owner} (")), "{same_ports}");
}

#[test]
fn node_with_a_mistake_stops_the_start() {
    let folder = TempDir::new().expect("a folder");
    let dir = folder.path();
    // A file where node 5560 wants its data folder: only the node itself finds out.
    fs::create_dir(dir.join("5560")).expect("made");
    fs::write(dir.join("5560/data"), "").expect("written");
    let mut child = demo_command(dir, &host(4)).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut message = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut message).expect("text");
    assert_eq!(child.wait().expect("a status").code(), Some(5));
    assert!(message.contains("node 5560 has ended with exit code 5 while it started"), "{message}");
    assert!(message.contains("5560/node.log ends with: simpledynamo: node 5560:"), "{message}");
    for node in ["5554", "5556", "5558", "5562"] {
        // One that was stopped while it started leaves its file behind, written or not, but not its process.
        let number = fs::read_to_string(dir.join(node).join("node.pid")).unwrap_or_default();
        if let Ok(number) = number.trim().parse() {
            assert!(are_gone(&[pid(number)]), "node {node} still runs, as process {number}");
        }
    }
}

#[test]
fn serve_names_the_line_that_is_wrong() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("config.toml");
    fs::write(&file, "[cluster]\nid = \"x\"\nreplcas = 3\n").expect("written");
    let output =
        Command::new(BINARY).arg("serve").arg("--config").arg(&file).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(5));
    let message = text(&output.stderr);
    assert!(message.contains("config.toml:3: unknown field `replcas`"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}
