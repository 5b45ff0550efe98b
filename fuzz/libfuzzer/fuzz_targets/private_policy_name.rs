//! libFuzzer drives `fuzz::private::policy_name`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::policy_name(data));
