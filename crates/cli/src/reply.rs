//! Asking a node what it knows of the ring.

use simpledynamo_node::ring_reply::RingReply;
use simpledynamo_wire::resp::Value;

use crate::client::{Client, Effect, unexpected};
use crate::failure::Failure;

/// Asks a node.
pub(crate) fn ask(client: &mut Client, address: &str) -> Result<RingReply, Failure> {
    match client.call(&[b"SD.RING"], Effect::Read)? {
        Value::Bulk(text) | Value::Verbatim(text) => serde_json::from_slice(&text).map_err(|error| {
            Failure::Other(format!("{address} answered SD.RING with something unreadable: {error}"))
        }),
        other => Err(unexpected("SD.RING", &other)),
    }
}
