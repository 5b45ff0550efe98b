//! libFuzzer drives `fuzz::private::coop`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::coop(data));
