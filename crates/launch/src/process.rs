//! One node as a process.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::LaunchError;
use crate::folder::NodeFolder;

/// How much of the end of a log is looked at for the last message.
const LOG_TAIL: usize = 4096;

/// How a node ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// What the system says of it.
    pub status: ExitStatus,
}

impl Ended {
    /// Whether somebody else ended it: its log then tells nothing of why.
    #[must_use]
    pub fn by_signal(self) -> bool {
        self.status.signal().is_some()
    }

    /// The ending in words.
    #[must_use]
    pub fn describe(self) -> String {
        match (self.status.signal(), self.status.code()) {
            (Some(signal), _) => format!("was ended by signal {signal}"),
            (None, Some(0)) => "has stopped".to_owned(),
            (None, code) => format!("has ended with exit code {}", code.unwrap_or_default()),
        }
    }
}

/// Until when a node runs, if nobody stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is killed when the process that started it ends.
    WithParent,
    /// It outlives the process that started it.
    OnItsOwn,
}

/// A node that this process has started.
#[derive(Debug)]
pub struct NodeProcess {
    folder: NodeFolder,
    child: Child,
    ended: bool,
}

impl NodeProcess {
    /// Starts a node in a process group of its own, so that a terminal's Ctrl-C reaches its parent alone.
    ///
    /// # Errors
    /// When the process or its log cannot be had.
    pub fn start(folder: &NodeFolder, end: End) -> Result<Self, LaunchError> {
        Self::start_within(folder, end, &[])
    }

    /// As [`NodeProcess::start`], by a command that replaces itself by the program whose command line follows its
    /// arguments: `nsenter`, say.
    ///
    /// # Errors
    /// When the process or its log cannot be had.
    pub fn start_within(folder: &NodeFolder, end: End, command: &[String]) -> Result<Self, LaunchError> {
        let program = std::env::current_exe()
            .map_err(|source| LaunchError::Start { node: folder.config.node.name.clone(), source })?;
        let command = match command {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        Self::spawn(folder, end, command)
    }

    /// As [`NodeProcess::start`], of another program than the one that this process runs.
    ///
    /// # Errors
    /// When the process or its log cannot be had.
    pub fn start_program(program: &Path, folder: &NodeFolder, end: End) -> Result<Self, LaunchError> {
        Self::spawn(folder, end, Command::new(program))
    }

    fn spawn(folder: &NodeFolder, end: End, mut command: Command) -> Result<Self, LaunchError> {
        let failed = |source| LaunchError::Start { node: folder.config.node.name.clone(), source };
        let log = File::options().append(true).open(&folder.log_file).map_err(failed)?;
        command.arg("serve").arg("--config").arg(&folder.config_file);
        if end == End::WithParent {
            command.arg("--die-with-parent").arg(std::process::id().to_string());
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self { folder: folder.clone(), child, ended: false })
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.folder.config.node.name
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it lives.
    #[must_use]
    pub fn folder(&self) -> &NodeFolder {
        &self.folder
    }

    /// How the node ended, told once.
    pub fn newly_ended(&mut self) -> Option<Ended> {
        if self.ended {
            return None;
        }
        let status = self.child.try_wait().ok().flatten()?;
        self.ended = true;
        Some(Ended { status })
    }

    /// Whether its process has not ended; one that is stopped runs.
    pub fn is_running(&mut self) -> bool {
        !self.ended && self.newly_ended().is_none()
    }

    /// Asks the node to finish what it does and end.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal, unless the process is known to have ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| !self.ended) {
            // It may have ended in this very moment; its number is not given away before it was waited for.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends the node for certain, and waits until it has.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = true;
    }

    /// The last line of the node's log: why it ended, if it could tell.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = fs::read(&self.folder.log_file).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned();
        tail.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim().to_owned()
    }

    /// The number of a process that serves this node though the demo's own has ended: its pid file is locked.
    #[must_use]
    pub fn started_by_hand(&self) -> Option<u32> {
        self.folder.running_pid().filter(|_| self.ended)
    }
}
