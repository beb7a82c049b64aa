//! How long a lease is good.

use std::collections::VecDeque;

use crate::Millis;

/// Grants that wait for a topology at the same time: a few, since topologies follow within milliseconds.
const WAITING_MAX: usize = 16;

/// What both sides agree on about leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long a lease lasts (D).
    pub term: Millis,
    /// How far apart two clocks may run, in millionths (rho).
    pub drift_ppm: u64,
    /// A margin on both sides, for the granularity of clocks (delta).
    pub margin: Millis,
    /// From one renewal to the next.
    pub renew_every: Millis,
}

impl LeaseTerms {
    /// Until when a node may use a lease that it asked for at `sent`, by its own clock.
    #[must_use]
    pub fn usable_until(&self, sent: Millis) -> Millis {
        (sent + self.term).saturating_sub(self.drift() + self.margin)
    }

    /// When a lease that was granted at `granted` has run out for certain, by the controller's clock.
    #[must_use]
    pub fn over_at(&self, granted: Millis) -> Millis {
        granted + self.term + self.drift() + self.margin
    }

    /// What a term may differ by on two clocks, rounded up.
    fn drift(&self) -> Millis {
        (self.term * self.drift_ppm).div_ceil(1_000_000)
    }
}

/// A node's right to answer reads, for a time (invariant I7).
#[derive(Clone, Debug, Default)]
pub struct Lease {
    until: Millis,
    /// The topology that is known.
    version: u64,
    /// Ends of leases that may be used once a topology is known.
    waiting: VecDeque<(u64, Millis)>,
}

impl Lease {
    /// A grant came: good until then for who knows this topology.
    pub fn grant(&mut self, until: Millis, version: u64) {
        if version <= self.version {
            self.until = self.until.max(until);
            return;
        }
        self.waiting.push_back((version, until));
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
    }

    /// This topology is known now.
    pub fn know(&mut self, version: u64) {
        self.version = self.version.max(version);
        let known = self.version;
        for (_, until) in self.waiting.iter().filter(|(needed, _)| *needed <= known) {
            self.until = self.until.max(*until);
        }
        self.waiting.retain(|(needed, _)| *needed > known);
    }

    /// The session has ended, or the node stops reading for good: no grant counts any more.
    pub fn end(&mut self) {
        *self = Self { version: self.version, ..Self::default() };
    }

    /// Whether the lease is valid at this moment of the node's clock.
    #[must_use]
    pub fn is_valid(&self, now: Millis) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: LeaseTerms = LeaseTerms { term: 750, drift_ppm: 2_000, margin: 10, renew_every: 75 };

    #[test]
    fn the_node_gives_up_before_the_controller_may_act() {
        // Asked and granted in the same instant, with clocks that run apart by the whole bound in the bad direction.
        let (usable, over) = (TERMS.usable_until(0), TERMS.over_at(0));
        assert_eq!((usable, over), (738, 762));
        let (slow, fast) = (usable as f64 / 0.998, over as f64 / 1.002);
        assert!(slow < fast, "in true time {slow} must come before {fast}");
    }

    #[test]
    fn a_grant_counts_once_its_topology_is_known() {
        let mut lease = Lease::default();
        lease.know(4);
        lease.grant(100, 4);
        lease.grant(200, 6);
        assert!(lease.is_valid(99) && !lease.is_valid(100));
        lease.know(5);
        assert!(!lease.is_valid(150));
        lease.know(7);
        assert!(lease.is_valid(199) && !lease.is_valid(200));
        lease.grant(150, 7);
        assert!(lease.is_valid(199), "an older renewal takes nothing away");
    }

    #[test]
    fn after_the_end_of_a_session_nothing_waits() {
        let mut lease = Lease::default();
        lease.grant(500, 3);
        lease.end();
        lease.know(3);
        assert!(!lease.is_valid(0));
        lease.grant(500, 3);
        assert!(lease.is_valid(499), "a later session's grant counts");
    }
}
