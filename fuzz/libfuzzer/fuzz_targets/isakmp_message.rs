//! libFuzzer drives `fuzz::isakmp::message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::message(data));
