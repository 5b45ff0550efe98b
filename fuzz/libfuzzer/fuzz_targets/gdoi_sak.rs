//! libFuzzer drives `fuzz::gdoi::sak`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::sak(data));
