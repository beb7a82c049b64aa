//! The steps, by the part of a node that carries them out.

pub(crate) mod chain;
pub(crate) mod checker;
pub(crate) mod log;
pub(crate) mod peer;
pub(crate) mod resp;
pub(crate) mod ring;
#[cfg(feature = "storage")]
pub(crate) mod store;
