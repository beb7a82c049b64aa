//! What was found as a picture: a column of panels for each thing that grows, lines of reads and writes.
//!
//! Both axes are logarithmic: what does not depend on what grows is level, what is in proportion to it a straight slope.
//! The panels of a row have the same vertical axis.

use std::fmt::Write as _;

use crate::cell::Operations;
use crate::results::{CPU, Figure, PER_SECOND};
use crate::servers::Target;

use super::Measured;
use super::point::Grows;
use super::scale::Scale;

/// The size of a panel, everything included, and of what stands above all.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 260.0;
const HEADER: f64 = 48.0;

/// What lies around a panel's axes.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;

/// Rows of panels.
const ROWS: [(&str, Figure); 2] = [("CPU us/op of all nodes", CPU), ("operations per second", PER_SECOND)];

/// Lines, in colours that people with any colour vision tell apart (Okabe and Ito).
const LINES: [(&str, Operations, &str); 2] =
    [("reads", Operations::Reads, "#0072b2"), ("writes", Operations::Writes, "#d55e00")];

/// The whole picture.
pub(crate) fn draw(found: &[Measured]) -> String {
    let curves = Grows::ALL.map(|grows| of(found, grows));
    let (width, height) = (WIDTH * curves.len() as f64, HEADER + HEIGHT * ROWS.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"14\">What an operation costs as things grow</text>\n"
    );
    legend(&mut svg);
    for (row, (title, figure)) in ROWS.into_iter().enumerate() {
        let numbers: Vec<f64> = found.iter().flat_map(|measured| values(measured, figure)).collect();
        let up = Scale::around(&numbers, (HEIGHT - BOTTOM, TOP));
        for (column, (grows, curve)) in Grows::ALL.into_iter().zip(&curves).enumerate() {
            let (x, y) = (WIDTH * column as f64, HEADER + HEIGHT * row as f64);
            add(&mut svg, format_args!("<g transform=\"translate({x} {y})\">"));
            add(&mut svg, format_args!("<text x=\"{LEFT}\" y=\"20\" font-weight=\"bold\">{title}</text>"));
            panel(grows, curve, figure, up, &mut svg);
            svg.push_str("</g>\n");
        }
    }
    svg + "</svg>\n"
}

fn add(svg: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(svg, "{line}").expect("a string takes all");
}

/// The points of a curve.
fn of(found: &[Measured], grows: Grows) -> Vec<&Measured> {
    found.iter().filter(|measured| measured.point.grows == grows).collect()
}

/// What can be drawn of a point: a figure of 0 has no place on a logarithmic axis.
fn values(measured: &Measured, figure: Figure) -> impl Iterator<Item = f64> {
    let values = LINES.map(|(_, operations, _)| measured.median(operations, figure));
    values.into_iter().flatten().filter(|value| *value > 0.0)
}

fn legend(svg: &mut String) {
    for (place, (name, _, colour)) in LINES.into_iter().enumerate() {
        let x = LEFT + 330.0 + 80.0 * place as f64;
        add(svg, format_args!("<circle cx=\"{x}\" cy=\"20\" r=\"4\" fill=\"{colour}\"/>"));
        add(svg, format_args!("<text x=\"{}\" y=\"24\">{name}</text>", x + 9.0));
    }
}

fn panel(grows: Grows, curve: &[&Measured], figure: Figure, up: Scale, svg: &mut String) {
    // Points may have been left out; one alone shows no growth.
    let [first, .., last] = curve else { return };
    let (low, high) = (first.point.size() as f64, last.point.size() as f64);
    let across = Scale::exactly(low, high, (LEFT + 12.0, WIDTH - RIGHT));
    for line in up.lines() {
        let y = up.place(line);
        let right = WIDTH - RIGHT;
        add(svg, format_args!("<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>"));
        let (x, y) = (LEFT - 6.0, y + 4.0);
        add(svg, format_args!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", short(line)));
    }
    for measured in curve {
        let (x, y) = (across.place(measured.point.size() as f64), HEIGHT - BOTTOM + 16.0);
        let size = short(measured.point.size() as f64);
        add(svg, format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{size}</text>"));
    }
    let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - BOTTOM + 33.0);
    add(svg, format_args!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", grows.name()));
    for (name, operations, colour) in LINES {
        draw_line(name, operations, colour, curve, figure, (across, up), svg);
    }
}

/// A line and its points; a point with errors is hollow.
fn draw_line(
    name: &str,
    operations: Operations,
    colour: &str,
    curve: &[&Measured],
    figure: Figure,
    (across, up): (Scale, Scale),
    svg: &mut String,
) {
    let mut path = String::new();
    let mut points = String::new();
    for measured in curve {
        let Some(value) = measured.median(operations, figure).filter(|value| *value > 0.0) else { continue };
        let size = measured.point.size();
        let (x, y) = (across.place(size as f64), up.place(value));
        let step = if path.is_empty() { 'M' } else { 'L' };
        write!(path, "{step}{x:.1} {y:.1}").expect("a string takes all");
        let errored = measured.result(operations).errors(Target::Ring) > 0;
        let (fill, mark) = if errored { ("#fff", ", with errors") } else { (colour, "") };
        let grows = measured.point.grows.name();
        add(
            &mut points,
            format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" stroke=\"{colour}\" fill=\"{fill}\">\
                 <title>{name}, {size} {grows}: {value:.1}{mark}</title></circle>"
            ),
        );
    }
    add(svg, format_args!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
    svg.push_str(&points);
}

/// A number in few letters.
fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{}M", number / 1e6),
        number if number >= 1e4 => format!("{}k", number / 1e3),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::tests::measured;

    fn all() -> Vec<Measured> {
        Grows::ALL.into_iter().flat_map(measured).collect()
    }

    #[test]
    fn every_point_is_drawn_within_its_panel() {
        let found = all();
        let svg = draw(&found);
        assert_eq!(svg.matches("<title>").count(), 2 * ROWS.len() * found.len());
        assert!(svg.contains("<title>writes, 1024 connections: 102400.0</title>"));
        let points: Vec<&str> = svg.lines().filter(|line| line.contains("<title>")).collect();
        for line in points {
            let number = |name: &str| {
                let (_, rest) = line.split_once(&format!(" {name}=\"")).expect("there");
                rest.split('"').next().expect("a number").parse::<f64>().expect("a number")
            };
            assert!((LEFT..=WIDTH - RIGHT).contains(&number("cx")), "{line}");
            assert!((TOP..=HEIGHT - BOTTOM).contains(&number("cy")), "{line}");
        }
    }

    #[test]
    fn points_with_errors_are_hollow_and_those_without_answers_left_out() {
        let mut found = all();
        let reads = &mut found[0].reads.samples.get_mut(&Target::Ring).expect("measured")[0];
        reads.errors.insert("ERR".to_owned(), 1);
        let writes = &mut found[0].writes.samples.get_mut(&Target::Ring).expect("measured")[0];
        writes.per_second = 0.0;
        let svg = draw(&found);
        assert_eq!(svg.matches("fill=\"#fff\"><title>").count(), ROWS.len());
        assert_eq!(svg.matches("<title>").count(), 2 * ROWS.len() * found.len() - 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn one_point_is_no_curve() {
        let found = measured(Grows::Keys);
        assert_eq!(draw(&found[..1]).matches("<title>").count(), 0);
        assert_eq!(draw(&found[..2]).matches("<title>").count(), 2 * ROWS.len() * 2);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.5, 20.0, 1_024.0, 20_000.0, 1e7].map(short), ["0.5", "20", "1024", "20k", "10M"]);
    }
}
