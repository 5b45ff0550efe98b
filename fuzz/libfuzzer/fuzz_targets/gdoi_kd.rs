//! libFuzzer drives `fuzz::gdoi::kd`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::kd(data));
