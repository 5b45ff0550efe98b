//! libFuzzer drives `fuzz::isakmp::sa`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::sa(data));
