//! What the ring is to reach, and what it has reached.

use serde_json::{Value, json};

use crate::cell::{Cell, READS_1, READS_64, READS_64_DEEP, READS_256, WRITES_1, WRITES_64, WRITES_256};
use crate::results::{CellResult, P50, P99, PER_SECOND};
use crate::servers::Target;

/// What is compared in an aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Our operations per second by theirs; at least the aim.
    Throughput(Target),
    /// Our median latency by theirs; at most the aim.
    Latency(Target),
    /// Our 99th percentile by our own median; at most the aim.
    Tail,
}

/// One aim.
#[derive(Clone, Copy, Debug)]
struct Aim {
    cell: Cell,
    measure: Measure,
    aim: f64,
    /// What would be more than aimed for.
    beyond: Option<f64>,
}

const fn aim(cell: Cell, measure: Measure, aim: f64, beyond: Option<f64>) -> Aim {
    Aim { cell, measure, aim, beyond }
}

const AIMS: [Aim; 14] = {
    use Measure::{Latency, Tail, Throughput};
    use Target::{Etcd, RedisAlways};
    [
        aim(WRITES_64, Throughput(Etcd), 8.0, Some(15.0)),
        aim(WRITES_256, Throughput(Etcd), 8.0, Some(15.0)),
        aim(READS_64, Throughput(Etcd), 15.0, Some(20.0)),
        aim(READS_256, Throughput(Etcd), 15.0, Some(20.0)),
        aim(WRITES_1, Latency(Etcd), 1.0 / 3.0, None),
        aim(READS_1, Latency(Etcd), 0.25, None),
        aim(WRITES_64, Throughput(RedisAlways), 1.0 / 3.0, Some(0.5)),
        aim(WRITES_256, Throughput(RedisAlways), 1.0 / 3.0, Some(0.5)),
        aim(READS_64, Throughput(RedisAlways), 0.6, Some(1.0)),
        aim(READS_256, Throughput(RedisAlways), 0.6, Some(1.0)),
        aim(READS_1, Throughput(RedisAlways), 0.6, Some(1.0)),
        aim(READS_64_DEEP, Throughput(RedisAlways), 0.7, Some(1.0)),
        aim(WRITES_64, Tail, 8.0, None),
        aim(READS_64, Tail, 8.0, None),
    ]
};

/// How far an aim was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    Beyond,
    Yes,
    No,
    /// Its cell or target was left out, or nothing was answered.
    Unmeasured,
}

impl Reached {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Beyond => "beyond",
            Self::Yes => "reached",
            Self::No => "not reached",
            Self::Unmeasured => "not measured",
        }
    }
}

/// An aim with what was found of it.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) what: String,
    pub(crate) against: &'static str,
    /// The aim, and what would be more, in words.
    pub(crate) aim: String,
    /// The ratio found.
    pub(crate) found: Option<f64>,
    pub(crate) reached: Reached,
}

impl Judged {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "what": self.what, "against": self.against, "aim": self.aim, "found": self.found,
            "reached": self.reached.word(),
        })
    }
}

/// All aims, judged by these results.
pub(crate) fn judge(results: &[CellResult]) -> Vec<Judged> {
    AIMS.iter().map(|aim| aim.judge(results)).collect()
}

impl Aim {
    fn judge(&self, results: &[CellResult]) -> Judged {
        let result = results.iter().find(|result| result.cell == self.cell);
        let found = result.and_then(|result| self.found(result));
        let (what, against, relation) = match self.measure {
            Measure::Throughput(target) => (self.cell.to_string(), target.name(), ">="),
            Measure::Latency(target) => (format!("{}: p50", self.cell), target.name(), "<="),
            Measure::Tail => (format!("{}: p99 by p50", self.cell), "itself", "<="),
        };
        let beyond = self.beyond.map(|beyond| format!("; beyond: {beyond:.2}")).unwrap_or_default();
        Judged {
            what,
            against,
            aim: format!("{relation} {:.2}{beyond}", self.aim),
            found,
            reached: found.map_or(Reached::Unmeasured, |found| self.reached(found)),
        }
    }

    fn found(&self, result: &CellResult) -> Option<f64> {
        match self.measure {
            Measure::Throughput(target) => result.ratio(target, PER_SECOND),
            Measure::Latency(target) => result.ratio(target, P50),
            Measure::Tail => {
                let (p99, p50) = (result.median(Target::Ring, P99)?, result.median(Target::Ring, P50)?);
                (p50 > 0.0).then(|| p99 / p50)
            }
        }
    }

    fn reached(&self, found: f64) -> Reached {
        let holds = |aim: f64| match self.measure {
            Measure::Throughput(_) => found >= aim,
            Measure::Latency(_) | Measure::Tail => found <= aim,
        };
        match (holds(self.aim), self.beyond.is_some_and(holds)) {
            (_, true) => Reached::Beyond,
            (true, false) => Reached::Yes,
            (false, false) => Reached::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::results::tests::{result, sample};

    use super::*;

    fn judged(
        cell: Cell,
        ours: (f64, f64, f64),
        etcd: (f64, f64, f64),
        what: &str,
    ) -> (Reached, Option<f64>) {
        let samples = |(per_second, p50, p99)| [sample(per_second, p50, p99)];
        let results = [result(cell, &[(Target::Ring, &samples(ours)), (Target::Etcd, &samples(etcd))])];
        let judged = judge(&results);
        let found = judged.iter().find(|judged| judged.what == what).expect("an aim");
        (found.reached, found.found)
    }

    #[test]
    fn throughput_is_to_be_high() {
        let writes = |rate| judged(WRITES_64, (rate, 1.0, 1.0), (100.0, 1.0, 1.0), "writes, 64 connections");
        assert_eq!(writes(799.0), (Reached::No, Some(7.99)));
        assert_eq!(writes(800.0), (Reached::Yes, Some(8.0)));
        assert_eq!(writes(1500.0), (Reached::Beyond, Some(15.0)));
    }

    #[test]
    fn latency_and_tail_are_to_be_low() {
        let reads = |p50| judged(READS_1, (1.0, p50, 1.0), (1.0, 4.0, 1.0), "reads, 1 connection: p50").0;
        assert_eq!(reads(1.0), Reached::Yes);
        assert_eq!(reads(1.1), Reached::No);
        let tail =
            |p99| judged(READS_64, (1.0, 0.5, p99), (1.0, 1.0, 1.0), "reads, 64 connections: p99 by p50").0;
        assert_eq!(tail(4.0), Reached::Yes);
        assert_eq!(tail(4.1), Reached::No);
    }

    #[test]
    fn what_was_left_out_is_not_judged() {
        assert!(judge(&[]).iter().all(|judged| judged.reached == Reached::Unmeasured));
        let alone = [result(WRITES_64, &[(Target::Ring, &[sample(1.0, 1.0, 2.0)])])];
        let judged = judge(&alone);
        assert_eq!(judged.iter().filter(|judged| judged.reached == Reached::Unmeasured).count(), 13);
    }

    #[test]
    fn cells_of_all_aims_are_measured_by_default() {
        let cells = crate::cell::with_aims();
        assert!(AIMS.iter().all(|aim| cells.contains(&aim.cell)));
    }
}
