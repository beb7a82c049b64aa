//! What clients do: keys of three classes, and for each client a sequence of operations that follows from a seed.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;

use crate::call::{Call, Kind};

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It is read, written and removed.
    Register,
    /// It changes on conditions.
    Conditional,
    /// It counts.
    Counter,
}

impl Class {
    const ALL: [Self; 3] = [Self::Register, Self::Conditional, Self::Counter];

    /// What is asked of such keys, the more often the more often it stands here.
    fn kinds(self) -> &'static [Kind] {
        use Kind::{Del, Delifeq, Get, Getdel, Incr, Set, SetIfeq, SetNx, SetXx};
        match self {
            Self::Register => &[Get, Get, Get, Get, Set, Set, Set, Set, Del, Getdel],
            Self::Conditional => &[
                Get, Get, Get, Get, Get, Get, SetNx, SetNx, SetNx, SetXx, SetIfeq, SetIfeq, Set, Delifeq, Del,
            ],
            // Sums that never come again leave nothing to guess.
            Self::Counter => &[Get, Get, Incr, Incr],
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Register => 'r',
            Self::Conditional => 'c',
            Self::Counter => 'n',
        }
    }
}

/// A key to work on.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: Bytes,
    class: Class,
}

/// The work of one phase.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) phase: u8,
    pub(crate) keys: Vec<Key>,
    /// Each client has keys of its own.
    is_apart: bool,
    /// What the servers can do.
    known: Vec<Kind>,
    /// Listings are asked for too.
    with_listings: bool,
    /// The longest rest between two operations of a client, in microseconds.
    pause_micros_max: u64,
}

impl Workload {
    /// Work on `count` keys whose names begin with `prefix`.
    pub(crate) fn new(phase: u8, prefix: &str, count: usize) -> Self {
        let key = |number: usize| {
            let class = Class::ALL[number % Class::ALL.len()];
            Key { name: Bytes::from(format!("{prefix}{}{number}", class.letter())), class }
        };
        let keys = (0..count).map(key).collect();
        Self {
            phase,
            keys,
            is_apart: false,
            known: Kind::ALL.to_vec(),
            with_listings: true,
            pause_micros_max: PAUSE_MICROS_MAX,
        }
    }

    /// The same, each client on keys of its own: at least one for each.
    pub(crate) fn apart(phase: u8, prefix: &str, count: usize, clients: u32) -> Self {
        Self { is_apart: true, ..Self::new(phase, prefix, count.max(clients as usize)) }
    }

    /// The same for servers that know these kinds only, and no listings.
    pub(crate) fn limited_to(mut self, known: Vec<Kind>) -> Self {
        self.known = known;
        self.with_listings = false;
        self
    }

    /// The same with clients that hardly rest: without faults, what is wrong may show for a moment only.
    pub(crate) fn pressing(mut self) -> Self {
        self.pause_micros_max = SHORT_PAUSE_MICROS_MAX;
        self
    }

    /// The names of the keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Bytes> {
        self.keys.iter().map(|key| &key.name)
    }
}

/// One listing for so many operations.
const OPERATIONS_PER_LISTING: u32 = 150;

/// A client stays with a node for so many operations, on average.
const OPERATIONS_PER_NODE: u32 = 8;

/// The longest rest between two operations, in microseconds: so that what overlaps stays few enough to check, and a
/// history is no larger than it needs to be.
const PAUSE_MICROS_MAX: u64 = 8_000;
const SHORT_PAUSE_MICROS_MAX: u64 = 500;

/// After one of so many operations a client looks at the key through another node at once: an answer that is out of date
/// is so for a moment only.
const OPERATIONS_PER_SECOND_LOOK: u32 = 3;

/// What a client does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) what: What,
    /// Go to this node; stay otherwise.
    pub(crate) node: Option<usize>,
    /// Look at the key again at once, through the node that is so many places further.
    pub(crate) second_look: Option<usize>,
    /// Rest afterwards.
    pub(crate) pause_micros: u64,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An operation of this kind on that key, by its place in the workload.
    Operation(Kind, usize),
    /// Everything that the node stores.
    ListNode,
    /// Everything.
    ListRing,
}

/// The sequence of what one client does: the same for the same seed, whatever it is told.
#[derive(Debug)]
pub(crate) struct Sequence {
    rng: Rng,
    /// The keys of this client.
    keys: Vec<(usize, Vec<Kind>)>,
    nodes: usize,
    with_listings: bool,
    pause_micros_max: u64,
}

impl Sequence {
    pub(crate) fn new(workload: &Workload, seed: u64, client: u32, clients: u32, nodes: usize) -> Self {
        let phase = u64::from(workload.phase);
        let rng = Rng::with_seed(seed ^ (phase << 48) ^ (u64::from(client) << 24));
        let is_mine = |key: usize| !workload.is_apart || key % clients as usize == client as usize;
        let kinds = |key: &Key| {
            let kinds = key.class.kinds().iter().copied();
            kinds.filter(|kind| workload.known.contains(kind)).collect()
        };
        let keys = workload.keys.iter().enumerate();
        let keys = keys.filter(|(place, _)| is_mine(*place)).map(|(place, key)| (place, kinds(key)));
        Self {
            rng,
            keys: keys.collect(),
            nodes,
            with_listings: workload.with_listings,
            pause_micros_max: workload.pause_micros_max,
        }
    }

