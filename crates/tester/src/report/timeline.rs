//! A phase as a picture: faults, chains that form anew, answers per second, and how long they took.

use std::fmt::{self, Write as _};

use simpledynamo_verify::Ticks;

use crate::availability::{Latency, PIECES, Piece};
use crate::result::PhaseReport;

use super::html::{Text, seconds};

/// Where the picture's time begins and ends, and its whole width, in pixels.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 1030.0;
const WIDTH: f64 = 1040.0;

/// The height of a node's or chain's row, and of each of the two graphs.
const ROW: f64 = 15.0;
const GRAPH: f64 = 90.0;

/// The room between the parts.
const GAP: f64 = 22.0;

/// No mark is narrower: it could not be pointed at.
const MARK_MIN: f64 = 3.0;

/// The shortest and the longest time that the graph of latencies shows, in nanoseconds.
const LATENCY_MIN: f64 = 1e5;
const LATENCY_MAX: f64 = 1e10;

/// Draws a phase.
pub(super) fn write(phase: &PhaseReport, servers: &[String], page: &mut String) -> fmt::Result {
    let owners = owners(phase);
    let faults_top = 14.0;
    let chains_top = faults_top + ROW * servers.len() as f64 + GAP;
    let rate_top = chains_top + ROW * owners.len() as f64 + if owners.is_empty() { 0.0 } else { GAP };
    let latency_top = rate_top + GRAPH + GAP;
    let bottom = latency_top + GRAPH;
    let scale = Scale { began: phase.began, length: (phase.ended - phase.began).max(1) };

    writeln!(page, "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">", bottom + 20.0)?;
    write_axis(&scale, bottom, page)?;
    write_faults(phase, servers, &scale, faults_top, page)?;
    write_chains(phase, &owners, &scale, chains_top, page)?;
    write_rates(&phase.availability.pieces, scale.length, rate_top, page)?;
    write_latencies(&phase.availability.pieces, latency_top, page)?;
    page.push_str("</svg>\n");
    Ok(())
}

/// From moments to pixels.
struct Scale {
    began: Ticks,
    length: Ticks,
}

impl Scale {
    fn x(&self, at: Ticks) -> f64 {
        let part = at.saturating_sub(self.began) as f64 / self.length as f64;
        LEFT + (RIGHT - LEFT) * part.min(1.0)
    }
}

fn piece_x(place: usize) -> f64 {
    LEFT + (RIGHT - LEFT) * (place as f64 + 0.5) / PIECES as f64
}

fn write_axis(scale: &Scale, bottom: f64, page: &mut String) -> fmt::Result {
    let length = scale.length as f64 / 1e9;
    let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3_600.0]
        .into_iter()
        .find(|step| length / step <= 12.0)
        .unwrap_or(length);
    let mut at = 0.0;
    while at <= length {
        let x = LEFT + (RIGHT - LEFT) * at / length;
        writeln!(
            page,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"8\" y2=\"{bottom:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} s</text>",
            bottom + 14.0,
            (at * 10.0).round() / 10.0
        )?;
        at += step;
    }
    Ok(())
}

fn row_name(name: &str, y: f64, page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 8.0,
        y + ROW - 4.0,
        Text(name)
    )
}

fn mark(class: &str, from: f64, to: f64, y: f64, words: &str, page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\">\
         <title>{}</title></rect>",
        y + 2.0,
        (to - from).max(MARK_MIN),
        ROW - 4.0,
        Text(words)
    )
}

fn write_faults(
    phase: &PhaseReport,
    servers: &[String],
    scale: &Scale,
    top: f64,
    page: &mut String,
) -> fmt::Result {
    for (row, server) in servers.iter().enumerate() {
        let y = top + ROW * row as f64;
        row_name(server, y, page)?;
        for fault in phase.faults.iter().filter(|fault| fault.nodes.contains(server)) {
            let words = format!("{}, for {}", fault.words, seconds(fault.ended - fault.began));
            mark(fault.kind.name(), scale.x(fault.began), scale.x(fault.ended), y, &words, page)?;
        }
    }
    Ok(())
}

/// The owners of the chains that changed, by name.
fn owners(phase: &PhaseReport) -> Vec<&str> {
    let mut owners: Vec<&str> =
        phase.changes.iter().filter_map(|change| change.partition.as_deref()).collect();
    owners.sort_unstable();
    owners.dedup();
    owners
}

