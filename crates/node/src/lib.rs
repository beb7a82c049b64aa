//! One node: the event loop around the chain, the clients' port, the links to other nodes.
//!
//! | module | subject |
//! |---|---|
//! | [`config`] | what a node is told when it starts |
//! | `serve` | a node's life |
//! | `engine`, `disk`, `view` | the chain's core, driven: requests and messages in, effects carried out |
//! | `links` | connections between nodes |
//! | `server`, `connection`, `ticket`, [`client_state`] | connections of clients |
//! | [`commands`] | from arguments to plans, from outcomes to replies; pure |
//! | `execute`, `walk`, `expiry` | plans that concern many keys |
//! | `facts`, `counters` | what a node tells about itself |
//!
//! All of it runs on one thread, but for the two in `disk` that write.

pub mod client_state;
mod clock;
pub mod commands;
pub mod config;
mod connection;
mod counters;
mod disk;
mod engine;
mod execute;
mod expiry;
mod facts;
mod fatal;
mod links;
mod serve;
mod server;
mod socket;
mod ticket;
mod view;
mod walk;

pub use serve::{ServeError, serve};