    pub(crate) fn next(&mut self) -> Step {
        let node = self.draw(OPERATIONS_PER_NODE).then(|| self.rng.usize(..self.nodes));
        let second_look = self.draw(OPERATIONS_PER_SECOND_LOOK).then(|| self.rng.usize(..self.nodes));
        let pause_micros = self.rng.u64(..=self.pause_micros_max);
        let (key, kinds) = &self.keys[self.rng.usize(..self.keys.len())];
        let kind = kinds[self.rng.usize(..kinds.len())];
        let listing = self.rng.u32(..OPERATIONS_PER_LISTING * 2);
        let what = match listing {
            0 if self.with_listings => What::ListNode,
            1 if self.with_listings => What::ListRing,
            _ => What::Operation(kind, *key),
        };
        Step { what, node, second_look, pause_micros }
    }

    /// True once in so many times.
    fn draw(&mut self, times: u32) -> bool {
        self.rng.u32(..times) == 0
    }
}

/// The values of one client: none is written twice, so that each read names its write.
#[derive(Debug)]
pub(crate) struct Values {
    prefix: String,
    count: u64,
    /// The value that was last seen of a key: what conditions compare with.
    seen: BTreeMap<usize, Bytes>,
}

impl Values {
    pub(crate) fn new(phase: u8, client: u32) -> Self {
        Self { prefix: format!("{phase}.{client}."), count: 0, seen: BTreeMap::new() }
    }

    /// The operation with its values.
    pub(crate) fn call(&mut self, kind: Kind, key: usize) -> Call {
        let seen = || self.seen.get(&key).cloned().unwrap_or_else(|| Bytes::from_static(b"nothing"));
        let expected = seen();
        let mut value = || {
            self.count += 1;
            Bytes::from(format!("{}{}", self.prefix, self.count))
        };
        match kind {
            Kind::Get => Call::Get,
            Kind::Set => Call::Set(value()),
            Kind::SetNx => Call::SetNx(value()),
            Kind::SetXx => Call::SetXx(value()),
            Kind::SetIfeq => Call::SetIfeq { value: value(), expected },
            Kind::Del => Call::Del,
            Kind::Getdel => Call::Getdel,
            Kind::Delifeq => Call::Delifeq(expected),
            Kind::Incr => Call::Incr,
        }
    }

    /// Remembers what a key held.
    pub(crate) fn saw(&mut self, key: usize, value: Bytes) {
        self.seen.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(seed: u64, client: u32) -> Vec<Step> {
        let mut sequence = Sequence::new(&Workload::new(3, "p:", 9), seed, client, 4, 5);
        (0..2_000).map(|_| sequence.next()).collect()
    }

    #[test]
    fn a_seed_fixes_what_each_client_does() {
        assert_eq!(steps(7, 1), steps(7, 1));
        assert_ne!(steps(7, 1), steps(8, 1));
        assert_ne!(steps(7, 1), steps(7, 2));
    }

    #[test]
    fn everything_comes_up() {
        let steps = steps(1, 0);
        for kind in Kind::ALL {
            let has = |step: &Step| matches!(step.what, What::Operation(found, _) if found == kind);
            assert!(steps.iter().any(has), "{kind}");
        }
        for listing in [What::ListNode, What::ListRing] {
            assert!(steps.iter().any(|step| step.what == listing), "{listing:?}");
        }
        for node in 0..5 {
            assert!(steps.iter().any(|step| step.node == Some(node)), "node {node}");
        }
    }

    #[test]
    fn clients_apart_share_no_key() {
        let workload = Workload::apart(2, "p:", 9, 4);
        let keys = |client| {
            let mut sequence = Sequence::new(&workload, 1, client, 4, 5);
            let keys: std::collections::BTreeSet<usize> = (0..1_000)
                .filter_map(|_| match sequence.next().what {
                    What::Operation(_, key) => Some(key),
                    What::ListNode | What::ListRing => None,
                })
                .collect();
            keys
        };
        let all: Vec<_> = (0..4).map(keys).collect();
        assert_eq!(all.iter().map(|keys| keys.len()).sum::<usize>(), 9);
        assert!(all[0].is_disjoint(&all[1]) && all[2].is_disjoint(&all[3]));
    }

    #[test]
    fn servers_are_asked_only_what_they_know() {
        let workload =
            Workload::new(1, "p:", 9).limited_to(vec![Kind::Get, Kind::Set, Kind::Incr, Kind::SetNx]);
        let mut sequence = Sequence::new(&workload, 1, 0, 4, 5);
        for _ in 0..2_000 {
            let What::Operation(kind, _) = sequence.next().what else { panic!("a listing") };
            assert!(workload.known.contains(&kind), "{kind}");
        }
    }

    #[test]
    fn no_value_is_written_twice() {
        let mut values = Values::new(3, 2);
        let first = values.call(Kind::Set, 0);
        values.saw(0, Bytes::from_static(b"x"));
        assert_ne!(values.call(Kind::Set, 0), first);
        assert_eq!(values.call(Kind::Delifeq, 0), Call::Delifeq(Bytes::from_static(b"x")));
    }
}
