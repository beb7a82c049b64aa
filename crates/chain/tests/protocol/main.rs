//! The protocol, played on several nodes that are stepped by hand.
//!
//! [`cluster`] is the stage: nodes, disks that lose what was not made durable, links that lose what was under
//! way, and the invariants that are asserted after every step. [`scripts`] runs the golden scripts of
//! `testscripts/`, [`random`] draws whole runs from seeds, [`paging`] checks pages against a plain list.

mod cluster;
mod history;
mod paging;
mod random;
mod recovery;
mod script;
mod scripts;
