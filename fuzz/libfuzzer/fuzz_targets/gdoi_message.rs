//! libFuzzer drives `fuzz::gdoi::message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gdoi::message(data));
