//! What a measurement found.

use comfy_table::CellAlignment;
use hdrhistogram::Histogram;
use serde_json::json;
use simpledynamo_load::{Distribution, Mix, Tally};

use crate::arguments::{BenchOptions, ReportFormat};
use crate::terminal::{grouped, table};

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
    let mixed = !tally.reads.is_empty() && !tally.writes.is_empty();
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
        "{}\n\n{} clients, pipeline {}, {}, values of {} bytes, {} keys ({}), {} s\n",
        rows.trim_fmt(),
        options.clients,
        options.pipeline,
        operations(options),
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
    let mix = options.load_workload().mix;
    report["read_misses"] = json!(tally.misses);
    report["errors"] = json!(tally.errors);
    report["workload"] = json!({
        "nodes": options.nodes, "clients": options.clients, "pipeline": options.pipeline,
        "reads_percent": mix.reads, "value_size": options.value_size, "keys": options.keys,
        "distribution": distribution(options), "seconds": options.seconds, "warmup_seconds": options.warmup,
        "loaded": options.load, "seed": options.seed,
    });
    if let Some(ycsb) = options.ycsb() {
        report["workload"]["ycsb"] = json!(ycsb.letter().to_string());
        report["workload"]["inserts_percent"] = json!(mix.inserts);
        report["workload"]["read_modify_writes_percent"] = json!(mix.read_modify_writes);
    }
    report
}

/// Reads, writes, and both together.
fn parts(tally: &Tally) -> [(&'static str, Histogram<u64>); 3] {
    [("reads", tally.reads.clone()), ("writes", tally.writes.clone()), ("all", tally.all())]
}

fn per_second(options: &BenchOptions, latencies: &Histogram<u64>) -> f64 {
    latencies.len() as f64 / f64::from(options.seconds)
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn distribution(options: &BenchOptions) -> &'static str {
    match options.load_workload().distribution {
        Distribution::Uniform => "uniform",
        Distribution::Zipfian => "zipfian",
        Distribution::Latest => "latest",
    }
}

/// The kinds of operations, for people.
fn operations(options: &BenchOptions) -> String {
    let Mix { reads, inserts, read_modify_writes, .. } = options.load_workload().mix;
    let mut text = options.ycsb().map_or(String::new(), |ycsb| format!("YCSB {}: ", ycsb.letter()));
    text.push_str(&format!("{reads} % reads"));
    for (share, name) in [(inserts, "insertions"), (read_modify_writes, "read-modify-writes")] {
        if share > 0 {
            text.push_str(&format!(" and {share} % {name}"));
        }
    }
    text
}
