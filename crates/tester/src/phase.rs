//! The phases of a run: the six of the classic tester, and more.

use std::time::Duration;

use fastrand::Rng;

use crate::fault::{FaultKind, Plan, Round};

/// One phase.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// Its number, from 1 on.
    pub number: u8,
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does.
    pub title: &'static str,
    pub(crate) course: Course,
}

/// How a phase goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// One operation after the other, while all is well.
    Basics,
    /// Clients at the same time, each on its own keys.
    Apart,
    /// Clients at the same time on the same keys.
    Together,
    /// For each kind of operation a node is down.
    OneByOne,
    /// Clients on the same keys, and faults.
    Amid(Plan),
}

const fn phase(number: u8, name: &'static str, title: &'static str, course: Course) -> Phase {
    Phase { number, name, title, course }
}

/// All phases, in order. The first six are those of the classic tester.
pub const PHASES: [Phase; 18] = [
    phase(1, "basics", "insert, query, delete, @ and *, one after the other", Course::Basics),
    phase(2, "apart", "concurrent clients on different keys", Course::Apart),
    phase(3, "together", "concurrent clients on the same keys", Course::Together),
    phase(4, "one-by-one", "a node is down for each kind of operation", Course::OneByOne),
    phase(5, "crash", "a crash and a recovery amid concurrent operations", Course::Amid(Plan::KillOnce)),
    phase(
        6,
        "crashes",
        "one node after another crashes and recovers amid operations",
        Course::Amid(Plan::Kill),
    ),
    phase(7, "hang", "each node hangs and goes on (SIGSTOP, SIGCONT)", Course::Amid(Plan::Stop)),
    phase(8, "controller", "the controller is killed again and again", Course::Amid(Plan::Controller)),
    phase(9, "recovery", "a crash while a node recovers", Course::Amid(Plan::AmidRecovery)),
    phase(10, "whole-ring", "all nodes are killed and started again", Course::Amid(Plan::WholeRing)),
    phase(11, "rolling", "each node is stopped in order and started again", Course::Amid(Plan::Rolling)),
    phase(12, "pairs", "two nodes are cut from each other", Course::Amid(Plan::Pairs)),
    phase(13, "cut-off", "one node is cut off from all others", Course::Amid(Plan::CutOff)),
    phase(14, "one-way", "links are cut one way", Course::Amid(Plan::OneWay)),
    phase(15, "clocks", "clocks run fast and slow, within the bound", Course::Amid(Plan::Skew)),
    phase(16, "two", "two failures in sequence", Course::Amid(Plan::Two)),
    phase(17, "disk", "a disk fills up", Course::Amid(Plan::Disk)),
    phase(18, "mixed", "faults of all kinds by turns", Course::Amid(Plan::Mixed)),
];

/// Clients work so long in a phase without faults, as a part of [`crate::Options::seconds`].
const QUIET_SHARE: u32 = 3;

impl Phase {
    /// The phase of that number or name.
    #[must_use]
    pub fn find(named: &str) -> Option<&'static Self> {
        PHASES.iter().find(|phase| phase.name == named || phase.number.to_string() == named)
    }

    /// The kinds of faults that it injects.
    #[must_use]
    pub fn faults(&self) -> &'static [FaultKind] {
        match self.course {
            Course::Basics | Course::Apart | Course::Together => &[],
            Course::OneByOne => &[FaultKind::Kill],
            Course::Amid(plan) => plan.kinds(),
        }
    }

    /// Whether these kinds are enough for it.
    #[must_use]
    pub fn is_possible_with(&self, allowed: &[FaultKind]) -> bool {
        let mut needed = self.faults().iter();
        match self.course {
            Course::Amid(Plan::Mixed) => needed.any(|kind| allowed.contains(kind)),
            _ => needed.all(|kind| allowed.contains(kind)),
        }
    }

    /// How long clients work if nothing fails.
    pub(crate) fn quiet_time(seconds: u32) -> Duration {
        Duration::from_secs_f64(f64::from(seconds) / f64::from(QUIET_SHARE))
    }

    /// The faults of this phase, in order.
    pub(crate) fn rounds(&self, seed: u64, nodes: usize, seconds: u32, allowed: &[FaultKind]) -> Vec<Round> {
        let Course::Amid(plan) = self.course else { return Vec::new() };
        let count = match plan {
            // The fifth phase of the classic tester has one crash; each disk phase one disk.
            Plan::KillOnce | Plan::Disk => 1,
            _ => (seconds / plan.seconds_per_round()).max(1) as usize,
        };
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(self.number));
        plan.rounds(&mut rng, nodes, count, allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_numbered_and_named_once() {
        for (place, phase) in (1..).zip(&PHASES) {
            assert_eq!(phase.number, place);
            assert_eq!(Phase::find(phase.name).map(|found| found.number), Some(place));
            assert_eq!(Phase::find(&place.to_string()).map(|found| found.name), Some(phase.name));
        }
        assert!(Phase::find("19").is_none());
    }

    #[test]
    fn kinds_choose_phases() {
        let named = |allowed: &[FaultKind]| {
            let possible = PHASES.iter().filter(|phase| phase.is_possible_with(allowed));
            possible.map(|phase| phase.number).collect::<Vec<_>>()
        };
        assert_eq!(named(&FaultKind::ALL).len(), PHASES.len());
        assert_eq!(named(&[]), [1, 2, 3]);
        assert_eq!(named(&[FaultKind::Stop]), [1, 2, 3, 7, 18]);
        assert_eq!(named(&[FaultKind::Cut]), [1, 2, 3, 12, 13, 14, 18]);
    }

    #[test]
    fn longer_phases_have_more_rounds() {
        let crashes = Phase::find("crashes").expect("there is one");
        let rounds = |seconds| crashes.rounds(1, 5, seconds, &FaultKind::ALL).len();
        assert_eq!((rounds(1), rounds(15), rounds(60)), (1, 5, 20));
    }
}
