//! libFuzzer drives `fuzz::packet::ip`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet::ip(data));
