//! libFuzzer drives `fuzz::packet::pcap`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet::pcap(data));
