//! libFuzzer drives `fuzz::machine::state::gdoi_state`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::machine::state::gdoi_state(data));
