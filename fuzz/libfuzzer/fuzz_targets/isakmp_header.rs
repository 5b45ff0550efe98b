//! libFuzzer drives `fuzz::isakmp::header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::header(data));
