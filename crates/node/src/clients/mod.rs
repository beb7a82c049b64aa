//! Clients: their port, their connections, and what their commands come to.
//!
//! | module | subject |
//! |---|---|
//! | `server` | the port, and what all connections share |
//! | `connection`, `client`, `ticket` | one connection: requests in, replies out, in order |
//! | [`state`] | what a connection is told about itself: protocol, authentication, name |
//! | `execute`, `walk`, `expiry` | what concerns many keys |
//! | `facts`, `counters` | what the node tells about itself |
//! | `ring` | what it tells about the ring |
//! | `fault` | faults that tests bring about |

pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod counters;
pub(crate) mod execute;
pub(crate) mod expiry;
pub(crate) mod facts;
pub(crate) mod fault;
pub(crate) mod ring;
pub(crate) mod server;
pub mod state;
pub(crate) mod ticket;
pub(crate) mod walk;
