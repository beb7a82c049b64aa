//! Bytes to values and back, without a socket or a file in sight.
//!
//! [`resp`] is what clients speak, [`peer`] what nodes say to each other, and [`codec`] how a log entry, a
//! record and all that they consist of look in a file or a frame. All of them write into an [`OutBuffer`], a
//! rope that links large values instead of copying them, and all of them read by cutting slices off the bytes
//! that arrived: a value is not copied between a socket and the log, nor between the log and a socket.
//!
//! What arrives is never trusted. Every length is compared with a bound, and with what is there, before
//! anything is allocated for it; nothing recurses along nested input; and whatever cannot be read is an error
//! that says what is wrong with it.

pub mod codec;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod out;
pub mod peer;
pub mod resp;
mod room;
mod sink;

pub use out::{COPIED_PIECE_MAX, LINKED_PIECE_MIN, OutBuffer};
pub use sink::Sink;
