//! Points on the circle.

use std::fmt;

use sha1::{Digest, Sha1};

/// A point on the 160-bit circle: the SHA-1 (FIPS 180-4) of a node's name or of a key.
///
/// Tokens compare as big-endian numbers, which is also the order of their bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token([u8; 20]);

impl Token {
    /// The token of a node's name or of a key.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha1::digest(bytes).into())
    }

    /// A token from its 20 bytes, most significant first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The 20 bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The most significant 64 bits: how stored pairs are ordered.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        u64::from_be_bytes(self.0[..8].try_into().expect("eight of twenty bytes"))
    }

    /// The token as a fraction of the whole circle, in `0.0..1.0` (rounded: for display only).
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.prefix() as f64 / 2f64.powi(64)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
