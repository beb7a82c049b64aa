//! A network of its own for each node, so that links can be cut as a real network loses them.
//!
//! Each node has a network namespace, linked to one more, the *router*: each packet from one node to another goes
//! through it, and vanishes there without a word where a rule says so. Links are cut one way at a time. This process is
//! in the router, and so reaches each node whatever is cut.
//!
//! It takes root, and the programs `ip` and `nsenter`. All that is made is removed again when the run ends; what a run
//! leaves that was killed is removed by the next.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::fault::Link;

/// Namespaces are named after the process that has made them, so that what a killed run left can be told.
const PREFIX: &str = "sdverify";

/// Where a rule that cuts a link stands: before all others.
const CUT_PRIORITY: &str = "100";

/// The network of a ring.
#[derive(Debug)]
pub(crate) struct Namespaces {
    names: Vec<String>,
    router: String,
    cut: Vec<Link>,
}

impl Namespaces {
    /// Makes namespaces for so many nodes, and moves this thread to the router: what it starts from now on is there.
    pub(crate) fn make(nodes: usize) -> io::Result<Self> {
        remove_leftovers()?;
        let name = |place: &str| format!("{PREFIX}.{}.{place}", std::process::id());
        let names = (0..nodes).map(|node| name(&node.to_string())).collect();
        // Whatever fails from here on, what was made is removed.
        let network = Self { names, router: name("router"), cut: Vec::new() };
        network.link()?;
        let file = File::open(Path::new("/run/netns").join(&network.router))?;
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))?;
        Ok(network)
    }

    fn link(&self) -> io::Result<()> {
        let router = &self.router;
        ip(&["netns", "add", router])?;
        ip(&["-n", router, "link", "set", "lo", "up"])?;
        ip(&["netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        for (node, space) in self.names.iter().enumerate() {
            let device = format!("node{node}");
            let (here, gateway) = (Self::host(node).to_string(), format!("10.78.{node}.1"));
            ip(&["netns", "add", space])?;
            ip(&["-n", space, "link", "set", "lo", "up"])?;
            ip(&[
                "link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", &device, "netns",
                router,
            ])?;
            ip(&["-n", space, "address", "add", &format!("{here}/24"), "dev", "eth0"])?;
            ip(&["-n", router, "address", "add", &format!("{gateway}/24"), "dev", &device])?;
            ip(&["-n", space, "link", "set", "eth0", "up"])?;
            ip(&["-n", router, "link", "set", &device, "up"])?;
            ip(&["-n", space, "route", "add", "default", "via", &gateway])?;
        }
        Ok(())
    }

    /// The address of a node. Nobody outside sees it: each run may have the same.
    pub(crate) fn host(node: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 78, u8::try_from(node).expect("few nodes"), 2))
    }

    /// What a node's program is started by.
    pub(crate) fn command(&self, node: usize) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", self.names[node])]
    }

    /// From now on these links carry nothing, and no others are cut.
    pub(crate) fn cut(&mut self, links: &[Link]) -> io::Result<()> {
        self.heal()?;
        for link in links {
            self.rule("add", *link)?;
            self.cut.push(*link);
        }
        Ok(())
    }

    /// All links carry again.
    pub(crate) fn heal(&mut self) -> io::Result<()> {
        while let Some(link) = self.cut.pop() {
            self.rule("delete", link)?;
        }
        Ok(())
    }

    fn rule(&self, what: &str, (from, to): Link) -> io::Result<()> {
        let (from, to) = (Self::host(from).to_string(), Self::host(to).to_string());
        let rule = ["from", &from, "to", &to, "priority", CUT_PRIORITY, "blackhole"];
        let arguments: Vec<&str> = ["-n", &self.router, "rule", what].into_iter().chain(rule).collect();
        ip(&arguments)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in self.names.iter().chain([&self.router]) {
            // Some are missing if making them failed.
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

/// Removes what runs have left that were killed.
fn remove_leftovers() -> io::Result<()> {
    let listed = Command::new("ip").args(["netns", "list"]).output()?;
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let parts: Vec<&str> = name.split('.').collect();
        if let [PREFIX, process, _] = parts[..]
            && !Path::new("/proc").join(process).exists()
        {
            // Links go with the namespace that they end in.
            ip(&["netns", "delete", name])?;
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let done = Command::new("ip").args(arguments).output()?;
    match done.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "ip {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&done.stderr).trim()
        ))),
    }
}
