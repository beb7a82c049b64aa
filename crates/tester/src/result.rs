//! What a run found.

use serde::Serialize;
use simpledynamo_verify::Ticks;

use crate::availability::Availability;
use crate::injector::FaultSpan;
use crate::judge::Findings;
use crate::watch::Change;

/// The format of `report.json`. It rises when a field changes its meaning or goes.
const REPORT_FORMAT: u32 = 1;

/// What a run found.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The format of this document.
    pub format: u32,
    /// Whether everything holds: the exit code says the same.
    pub holds: bool,
    /// What was checked, in words.
    pub subject: String,
    /// The version of this program.
    pub program: String,
    /// The seed of all that was drawn.
    pub seed: u64,
    /// Clients at the same time.
    pub clients: u32,
    /// Keys of a phase.
    pub keys: usize,
    /// When it began: date and time of day in UTC, as RFC 3339 has it.
    pub began: String,
    /// How long it took, in nanoseconds.
    pub took: Ticks,
    /// The processors of the machine.
    pub processors: usize,
    /// The servers, by name.
    pub servers: Vec<String>,
    /// The phases, in order.
    pub phases: Vec<PhaseReport>,
    /// What was left of all phases in the end.
    pub finally: Finally,
}

/// What was left of all phases in the end: every operation of the run together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Finally {
    /// What the checker found.
    pub findings: Findings,
    /// What else must not be.
    pub problems: Vec<String>,
}

/// What a phase found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PhaseReport {
    /// Its number.
    pub number: u8,
    /// Its name.
    pub name: String,
    /// What it does.
    pub title: String,
    /// Why it was left out, if it was.
    pub skipped: Option<String>,
    /// When it began, in nanoseconds since the run began.
    pub began: Ticks,
    /// When its clients were done.
    pub ended: Ticks,
    /// The faults, in order.
    pub faults: Vec<FaultSpan>,
    /// Changes of the ring.
    pub changes: Vec<Change>,
    /// What clients had of it.
    pub availability: Availability,
    /// What the checker found.
    pub findings: Findings,
    /// What else must not be.
    pub problems: Vec<String>,
}

impl PhaseReport {
    /// Whether everything holds that the phase looked at.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.hold() && self.problems.is_empty()
    }
}

impl RunReport {
    /// The report of a run, with its verdict.
    pub(crate) fn new(facts: Facts, phases: Vec<PhaseReport>, mut finally: Finally) -> Self {
        if phases.iter().all(|phase| phase.skipped.is_some()) {
            finally.problems.push("every phase was left out: nothing was tested".to_owned());
        }
        let all_hold = phases.iter().all(PhaseReport::holds);
        Self {
            format: REPORT_FORMAT,
            holds: all_hold && finally.findings.hold() && finally.problems.is_empty(),
            subject: facts.subject,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            seed: facts.seed,
            clients: facts.clients,
            keys: facts.keys,
            began: utc(facts.began),
            took: facts.took,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            servers: facts.servers,
            phases,
            finally,
        }
    }

    /// All operations that were checked.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.finally.findings.operations
    }
}

/// What is known of a run before it begins, and when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) subject: String,
    pub(crate) seed: u64,
    pub(crate) clients: u32,
    pub(crate) keys: usize,
    /// In seconds since the Unix epoch.
    pub(crate) began: u64,
    pub(crate) took: Ticks,
    pub(crate) servers: Vec<String>,
}

/// A moment, in seconds since the Unix epoch, as date and time of day in UTC.
fn utc(seconds: u64) -> String {
    let (mut day, time) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_dates() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_547_943), "2026-11-24T19:19:03Z");
        assert_eq!(utc(4_102_444_799), "2099-12-31T23:59:59Z");
    }
}
