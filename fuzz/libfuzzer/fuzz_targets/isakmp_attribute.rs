//! libFuzzer drives `fuzz::isakmp::attribute`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::attribute(data));
