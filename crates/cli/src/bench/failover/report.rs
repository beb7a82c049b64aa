//! What the runs found, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::CellAlignment;
use serde_json::{Value, json};

use crate::arguments::{FailoverOptions, Fault, ReportFormat};
use crate::terminal::grouped;
use crate::terminal::table;

use super::gaps::{Cause, Longest};
use super::run::RunResult;
use super::tally::{Failures, Kind, Phase};

/// A number that a run has or, if something did not happen, has not.
type Figure = (&'static str, Option<f64>);

const BOTH: [Kind; 2] = [Kind::Write, Kind::Read];

/// Writes the result to standard output.
pub(super) fn write(options: &FailoverOptions, ring: &str, clients: usize, runs: &[RunResult]) {
    match options.output {
        ReportFormat::Table => print!("{}", for_people(options, ring, clients, runs)),
        ReportFormat::Json => println!("{:#}", for_programs(options, ring, clients, runs)),
    }
}

/// The numbers of a run. Gaps are of the time from the signal on, unless their name says otherwise.
fn figures(options: &FailoverOptions, run: &RunResult) -> Vec<Figure> {
    let outcome = &run.outcome;
    let failed: u64 = outcome.failures.values().map(|failures| failures.count).sum();
    let away: &[Phase] = &[Phase::Away, Phase::Returning];
    let mut figures = vec![
        ("write_gap_ms", longest(&outcome.write_gaps, Longest::since_signal)),
        ("write_gap_median_ms", middle(&outcome.write_gaps)),
        ("read_gap_ms", longest(&outcome.read_gaps, Longest::since_signal)),
        ("read_gap_median_ms", middle(&outcome.read_gaps)),
        ("write_gap_before_ms", longest(&outcome.write_gaps, |gaps| gaps.of(Cause::Load))),
        ("read_gap_before_ms", longest(&outcome.read_gaps, |gaps| gaps.of(Cause::Load))),
    ];
    if options.fault != Fault::Rolling {
        figures.extend([
            ("write_gap_fault_ms", longest(&outcome.write_gaps, |gaps| gaps.of(Cause::Fault))),
            ("write_gap_return_ms", longest(&outcome.write_gaps, |gaps| gaps.of(Cause::Return))),
            ("read_gap_fault_ms", longest(&outcome.read_gaps, |gaps| gaps.of(Cause::Fault))),
            ("read_gap_return_ms", longest(&outcome.read_gaps, |gaps| gaps.of(Cause::Return))),
        ]);
    }
    figures.extend([
        ("failed", Some(failed as f64)),
        ("whole_after_s", run.whole_after.map(|after| after.as_secs_f64())),
        ("per_second_before", outcome.rate(&BOTH, &[Phase::Before])),
        ("per_second_during", outcome.rate(&BOTH, away)),
        ("per_second_returning", outcome.rate(&BOTH, &[Phase::Returning])),
        ("per_second_after", outcome.rate(&BOTH, &[Phase::After])),
        ("writes_per_second_before", outcome.rate(&[Kind::Write], &[Phase::Before])),
        ("writes_per_second_during", outcome.rate(&[Kind::Write], away)),
        ("writes_per_second_after", outcome.rate(&[Kind::Write], &[Phase::After])),
        ("reads_per_second_before", outcome.rate(&[Kind::Read], &[Phase::Before])),
        ("reads_per_second_during", outcome.rate(&[Kind::Read], away)),
        ("reads_per_second_after", outcome.rate(&[Kind::Read], &[Phase::After])),
    ]);
    if let Some(missed) = run.missed {
        let rates = outcome.rate(&BOTH, &[Phase::Returning]).zip(outcome.rate(&BOTH, &[Phase::Before]));
        figures.push(("missed_writes", Some(missed as f64)));
        figures.push(("foreground_ratio", rates.map(|(meanwhile, before)| meanwhile / before)));
    }
    figures
}

/// The longest of all keys.
fn longest(keys: &[Longest], gap: impl Fn(&Longest) -> Duration) -> Option<f64> {
    keys.iter().map(gap).max().map(millis)
}

/// The median over all keys of their longest one since the signal.
fn middle(keys: &[Longest]) -> Option<f64> {
    median(keys.iter().map(|gaps| millis(gaps.since_signal())).collect())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let upper = *numbers.get(numbers.len() / 2)?;
    let lower = numbers[(numbers.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// The medians of all figures over the runs that have them, and the maxima; none where a run has none, since what did
/// not happen would have been the longest.
fn over_runs(runs: &[Vec<Figure>]) -> (Vec<Figure>, Vec<Figure>) {
    let Some(first) = runs.first() else { return Default::default() };
    (0..first.len())
        .map(|index| {
            let name = first[index].0;
            let all: Vec<Option<f64>> = runs.iter().map(|figures| figures[index].1).collect();
            let complete: Option<Vec<f64>> = all.iter().copied().collect();
            let max = complete.and_then(|numbers| numbers.into_iter().reduce(f64::max));
            ((name, median(all.into_iter().flatten().collect())), (name, max))
        })
        .unzip()
}

fn for_people(options: &FailoverOptions, ring: &str, clients: usize, runs: &[RunResult]) -> String {
    let figures: Vec<Vec<Figure>> = runs.iter().map(|run| figures(options, run)).collect();
    let columns = columns(options);
    let mut header = vec!["Run", "Node"];
    header.extend(columns.iter().map(|column| column.0));
    let mut rows = table(&header);
    let mut add = |title: String, node: &str, figures: &[Figure]| {
        let mut row = vec![title, node.to_owned()];
        row.extend(columns.iter().map(|(_, name, decimals)| {
            let figure = figures.iter().find(|figure| figure.0 == *name).and_then(|figure| figure.1);
            figure.map_or_else(|| "-".to_owned(), |number| shown(number, *decimals))
        }));
        rows.add_row(row);
    };
    for (number, (run, figures)) in runs.iter().zip(&figures).enumerate() {
        add((number + 1).to_string(), run.node.as_deref().unwrap_or("all"), figures);
    }
    if runs.len() > 1 {
        let (medians, maxima) = over_runs(&figures);
        add("median".to_owned(), "", &medians);
        add("max".to_owned(), "", &maxima);
    }
    rows.column_iter_mut().skip(2).for_each(|column| {
        column.set_cell_alignment(CellAlignment::Right);
    });
    let (medians, _) = over_runs(&figures);
    let calm = |name: &str| {
        let figure = medians.iter().find(|figure| figure.0 == name).and_then(|figure| figure.1);
        figure.map_or_else(|| "-".to_owned(), |number| shown(number, 0))
    };
    format!(
        "{}\n\nFault {}; {ring}. {} writers and {} readers through each of {clients} nodes, each with a key of its \
         own; {} ms of pause; values of {} bytes.\n\
         A gap is the longest time without a success of any key from the signal on, the median that of half the keys. \
         Keys read have no write in flight.\n\
         Before the signal the longest gap was {} ms for writes, {} ms for reads.\n{}{}",
        rows.trim_fmt(),
        options.fault,
        options.writers,
        options.readers,
        options.pause,
        options.value_size,
        calm("write_gap_before_ms"),
        calm("read_gap_before_ms"),
        explained(options),
        failures_for_people(runs)
    )
}

/// Header, figure and decimals of each column after the node.
fn columns(options: &FailoverOptions) -> Vec<(&'static str, &'static str, usize)> {
    let mut columns = vec![
        ("Write gap ms", "write_gap_ms", 0),
        ("median", "write_gap_median_ms", 0),
        ("Read gap ms", "read_gap_ms", 0),
        ("median", "read_gap_median_ms", 0),
        ("Failed", "failed", 0),
        ("Whole after s", "whole_after_s", 2),
        ("Before/s", "per_second_before", 0),
    ];
    columns.extend(match options.fault {
        Fault::Recovery => [
            ("Returning/s", "per_second_returning", 0),
            ("After/s", "per_second_after", 0),
            ("Ratio", "foreground_ratio", 2),
            ("Missed", "missed_writes", 0),
        ]
        .to_vec(),
        _ => [("During/s", "per_second_during", 0), ("After/s", "per_second_after", 0)].to_vec(),
    });
    columns
}

/// What else is to be known of the numbers.
fn explained(options: &FailoverOptions) -> String {
    match options.fault {
        Fault::Rolling => {
            "Clients use all nodes and reconnect when theirs stops: an operation has failed only if it \
                           was sent and answered by an error, or the connection broke before the reply.\n"
                .to_owned()
        }
        Fault::Recovery => format!(
            "The ring held {} pairs; Missed counts the writes while the node was away, besides those of the clients. \
             Ratio: operations per second while the node returned, by those before.\n",
            grouped(options.pairs)
        ),
        _ => format!(
            "The node was away for {} s. During: from the signal until whole again.\n",
            options.seconds
        ),
    }
}

fn shown(number: f64, decimals: usize) -> String {
    if decimals == 0 { grouped(number.round() as u64) } else { format!("{number:.decimals$}") }
}

/// The failures of all runs.
fn all_failures(runs: &[RunResult]) -> BTreeMap<&str, Failures> {
    let mut all: BTreeMap<&str, Failures> = BTreeMap::new();
    for (kind, failures) in runs.iter().flat_map(|run| &run.outcome.failures) {
        let sum = all.entry(kind).or_default();
        sum.count += failures.count;
        if sum.examples.is_empty() {
            sum.examples.clone_from(&failures.examples);
        }
    }
    all
}

fn failures_for_people(runs: &[RunResult]) -> String {
    let failures = all_failures(runs);
    if failures.is_empty() {
        return "No operation failed.\n".to_owned();
    }
    let mut text = "Failed operations:\n".to_owned();
    for (kind, failures) in &failures {
        text.push_str(&format!("  {} x {kind}\n", grouped(failures.count)));
        failures.examples.iter().for_each(|example| text.push_str(&format!("      {example}\n")));
    }
    text
}

fn for_programs(options: &FailoverOptions, ring: &str, clients: usize, runs: &[RunResult]) -> Value {
    let object = |figures: &[Figure]| -> Value {
        figures.iter().map(|(name, figure)| ((*name).to_owned(), json!(figure))).collect()
    };
    let all: Vec<Vec<Figure>> = runs.iter().map(|run| figures(options, run)).collect();
    let (medians, maxima) = over_runs(&all);
    let reports: Vec<Value> = runs
        .iter()
        .zip(&all)
        .map(|(run, figures)| {
            let mut report = object(figures);
            report["node"] = json!(run.node);
            report["failures"] = run
                .outcome
                .failures
                .iter()
                .map(|(kind, failures)| {
                    (kind.clone(), json!({ "count": failures.count, "examples": failures.examples }))
                })
                .collect();
            report
        })
        .collect();
    json!({
        "fault": options.fault.to_string(),
        "node": options.node.to_string(),
        "ring": ring,
        "runs": reports,
        "median": object(&medians),
        "max": object(&maxima),
        "workload": {
            "nodes": clients, "writers_per_node": options.writers, "readers_per_node": options.readers,
            "pause_ms": options.pause, "value_size": options.value_size, "warmup_seconds": options.warmup,
            "around_seconds": options.around, "away_seconds": options.seconds, "pairs": options.pairs,
            "missed": options.missed,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_maxima_are_over_the_runs() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let runs = [
            vec![("gap", Some(5.0)), ("whole", Some(1.0))],
            vec![("gap", Some(9.0)), ("whole", None)],
            vec![("gap", Some(6.0)), ("whole", Some(3.0))],
        ];
        let (medians, maxima) = over_runs(&runs);
        assert_eq!(medians, [("gap", Some(6.0)), ("whole", Some(2.0))]);
        assert_eq!(maxima, [("gap", Some(9.0)), ("whole", None)], "one run was never whole");
    }
}
