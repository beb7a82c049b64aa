//! A server as a process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use simpledynamo_launch::NodeProcess;

use crate::failure::Failure;

/// How much of the end of a log is shown.
const LOG_TAIL: usize = 400;

/// A process that ends when this is dropped: at once, since what it has stored is thrown away.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    log: PathBuf,
    child: Kind,
}

#[derive(Debug)]
enum Kind {
    Node(Box<NodeProcess>),
    Other(Child),
}

impl Process {
    /// Starts a program with options, whose data is in `folder`, with its log in there. It is in a process group of its
    /// own, so that a terminal's Ctrl-C reaches this process alone, and it is killed with this process where `setpriv`
    /// (util-linux) can see to that.
    pub(super) fn start(
        name: &str,
        program: &Path,
        options: &[(&str, String)],
        folder: &Path,
    ) -> Result<Self, Failure> {
        let failed = |source| Failure::Start { name: name.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let log = folder.join("server.log");
        let output = File::create(&log).map_err(failed)?;
        let mut command = if version(Path::new("setpriv"), &["--version"]).is_some() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let child = command
            .args(options.iter().flat_map(|(option, value)| [*option, value]))
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Self { name: name.to_owned(), log, child: Kind::Other(child) })
    }

    /// A node that was started already.
    pub(super) fn node(node: NodeProcess) -> Self {
        let log = node.folder().log_file.clone();
        Self { name: format!("node {}", node.name()), log, child: Kind::Node(Box::new(node)) }
    }

    pub(super) fn pid(&self) -> u32 {
        match &self.child {
            Kind::Node(node) => node.pid(),
            Kind::Other(child) => child.id(),
        }
    }

    /// Whether it still runs.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        let is_running = match &mut self.child {
            Kind::Node(node) => node.is_running(),
            Kind::Other(child) => matches!(child.try_wait(), Ok(None)),
        };
        if is_running {
            return Ok(());
        }
        Err(Failure::Ended { name: self.name.clone(), log: self.log_end() })
    }

    /// What to say if it does not serve after that time.
    pub(super) fn not_ready(&self, waited: Duration) -> Failure {
        Failure::NotReady { name: self.name.clone(), seconds: waited.as_secs(), log: self.log_end() }
    }

    fn log_end(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        match &mut self.child {
            Kind::Node(node) => node.kill(),
            Kind::Other(child) => {
                // It may have ended by itself; then there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// The first line that a program prints when it is asked for its version; none if it cannot be run.
pub(super) fn version(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
    output.status.success().then_some(text)
}
