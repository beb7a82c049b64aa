//! What a measurement found.

use comfy_table::CellAlignment;
use hdrhistogram::Histogram;
use serde_json::json;

use crate::arguments::{BenchOptions, Distribution, ReportFormat};
pub(super) use crate::terminal::grouped;
use crate::terminal::table;

use super::Tally;

/// The percentiles shown, with their names.
const PERCENTILES: [(f64, &str); 3] = [(50.0, "p50"), (99.0, "p99"), (99.9, "p99.9")];

/// Writes the result to standard output.
pub(super) fn write(options: &BenchOptions, tally: &Tally) {
    match options.output {
        ReportFormat::Table => print!("{}", for_people(options, tally)),
        ReportFormat::Json => println!("{:#}", for_programs(options, tally)),
    }
}

/// All errors in one line, the most frequent first.
pub(super) fn errors_line(tally: &Tally) -> String {
    let mut errors: Vec<(&String, &u64)> = tally.errors.iter().collect();
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let texts: Vec<String> =
        errors.iter().map(|(kind, count)| format!("{} x {kind}", grouped(**count))).collect();
    if texts.is_empty() { "no errors".to_owned() } else { texts.join(", ") }
}

fn for_people(options: &BenchOptions, tally: &Tally) -> String {
    let mut rows = table(&["", "Operations", "Per second", "p50 ms", "p99 ms", "p99.9 ms", "Max ms"]);
    let mixed = !tally.reads.latencies.is_empty() && !tally.writes.latencies.is_empty();
    for (name, latencies) in parts(tally) {
        if latencies.is_empty() || (name == "all" && !mixed) {
            continue;
        }
        let mut row =
            vec![name.to_owned(), grouped(latencies.len()), grouped(per_second(options, &latencies) as u64)];
        row.extend(
            PERCENTILES
                .iter()
                .map(|(percentile, _)| format!("{:.3}", millis(latencies.value_at_percentile(*percentile)))),
        );
        row.push(format!("{:.3}", millis(latencies.max())));
        rows.add_row(row);
    }
    rows.column_iter_mut().skip(1).for_each(|column| {
        column.set_cell_alignment(CellAlignment::Right);
    });
    let mut text = format!(
        "{}\n\n{} clients, pipeline {}, {} % reads, values of {} bytes, {} keys ({}), {} s\n",
        rows.trim_fmt(),
        options.clients,
        options.pipeline,
        options.reads,
        options.value_size,
        grouped(options.keys),
        distribution(options),
        options.seconds
    );
    if tally.misses > 0 {
        text.push_str(&format!(
            "{} reads found no value (--load writes every key first)\n",
            grouped(tally.misses)
        ));
    }
    text.push_str(&format!("Errors: {}\n", errors_line(tally)));
    text
}

fn for_programs(options: &BenchOptions, tally: &Tally) -> serde_json::Value {
    let part = |latencies: &Histogram<u64>| {
        let mut part = json!({
            "operations": latencies.len(),
            "per_second": per_second(options, latencies),
            "max_ms": millis(latencies.max()),
        });
        for (percentile, name) in PERCENTILES {
            part[format!("{}_ms", name.replace('.', "_"))] =
                json!(millis(latencies.value_at_percentile(percentile)));
        }
        part
    };
    let parts: serde_json::Map<String, serde_json::Value> =
        parts(tally).iter().map(|(name, latencies)| ((*name).to_owned(), part(latencies))).collect();
    let mut report = serde_json::Value::Object(parts);
    report["read_misses"] = json!(tally.misses);
    report["errors"] = json!(tally.errors);
    report["workload"] = json!({
        "nodes": options.nodes, "clients": options.clients, "pipeline": options.pipeline,
        "reads_percent": options.reads, "value_size": options.value_size, "keys": options.keys,
        "distribution": distribution(options), "seconds": options.seconds, "warmup_seconds": options.warmup,
        "loaded": options.load, "seed": options.seed,
    });
    report
}

/// Reads, writes, and both together.
fn parts(tally: &Tally) -> [(&'static str, Histogram<u64>); 3] {
    let (reads, writes) = (tally.reads.latencies.clone(), tally.writes.latencies.clone());
    let mut all = reads.clone();
    all.add(&writes).expect("both have the same bounds");
    [("reads", reads), ("writes", writes), ("all", all)]
}

fn per_second(options: &BenchOptions, latencies: &Histogram<u64>) -> f64 {
    latencies.len() as f64 / f64::from(options.seconds)
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn distribution(options: &BenchOptions) -> &'static str {
    match options.distribution {
        Distribution::Uniform => "uniform",
        Distribution::Zipfian => "zipfian",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts: Vec<String> = [0, 999, 1000, 1_234_567].map(grouped).to_vec();
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
