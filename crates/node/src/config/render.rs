//! Writing the annotated file of a node.

use std::fmt::Write as _;
use std::path::Path;

use super::{Cluster, Config};

/// A node's file with every key explained. Keys that have no value by default are commented out.
///
/// `name` is one of the cluster's nodes. Paths are relative to the folder that the file will lie in.
#[must_use]
pub fn render(cluster: &Cluster, name: &str) -> String {
    format!("{}\n{}", render_cluster(cluster), render_node(name))
}

/// Puts `cluster` in the place of the `[cluster]` table of the file at `path`, and keeps the text of its `[node]` table,
/// comments included. `None` if the text cannot be taken apart so that nothing else changes: then only a
/// person can merge the two.
#[must_use]
pub fn replace_cluster(text: &str, path: &Path, cluster: &Cluster) -> Option<String> {
    let before = Config::parse(text, path).ok()?;
    let node_lines: String =
        sections(text).filter(|(header, _)| *header == "[node]").map(|(_, body)| body).collect();
    let merged = format!("{}\n{node_lines}", render_cluster(cluster));
    let after = Config::parse(&merged, path).ok()?;
    (after.node == before.node && after.cluster == *cluster).then_some(merged)
}

/// The parts of a file, each with the header line that opens it.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_header = |line: &str| line.starts_with('[');
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if is_header(line) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.clone().into_iter().skip(1).chain([text.len()]);
    starts.into_iter().zip(ends).map(move |(start, end)| {
        let body = &text[start..end];
        (body.lines().next().unwrap_or("").trim_end(), body)
    })
}

fn render_cluster(cluster: &Cluster) -> String {
    let mut text = format!(
        "# The ring. This table is identical in the files of all nodes.\n\
         [cluster]\n\
         # Keeps rings apart that could reach each other by mistake.\n\
         id = \"{}\"\n\
         # How many nodes keep each pair.\n\
         replicas = {}\n\
         # Every node: its name, whose SHA-1 is its place on the ring, and where clients and peers reach it.\n\
         nodes = [\n",
        cluster.id, cluster.replicas
    );
    for node in &cluster.nodes {
        writeln!(
            text,
            "  {{ name = \"{}\", client = \"{}\", peer = \"{}\" }},",
            node.name, node.client, node.peer
        )
        .expect("a string takes every write");
    }
    write!(
        text,
        "]\n\
         # When a write is acknowledged: \"always\" = on disk on every serving replica, \"interval\" = synced every\n\
         # 100 ms, \"none\" = when the operating system pleases.\n\
         durability = \"{}\"\n\
         # The longest value, in bytes.\n\
         max_value = {}\n\
         # After how long a client is told that an operation failed, or that its outcome is unknown.\n\
         operation_timeout_ms = {}\n\
         # After how long without an answer a read goes on to the next member.\n\
         read_timeout_ms = {}\n\
         # How long a node may go on answering reads after it last reached the control group: how long a lost node is\n\
         # waited for. At least ten heartbeats.\n\
         lease_ms = {}\n\
         # From one sign of life of the control group's leader to the next.\n\
         heartbeat_ms = {}\n\
         # The nodes that decide who is in the ring: a majority of them must be up. At most seven.\n\
         voters = [{}]\n",
        cluster.durability,
        cluster.max_value,
        cluster.operation_timeout.as_millis(),
        cluster.read_timeout.as_millis(),
        cluster.lease.as_millis(),
        cluster.heartbeat.as_millis(),
        cluster.voters.iter().map(|voter| format!("\"{voter}\"")).collect::<Vec<_>>().join(", ")
    )
    .expect("a string takes every write");
    text
}

fn render_node(name: &str) -> String {
    format!(
        "[node]\n\
         # Which of the nodes above this one is.\n\
         name = \"{name}\"\n\
         # The folder of its data. Paths are relative to the folder of this file.\n\
         data = \"data\"\n\
         # Reads that come in here: \"any\" clean member of the chain answers, or the \"tail\" alone.\n\
         read_from = \"any\"\n\
         # How many clients may be connected at once.\n\
         max_clients = 10000\n\
         # Seconds of silence in the middle of a request after which its connection is closed; 0 = never.\n\
         # A client that is silent between requests may stay.\n\
         idle_timeout_s = 300\n\
         # One line that clients must give by AUTH; the file may be readable by its owner alone.\n\
         # password_file = \"password\"\n\
         # Memory for pairs read from the disk, in bytes.\n\
         cache_bytes = 67108864\n\
         # How much of the log is kept for nodes that come back, in bytes: who missed more is copied as a whole.\n\
         log_retention_bytes = 268435456\n\
         # The least important messages that are logged: \"error\", \"warn\", \"info\", \"debug\" or \"trace\".\n\
         log_level = \"info\"\n\
         # Holds the number of the process while the node runs; a second start on it is refused.\n\
         pid_file = \"node.pid\"\n"
    )
}
