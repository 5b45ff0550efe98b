//! libFuzzer drives `fuzz::isakmp::notify`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::notify(data));
