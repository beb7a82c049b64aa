//! The chain's core, driven: requests and messages in, effects carried out.

pub(crate) mod disk;
pub(crate) mod engine;
mod held;
pub(crate) mod pulse;
pub(crate) mod view;
