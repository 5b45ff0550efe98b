//! libFuzzer drives `fuzz::private::key_record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::key_record(data));
