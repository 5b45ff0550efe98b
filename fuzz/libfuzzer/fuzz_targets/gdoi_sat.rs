//! libFuzzer drives `fuzz::gdoi::sat`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::sat(data));
