//! What steps cost as things grow: keys stored, lengths of values, chains, rings.

mod figure;
mod panels;
mod scale;

use std::fs;
use std::path::Path;

/// Measures, prints a table, and draws it.
pub(crate) fn grow(is_large: bool, drawing: &Path) -> Result<(), String> {
    let panels = panels::measure(is_large);
    fs::write(drawing, figure::draw(&panels))
        .map_err(|error| format!("cannot write {}: {error}", drawing.display()))?;
    println!("drawn in {}", drawing.display());
    Ok(())
}

/// Measurements that belong together.
pub(crate) struct Panel {
    /// What is done, in few words.
    pub(crate) title: &'static str,
    /// What grows.
    pub(crate) grows: &'static str,
    /// How it is done.
    pub(crate) series: Vec<Series>,
}

/// One way of doing it.
pub(crate) struct Series {
    /// Its name.
    pub(crate) name: &'static str,
    /// How much there was, and nanoseconds: at least one point, all positive.
    pub(crate) points: Vec<(u64, f64)>,
}

impl Panel {
    /// The panel as lines of a table.
    fn print(&self) {
        print!("\n{:36}", format!("{}, ns by {}", self.title, self.grows));
        self.series.iter().for_each(|series| print!(" {:>18}", series.name));
        println!();
        for (at, (x, _)) in self.series[0].points.iter().enumerate() {
            print!("{x:>36}");
            self.series.iter().for_each(|series| print!(" {:>18.0}", series.points[at].1));
            println!();
        }
    }
}
