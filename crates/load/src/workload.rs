//! Which operations come next.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::choice::{Choice, Random, Zipfian};
use crate::inserted::Inserted;

/// An operation, with the number of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The key's value is asked for.
    Read(u64),
    /// The key gets another value.
    Write(u64),
    /// The key gets its first value. On the wire, and in what is counted, a write.
    Insert(u64),
}

/// Where a client's operations come from.
pub trait Source {
    /// Adds up to `count` operations, which is at least 1. None means that the client ends.
    fn fill(&mut self, count: usize, operations: &mut Vec<Operation>);

    /// Whether the client goes on after a failure.
    fn goes_on(&self) -> bool;

    /// None of these operations will get an answer any more, or all have.
    fn settle(&mut self, operations: &[Operation]) {
        let _ = operations;
    }
}

/// Each of the first keys once; all clients share the counter.
#[derive(Clone, Debug)]
pub struct Loading {
    next: Rc<Cell<u64>>,
    keys: u64,
}

impl Loading {
    /// Writes the keys below `keys`.
    #[must_use]
    pub fn new(keys: u64) -> Self {
        Self { next: Rc::default(), keys }
    }

    /// Has all clients end after what they have sent.
    pub fn stop(&self) {
        self.next.set(self.keys);
    }
}

impl Source for Loading {
    fn fill(&mut self, count: usize, operations: &mut Vec<Operation>) {
        let first = self.next.get();
        let last = self.keys.min(first + count as u64);
        self.next.set(last);
        operations.extend((first..last).map(Operation::Write));
    }

    /// What one client lost nobody would write again.
    fn goes_on(&self) -> bool {
        false
    }
}

/// How often each kind of operation comes, in percent; together 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Reads.
    pub reads: u32,
    /// Writes of keys that are there.
    pub writes: u32,
    /// Writes of new keys.
    pub inserts: u32,
    /// Reads that are each followed by a write of the same key: two operations, in successive rounds.
    pub read_modify_writes: u32,
}

impl Mix {
    /// That share of reads, in percent, and writes.
    ///
    /// # Panics
    /// When it is more than 100.
    #[must_use]
    pub const fn of_reads(reads: u32) -> Self {
        assert!(reads <= 100, "a share is 100 percent at most");
        Self { reads, writes: 100 - reads, inserts: 0, read_modify_writes: 0 }
    }
}

/// Which keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// A few very often, as YCSB draws them (constant 0.99).
    Zipfian,
    /// Those that were inserted last very often.
    Latest,
}

/// The core workloads of YCSB (Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010) but E, which
/// scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ycsb {
    /// Update heavy.
    A,
    /// Read mostly.
    B,
    /// Read only.
    C,
    /// Read latest.
    D,
    /// Read-modify-write.
    F,
}

impl Ycsb {
    /// Its kinds of operations.
    #[must_use]
    pub const fn mix(self) -> Mix {
        match self {
            Self::A => Mix::of_reads(50),
            Self::B => Mix::of_reads(95),
            Self::C => Mix::of_reads(100),
            Self::D => Mix { reads: 95, writes: 0, inserts: 5, read_modify_writes: 0 },
            Self::F => Mix { reads: 50, writes: 0, inserts: 0, read_modify_writes: 50 },
        }
    }

    /// Its choice of keys.
    #[must_use]
    pub const fn distribution(self) -> Distribution {
        match self {
            Self::A | Self::B | Self::C | Self::F => Distribution::Zipfian,
            Self::D => Distribution::Latest,
        }
    }

    /// Its name, as YCSB writes it.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::A => 'A',
            Self::B => 'B',
            Self::C => 'C',
            Self::D => 'D',
            Self::F => 'F',
        }
    }
}

/// What is done to which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// How many keys there are to begin with; at least 1.
    pub keys: u64,
    /// The kinds of operations.
    pub mix: Mix,
    /// The choice of keys.
    pub distribution: Distribution,
}

/// Operations of a workload until the time is over, for many clients.
#[derive(Debug)]
pub struct Mixed {
    mix: Mix,
    choice: Choice,
    inserted: Inserted,
    seed: u64,
    ends_at: Instant,
}

impl Mixed {
    /// The same seed gives every client the same operations. Takes time in proportion to the keys, unless they are
    /// chosen uniformly.
    #[must_use]
    pub fn new(workload: &Workload, seed: u64, ends_at: Instant) -> Self {
        let limit = workload.keys;
        let inserted = Inserted::new(limit);
        let choice = match workload.distribution {
            Distribution::Uniform => Choice::Uniform { limit },
            Distribution::Zipfian => Choice::Zipfian(Zipfian::new(limit)),
            Distribution::Latest => {
                Choice::Latest { distance: Zipfian::new(limit), inserted: inserted.clone() }
            }
        };
        Self { mix: workload.mix, choice, inserted, seed, ends_at }
    }

    /// The share of one client, with random numbers of its own.
    #[must_use]
    pub fn for_client(&self, client: u32) -> MixedClient {
        MixedClient {
            mix: self.mix,
            choice: self.choice.clone(),
            inserted: self.inserted.clone(),
            random: Random::new(self.seed, client.into()),
            modified: Vec::new(),
            ends_at: self.ends_at,
        }
    }

    /// How many keys there are now, insertions included.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.inserted.end()
    }
}

/// One client's operations.
#[derive(Debug)]
pub struct MixedClient {
    mix: Mix,
    choice: Choice,
    inserted: Inserted,
    random: Random,
    /// Keys that the last round read and this one is to write: as many as a round has operations at most.
    modified: Vec<u64>,
    ends_at: Instant,
}

