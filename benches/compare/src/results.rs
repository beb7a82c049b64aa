//! What was found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use simpledynamo_load::Tally;

use crate::cell::Cell;
use crate::servers::Target;
use crate::statistics::{median, median_ratio};

/// One measurement. Latencies are of all operations without an error, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Reads that found nothing.
    pub(crate) misses: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    /// Processor time of all the target's processes for one operation, in microseconds.
    pub(crate) cpu_us: f64,
    /// The same of the load generator.
    pub(crate) generator_cpu_us: f64,
}

impl Sample {
    pub(crate) fn new(tally: &Tally, seconds: f64, servers: Duration, generator: Duration) -> Self {
        let all = tally.all();
        let millis = |percentile| all.value_at_percentile(percentile) as f64 / 1000.0;
        // Where nothing was answered, there is nothing that the time could be divided by.
        let operations = all.len().max(1) as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / operations;
        Self {
            per_second: all.len() as f64 / seconds,
            p50_ms: millis(50.0),
            p99_ms: millis(99.0),
            misses: tally.misses,
            errors: tally.errors.clone(),
            cpu_us: each(servers),
            generator_cpu_us: each(generator),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "per_second": self.per_second, "p50_ms": self.p50_ms, "p99_ms": self.p99_ms,
            "misses": self.misses, "errors": self.errors,
            "cpu_us_per_operation": self.cpu_us, "generator_cpu_us_per_operation": self.generator_cpu_us,
        })
    }
}

/// A figure of a sample.
pub(crate) type Figure = fn(&Sample) -> f64;

pub(crate) const PER_SECOND: Figure = |sample| sample.per_second;
pub(crate) const P50: Figure = |sample| sample.p50_ms;
pub(crate) const P99: Figure = |sample| sample.p99_ms;
pub(crate) const CPU: Figure = |sample| sample.cpu_us;
pub(crate) const GENERATOR_CPU: Figure = |sample| sample.generator_cpu_us;

/// All measurements of a cell, in the order of the repetitions.
#[derive(Clone, Debug)]
pub(crate) struct CellResult {
    pub(crate) cell: Cell,
    pub(crate) samples: BTreeMap<Target, Vec<Sample>>,
}

impl CellResult {
    /// The median over the repetitions; none of a target that was left out.
    pub(crate) fn median(&self, target: Target, figure: Figure) -> Option<f64> {
        median(self.samples.get(&target)?.iter().map(figure))
    }

    /// Our figure by that of another target, within each repetition; the median of that.
    pub(crate) fn ratio(&self, other: Target, figure: Figure) -> Option<f64> {
        let figures = |target| Some(self.samples.get(&target)?.iter().map(figure).collect::<Vec<_>>());
        median_ratio(&figures(Target::Ring)?, &figures(other)?)
    }

    /// All errors of a target.
    pub(crate) fn errors(&self, target: Target) -> u64 {
        self.samples.get(&target).into_iter().flatten().flat_map(|sample| sample.errors.values()).sum()
    }

    pub(crate) fn to_json(&self) -> Value {
        let targets: serde_json::Map<String, Value> = self
            .samples
            .iter()
            .map(|(target, samples)| {
                let mut value = json!({
                    "per_second": self.median(*target, PER_SECOND), "p50_ms": self.median(*target, P50),
                    "p99_ms": self.median(*target, P99), "cpu_us_per_operation": self.median(*target, CPU),
                    "generator_cpu_us_per_operation": self.median(*target, GENERATOR_CPU),
                    "errors": self.errors(*target),
                    "samples": samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
                });
                if *target != Target::Ring {
                    value["our_ratio"] = json!({
                        "per_second": self.ratio(*target, PER_SECOND), "p50": self.ratio(*target, P50),
                        "cpu": self.ratio(*target, CPU),
                    });
                }
                (target.key().to_owned(), value)
            })
            .collect();
        json!({
            "name": self.cell.to_string(), "connections": self.cell.connections,
            "pipeline": self.cell.pipeline, "value_size": self.cell.value_size, "targets": targets,
        })
    }
}

/// Resident memory of the nodes, in MiB, the smallest and the largest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) fresh: (f64, f64),
    /// With this many pairs in the ring.
    pub(crate) full: Option<(u64, (f64, f64))>,
}

impl Memory {
    pub(crate) fn to_json(self) -> Value {
        let range = |(least, most): (f64, f64)| json!({"least_mib": least, "most_mib": most});
        json!({
            "fresh": range(self.fresh),
            "full": self.full.map(|(pairs, memory)| json!({"pairs": pairs, "resident": range(memory)})),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A sample in which nothing but these figures matters.
    pub(crate) fn sample(per_second: f64, p50_ms: f64, p99_ms: f64) -> Sample {
        Sample {
            per_second,
            p50_ms,
            p99_ms,
            misses: 0,
            errors: BTreeMap::new(),
            cpu_us: 1.0,
            generator_cpu_us: 0.5,
        }
    }

    pub(crate) fn result(cell: Cell, samples: &[(Target, &[Sample])]) -> CellResult {
        CellResult {
            cell,
            samples: samples.iter().map(|(target, samples)| (*target, samples.to_vec())).collect(),
        }
    }

    #[test]
    fn medians_and_ratios_are_of_the_repetitions() {
        let ours = [sample(10.0, 1.0, 1.0), sample(20.0, 1.0, 1.0), sample(90.0, 1.0, 1.0)];
        let mut theirs = [sample(10.0, 4.0, 1.0), sample(4.0, 2.0, 1.0), sample(30.0, 4.0, 1.0)];
        theirs[1].errors.insert("ERR".to_owned(), 2);
        theirs[2].errors.insert("GRPC-14".to_owned(), 3);
        let result = result(crate::cell::WRITES_64, &[(Target::Ring, &ours), (Target::Etcd, &theirs)]);
        assert_eq!(result.median(Target::Ring, PER_SECOND), Some(20.0));
        assert_eq!(result.median(Target::RedisAlways, PER_SECOND), None);
        assert_eq!(result.ratio(Target::Etcd, PER_SECOND), Some(3.0));
        assert_eq!(result.ratio(Target::Etcd, P50), Some(0.25));
        assert_eq!((result.errors(Target::Ring), result.errors(Target::Etcd)), (0, 5));
        let json = result.to_json();
        assert_eq!(json["targets"]["etcd"]["our_ratio"]["per_second"], 3.0);
        assert!(json["targets"]["ring"]["our_ratio"].is_null());
    }

    #[test]
    fn sample_divides_the_time_by_the_operations() {
        let tally = Tally::new(std::time::Instant::now());
        let none = Sample::new(&tally, 2.0, Duration::from_millis(3), Duration::ZERO);
        assert_eq!((none.per_second, none.cpu_us), (0.0, 3000.0));
    }
}
