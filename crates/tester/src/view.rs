//! What a node says of the ring.

use std::time::Duration;

use simpledynamo_node::ring_reply::RingReply;
use simpledynamo_wire::resp::Value;

use crate::call::encoded;
use crate::connection::Connection;
use crate::servers::Shared;

/// How long a node may take to answer; it is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// What the node knows of the ring; none if it does not answer, or is no node.
pub(crate) async fn ask(shared: &Shared, node: usize) -> Option<RingReply> {
    match command(shared, node, &[b"SD.RING"]).await {
        Ok(Value::Bulk(text) | Value::Verbatim(text)) => serde_json::from_slice(&text).ok(),
        _ => None,
    }
}

/// Gives one node a command on a connection of its own.
pub(crate) async fn command(shared: &Shared, node: usize, arguments: &[&[u8]]) -> Result<Value, String> {
    let address = &shared.servers[node].address;
    let asked = async {
        let mut connection = Connection::open(address, shared.password.as_ref())
            .await
            .map_err(|error| format!("cannot reach {address}: {error}"))?;
        connection.ask(&encoded(arguments), ANSWER_TIMEOUT).await
    };
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}
