//! One node: the event loop around the chain, the clients' port, the links to other nodes.
//!
//! | module | subject |
//! |---|---|
//! | [`config`] | what a node is told when it starts |
//! | `serve` | a node's life |
//! | `core` | the chain's core, driven: requests and messages in, effects carried out |
//! | `peers` | connections between nodes |
//! | [`clients`] | connections of clients, and what their commands come to |
//! | [`commands`] | from arguments to plans, from outcomes to replies; pure |
//!
//! All of it runs on one thread, but for the two in `core::disk` that write.

pub mod clients;
mod clock;
pub mod commands;
pub mod config;
mod core;
mod fatal;
mod peers;
mod serve;
mod socket;

pub use serve::{ServeError, serve};
