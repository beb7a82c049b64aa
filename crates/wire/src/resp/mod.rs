//! The Redis serialization protocol, versions 2 and 3.
//!
//! A server reads requests with a [`RequestDecoder`] and writes [`Value`]s; a client writes requests with
//! [`encode_command`] and reads values with a [`ReplyDecoder`]. The decoders take bytes off the front of a read
//! buffer as they understand them, keep what they know between calls, and never look at a byte twice, however
//! the stream was cut up on its way.
//!
//! Sources: the protocol specification (<https://redis.io/docs/latest/develop/reference/protocol-spec/>) and,
//! for what it leaves open, the behaviour of the Redis server, whose error texts clients recognise.
//!
//! Left out: streamed strings and aggregates of RESP3 (`$?`, `*?`), which no server sends.

mod decimal;
mod encode;
mod error;
mod inline;
mod line;
mod reply;
mod request;
mod value;

pub use encode::{encode_bulk, encode_command, encode_error, encode_integer, encode_null, encode_simple};
pub use error::ProtocolError;
pub use reply::ReplyDecoder;
pub use request::{RequestDecoder, RequestLimits};
pub use value::Value;

/// The version of the protocol that a connection speaks: `HELLO` chooses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every client understands, and every connection starts with.
    #[default]
    Resp2,
    /// With maps, sets, booleans, doubles and one null.
    Resp3,
}
