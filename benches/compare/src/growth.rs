//! What an operation costs as connections, nodes and stored keys grow: of the ring alone.
//!
//! A system that grows well has the same processor time for an operation at every point. What the nodes do when nobody
//! asks (heartbeats, leases) counts too, and weighs most where there are few operations or many nodes.
//!
//! | module | subject |
//! |---|---|
//! | `point` | what is measured: how much of what |
//! | `course` | rings are started, filled and measured |
//! | `table`, `figure`, `scale` | what people see |

mod course;
mod figure;
mod point;
mod scale;
mod table;

use serde_json::{Value, json};

use crate::cell::Operations;
use crate::results::{CellResult, Figure};
use crate::servers::Target;

pub(crate) use course::grow;
pub(crate) use figure::draw;
pub(crate) use table::table;

use point::Point;

/// What was found at one point.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    point: Point,
    /// Resident memory of the nodes once the keys were stored, the smallest and the largest, in MiB.
    resident: (f64, f64),
    reads: CellResult,
    writes: CellResult,
}

impl Measured {
    /// The median of a figure of reads or of writes.
    fn median(&self, operations: Operations, figure: Figure) -> Option<f64> {
        self.result(operations).median(Target::Ring, figure)
    }

    /// Reads or writes: nothing else is measured.
    fn result(&self, operations: Operations) -> &CellResult {
        match operations {
            Operations::Reads => &self.reads,
            Operations::Writes => &self.writes,
            other => unreachable!("{other:?} are not measured here"),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "grows": self.point.grows.name(), "connections": self.point.connections, "nodes": self.point.nodes,
            "keys": self.point.keys,
            "resident": {"least_mib": self.resident.0, "most_mib": self.resident.1},
            "reads": self.reads.to_json(), "writes": self.writes.to_json(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::point::{Grows, points};
    use super::*;
    use crate::results::tests::{result, sample};

    /// Each point with reads of 1,000 a second for each connection, and writes of a tenth; 64 keys in a node's MiB.
    pub(super) fn measured(grows: Grows) -> Vec<Measured> {
        let of = |point: Point| {
            let reads = 1_000.0 * f64::from(point.connections);
            let found = |operations, per_second| {
                result(point.cell(operations), &[(Target::Ring, &[sample(per_second, 0.5, 1.0)])])
            };
            let resident = (point.keys as f64 / 64.0, point.keys as f64 / 32.0);
            let (reads, writes) = (found(Operations::Reads, reads), found(Operations::Writes, reads / 10.0));
            Measured { point, resident, reads, writes }
        };
        points(64_000, false).into_iter().filter(|point| point.grows == grows).map(of).collect()
    }

    #[test]
    fn figures_are_of_the_operations_asked_for() {
        use crate::results::PER_SECOND;
        let first = &measured(Grows::Connections)[0];
        assert_eq!(first.median(Operations::Reads, PER_SECOND), Some(1_000.0));
        assert_eq!(first.median(Operations::Writes, PER_SECOND), Some(100.0));
        let json = first.to_json();
        assert_eq!(json["writes"]["targets"]["ring"]["per_second"], 100.0);
        assert_eq!(
            (&json["grows"], &json["resident"]["least_mib"]),
            (&"connections".into(), &1_000.0.into())
        );
    }
}