impl MixedClient {
    fn draw(&mut self) -> Operation {
        let key = self.choice.next(&mut self.random);
        let kind = self.random.below(100) as u32;
        let Mix { reads, writes, inserts, .. } = self.mix;
        if kind < reads {
            Operation::Read(key)
        } else if kind < reads + writes {
            Operation::Write(key)
        } else if kind < reads + writes + inserts {
            Operation::Insert(self.inserted.next())
        } else {
            self.modified.push(key);
            Operation::Read(key)
        }
    }
}

impl Source for MixedClient {
    fn fill(&mut self, count: usize, operations: &mut Vec<Operation>) {
        if Instant::now() >= self.ends_at {
            return;
        }
        operations.extend(self.modified.drain(..).map(Operation::Write));
        while operations.len() < count {
            let operation = self.draw();
            operations.push(operation);
        }
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.ends_at
    }

    fn settle(&mut self, operations: &[Operation]) {
        for operation in operations {
            if let Operation::Insert(key) = operation {
                self.inserted.settle(*key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEYS: u64 = 1000;

    fn client(mix: Mix, distribution: Distribution, seconds: u64) -> MixedClient {
        let ends_at = Instant::now() + Duration::from_secs(seconds);
        Mixed::new(&Workload { keys: KEYS, mix, distribution }, 1, ends_at).for_client(3)
    }

    /// Rounds of 16 operations.
    fn rounds(client: &mut MixedClient, count: usize) -> Vec<Vec<Operation>> {
        (0..count)
            .map(|_| {
                let mut operations = Vec::new();
                client.fill(16, &mut operations);
                client.settle(&operations);
                operations
            })
            .collect()
    }

    /// Percent of reads, writes and insertions.
    fn shares(mix: Mix, distribution: Distribution) -> [f64; 3] {
        let rounds = rounds(&mut client(mix, distribution, 60), 2000);
        let mut counts = [0; 3];
        for operation in rounds.iter().flatten() {
            counts[match operation {
                Operation::Read(_) => 0,
                Operation::Write(_) => 1,
                Operation::Insert(_) => 2,
            }] += 1;
        }
        counts.map(|count| f64::from(count) * 100.0 / (2000.0 * 16.0))
    }

    fn assert_near(shares: [f64; 3], expected: [f64; 3]) {
        for (share, expected) in shares.iter().zip(expected) {
            // 32,000 operations: three standard deviations of a half are 0.84.
            assert!((share - expected).abs() < 0.9, "{shares:?}");
        }
    }

    #[test]
    fn loading_writes_each_key_once() {
        let loading = Loading::new(25);
        let (mut one, mut other) = (loading.clone(), loading.clone());
        let mut operations = Vec::new();
        for _ in 0..2 {
            one.fill(7, &mut operations);
            other.fill(7, &mut operations);
        }
        assert_eq!(operations, (0..25).map(Operation::Write).collect::<Vec<_>>());
        assert!(!one.goes_on());
        let stopped = Loading::new(25);
        stopped.stop();
        stopped.clone().fill(7, &mut operations);
        assert_eq!(operations.len(), 25);
    }

    #[test]
    fn mixture_has_the_share_of_reads_asked_for() {
        assert_eq!(shares(Mix::of_reads(0), Distribution::Uniform), [0.0, 100.0, 0.0]);
        assert_eq!(shares(Mix::of_reads(100), Distribution::Uniform), [100.0, 0.0, 0.0]);
        assert_near(shares(Mix::of_reads(30), Distribution::Zipfian), [30.0, 70.0, 0.0]);
    }

    #[test]
    fn ycsb_has_its_shares() {
        let shares_of = |ycsb: Ycsb| shares(ycsb.mix(), ycsb.distribution());
        assert_near(shares_of(Ycsb::A), [50.0, 50.0, 0.0]);
        assert_near(shares_of(Ycsb::B), [95.0, 5.0, 0.0]);
        assert_eq!(shares_of(Ycsb::C), [100.0, 0.0, 0.0]);
        assert_near(shares_of(Ycsb::D), [95.0, 0.0, 5.0]);
        // Every second read is followed by a write: of three operations two are reads.
        assert_near(shares_of(Ycsb::F), [200.0 / 3.0, 100.0 / 3.0, 0.0]);
    }

    #[test]
    fn modified_keys_were_read_in_the_round_before() {
        let mut client = client(Ycsb::F.mix(), Ycsb::F.distribution(), 60);
        let rounds = rounds(&mut client, 200);
        let mut modified = 0;
        for pair in rounds.windows(2) {
            for write in pair[1].iter().filter(|operation| matches!(operation, Operation::Write(_))) {
                let Operation::Write(key) = *write else { unreachable!("filtered") };
                assert!(pair[0].contains(&Operation::Read(key)));
                modified += 1;
            }
        }
        assert!(modified > 200, "{modified}");
    }

    #[test]
    fn insertions_go_on_from_the_last_key() {
        let mut client = client(Ycsb::D.mix(), Ycsb::D.distribution(), 60);
        let inserted: Vec<u64> = rounds(&mut client, 100)
            .into_iter()
            .flatten()
            .filter_map(|operation| match operation {
                Operation::Insert(key) => Some(key),
                _ => None,
            })
            .collect();
        assert_eq!(inserted, (KEYS..KEYS + inserted.len() as u64).collect::<Vec<_>>());
        assert!(client.inserted.end() > KEYS);
    }

    #[test]
    fn clients_end_when_the_time_is_over() {
        let mut client = client(Mix::of_reads(50), Distribution::Uniform, 0);
        let mut operations = Vec::new();
        client.fill(16, &mut operations);
        assert!(operations.is_empty() && !client.goes_on());
    }
}
