//! A whole box, without a network.

use crypto::fixture::not_secret_pkcs8;
use crypto::key_pair::Size;
use gdoi::BootId;
use policy::{Time, WallClock};

use crate::{Boot, Input, Interface, Kind, Output, Reply, Router, Session, Status};

mod ec_keys;

const KS1: &str = include_str!("../../../topologies/guide/ks1.cfg");

fn wall(at: Time) -> WallClock {
    WallClock {
        unix_ms: 1_384_376_786_469 + i64::try_from(at.as_secs()).unwrap() * 1_000,
        synchronised: true,
    }
}

/// The guide's first key server.
fn ks1() -> Router {
    booted(KS1)
}

fn booted(config: &str) -> Router {
    let now = Time::from_secs(1_000);
    let booted = Router::new(Boot {
        config: config.to_owned(),
        config_name: "ks1.cfg".to_owned(),
        seed: [7; 32],
        keylog: None,
        boot: BootId([1; 16]),
        restored: Vec::new(),
        interfaces: vec![Interface {
            name: "wan".into(),
            alias: Some("Serial1/0".into()),
            index: 2,
            mac: [0; 6],
            mtu: 1500,
            addresses: vec![([10, 1, 11, 2].into(), 24)],
        }],
        workers: 1,
        version: "1.0.0",
        now,
        wall: wall(now),
    });
    booted.unwrap_or_else(|error| panic!("{error}"))
}

fn exec(router: &mut Router, at_s: u64, line: &str) -> Reply {
    let now = Time::from_secs(at_s);
    router.exec(now, wall(now), line)
}

/// The names of the entries that a command shows.
fn names(router: &mut Router, at_s: u64, selection: &str) -> Vec<String> {
    let line = format!("show monitor event-trace gdoi {selection}");
    let json = exec(router, at_s, &line).json.expect("a view has JSON");
    let traces = json["traces"].as_array().expect("traces").iter();
    let entries = traces.flat_map(|trace| trace["entries"].as_array().expect("entries"));
    let name = |entry: &serde_json::Value| entry["name"].as_str().expect("a name").to_owned();
    entries.map(name).collect()
}

#[test]
fn traces_are_there_from_boot_and_their_size_changes_at_run_time() {
    let mut ks = ks1();
    let infra = names(&mut ks, 1_000, "infra from-boot");
    assert_eq!(infra[0], "RESTART");
    // The key that the group needs is not there: an error, with the place that says so.
    let shown = exec(
        &mut ks,
        1_000,
        "show monitor event-trace gdoi exit all detail",
    )
    .text;
    assert!(shown.contains("KS_NO_RSA_KEYS:RSA Key - "), "{shown}");
    assert!(shown.contains("\n-Traceback= crates/gdoi/src/"), "{shown}");
    let mut session = Session::new("console", Kind::Interactive);
    let now = Time::from_secs(1_060);
    for line in [
        "configure terminal",
        "monitor event-trace gdoi infra size 2",
        "hostname A",
        "end",
    ] {
        let reply = ks.session_line(now, wall(now), &mut session, line);
        assert_eq!(reply.status, Status::Done, "{}", reply.text);
    }
    let parameters = exec(
        &mut ks,
        1_060,
        "show monitor event-trace gdoi infra parameters",
    );
    assert_eq!(
        parameters.text,
        "Trace has 2 entries\nStacktrace is disabled by default\n"
    );
    assert!(names(&mut ks, 1_060, "infra all").len() <= 2);
    assert_eq!(
        names(&mut ks, 1_061, "infra back 1").last().unwrap(),
        "CONFIG_I"
    );
    let running = exec(&mut ks, 1_061, "show running-config | include event-trace").text;
    assert_eq!(running, "monitor event-trace gdoi infra size 2\n");
}

#[test]
fn latest_shows_each_entry_once_whoever_asks() {
    let mut ks = ks1();
    let all = names(&mut ks, 1_000, "infra latest");
    assert!(!all.is_empty());
    assert!(names(&mut ks, 1_001, "infra latest").is_empty());
    assert_eq!(names(&mut ks, 1_001, "infra all"), all);
}

