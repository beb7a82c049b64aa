//! The folder of a demo: one subfolder per node, and a lock.
//!
//! The demo owns the `[cluster]` table of each node's configuration, since addresses follow from its command
//! line; the `[node]` table is the user's.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use simpledynamo_node::config::{Cluster, Config, render, replace_cluster};

use crate::arguments::DemoOptions;
use crate::failure::Failure;

use super::screen::{program, say, shell_word};

/// How far beside a running demo the next one is proposed: no port of the two is the same.
const BESIDE: u16 = 1000;

/// The right to run the demo of a folder, held as long as this process lives.
#[derive(Debug)]
pub(super) struct DemoLock {
    _locked: File,
}

impl DemoLock {
    /// Makes the folder and takes its lock; if another demo has it, says which and how to start beside it.
    pub(super) fn hold(options: &DemoOptions) -> Result<Self, Failure> {
        let dir = &options.dir;
        fs::create_dir_all(dir).map_err(|error| unusable(dir, &error))?;
        let path = dir.join("demo.lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| unusable(dir, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(options, &mut file)),
            Err(TryLockError::Error(error)) => return Err(unusable(dir, &error)),
        }
        file.set_len(0).map_err(|error| unusable(dir, &error))?;
        writeln!(file, "{}", std::process::id()).map_err(|error| unusable(dir, &error))?;
        Ok(Self { _locked: file })
    }
}

fn unusable(dir: &Path, error: &io::Error) -> Failure {
    Failure::Other(format!("cannot use the folder {}: {error}; choose another with --dir", dir.display()))
}

fn taken(options: &DemoOptions, lock: &mut File) -> Failure {
    let mut pid = String::new();
    // Without the number the message is still right.
    let _ = lock.read_to_string(&mut pid);
    let pid = if pid.trim().is_empty() { "?" } else { pid.trim() };
    let mut beside = options.dir.clone().into_os_string();
    beside.push("-2");
    let port = options
        .base_port
        .checked_add(BESIDE)
        .and_then(|port| Cluster::classic(options.host, port).map(|_| port));
    Failure::Other(format!(
        "a demo runs on {} already, as process {pid}; to start another beside it: {} demo --dir {} --base-port {}",
        options.dir.display(),
        program(),
        shell_word(&beside.to_string_lossy()),
        port.unwrap_or(options.base_port.saturating_sub(BESIDE))
    ))
}

/// What lies in the folder of one node.
#[derive(Clone, Debug)]
pub(crate) struct NodeFolder {
    /// The node's configuration, as it will read it.
    pub(crate) config: Config,
    /// The file that holds it.
    pub(crate) config_file: PathBuf,
    /// Where the node's messages go.
    pub(crate) log_file: PathBuf,
}

impl NodeFolder {
    /// Makes or updates the folders of all nodes.
    pub(crate) fn prepare(dir: &Path, cluster: &Cluster) -> Result<Vec<Self>, Failure> {
        cluster
            .nodes
            .iter()
            .map(|node| Self::prepare_one(&dir.join(&node.name), &node.name, cluster))
            .collect()
    }

    fn prepare_one(folder: &Path, name: &str, cluster: &Cluster) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        let config_file = folder.join("config.toml");
        let log_file = folder.join("node.log");
        File::options()
            .append(true)
            .create(true)
            .open(&log_file)
            .map_err(|error| unusable(folder, &error))?;
        if !config_file.try_exists().map_err(|error| unusable(folder, &error))? {
            replace_file(&config_file, &render(cluster, name)).map_err(|error| unusable(folder, &error))?;
        }
        let config = Config::load(&config_file).map_err(Failure::other)?;
        let config = if config.cluster == *cluster { config } else { update(&config_file, name, cluster)? };
        if config.node.name != name {
            return Err(Failure::Other(format!(
                "{}: [node] name = {:?}, but this is the folder of node {name}: correct it",
                config_file.display(),
                config.node.name
            )));
        }
        Ok(Self { config, config_file, log_file })
    }
}

impl NodeFolder {
    /// What lies in the folder of a node that a demo has made before.
    pub(crate) fn load(folder: &Path) -> Result<Self, Failure> {
        let config_file = folder.join("config.toml");
        let config = Config::load(&config_file).map_err(Failure::other)?;
        Ok(Self { config, config_file, log_file: folder.join("node.log") })
    }

