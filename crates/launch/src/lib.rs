//! A ring whose nodes are processes of this machine: their folders, their ports, and the processes themselves.
//!
//! The demo, the measurement of failovers, the comparison and the tester all run rings like this; what they do with
//! them is their own business. Nodes run the program that this process runs, or another that is named, as `serve`.

mod error;
mod folder;
mod ports;
mod process;
mod temporary;

pub use error::LaunchError;
pub use folder::NodeFolder;
pub use ports::{check_ports, free_cluster, free_cluster_of};
pub use process::{End, Ended, NodeProcess};
pub use temporary::TemporaryFolder;
