//! What is done to a ring, and when: drawn from the seed before anything begins.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

/// Kinds of faults, as the command line chooses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// Processes are killed (SIGKILL).
    Kill,
    /// Processes are stopped as they are and go on later (SIGSTOP, SIGCONT).
    Stop,
    /// Processes are told to end, and started again (SIGTERM).
    Term,
    /// Links between nodes carry nothing.
    Cut,
    /// Clocks run fast or slow, within what leases allow.
    Clock,
    /// A disk fills up.
    Disk,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Kill, Self::Stop, Self::Term, Self::Cut, Self::Clock, Self::Disk];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Term => "term",
            Self::Cut => "cut",
            Self::Clock => "clock",
            Self::Disk => "disk",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn find(named: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == named)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Something that is done to the ring. Nodes are places in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A node is killed. It is started again at once, before anybody can have given it up, or after the others have
    /// gone on without it.
    Kill { node: usize, at_once: bool },
    /// A node hangs, for less or for longer than a lease.
    Stop { node: usize, briefly: bool },
    /// A node stops in order and is started again.
    Term { node: usize },
    /// Whoever leads the control group is killed.
    KillController,
    /// A node that has missed much returns, and is killed again, or another one is, so long after it began to catch up.
    KillAmidRecovery { node: usize, victim: usize, after: Duration },
    /// All nodes are killed at once, and come back in this order with these pauses.
    KillAll { order: Vec<usize>, pauses: Vec<Duration> },
    /// Nothing passes between two nodes.
    CutPair { one: usize, other: usize },
    /// Nothing passes between a node and the others.
    CutOff { node: usize },
    /// Nothing passes from one node to another; the other way all does.
    CutOneWay { from: usize, to: usize },
    /// Every node's clock runs fast or slow, by parts per million, and one node hangs meanwhile.
    Skew { ppm: Vec<i32>, node: usize },
    /// A second node is killed: after the ring has gone on without the first, or at once.
    KillTwo { first: usize, second: usize, at_once: bool },
    /// A node's disk fills up, and later there is room again.
    FillDisk { node: usize },
}

impl Fault {
    /// Its kind.
    pub(crate) fn kind(&self) -> FaultKind {
        match self {
            Self::Kill { .. }
            | Self::KillController
            | Self::KillAmidRecovery { .. }
            | Self::KillAll { .. }
            | Self::KillTwo { .. } => FaultKind::Kill,
            Self::Stop { .. } => FaultKind::Stop,
            Self::Term { .. } => FaultKind::Term,
            Self::CutPair { .. } | Self::CutOff { .. } | Self::CutOneWay { .. } => FaultKind::Cut,
            Self::Skew { .. } => FaultKind::Clock,
            Self::FillDisk { .. } => FaultKind::Disk,
        }
    }
}

/// A way through the network: what the first node sends to the second.
pub(crate) type Link = (usize, usize);

/// A fault with the time around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// How long clients work undisturbed before it.
    pub(crate) rest: Duration,
    pub(crate) fault: Fault,
    /// How long it lasts, beyond the time until its effect has shown.
    pub(crate) hold: Duration,
}

/// What the faults of a phase are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    KillOnce,
    Kill,
    Stop,
    Controller,
    AmidRecovery,
    WholeRing,
    Rolling,
    Pairs,
    CutOff,
    OneWay,
    Skew,
    Two,
    Disk,
    Mixed,
}

/// Clock rates are off by at most so many parts per million: two nodes then differ by at most the 0.2 % that leases
/// allow for.
const PPM_MAX: i32 = 1_000;

/// The longest time that clients work between two faults, in milliseconds.
const REST_MS_MAX: u64 = 600;

/// The longest time that a fault lasts after its effect has shown, in milliseconds.
const HOLD_MS_MAX: u64 = 700;

/// Cuts last at least so long, in milliseconds: longer than a lease and the patience of a link.
const CUT_MS_MIN: u64 = 1_000;
const CUT_MS_MAX: u64 = 3_500;

impl Plan {
    /// How long a round lasts on an idle machine, so that a phase can be told how many it has.
    pub(crate) fn seconds_per_round(self) -> u32 {
        match self {
            Self::KillOnce | Self::Kill | Self::Stop | Self::Rolling | Self::Mixed => 3,
            Self::Controller | Self::Pairs | Self::CutOff | Self::OneWay | Self::WholeRing => 4,
            Self::AmidRecovery | Self::Two | Self::Skew => 5,
            Self::Disk => 15,
        }
    }

