//! What a seed draws before anything happens: how large the ring is, and what it has to go through.

use simpledynamo_chain::Timing;
use simpledynamo_chain::control::LeaseTerms;

use crate::clock::Micros;
use crate::random::Random;

/// A fixed beginning that random faults would seldom bring about, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// Whatever comes.
    Random,
    /// Nothing happens but one crash (I23).
    Calm,
    /// The majority of voters is cut off and comes back (I24, S9).
    NoMajority,
    /// The whole ring loses power again and again (S23, S42).
    WholeRing,
    /// A chain shrinks to its last member, which dies; the others return first (S22).
    LastMember,
    /// Nodes lose their disks or get old ones back, so that data is copied (S20, S21, S34).
    Copies,
    /// One-way cuts and cuts from the controller only (S1, S10, S37).
    Cuts,
    /// Pauses at every moment, and changing controllers (S2 to S7, S39).
    Pauses,
}

/// What a seed draws before anything happens.
#[derive(Clone, Debug)]
pub(crate) struct Knobs {
    pub(crate) plot: Plot,
    pub(crate) nodes: usize,
    pub(crate) replicas: usize,
    pub(crate) voters: usize,
    pub(crate) terms: LeaseTerms,
    pub(crate) timing: Timing,
    /// How long faults are made.
    pub(crate) faulty: Micros,
    /// From one fault to the next, on average.
    pub(crate) fault_every: Micros,
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    /// From one operation of a client to its next, on average.
    pub(crate) think: Micros,
    /// The longest usual delay of a message.
    pub(crate) delay: Micros,
    /// Messages doubled, in a thousand.
    pub(crate) doubled: u64,
    /// Control messages lost, in a thousand.
    pub(crate) lost: u64,
    /// The longest usual time for a sync.
    pub(crate) sync: Micros,
    /// The longest usual lag of the control log.
    pub(crate) lag: Micros,
    /// Pauses between two steps of one turn, in ten thousand.
    pub(crate) turns: u64,
    pub(crate) tick: Micros,
    /// Batches of the log that are kept though nobody needs them.
    pub(crate) keep: usize,
    pub(crate) leader_change: Micros,
    pub(crate) reads: u64,
    pub(crate) read_from_tail: bool,
}

const MILLI: Micros = 1_000;

impl Knobs {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let plot = match random.below(16) {
            0 => Plot::Calm,
            1 => Plot::NoMajority,
            2 => Plot::WholeRing,
            3 => Plot::LastMember,
            4 | 5 => Plot::Copies,
            6 | 7 => Plot::Cuts,
            8 | 9 => Plot::Pauses,
            _ => Plot::Random,
        };
        let nodes = *random.pick(&[3, 3, 3, 4, 5, 5, 6]);
        let replicas = *random.pick(&[3, 3, 3, 3, 2, 4]);
        let term = *random.pick(&[150, 250, 400, 750]);
        let drift_ppm = *random.pick(&[2_000, 2_000, 20_000]);
        let is_calm = plot == Plot::Calm;
        let sometimes = |random: &mut Random, value| if random.chance(500) && !is_calm { value } else { 0 };
        Self {
            plot,
            nodes,
            replicas: nodes.min(replicas),
            voters: if nodes < 5 { 3 } else { 5 },
            terms: LeaseTerms { term, drift_ppm, margin: 10, renew_every: term / 10 },
            timing: Timing {
                operation: *random.pick(&[400, 1_000, 3_000]),
                read: *random.pick(&[50, 150]),
                resend: *random.pick(&[60, 200]),
                lease: term,
            },
            faulty: random.between(2_000, 6_000) * MILLI,
            fault_every: *random.pick(&[80, 200, 400]) * MILLI,
            clients: random.index(4) + 2,
            keys: random.index(6) + 3,
            think: *random.pick(&[40, 100, 300]) * MILLI,
            delay: if is_calm { MILLI } else { *random.pick(&[300, 2 * MILLI, 30 * MILLI]) },
            doubled: sometimes(random, 8),
            lost: sometimes(random, 30),
            sync: if is_calm { 2 * MILLI } else { *random.pick(&[500, 5 * MILLI, 30 * MILLI]) },
            lag: if is_calm { 2 * MILLI } else { *random.pick(&[2 * MILLI, 20 * MILLI, 200 * MILLI]) },
            turns: if plot == Plot::Pauses { 60 } else { sometimes(random, 10) },
            tick: *random.pick(&[10, 10, 20]) * MILLI,
            keep: *random.pick(&[0, 0, 4, 1_000]),
            leader_change: if plot == Plot::Pauses {
                400 * MILLI
            } else if is_calm {
                600_000 * MILLI
            } else {
                *random.pick(&[700 * MILLI, 2_000 * MILLI, 60_000 * MILLI])
            },
            reads: *random.pick(&[300, 500, 700]),
            read_from_tail: random.chance(120),
        }
    }
}
