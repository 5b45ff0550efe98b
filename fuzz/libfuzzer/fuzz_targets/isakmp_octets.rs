//! libFuzzer drives `fuzz::isakmp::octets`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::isakmp::octets(data));
