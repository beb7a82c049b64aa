//! `bench failover` as its user meets it: a ring of its own, a fault, a report, and nothing left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A measurement with few clients, whose temporary folder is made in `temporary`.
fn bench(temporary: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_simpledynamo"))
        .args(["bench", "failover", "--demo", "--around", "1", "--warmup", "0"])
        .args(["--writers", "2", "--readers", "2", "-o", "json"])
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("there").flatten().map(|entry| entry.path()).collect()
}

#[test]
fn hanging_node_is_measured() {
    let temporary = TempDir::new().expect("a folder");
    let bench = bench(temporary.path(), &["--fault", "stop", "--node", "5556", "--seconds", "1"]);
    let output = bench.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let run = &report["runs"][0];
    assert_eq!(run["node"], "5556");
    let number = |name: &str| run[name].as_f64().unwrap_or_else(|| panic!("{name} in {report:#}"));
    assert!(number("per_second_before") > 0.0, "{report:#}");
    assert!(number("reads_per_second_during") > 0.0, "reads go on at the other members: {report:#}");
    assert!(number("write_gap_ms") >= number("write_gap_median_ms"), "{report:#}");
    assert!(number("write_gap_ms") > 0.0 && number("whole_after_s") >= 0.0, "{report:#}");
    assert_eq!(report["max"]["write_gap_ms"], run["write_gap_ms"], "of a single run");
    assert!(entries(temporary.path()).is_empty(), "the folder is gone");
}

#[test]
fn interrupted_measurement_leaves_no_process() {
    let temporary = TempDir::new().expect("a folder");
    let mut bench = bench(temporary.path(), &["--fault", "stop", "--seconds", "60"]);
    // A node that hangs must end too.
    let give_up = Instant::now() + PATIENCE;
    let pids = loop {
        assert!(Instant::now() < give_up, "no node was ever stopped");
        let pids = node_pids(temporary.path());
        if pids.len() == 5 && pids.iter().any(|pid| is_stopped(*pid)) {
            break pids;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let own = i32::try_from(bench.id()).ok().and_then(Pid::from_raw).expect("a process number");
    kill_process(own, Signal::INT).expect("it runs");
    assert_eq!(bench.wait().expect("a status").code(), Some(5));
    assert!(pids.iter().all(|pid| test_kill_process(*pid).is_err()), "all nodes have ended");
    assert!(entries(temporary.path()).is_empty(), "the folder is gone");
}

fn node_pids(temporary: &Path) -> Vec<Pid> {
    let nodes = entries(temporary).iter().flat_map(|ring| entries(ring)).collect::<Vec<_>>();
    let read = |node: PathBuf| fs::read_to_string(node.join("node.pid")).ok()?.trim().parse().ok();
    nodes.into_iter().filter_map(read).filter_map(Pid::from_raw).collect()
}

fn is_stopped(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}
