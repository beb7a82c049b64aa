//! One node of the demo as a process.

use std::fs::{self, File, TryLockError};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;

use super::folder::NodeFolder;

/// How much of the end of a log is looked at for the last message.
const LOG_TAIL: usize = 4096;

/// How a node ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
}

impl Ended {
    /// Whether somebody else ended it: its log then tells nothing of why.
    pub(super) fn by_signal(self) -> bool {
        self.status.signal().is_some()
    }

    /// The ending in words.
    pub(super) fn describe(self) -> String {
        match (self.status.signal(), self.status.code()) {
            (Some(signal), _) => format!("was ended by signal {signal}"),
            (None, Some(0)) => "has stopped".to_owned(),
            (None, code) => format!("has ended with exit code {}", code.unwrap_or_default()),
        }
    }
}

/// A node that this demo has started.
#[derive(Debug)]
pub(super) struct NodeProcess {
    folder: NodeFolder,
    child: Child,
    ended: bool,
}

impl NodeProcess {
    /// Starts a node in a process group of its own, so that a terminal's Ctrl-C reaches the demo alone.
    pub(super) fn start(folder: &NodeFolder) -> Result<Self, Failure> {
        let name = &folder.config.node.name;
        let failed = |error: std::io::Error| Failure::Other(format!("cannot start node {name}: {error}"));
        let log = File::options().append(true).open(&folder.log_file).map_err(failed)?;
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .arg("serve")
            .arg("--config")
            .arg(&folder.config_file)
            .arg("--die-with-parent")
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self { folder: folder.clone(), child, ended: false })
    }

    pub(super) fn name(&self) -> &str {
        &self.folder.config.node.name
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn folder(&self) -> &NodeFolder {
        &self.folder
    }

    /// How the node ended, told once.
    pub(super) fn newly_ended(&mut self) -> Option<Ended> {
        if self.ended {
            return None;
        }
        let status = self.child.try_wait().ok().flatten()?;
        self.ended = true;
        Some(Ended { status })
    }

    pub(super) fn is_running(&mut self) -> bool {
        !self.ended && self.newly_ended().is_none()
    }

    /// Asks the node to finish what it does and end.
    pub(super) fn ask_to_stop(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| !self.ended) {
            // It may have ended in this very moment.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Ends the node for certain, and waits until it has.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = true;
    }

    /// The last line of the node's log: why it ended, if it could tell.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read(&self.folder.log_file).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned();
        tail.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim().to_owned()
    }

    /// The number of a process that serves this node though the demo's own has ended: its pid file is locked.
    pub(super) fn started_by_hand(&self) -> Option<String> {
        let path = self.folder.config.node.pid_file.as_ref().filter(|_| self.ended)?;
        match File::open(path).ok()?.try_lock() {
            Err(TryLockError::WouldBlock) => Some(fs::read_to_string(path).ok()?.trim().to_owned()),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}
