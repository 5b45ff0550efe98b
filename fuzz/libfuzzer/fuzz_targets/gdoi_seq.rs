//! libFuzzer drives `fuzz::gdoi::seq`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::seq(data));
