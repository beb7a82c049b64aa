//! What nodes say of the ring.

use std::time::{Duration, Instant};

use simpledynamo_wire::resp::Value;

use super::connection::{Connection, Setup};

/// How often nodes are asked.
const POLL: Duration = Duration::from_millis(20);

/// How long a node may take to answer; it is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

const REQUEST: &[u8] = b"*2\r\n$4\r\nINFO\r\n$4\r\nring\r\n";

/// A node's view, from the section `Ring` of its `INFO`. A version without failover has no such section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Whether every member of every preference list serves.
    pub(super) whole: Option<bool>,
    /// The name of the node that leads the control group.
    pub(super) controller: Option<String>,
}

impl View {
    fn read(info: &[u8]) -> Self {
        let field = |name: &str| {
            let mut lines = info.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
            let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Self {
            whole: field("whole").map(|value| value == "yes"),
            controller: field("controller").filter(|name| !name.is_empty()),
        }
    }
}

/// Asks a node; none if it does not answer.
pub(super) async fn ask(node: &str, setup: &Setup) -> Option<View> {
    let asked = async {
        let mut connection = Connection::open(node, setup).await.ok()?;
        match connection.ask(REQUEST).await.ok()? {
            Value::Bulk(text) | Value::Verbatim(text) => Some(View::read(&text)),
            // A server that does not know the section or the command has answered too.
            _ => Some(View::default()),
        }
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.ok().flatten()
}

/// Waits until every node says that the ring is whole, and returns when that was; none if it takes longer than
/// `patience`. If nodes know nothing of that, it is enough that the one that returns answers.
pub(super) async fn wait_until_whole(
    nodes: &[String],
    returning: usize,
    setup: &Setup,
    patience: Duration,
) -> Option<Instant> {
    let give_up = Instant::now() + patience;
    loop {
        // The node that returns says it last, as a rule.
        match ask(&nodes[returning], setup).await {
            Some(View { whole: None, .. }) => return Some(Instant::now()),
            Some(View { whole: Some(true), .. }) if all_whole(nodes, setup).await => {
                return Some(Instant::now());
            }
            _ => {}
        }
        if Instant::now() > give_up {
            return None;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn all_whole(nodes: &[String], setup: &Setup) -> bool {
    for node in nodes {
        if ask(node, setup).await.and_then(|view| view.whole) != Some(true) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_is_read() {
        let view = View::read(b"# Ring\r\nwhole:yes\r\ncontroller:5558\r\n");
        assert_eq!(view, View { whole: Some(true), controller: Some("5558".to_owned()) });
        let view = View::read(b"# Ring\r\nis_whole:yes\r\nwhole:no\r\ncontroller:\r\n");
        assert_eq!(view, View { whole: Some(false), controller: None });
        assert_eq!(View::read(b""), View::default());
    }
}
