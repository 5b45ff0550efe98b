//! What operators type: configurations.

use router::config::{parse, render};

/// A configuration, errors and all; one that loads reads back as the same tree.
pub fn router_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match parse("fuzz.cfg", text) {
        Ok(parsed) => {
            let rendered = render(&parsed.config);
            match parse("again.cfg", &rendered) {
                Ok(again) => assert_eq!(again.config, parsed.config, "{rendered}"),
                Err(said) => panic!("{said:?} in\n{rendered}"),
            }
        }
        Err(said) => assert!(said.iter().all(|one| !one.to_string().is_empty())),
    }
}
