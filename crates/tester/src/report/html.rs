//! The report as one page that needs nothing else: no script, no file beside it, nothing from any network.

use std::fmt::{self, Display, Formatter, Write as _};

use simpledynamo_verify::Ticks;

use crate::judge::{Findings, Violation, ViolationKind};
use crate::result::{PhaseReport, RunReport};

use super::{intervals, timeline};

/// The look of the page, in light and in dark.
const STYLE: &str = include_str!("page.css");

/// The most violations that are drawn: people read the first.
const VIOLATIONS_DRAWN: usize = 20;

/// The page.
pub(super) fn page(report: &RunReport) -> String {
    let mut page = String::new();
    // A string takes every write.
    let _ = write_page(report, &mut page);
    page
}

fn write_page(report: &RunReport, page: &mut String) -> fmt::Result {
    let title = if report.holds { "Everything holds" } else { "Something does not hold" };
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · SimpleDynamo verify</title>\n<style>\n{STYLE}</style></head>\n<body>\n"
    )?;
    write_head(report, title, page)?;
    write_overview(report, page)?;
    write_finally(report, page)?;
    for phase in report.phases.iter().filter(|phase| phase.skipped.is_none()) {
        write_phase(phase, &report.servers, page)?;
    }
    write_legend(page)?;
    page.push_str("</body></html>\n");
    Ok(())
}

fn write_head(report: &RunReport, title: &str, page: &mut String) -> fmt::Result {
    let class = if report.holds { "good" } else { "bad" };
    writeln!(
        page,
        "<header class=\"{class}\"><h1>{title}</h1><p>{} operations on {} keys of {}.</p></header>",
        grouped(report.operations() as u64),
        grouped(report.finally.findings.keys as u64),
        Text(&report.subject)
    )?;
    writeln!(
        page,
        "<p class=\"facts\">Seed {} · {} clients · {} keys a phase · {} processors · {} · \
         SimpleDynamo {} · {}</p>",
        report.seed,
        report.clients,
        report.keys,
        report.processors,
        seconds(report.took),
        Text(&report.program),
        Text(&report.began)
    )
}

fn write_overview(report: &RunReport, page: &mut String) -> fmt::Result {
    page.push_str(
        "<table><thead><tr><th>Phase</th><th></th><th></th><th>Faults</th><th>Reads</th><th>Writes</th>\
         <th>Failed</th><th>Unknown</th><th>Longest gap, reads</th><th>writes</th></tr></thead><tbody>\n",
    );
    for phase in &report.phases {
        let (number, name, title) = (phase.number, Text(&phase.name), Text(&phase.title));
        if let Some(reason) = &phase.skipped {
            writeln!(
                page,
                "<tr class=\"out\"><td>{number} {name}</td><td>{title}</td><td colspan=\"8\">left out: {}</td></tr>",
                Text(reason)
            )?;
            continue;
        }
        let (reads, writes) = (&phase.availability.reads, &phase.availability.writes);
        writeln!(
            page,
            "<tr><td><a href=\"#phase{number}\">{number} {name}</a></td><td>{title}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            badge(phase.holds()),
            phase.faults.len(),
            grouped(reads.answered),
            grouped(writes.answered),
            grouped(reads.failed + writes.failed),
            grouped(reads.unknown + writes.unknown),
            seconds(reads.longest_gap),
            seconds(writes.longest_gap)
        )?;
    }
    page.push_str("</tbody></table>\n");
    Ok(())
}

fn badge(holds: bool) -> &'static str {
    if holds { "<b class=\"good\">holds</b>" } else { "<b class=\"bad\">broken</b>" }
}

/// What all operations of the run together showed, if that is not what the phases showed already.
fn write_finally(report: &RunReport, page: &mut String) -> fmt::Result {
    let finally = &report.finally;
    let findings = &finally.findings;
    writeln!(
        page,
        "<section><h2>All phases together {}</h2>",
        badge(findings.hold() && finally.problems.is_empty())
    )?;
    writeln!(
        page,
        "<p>After the last phase every node was asked once more for what is left of all of them, and all operations of \
         the run were checked together: {} operations on {} keys, {} keys wrong, {} undecided.</p>",
        grouped(findings.operations as u64),
        grouped(findings.keys as u64),
        findings.violations.len(),
        findings.gave_up.len()
    )?;
    write_problems(&finally.problems, findings, page)?;
    for violation in findings.violations.iter().take(VIOLATIONS_DRAWN) {
        write_violation(violation, page)?;
    }
    page.push_str("</section>\n");
    Ok(())
}