/// Gives a box an RSA key as `crypto key generate rsa` does.
fn give_key(router: &mut Router, label: &str, exportable: bool) {
    let modulus_bits = 2_048;
    give_key_pair(router, label, Size::Rsa { modulus_bits }, exportable);
}

/// Gives a box a key as `crypto key generate` does.
fn give_key_pair(router: &mut Router, label: &str, size: Size, exportable: bool) {
    let now = Time::from_secs(1_001);
    let made = Input::KeyPair {
        kind: size.kind(),
        label: label.to_owned(),
        exportable,
        pkcs8: not_secret_pkcs8(size),
    };
    router.handle(now, wall(now), made);
}

/// What a box asks of the world; whatever it writes is on disk at once.
fn outputs(router: &mut Router) -> Vec<Output> {
    let mut outputs = Vec::new();
    while let Some(output) = router.next_output() {
        if let Output::Persist { number, .. } = &output {
            let now = Time::from_secs(1_002);
            router.handle(now, wall(now), Input::Persisted(*number));
        }
        outputs.push(output);
    }
    outputs
}

fn logged(router: &Router, word: &str) -> usize {
    router
        .log_lines()
        .filter(|line| line.contains(word))
        .count()
}

#[test]
fn an_exported_key_is_imported_elsewhere_and_is_the_same() {
    let (mut one, mut other) = (ks1(), ks1());
    give_key(&mut one, "spare", true);
    let line = "crypto key export rsa spare pem terminal 3des correct-horse";
    let exported = exec(&mut one, 1_002, line);
    assert_eq!(exported.status, Status::Done, "{}", exported.text);
    assert_eq!(logged(&one, "%GDOI-5-RSA_KEY_EXPORTED: RSA key spare"), 1);
    assert_eq!(logged(&one, "correct-horse"), 0);
    let mut session = Session::new("console", Kind::Interactive);
    let now = Time::from_secs(1_002);
    let mut last = String::new();
    let paste = format!(
        "crypto key import rsa copy pem terminal correct-horse\n{}quit",
        exported.text
    );
    for line in paste.lines() {
        last = other.session_line(now, wall(now), &mut session, line).text;
    }
    assert_eq!(last, "% Key pair import succeeded.\n");
    assert_eq!(
        logged(
            &other,
            "%GDOI-5-RSA_KEY_IMPORTED: RSA key copy was imported by console"
        ),
        1
    );
    let keys = |router: &mut Router| {
        let json = exec(router, 1_003, "show crypto key mypubkey rsa").json;
        json.expect("a view has JSON")["keys"][0].clone()
    };
    let (own, copy) = (keys(&mut one), keys(&mut other));
    assert_eq!(own["key_data"], copy["key_data"]);
    assert_eq!(
        (&own["is_exportable"], &copy["is_exportable"]),
        (&true.into(), &false.into())
    );
    let again = exec(
        &mut other,
        1_003,
        "crypto key export rsa copy pem terminal aes correct-horse",
    );
    assert_eq!(again.text, "% RSA key copy: the key is not exportable\n");
}

#[test]
fn keys_are_refused_by_what_is_wrong_with_the_order() {
    let mut ks = ks1();
    give_key(&mut ks, "spare", true);
    for (line, refusal) in [
        (
            "crypto key export rsa none pem terminal aes correct-horse",
            "% RSA key none: there is no RSA key of this label",
        ),
        (
            "crypto key export rsa spare pem terminal aes short",
            "% The passphrase must have at least 8 characters",
        ),
        (
            "crypto key import rsa spare pem url x correct-horse",
            "% An RSA key spare exists already: choose another label, or zeroize it first",
        ),
        ("crypto key zeroize rsa none", "% There is no RSA key none."),
    ] {
        let reply = exec(&mut ks, 1_002, line);
        assert_eq!(
            (reply.status, reply.text.trim_end()),
            (Status::Refused, refusal)
        );
    }
    for name in ["../x", ".x", "a/b", "/etc/passwd"] {
        let line = format!("crypto key export rsa spare pem url {name} aes correct-horse");
        assert_eq!(
            exec(&mut ks, 1_002, &line).status,
            Status::Refused,
            "{name}"
        );
    }
}

