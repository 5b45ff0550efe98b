//! What routers show while they run: the same facts on both ends, and readings that move as they
//! should.

use std::collections::BTreeMap;
use std::time::Duration;

use sim::VirtualWorld;
use sim::guide;
use sim::link::Link;
use sim::scenario::{Action, World as _};

fn run_for(world: &mut VirtualWorld, seconds: u64) {
    world.run_until(world.now() + Duration::from_secs(seconds));
    assert!(world.violations().is_empty(), "{:#?}", world.violations());
}

/// Both members registered, one rekey acknowledged, traffic from h1 to h2.
fn world() -> VirtualWorld {
    let mut world = guide::world(7, &Link::default()).expect("the configurations are right");
    guide::boot(&mut world).expect("both members register");
    world
        .exec("ks1", "crypto gdoi ks rekey")
        .expect("it serves the group");
    run_for(&mut world, 20);
    let traffic = Action::Traffic {
        from: "h1".into(),
        to: "h2".into(),
        pps: 100,
        octets: 200,
    };
    world.act(&traffic).expect("both hosts exist");
    run_for(&mut world, 5);
    world
}

fn json(world: &mut VirtualWorld, node: &str, command: &str) -> serde_json::Value {
    let text = world
        .exec(node, &format!("{command} | json"))
        .expect("the command is known");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}\n{text}"))
}

#[test]
fn both_ends_show_the_same_keys_and_the_same_number_of_rekeys() {
    let mut world = world();
    let policy = json(&mut world, "ks1", "show crypto gdoi ks policy");
    let members = json(&mut world, "ks1", "show crypto gdoi ks members");
    let group = &members["groups"][0];
    assert_eq!(group["members"].as_array().map(Vec::len), Some(2));
    for (place, name) in ["gm1", "gm2"].into_iter().enumerate() {
        let gm = &json(&mut world, name, "show crypto gdoi")["members"][0];
        assert_eq!(gm["status"], "Registered");
        let row = &group["members"][place];
        assert_eq!(row["address"], gm["address"]);
        assert_eq!(row["acks_received"], gm["acks_sent"]);
        assert_eq!(row["rekeys_sent"], gm["rekeys_received"]);
        assert_eq!(row["received_seqs"][0], gm["last_rekey_seq"]);
        let spi = gm["teks"][0]["spi"].as_str().expect("it holds a key");
        let minted = policy["groups"][0]["teks"]
            .as_array()
            .expect("there are keys");
        let is_minted =
            |tek: &serde_json::Value| tek["spi"].as_str().is_some_and(|own| spi.starts_with(own));
        assert!(minted.iter().any(is_minted), "{spi} is none of {minted:?}");
        let rekey = &json(&mut world, name, "show crypto gdoi rekey sa")["sas"][0];
        assert_eq!(rekey["spi"], policy["groups"][0]["keks"][0]["spi"]);
        let acl = world.exec(name, "show crypto gdoi gm acl").unwrap();
        let on_server = world.exec("ks1", "show crypto gdoi ks acl").unwrap();
        let last = |text: &str| text.lines().filter(|line| line.contains("permit")).count();
        assert_eq!(last(&acl), last(&on_server));
    }
}

#[test]
fn counters_rise_by_what_is_sent_and_lifetimes_fall_by_what_passes() {
    let mut world = world();
    let before = Reading::of(&mut world);
    run_for(&mut world, 5);
    let after = Reading::of(&mut world);
    let rise = after.encrypted - before.encrypted;
    assert!((499..=501).contains(&rise), "{before:?} {after:?}");
    let rise = after.decrypted - before.decrypted;
    assert!((499..=501).contains(&rise), "{before:?} {after:?}");
    assert!(
        before.lifetimes_s.len() >= 2,
        "a rekey leaves two keys: {before:?}"
    );
    for (spi, life) in before.lifetimes_s {
        assert_eq!(after.lifetimes_s.get(&spi), Some(&(life - 5)), "{spi}");
    }
}

/// What the members at both ends of the traffic show.
#[derive(Debug)]
struct Reading {
    encrypted: u64,
    decrypted: u64,
    lifetimes_s: BTreeMap<String, u64>,
}

impl Reading {
    fn of(world: &mut VirtualWorld) -> Self {
        let [out, back] = ["gm1", "gm2"].map(|name| {
            let page = json(world, name, "show crypto ipsec sa");
            page["interfaces"][0]["flows"][0].clone()
        });
        assert_eq!(out["outbound_spi"], back["outbound_spi"]);
        let number = |value: &serde_json::Value| value.as_u64().expect("it is a number");
        let sas = out["inbound"].as_array().expect("there are SAs");
        Self {
            encrypted: number(&out["encrypted_packets"]),
            decrypted: number(&back["decrypted_packets"]),
            lifetimes_s: sas
                .iter()
                .map(|sa| (sa["spi"].to_string(), number(&sa["remaining_lifetime_s"])))
                .collect(),
        }
    }
}

#[test]
fn every_show_command_answers_on_a_running_box() {
    let mut world = world();
    for node in ["ks1", "gm1"] {
        for show in router::show::COMMANDS {
            let fixed = shortest(show.syntax.grammar);
            let detailed = show.syntax.grammar.contains("[ detail ]");
            let detail = detailed.then(|| format!("{fixed} detail"));
            for command in detail.into_iter().chain([fixed]) {
                let Ok(text) = world.exec(node, &command) else {
                    continue;
                };
                assert!(!text.contains("^\n"), "{node}: {command}: {text}");
            }
        }
    }
    let text = world.exec("gm1", "show crypto gdoi").unwrap();
    assert!(text.starts_with("GROUP INFORMATION\n"), "{text}");
}

/// The shortest command of a grammar: of alternatives the first, nothing that may be left out.
fn shortest(grammar: &str) -> String {
    let mut command = Vec::new();
    choose(&mut grammar.split_whitespace(), true, &mut command);
    command.join(" ")
}

fn choose<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    mut taken: bool,
    command: &mut Vec<&'a str>,
) {
    while let Some(word) = words.next() {
        match word {
            "(" => choose(words, taken, command),
            "[" => choose(words, false, command),
            ")" | "]" => return,
            "|" => taken = false,
            "@trace-selection" if taken => command.push("all"),
            word if taken => command.push(word),
            _ => {}
        }
    }
}
