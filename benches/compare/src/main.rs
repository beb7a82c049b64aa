//! Measures a ring of five nodes beside a five-node etcd and single redis-servers.
//!
//! One load generator, `simpledynamo-load`, drives all of them, over Redis's protocol or over gRPC; they are measured in
//! turn, several times each, and what is told are medians, of ratios above all: how many times what the other does.
//!
//! | module | subject |
//! |---|---|
//! | `options` | the command line |
//! | `cell` | what is measured |
//! | `aim` | what is to be reached |
//! | `servers` | who is measured: processes, ports, folders |
//! | `etcd` | the client of etcd |
//! | `measure`, `course` | one measurement, and all in turn |
//! | `usage` | processor time and memory of processes |
//! | `growth` | what an operation costs as things grow |
//! | `statistics`, `results` | medians and ratios |
//! | `table`, `chart` | what people see |

mod aim;
mod cell;
mod chart;
mod course;
mod etcd;
mod failure;
mod growth;
mod measure;
mod options;
mod results;
mod servers;
mod statistics;
mod table;
mod usage;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;
use simpledynamo_launch::TemporaryFolder;
use tokio::signal::unix::{SignalKind, signal};

use aim::Judged;
use course::{Comparison, compare};
use failure::Failure;
use options::Options;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("compare: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    // A long measurement should not fail at its end.
    fs::create_dir_all(&options.out)
        .map_err(|source| Failure::Output { path: options.out.clone(), source })?;
    let load_before = load_average();
    if options.grow {
        let found = until_interrupted(growth::grow(options))?;
        return report_growth(options, &found, &load_before);
    }
    let comparison = until_interrupted(async {
        let folder = TemporaryFolder::create("compare", false)?;
        compare(options, folder.path()).await
    })?;
    report(options, &comparison, &load_before)
}

/// Does the work to its end. If a signal comes first, it is dropped, and the servers that it has started end with it.
fn until_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let interrupted = interrupted()?;
        tokio::select! {
            done = work => done,
            () = interrupted => Err(Failure::Interrupted),
        }
    })
}

/// Catches the signals that end a program, since servers are to be ended first; the future ends with the next one.
fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    let catch = |kind| signal(kind).map_err(Failure::Runtime);
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Prints the tables, and writes them, the picture and the document.
fn report(options: &Options, comparison: &Comparison, load_before: &str) -> Result<(), Failure> {
    let judged = aim::judge(&comparison.results);
    let text = tables(options, comparison, &judged, load_before);
    println!("{text}");
    let document = json!({
        "runs": options.runs, "seconds": options.seconds, "warmup_seconds": options.warmup, "keys": options.keys,
        "processors": processors(), "load_average_before": load_before,
        "targets": comparison.targets,
        "cells": comparison.results.iter().map(results::CellResult::to_json).collect::<Vec<_>>(),
        "aims": judged.iter().map(Judged::to_json).collect::<Vec<_>>(),
        "memory": comparison.memory.to_json(),
    });
    write(&options.out, "compare.md", &text)?;
    write(&options.out, "compare.svg", &chart::draw(&comparison.results))?;
    write(&options.out, "results.json", &format!("{document:#}\n"))
}

/// As [`report`], of what was found as things grow.
fn report_growth(options: &Options, found: &[growth::Measured], load_before: &str) -> Result<(), Failure> {
    let text = format!(
        "{} processors, load average before: {load_before}; medians of {} runs of {} s; values of {} bytes; \
         CPU of all nodes, memory once the keys were stored.\n\n{}",
        processors(),
        options.runs,
        options.seconds,
        cell::VALUE_SIZE,
        growth::table(found),
    );
    println!("{text}");
    let document = json!({
        "runs": options.runs, "seconds": options.seconds, "warmup_seconds": options.warmup,
        "processors": processors(), "load_average_before": load_before,
        "points": found.iter().map(growth::Measured::to_json).collect::<Vec<_>>(),
    });
    write(&options.out, "growth.md", &text)?;
    write(&options.out, "growth.svg", &growth::draw(found))?;
    write(&options.out, "growth.json", &format!("{document:#}\n"))
}

fn tables(options: &Options, comparison: &Comparison, judged: &[Judged], load_before: &str) -> String {
    let errors = table::errors(&comparison.results);
    let errors = if errors.is_empty() { errors } else { format!("\nErrors:\n\n{errors}") };
    format!(
        "{} processors, load average before: {load_before}; medians of {} runs of {} s, alternating; {} keys.\n\n\
         {}{errors}\n{}\n{}",
        processors(),
        options.runs,
        options.seconds,
        table::grouped(options.keys),
        table::cells(&comparison.results),
        table::aims(judged),
        table::memory(comparison.memory),
    )
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|source| Failure::Output { path: path.clone(), source })?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The load of the machine in the last minute, as the system tells it.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}
