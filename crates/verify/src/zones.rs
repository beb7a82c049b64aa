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
