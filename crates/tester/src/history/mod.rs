//! Histories as files: lines of JSON, which this crate writes and reads, and EDN, which it writes for others.
//!
//! `docs/verify.md` describes both formats.

mod edn;
mod lines;
mod read;

pub use edn::write_edn;
pub use lines::write_line;
pub use read::{HistoryFileError, read_history};
