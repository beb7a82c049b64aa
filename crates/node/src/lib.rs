//! One node: the event loop around the chain, the clients' port, the links to other nodes.
//!
//! | module | subject |
//! |---|---|
//! | [`config`] | what a node is told when it starts |
//! | `serve` | a node's life |
//! | `core` | the chain's core, driven: requests and messages in, effects carried out |
//! | `control` | the control group, leases, and who this node is in the ring, on a thread of their own |
//! | `peers` | connections between nodes |
//! | [`clients`] | connections of clients, and what their commands come to |
//! | [`ring_reply`] | what a node tells of the ring |
//! | [`commands`] | from arguments to plans, from outcomes to replies; pure |
//!
//! All of it runs on one thread, but for those in `core::disk` that touch the disk, and the control thread.

pub mod clients;
mod clock;
pub mod commands;
pub mod config;
mod control;
mod core;
mod fatal;
mod peers;
pub mod ring_reply;
#[cfg(feature = "sabotage")]
mod sabotage;
mod serve;
mod socket;

pub use serve::{ServeError, serve};
