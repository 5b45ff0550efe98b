//! libFuzzer drives `fuzz::private::kin_nonce`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::kin_nonce(data));
