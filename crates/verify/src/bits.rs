//! A small set of slots.

/// The most operations on one key that may be in flight at once: more clients than any load of ours has. The
/// limit keeps a configuration small and free of allocations.
pub(crate) const OPEN_MAX: usize = 256;

const WORDS: usize = OPEN_MAX / 64;

/// A set of slots, each below [`OPEN_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bits([u64; WORDS]);

impl Bits {
    pub(crate) fn has(&self, slot: usize) -> bool {
        self.0[slot / 64] & (1 << (slot % 64)) != 0
    }

    pub(crate) fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    pub(crate) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether all of `other` is in this set.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(mine, theirs)| theirs & !mine == 0)
    }

    /// The lowest slot that is not in the set.
    pub(crate) fn first_free(&self) -> Option<usize> {
        let word = self.0.iter().position(|word| *word != u64::MAX)?;
        Some(word * 64 + self.0[word].trailing_ones() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_told_apart_across_words() {
        let mut bits = Bits::default();
        for slot in 0..OPEN_MAX {
            assert_eq!((bits.first_free(), bits.len()), (Some(slot), slot as u32));
            assert!(!bits.has(slot));
            bits.insert(slot);
            assert!(bits.has(slot));
        }
        assert_eq!(bits.first_free(), None);
        let mut fewer = bits;
        fewer.remove(200);
        assert_eq!(fewer.first_free(), Some(200));
        assert!(bits.covers(&fewer) && bits.covers(&bits) && !fewer.covers(&bits));
    }
}
