//! Waiting until the ring serves.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use simpledynamo_launch::NodeProcess;
use simpledynamo_node::config::{Cluster, Password};
use simpledynamo_wire::resp::Value;

use crate::client::{Client, Effect};
use crate::failure::Failure;

/// How often nodes are asked.
const POLL: Duration = Duration::from_millis(100);

/// How long a node may take to answer one question; it is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// After how long it is said aloud what is waited for, and again after as long.
const PATIENCE: Duration = Duration::from_secs(15);

/// The line of `INFO` in which a node says that every partition is served.
const SERVING: &[u8] = b"simpledynamo_serving:1";

/// Returns once every node says that every partition is served, or fails if a node ends before. What takes long
/// is said by `say`.
pub(crate) async fn wait(
    cluster: &Cluster,
    nodes: &mut [NodeProcess],
    say: impl Fn(&str),
) -> Result<(), Failure> {
    let bar = ProgressBar::new(cluster.nodes.len() as u64).with_style(
        ProgressStyle::with_template("  starting  {bar:20} {pos} of {len} nodes serve  {msg}")
            .expect("a constant template"),
    );
    let mut waiting: Vec<Candidate> = nodes.iter().map(|node| Candidate::of(cluster, node)).collect();
    let mut patience_ends = Instant::now() + PATIENCE;
    while !waiting.is_empty() {
        if let Some(failure) = nodes.iter_mut().find_map(ended_early) {
            bar.finish_and_clear();
            return Err(failure);
        }
        // Asking blocks, and signals must be heard meanwhile.
        waiting = tokio::task::spawn_blocking(move || still_waiting(waiting))
            .await
            .map_err(|error| Failure::Other(format!("cannot ask the nodes: {error}")))?;
        bar.set_position((cluster.nodes.len() - waiting.len()) as u64);
        if Instant::now() > patience_ends && !waiting.is_empty() {
            let names: Vec<&str> = waiting.iter().map(|candidate| candidate.name.as_str()).collect();
            bar.suspend(|| {
                say(&format!(
                    "Still waiting for {}; their logs are node.log in their folders.",
                    names.join(", ")
                ))
            });
            patience_ends += PATIENCE;
        }
        tokio::time::sleep(POLL).await;
    }
    bar.finish_and_clear();
    Ok(())
}

fn ended_early(node: &mut NodeProcess) -> Option<Failure> {
    let ended = node.newly_ended()?;
    let what = format!("node {} {} while it started", node.name(), ended.describe());
    if ended.by_signal() {
        return Some(Failure::Other(format!("{what}; run the demo again")));
    }
    let log = node.folder().log_file.display();
    Some(Failure::Other(format!("{what}; {log} ends with: {}", node.last_words())))
}

/// A node that has not said yet that it serves.
struct Candidate {
    name: String,
    address: String,
    password: Option<Password>,
}

impl Candidate {
    fn of(cluster: &Cluster, node: &NodeProcess) -> Self {
        let address = cluster.node(node.name()).map(|node| node.client.to_string()).unwrap_or_default();
        let password = node.folder().config.node.password.clone();
        Self { name: node.name().to_owned(), address, password }
    }

    fn serves(&self) -> bool {
        let Ok(mut client) = Client::connect(&self.address, self.password.as_ref(), ANSWER_TIMEOUT) else {
            return false;
        };
        client.set_reply_timeout(ANSWER_TIMEOUT);
        match client.call(&[b"INFO", b"server", b"simpledynamo"], Effect::Read) {
            Ok(Value::Bulk(text) | Value::Verbatim(text)) => is_serving(&text),
            Ok(_) | Err(_) => false,
        }
    }
}

fn still_waiting(candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.into_iter().filter(|candidate| !candidate.serves()).collect()
}

fn is_serving(info: &[u8]) -> bool {
    info.split(|&byte| byte == b'\n').any(|line| line.trim_ascii_end() == SERVING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_line_counts() {
        assert!(is_serving(b"# Server\r\nsimpledynamo_serving:1\r\nuptime:1\r\n"));
        assert!(is_serving(b"simpledynamo_serving:1"));
        assert!(!is_serving(b"# Server\r\nsimpledynamo_serving:0\r\n"));
        assert!(!is_serving(b"simpledynamo_serving:10\r\n"));
        assert!(!is_serving(b""));
    }
}
