//! The result of `verify` for people.

use std::io::{self, Write as _};
use std::path::Path;

use simpledynamo_tester::{Findings, PHASES, PhaseReport, RunReport, Share, Violation, ViolationKind};

use crate::failure::{Failure, unless_reader_gone};
use crate::terminal::{Paint, grouped, table};

/// The most violations that are drawn: the report has all.
const VIOLATIONS_SHOWN: usize = 3;

/// Lists the phases.
pub(super) fn list_phases() {
    let mut rows = table(&["No.", "Name", "What it does", "Faults"]);
    for phase in &PHASES {
        let faults: Vec<&str> = phase.faults().iter().map(|kind| kind.name()).collect();
        rows.add_row([&phase.number.to_string(), phase.name, phase.title, &faults.join(", ")]);
    }
    println!("{rows}");
}

/// Writes a text to standard output.
pub(super) fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Shows what a run found.
pub(super) fn show(report: &RunReport, out: &Path) -> Result<(), Failure> {
    let paint = Paint::stdout();
    let mut text = format!("\n{}\n\n{}\n", verdict(report, paint), phases(report));
    for problem in problems(report) {
        text.push_str(&format!("\n{} {problem}", paint.bad("✗")));
    }
    text.push_str(&violations(report, paint));
    text.push_str(&format!(
        "\nSeed {}; {} clients, {} keys a phase; {} processors; {:.0} s in all.\n",
        report.seed,
        report.clients,
        report.keys,
        report.processors,
        report.took as f64 / 1e9
    ));
    text.push_str(&format!(
        "To look at: {}; for programs: report.json; every operation: history.jsonl, history.edn.",
        out.join("report.html").display()
    ));
    unless_reader_gone(print(&text))
}

/// The first line: what an operator wants to know.
fn verdict(report: &RunReport, paint: Paint) -> String {
    let operations = grouped(report.operations() as u64);
    let keys = grouped(report.finally.findings.keys as u64);
    if report.holds {
        let seen = format!("{operations} operations on {keys} keys, all of them linearizable");
        return format!("{} {seen}.", paint.good("Everything holds:"));
    }
    let broken = report.finally.findings.violations.len();
    let what = match broken {
        0 => "see below".to_owned(),
        1 => "1 key is not linearizable".to_owned(),
        several => format!("{several} keys are not linearizable"),
    };
    format!("{} {what}; {operations} operations on {keys} keys.", paint.bad("Something does not hold:"))
}

fn phases(report: &RunReport) -> String {
    let header =
        ["", "Phase", "Verdict", "Faults", "Reads", "Writes", "Failed", "Unknown", "Gap: reads", "writes"];
    let mut rows = table(&header);
    for phase in &report.phases {
        rows.add_row(row(phase));
    }
    let rows = rows.to_string();
    rows.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn row(phase: &PhaseReport) -> [String; 10] {
    let (number, name) = (phase.number.to_string(), phase.name.clone());
    if phase.skipped.is_some() {
        let dash = || "-".to_owned();
        let out = "left out".to_owned();
        return [number, name, out, dash(), dash(), dash(), dash(), dash(), dash(), dash()];
    }
    let (reads, writes) = (&phase.availability.reads, &phase.availability.writes);
    [
        number,
        name,
        if phase.holds() { "holds".to_owned() } else { "BROKEN".to_owned() },
        phase.faults.len().to_string(),
        grouped(reads.answered),
        grouped(writes.answered),
        grouped(reads.failed + writes.failed),
        grouped(reads.unknown + writes.unknown),
        gap(reads),
        gap(writes),
    ]
}

fn gap(share: &Share) -> String {
    format!("{:.2} s", share.longest_gap as f64 / 1e9)
}

/// Everything that must not be, beside histories.
fn problems(report: &RunReport) -> Vec<String> {
    let of_phase = |phase: &PhaseReport| {
        let name = phase.name.clone();
        let gave_up = phase.findings.gave_up.iter().map(|key| format!("{}: {}", key.key, key.reason));
        let all: Vec<String> = phase.problems.iter().cloned().chain(gave_up).collect();
        all.into_iter().map(move |problem| format!("{name}: {problem}"))
    };
    let of_phases = report.phases.iter().flat_map(of_phase);
    of_phases.chain(report.finally.problems.iter().cloned()).collect()
}

fn violations(report: &RunReport, paint: Paint) -> String {
    let mut text = String::new();
    let violations = &report.finally.findings.violations;
    for violation in violations.iter().take(VIOLATIONS_SHOWN) {
        text.push_str(&describe(violation, paint));
    }
    if violations.len() > VIOLATIONS_SHOWN {
        text.push_str(&format!("\n{} more keys are in the report.\n", violations.len() - VIOLATIONS_SHOWN));
    }
    text
}

fn describe(violation: &Violation, paint: Paint) -> String {
    let what = match violation.kind {
        ViolationKind::NotLinearizable => "is not linearizable",
        ViolationKind::LostOrUndone => "lost an acknowledged write, or had a delete undone",
    };
    format!("\n{} {what}:\n{}", paint.bad(&format!("Key {}", violation.key)), violation.words)
}

/// Shows what was found in a history file.
pub(super) fn show_findings(findings: &Findings) -> Result<(), Failure> {
    let paint = Paint::stdout();
    let (keys, operations) = (grouped(findings.keys as u64), grouped(findings.operations as u64));
    let counted = format!("{operations} operations on {keys} keys");
    let mut text = match findings.hold() {
        true => format!("{} {counted}.", paint.good("Every key is linearizable:")),
        false => format!("{} {counted}.", paint.bad("Not every key is linearizable:")),
    };
    for key in &findings.gave_up {
        text.push_str(&format!("\n{}: {}", key.key, key.reason));
    }
    for violation in &findings.violations {
        text.push_str(&describe(violation, paint));
    }
    unless_reader_gone(print(&text))
}
