//! One demo per folder: the lock that sees to it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use simpledynamo_node::config::Cluster;

use crate::arguments::DemoOptions;
use crate::failure::Failure;

use super::screen::{program, shell_word};

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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use crate::arguments::DurabilityName;

    use super::*;

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
