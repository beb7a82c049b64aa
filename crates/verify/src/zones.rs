//! Registers with unique values: the answer without a search.
//!
//! If a key is only read and written, and each value is written once, then every read names the write that it saw.
//! The write of a value and the reads of it form a *cluster*, and an order of all operations is an order of the
//! clusters. All that matters of a cluster is when its first operation ended and when its last one began: if
//! the end comes first, the value must have been there from that end to that beginning (a *forward zone*); if
//! not, all its operations overlap and the value may have been there for an instant anywhere between the two (a
//! *backward zone*). Gibbons and Korach (SIAM Journal on Computing 26, 1997) show that the history is linearizable
//! exactly if no two forward zones overlap, no backward zone lies within a forward one, and no read ended before its
//! write began. Sorting finds that out in O(n log n).

use std::collections::BTreeMap;

use crate::constraint::{Item, Makes, Requires};
use crate::history::Ticks;
use crate::value::State;

/// A moment. The value at the start was written before moment 0, and what never ended ends after all others.
type Moment = i128;

const BEFORE_ALL: Moment = -1;
const AFTER_ALL: Moment = Moment::MAX;

/// The write of one value and the reads of it.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    written: Moment,
    first_end: Moment,
    last_begin: Moment,
    first_read_end: Moment,
    /// The write took effect, or a read shows that it did.
    happened: bool,
}

impl Cluster {
    fn written(begin: Moment, end: Moment, happened: bool) -> Self {
        Self { written: begin, first_end: end, last_begin: begin, first_read_end: AFTER_ALL, happened }
    }

    fn read(&mut self, begin: Moment, end: Moment) {
        self.first_end = self.first_end.min(end);
        self.last_begin = self.last_begin.max(begin);
        self.first_read_end = self.first_read_end.min(end);
        self.happened = true;
    }

    fn is_forward(&self) -> bool {
        self.first_end < self.last_begin
    }

    /// An operation of this cluster precedes one of the other.
    fn precedes(&self, other: &Self) -> bool {
        self.first_end < other.last_begin
    }
}

/// Whether the operations on a key that holds `start` are linearizable. `None` if they are not only reads and
/// writes of unique values.
pub(crate) fn decide(start: State, items: &[Item]) -> Option<bool> {
    let mut clusters = BTreeMap::from([(start, Cluster::written(BEFORE_ALL, BEFORE_ALL, true))]);
    for item in items {
        match (item.requires, item.makes) {
            (Requires::Any, Makes::Becomes(state)) => {
                let cluster = Cluster::written(item.invoked.into(), end(item.until), item.is_required());
                if clusters.insert(state, cluster).is_some() {
                    return None;
                }
            }
            (Requires::Is(_), Makes::Same) => {}
            _ => return None,
        }
    }
    for item in items {
        if let (Requires::Is(state), Makes::Same) = (item.requires, item.makes) {
            let Some(cluster) = clusters.get_mut(&state) else { return Some(false) };
            cluster.read(item.invoked.into(), end(item.until));
        }
    }
    let happened: Vec<Cluster> = clusters.into_values().filter(|cluster| cluster.happened).collect();
    Some(!happened.iter().any(|cluster| cluster.first_read_end < cluster.written) && are_orderable(happened))
}

fn end(until: Option<Ticks>) -> Moment {
    until.map_or(AFTER_ALL, Moment::from)
}

/// Whether no two clusters must each come before the other.
fn are_orderable(clusters: Vec<Cluster>) -> bool {
    let (mut forward, backward): (Vec<_>, Vec<_>) = clusters.into_iter().partition(Cluster::is_forward);
    forward.sort_unstable_by_key(|zone| zone.first_end);
    if forward.windows(2).any(|pair| pair[1].precedes(&pair[0])) {
        return false;
    }
    // The forward zones do not overlap, so that only the last that begins before a backward zone can enclose it.
    backward.iter().all(|zone| {
        let before = forward.partition_point(|other| other.precedes(zone));
        before == 0 || !zone.precedes(&forward[before - 1])
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::checker::{Judgement, Limits, decide_by_search};
    use crate::value::Value;

    /// Up to 40 operations of which write number `n` writes value `n`, and reads tell one of these values, the
    /// start, or one that was never written.
    fn register() -> impl Strategy<Value = Vec<Item>> {
        let write = (0..200_u64, prop::option::weighted(0.9, 0..40_u64));
        let read = (0..16_u32, 0..200_u64, 0..40_u64);
        (prop::collection::vec(write, 0..16), prop::collection::vec(read, 0..24)).prop_map(
            |(writes, reads)| {
                let writes: Vec<Item> =
                    (0..).zip(writes).map(|(value, (at, length))| written(value, at, length)).collect();
                let reads = reads.into_iter().map(|(value, at, length)| match writes.get(value as usize) {
                    // Soon after the write, which is right more often than not.
                    Some(write) => read_of(Some(Value::Text(value)), write.invoked + at % 30, length),
                    None if value == 15 => read_of(Some(Value::Text(99)), at, length),
                    None => read_of(None, at % 20, length),
                });
                writes.iter().copied().chain(reads).collect()
            },
        )
    }

    fn written(value: u32, at: Ticks, length: Option<Ticks>) -> Item {
        let makes = Makes::Becomes(Some(Value::Text(value)));
        Item {
            event: 0,
            requires: Requires::Any,
            makes,
            invoked: at,
            until: length.map(|length| at + length),
        }
    }

    fn read_of(state: State, at: Ticks, length: Ticks) -> Item {
        Item {
            event: 0,
            requires: Requires::Is(state),
            makes: Makes::Same,
            invoked: at,
            until: Some(at + length),
        }
    }

    fn search(items: &[Item]) -> bool {
        let limits = Limits::default();
        let (starts, mut steps) = (BTreeSet::from([None]), limits.steps_max);
        let judgement = decide_by_search(&starts, items, limits.configurations_max, &mut steps);
        judgement.expect("so few operations are within the limits") == Judgement::Possible
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

        #[test]
        fn zones_and_search_agree(items in register(), keep in 1..8_usize) {
            // Parts of the history fail less often than the whole.
            for part in items.chunks(keep.max(items.len() / 4)).chain([&items[..]]) {
                prop_assert_eq!(decide(None, part), Some(search(part)), "{:?}", part);
            }
        }

        /// Dropping reads one by one leads from histories that fail to ones that do not: both sides of the border.
        #[test]
        fn zones_and_search_agree_at_the_border(items in register()) {
            let writes = items.iter().filter(|item| !item.is_observation()).count();
            for count in writes..=items.len() {
                prop_assert_eq!(decide(None, &items[..count]), Some(search(&items[..count])), "{}", count);
            }
        }
    }

    #[test]
    fn what_is_not_a_register_with_unique_values_is_left_to_the_search() {
        assert_eq!(decide(None, &[written(1, 0, Some(1)), written(1, 5, Some(1))]), None);
        assert_eq!(decide(Some(Value::Text(1)), &[written(1, 0, Some(1))]), None);
        let deleted = Item { makes: Makes::Becomes(None), ..written(1, 0, Some(1)) };
        assert_eq!(decide(None, &[deleted]), None);
    }
}