#[test]
fn a_key_goes_to_a_file_and_comes_from_one() {
    let mut ks = ks1();
    give_key(&mut ks, "spare", true);
    exec(
        &mut ks,
        1_002,
        "crypto key export rsa spare pem url spare.pem aes correct-horse",
    );
    let written = outputs(&mut ks).into_iter().find_map(|output| {
        if let Output::WriteKey { name, pem } = output {
            Some((name, pem))
        } else {
            None
        }
    });
    let (name, pem) = written.expect("a file is written");
    assert_eq!(name, "spare.pem");
    for (label, passphrase) in [("one", "correct-horse"), ("two", "another-horse")] {
        let line = format!("crypto key import rsa {label} pem url spare.pem {passphrase}");
        exec(&mut ks, 1_002, &line);
        let read = outputs(&mut ks).into_iter().find_map(|output| {
            if let Output::ReadKey { import, .. } = output {
                Some(import)
            } else {
                None
            }
        });
        let now = Time::from_secs(1_003);
        let (import, text) = (read.expect("a file is read"), Ok(pem.clone()));
        ks.handle(now, wall(now), Input::KeyFile { import, text });
    }
    assert_eq!(logged(&ks, "RSA_KEY_IMPORTED: RSA key one"), 1);
    let refused =
        "RSA_KEY_REFUSED: RSA key two cannot be used: Key pair import failed: wrong passphrase";
    assert_eq!(logged(&ks, refused), 1);
}

#[test]
fn a_key_that_is_zeroized_is_gone_from_disk_unless_a_leading_server_signs_with_it() {
    let mut ks = ks1();
    give_key(&mut ks, "spare", true);
    outputs(&mut ks);
    let reply = exec(&mut ks, 1_003, "crypto key zeroize rsa spare");
    assert_eq!(reply.status, Status::Done, "{}", reply.text);
    let gone = outputs(&mut ks).into_iter().any(|output| {
        let Output::Persist { records, .. } = output else {
            return false;
        };
        records
            .iter()
            .any(|row| row.key == b"rsa/spare" && row.value.is_none())
    });
    assert!(gone);
    assert_eq!(logged(&ks, "RSA_KEY_ZEROIZED"), 1);
    assert_eq!(
        exec(&mut ks, 1_003, "show crypto key mypubkey rsa").text,
        ""
    );
}

/// Types lines one after the other; what each brought.
fn typed(router: &mut Router, session: &mut Session, lines: &[&str]) -> Vec<String> {
    let now = Time::from_secs(1_010);
    let mut replies = Vec::new();
    for line in lines {
        replies.push(router.session_line(now, wall(now), session, line).text);
    }
    replies
}

/// The guide's first key server without a peer: it leads its group.
fn alone() -> Router {
    let is_of_coop = |line: &&str| {
        let words = ["redundancy", "local priority", "peer address"];
        words.iter().any(|word| line.contains(word))
    };
    let lines = KS1.lines().filter(|line| !is_of_coop(line));
    let mut ks = booted(&lines.collect::<Vec<_>>().join("\n"));
    give_key(&mut ks, "get", true);
    outputs(&mut ks);
    ks
}

#[test]
fn the_key_that_a_leading_server_signs_with_is_not_zeroized() {
    let mut ks = alone();
    let reply = exec(&mut ks, 1_003, "crypto key zeroize rsa get");
    assert_eq!(reply.status, Status::Refused);
    let refusal = "% RSA key get signs the rekeys of group G1";
    assert!(reply.text.starts_with(refusal), "{}", reply.text);
    // Another key server has the group's key, too: this one may lose it, and says what follows.
    let mut other = ks1();
    give_key(&mut other, "get", true);
    let mut session = Session::new("console", Kind::Interactive);
    let asked = typed(&mut other, &mut session, &["crypto key zeroize rsa get"]);
    assert!(asked[0].contains("% Group G1 is not served here until the key is there again."));
    typed(&mut other, &mut session, &["no"]);
    assert_eq!(logged(&other, "RSA_KEY_ZEROIZED"), 0);
    typed(
        &mut other,
        &mut session,
        &["crypto key zeroize rsa get", "yes"],
    );
    assert_eq!(logged(&other, "RSA_KEY_ZEROIZED"), 1);
}

