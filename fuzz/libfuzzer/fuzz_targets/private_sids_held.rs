//! libFuzzer drives `fuzz::private::sids_held`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::sids_held(data));