    /// The kinds of faults that it needs. Of those of the mixed one, some are enough.
    pub(crate) fn kinds(self) -> &'static [FaultKind] {
        match self {
            Self::KillOnce
            | Self::Kill
            | Self::Controller
            | Self::AmidRecovery
            | Self::WholeRing
            | Self::Two => &[FaultKind::Kill],
            Self::Stop => &[FaultKind::Stop],
            Self::Rolling => &[FaultKind::Term],
            Self::Pairs | Self::CutOff | Self::OneWay => &[FaultKind::Cut],
            Self::Skew => &[FaultKind::Clock],
            Self::Disk => &[FaultKind::Disk],
            Self::Mixed => &[FaultKind::Kill, FaultKind::Stop, FaultKind::Term, FaultKind::Cut],
        }
    }

    /// The faults of a phase: the same for the same seed.
    pub(crate) fn rounds(
        self,
        rng: &mut Rng,
        nodes: usize,
        count: usize,
        allowed: &[FaultKind],
    ) -> Vec<Round> {
        let mut turns = Turns::new(rng, nodes);
        (0..count).map(|number| self.round(rng, &mut turns, nodes, number, allowed)).collect()
    }

    fn round(
        self,
        rng: &mut Rng,
        turns: &mut Turns,
        nodes: usize,
        number: usize,
        allowed: &[FaultKind],
    ) -> Round {
        let rest = Duration::from_millis(rng.u64(..=REST_MS_MAX));
        let fault = self.fault(rng, turns, nodes, number, allowed);
        let hold = match fault.kind() {
            FaultKind::Cut => rng.u64(CUT_MS_MIN..=CUT_MS_MAX),
            _ => rng.u64(..=HOLD_MS_MAX),
        };
        Round { rest, fault, hold: Duration::from_millis(hold) }
    }

    fn fault(
        self,
        rng: &mut Rng,
        turns: &mut Turns,
        nodes: usize,
        number: usize,
        allowed: &[FaultKind],
    ) -> Fault {
        let node = turns.next(rng);
        let other = another(rng, nodes, node);
        // The first one always lasts, so that each phase sees a failover.
        let in_short = number > 0 && rng.u32(..3) == 0;
        match self {
            Self::KillOnce | Self::Kill => Fault::Kill { node, at_once: in_short },
            Self::Stop => Fault::Stop { node, briefly: in_short },
            Self::Rolling => Fault::Term { node },
            Self::Controller => Fault::KillController,
            Self::AmidRecovery => {
                let after = Duration::from_millis(rng.u64(..=60));
                let victim = if number.is_multiple_of(2) { node } else { other };
                Fault::KillAmidRecovery { node, victim, after }
            }
            Self::WholeRing => {
                let mut order: Vec<usize> = (0..nodes).collect();
                rng.shuffle(&mut order);
                let pauses = order.iter().map(|_| Duration::from_millis(rng.u64(..=300))).collect();
                Fault::KillAll { order, pauses }
            }
            Self::Pairs => Fault::CutPair { one: node, other },
            Self::CutOff => Fault::CutOff { node },
            Self::OneWay => Fault::CutOneWay { from: node, to: other },
            Self::Skew => {
                let ppm = (0..nodes).map(|_| rng.i32(-PPM_MAX..=PPM_MAX)).collect();
                Fault::Skew { ppm, node }
            }
            Self::Two => Fault::KillTwo { first: node, second: other, at_once: in_short },
            Self::Disk => Fault::FillDisk { node },
            Self::Mixed => {
                let plans = [
                    Self::Kill,
                    Self::Stop,
                    Self::Rolling,
                    Self::Pairs,
                    Self::CutOff,
                    Self::OneWay,
                    Self::Controller,
                ];
                let is_allowed = |plan: &Self| plan.kinds().iter().all(|kind| allowed.contains(kind));
                let plans: Vec<Self> = plans.into_iter().filter(is_allowed).collect();
                let plan = rng.choice(plans).unwrap_or(Self::Kill);
                plan.fault(rng, turns, nodes, number, allowed)
            }
        }
    }
}

fn another(rng: &mut Rng, nodes: usize, than: usize) -> usize {
    (than + rng.usize(1..nodes)) % nodes
}

/// Nodes in an order that is drawn, each once before any comes again.
struct Turns {
    nodes: usize,
    left: Vec<usize>,
}

impl Turns {
    fn new(rng: &mut Rng, nodes: usize) -> Self {
        let mut turns = Self { nodes, left: Vec::new() };
        turns.fill(rng);
        turns
    }

    fn fill(&mut self, rng: &mut Rng) {
        self.left = (0..self.nodes).collect();
        rng.shuffle(&mut self.left);
    }

    fn next(&mut self, rng: &mut Rng) -> usize {
        if self.left.is_empty() {
            self.fill(rng);
        }
        self.left.pop().expect("it was filled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANS: [Plan; 14] = [
        Plan::KillOnce,
        Plan::Kill,
        Plan::Stop,
        Plan::Controller,
        Plan::AmidRecovery,
        Plan::WholeRing,
        Plan::Rolling,
        Plan::Pairs,
        Plan::CutOff,
        Plan::OneWay,
        Plan::Skew,
        Plan::Two,
        Plan::Disk,
        Plan::Mixed,
    ];

    fn rounds(plan: Plan, seed: u64, count: usize) -> Vec<Round> {
        plan.rounds(&mut Rng::with_seed(seed), 5, count, &FaultKind::ALL)
    }

    #[test]
    fn a_seed_fixes_the_faults() {
        for plan in PLANS {
            assert_eq!(rounds(plan, 3, 20), rounds(plan, 3, 20), "{plan:?}");
            assert_ne!(rounds(plan, 3, 20), rounds(plan, 4, 20), "{plan:?}");
        }
    }

    #[test]
    fn faults_are_of_the_kinds_that_were_named() {
        for plan in PLANS {
            assert!(rounds(plan, 5, 40).iter().all(|round| plan.kinds().contains(&round.fault.kind())));
        }
        let mut rng = Rng::with_seed(1);
        let only_cuts = Plan::Mixed.rounds(&mut rng, 5, 40, &[FaultKind::Cut]);
        assert!(only_cuts.iter().all(|round| round.fault.kind() == FaultKind::Cut));
    }

    #[test]
    fn each_node_has_its_turn() {
        let killed = |round: &Round| match round.fault {
            Fault::Kill { node, .. } => node,
            _ => unreachable!("this plan only kills"),
        };
        let mut nodes: Vec<usize> = rounds(Plan::KillOnce, 9, 5).iter().map(killed).collect();
        nodes.sort_unstable();
        assert_eq!(nodes, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn nobody_is_cut_from_itself() {
        for round in rounds(Plan::Pairs, 1, 200) {
            assert!(matches!(round.fault, Fault::CutPair { one, other } if one != other && other < 5));
        }
    }
}
