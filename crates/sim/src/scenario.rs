//! The situations that a sweep must have met, or it shows nothing.

use std::collections::BTreeMap;

macro_rules! scenarios {
    ($($name:ident: $what:literal,)*) => {
        /// A situation of the list of scenarios that the project keeps.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Scenario {
            $(#[doc = $what] $name,)*
        }

        impl Scenario {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it is about.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$name => $what,)*
                }
            }
        }
    };
}

scenarios! {
    S1: "A removed tail is cut off from the controller, but not from its clients",
    S2: "A pause in a gap of a read or of taking an event",
    S3: "A lease is renewed first, the newer topology applied later",
    S4: "A read at the edge of a lease: captured, and not released",
    S5: "A controller stands still between deciding and proposing; a grant of a deposed one",
    S6: "The same controller leads again",
    S7: "Two nodes think that they are the controller",
    S9: "No majority of voters while the chains are healthy",
    S10: "A one-way or partial cut",
    S11: "A member of a chain crashes while writes are under way",
    S12: "A second failure before the epoch of the first is open",
    S13: "A new head dies before what it proposed again is committed",
    S14: "A discarded write is retried",
    S15: "A chain is put back in order while keys are dirty",
    S16: "A message several epochs old, or of another session",
    S17: "The same epoch is proposed twice",
    S18: "A disk so slow that its node stops renewing",
    S19: "A restart faster than the lease",
    S20: "A node comes back with an empty disk",
    S21: "A node comes back with an old disk",
    S22: "A chain shrinks to one member, which dies, and others return first",
    S23: "The whole ring loses power",
    S24: "A disk that fails",
    S25: "Writes race with the stream to a joiner",
    S26: "A copy of a write meets its original",
    S27: "A disk fails at a head that has accepted",
    S28: "Reads wait through an epoch change",
    S29: "Everything heals",
    S30: "A removed member answers under its lease while the next epoch is formed",
    S32: "A chain is put back in order, its old tail becomes head",
    S33: "A promotion comes too late",
    S34: "Another disk registers while the session on the first lives",
    S35: "A hung head wakes after it was removed",
    S36: "A full copy onto an old store",
    S37: "All renew, but a chain stands still",
    S38: "A voter that has forgotten what it promised is kept out, and let in again",
    S39: "A controller is paused and goes on",
    S40: "A coordinator's session ends with writes in flight",
    S41: "A store opened from the page cache, then power fails",
    S42: "All lose power, and return in turn",
    S43: "A joiner is attached twice",
    S44: "A tail commits and dies while a read upstream waits",
    S8: "A voter restarts and has forgotten what it promised",
}

/// How often each scenario was met.
#[derive(Clone, Debug, Default)]
pub struct Scenarios(pub BTreeMap<Scenario, u64>);

impl Scenarios {
    pub(crate) fn mark(&mut self, scenario: Scenario) {
        *self.0.entry(scenario).or_default() += 1;
    }

    pub(crate) fn mark_if(&mut self, scenario: Scenario, is_met: bool) {
        if is_met {
            self.mark(scenario);
        }
    }

    /// Adds what another run met.
    pub fn add(&mut self, other: &Self) {
        for (scenario, count) in &other.0 {
            *self.0.entry(*scenario).or_default() += count;
        }
    }

    /// Those that were never met.
    #[must_use]
    pub fn missing(&self) -> Vec<Scenario> {
        Scenario::ALL.iter().copied().filter(|scenario| !self.0.contains_key(scenario)).collect()
    }
}
