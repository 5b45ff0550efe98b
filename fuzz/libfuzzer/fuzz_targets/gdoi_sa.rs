//! libFuzzer drives `fuzz::gdoi::sa`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::sa(data));
