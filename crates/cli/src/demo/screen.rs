//! What the demo says.

use std::io::{self, Write as _};
use std::path::Path;

use simpledynamo_node::config::Cluster;

use crate::arguments::DemoOptions;
use crate::ring::percent;
use crate::terminal::{Paint, table};

use super::watch::News;
use simpledynamo_launch::{Ended, NodeProcess};

/// Writes a line to standard output. A terminal that is gone must not end the demo before its nodes.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// How this program was called, so that the lines shown can be copied.
pub(super) fn program() -> String {
    shell_word(
        &std::env::args_os().next().map_or("simpledynamo".into(), |name| name.to_string_lossy().into_owned()),
    )
}

/// A word as a shell reads it back.
pub(super) fn shell_word(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-./:@%+=,".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The line that starts a node alone.
fn serve_line(config_file: &Path) -> String {
    format!("{} serve --config {}", program(), shell_word(&config_file.to_string_lossy()))
}

/// Shows what runs where, and what to try.
pub(super) fn welcome(options: &DemoOptions, cluster: &Cluster, nodes: &[NodeProcess]) {
    let paint = Paint::stdout();
    let ring = cluster.ring();
    let mut rows = table(&["Node", "Position", "Owns", "Clients", "Peers", "Process"]);
    for (name, partition) in ring.names().iter().zip(ring.partitions()) {
        let (Some(place), Some(process)) =
            (cluster.node(name), nodes.iter().find(|node| node.name() == name))
        else {
            continue;
        };
        rows.add_row(vec![
            name.clone(),
            percent(partition.token.fraction()),
            percent(partition.share()),
            place.client.to_string(),
            place.peer.to_string(),
            process.pid().to_string(),
        ]);
    }
    say(&format!(
        "\nThe ring serves: {} nodes, each pair on {} of them.\n\n{}\n",
        nodes.len(),
        cluster.replicas,
        rows.trim_fmt()
    ));
    say(&paint.strong("Try it from another terminal; any node takes any request:"));
    for (line, meaning) in suggestions(cluster, nodes) {
        // The meaning in line if there is room for it.
        let shown = if line.chars().count() <= 58 {
            format!("  {line:58}  ")
        } else {
            format!("  {line}\n  {:58}  ", "")
        };
        say(&format!("{shown}{}", paint.faint(meaning)));
    }
    say(&format!("\nEach node's configuration, data and log lie in {}/<node>/.", options.dir.display()));
    say("Ctrl-C stops all nodes; the data is there the next time.\n");
}

fn suggestions(cluster: &Cluster, nodes: &[NodeProcess]) -> Vec<(String, &'static str)> {
    let (Some(first), Some(last), Some(victim)) = (cluster.nodes.first(), cluster.nodes.last(), nodes.get(2))
    else {
        return Vec::new();
    };
    let redis_cli = if first.client.ip().to_string() == "127.0.0.1" {
        format!("redis-cli -p {}", first.client.port())
    } else {
        format!("redis-cli -h {} -p {}", first.client.ip(), first.client.port())
    };
    let program = program();
    vec![
        (format!("{redis_cli} SET greeting hello"), "with any Redis client"),
        (format!("{program} query greeting --node {}", last.client), "from another node"),
        (format!("{program} query '*' --node {}", first.client), "all pairs of the ring"),
        (format!("{program} locate greeting --node {}", first.client), "which nodes keep it"),
        (format!("{program} status --node {}", first.client), "is everything up and in place?"),
        (format!("kill -9 {}", victim.pid()), "one node dies: all keys go on"),
        (serve_line(&victim.folder().config_file), "it is back, and fetches what it missed"),
    ]
}

/// Tells of a node that ended by itself, and how it comes back.
pub(super) fn report_death(node: &NodeProcess, ended: &Ended) {
    say(&format!(
        "node {} (process {}) {}; to start it again: {}",
        node.name(),
        node.pid(),
        ended.describe(),
        serve_line(&node.folder().config_file)
    ));
}

/// Tells what has become of the ring since.
pub(super) fn report(news: &News, cluster: &Cluster, nodes: &[NodeProcess]) {
    match news {
        News::GoesOn { node, after } => say(&format!(
            "the ring goes on without node {node}, {:.1} s after it ended: its pairs are on {} nodes until it is back",
            after.as_secs_f64(),
            cluster.replicas - 1
        )),
        News::IsBack { node } => {
            let pid =
                nodes.iter().find(|process| process.name() == node).and_then(NodeProcess::started_by_hand);
            let process = pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
            say(&format!("node {node} is back{process}: its pairs are on {} nodes again", cluster.replicas));
        }
    }
}

/// Names the nodes that somebody started again by hand: they are not the demo's to stop.
pub(super) fn name_strangers(nodes: &[NodeProcess]) {
    for node in nodes {
        if let Some(pid) = node.started_by_hand() {
            say(&format!(
                "node {} was started by hand and still runs, as process {pid}; kill {pid} stops it",
                node.name()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(
            shell_word("./simpledynamo-data/5554/config.toml"),
            "./simpledynamo-data/5554/config.toml"
        );
        assert_eq!(shell_word("my data"), "'my data'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
