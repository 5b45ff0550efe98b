//! libFuzzer drives `fuzz::private::part`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::part(data));
