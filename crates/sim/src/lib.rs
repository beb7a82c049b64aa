//! A whole ring in one deterministic simulation.
//!
//! The code of [`simpledynamo_ring`], [`simpledynamo_topology`] and [`simpledynamo_chain`] runs as it is; all around
//! it is simulated, from one seed: machines with drifting clocks, disks that lose what was not synced, links that
//! break, messages that come late or twice, a control group that changes its mind about who leads, clients, and
//! faults. The same seed gives the same run.
//!
//! A run forms a ring, has clients use it while faults happen, heals everything, and demands that all is well within a
//! bound. At every step the invariants are asserted by their numbers; at the end every key's history is
//! checked for linearizability. *Scenarios* count what was met, so that a sweep shows what it has tested. *Sabotage*
//! takes a safeguard away, from outside: a sweep that does not notice would be worth nothing.
//!
//! Left out: what openraft does inside (its promises are kept by a simple model), what the codecs and sockets do, and
//! what the real store does on a real disk.

mod clients;
mod clock;
mod control;
mod disk;
mod driver;
mod ending;
mod faults;
mod group;
mod host;
mod judge;
mod knobs;
mod network;
mod random;
mod register;
mod sabotage;
mod scenario;
mod storing;
mod trace;
mod world;

pub use ending::{Options, Report, run};
pub use knobs::Plot;
pub use sabotage::Sabotage;
pub use scenario::{Scenario, Scenarios};
