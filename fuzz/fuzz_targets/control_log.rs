#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| simpledynamo_control::fuzzing::control_log(input));
