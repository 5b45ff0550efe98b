//! libFuzzer drives `fuzz::private::policy_blob`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::policy_blob(data));
