//! libFuzzer drives `fuzz::text::router_config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::text::router_config(data));
