//! The results as tables in Markdown.

use std::collections::BTreeSet;

use indicatif::HumanCount;

use crate::aim::Judged;
use crate::results::{CPU, CellResult, GENERATOR_CPU, Memory, P50, P99, PER_SECOND};
use crate::servers::Target;

/// Put to a figure whose target gave errors or did not answer.
pub(crate) const ERRORED: &str = "**ERRORS**";

/// One row for each cell and target.
pub(crate) fn cells(results: &[CellResult]) -> String {
    let mut text =
        "| cell | target | per second | p50 ms | p99 ms | CPU us/op | load's CPU us/op | errors | we, times theirs |\n\
                    |---|---|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
    for result in results {
        for (place, target) in result.samples.keys().enumerate() {
            let name = if place == 0 { result.cell.to_string() } else { String::new() };
            text.push_str(&row(&name, result, *target));
        }
    }
    text
}

fn row(name: &str, result: &CellResult, target: Target) -> String {
    let figure = |figure, digits| {
        result.median(target, figure).map_or("-".to_owned(), |value: f64| format!("{value:.digits$}"))
    };
    let per_second =
        result.median(target, PER_SECOND).map_or("-".to_owned(), |value| grouped(value.round() as u64));
    let errors = match result.errors(target) {
        0 if result.median(target, PER_SECOND) > Some(0.0) => "0".to_owned(),
        count => format!("{} {ERRORED}", grouped(count)),
    };
    let ratio = match result.ratio(target, PER_SECOND) {
        Some(ratio) if target != Target::Ring => format!("{ratio:.2}"),
        _ => String::new(),
    };
    format!(
        "| {name} | {} | {per_second} | {} | {} | {} | {} | {errors} | {ratio} |\n",
        target.name(),
        figure(P50, 3),
        figure(P99, 3),
        figure(CPU, 1),
        figure(GENERATOR_CPU, 1),
    )
}

/// One row for each aim.
pub(crate) fn aims(judged: &[Judged]) -> String {
    let mut text = "| aim | against | ratio aimed for | found | |\n|---|---|---|---:|---|\n".to_owned();
    for aim in judged {
        let found = aim.found.map_or("-".to_owned(), |found| format!("{found:.2}"));
        text.push_str(&format!(
            "| {} | {} | {} | {found} | {} |\n",
            aim.what,
            aim.against,
            aim.aim,
            aim.reached.word()
        ));
    }
    text
}

/// A sentence on what the nodes have resident.
pub(crate) fn memory(memory: Memory) -> String {
    let range = |(least, most): (f64, f64)| format!("{least:.0} to {most:.0}");
    let mut text = format!("MiB resident on each node, fresh and idle: {}", range(memory.fresh));
    if let Some((pairs, full)) = memory.full {
        text.push_str(&format!("; with {} pairs in the ring: {}", grouped(pairs), range(full)));
    }
    text + ".\n"
}

/// Which targets gave errors, and of which kinds; empty if none did.
pub(crate) fn errors(results: &[CellResult]) -> String {
    let mut text = String::new();
    for result in results {
        for (target, samples) in &result.samples {
            let kinds: BTreeSet<&str> =
                samples.iter().flat_map(|sample| sample.errors.keys().map(String::as_str)).collect();
            if !kinds.is_empty() {
                let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
                text.push_str(&format!("- {}, {}: {kinds}\n", result.cell, target.name()));
            }
        }
    }
    text
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use crate::cell::WRITES_64;
    use crate::results::tests::{result, sample};

    use super::*;

    #[test]
    fn errored_cells_are_marked() {
        let mut errored = sample(2500.0, 1.5, 3.0);
        errored.errors.insert("GRPC-8".to_owned(), 1234);
        let result = result(
            WRITES_64,
            &[
                (Target::Ring, &[sample(10_000.0, 0.5, 1.0)]),
                (Target::Etcd, &[errored]),
                (Target::RedisAlways, &[sample(0.0, 0.0, 0.0)]),
            ],
        );
        let table = cells(std::slice::from_ref(&result));
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| writes, 64 connections | five nodes | 10,000 | 0.500 | 1.000 | 1.0 | 0.5 | 0 |  |",
                "|  | five-node etcd | 2,500 | 1.500 | 3.000 | 1.0 | 0.5 | 1,234 **ERRORS** | 4.00 |",
                "|  | redis-server, always | 0 | 0.000 | 0.000 | 1.0 | 0.5 | 0 **ERRORS** |  |",
            ]
        );
        assert_eq!(errors(&[result]), "- writes, 64 connections, five-node etcd: GRPC-8\n");
    }

    #[test]
    fn memory_is_a_sentence() {
        let full = Memory { fresh: (6.2, 7.0), full: Some((1_000_000, (80.0, 120.4))) };
        assert_eq!(
            memory(full),
            "MiB resident on each node, fresh and idle: 6 to 7; with 1,000,000 pairs in the ring: 80 to 120.\n"
        );
    }
}
