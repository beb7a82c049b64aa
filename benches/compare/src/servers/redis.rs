//! A single redis-server that appends every write to a file.

use std::path::Path;

use crate::failure::Failure;

use super::process::Process;
use super::{Servers, Target, ports};

const QUESTION: &str = "PING\r\n";
const ANSWER: &str = "+PONG\r\n";

/// Starts one that syncs as `target` says, with no snapshots besides, and returns once it answers.
pub(super) async fn start(
    program: &Path,
    folder: &Path,
    target: Target,
    version: String,
) -> Result<Servers, Failure> {
    let port = ports::free(1)?[0];
    let folder = folder.join(target.key());
    let appendfsync = if target == Target::RedisAlways { "always" } else { "everysec" };
    let options = [
        ("--bind", "127.0.0.1".to_owned()),
        ("--port", port.to_string()),
        ("--dir", folder.display().to_string()),
        ("--save", String::new()),
        ("--appendonly", "yes".to_owned()),
        ("--appendfsync", appendfsync.to_owned()),
        ("--daemonize", "no".to_owned()),
    ];
    let processes = vec![Process::start(target.name(), program, &options, &folder)?];
    let addresses = vec![format!("127.0.0.1:{port}")];
    Servers { target, addresses, version, processes, measured: 0 }.ready(QUESTION, ANSWER).await
}
