//! The committed corpora, replayed without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let name = entry.expect("a folder that opened reads").file_name();
            name.to_string_lossy().into_owned()
        })
        .collect()
}

#[test]
fn every_input_of_every_corpus_passes_its_target() {
    for (name, target) in TARGETS {
        let corpus = folder("corpus").join(name);
        let inputs = names(&corpus);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            let bytes = fs::read(corpus.join(&input)).expect("a listed file reads");
            // The name of the input in hand, for whoever reads the failure.
            let shown = format!("{name}/{input}");
            let passed = std::panic::catch_unwind(|| target(&bytes));
            assert!(passed.is_ok(), "{shown}");
        }
    }
}

/// A peer that knows the keys is worth something only while it is believed.
#[test]
fn a_fifth_of_the_messages_to_the_machines_pass_their_hash() {
    for (name, target) in TARGETS {
        if name.ends_with("_machine") {
            let corpus = folder("corpus").join(name);
            for input in names(&corpus) {
                target(&fs::read(corpus.join(&input)).expect("a listed file reads"));
            }
        }
    }
    let (sent, believed) = fuzz::machine::counts();
    assert!(sent > 0 && believed * 5 >= sent, "{believed} of {sent}");
}

#[test]
fn targets_corpora_and_libfuzzer_shims_are_the_same() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len());
    assert_eq!(names(&folder("corpus")), targets);
    let shims: BTreeSet<String> = names(&folder("libfuzzer/fuzz_targets"))
        .into_iter()
        .map(|file| file.trim_end_matches(".rs").to_owned())
        .collect();
    assert_eq!(shims, targets);
    let manifest = fs::read_to_string(folder("libfuzzer/Cargo.toml")).expect("the manifest reads");
    for target in &targets {
        let path = format!("path = \"fuzz_targets/{target}.rs\"");
        assert!(manifest.contains(&path), "{target} is not in the manifest");
    }
}
