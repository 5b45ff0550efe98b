//! libFuzzer drives `fuzz::isakmp::delete`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::delete(data));
