//! EC keys as an operator meets them: made, shown, carried, named by a group, refused.

use crypto::ecdsa::Curve;

use super::*;

const EACH: [(Curve, &str); 3] = [
    (Curve::P256, "256"),
    (Curve::P384, "384"),
    (Curve::P521, "521"),
];

/// The first key server without a peer, whose group names the EC key `curve`, which is there.
fn alone_with(curve: Curve) -> Router {
    let is_of_coop = |line: &&str| {
        let words = ["redundancy", "local priority", "peer address"];
        words.iter().any(|word| line.contains(word))
    };
    let lines = KS1.lines().filter(|line| !is_of_coop(line));
    let config = lines.collect::<Vec<_>>().join("\n");
    let named = "rekey authentication mypubkey rsa get";
    assert!(config.contains(named));
    let config = config.replace(named, "rekey authentication mypubkey ec curve");
    let mut ks = booted(&config);
    give_key_pair(&mut ks, "curve", Size::Ec(curve), true);
    outputs(&mut ks);
    ks
}

fn json(router: &mut Router, line: &str) -> serde_json::Value {
    exec(router, 1_020, line).json.expect("a view has JSON")
}

#[test]
fn an_order_for_an_ec_key_reaches_the_world_with_its_curve() {
    for (curve, bits) in EACH {
        let mut ks = ks1();
        let line = format!("crypto key generate ec keysize {bits} label new exportable");
        let reply = exec(&mut ks, 1_002, &line);
        let said = format!("% Generating {bits} bit EC keys, keys will be exportable...");
        assert!(reply.text.contains(&said), "{}", reply.text);
        let asked = outputs(&mut ks).into_iter().find_map(|output| {
            if let Output::GenerateKeyPair { size, .. } = output {
                Some(size)
            } else {
                None
            }
        });
        assert_eq!(asked, Some(Size::Ec(curve)));
    }
}

