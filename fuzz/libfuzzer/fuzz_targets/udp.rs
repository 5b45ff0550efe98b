//! libFuzzer drives `fuzz::packet::udp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet::udp(data));
