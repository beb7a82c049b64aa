//! What is asserted of the decoders whatever they are fed: one function per fuzz target, in `fuzz/`.
//!
//! They are here, and not beside the targets, so that ordinary tests can feed them what fuzzing found before. Only
//! tests and fuzzers are built with them.

mod peer_frame;
mod resp_reply;
mod resp_request;

pub use peer_frame::peer_frame;
pub use resp_reply::resp_reply;
pub use resp_request::resp_request;

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn kept_inputs_pass() {
        replay("resp_request", super::resp_request);
        replay("resp_reply", super::resp_reply);
        replay("peer_frame", super::peer_frame);
    }
}
