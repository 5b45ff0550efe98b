//! libFuzzer drives `fuzz::private::fetch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::fetch(data));
