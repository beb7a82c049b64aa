//! The tester: checks what SimpleDynamo promises against real processes.
//!
//! A *run* goes through [`PHASES`] on a ring that is started for it, or puts a load on servers that run already. Clients
//! speak Redis's protocol over TCP, through all nodes, and write down what they asked, when, and what they were told.
//! Faults are injected meanwhile, all drawn from a seed. Afterwards the checker of `simpledynamo-verify` says of every
//! key whether a single copy could have answered so, the replicas are compared, and a report tells what clients had of
//! the ring.
//!
//! | module | subject |
//! |---|---|
//! | `run`, `attach` | a run from its beginning to its report |
//! | `phase`, `fault` | what is done to a ring, and when: drawn beforehand |
//! | `injector`, `scripts`, `filler` | doing it |
//! | `ring`, `namespaces`, `small_disk` | processes, links and disks that fail |
//! | `workload`, `client`, `asker`, `listing`, `connection` | the clients |
//! | [`history`], `record`, `call`, `log` | what they write down |
//! | `judge`, `settle` | the verdict |
//! | `availability`, `watch` | what clients had of the ring, and what became of its chains |
//! | `report`, `result` | the report |

mod asker;
mod attach;
mod availability;
mod call;
mod client;
mod clock;
mod connection;
mod error;
mod fault;
mod filler;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
mod injector;
mod judge;
mod listing;
mod log;
mod namespaces;
mod phase;
mod record;
mod report;
mod result;
mod ring;
mod run;
mod scripts;
mod servers;
mod settle;
mod small_disk;
mod view;
mod watch;
mod workload;

pub use attach::{Attached, attach};
pub use availability::{Availability, Latency, Piece, Share};
pub use call::{Call, Kind, Told};
pub use error::TesterError;
pub use fault::FaultKind;
pub use injector::FaultSpan;
pub use judge::{Findings, GaveUp, Interval, Violation, ViolationKind, judge};
pub use phase::{PHASES, Phase};
pub use record::{Outcome, Record, Via};
pub use result::{Finally, PhaseReport, RunReport};
pub use run::{News, Options, run};
pub use watch::Change;
