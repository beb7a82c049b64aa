//! Where a key lives.
//!
//! Nodes and keys share one circle of 160-bit numbers, as in Dynamo (DeCandia et al., 2007, section 4.2).
//! A node stands at the SHA-1 of its name, a key at the SHA-1 of its bytes. The node that owns a key is the
//! first one clockwise whose id is greater than or equal to the key's hash; after the highest id the circle
//! starts again at the lowest. The arc that a node owns is its [`Partition`], and the distinct nodes met from
//! there on are the partition's preference list: the places where its pairs are kept.
//!
//! This crate is pure arithmetic. Who is alive, and which members of a preference list serve, is the
//! business of the topology.

mod ring;
mod token;

pub use ring::{Partition, Ring, RingError};
pub use token::Token;
