//! libFuzzer drives `fuzz::gdoi::gap`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::gap(data));
