//! libFuzzer drives `fuzz::private::ack_status`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::private::ack_status(data));
