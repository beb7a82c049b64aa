//! Histories of what clients saw, and whether they are linearizable.
//!
//! # The question
//!
//! A [`History`] is what clients can tell: for each operation when it was [invoked](Event::invoked), when the reply
//! came, and what it said. A key is *linearizable* (Herlihy and Wing, 1990) if there is one order of its operations
//! that (a) a single copy of the key, served by one thread, could have gone through with the same replies, and
//! (b) agrees with time: an operation that returned before another was invoked comes first. Equivalently, each
//! operation takes effect at one instant between its invocation and its reply. [`Operation::apply`] is the
//! single copy.
//!
//! Clients do not always learn the outcome. An operation that [certainly did not happen](Outcome::Failed) is left out.
//! One of [unknown outcome](Outcome::Unknown) may take effect at any instant after its invocation, once, or never;
//! it never ends.
//!
//! # The answer
//!
//! 1. *One key at a time.* Linearizability is local (Herlihy and Wing, 1990): a history is linearizable exactly if
//!    each key's part is. [`check`] therefore checks keys one by one, and promises nothing across keys.
//! 2. *Replies become tests.* `GET` that told `a` took effect in state `a` and changed nothing; `INCR` that told 7
//!    took effect in state 6. From there on the kind of operation no longer matters.
//! 3. *Registers with unique values need no search.* If each value is written once, every read names its write, and
//!    comparing when each value must have been there decides the matter in O(n log n) (Gibbons and Korach, 1997).
//! 4. *All else is searched.* Wing and Gong (1993): try each operation that may come first, then each that may come
//!    next, and so on, going back when a reply does not fit. Lowe (2017) adds two things that make it usable:
//!    remember the configurations (the state, and which operations in flight have taken effect) that were seen, and
//!    choose *just in time*, only when an operation ends that has not yet taken effect. This crate keeps the set
//!    of all possible configurations while it walks along time, so that its memory depends on how many operations
//!    overlap and not on how long the history is. Whenever nothing is in flight that set is merely the states in
//!    which the key can be, so that the history falls apart at its quiet moments by itself. The set is kept small
//!    by what the module `search` lists, and a linearizable history is mostly recognised with a small part of it:
//!    the search begins narrow and is widened if it fails.
//! 5. *Unknown outcomes are tried last.* An operation of unknown outcome whose value nobody ever saw is left out at
//!    first. A history accepted without it is linearizable with it, since it may not have happened. A history
//!    rejected without it is searched again with it if that can make a difference: a refused `NX` may be all that was
//!    ever seen of a write.
//! 6. *A rejected history is narrowed down* to the few operations that contradict each other, which
//!    [`Window::render`] draws.
//!
//! The question is NP-complete in general (Gibbons and Korach, 1997), so the search has [`Limits`]. If they do not
//! suffice, the verdict is [`Verdict::GaveUp`], which is not a pass. The loads to check with should write unique
//! values: few histories then are hard, and more faults show.
//!
//! # Left out
//!
//! Expiry times; operations on parts of a value (`APPEND`, `SETRANGE`); fractional increments; anything across keys.
//! Reading and writing of history files is the business of who has files.
//!
//! # Papers
//!
//! - M. Herlihy and J. Wing: Linearizability: a correctness condition for concurrent objects. ACM TOPLAS 12(3), 1990.
//! - J. Wing and C. Gong: Testing and verifying concurrent objects. Journal of Parallel and Distributed
//!   Computing 17, 1993.
//! - P. Gibbons and E. Korach: Testing shared memories. SIAM Journal on Computing 26(4), 1997.
//! - G. Lowe: Testing for linearizability. Concurrency and Computation: Practice and Experience 29(4), 2017.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use simpledynamo_verify::{Condition, Event, History, Limits, Operation, Outcome, Reply, TimeUnit, check};
//!
//! let mut history = History::new();
//! let key = Bytes::from_static(b"cart:7");
//! let value = history.value(b"two apples");
//! let set = Operation::Set { value, condition: Condition::Always, want_old: false };
//! let outcome = Outcome::Known { reply: Reply::Done, returned: 20 };
//! history.push(&key, Event { client: 1, operation: set, invoked: 10, outcome })?;
//! // A read that begins later misses the write.
//! let outcome = Outcome::Known { reply: Reply::Value(None), returned: 40 };
//! history.push(&key, Event { client: 2, operation: Operation::Read, invoked: 30, outcome })?;
//!
//! let findings = check(&history, Limits::default());
//! assert!(!findings.is_linearizable());
//! println!("{}", findings.violations[&key].render(history.values(), TimeUnit::TICKS));
//! # Ok::<(), simpledynamo_verify::HistoryError>(())
//! ```

mod bits;
mod checker;
mod constraint;
mod front;
mod history;
mod operation;
mod problem;
mod render;
mod search;
mod value;
mod window;
mod zones;

pub use checker::{Findings, Limits, Reason, Verdict, check, check_key};
pub use history::{Event, History, HistoryError, KeyHistory, Outcome, Ticks};
pub use operation::{Condition, Operation, Reply};
pub use render::TimeUnit;
pub use value::{State, Value, Values};
pub use window::Window;
