//! A cluster of etcd.

use std::path::Path;

use crate::failure::Failure;

use super::process::Process;
use super::{Servers, Target, ports};

const MEMBERS: usize = 5;

/// How much a member may store, in bytes: what etcd recommends at most. The default of 2 GiB would end a long
/// measurement, since every version of a key is kept. It changes nothing else.
const QUOTA: u64 = 8 << 30;

/// A member says here that there is a leader and that it can write.
const QUESTION: &str = "GET /health HTTP/1.0\r\n\r\n";
const HEALTHY: &str = "\"health\":\"true\"";

/// Starts five members with default settings, every one on loopback, and returns once all are healthy.
pub(super) async fn start(program: &Path, folder: &Path, version: String) -> Result<Servers, Failure> {
    let ports = ports::free(2 * MEMBERS)?;
    let (clients, peers) = ports.split_at(MEMBERS);
    let url = |port: &u16| format!("http://127.0.0.1:{port}");
    let cluster: Vec<String> =
        peers.iter().enumerate().map(|(member, port)| format!("m{member}={}", url(port))).collect();
    let mut processes = Vec::new();
    for (member, (client, peer)) in clients.iter().zip(peers).enumerate() {
        let name = format!("m{member}");
        let folder = folder.join("etcd").join(&name);
        let options = [
            ("--name", name.clone()),
            ("--data-dir", folder.join("data").display().to_string()),
            ("--listen-client-urls", url(client)),
            ("--advertise-client-urls", url(client)),
            ("--listen-peer-urls", url(peer)),
            ("--initial-advertise-peer-urls", url(peer)),
            ("--initial-cluster", cluster.join(",")),
            ("--initial-cluster-state", "new".to_owned()),
            ("--quota-backend-bytes", QUOTA.to_string()),
            ("--log-level", "error".to_owned()),
        ];
        processes.push(Process::start(&format!("etcd {name}"), program, &options, &folder)?);
    }
    let addresses = clients.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    Servers { target: Target::Etcd, addresses, version, processes, measured: 0 }
        .ready(QUESTION, HEALTHY)
        .await
}
