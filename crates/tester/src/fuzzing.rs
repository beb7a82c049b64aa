//! What is asserted of the reader of histories whatever it is fed: the fuzz target `history`, in `fuzz/`.
//!
//! It is here, and not beside the target, so that ordinary tests can feed it what fuzzing found before. Only tests and
//! fuzzers are built with it.

use simpledynamo_verify::Limits;

use crate::history::{read_history, write_edn, write_line};
use crate::judge::judge;

/// So few operations are checked that even the hardest history takes milliseconds.
const JUDGED_MAX: usize = 40;
const LIMITS: Limits = Limits { configurations_max: 1_000, steps_max: 10_000 };

/// A file that can be read is written and read again as the same; it can be checked, and written for others. Anything else
/// is refused with the line that is wrong.
pub fn history(input: &[u8]) {
    let records = match read_history(input) {
        Ok(records) => records,
        Err(error) => return assert!(error.to_string().starts_with("line "), "{error}"),
    };
    let mut written = Vec::new();
    records.iter().for_each(|record| write_line(record, &mut written).expect("memory takes it"));
    assert_eq!(read_history(&written[..]).expect("what was written can be read"), records);

    let few = &records[..records.len().min(JUDGED_MAX)];
    write_edn(few, &mut Vec::new()).expect("memory takes it");
    let findings = judge(few, LIMITS).expect("the reader has checked the times");
    assert_eq!(findings.operations, few.len());
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn kept_inputs_pass() {
        super::replay::replay("history", super::history);
    }
}
