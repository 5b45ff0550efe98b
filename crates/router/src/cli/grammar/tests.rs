//! Lines against a small tree: abbreviation, ambiguity, errors, `?`.

use super::*;
use crate::cli::line;

const TREE: &[Syntax] = &[
    Syntax {
        grammar: "show crypto gdoi ks members [ summary ]",
        help: &[("show", "Show")],
    },
    Syntax {
        grammar: "show crypto gdoi",
        help: &[],
    },
    Syntax {
        grammar: "show clock",
        help: &[("clock", "The clock")],
    },
    Syntax {
        grammar: "encryption ( 3des | aes [ 128 | 192 | 256 ] )",
        help: &[],
    },
    Syntax {
        grammar: "rekey lifetime / seconds <seconds:300-86400>",
        help: &[],
    },
    Syntax {
        grammar: "key [ 0 | 6 ] <key:SECRET> address <peer:A.B.C.D> [ <mask:A.B.C.D> ]",
        help: &[],
    },
    Syntax {
        grammar: "description / <text:LINE>",
        help: &[],
    },
    Syntax {
        grammar: "permit ip @address @address",
        help: &[],
    },
];

fn tree() -> Tree {
    Tree::new(TREE.iter().copied())
}

fn parse(text: &str) -> Result<Match, Failure> {
    tree().parse(text, &line::words(text), Form::Set)
}

fn canonical(text: &str) -> String {
    parse(text).map_or_else(|failure| format!("{failure:?}"), |found| found.canonical())
}

#[test]
fn unique_abbreviations_are_read_in_full() {
    assert_eq!(canonical("sh cry gdo"), "show crypto gdoi");
    assert_eq!(
        canonical("SH CRYPTO gdoi ks mem sum"),
        "show crypto gdoi ks members summary"
    );
    assert_eq!(canonical("encr aes 256"), "encryption aes 256");
    assert_eq!(canonical("encr aes"), "encryption aes");
}

#[test]
fn two_keywords_make_a_word_ambiguous() {
    let failure = parse("show c").err();
    assert_eq!(
        failure,
        Some(Failure::Ambiguous {
            word: 1,
            keywords: vec!["crypto", "clock"]
        })
    );
}

#[test]
fn a_wrong_word_is_named_with_what_could_have_stood_there() {
    let Some(Failure::Invalid { word, expected, .. }) = parse("encr des").err() else {
        panic!("des is no cipher here");
    };
    let words: Vec<_> = expected.iter().map(|one| one.word.as_str()).collect();
    assert_eq!((word, words), (1, vec!["3des", "aes"]));
    let Some(Failure::Invalid { word, expected, .. }) = parse("rekey lifetime seconds 12").err()
    else {
        panic!("12 is out of range");
    };
    assert_eq!((word, expected[0].word.as_str()), (3, "<300-86400>"));
    assert!(matches!(
        parse("show crypto gdoi x"),
        Err(Failure::Invalid { word: 3, .. })
    ));
}

#[test]
fn a_line_that_ends_early_is_incomplete_unless_no_may_end_it() {
    assert!(matches!(
        parse("rekey lifetime"),
        Err(Failure::Incomplete { .. })
    ));
    let text = "rekey lifetime";
    assert!(tree().parse(text, &line::words(text), Form::Remove).is_ok());
    let text = "rekey";
    assert!(
        tree()
            .parse(text, &line::words(text), Form::Remove)
            .is_err()
    );
}

#[test]
fn optional_words_and_arguments_are_told_apart() {
    let found = parse("key 0 hunter2 address 10.1.1.1").ok().unwrap();
    assert!(found.has("0"));
    assert_eq!(found.secret("key").ok().unwrap().expose(), b"hunter2");
    assert_eq!(found.canonical(), "key 0 * address 10.1.1.1");
    let found = parse("key 0 address 10.1.1.1 255.255.255.0").ok().unwrap();
    assert_eq!(
        found.secret("key").ok().unwrap().expose(),
        b"0",
        "a key may be called 0"
    );
    assert_eq!(
        found.address("mask").ok().unwrap().to_string(),
        "255.255.255.0"
    );
}

#[test]
fn the_rest_of_a_line_keeps_its_blanks() {
    let found = parse("description  LAN  of gm1 ").ok().unwrap();
    assert_eq!(found.word("text").ok(), Some("LAN  of gm1"));
}

#[test]
fn fragments_repeat_and_keep_their_order() {
    assert_eq!(
        canonical("permit ip host 10.0.0.1 192.168.0.0 0.0.255.255"),
        "permit ip host 10.0.0.1 192.168.0.0 0.0.255.255"
    );
    assert_eq!(canonical("permit ip any any"), "permit ip any any");
}

#[test]
fn help_lists_what_can_follow() {
    let text = "show ";
    let found = tree()
        .help(text, &line::words(text), "", Form::Set)
        .unwrap();
    assert_eq!(
        table(&found),
        "  clock   The clock\n  crypto  Encryption module\n"
    );
    let text = "show crypto gdoi ";
    let found = tree()
        .help(text, &line::words(text), "", Form::Set)
        .unwrap();
    let words: Vec<_> = found.iter().map(|one| one.word.as_str()).collect();
    assert_eq!(words, ["ks", "<cr>"]);
    assert_eq!(
        tree().help("nonsense", &line::words("nonsense"), "", Form::Set),
        None
    );
    let partial = tree()
        .help("show", &line::words("show"), "cl", Form::Set)
        .unwrap();
    assert_eq!(partial.len(), 1);
}
