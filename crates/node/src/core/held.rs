//! Work for the disk that nobody waits for: held back until some comes that somebody waits for, or the next tick.
//!
//! Nobody counts on a watermark's being durable, and what the data does not hold yet is read from the log in memory. Handed
//! over at once, they would wake the threads of the disk as often again as the writes do that they follow.

use std::mem;

use simpledynamo_chain::{Apply, Persist};

use super::disk::{APPLY_BATCH_MAX, weight};

/// Bytes of clean entries that are held at most: little beside what may wait behind them.
const CLEAN_BYTES_MAX: usize = 1 << 20;

/// What is held. Its order is the order in which it was asked for; what goes to the data comes after what goes to the log.
#[derive(Default)]
pub(crate) struct Held {
    changes: Vec<Persist>,
    clean: Vec<Apply>,
    clean_bytes: usize,
}

/// What is to be handed over now.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Released {
    pub(crate) persist: Vec<Persist>,
    pub(crate) apply: Vec<Apply>,
}

impl Held {
    /// Takes work, and gives back what must not wait any longer.
    pub(crate) fn take(&mut self, persist: Vec<Persist>, apply: Vec<Apply>) -> Released {
        let is_awaited = persist.iter().any(Persist::is_awaited);
        let is_page = |change: &Apply| matches!(change, Apply::Page { .. });
        // Whoever sends pages waits for each of them.
        let has_page = apply.iter().any(is_page);
        join(&mut self.changes, persist);
        self.clean_bytes += apply.iter().map(weight).sum::<usize>();
        join(&mut self.clean, apply);
        if has_page || self.clean.len() >= APPLY_BATCH_MAX || self.clean_bytes >= CLEAN_BYTES_MAX {
            self.release()
        } else if is_awaited {
            Released { persist: mem::take(&mut self.changes), apply: Vec::new() }
        } else {
            Released::default()
        }
    }

    /// Gives back all of it.
    pub(crate) fn release(&mut self) -> Released {
        self.clean_bytes = 0;
        Released { persist: mem::take(&mut self.changes), apply: mem::take(&mut self.clean) }
    }
}

/// Adds work behind other work; where there is none, without a copy.
pub(super) fn join<T>(work: &mut Vec<T>, mut more: Vec<T>) {
    if work.is_empty() {
        *work = more;
    } else {
        work.append(&mut more);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use simpledynamo_chain::{Change, CopyPage, DataKey, Displaced, Entry, OpId, Reply, Version};
    use simpledynamo_topology::{Epoch, NodeId, PartitionId, Session};

    use super::*;

    const HERE: PartitionId = PartitionId(0);

    fn entry(seq: u64, length: usize) -> Arc<Entry> {
        Arc::new(Entry {
            version: Version { epoch: Epoch(1), seq },
            id: OpId { node: NodeId(0), session: Session(1), counter: seq },
            floor: 1,
            key: DataKey::of(b"k"),
            change: Change::Put { value: Bytes::from(vec![0; length]), expires_at: None },
            displaced: Displaced::default(),
            reply: Reply::Done,
        })
    }

    fn append(seq: u64) -> Persist {
        Persist::Append { partition: HERE, entry: entry(seq, 1) }
    }

    fn watermark(up_to: u64) -> Persist {
        Persist::Watermark { partition: HERE, up_to }
    }

    fn clean(seq: u64, length: usize) -> Apply {
        Apply::Entry(HERE, entry(seq, length))
    }

    #[test]
    fn a_watermark_waits_for_the_next_write() {
        let mut held = Held::default();
        assert_eq!(held.take(vec![watermark(1)], vec![clean(1, 1)]), Released::default());
        let released = held.take(vec![append(2), watermark(2)], Vec::new());
        assert_eq!(released.persist, [watermark(1), append(2), watermark(2)]);
        assert_eq!(released.apply, [], "the data follows at leisure");
        assert_eq!(held.release(), Released { persist: Vec::new(), apply: vec![clean(1, 1)] });
        assert_eq!(held.release(), Released::default());
    }

    #[test]
    fn a_page_does_not_wait_and_takes_along_what_comes_before_it() {
        let mut held = Held::default();
        let page = CopyPage { number: 0, after: None, records: Vec::new(), end: None };
        let page = || Apply::Page { partition: HERE, attachment: 1, page: Arc::new(page.clone()) };
        held.take(vec![watermark(1)], vec![clean(1, 1)]);
        let released = held.take(Vec::new(), vec![page()]);
        assert_eq!(released, Released { persist: vec![watermark(1)], apply: vec![clean(1, 1), page()] });
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut held = Held::default();
        for seq in 1..APPLY_BATCH_MAX as u64 {
            assert_eq!(held.take(Vec::new(), vec![clean(seq, 0)]), Released::default(), "{seq}");
        }
        assert_eq!(held.take(Vec::new(), vec![clean(0, 0)]).apply.len(), APPLY_BATCH_MAX);
        assert_eq!(held.take(Vec::new(), vec![clean(1, CLEAN_BYTES_MAX / 2)]), Released::default());
        assert_eq!(held.take(Vec::new(), vec![clean(2, CLEAN_BYTES_MAX / 2)]).apply.len(), 2);
        assert_eq!(held.take(Vec::new(), vec![clean(3, CLEAN_BYTES_MAX / 2)]), Released::default());
    }
}