fn write_chains(
    phase: &PhaseReport,
    owners: &[&str],
    scale: &Scale,
    top: f64,
    page: &mut String,
) -> fmt::Result {
    for (row, owner) in owners.iter().enumerate() {
        let y = top + ROW * row as f64;
        row_name(&format!("chain {owner}"), y, page)?;
        for change in phase.changes.iter().filter(|change| change.partition.as_deref() == Some(owner)) {
            let x = scale.x(change.at);
            mark("chain", x, x, y, &change.words, page)?;
        }
    }
    Ok(())
}

/// A line through one figure of each piece, with a hole where there is none.
fn line(class: &str, points: impl Iterator<Item = Option<f64>>, page: &mut String) -> fmt::Result {
    write!(page, "<path class=\"{class}\" d=\"")?;
    let mut is_down = false;
    for (place, y) in points.enumerate() {
        if let Some(y) = y {
            // A single point is drawn too.
            let command = if is_down { "L" } else { "M" };
            write!(page, "{command}{:.1} {y:.1}h0.1", piece_x(place))?;
        }
        is_down = y.is_some();
    }
    writeln!(page, "\"/>")
}

fn write_rates(pieces: &[Piece], length: Ticks, top: f64, page: &mut String) -> fmt::Result {
    let per_second = PIECES as f64 / (length as f64 / 1e9);
    let highest = pieces.iter().map(|piece| piece.reads.max(piece.writes)).max().unwrap_or(0).max(1) as f64;
    let y = |count: u64| top + GRAPH - (GRAPH - 4.0) * count as f64 / highest;
    writeln!(
        page,
        "<text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"end\">{2:.0}/s</text>\
         <text class=\"reads\" x=\"{0:.1}\" y=\"{3:.1}\" text-anchor=\"end\">reads</text>\
         <text class=\"writes\" x=\"{0:.1}\" y=\"{4:.1}\" text-anchor=\"end\">writes</text>",
        LEFT - 8.0,
        top + 10.0,
        highest * per_second,
        top + 40.0,
        top + 54.0
    )?;
    for (place, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.errors > 0) {
        writeln!(
            page,
            "<rect class=\"errors\" x=\"{:.1}\" y=\"{:.1}\" width=\"4\" height=\"6\">\
             <title>{} failed or unknown</title></rect>",
            piece_x(place) - 2.0,
            top + GRAPH,
            piece.errors
        )?;
    }
    line("reads", pieces.iter().map(|piece| Some(y(piece.reads))), page)?;
    line("writes", pieces.iter().map(|piece| Some(y(piece.writes))), page)
}

fn write_latencies(pieces: &[Piece], top: f64, page: &mut String) -> fmt::Result {
    let decades = (LATENCY_MAX / LATENCY_MIN).log10();
    let y = |nanos: Ticks| {
        let part = ((nanos as f64).clamp(LATENCY_MIN, LATENCY_MAX) / LATENCY_MIN).log10() / decades;
        top + GRAPH - (GRAPH - 4.0) * part
    };
    for (nanos, name) in [(1_000_000, "1 ms"), (100_000_000, "100 ms"), (1_000_000_000, "1 s")] {
        writeln!(
            page,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\
             <text x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\">{name}</text>",
            y(nanos),
            LEFT - 8.0,
            y(nanos) + 4.0
        )?;
    }
    let mut draw = |class: &str, figure: fn(&Latency) -> Ticks| {
        let figures = pieces.iter().map(|piece| Some(figure(&piece.latency)).filter(|nanos| *nanos > 0));
        line(class, figures.map(|figure| figure.map(y)), page)
    };
    draw("max", |latency| latency.max)?;
    draw("p99", |latency| latency.p99)?;
    draw("p50", |latency| latency.p50)?;
    writeln!(
        page,
        "<text class=\"p50\" x=\"4\" y=\"{:.1}\">p50</text><text class=\"p99\" x=\"4\" y=\"{:.1}\">p99</text>\
         <text class=\"max\" x=\"4\" y=\"{:.1}\">max</text>",
        top + 84.0,
        top + 58.0,
        top + 22.0
    )
}
