#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| simpledynamo_storage::disk::fuzzing::stored_record(input));
