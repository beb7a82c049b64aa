//! A disk that can be filled up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The size of a disk that is only tried out.
const PROBE_BYTES: u64 = 1 << 20;

/// A small filesystem in memory where a node's data is for a while, so that it can be filled up.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes over a folder.
    pub(crate) fn mount(path: &Path, bytes: u64) -> Result<Self, String> {
        let size = format!("size={bytes}");
        run("mount", &["-t", "tmpfs", "-o", &size, "simpledynamo-verify", &path.to_string_lossy()])?;
        Ok(Self { path: path.to_owned() })
    }

    /// Makes it larger.
    pub(crate) fn resize(&self, bytes: u64) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,size={bytes}"), &self.path.to_string_lossy()])
    }
}

/// Whether such disks can be had: only root may mount them, and not everywhere. `folder` is made for the trial and removed.
///
/// # Errors
/// Why not.
pub(crate) fn try_out(folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    fs::create_dir(folder).map_err(failed)?;
    let mounted = SmallDisk::mount(folder, PROBE_BYTES);
    let is_possible = mounted.map(drop);
    fs::remove_dir(folder).map_err(failed)?;
    is_possible
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whatever may still have a file open there.
        if let Err(error) = run("umount", &["-l", &self.path.to_string_lossy()]) {
            eprintln!("simpledynamo: {error}");
        }
    }
}

/// Copies what is in one folder into another.
pub(crate) fn copy_content(from: &Path, to: &Path) -> Result<(), String> {
    run("cp", &["-a", &format!("{}/.", from.display()), &to.to_string_lossy()])
}

/// Bytes of all files in a folder.
pub(crate) fn size_of_folder(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        size += if metadata.is_dir() { size_of_folder(&entry.path())? } else { metadata.len() };
    }
    Ok(size)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(arguments).output();
    let done = done.map_err(|error| format!("cannot run {program}: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&done.stderr).trim()
        )),
    }
}
