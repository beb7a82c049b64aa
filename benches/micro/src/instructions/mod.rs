//! A guard against steps that become more expensive: instructions per repetition, compared with what was recorded.
//!
//! Times depend on what else a machine is doing; the number of instructions does not. Valgrind's callgrind counts them,
//! what the system does for a call left out. A case is carried out N and 2N times, and the difference counts: so
//! neither start nor preparation does.
//!
//! What the number does depend on, besides the code itself:
//!
//! - the compiler, the C library (its allocator and its copying of memory), valgrind: with others than those that are
//!   named beside the numbers a few percent may differ;
//! - what the processor offers, as libraries ask for it: SHA-1, copying and searching of bytes. Valgrind 3.19 shows
//!   AVX2 where the machine has it and never the instructions for SHA-1, so these steps count more here than they take;
//! - anything drawn at random or different from run to run: seeds of a `HashMap`, numbers of processes, threads. Steps
//!   with such a thing in them are timed only.

mod callgrind;
mod recorded;
mod toolchain;
mod verdict;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::case::{self, Case, Measure};
use recorded::{Counts, Recorded};
use verdict::{Verdict, judge};

/// The numbers, beside the code.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml");

const HOW_TO_RECORD: &str =
    "If that is meant to be so, record it anew and commit the file: make counts RECORD=1";

/// Compares the cases whose name contains the pattern with what was recorded, and fails if one became dearer.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    let recorded = read()?;
    let Some(recorded) = recorded.on(env::consts::ARCH) else {
        println!("nothing is recorded for {}: nothing is compared", env::consts::ARCH);
        return Ok(());
    };
    let counts = count(pattern)?;
    let here = toolchain::describe();
    println!("{:24} {:>12} {:>12}  instructions per repetition", "", "recorded", "now");
    let names = names(pattern, recorded, &counts);
    let verdicts: Vec<(&str, Verdict)> = names
        .into_iter()
        .map(|name| {
            let (before, now) = (recorded.instructions.get(name).copied(), counts.get(name).copied());
            let verdict = judge(before, now);
            println!("{name:24} {:>12} {:>12}  {verdict}", show(before), show(now));
            (name, verdict)
        })
        .collect();
    if verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Cheaper) {
        println!("Some became cheaper. Record it, so that it stays so: make counts RECORD=1");
    }
    let failed: Vec<&str> =
        verdicts.iter().filter(|(_, verdict)| verdict.is_failure()).map(|(name, _)| *name).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut reason = format!("not as recorded: {}. {HOW_TO_RECORD}", failed.join(", "));
    if here != recorded.made_with {
        reason += &format!(
            "\nIt was recorded with {}, and this is {here}: the difference may come from there.",
            recorded.made_with
        );
    }
    Err(reason)
}

/// Records what the cases whose name contains the pattern take now. Others stay as they were.
pub(crate) fn record(pattern: &str) -> Result<(), String> {
    let mut recorded = read()?;
    let counts = count(pattern)?;
    recorded.put(env::consts::ARCH, toolchain::describe(), pattern, counts);
    fs::write(RECORDED, recorded.render()).map_err(|error| format!("cannot write {RECORDED}: {error}"))?;
    println!("recorded in {RECORDED}");
    Ok(())
}

fn read() -> Result<Recorded, String> {
    let text = fs::read_to_string(RECORDED).map_err(|error| format!("cannot read {RECORDED}: {error}"))?;
    Recorded::parse(&text).map_err(|error| format!("{RECORDED}: {error}"))
}

/// All names that the pattern concerns: cases that there are, and those that are only recorded.
fn names<'a>(pattern: &str, recorded: &'a Counts, counts: &'a BTreeMap<String, u64>) -> Vec<&'a str> {
    let gone = recorded.instructions.keys().filter(|name| name.contains(pattern));
    let mut names: Vec<&str> = counts.keys().chain(gone).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn show(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

/// Instructions per repetition of the cases whose name contains the pattern.
fn count(pattern: &str) -> Result<BTreeMap<String, u64>, String> {
    if cfg!(debug_assertions) {
        return Err("what is counted is a release build; this one is not".to_owned());
    }
    let program = env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let cases: Vec<(Case, u64)> = case::all()
        .into_iter()
        .filter(|case| case.name.contains(pattern))
        .filter_map(|case| match case.measure {
            Measure::Counted(repetitions) => Some((case, repetitions)),
            Measure::Timed => None,
        })
        .collect();
    // Counts do not vary with what else runs, so that all processors may work.
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(&program, &cases, &next))).collect();
        let found = workers.into_iter().map(|worker| worker.join().expect("it does not panic"));
        Ok(found.collect::<Result<Vec<_>, String>>()?.into_iter().flatten().collect())
    })
}

/// Counts cases until none is left.
fn work(program: &Path, cases: &[(Case, u64)], next: &AtomicUsize) -> Result<Vec<(String, u64)>, String> {
    let mut counts = Vec::new();
    while let Some((case, repetitions)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
        let once = callgrind::count(program, case.name, *repetitions)?;
        let twice = callgrind::count(program, case.name, 2 * repetitions)?;
        let difference = twice
            .checked_sub(once)
            .ok_or_else(|| format!("{}: twice as much took fewer instructions", case.name))?;
        counts.push((case.name.to_owned(), difference / repetitions));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_that_is_counted_is_recorded_and_no_other() {
        let recorded = read().expect("the file beside the code");
        let cases = case::all();
        let counted: Vec<&str> = cases
            .iter()
            .filter(|case| matches!(case.measure, Measure::Counted(_)))
            .map(|case| case.name)
            .collect();
        for (arch, counts) in recorded.all() {
            let recorded: Vec<&str> = counts.instructions.keys().map(String::as_str).collect();
            let mut counted = counted.clone();
            counted.sort_unstable();
            assert_eq!(recorded, counted, "{arch}: {HOW_TO_RECORD}");
        }
        assert!(recorded.all().count() > 0, "something is compared");
    }

    #[test]
    fn what_is_recorded_and_gone_is_looked_at_too() {
        let counts = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect();
        let recorded = Counts { made_with: String::new(), instructions: counts(&["b-gone", "a", "c"]) };
        assert_eq!(names("", &recorded, &counts(&["new", "a", "c"])), ["a", "b-gone", "c", "new"]);
        assert_eq!(names("b", &recorded, &counts(&["b-new"])), ["b-gone", "b-new"]);
    }
}