fn write_phase(phase: &PhaseReport, servers: &[String], page: &mut String) -> fmt::Result {
    let (reads, writes) = (&phase.availability.reads, &phase.availability.writes);
    writeln!(
        page,
        "<section id=\"phase{0}\"><h2>{0} {1} {2}</h2><p>{3}, {4}. {5} operations on {6} keys were checked.</p>",
        phase.number,
        Text(&phase.name),
        badge(phase.holds()),
        Text(&phase.title),
        seconds(phase.ended - phase.began),
        grouped(phase.findings.operations as u64),
        phase.findings.keys
    )?;
    write_problems(&phase.problems, &phase.findings, page)?;
    timeline::write(phase, servers, page)?;
    writeln!(
        page,
        "<p class=\"facts\">Reads: p50 {}, p99 {}, longest {}. Writes: p50 {}, p99 {}, longest {}.{}</p>",
        millis(reads.latency.p50),
        millis(reads.latency.p99),
        millis(reads.latency.max),
        millis(writes.latency.p50),
        millis(writes.latency.p99),
        millis(writes.latency.max),
        errors(phase)
    )?;
    write_events(phase, page)?;
    if !phase.findings.violations.is_empty() {
        let keys: Vec<&str> =
            phase.findings.violations.iter().map(|violation| violation.key.as_str()).collect();
        writeln!(page, "<p class=\"bad\">Keys that are wrong: {}; drawn above.</p>", Text(&keys.join(", ")))?;
    }
    page.push_str("</section>\n");
    Ok(())
}

fn errors(phase: &PhaseReport) -> String {
    let errors = phase.availability.errors.iter();
    let errors: Vec<String> = errors.map(|(error, count)| format!("{} {}", count, Text(error))).collect();
    if errors.is_empty() { String::new() } else { format!(" Errors: {}.", errors.join(", ")) }
}

fn write_problems(problems: &[String], findings: &Findings, page: &mut String) -> fmt::Result {
    let gave_up = findings.gave_up.iter().map(|key| format!("{}: {}", key.key, key.reason));
    let all: Vec<String> = problems.iter().cloned().chain(gave_up).collect();
    if all.is_empty() {
        return Ok(());
    }
    page.push_str("<ul class=\"bad\">");
    for problem in &all {
        write!(page, "<li>{}</li>", Text(problem))?;
    }
    page.push_str("</ul>\n");
    Ok(())
}

/// Faults and changes in words.
fn write_events(phase: &PhaseReport, page: &mut String) -> fmt::Result {
    if phase.faults.is_empty() && phase.changes.is_empty() {
        return Ok(());
    }
    let mut events: Vec<(Ticks, String)> = Vec::new();
    for fault in &phase.faults {
        let lasted = seconds(fault.ended - fault.began);
        events.push((fault.began, format!("<b>{}</b> (for {lasted})", Text(&fault.words))));
    }
    for change in &phase.changes {
        let chain = change.partition.as_ref().map(|owner| format!("chain {}, ", Text(owner)));
        events.push((change.at, format!("{}{}", chain.unwrap_or_default(), Text(&change.words))));
    }
    events.sort();
    writeln!(
        page,
        "<details><summary>{} faults, {} changes of the ring</summary><ol class=\"events\">",
        phase.faults.len(),
        phase.changes.len()
    )?;
    for (at, words) in events {
        writeln!(page, "<li><span>{}</span> {words}</li>", seconds(at.saturating_sub(phase.began)))?;
    }
    page.push_str("</ol></details>\n");
    Ok(())
}

fn write_violation(violation: &Violation, page: &mut String) -> fmt::Result {
    let what = match violation.kind {
        ViolationKind::NotLinearizable => {
            "is not linearizable: no order of these operations explains all replies"
        }
        ViolationKind::LostOrUndone => "lost an acknowledged write, or had a delete undone",
    };
    writeln!(page, "<h3>Key <code>{}</code> {what}</h3>", Text(&violation.key))?;
    intervals::write(&violation.intervals, page)?;
    writeln!(
        page,
        "<details><summary>The same in words</summary><pre>{}</pre></details>",
        Text(&violation.words)
    )
}

fn write_legend(page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "<section class=\"legend\"><h2>How to read this</h2>\
         <p>A phase <b>holds</b> if every key's history is linearizable - a single copy of the key, asked by one client after \
         the other, could have given all these answers in an order that agrees with time -, if in the end all replicas are \
         the same and on the right nodes, and if its faults had an effect.</p>\
         <p><b>Failed</b> operations certainly did not happen; of <b>unknown</b> ones the client lost its connection or its \
         patience, and the checker allows for both. The longest <b>gap</b> is the longest time in which no read (write) of \
         some part of the ring was answered.</p>\
         <p>The timeline shows, from above: what was done to each node; each chain while it forms anew; answers per second; \
         how long they took. Point at a mark to read what it is.</p></section>"
    )
}

/// Text as HTML.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

pub(super) fn seconds(nanos: Ticks) -> String {
    format!("{:.2} s", nanos as f64 / 1e9)
}

fn millis(nanos: Ticks) -> String {
    format!("{:.1} ms", nanos as f64 / 1e6)
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(Text("<a href=\"x\">&").to_string(), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
    }
}
