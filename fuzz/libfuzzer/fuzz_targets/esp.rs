//! libFuzzer drives `fuzz::packet::esp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet::esp(data));
