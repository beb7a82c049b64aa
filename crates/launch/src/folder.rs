//! The folders of a ring's nodes: one subfolder per node.
//!
//! Who starts the ring owns the `[cluster]` table of each node's configuration, since addresses follow from a command
//! line; the `[node]` table is the user's.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use simpledynamo_node::config::{Cluster, Config, render, replace_cluster};

use crate::error::LaunchError;

/// What lies in the folder of one node.
#[derive(Clone, Debug)]
pub struct NodeFolder {
    /// The node's configuration, as it will read it.
    pub config: Config,
    /// The file that holds it.
    pub config_file: PathBuf,
    /// Where the node's messages go.
    pub log_file: PathBuf,
}

impl NodeFolder {
    /// Makes or updates the folders of all nodes below `dir`. What is changed that a user may have written is said by
    /// `say`.
    ///
    /// # Errors
    /// When a folder or file cannot be written, or a configuration is damaged or another node's.
    pub fn prepare(dir: &Path, cluster: &Cluster, say: impl Fn(&str)) -> Result<Vec<Self>, LaunchError> {
        cluster
            .nodes
            .iter()
            .map(|node| Self::prepare_one(&dir.join(&node.name), &node.name, cluster, &say))
            .collect()
    }

    fn prepare_one(
        folder: &Path,
        name: &str,
        cluster: &Cluster,
        say: &impl Fn(&str),
    ) -> Result<Self, LaunchError> {
        fs::create_dir_all(folder).map_err(|error| unusable(folder, error))?;
        let config_file = folder.join("config.toml");
        let log_file = folder.join("node.log");
        File::options().append(true).create(true).open(&log_file).map_err(|error| unusable(folder, error))?;
        if !config_file.try_exists().map_err(|error| unusable(folder, error))? {
            replace_file(&config_file, &render(cluster, name)).map_err(|error| unusable(folder, error))?;
        }
        let config = Config::load(&config_file)?;
        let config =
            if config.cluster == *cluster { config } else { update(&config_file, name, cluster, say)? };
        if config.node.name != name {
            return Err(LaunchError::OtherNode {
                path: config_file,
                found: config.node.name,
                expected: name.to_owned(),
            });
        }
        Ok(Self { config, config_file, log_file })
    }
}

impl NodeFolder {
    /// What lies in the folder of a node that was made before.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn load(folder: &Path) -> Result<Self, LaunchError> {
        let config_file = folder.join("config.toml");
        let config = Config::load(&config_file)?;
        Ok(Self { config, config_file, log_file: folder.join("node.log") })
    }

    /// The number of the process that runs this node, whoever started it: it holds the lock of its pid file.
    #[must_use]
    pub fn running_pid(&self) -> Option<u32> {
        let path = self.config.node.pid_file.as_ref()?;
        match File::open(path).ok()?.try_lock_shared() {
            Err(TryLockError::WouldBlock) => fs::read_to_string(path).ok()?.trim().parse().ok(),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

fn unusable(folder: &Path, source: io::Error) -> LaunchError {
    LaunchError::Folder { path: folder.to_owned(), source }
}

/// Puts this ring into a file that has another, and keeps the former file beside it.
fn update(
    config_file: &Path,
    name: &str,
    cluster: &Cluster,
    say: &impl Fn(&str),
) -> Result<Config, LaunchError> {
    let folder = config_file.parent().unwrap_or(Path::new(""));
    let text = fs::read_to_string(config_file).map_err(|error| unusable(folder, error))?;
    let merged = replace_cluster(&text, config_file, cluster)
        .ok_or_else(|| LaunchError::OtherRing { path: config_file.to_owned() })?;
    let former = folder.join("config.toml.old");
    fs::copy(config_file, &former).map_err(|error| unusable(folder, error))?;
    replace_file(config_file, &merged).map_err(|error| unusable(folder, error))?;
    say(&format!("node {name}: the [cluster] table was rewritten; the former file is {}", former.display()));
    Ok(Config::load(config_file)?)
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

    use super::*;

    fn classic(base_port: u16) -> Cluster {
        Cluster::classic(IpAddr::V4(Ipv4Addr::LOCALHOST), base_port).expect("fits")
    }

    #[test]
    fn first_start_writes_and_later_ones_keep_edits() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = NodeFolder::prepare(dir.path(), &classic(20_000), |_| {}).expect("prepared");
        assert_eq!(first.len(), 5);
        assert_eq!(first[1].config.node.data, dir.path().join("5556/data"));
        let file = &first[1].config_file;
        let edited = fs::read_to_string(file)
            .expect("written")
            .replace("max_clients = 10000", "max_clients = 5 # few");
        fs::write(file, &edited).expect("edited");

        NodeFolder::prepare(dir.path(), &classic(20_000), |_| {}).expect("prepared again");
        assert_eq!(fs::read_to_string(file).expect("kept"), edited, "an unmoved ring leaves the file alone");

        let moved = NodeFolder::prepare(dir.path(), &classic(30_000), |_| {}).expect("moved");
        assert_eq!((moved[1].config.node.max_clients, &moved[1].config.cluster), (5, &classic(30_000)));
        assert!(fs::read_to_string(file).expect("rewritten").contains("# few"));
        assert_eq!(fs::read_to_string(file.with_extension("toml.old")).expect("kept beside"), edited);
    }

    #[test]
    fn damaged_or_swapped_files_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let folders = NodeFolder::prepare(dir.path(), &classic(20_000), |_| {}).expect("prepared");
        let prepare =
            || NodeFolder::prepare(dir.path(), &classic(20_000), |_| {}).expect_err("refused").to_string();
        fs::copy(&folders[0].config_file, &folders[1].config_file).expect("copied");
        assert!(prepare().contains("5556/config.toml: [node] name = \"5554\""), "{}", prepare());
        fs::write(&folders[1].config_file, "[cluster]\nfoo = 1").expect("written");
        assert!(prepare().contains("5556/config.toml:"), "{}", prepare());
    }
}
