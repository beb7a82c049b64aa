//! What is asserted of a store's files whatever has become of them: one function per fuzz target, in `fuzz/`.
//!
//! They are here, and not beside the targets, because they look at what nobody else may see, and so that ordinary tests
//! can feed them what fuzzing found before. Only tests and fuzzers are built with them.

mod changes;
mod input;
mod log_recovery;
mod stored_record;
mod written;

pub use log_recovery::log_recovery;
pub use stored_record::stored_record;

#[cfg(test)]
#[path = "../../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn kept_inputs_of_stored_record_pass() {
        replay("stored_record", super::stored_record);
    }

    #[test]
    fn kept_inputs_of_log_recovery_pass() {
        replay("log_recovery", super::log_recovery);
    }
}
