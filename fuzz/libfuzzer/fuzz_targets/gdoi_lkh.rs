//! libFuzzer drives `fuzz::gdoi::lkh`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::lkh(data));
