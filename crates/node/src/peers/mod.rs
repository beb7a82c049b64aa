//! The other nodes: links to them, and what waits to be sent.

pub(crate) mod links;
pub(crate) mod outlets;
