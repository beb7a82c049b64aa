//! What is measured: cells, each a load.

use std::fmt;

use simpledynamo_load::{Distribution, Mix, Workload, Ycsb};

/// The values of the cells with aims, in bytes.
pub(crate) const VALUE_SIZE: u32 = 100;
const LARGE_VALUE_SIZE: u32 = 4096;

/// Operations in one round where there are several.
const DEEP: u32 = 16;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operations {
    Writes,
    Reads,
    HalfAndHalf,
    Ycsb(Ycsb),
}

/// A load that all targets are measured under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) operations: Operations,
    /// Which keys, unless the operations say so.
    zipfian: bool,
    pub(crate) connections: u32,
    pub(crate) pipeline: u32,
    /// In bytes.
    pub(crate) value_size: u32,
}

impl Cell {
    pub(crate) const fn new(operations: Operations, connections: u32, pipeline: u32) -> Self {
        Self { operations, zipfian: false, connections, pipeline, value_size: VALUE_SIZE }
    }

    /// The workload over that many keys.
    pub(crate) fn workload(&self, keys: u64) -> Workload {
        let mix = match self.operations {
            Operations::Writes => Mix::of_reads(0),
            Operations::Reads => Mix::of_reads(100),
            Operations::HalfAndHalf => Mix::of_reads(50),
            Operations::Ycsb(ycsb) => ycsb.mix(),
        };
        let distribution = match self.operations {
            Operations::Ycsb(ycsb) => ycsb.distribution(),
            _ if self.zipfian => Distribution::Zipfian,
            _ => Distribution::Uniform,
        };
        Workload { keys, mix, distribution }
    }
}

/// The cell's name: what is unusual in it.
impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operations {
            Operations::Writes => out.write_str("writes")?,
            Operations::Reads => out.write_str("reads")?,
            Operations::HalfAndHalf => out.write_str("half and half")?,
            Operations::Ycsb(ycsb) => write!(out, "YCSB {}", ycsb.letter())?,
        }
        let plural = if self.connections == 1 { "" } else { "s" };
        write!(out, ", {} connection{plural}", self.connections)?;
        if self.pipeline > 1 {
            write!(out, ", {} deep", self.pipeline)?;
        }
        if self.zipfian {
            out.write_str(", zipfian")?;
        }
        if self.value_size != VALUE_SIZE {
            write!(out, ", {} KiB", self.value_size / 1024)?;
        }
        Ok(())
    }
}

pub(crate) const WRITES_1: Cell = Cell::new(Operations::Writes, 1, 1);
pub(crate) const READS_1: Cell = Cell::new(Operations::Reads, 1, 1);
pub(crate) const WRITES_64: Cell = Cell::new(Operations::Writes, 64, 1);
pub(crate) const READS_64: Cell = Cell::new(Operations::Reads, 64, 1);
pub(crate) const WRITES_256: Cell = Cell::new(Operations::Writes, 256, 1);
pub(crate) const READS_256: Cell = Cell::new(Operations::Reads, 256, 1);
pub(crate) const WRITES_64_DEEP: Cell = Cell::new(Operations::Writes, 64, DEEP);
pub(crate) const READS_64_DEEP: Cell = Cell::new(Operations::Reads, 64, DEEP);

/// The cells that aims speak of, and pipelined writes.
pub(crate) fn with_aims() -> Vec<Cell> {
    vec![WRITES_1, READS_1, WRITES_64, READS_64, WRITES_256, READS_256, WRITES_64_DEEP, READS_64_DEEP]
}

/// The whole matrix. Cells of one size of values stand together: keys are written anew for each size.
pub(crate) fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for value_size in [VALUE_SIZE, LARGE_VALUE_SIZE] {
        for operations in [Operations::Writes, Operations::Reads, Operations::HalfAndHalf] {
            for zipfian in [false, true] {
                for connections in [1, 64, 256] {
                    for pipeline in [1, DEEP] {
                        cells.push(Cell { operations, zipfian, connections, pipeline, value_size });
                    }
                }
            }
        }
        for ycsb in [Ycsb::A, Ycsb::B, Ycsb::C, Ycsb::D, Ycsb::F] {
            cells.push(Cell { value_size, ..Cell::new(Operations::Ycsb(ycsb), 64, 1) });
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_tell_all_cells_apart() {
        let names: BTreeSet<String> = all().iter().map(Cell::to_string).collect();
        assert_eq!(names.len(), 2 * (3 * 2 * 3 * 2 + 5));
        assert!(with_aims().iter().all(|cell| names.contains(&cell.to_string())));
        assert_eq!(WRITES_1.to_string(), "writes, 1 connection");
        assert_eq!(READS_64_DEEP.to_string(), "reads, 64 connections, 16 deep");
        assert!(names.contains("half and half, 256 connections, 16 deep, zipfian, 4 KiB"));
        assert!(names.contains("YCSB D, 64 connections"));
    }

    #[test]
    fn workloads_are_those_of_the_name() {
        let zipfian = Cell { zipfian: true, ..READS_64 };
        assert_eq!(zipfian.workload(7).distribution, Distribution::Zipfian);
        assert_eq!(WRITES_64.workload(7).mix, Mix::of_reads(0));
        let latest = Cell::new(Operations::Ycsb(Ycsb::D), 64, 1).workload(7);
        assert_eq!((latest.distribution, latest.mix.inserts, latest.keys), (Distribution::Latest, 5, 7));
    }
}
