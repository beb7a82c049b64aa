//! A ring for one measurement: five nodes in a temporary folder.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use simpledynamo_node::config::{Cluster, Durability};

use crate::demo::folder::NodeFolder;
use crate::demo::process::{End, NodeProcess};
use crate::demo::{ports, ready};
use crate::failure::Failure;

use super::ring::TestRing;

/// Client ports are looked for from here on. All ports, ten and more thousands higher ones included, are below those
/// that Linux gives to connections.
const FIRST_PORT: u16 = 12_000;
/// As many ports as a ring takes in one range, with some in between.
const PORT_STEP: u16 = 20;
const PORT_ATTEMPTS: u16 = 30;

/// A folder that is removed with all that is in it.
#[derive(Debug)]
pub(super) struct TemporaryFolder {
    path: PathBuf,
    keep: bool,
}

impl TemporaryFolder {
    pub(super) fn create(keep: bool) -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        for number in 0.. {
            let path = parent.join(format!("simpledynamo-failover-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, keep }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Failure::Other(format!(
                        "cannot make {}: {error}; choose another place by the environment variable TMPDIR",
                        path.display()
                    )));
                }
            }
        }
        unreachable!("the numbers do not end")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("simpledynamo: configurations, data and logs are in {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("simpledynamo: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Starts the five nodes, and returns once they serve. `processes` has those that run, however this ends.
pub(super) async fn start(
    folder: &TemporaryFolder,
    durability: Durability,
    processes: &mut Vec<NodeProcess>,
) -> Result<TestRing, Failure> {
    let cluster = free_cluster(durability)?;
    for node in &NodeFolder::prepare(folder.path(), &cluster)? {
        processes.push(NodeProcess::start(node, End::WithParent)?);
    }
    ready::wait(&cluster, processes, |text| eprintln!("{text}")).await?;
    Ok(TestRing::own(&cluster, std::mem::take(processes)))
}

/// The classic nodes on ports that nobody has.
fn free_cluster(durability: Durability) -> Result<Cluster, Failure> {
    let mut refusal = None;
    // Measurements that run at the same time begin their search at different places.
    let offset = (std::process::id() % u32::from(PORT_ATTEMPTS)) as u16;
    for attempt in 0..PORT_ATTEMPTS {
        let port = FIRST_PORT + PORT_STEP * ((attempt + offset) % PORT_ATTEMPTS);
        let Some(mut cluster) = Cluster::classic(IpAddr::V4(Ipv4Addr::LOCALHOST), port) else { continue };
        cluster.durability = durability;
        match ports::check(&cluster) {
            Ok(()) => return Ok(cluster),
            Err(failure) => refusal = Some(failure),
        }
    }
    let reason = refusal.map_or_else(String::new, |failure| format!(", the last attempt: {failure}"));
    Err(Failure::Other(format!("no free ports were found from {FIRST_PORT} on{reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_goes_unless_it_is_kept() {
        let gone = TemporaryFolder::create(false).expect("made");
        let kept = TemporaryFolder::create(true).expect("made");
        let (gone_path, kept_path) = (gone.path().to_owned(), kept.path().to_owned());
        assert_ne!(gone_path, kept_path);
        fs::write(gone_path.join("x"), "x").expect("written");
        drop((gone, kept));
        assert!(!gone_path.exists() && kept_path.exists());
        fs::remove_dir(kept_path).expect("empty");
    }
}
