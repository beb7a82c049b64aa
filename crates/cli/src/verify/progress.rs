//! What goes on, on standard error: a line that moves on a terminal, a line for each phase elsewhere.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use simpledynamo_tester::{News, PhaseReport};

use crate::terminal::grouped;

/// How often the line moves.
const TICK: Duration = Duration::from_millis(120);

/// Over how long operations are counted for the rate that is shown.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Shows what a run tells.
pub(super) struct Progress {
    bar: ProgressBar,
    is_quiet: bool,
    is_terminal: bool,
    /// When operations were counted last, and how many there were.
    counted: Cell<(Instant, u64)>,
}

impl Progress {
    /// Says nothing at all if it is to be quiet.
    pub(super) fn new(is_quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_quiet || !is_terminal { ProgressBar::hidden() } else { spinner() };
        Self { bar, is_quiet, is_terminal, counted: Cell::new((Instant::now(), 0)) }
    }

    pub(super) fn tell(&self, news: &News<'_>) {
        match news {
            News::Began(phase) => {
                self.bar.set_prefix(format!("{:>2} {}", phase.number, phase.title));
                self.bar.set_message("all nodes run");
            }
            News::Does(words) => self.bar.set_message((*words).to_owned()),
            News::Answered(count) => self.count(*count),
            News::Ended(phase) => self.ended(phase),
        }
    }

    fn count(&self, answered: u64) {
        let (since, before) = self.counted.get();
        let passed = since.elapsed();
        if passed >= RATE_WINDOW {
            let rate = (answered - before) as f64 / passed.as_secs_f64();
            self.bar.set_length(rate.round() as u64);
            self.counted.set((Instant::now(), answered));
        }
    }

    fn ended(&self, phase: &PhaseReport) {
        if self.is_quiet {
            return;
        }
        let line = ended_line(phase);
        match self.is_terminal {
            true => self.bar.println(line),
            false => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("  {spinner} {prefix} · {msg} · {len} operations/s ({elapsed})")
            .expect("a constant template"),
    );
    bar.set_length(0);
    bar.enable_steady_tick(TICK);
    bar
}

/// A phase in a line.
fn ended_line(phase: &PhaseReport) -> String {
    let name = format!("  {:>2} {:<11}", phase.number, phase.name);
    if let Some(reason) = &phase.skipped {
        return format!("{name} left out: {reason}");
    }
    let verdict = if phase.holds() { "holds" } else { "DOES NOT HOLD" };
    let answered = phase.availability.reads.answered + phase.availability.writes.answered;
    let faults = match phase.faults.len() {
        0 => String::new(),
        1 => ", 1 fault".to_owned(),
        several => format!(", {several} faults"),
    };
    let seconds = (phase.ended - phase.began) as f64 / 1e9;
    format!("{name} {verdict}: {} operations answered{faults}, {seconds:.1} s", grouped(answered))
}
