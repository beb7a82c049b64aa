//! How far a number may be from what was recorded.

use std::fmt;

/// The share by which a case may become dearer: more than another C library makes of it, less than an allocation that
/// was not there before.
const TOLERATED_PERCENT: u64 = 10;

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// About as recorded.
    Same,
    /// Much cheaper than recorded.
    Cheaper,
    /// Much dearer than recorded.
    Dearer,
    /// It is not recorded.
    New,
    /// It is recorded, and there is no such case.
    Gone,
}

impl Verdict {
    /// Whether the check fails over it.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Dearer | Self::New | Self::Gone)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "",
            Self::Cheaper => "CHEAPER",
            Self::Dearer => "DEARER",
            Self::New => "NOT RECORDED",
            Self::Gone => "GONE",
        })
    }
}

/// Compares what was recorded with what was counted.
pub(crate) fn judge(recorded: Option<u64>, counted: Option<u64>) -> Verdict {
    match (recorded, counted) {
        (None, _) => Verdict::New,
        (_, None) => Verdict::Gone,
        (Some(before), Some(now)) if now * 100 > before * (100 + TOLERATED_PERCENT) => Verdict::Dearer,
        (Some(before), Some(now)) if now * 100 < before * (100 - TOLERATED_PERCENT) => Verdict::Cheaper,
        _ => Verdict::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_more_or_less_is_tolerated() {
        for (now, expected) in [
            (1_101, Verdict::Dearer),
            (1_100, Verdict::Same),
            (1_000, Verdict::Same),
            (900, Verdict::Same),
            (899, Verdict::Cheaper),
        ] {
            assert_eq!(judge(Some(1_000), Some(now)), expected, "{now}");
        }
    }

    #[test]
    fn only_what_is_cheaper_or_the_same_passes() {
        assert!(judge(None, Some(1)).is_failure());
        assert!(judge(Some(1), None).is_failure());
        assert!(judge(Some(1), Some(2)).is_failure());
        assert!(!judge(Some(2), Some(1)).is_failure());
        assert!(!judge(Some(2), Some(2)).is_failure());
    }
}
