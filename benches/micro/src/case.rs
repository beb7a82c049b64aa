//! What is measured, by name.

use crate::cases;

/// A step that is ready to be carried out.
pub(crate) type Step = Box<dyn Repeat>;

/// What can be done again and again.
pub(crate) trait Repeat {
    /// Gets what so many repetitions will use up. This is not measured by time.
    fn make_ready(&mut self, _repetitions: u64) {}

    /// Does it once more.
    fn repeat(&mut self);
}

impl<F: FnMut()> Repeat for F {
    fn repeat(&mut self) {
        self();
    }
}

/// How a step is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// By time, and by the instructions of so many repetitions: enough that what happens now and then, such as a
    /// buffer that grows, has its usual share.
    Counted(u64),
    /// By time alone: how many instructions it takes depends on threads or on the disk.
    #[cfg_attr(not(feature = "storage"), expect(dead_code, reason = "only the store has such steps"))]
    Timed,
}

/// A step with a name.
pub(crate) struct Case {
    /// Small letters, digits and dashes: a bare key in TOML.
    pub(crate) name: &'static str,
    /// What one repetition does.
    pub(crate) about: &'static str,
    /// How it is measured.
    pub(crate) measure: Measure,
    /// Makes what the step needs.
    pub(crate) prepare: fn() -> Step,
}

impl Case {
    /// Prepares the step and carries it out so often.
    pub(crate) fn run(&self, repetitions: u64) {
        let mut step = (self.prepare)();
        step.make_ready(repetitions);
        for _ in 0..repetitions {
            step.repeat();
        }
    }
}

/// All cases, in the order of their way through a node.
pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(cases::ring::cases());
    all.extend(cases::resp::cases());
    all.extend(cases::peer::cases());
    all.extend(cases::log::cases());
    all.extend(cases::chain::cases());
    all.extend(cases::checker::cases());
    #[cfg(feature = "storage")]
    all.extend(cases::store::cases());
    all
}

/// The case of that name.
pub(crate) fn named(name: &str) -> Option<Case> {
    all().into_iter().find(|case| case.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unlike_and_bare_keys() {
        let names: BTreeSet<_> = all().iter().map(|case| case.name).collect();
        assert_eq!(names.len(), all().len());
        let is_bare = |name: &&str| {
            name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
        };
        assert!(names.iter().all(is_bare), "{names:?}");
    }

    /// Steps check what they come to, so that none is measured that has stopped doing its work.
    #[test]
    fn every_step_can_be_repeated() {
        for case in all() {
            case.run(20);
        }
    }
}
