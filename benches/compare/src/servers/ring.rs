//! The ring.

use std::path::Path;

use simpledynamo_launch::{End, NodeFolder, NodeProcess, free_cluster_of};

use crate::failure::Failure;

use super::process::{self, Process};
use super::{Servers, Target};

/// A node says by a line of `INFO` that every partition is served.
const QUESTION: &str = "INFO simpledynamo\r\n";
const SERVING: &str = "simpledynamo_serving:1\r\n";

/// Starts that many nodes with their default configuration, and returns once all serve. Five are the classic ones.
pub(crate) async fn start(binary: &Path, folder: &Path, nodes: u16) -> Result<Servers, Failure> {
    let version = process::version(binary, &["--version"])
        .ok_or_else(|| Failure::NoBinary { name: binary.display().to_string() })?;
    let cluster = free_cluster_of(nodes)?;
    let mut processes = Vec::new();
    for node in &NodeFolder::prepare(&folder.join("ring"), &cluster, |_| {})? {
        processes.push(Process::node(NodeProcess::start_program(binary, node, End::WithParent)?));
    }
    let addresses = cluster.nodes.iter().map(|node| node.client.to_string()).collect();
    Servers { target: Target::Ring, addresses, version, processes, measured: 0 }
        .ready(QUESTION, SERVING)
        .await
}
