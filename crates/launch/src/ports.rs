//! Whether all ports of a ring are free, and if not, who has one; and a ring on ports that are.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use simpledynamo_node::config::{CLASSIC_NAMES, Cluster};

use crate::error::LaunchError;

/// Client ports are looked for from here on. All ports, ten and more thousands higher ones included, are below those
/// that Linux gives to connections.
const FIRST_PORT: u16 = 12_000;
/// As many ports as a node takes in one range, with some in between.
const PORTS_PER_NODE: u16 = 4;
const PORT_ATTEMPTS: u16 = 30;

/// The most nodes whose ports are found: of more, some would be where Linux takes ports for connections.
const NODES_MAX: u16 = 50;

/// The classic nodes on ports that nobody has.
///
/// # Errors
/// When there are none.
pub fn free_cluster() -> Result<Cluster, LaunchError> {
    free_cluster_of(CLASSIC_NAMES.len() as u16)
}

/// A ring of that many nodes, from 3 to 50, on ports that nobody has.
///
/// # Errors
/// When there are none.
///
/// # Panics
/// Of another number of nodes.
pub fn free_cluster_of(nodes: u16) -> Result<Cluster, LaunchError> {
    assert!(nodes <= NODES_MAX, "a ring of {nodes} nodes has too many ports");
    // Rings that are started at the same time begin their search at different places.
    let offset = (std::process::id() % u32::from(PORT_ATTEMPTS)) as u16;
    let mut attempt = 0;
    loop {
        let port = FIRST_PORT + PORTS_PER_NODE * nodes * ((attempt + offset) % PORT_ATTEMPTS);
        let cluster =
            Cluster::of_size(nodes, IpAddr::V4(Ipv4Addr::LOCALHOST), port).expect("nodes and ports fit");
        let Err(refusal) = check_ports(&cluster) else { return Ok(cluster) };
        attempt += 1;
        if attempt == PORT_ATTEMPTS {
            return Err(LaunchError::NoPorts { from: FIRST_PORT, last: Box::new(refusal) });
        }
    }
}

/// Binds every address of the ring for a moment, so that nothing is started if one is not to be had.
///
/// # Errors
/// When one is not to be had; the error says who has it, as far as this user may know.
pub fn check_ports(cluster: &Cluster) -> Result<(), LaunchError> {
    let mut held = Vec::new();
    for node in &cluster.nodes {
        for (role, address) in [("client", node.client), ("peer", node.peer)] {
            let listener = TcpListener::bind(address).map_err(|error| {
                let reason = match error.kind() {
                    ErrorKind::AddrInUse => {
                        format!(
                            "port {} is in use{}; move all ports with --base-port",
                            address.port(),
                            holder(address)
                        )
                    }
                    ErrorKind::AddrNotAvailable => {
                        format!("{} is no address of this machine; give one with --host", address.ip())
                    }
                    ErrorKind::PermissionDenied => {
                        format!("port {} needs privileges; move all ports with --base-port", address.port())
                    }
                    _ => error.to_string(),
                };
                LaunchError::Port { address, role, node: node.name.clone(), reason }
            })?;
            held.push(listener);
        }
    }
    Ok(())
}

/// Who listens on an address, as far as this user may see it: ` by process 42 (redis-server)`.
fn holder(address: SocketAddr) -> String {
    listening_inode(address)
        .and_then(|inode| process_of(&inode))
        .map_or_else(String::new, |(pid, name)| format!(" by process {pid} ({name})"))
}

/// The inode of the socket that listens on an address or on all (`/proc/net/tcp`, see proc_net(5)).
fn listening_inode(address: SocketAddr) -> Option<String> {
    const LISTEN: &str = "0A";
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (*state == LISTEN && is_in_the_way(local, address)).then(|| (*inode).to_owned())
        })
    })
}

/// Whether a listener at `local`, as the kernel spells it, keeps others from `wanted`.
fn is_in_the_way(local: &str, wanted: SocketAddr) -> bool {
    let Some((ip, port)) = local.split_once(':') else { return false };
    if u16::from_str_radix(port, 16) != Ok(wanted.port()) {
        return false;
    }
    if ip.bytes().all(|digit| digit == b'0') {
        return true;
    }
    // The four bytes stand in memory order, printed as one number of this machine.
    let same = |ip: u32| IpAddr::V4(Ipv4Addr::from(ip.to_ne_bytes())) == wanted.ip();
    u32::from_str_radix(ip, 16).is_ok_and(same)
}

/// The process that has a socket open, and its name.
fn process_of(inode: &str) -> Option<(u32, String)> {
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut descriptors = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        descriptors
            .find(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()))?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some((pid, name.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_in_use_is_named_with_its_process() {
        // An address of its own keeps this apart from whatever else listens here.
        let host = Ipv4Addr::new(127, 0, 77, 1);
        let cluster = Cluster::classic(IpAddr::V4(host), 21_600).expect("fits");
        check_ports(&cluster).expect("nobody listens there");
        let _taken = TcpListener::bind(cluster.nodes[2].client).expect("free");
        let refused = check_ports(&cluster).expect_err("taken").to_string();
        assert!(refused.contains("127.0.77.1:21608 for the client port of node 5558"), "{refused}");
        assert!(
            refused.contains(&format!("port 21608 is in use by process {} (", std::process::id())),
            "{refused}"
        );
    }

    #[test]
    fn rings_of_other_sizes_find_ports() {
        let first = free_cluster_of(9).expect("free");
        assert_eq!(first.nodes.len(), 9);
        let _taken = TcpListener::bind(first.nodes[8].peer).expect("free");
        assert_ne!(free_cluster_of(9).expect("free"), first);
    }

    #[test]
    fn foreign_address_is_refused() {
        // TEST-NET-1 (RFC 5737) belongs to nobody.
        let cluster = Cluster::classic(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 21_600).expect("fits");
        assert!(
            check_ports(&cluster).expect_err("foreign").to_string().contains("no address of this machine")
        );
    }

    #[test]
    fn kernel_addresses_are_read() {
        let wanted = "127.0.0.1:11108".parse().expect("an address");
        let local = format!("{:08X}:2B64", u32::from_ne_bytes([127, 0, 0, 1]));
        assert!(is_in_the_way(&local, wanted));
        assert!(is_in_the_way("00000000:2B64", wanted));
        assert!(!is_in_the_way(&local, "127.0.0.2:11108".parse().expect("an address")));
        assert!(!is_in_the_way(&local, "127.0.0.1:11109".parse().expect("an address")));
    }
}
