//! Connections between nodes.

pub(crate) mod handshake;
pub(crate) mod links;
pub(crate) mod outlets;
pub(crate) mod stream;
pub(crate) mod switch;