    /// The number of the process that runs this node, whoever started it: it holds the lock of its pid file.
    pub(crate) fn running_pid(&self) -> Option<u32> {
        let path = self.config.node.pid_file.as_ref()?;
        match File::open(path).ok()?.try_lock_shared() {
            Err(TryLockError::WouldBlock) => fs::read_to_string(path).ok()?.trim().parse().ok(),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// Puts this demo's ring into a file that has another, and keeps the former file beside it.
fn update(config_file: &Path, name: &str, cluster: &Cluster) -> Result<Config, Failure> {
    let folder = config_file.parent().unwrap_or(Path::new(""));
    let text = fs::read_to_string(config_file).map_err(|error| unusable(folder, &error))?;
    let merged = replace_cluster(&text, config_file, cluster).ok_or_else(|| {
        Failure::Other(format!(
            "{}: its [cluster] table is of another ring and cannot be replaced here; move the file away",
            config_file.display()
        ))
    })?;
    let former = folder.join("config.toml.old");
    fs::copy(config_file, &former).map_err(|error| unusable(folder, &error))?;
    replace_file(config_file, &merged).map_err(|error| unusable(folder, &error))?;
    say(&format!("node {name}: the [cluster] table was rewritten; the former file is {}", former.display()));
    Config::load(config_file).map_err(Failure::other)
}

/// Writes a file whole or not at all.
fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("toml.new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use crate::arguments::DurabilityName;

    use super::*;

    fn classic(base_port: u16) -> Cluster {
        Cluster::classic(IpAddr::V4(Ipv4Addr::LOCALHOST), base_port).expect("fits")
    }

    #[test]
    fn first_start_writes_and_later_ones_keep_edits() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = NodeFolder::prepare(dir.path(), &classic(20_000)).expect("prepared");
        assert_eq!(first.len(), 5);
        assert_eq!(first[1].config.node.data, dir.path().join("5556/data"));
        let file = &first[1].config_file;
        let edited = fs::read_to_string(file)
            .expect("written")
            .replace("max_clients = 10000", "max_clients = 5 # few");
        fs::write(file, &edited).expect("edited");

        NodeFolder::prepare(dir.path(), &classic(20_000)).expect("prepared again");
        assert_eq!(fs::read_to_string(file).expect("kept"), edited, "an unmoved ring leaves the file alone");

        let moved = NodeFolder::prepare(dir.path(), &classic(30_000)).expect("moved");
        assert_eq!((moved[1].config.node.max_clients, &moved[1].config.cluster), (5, &classic(30_000)));
        assert!(fs::read_to_string(file).expect("rewritten").contains("# few"));
        assert_eq!(fs::read_to_string(file.with_extension("toml.old")).expect("kept beside"), edited);
    }

    #[test]
    fn damaged_or_swapped_files_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let folders = NodeFolder::prepare(dir.path(), &classic(20_000)).expect("prepared");
        let prepare = || NodeFolder::prepare(dir.path(), &classic(20_000)).expect_err("refused").to_string();
        fs::copy(&folders[0].config_file, &folders[1].config_file).expect("copied");
        assert!(prepare().contains("5556/config.toml: [node] name = \"5554\""), "{}", prepare());
        fs::write(&folders[1].config_file, "[cluster]\nfoo = 1").expect("written");
        assert!(prepare().contains("5556/config.toml:"), "{}", prepare());
    }

    #[test]
    fn second_demo_is_told_how_to_start_beside() {
        let dir = tempfile::tempdir().expect("a folder");
        let options = DemoOptions {
            dir: dir.path().join("data"),
            base_port: 11_108,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            durability: DurabilityName::Always,
        };
        let held = DemoLock::hold(&options).expect("free");
        let refused = DemoLock::hold(&options).expect_err("held").to_string();
        assert!(refused.contains(&format!("as process {}", std::process::id())), "{refused}");
        assert!(refused.contains("data-2 --base-port 12108"), "{refused}");
        drop(held);
        DemoLock::hold(&options).expect("free again");
    }
}
