//! Which key comes next.

use crate::inserted::Inserted;

/// The skew of YCSB's zipfian workloads.
const ZIPFIAN_CONSTANT: f64 = 0.99;

/// A small random number generator (xorshift64*, Vigna 2016): fast, and the same numbers for the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Generators of different streams of one seed give unrelated numbers.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        // One step of splitmix64 spreads neighbouring seeds; the state must not be 0.
        let mut state = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((state ^ (state >> 31)).max(1))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number in `0.0..1.0`.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A distribution over the numbers of keys.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// All alike.
    Uniform {
        /// One more than the highest.
        limit: u64,
    },
    /// The lowest most often.
    Zipfian(Zipfian),
    /// The keys that were inserted last most often, as YCSB's `SkewedLatestGenerator` draws them.
    ///
    /// They come from as many keys before the last one as there were to begin with. YCSB's range grows instead; for
    /// the few keys that a measurement inserts that is the same.
    Latest {
        /// How far back from the last key.
        distance: Zipfian,
        /// Where the last key is; there are at least as many as `distance` may go back.
        inserted: Inserted,
    },
}

impl Choice {
    /// The next number.
    pub(crate) fn next(&self, random: &mut Random) -> u64 {
        match self {
            Self::Uniform { limit } => random.below(*limit),
            Self::Zipfian(zipfian) => zipfian.next(random),
            Self::Latest { distance, inserted } => inserted.end() - 1 - distance.next(random),
        }
    }
}

/// The number of rank `i` (from 1) comes with a probability proportional to `1 / i^0.99`.
///
/// Drawn without a table, by the method of Gray et al., "Quickly generating billion-record synthetic
/// databases" (SIGMOD 1994), which YCSB uses. Which keys are hot does not matter here: the ring places them by
/// their hash.
#[derive(Clone, Debug)]
pub(crate) struct Zipfian {
    limit: u64,
    /// The sum of all `1 / i^0.99`.
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipfian {
    /// Over the numbers below `limit`, which is not 0. Takes time in proportion to `limit`.
    pub(crate) fn new(limit: u64) -> Self {
        let zeta_of =
            |count: u64| -> f64 { (1..=count).map(|rank| (rank as f64).powf(-ZIPFIAN_CONSTANT)).sum() };
        let zeta = zeta_of(limit);
        let spread = 1.0 - (2.0 / limit as f64).powf(1.0 - ZIPFIAN_CONSTANT);
        let eta = spread / (1.0 - zeta_of(2) / zeta);
        Self { limit, zeta, alpha: 1.0 / (1.0 - ZIPFIAN_CONSTANT), eta }
    }

    fn next(&self, random: &mut Random) -> u64 {
        let unit = random.unit();
        let weight = unit * self.zeta;
        if weight < 1.0 {
            return 0;
        }
        if weight < 1.0 + 0.5f64.powf(ZIPFIAN_CONSTANT) {
            return 1.min(self.limit - 1);
        }
        let number = self.limit as f64 * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        (number as u64).min(self.limit - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u64 = 400_000;

    fn counts(choice: &Choice, limit: u64) -> Vec<u64> {
        let mut random = Random::new(7, 0);
        let mut counts = vec![0; limit as usize];
        (0..DRAWS).for_each(|_| counts[choice.next(&mut random) as usize] += 1);
        counts
    }

    /// Whether a count is what a probability leads to, within 5 %.
    fn is_near(count: u64, probability: f64) -> bool {
        (count as f64 / DRAWS as f64 / probability - 1.0).abs() < 0.05
    }

    #[test]
    fn zipfian_has_its_shape() {
        let limit = 1000;
        let counts = counts(&Choice::Zipfian(Zipfian::new(limit)), limit);
        let zeta: f64 = (1..=limit).map(|rank| (rank as f64).powf(-0.99)).sum();
        assert!(is_near(counts[0], 1.0 / zeta), "{}", counts[0]);
        assert!(is_near(counts[1], 0.5f64.powf(0.99) / zeta), "{}", counts[1]);
        for (low, high) in [(2, 10), (10, 100), (100, 1000)] {
            let expected: f64 = (low + 1..=high).map(|rank| (rank as f64).powf(-0.99)).sum::<f64>() / zeta;
            let count: u64 = counts[low as usize..high as usize].iter().sum();
            // The method is exact for the first two ranks and near for ranges of the others.
            assert!((count as f64 / DRAWS as f64 / expected - 1.0).abs() < 0.15, "{low}..{high}: {count}");
        }
    }

    #[test]
    fn latest_follows_what_is_inserted() {
        let (limit, before) = (1000, 5);
        let inserted = Inserted::new(limit);
        (0..before).for_each(|_| inserted.settle(inserted.next()));
        let latest = Choice::Latest { distance: Zipfian::new(limit), inserted: inserted.clone() };
        let counts = counts(&latest, limit + before);
        let zeta: f64 = (1..=limit).map(|rank| (rank as f64).powf(-0.99)).sum();
        assert!(is_near(counts[1004], 1.0 / zeta), "the last key is the most frequent: {}", counts[1004]);
        assert!(is_near(counts[1003], 0.5f64.powf(0.99) / zeta), "{}", counts[1003]);
        assert!(counts[..before as usize].iter().all(|&count| count == 0), "the oldest are out of reach");
        inserted.next();
        let mut random = Random::new(3, 3);
        assert!((0..1000).all(|_| latest.next(&mut random) < 1005), "what is in flight is not read");
    }

    #[test]
    fn uniform_is_even_and_tiny_limits_work() {
        let counts = counts(&Choice::Uniform { limit: 10 }, 10);
        assert!(counts.iter().all(|&count| is_near(count, 0.1)), "{counts:?}");
        for limit in [1, 2, 3] {
            let mut random = Random::new(1, 1);
            let zipfian = Choice::Zipfian(Zipfian::new(limit));
            assert!((0..10_000).all(|_| zipfian.next(&mut random) < limit));
        }
    }

    #[test]
    fn seed_and_stream_decide_the_numbers() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            [random.bits(), random.bits()]
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
