//! libFuzzer drives `fuzz::isakmp::chain`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::chain(data));
