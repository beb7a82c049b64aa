//! The text of keys and values.

use std::rc::Rc;

use crate::choice::Random;

/// Digits of a key's number.
const KEY_DIGITS: usize = 12;
const KEY_PREFIX: &[u8; 4] = b"key:";
/// The length of every key, in bytes: `key:` and the digits.
pub const KEY_LENGTH: usize = KEY_PREFIX.len() + KEY_DIGITS;

/// Values are cut from a pool of random bytes longer than any compressor's window of attention, so that they
/// do not shrink on disk more than real ones would.
const POOL_EXTRA: usize = 64 * 1024;

/// The text of a key: `key:000000000000` is the first.
#[must_use]
pub fn key(mut number: u64) -> [u8; KEY_LENGTH] {
    let mut text = [b'0'; KEY_LENGTH];
    text[..KEY_PREFIX.len()].copy_from_slice(KEY_PREFIX);
    for digit in text[KEY_PREFIX.len()..].iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    text
}

/// Where values are cut from. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct Payload {
    pool: Rc<[u8]>,
    value_size: usize,
}

impl Payload {
    /// Values of `value_size` bytes; other seeds give other bytes.
    #[must_use]
    pub fn new(value_size: usize, seed: u64) -> Self {
        let mut random = Random::new(seed, u64::MAX);
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
        let pool = (0..value_size + POOL_EXTRA).map(|_| letters[(random.bits() >> 58) as usize]).collect();
        Self { pool, value_size }
    }

    /// The length of every value, in bytes.
    #[must_use]
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// The next value.
    pub fn value(&self, random: &mut Random) -> &[u8] {
        let at = random.below(POOL_EXTRA as u64) as usize;
        &self.pool[at..at + self.value_size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_count_up() {
        assert_eq!(&key(0), b"key:000000000000");
        assert_eq!(&key(1_234_567), b"key:000001234567");
    }

    #[test]
    fn values_have_their_length_and_differ() {
        let payload = Payload::new(100, 1);
        let mut random = Random::new(1, 0);
        let (one, other) = (payload.value(&mut random).to_vec(), payload.value(&mut random).to_vec());
        assert_eq!((one.len(), other.len()), (100, 100));
        assert_ne!(one, other);
        assert_ne!(Payload::new(100, 2).value(&mut Random::new(1, 0)), one, "the seed decides the bytes");
        assert!(Payload::new(0, 1).value(&mut random).is_empty());
    }
}
