//! libFuzzer drives `fuzz::packet::tcp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet::tcp(data));
