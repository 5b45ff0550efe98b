//! Pages of boxes whose machines answer with given values. The layouts with a public sample are
//! those of the sample, octet by octet; the pages go through the unmodified Genie parsers in
//! `tests/interop/genie_text.py`.

pub(crate) mod fixture;

use serde_json::Value;

use super::*;
use crate::cli::grammar::{Form, Tree};
use crate::cli::line;
use fixture::{Guide, Idle};

fn run(machines: &dyn machines::Machines, text: &str) -> Result<Page, String> {
    run_on(&fixture::Box::new(machines), text)
}

fn run_on(boxed: &fixture::Box<'_>, text: &str) -> Result<Page, String> {
    let tree = Tree::new(COMMANDS.iter().map(|show| show.syntax));
    let found = tree
        .parse(text, &line::words(text), Form::Set)
        .unwrap_or_else(|failure| panic!("{text}: {failure:?}"));
    (COMMANDS[found.entry].run)(&boxed.context(), &found).map_err(|refusal| refusal.0)
}

fn page(text: &str) -> Page {
    run(&Guide, text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
}

/// The page of each command, one snapshot per command.
macro_rules! pages {
    ($($test:ident: $command:literal;)*) => {$(
        #[test]
        fn $test() {
            insta::assert_snapshot!(page($command).text);
        }
    )*};
}

pages! {
    access_lists: "show access-lists";
    call_admission: "show crypto call admission statistics";
    clock: "show clock";
    gdoi: "show crypto gdoi";
    gdoi_detail: "show crypto gdoi detail";
    gdoi_feature: "show crypto gdoi feature";
    gdoi_feature_gm_removal: "show crypto gdoi feature gm-removal";
    gdoi_gm: "show crypto gdoi gm";
    gdoi_gm_acl: "show crypto gdoi gm acl";
    gdoi_gm_acl_local: "show crypto gdoi gm acl local";
    gdoi_gm_dataplan_counter: "show crypto gdoi gm dataplan counter";
    gdoi_gm_pubkey: "show crypto gdoi gm pubkey";
    gdoi_gm_rekey: "show crypto gdoi gm rekey";
    gdoi_gm_rekey_detail: "show crypto gdoi gm rekey detail";
    gdoi_group_g1: "show crypto gkm group G1";
    gdoi_group_g2: "show crypto gdoi group G2";
    gdoi_ipsec_sa: "show crypto gdoi ipsec sa";
    gdoi_ks: "show crypto gdoi ks";
    gdoi_ks_acl: "show crypto gdoi ks acl";
    gdoi_ks_coop: "show crypto gdoi ks coop";
    gdoi_ks_coop_config_diff: "show crypto gdoi ks coop config-diff";
    gdoi_ks_coop_detail: "show crypto gdoi ks coop detail";
    gdoi_ks_coop_identifier: "show crypto gdoi ks coop identifier";
    gdoi_ks_coop_identifier_detail: "show crypto gdoi ks coop identifier detail";
    gdoi_ks_coop_version: "show crypto gdoi ks coop version";
    gdoi_ks_detail: "show crypto gdoi ks detail";
    gdoi_ks_members: "show crypto gdoi ks members";
    gdoi_ks_members_of_one_address: "show crypto gdoi ks members 10.1.14.2";
    gdoi_ks_members_summary: "show crypto gdoi ks members summary";
    gdoi_ks_policy: "show crypto gdoi ks policy";
    gdoi_ks_rekey: "show crypto gdoi ks rekey";
    gdoi_rekey_sa: "show crypto gdoi rekey sa";
    gdoi_rekey_sa_detail: "show crypto gdoi rekey sa detail";
    ipsec_sa: "show crypto ipsec sa";
    ipsec_sa_detail: "show crypto ipsec sa interface Serial1/0 detail";
    isakmp_sa: "show crypto isakmp sa";
    isakmp_sa_detail: "show crypto isakmp sa detail";
    key_mypubkey_rsa: "show crypto key mypubkey rsa";
    map: "show crypto map";
    event_trace_all: "show monitor event-trace gdoi all";
    event_trace_exit: "show monitor event-trace gdoi exit all";
    event_trace_merged: "show monitor event-trace gdoi merged back 2";
    event_trace_rekey: "show monitor event-trace gdoi rekey all";
    event_trace_rekey_parameters: "show monitor event-trace gdoi rekey parameters";
    version: "show version";
}

#[test]
fn every_command_starts_with_show_and_every_word_has_help() {
    for show in COMMANDS {
        let grammar = show.syntax.grammar;
        assert!(grammar.starts_with("show "), "{grammar}");
    }
    let tree = Tree::new(COMMANDS.iter().map(|show| show.syntax));
    assert_eq!(tree.without_help(), Vec::<&str>::new());
}

#[test]
fn every_page_has_json_whose_names_are_snake_case() {
    let commands = [
        "show access-lists",
        "show clock",
        "show crypto call admission statistics",
        "show crypto gdoi",
        "show crypto gdoi feature",
        "show crypto gdoi gm acl",
        "show crypto gdoi gm dataplane counter",
        "show crypto gdoi gm pubkey",
        "show crypto gdoi gm rekey",
        "show crypto gdoi ipsec sa",
        "show crypto gdoi ks",
        "show crypto gdoi ks acl",
        "show crypto gdoi ks coop",
        "show crypto gdoi ks coop config-diff",
        "show crypto gdoi ks coop identifier",
        "show crypto gdoi ks coop version",
        "show crypto gdoi ks members",
        "show crypto gdoi ks policy",
        "show crypto gdoi ks rekey",
        "show crypto gdoi rekey sa",
        "show crypto ipsec sa",
        "show crypto isakmp sa",
        "show crypto key mypubkey rsa",
        "show crypto map",
        "show logging",
        "show monitor event-trace gdoi exit parameters",
        "show monitor event-trace gdoi merged all",
        "show version",
    ];
    let mut names = Vec::new();
    for command in commands {
        collect(&page(command).json.expect("a view has JSON"), &mut names);
    }
    assert!(names.len() > 100, "{} names", names.len());
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let odd: Vec<_> = names
        .iter()
        .filter(|name| !name.chars().all(is_plain))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
}

fn collect(json: &Value, names: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name.clone());
                collect(value, names);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_json_of_the_members_is_stable() {
    let json = page("show crypto gdoi ks members")
        .json
        .expect("a view has JSON");
    insta::assert_snapshot!(format!("{json:#}"));
}

#[test]
fn elapsed_and_remaining_are_the_life_of_every_traffic_key() {
    let json = page("show crypto gdoi ks policy")
        .json
        .expect("a view has JSON");
    let teks = json["groups"][0]["teks"]
        .as_array()
        .expect("teks are a list")
        .clone();
    assert_eq!(teks.len(), 2);
    for tek in teks {
        let [life, remaining, elapsed] = ["lifetime_s", "remaining_lifetime_s", "elapsed_s"]
            .map(|name| tek[name].as_u64().expect("seconds are a number"));
        assert_eq!(life, remaining + elapsed);
    }
}

#[test]
fn a_clock_that_took_the_place_of_a_lost_one_is_named_and_the_first_is_not() {
    let first = page("show crypto gdoi ks policy").text;
    assert!(!first.contains("Clock Generation"), "{first}");
    let other = run(&fixture::Electing, "show crypto gdoi ks policy").unwrap();
    let line = "\n  Replay Clock Generation : 33\n";
    assert!(other.text.contains(line), "{}", other.text);
    let json = other.json.expect("a view has JSON");
    assert_eq!(json["groups"][0]["replay_clock_generation"], 33);
}

#[test]
fn each_rekey_sa_of_a_mixed_group_says_for_which_members_it_is_and_how_it_travels() {
    let page = run(&fixture::Mixed, "show crypto gdoi ks policy").unwrap();
    let keys = |line: &&str| line.contains("KEK POLICY") || line.contains("for members");
    let told: Vec<_> = page.text.lines().filter(keys).collect();
    assert_eq!(
        told,
        [
            "  KEK POLICY (transport type : Multicast)",
            "    for members        : getvpn",
            "  KEK POLICY (transport type : Unicast)",
            "    for members        : rfc6407",
        ]
    );
    let keks = &page.json.expect("a view has JSON")["groups"][0]["keks"];
    assert_eq!(keks[0]["transport"], "Multicast");
    assert_eq!(keks[1]["transport"], "Unicast");
    // One Rekey SA is everybody's.
    let one = run(&Guide, "show crypto gdoi ks policy").unwrap().text;
    assert!(!one.contains("for members"), "{one}");
}

#[test]
fn with_several_permit_entries_each_block_has_its_entrys_packets() {
    let json = page("show crypto ipsec sa").json.expect("a view has JSON");
    let second = &json["interfaces"][1]["flows"];
    let packets: Vec<_> = second
        .as_array()
        .expect("flows are a list")
        .iter()
        .map(|flow| {
            (
                flow["encrypted_packets"].as_u64(),
                flow["errors"]["no_sa_send"].as_u64(),
            )
        })
        .collect();
    assert_eq!(packets, [(Some(7), Some(3)), (Some(11), Some(0))]);
}

#[test]
fn a_group_without_a_policy_has_a_block_that_says_what_becomes_of_its_packets() {
    let command = "show crypto ipsec sa";
    let page = run(&fixture::Unregistered, command).unwrap();
    insta::assert_snapshot!(page.text);
    let detail = run(&fixture::Unregistered, "show crypto ipsec sa detail").unwrap();
    let line = "#pkts no sa (send) 10, #pkts invalid sa (rcv) 4\n";
    assert!(detail.text.contains(line), "{}", detail.text);
    let flows = |page: Page| page.json.expect("a view has JSON")["interfaces"][0]["flows"].clone();
    let alone = flows(page);
    assert_eq!(alone.as_array().map(Vec::len), Some(1));
    assert!(alone[0]["entry"].is_null());
    assert_eq!(alone[0]["errors"]["replay_failed_receive"], 2);

    // What another group on the interface answers for is not shown as this one's.
    let mut boxed = fixture::Box::new(&fixture::Unregistered);
    boxed.target.attachments[0].groups.push("G3".into());
    let shared = flows(run_on(&boxed, command).unwrap());
    let errors = &shared[0]["errors"];
    let told = ["no_sa_send", "invalid_sa_receive", "replay_failed_receive"];
    assert_eq!(
        told.map(|class| errors[class].as_u64()),
        [10, 4, 0].map(Some)
    );
}

#[test]
fn a_group_that_is_alone_on_its_interface_counts_what_was_dropped_under_unknown_spis() {
    let command = "show crypto gdoi gm dataplane counter";
    let mut boxed = fixture::Box::new(&fixture::Unregistered);
    let alone = run_on(&boxed, command).unwrap().text;
    assert!(alone.contains("invalid sa (rcv)   : 4\n"), "{alone}");
    assert!(alone.contains("no sa (send)       : 10 "), "{alone}");
    assert!(
        alone.contains("dropped invalid-spi        : 4\n"),
        "{alone}"
    );
    boxed.target.attachments[0].groups.push("G3".into());
    let shared = run_on(&boxed, command).unwrap().text;
    assert!(shared.contains("invalid sa (rcv)   : 0\n"), "{shared}");
    assert!(shared.contains("no sa (send)       : 1 "), "{shared}");
    assert!(!shared.contains("invalid-spi"), "{shared}");
}

#[test]
fn what_is_not_there_is_named() {
    assert_eq!(
        run(&Guide, "show crypto gdoi group NONE"),
        Err("% group NONE doesn't yet exist.".to_owned())
    );
    assert_eq!(
        run(&Guide, "show crypto gdoi ks members 10.9.9.9"),
        Err("% 10.9.9.9 is not registered here".to_owned())
    );
    assert_eq!(
        run(&Guide, "show crypto ipsec sa interface Ethernet0/0"),
        Err("% Ethernet0/0 has no crypto map with a group".to_owned())
    );
    assert_eq!(
        run(&Guide, "show access-lists 7"),
        Err("% There is no access list 7".to_owned())
    );
}

#[test]
fn a_group_that_is_configured_and_not_in_use_says_what_it_lacks() {
    let named = run(&Idle, "show crypto gdoi group G1").unwrap_err();
    assert!(named.contains("G1 is configured, but not in use"));
    let mut boxed = fixture::Box::new(&Idle);
    let group = boxed.config.groups["G1"].clone();
    boxed.config.groups.insert("G7".into(), group);
    let page = run_on(&boxed, "show crypto gdoi").unwrap();
    let other = named.replace("G1", "G7");
    assert_eq!(page.text, format!("{named}\n{other}\n"));
    let json = page.json.expect("a view has JSON");
    assert_eq!(json["unused_groups"], serde_json::json!(["G1", "G7"]));

    boxed.config.groups.clear();
    let none = run_on(&boxed, "show crypto gdoi").map(|page| page.text);
    assert_eq!(none, Ok(String::new()));
    // What is in use is shown as IOS shows it, and nothing else.
    let used = run(&Guide, "show crypto gdoi").unwrap();
    assert!(!used.text.contains("not in use"));
    let json = used.json.expect("a view has JSON");
    assert_eq!(json["unused_groups"], serde_json::json!([]));
}

#[test]
fn a_member_without_a_policy_says_where_it_tries_and_why_it_failed() {
    insta::assert_snapshot!(
        run(&fixture::Unregistered, "show crypto gdoi")
            .unwrap()
            .text
    );
}

#[test]
fn a_member_watches_for_unknown_spis_while_a_key_server_of_ours_tells_it_which_are_the_groups() {
    let monitoring = |machines: &dyn machines::Machines| {
        let text = run(machines, "show crypto gdoi gm").unwrap().text;
        let line = text.lines().find(|line| line.contains("DP Error"));
        line.map(str::to_owned)
    };
    let line = |state: &str| Some(format!("       DP Error Monitoring   : {state}"));
    assert_eq!(monitoring(&Guide), line("ON"));
    assert_eq!(monitoring(&fixture::Unregistered), line("OFF"));
    let mut gm = machines::Machines::members(&Guide).remove(0);
    gm.server_kind = Some(policy::PeerKind::Rfc6407);
    let plain = crypto::gdoi::Member::of(&gm, "1.0.27");
    assert!(!plain.recovers_from_unknown_spis);
}

#[test]
fn a_key_server_without_its_key_says_so_and_how_to_make_it() {
    let text = run(&fixture::Unregistered, "show crypto gdoi ks policy")
        .unwrap()
        .text;
    assert!(text.contains("crypto key generate rsa label get"), "{text}");
}

#[test]
fn the_page_of_cooperation_is_the_guides_line_by_line() {
    const GUIDE: &str = "\
Crypto Gdoi Group Name :G1
        Group handle: 2147483650, Local Key Server handle: 2147483650

        Local Address: 10.1.11.2
        Local Priority: 200
        Local KS Role: Primary   , Local KS Status: Alive
        Local KS version: 1.0.27
        Primary Timers:
                Primary Refresh Policy Time: 20
                Remaining Time: 10
                Antireplay Sequence Number: 40

        Peer Sessions:
        Session 1:
                Server handle: 2147483651
                Peer Address: 10.1.12.2
                Peer Version: 1.0.4
                Peer Priority: 100
                Peer KS Role: Secondary , Peer KS Status: Alive
                Antireplay Sequence Number: 0

                IKE status: Established
                Counters:
                    Ann msgs sent: 31
                    Ann msgs sent with reply request: 2
                    Ann msgs recv: 64
                    Ann msgs recv with reply request: 1
                    Packet sent drops: 7
                    Packet Recv drops: 0
                    Total bytes sent: 20887
                    Total bytes recv: 40244
";
    let text = page("show crypto gdoi ks coop").text;
    let (first, _) = text.split_once("\nCrypto").expect("two groups");
    assert_eq!(first, GUIDE);
}

#[test]
fn a_key_server_that_lost_its_primary_says_how_long_and_what_it_waits_for() {
    let coop = run(&fixture::Electing, "show crypto gdoi ks coop detail").unwrap();
    insta::assert_snapshot!(coop.text);
    let json = coop.json.expect("a view has JSON");
    assert_eq!(json["groups"][0]["coop"]["primary_silences"], 3);
    insta::assert_snapshot!(
        run(
            &fixture::Electing,
            "show crypto gdoi ks coop identifier detail"
        )
        .unwrap()
        .text
    );
}

#[test]
fn a_group_with_one_key_server_has_no_redundancy_and_says_so() {
    for command in ["detail", "config-diff", "identifier"] {
        let text = run(
            &fixture::Unregistered,
            &format!("show crypto gdoi ks coop {command}"),
        )
        .unwrap()
        .text;
        assert!(
            text.contains("*NO* redundancy configured for this group"),
            "{command}: {text}"
        );
    }
    let text = run(&fixture::Unregistered, "show crypto gdoi ks detail")
        .unwrap()
        .text;
    assert!(text.contains("Redundancy               : None"), "{text}");
    assert!(!text.contains("Local KS Role"), "{text}");
}

/// The numbers of the entries of `| json`.
fn traced(command: &str) -> Vec<u64> {
    let json = page(command).json.expect("a view has JSON");
    let traces = json["traces"].as_array().expect("traces").clone();
    let entries = traces
        .iter()
        .flat_map(|trace| trace["entries"].as_array().cloned());
    entries
        .flatten()
        .filter_map(|entry| entry["number"].as_u64())
        .collect()
}

#[test]
fn every_way_to_name_a_time_selects_the_traces_since_then() {
    // Now is 21:06:26 of 13 November, the box has run for 3,725 s.
    for (selection, numbers) in [
        ("all", vec![2, 3, 7]),
        ("back 1", vec![7]),
        ("back 0:03", vec![2, 3, 7]),
        ("back 2", vec![7]),
        ("clock 21:06", vec![7]),
        ("clock 21:05", vec![7]),
        ("clock 20:00", vec![2, 3, 7]),
        ("clock 21:04 13 November", vec![2, 3, 7]),
        ("clock 23:59 12 nov", vec![2, 3, 7]),
        ("clock 21:30", vec![2, 3, 7]),
        ("from-boot", vec![2, 3, 7]),
        ("from-boot 3601", vec![7]),
        ("latest", vec![2, 3, 7]),
    ] {
        let command = format!("show monitor event-trace gdoi rekey {selection}");
        assert_eq!(traced(&command), numbers, "{selection}");
    }
    assert_eq!(
        traced("show monitor event-trace gdoi merged all"),
        [1, 2, 3, 4, 6, 7]
    );
    assert_eq!(traced("show monitor event-trace gdoi exit all"), [1, 6]);
    for wrong in [
        "back x",
        "back 1:60",
        "clock 24:00",
        "clock 10:00 31 February",
    ] {
        let command = format!("show monitor event-trace gdoi rekey {wrong}");
        assert!(run(&Guide, &command).is_err(), "{wrong}");
    }
}

#[test]
fn a_warning_is_in_its_own_trace_and_among_the_exits_with_its_place() {
    let json = page("show monitor event-trace gdoi registration all").json;
    let own = &json.expect("JSON")["traces"][0]["entries"][0];
    assert_eq!(own["name"], "GM_REJECTING_SA_PAYLOAD");
    assert_eq!(own["fields"]["reason"], "unsupported cipher");
    assert!(own["traceback"].is_null());
    let json = page("show monitor event-trace gdoi exit all").json;
    let exit = &json.expect("JSON")["traces"][0]["entries"][0];
    let place = exit["traceback"].as_str().expect("an exit has a place");
    assert!(place.contains("show/tests/fixture.rs:"), "{place}");
}

#[test]
fn a_feature_is_named_for_whom_it_is_missing() {
    let who = |feature: &str| -> Vec<String> {
        let json = page(&format!("show crypto gdoi feature {feature}")).json;
        let json = json.expect("a view has JSON");
        let groups = json["features"][0]["groups"]
            .as_array()
            .expect("groups")
            .clone();
        let peers = groups.iter().flat_map(|group| {
            let lists = ["key_servers", "members"].map(|list| group[list].as_array().cloned());
            lists.into_iter().flatten().flatten()
        });
        peers
            .filter(|peer| peer["is_supported"] == false)
            .map(|peer| peer["address"].as_str().expect("an address").to_owned())
            .collect()
    };
    // G2 has a key server that was not heard yet, and a plain member, which has acknowledged.
    // The key server of both memberships said no version under phase 1.
    let own = ["10.1.12.2"; 2];
    assert_eq!(
        who("gm-removal"),
        ["10.1.16.2", "10.1.15.2", own[0], own[1]]
    );
    assert_eq!(who("gdoi-interop-ack"), ["10.1.16.2", own[0], own[1]]);
    assert!(who("pfs").len() > 5);
}