#[test]
fn a_group_that_names_an_ec_key_is_served_and_every_page_says_what_signs() {
    for (curve, bits) in EACH {
        let mut ks = alone_with(curve);
        let algorithm = format!("SIG_ALG_ECDSA_{bits}");
        let policy = exec(&mut ks, 1_020, "show crypto gdoi ks policy").text;
        let line = format!("    sig algorithm      : {algorithm}\n");
        assert!(policy.contains(&line), "{policy}");
        let size = format!("    sig size           : {}\n", curve.signature_len());
        assert!(policy.contains(&size), "{policy}");
        assert!(policy.contains("    sig key name       : curve\n"));
        let kek = json(&mut ks, "show crypto gdoi ks policy")["groups"][0]["keks"][0].clone();
        assert_eq!(kek["sig_algorithm"], algorithm);
        let hash = format!("HMAC_AUTH_SHA{}", if bits == "521" { "512" } else { bits });
        assert_eq!(kek["sig_hash"], hash);
        let running = exec(&mut ks, 1_020, "show running-config | include mypubkey").text;
        assert_eq!(running, "  rekey authentication mypubkey ec curve\n");
        let keys = json(&mut ks, "show crypto key mypubkey ec");
        assert_eq!(keys["keys"][0]["key_type"], "EC");
        assert_eq!(keys["keys"][0]["key_bits"].to_string(), bits);
        let text = exec(&mut ks, 1_020, "show crypto key mypubkey ec").text;
        let line = format!("Key name: curve\nKey type: EC KEYS {bits} bits\n");
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn keys_of_each_kind_are_shown_by_the_word_for_it_and_both_by_all() {
    let mut ks = ks1();
    give_key(&mut ks, "one", true);
    give_key_pair(&mut ks, "two", Size::Ec(Curve::P256), false);
    let labels = |ks: &mut Router, word: &str| {
        let keys = json(ks, &format!("show crypto key mypubkey {word}"));
        let keys = keys["keys"].as_array().unwrap().clone();
        let labels = keys
            .iter()
            .map(|key| key["label"].as_str().unwrap().to_owned());
        labels.collect::<Vec<_>>()
    };
    assert_eq!(labels(&mut ks, "rsa"), ["one"]);
    assert_eq!(labels(&mut ks, "ec"), ["two"]);
    assert_eq!(labels(&mut ks, "all"), ["one", "two"]);
}

#[test]
fn an_exported_ec_key_of_each_curve_is_imported_elsewhere_and_is_the_same() {
    for (curve, _) in EACH {
        let (mut one, mut other) = (ks1(), ks1());
        give_key_pair(&mut one, "spare", Size::Ec(curve), true);
        let line = "crypto key export ec spare pem terminal aes correct-horse";
        let exported = exec(&mut one, 1_002, line);
        assert_eq!(exported.status, Status::Done, "{}", exported.text);
        assert_eq!(logged(&one, "%GDOI-5-EC_KEY_EXPORTED: EC key spare"), 1);
        let mut session = Session::new("console", Kind::Interactive);
        // An EC key is none of RSA, and the other way round.
        for (word, last) in [
            ("rsa", "% Key pair import failed: not an RSA key\n"),
            ("ec", "% Key pair import succeeded.\n"),
        ] {
            let order = format!("crypto key import {word} copy pem terminal correct-horse");
            let paste = format!("{order}\n{}quit", exported.text);
            let lines: Vec<&str> = paste.lines().collect();
            let replies = typed(&mut other, &mut session, &lines);
            assert_eq!(replies.last().unwrap(), last);
        }
        let imported = "%GDOI-5-EC_KEY_IMPORTED: EC key copy was imported by console";
        assert_eq!(logged(&other, imported), 1);
        let show = "show crypto key mypubkey ec";
        let (own, copy) = (json(&mut one, show), json(&mut other, show));
        assert_eq!(own["keys"][0]["key_data"], copy["keys"][0]["key_data"]);
        let again = "crypto key export ec copy pem terminal aes correct-horse";
        let again = exec(&mut other, 1_003, again);
        assert_eq!(again.text, "% EC key copy: the key is not exportable\n");
    }
}

#[test]
fn a_label_of_the_other_kind_is_said_to_be_one_and_nothing_happens_to_the_key() {
    let mut ks = ks1();
    give_key(&mut ks, "one", true);
    give_key_pair(&mut ks, "two", Size::Ec(Curve::P256), true);
    outputs(&mut ks);
    for (line, refusal) in [
        (
            "crypto key export ec one pem terminal aes correct-horse",
            "% EC key one: it is an RSA key",
        ),
        (
            "crypto key export rsa two pem terminal aes correct-horse",
            "% RSA key two: it is an EC key",
        ),
        (
            "crypto key export ec none pem terminal aes correct-horse",
            "% EC key none: there is no EC key of this label",
        ),
        (
            "crypto key import rsa two pem url x correct-horse",
            "% An EC key two exists already: choose another label, or zeroize it first",
        ),
        ("crypto key zeroize ec one", "% Key one is an RSA key."),
        ("crypto key zeroize rsa two", "% Key two is an EC key."),
        ("crypto key zeroize ec none", "% There is no EC key none."),
        (
            "crypto key generate ec keysize 256 label one",
            "% one is an RSA key: choose another label, or zeroize it first",
        ),
        (
            "crypto key generate rsa label two",
            "% two is an EC key: choose another label, or zeroize it first",
        ),
    ] {
        let reply = exec(&mut ks, 1_002, line);
        let got = (reply.status, reply.text.trim_end());
        assert_eq!(got, (Status::Refused, refusal), "{line}");
    }
    assert!(
        outputs(&mut ks)
            .iter()
            .all(|output| matches!(output, Output::Log { .. }))
    );
    assert_eq!(
        exec(&mut ks, 1_003, "crypto key zeroize ec two").status,
        Status::Done
    );
    assert_eq!(
        logged(&ks, "%GDOI-5-EC_KEY_ZEROIZED: EC key two was removed"),
        1
    );
}

#[test]
fn a_group_that_names_a_key_of_the_other_kind_is_not_served_and_says_why() {
    let mut ks = alone_with(Curve::P256);
    let mut session = Session::new("console", Kind::Interactive);
    let lines = [
        "configure terminal",
        "crypto gdoi group G1",
        "server local",
        "rekey authentication mypubkey rsa curve",
        "preview",
        "end",
    ];
    let said = typed(&mut ks, &mut session, &lines);
    let missed =
        "% Group G1: members are not served any more: curve is an EC key, not an RSA key\n";
    assert_eq!(said[4], missed);
    let policy = exec(&mut ks, 1_020, "show crypto gdoi ks policy").text;
    let why = "Members are not served: key curve is an EC key, not an RSA key: \
               rekey authentication mypubkey ec curve";
    assert!(policy.contains(why), "{policy}");
    assert_eq!(logged(&ks, "KS_NO_RSA_KEYS: RSA Key - curve"), 1);
    // Named by its kind again, it serves, and `no` takes the line away.
    let lines = [
        "configure terminal",
        "crypto gdoi group G1",
        "server local",
        "rekey authentication mypubkey ec none",
        "preview",
        "rekey authentication mypubkey ec curve",
        "end",
    ];
    let said = typed(&mut ks, &mut session, &lines);
    let missed = "% Group G1: members are not served any more: there is no EC key none\n";
    assert_eq!(said[4], missed);
    let policy = exec(&mut ks, 1_021, "show crypto gdoi ks policy").text;
    assert!(!policy.contains("not served"), "{policy}");
    let refusal = "% EC key curve signs the rekeys of group G1";
    let reply = exec(&mut ks, 1_021, "crypto key zeroize ec curve");
    assert!(reply.text.starts_with(refusal), "{}", reply.text);
    let lines = [
        "configure terminal",
        "crypto gdoi group G1",
        "server local",
        "no rekey authentication mypubkey ec",
        "end",
    ];
    typed(&mut ks, &mut session, &lines);
    let running = exec(&mut ks, 1_022, "show running-config | include mypubkey");
    assert_eq!(running.text, "");
}

#[test]
fn without_its_ec_key_a_group_is_told_how_to_make_it() {
    let named = "rekey authentication mypubkey rsa get";
    let mut ks = booted(&KS1.replace(named, "rekey authentication mypubkey ec get"));
    assert_eq!(logged(&ks, "%GDOI-1-KS_NO_EC_KEYS: EC Key - get"), 1);
    let policy = exec(&mut ks, 1_020, "show crypto gdoi ks policy").text;
    let how = "EC key get not found: crypto key generate ec keysize 256 label get";
    assert!(policy.contains(how), "{policy}");
}
