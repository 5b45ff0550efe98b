//! libFuzzer drives `fuzz::isakmp::id`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::id(data));
