//! libFuzzer drives `fuzz::gdoi::ack`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::ack(data));
