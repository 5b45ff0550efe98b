//! libFuzzer drives `fuzz::isakmp::cert`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::cert(data));
