#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| simpledynamo_tester::fuzzing::history(input));