#[test]
fn a_change_is_told_before_its_block_is_left_and_when_it_is() {
    let mut ks = alone();
    let mut session = Session::new("console", Kind::Interactive);
    let said = typed(
        &mut ks,
        &mut session,
        &[
            "configure terminal",
            "preview",
            "crypto gdoi group G1",
            "server local",
            "rekey algorithm aes 128",
            "rekey lifetime seconds 14400",
            "rekey retransmit 20 number 3",
            "preview",
        ],
    );
    assert_eq!(said[1], "% No change waits for the end of its block\n");
    let told = "% Group G1: this will rekey now: rekey algorithm. A new rekey key goes to no member \
                yet; traffic keys stay.\n\
                % Group G1: no rekey for rekey lifetime: the next scheduled rekey brings it, \
                `crypto gdoi ks rekey` sends one now.\n\
                % Group G1: no rekey for rekey retransmit: it counts from now on, and members that \
                are registered stay.\n";
    assert_eq!(said[7], told);
    let policy = "show crypto gdoi ks policy | include key size";
    let before = exec(&mut ks, 1_010, policy).text;
    assert!(!before.is_empty());
    assert_eq!(typed(&mut ks, &mut session, &["end"]), [told]);
    assert_ne!(exec(&mut ks, 1_010, policy).text, before);
    let lines = ["configure terminal", "hostname X", "end"];
    let nothing = typed(&mut ks, &mut session, &lines);
    assert!(
        nothing.iter().all(|text| !text.contains("Group")),
        "{nothing:?}"
    );
}

#[test]
fn a_list_that_a_group_names_rekeys_it_and_a_secondary_says_whose_word_counts() {
    let mut ks = alone();
    let mut session = Session::new("console", Kind::Interactive);
    let lines = [
        "configure terminal",
        "ip access-list extended ENCPOL",
        "deny udp any any eq 123",
        "preview",
        "end",
    ];
    let said = typed(&mut ks, &mut session, &lines);
    let told = "% Group G1: this will rekey now: access list. New traffic keys go to no member yet; \
                those of before stay until they expire.\n";
    assert_eq!((said[3].as_str(), said[4].as_str()), (told, told));
    let mut other = ks1();
    give_key(&mut other, "get", true);
    let mut session = Session::new("console", Kind::Interactive);
    let said = typed(&mut other, &mut session, &lines);
    let refers = "% Group G1: no rekey: this key server is not the primary (none is elected yet)";
    assert!(said[4].starts_with(refers), "{}", said[4]);
}

#[test]
fn a_group_that_is_taken_away_says_so() {
    let mut ks = alone();
    let mut session = Session::new("console", Kind::Interactive);
    let lines = ["configure terminal", "no crypto gdoi group G1", "end"];
    let said = typed(&mut ks, &mut session, &lines);
    let gone = "% Group G1: it is no longer served here, and its keys are forgotten";
    assert!(said.concat().contains(gone), "{said:?}");
}

#[test]
fn a_rekey_key_that_is_not_there_is_missed_before_it_is_needed() {
    let mut ks = alone();
    let mut session = Session::new("console", Kind::Interactive);
    let lines = [
        "configure terminal",
        "crypto gdoi group G1",
        "server local",
        "rekey authentication mypubkey rsa none",
        "preview",
    ];
    let said = typed(&mut ks, &mut session, &lines);
    let missed = "% Group G1: members are not served any more: there is no RSA key none\n";
    assert_eq!(said[4], missed);
}
