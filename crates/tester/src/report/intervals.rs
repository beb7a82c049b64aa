//! The operations of a violation as intervals, a row for each client.
//!
//! Only the order of the moments is drawn, for it is all that counts.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use simpledynamo_verify::Ticks;

use crate::judge::Interval;

use super::html::Text;

/// Where the first moment is, and the whole width, in pixels.
const LEFT: f64 = 200.0;
const WIDTH: f64 = 1040.0;

/// The height of a row.
const ROW: f64 = 30.0;

/// Draws the intervals.
pub(super) fn write(intervals: &[Interval], page: &mut String) -> fmt::Result {
    let mut moments: Vec<Ticks> = intervals
        .iter()
        .flat_map(|interval| interval.returned.into_iter().chain([interval.invoked]))
        .collect();
    moments.sort_unstable();
    moments.dedup();
    let step = (WIDTH - LEFT - 10.0) / moments.len().max(1) as f64;
    let x = |at: Ticks| LEFT + step * moments.partition_point(|moment| *moment < at) as f64;
    let rows = rows(intervals);
    let height = ROW * rows.len() as f64 + 10.0;
    writeln!(page, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">")?;
    for (number, row) in rows.iter().enumerate() {
        let y = 5.0 + ROW * number as f64;
        writeln!(
            page,
            "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">client {} at {}</text>",
            LEFT - 10.0,
            y + 18.0,
            row.client,
            Text(&row.node)
        )?;
        let end = row.returned.map_or(WIDTH - 4.0, x);
        let class = match (row.is_origin, row.returned) {
            (_, None) => "interval open",
            (true, Some(_)) => "interval origin",
            (false, Some(_)) => "interval",
        };
        let times = match row.returned {
            Some(returned) => format!("{:.3} to {:.3} ms", millis(row.invoked), millis(returned)),
            None => format!("from {:.3} ms on, outcome unknown", millis(row.invoked)),
        };
        let from = x(row.invoked);
        // A label that begins far to the right would leave the picture.
        let (anchor, at) = if from > WIDTH * 0.6 { ("end", from - 6.0) } else { ("start", from + 6.0) };
        writeln!(
            page,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" rx=\"4\">\
             <title>{} ({times})</title></rect>\
             <text class=\"label\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            (end - from).max(4.0),
            ROW - 8.0,
            Text(&row.label),
            y + 15.0,
            Text(&row.label)
        )?;
    }
    page.push_str("</svg>\n");
    Ok(())
}

/// The intervals in the order of their rows: clients together, each by time.
fn rows(intervals: &[Interval]) -> Vec<&Interval> {
    let mut rows: BTreeMap<(u32, Ticks), &Interval> = BTreeMap::new();
    for interval in intervals {
        rows.insert((interval.client, interval.invoked), interval);
    }
    rows.into_values().collect()
}

fn millis(nanos: Ticks) -> f64 {
    nanos as f64 / 1e6
}
