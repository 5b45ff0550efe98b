//! libFuzzer drives `fuzz::packet::ethernet`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet::ethernet(data));
