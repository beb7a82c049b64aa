#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| simpledynamo_wire::fuzzing::resp_request(input));
