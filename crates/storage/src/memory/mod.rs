//! A store in memory that loses what a disk would lose.
//!
//! A [`MemoryDisk`] outlives the stores that are opened on it, as a disk outlives a process. It knows what is
//! durable and what is merely written: [`MemoryDisk::kill`] ends the process and keeps both, and
//! [`MemoryDisk::lose_power`] keeps of the latter only as much as it is told to. So a simulation draws what
//! survives, and everything else here is deterministic.

mod disk;
mod platter;

pub use disk::{MemoryData, MemoryDisk, MemoryLog, MemoryLogReader, MemorySnapshot, Unsynced};
