//! libFuzzer drives `fuzz::machine::gm::gm_machine`, and says how many messages were believed.

#![no_main]

use std::sync::Once;

unsafe extern "C" {
    fn atexit(last: extern "C" fn()) -> i32;
}

extern "C" fn say() {
    let (sent, passed) = fuzz::machine::counts();
    eprintln!("stat::messages_believed: {passed} of {sent}");
}

static AT_THE_END: Once = Once::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // SAFETY: `say` neither unwinds nor touches anything but two counters.
    AT_THE_END.call_once(|| assert_eq!(unsafe { atexit(say) }, 0));
    fuzz::machine::gm::gm_machine(data);
});
