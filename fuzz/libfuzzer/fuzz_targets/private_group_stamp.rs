//! libFuzzer drives `fuzz::private::group_stamp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::group_stamp(data));
