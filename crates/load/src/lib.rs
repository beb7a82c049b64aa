//! A closed-loop load generator.
//!
//! Every client sends a round of operations, waits for all answers, and sends again, so that the load follows the
//! server's pace. Everything runs on one thread, since it often shares a small machine with what it measures: the
//! requests of a round are one write and as few reads as it takes, and nothing is allocated for a single operation.
//!
//! A closed loop does not see what requests would have suffered that it could not send while it waited
//! (coordinated omission): the latencies tell what these clients met, not what an open crowd would.
//!
//! | module | subject |
//! |---|---|
//! | `choice` | which key comes next |
//! | `inserted` | keys that come to be during a measurement |
//! | `workload` | which operations come next: [`Source`]s |
//! | `payload` | the text of keys and values |
//! | `client` | a client's rounds over any [`Protocol`] |
//! | `resp`, `skim` | Redis's protocol |
//! | `tally` | what was counted |

mod choice;
mod client;
mod inserted;
mod payload;
mod resp;
mod skim;
mod tally;
mod workload;

pub use choice::Random;
pub use client::{Answer, CONNECT_TIMEOUT, Clients, Connection, Protocol, Round};
pub use payload::{KEY_LENGTH, Payload, key};
pub use resp::Resp;
pub use tally::Tally;
pub use workload::{Distribution, Loading, Mix, Mixed, MixedClient, Operation, Source, Workload, Ycsb};
