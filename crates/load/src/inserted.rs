//! Keys that come to be during a measurement.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// The numbers of keys that all clients together insert, in order, and up to where they are there.
///
/// A key may be read once it and all before it are settled: answered, in whatever way (YCSB's
/// `AcknowledgedCounterGenerator`). What was inserted in vain is settled too, or the others would wait for ever; a
/// read of it is a miss.
#[derive(Clone, Debug)]
pub(crate) struct Inserted(Rc<RefCell<Counters>>);

#[derive(Debug)]
struct Counters {
    /// All keys below are settled.
    settled_below: u64,
    /// Which keys from there on are settled. As long as what is in flight: clients times their pipelines at most.
    settled: VecDeque<bool>,
}

impl Inserted {
    /// The keys below `first` are there.
    pub(crate) fn new(first: u64) -> Self {
        Self(Rc::new(RefCell::new(Counters { settled_below: first, settled: VecDeque::new() })))
    }

    /// The number of the key to insert next.
    pub(crate) fn next(&self) -> u64 {
        let mut counters = self.0.borrow_mut();
        counters.settled.push_back(false);
        counters.settled_below + counters.settled.len() as u64 - 1
    }

    /// One more than the highest key that may be read.
    pub(crate) fn end(&self) -> u64 {
        self.0.borrow().settled_below
    }

    /// An insertion was answered, or will not be.
    pub(crate) fn settle(&self, key: u64) {
        let mut counters = self.0.borrow_mut();
        let place = (key - counters.settled_below) as usize;
        counters.settled[place] = true;
        while counters.settled.front() == Some(&true) {
            counters.settled.pop_front();
            counters.settled_below += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_settled_without_gaps_may_be_read() {
        let inserted = Inserted::new(10);
        let other_client = inserted.clone();
        assert_eq!([inserted.next(), other_client.next(), inserted.next()], [10, 11, 12]);
        assert_eq!(inserted.end(), 10);
        inserted.settle(11);
        assert_eq!(inserted.end(), 10, "10 is in flight");
        other_client.settle(10);
        assert_eq!(inserted.end(), 12);
        assert_eq!(inserted.next(), 13);
        inserted.settle(12);
        inserted.settle(13);
        assert_eq!((inserted.end(), inserted.next()), (14, 14));
    }
}
