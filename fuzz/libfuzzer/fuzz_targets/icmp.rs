//! libFuzzer drives `fuzz::packet::icmp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet::icmp(data));
