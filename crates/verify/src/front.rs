//! Sets of configurations, without those that another one outdoes.

use std::collections::BTreeMap;

use crate::bits::Bits;
use crate::problem::{StateId, TaskId};

/// Where a single copy of the key could be at some moment.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) state: StateId,
    /// Operations in flight that took effect already and change something, by slot.
    pub(crate) effects: Bits,
    /// Observations in flight that were made in an earlier state, by slot.
    pub(crate) observed: Bits,
    /// Operations of unknown outcome that took effect, in ascending order.
    pub(crate) used: Vec<TaskId>,
}

impl Configuration {
    pub(crate) fn new(state: StateId) -> Self {
        Self { state, effects: Bits::default(), observed: Bits::default(), used: Vec::new() }
    }

    /// How much of what may still be needed was spent: operations of unknown outcome first, then changes made before
    /// they had to be.
    pub(crate) fn cost(&self) -> (usize, u32) {
        (self.used.len(), self.effects.len())
    }

    /// Forgets that an operation has taken effect. False if it has not.
    pub(crate) fn release(&mut self, slot: usize) -> bool {
        let had = self.effects.has(slot) || self.observed.has(slot);
        self.effects.remove(slot);
        self.observed.remove(slot);
        had
    }
}

/// The part of a configuration in which one can be better than another.
#[derive(Clone, Debug)]
struct Rest {
    observed: Bits,
    used: Vec<TaskId>,
}

impl Rest {
    /// Everything that can follow `other` can follow this one too.
    fn outdoes(&self, observed: &Bits, used: &[TaskId]) -> bool {
        self.observed.covers(observed) && is_subset(&self.used, used)
    }
}

/// Whether all of `few` is in `many`; both ascend.
fn is_subset(few: &[TaskId], many: &[TaskId]) -> bool {
    let mut many = many.iter();
    few.iter().all(|id| many.any(|other| other == id))
}

/// A set of configurations of which none outdoes another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Front {
    groups: BTreeMap<(StateId, Bits), Vec<Rest>>,
    len: usize,
    /// Comparisons made since they were last asked for: the work of keeping the set small.
    compared: u64,
}

impl Front {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a configuration in the set is at least as good.
    pub(crate) fn outdoes(&self, configuration: &Configuration) -> bool {
        let group = self.groups.get(&(configuration.state, configuration.effects));
        group.is_some_and(|group| {
            group.iter().any(|rest| rest.outdoes(&configuration.observed, &configuration.used))
        })
    }

    /// Adds a configuration and drops those that it outdoes. False if one in the set is at least as good.
    pub(crate) fn insert(&mut self, configuration: Configuration) -> bool {
        let Configuration { state, effects, observed, used } = configuration;
        let group = self.groups.entry((state, effects)).or_default();
        self.compared += group.len() as u64;
        if group.iter().any(|rest| rest.outdoes(&observed, &used)) {
            return false;
        }
        let rest = Rest { observed, used };
        let before = group.len();
        group.retain(|other| !rest.outdoes(&other.observed, &other.used));
        self.len -= before - group.len();
        group.push(rest);
        self.len += 1;
        true
    }

    /// The comparisons made since the last call.
    pub(crate) fn take_compared(&mut self) -> u64 {
        std::mem::take(&mut self.compared)
    }

    /// The `width` cheapest configurations.
    pub(crate) fn narrowed(self, width: usize) -> Self {
        let mut configurations: Vec<Configuration> = self.into_configurations().collect();
        configurations.sort_by_key(Configuration::cost);
        let mut front = Self::default();
        for configuration in configurations.into_iter().take(width) {
            front.insert(configuration);
        }
        front
    }

    /// The configurations, in a fixed order.
    pub(crate) fn into_configurations(self) -> impl Iterator<Item = Configuration> {
        self.groups.into_iter().flat_map(|((state, effects), group)| {
            group.into_iter().map(move |Rest { observed, used }| Configuration {
                state,
                effects,
                observed,
                used,
            })
        })
    }

    /// The operations of unknown outcome that every configuration has used.
    pub(crate) fn used_by_all(&self) -> Vec<TaskId> {
        let mut all = self.groups.values().flatten();
        let mut common = all.next().map(|rest| rest.used.clone()).unwrap_or_default();
        for rest in all {
            if common.is_empty() {
                break;
            }
            common.retain(|id| rest.used.binary_search(id).is_ok());
        }
        common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(observed: &[usize], used: &[TaskId]) -> Configuration {
        let mut configuration = Configuration::new(7);
        observed.iter().for_each(|slot| configuration.observed.insert(*slot));
        configuration.used = used.to_vec();
        configuration
    }

    #[test]
    fn more_observations_with_fewer_unknowns_are_better() {
        let mut front = Front::default();
        assert!(front.insert(configuration(&[1], &[4, 9])));
        assert!(!front.insert(configuration(&[1], &[4, 9])), "the same");
        assert!(!front.insert(configuration(&[], &[4, 5, 9])), "less seen, more used");
        assert!(front.insert(configuration(&[], &[4])), "less seen, less used");
        assert!(front.insert(configuration(&[1, 2], &[1, 4])), "more seen, others used");
        assert_eq!((front.len(), front.used_by_all()), (3, vec![4]));
        assert!(front.insert(configuration(&[1, 2], &[])), "better than all");
        assert_eq!((front.len(), front.used_by_all()), (1, vec![]));
    }

    #[test]
    fn another_state_or_other_effects_do_not_compare() {
        let mut front = Front::default();
        assert!(front.insert(configuration(&[1], &[])));
        let mut other = configuration(&[], &[4]);
        other.effects.insert(0);
        assert!(front.insert(other.clone()));
        other.state = 8;
        assert!(front.insert(other));
        assert_eq!(front.into_configurations().count(), 3);
    }
}
