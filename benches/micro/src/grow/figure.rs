//! Panels as one SVG, to be read on white.

use std::fmt::{self, Write as _};

use super::scale::Scale;
use super::{Panel, Series};

/// Panels side by side.
const COLUMNS: usize = 2;

/// The size of a panel, everything included.
const WIDTH: f64 = 470.0;
/// See [`WIDTH`].
const HEIGHT: f64 = 300.0;

/// What lies around a panel's axes: left, right, top, bottom.
const MARGINS: [f64; 4] = [70.0, 30.0, 62.0, 50.0];

/// Colours that people with any kind of sight tell apart (Okabe and Ito, 2008), of those that show on white.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Draws panels, row by row.
pub(super) fn draw(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64);
    let mut svg = String::new();
    let drawn = draw_into(&mut svg, panels, width, height);
    drawn.expect("a string takes all");
    svg
}

fn draw_into(svg: &mut String, panels: &[Panel], width: f64, height: f64) -> fmt::Result {
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"
    )?;
    for (at, panel) in panels.iter().enumerate() {
        let (column, row) = ((at % COLUMNS) as f64, (at / COLUMNS) as f64);
        writeln!(svg, "<g transform=\"translate({} {})\">", column * WIDTH, row * HEIGHT)?;
        draw_panel(svg, panel)?;
        writeln!(svg, "</g>")?;
    }
    writeln!(svg, "</svg>")
}

fn draw_panel(svg: &mut String, panel: &Panel) -> fmt::Result {
    let [left, right, top, bottom] = MARGINS;
    let points = || panel.series.iter().flat_map(|series| series.points.iter().copied());
    let sizes: Vec<u64> = panel.series[0].points.iter().map(|(size, _)| *size).collect();
    let across = Scale::exactly(sizes[0] as f64, sizes[sizes.len() - 1] as f64, (left, WIDTH - right));
    let up = Scale::around(points().map(|(_, nanos)| nanos), (HEIGHT - bottom, top));

    writeln!(
        svg,
        "<text x=\"{left}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{}</text>",
        panel.title
    )?;
    draw_names(svg, panel)?;
    for tick in up.ticks() {
        let y = up.place(tick);
        writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>",
            WIDTH - right
        )?;
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            y + 4.0,
            time(tick)
        )?;
    }
    let (floor, middle) = (HEIGHT - bottom, (left + WIDTH - right) / 2.0);
    writeln!(
        svg,
        "<line x1=\"{left}\" y1=\"{floor}\" x2=\"{}\" y2=\"{floor}\" stroke=\"#888\"/>",
        WIDTH - right
    )?;
    for size in sizes {
        let x = across.place(size as f64);
        writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            floor + 18.0,
            short(size)
        )?;
    }
    writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        floor + 36.0,
        panel.grows
    )?;
    for (series, colour) in panel.series.iter().zip(COLOURS) {
        draw_series(svg, series, colour, &across, &up)?;
    }
    Ok(())
}

/// The names of the series in their colours, in one line.
fn draw_names(svg: &mut String, panel: &Panel) -> fmt::Result {
    write!(svg, "<text x=\"{}\" y=\"42\">", MARGINS[0])?;
    for (series, colour) in panel.series.iter().zip(COLOURS) {
        write!(svg, "<tspan fill=\"{colour}\" dx=\"6\">&#9679; {}</tspan>", series.name)?;
    }
    writeln!(svg, "</text>")
}

fn draw_series(svg: &mut String, series: &Series, colour: &str, across: &Scale, up: &Scale) -> fmt::Result {
    let places = series.points.iter().map(|(size, nanos)| (across.place(*size as f64), up.place(*nanos)));
    let line: Vec<String> = places.clone().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let line = line.join(" ");
    writeln!(svg, "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>")?;
    for (x, y) in places {
        writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>")?;
    }
    Ok(())
}

/// Nanoseconds in the unit that suits them.
fn time(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 1e3 => format!("{nanos} ns"),
        nanos if nanos < 1e6 => format!("{} us", nanos / 1e3),
        nanos => format!("{} ms", nanos / 1e6),
    }
}

/// A number of things in few letters.
fn short(size: u64) -> String {
    match size {
        size if size >= 1_000_000 => format!("{}M", size / 1_000_000),
        size if size % 1_024 == 0 => format!("{}Ki", size / 1_024),
        size if size >= 10_000 => format!("{}k", size / 1_000),
        size => size.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel() -> Panel {
        let series = |name, nanos: f64| Series { name, points: vec![(10, nanos), (1_000, 100.0 * nanos)] };
        Panel { title: "Title", grows: "things", series: vec![series("one", 10.0), series("two", 20.0)] }
    }

    #[test]
    fn every_point_of_every_panel_is_drawn_inside_its_axes() {
        let svg = draw(&[panel(), panel(), panel()]);
        assert_eq!(svg.matches("<circle").count(), 3 * 4);
        assert_eq!(svg.matches("<polyline").count(), 3 * 2);
        let ordinates = svg.split("cy=\"").skip(1).map(|rest| rest.split('"').next().expect("a number"));
        for y in ordinates {
            let y: f64 = y.parse().expect("a number");
            assert!((MARGINS[2]..=HEIGHT - MARGINS[3]).contains(&y), "{y}");
        }
    }

    #[test]
    fn what_is_opened_is_closed() {
        let svg = draw(&[panel()]);
        for tag in ["svg", "g", "text", "tspan"] {
            let (opened, closed) = (format!("<{tag} "), format!("</{tag}>"));
            assert_eq!(svg.matches(&opened).count(), svg.matches(&closed).count(), "{tag}");
        }
        assert!(
            svg.contains(">Title<") && svg.contains(">things<") && svg.contains("one") && svg.contains("two")
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([20.0, 2_000.0, 5e6].map(time), ["20 ns", "2 us", "5 ms"]);
        assert_eq!(
            [5, 100, 1_000, 1_024, 65_536, 100_000].map(short),
            ["5", "100", "1000", "1Ki", "64Ki", "100k"]
        );
        assert_eq!(short(10_000_000), "10M");
    }
}
