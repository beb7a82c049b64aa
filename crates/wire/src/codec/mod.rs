//! How log entries, records and their parts look in files and frames.
//!
//! An encoding says nothing about itself: the container (a log segment, a keyspace, a frame) carries the
//! version of the format and knows what it holds. Numbers are LEB128 varints in their shortest form, signed
//! ones zigzag first; bytes have their length in front; a choice is a byte; things that rise (the writes of a
//! session) must rise when they are read. So a value has one encoding only, and damage is likely to be noticed
//! even before a checksum is looked at.
//!
//! `put_...` writes into any [`crate::Sink`] and cannot fail. `get_...` takes what it reads off the front of
//! a `Bytes` and fails on anything that `put_...` would not have written; keys and values are slices of that
//! `Bytes`, which they keep alive. After an error the rest of the input means nothing. [`finish`] is for
//! containers that hold one thing and nothing else.

mod copy;
mod entry;
mod log;
mod primitive;

pub use copy::{get_copy_page, put_copy_page};
pub use entry::{
    get_entry, get_op_id, get_record, get_reply, get_version, put_entry, put_op_id, put_record, put_reply,
    put_version,
};
pub use log::{
    get_applied, get_base, get_durable, get_entries, get_persist, put_applied, put_base, put_durable,
    put_entries, put_persist,
};
pub use primitive::{
    finish, get_bool, get_bytes, get_count, get_i64, get_option, get_string, get_u8, get_u16, get_u32,
    get_u64, put_bool, put_bytes, put_count, put_i64, put_option, put_u64,
};

/// Why bytes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends in the middle of something.
    #[error("the data ends at least {missing} bytes too early")]
    Truncated {
        /// How many more bytes would be needed, at least.
        missing: u64,
    },
    /// A varint has more than ten bytes, more than 64 bits, or zeros at its end.
    #[error("a number is written in a form that is not its shortest, or is larger than 64 bits")]
    Number,
    /// A number is larger than its field.
    #[error("{what} is {found}, at most {max} is possible")]
    Range {
        /// The field.
        what: &'static str,
        /// The number.
        found: u64,
        /// The largest possible one.
        max: u64,
    },
    /// A choice that does not exist.
    #[error("{what} cannot be of kind {tag}")]
    Kind {
        /// What the choice is about.
        what: &'static str,
        /// The byte found.
        tag: u8,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// Things that rise do not, or come twice, or are missing where there must be one.
    #[error("{what} do not come once each and in order")]
    Order {
        /// The things.
        what: &'static str,
    },
    /// A container holds more than it should.
    #[error("{0} bytes are left over at the end")]
    LeftOver(usize),
    /// A frame is longer than its receiver takes.
    #[error("a frame announces {length} bytes, at most {max} are taken")]
    FrameTooLong {
        /// The announced length, in bytes.
        length: usize,
        /// The longest one taken, in bytes.
        max: usize,
    },
    /// A connection does not begin as one between nodes does.
    #[error("this is not a connection from a node: is a client using the port for peers?")]
    NotAPeer,
}
