//! The results as a picture: bars of our ratio to each other target, on a logarithmic axis.

use crate::results::{CellResult, PER_SECOND};
use crate::servers::Target;

/// Measures of the picture, in pixels.
const BAR: f64 = 14.0;
const GROUP_GAP: f64 = 18.0;
const LEFT_MIN: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const PLOT_HEIGHT: f64 = 320.0;
const BOTTOM: f64 = 30.0;
const WIDTH_MIN: f64 = 560.0;

/// Cells' names end below their bars, turned by this, in degrees. A letter takes this much of their length.
const TURN: f64 = 50.0;
const LETTER: f64 = 6.0;

/// Where lines are drawn across, as far as the axis reaches.
const LINES: [f64; 13] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// The other targets, in colours that people with any colour vision tell apart (Okabe and Ito).
const OTHERS: [(Target, &str); 3] =
    [(Target::Etcd, "#0072b2"), (Target::RedisAlways, "#d55e00"), (Target::RedisEverysec, "#e69f00")];

/// The vertical axis: ratios from the lowest line to the highest.
#[derive(Clone, Copy)]
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    /// One that has all these ratios, and 1, between two of its lines.
    fn around(ratios: &[f64]) -> Self {
        let least = ratios.iter().copied().fold(0.5, f64::min);
        let most = ratios.iter().copied().fold(2.0, f64::max);
        Self {
            least: LINES.iter().rev().copied().find(|line| *line <= least).unwrap_or(LINES[0]),
            most: LINES.iter().copied().find(|line| *line >= most).unwrap_or(LINES[LINES.len() - 1]),
        }
    }

    /// How far from the top of the picture; a ratio beyond the lines is drawn at the last.
    fn y(self, ratio: f64) -> f64 {
        let ratio = ratio.clamp(self.least, self.most);
        TOP + PLOT_HEIGHT * (self.most / ratio).ln() / (self.most / self.least).ln()
    }
}

/// The whole picture.
pub(crate) fn draw(results: &[CellResult]) -> String {
    let others: Vec<(Target, &str)> = OTHERS
        .into_iter()
        .filter(|(target, _)| results.iter().any(|result| result.samples.contains_key(target)))
        .collect();
    let ratios: Vec<f64> = results
        .iter()
        .flat_map(|result| others.iter().filter_map(|(target, _)| result.ratio(*target, PER_SECOND)))
        .filter(|ratio| *ratio > 0.0)
        .collect();
    let axis = Axis::around(&ratios);
    let group = BAR * others.len() as f64 + GROUP_GAP;
    let lengths: Vec<f64> =
        results.iter().map(|result| LETTER * result.cell.to_string().len() as f64).collect();
    // Names reach to the left of their bars, and those of the first cells beyond the first bar.
    let reach = |place: usize| lengths[place] * TURN.to_radians().cos() - group * place as f64;
    let left = (0..lengths.len()).map(reach).fold(LEFT_MIN, f64::max);
    let width = (left + group * results.len() as f64 + RIGHT).max(WIDTH_MIN);
    let names = lengths.iter().copied().fold(0.0, f64::max) * TURN.to_radians().sin();
    let height = TOP + PLOT_HEIGHT + names + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{left:.0}\" y=\"20\" font-size=\"14\">Five nodes: operations per second, times those of ...</text>\n"
    );
    legend(&others, left, &mut svg);
    lines(axis, left, width - RIGHT, &mut svg);
    for (place, result) in results.iter().enumerate() {
        let x = left + GROUP_GAP / 2.0 + group * place as f64;
        bars(result, &others, axis, x, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(others: &[(Target, &str)], left: f64, svg: &mut String) {
    for (place, (target, colour)) in others.iter().enumerate() {
        let x = left + 165.0 * place as f64;
        svg.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"32\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"42\">{}</text>\n",
            x + 17.0,
            target.name()
        ));
    }
}

fn lines(axis: Axis, left: f64, right: f64, svg: &mut String) {
    for line in LINES.into_iter().filter(|line| (axis.least..=axis.most).contains(line)) {
        let y = axis.y(line);
        let colour = if line == 1.0 { "#222" } else { "#ddd" };
        svg.push_str(&format!(
            "<line x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{line}</text>\n",
            left - 6.0,
            y + 4.0
        ));
    }
}

/// One cell's bars, from the line of 1 up or down, and its name. Where there were errors a bar is a dashed outline.
fn bars(result: &CellResult, others: &[(Target, &str)], axis: Axis, left: f64, svg: &mut String) {
    let base = axis.y(1.0);
    for (place, (target, colour)) in others.iter().enumerate() {
        let Some(ratio) = result.ratio(*target, PER_SECOND).filter(|ratio| *ratio > 0.0) else { continue };
        let errored = result.errors(Target::Ring) + result.errors(*target) > 0;
        let style = if errored {
            format!("fill=\"none\" stroke=\"{colour}\" stroke-dasharray=\"3 2\"")
        } else {
            format!("fill=\"{colour}\"")
        };
        let (x, y) = (left + BAR * place as f64, axis.y(ratio));
        let (top, height) = (y.min(base), (y - base).abs().max(1.0));
        let mark = if errored { ", with errors" } else { "" };
        svg.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" {style}>\
             <title>{}: {ratio:.2} times {}{mark}</title></rect>\n",
            BAR - 2.0,
            result.cell,
            target.name()
        ));
    }
    let (x, y) = (left + BAR * others.len() as f64 / 2.0, TOP + PLOT_HEIGHT + 14.0);
    svg.push_str(&format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-{TURN} {x:.1} {y:.1})\">{}</text>\n",
        result.cell
    ));
}

#[cfg(test)]
mod tests {
    use crate::cell::{READS_64, WRITES_64};
    use crate::results::tests::{result, sample};

    use super::*;

    #[test]
    fn axis_is_logarithmic_and_holds_all() {
        let axis = Axis::around(&[0.3, 12.0]);
        assert_eq!((axis.least, axis.most), (0.2, 20.0));
        assert!((axis.y(2.0) - (TOP + PLOT_HEIGHT / 2.0)).abs() < 1e-9);
        assert_eq!((axis.y(20.0), axis.y(0.2)), (TOP, TOP + PLOT_HEIGHT));
        assert_eq!(axis.y(1e9), TOP, "what is beyond ends at the last line");
        assert_eq!(Axis::around(&[]).least, 0.5);
    }

    #[test]
    fn picture_has_a_bar_for_each_ratio() {
        let mut errored = sample(50.0, 1.0, 1.0);
        errored.errors.insert("ERR".to_owned(), 1);
        let ours = [sample(100.0, 1.0, 1.0)];
        let results = [
            result(WRITES_64, &[(Target::Ring, &ours), (Target::Etcd, &[sample(10.0, 1.0, 1.0)])]),
            result(READS_64, &[(Target::Ring, &ours), (Target::RedisAlways, &[errored])]),
        ];
        let svg = draw(&results);
        assert_eq!(svg.matches("<title>").count(), 2);
        assert!(svg.contains("writes, 64 connections: 10.00 times five-node etcd</title>"));
        assert!(svg.contains("reads, 64 connections: 2.00 times redis-server, always, with errors</title>"));
        assert!(!svg.contains("everysec"), "what was left out is not in the legend");
    }
}
