//! `simpledynamo serve`: one node in this process.

use std::fs::{self, File, TryLockError};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::{Pid, Signal};
use simpledynamo_node::config::{Config, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::arguments::ServeOptions;
use crate::failure::Failure;

/// Runs the node until it is told to stop.
pub(crate) fn run(options: &ServeOptions) -> Result<ExitCode, Failure> {
    if let Some(parent) = options.die_with_parent {
        die_with_parent(parent)?;
    }
    let config = Config::load(&options.config).map_err(Failure::other)?;
    start_log(config.node.log_level);
    let _pid_file = config.node.pid_file.as_deref().map(PidFile::hold).transpose()?;
    simpledynamo_node::serve(&config)
        .map_err(|error| Failure::Other(format!("node {}: {error}", config.node.name)))?;
    Ok(ExitCode::SUCCESS)
}

/// Has the kernel kill this process as soon as its parent ends, however that ends.
fn die_with_parent(parent: u32) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Failure::Other(format!("cannot tie this process to its parent: {error}")))?;
    // The parent may have ended before the call: then this process has another parent by now.
    let now = rustix::process::getppid().map(Pid::as_raw_nonzero);
    if now.is_none_or(|pid| u32::try_from(pid.get()) != Ok(parent)) {
        return Err(Failure::Other(format!("process {parent}, which started this node, has ended")));
    }
    Ok(())
}

/// Sends events to standard error, in colour only where a person reads them at once.
fn start_log(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Libraries speak of their own matters: from them only what an operator should look at. openraft calls every message
    // that does not arrive an error; what comes of it we say ourselves.
    let openraft = if level >= LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("simpledynamo", level)
        .with_target("openraft", openraft);
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines =
        tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr).with_ansi(colours);
    tracing_subscriber::registry().with(targets).with(lines).init();
}

/// A file that holds this process's number, and is locked as long as the process lives.
#[derive(Debug)]
struct PidFile {
    path: PathBuf,
    _locked: File,
}

impl PidFile {
    /// Takes the file, unless a running process holds it.
    fn hold(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::Other(format!("{}: cannot write the pid file: {error}", path.display()))
        };
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    file.read_to_string(&mut pid).map_err(failed)?;
                    return Err(Failure::Other(format!(
                        "{}: this node runs already, as process {}",
                        path.display(),
                        pid.trim()
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // The process that held it may have removed it between our open and our lock.
            if file.metadata().map_err(failed)?.nlink() == 0 {
                continue;
            }
            file.set_len(0).map_err(failed)?;
            writeln!(file, "{}", std::process::id()).map_err(failed)?;
            return Ok(Self { path: path.to_owned(), _locked: file });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Left behind it would do no harm: the lock, not the file, says that the process lives.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_file_is_held_once_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.pid");
        fs::write(&path, "a much longer line than a number").expect("left by a process that was killed");
        let held = PidFile::hold(&path).expect("nobody holds it");
        assert_eq!(fs::read_to_string(&path).expect("readable"), format!("{}\n", std::process::id()));
        let refused = PidFile::hold(&path).expect_err("held").to_string();
        assert!(refused.contains(&format!("as process {}", std::process::id())), "{refused}");
        drop(held);
        assert!(!path.exists());
        PidFile::hold(&path).expect("free again");
    }
}
