//! Dialogues with a box that keeps a configuration and notes its orders.

use crypto::ecdsa::Curve;
use crypto::key_pair::Size;
use policy::{Time, WallClock};
use proptest::strategy::Strategy;

use super::*;
use crate::config::{Origins, Target, parse};
use crate::event_trace::EventTraces;
use crate::logging::Logging;
use crate::show::machines::Machines;
use crate::show::tests::fixture::{Idle, Unregistered};

const KS1: &str = include_str!("../../../../../topologies/guide/ks1.cfg");

struct TestBox {
    config: Config,
    target: Target,
    machines: &'static dyn Machines,
    logging: Logging,
    traces: EventTraces,
    orders: Vec<Command>,
    said: Vec<String>,
}

impl TestBox {
    fn new() -> Self {
        Self {
            config: parse("ks1.cfg", KS1).unwrap().config,
            target: Target::default(),
            machines: &Idle,
            logging: Logging::default(),
            traces: EventTraces::default(),
            orders: Vec::new(),
            said: Vec::new(),
        }
    }
}

impl Operated for TestBox {
    fn context(&self) -> Context<'_> {
        Context {
            config: &self.config,
            startup: KS1,
            target: &self.target,
            interfaces: &[],
            logging: &self.logging,
            traces: &self.traces,
            machines: self.machines,
            version: "0.1.0",
            started: Time::ZERO,
            now: Time::from_secs(60),
            wall: WallClock {
                unix_ms: 1_384_376_786_469,
                synchronised: false,
            },
        }
    }

    fn configure(&mut self, config: Config) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        self.target = crate::config::to_gdoi(&config, &Origins::default(), &[], 1)?;
        self.config = config;
        self.said.push("configure".to_owned());
        Ok(Vec::new())
    }

    fn preview(&self, config: &Config) -> Result<Vec<String>, Vec<Diagnostic>> {
        let is_same = *config == self.config;
        Ok(if is_same {
            Vec::new()
        } else {
            vec!["% something".to_owned()]
        })
    }

    fn configured(&mut self, by: &str) {
        self.said.push(format!("by {by}"));
    }

    fn order(&mut self, command: Command) -> Result<(), Refusal> {
        self.orders.push(command);
        Ok(())
    }

    fn clear_log(&mut self) {
        self.said.push("clear".to_owned());
    }

    fn export_key(&mut self, export: &KeyExport) -> Result<String, Refusal> {
        self.said.push(format!("export {}", export.label));
        Ok(String::new())
    }

    fn check_label(&self, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn import_key(&mut self, import: &KeyImport, text: &str) -> Result<(), Refusal> {
        let lines = text.lines().count();
        self.said
            .push(format!("import {} of {lines} lines", import.label));
        Ok(())
    }

    fn import_key_file(&mut self, name: String, import: KeyImport) -> Result<String, Refusal> {
        self.said
            .push(format!("import {} from {name}", import.label));
        Ok(String::new())
    }

    fn displayed(&mut self, seen: &[Seen]) {
        for seen in seen {
            self.traces.displayed(seen.buffer, seen.number);
        }
    }

    fn save(&mut self, text: String) -> Result<(), Refusal> {
        self.said.push(format!("save {}", text.len()));
        Ok(())
    }
}

/// The dialogue as an operator sees it on the screen.
fn dialogue(host: &mut TestBox, lines: &[&str]) -> String {
    let mut session = Session::new("console", Kind::Interactive);
    let mut screen = String::new();
    for text in lines {
        screen += &format!("{}{text}\n", session.prompt(host));
        screen += &session.line(host, text).text;
    }
    screen += &session.prompt(host);
    session.close(host);
    screen
}

#[test]
fn an_operator_reads_configures_and_is_corrected() {
    let mut host = TestBox::new();
    insta::assert_snapshot!(dialogue(
        &mut host,
        &[
            "",
            "terminal length 0",
            "term width 511",
            "sh foo",
            "show",
            "c",
            "sh run | sec server local",
            "sh run | inc encr|rekey",
            "sh run | frob x",
            "sh run | inc (",
            "show running-config | count permit",
            "conf t",
            "crypto gdoi group G1",
            "server local",
            "rekey lifetime seconds 100",
            "rekey lifetime seconds 7300",
            "do sh run | inc rekey lifetime",
            "do frob",
            "exit",
            "do sh run | inc rekey lifetime",
            "exit",
            "do sh run | inc rekey lifetime",
            "set group X",
            "end",
            "terminal exec prompt timestamp",
            "show run | inc hostname",
            "terminal no exec prompt timestamp",
            "show run | inc hostname",
            "write memory",
            "disable",
            "show running-config",
            "enable",
            "show privilege",
            "exit",
        ]
    ));
    assert_eq!(host.said[..2], ["configure", "by console"]);
    assert!(host.said[2].starts_with("save "), "{:?}", host.said);
}

#[test]
fn question_marks_list_what_can_follow() {
    let mut host = TestBox::new();
    insta::assert_snapshot!(dialogue(
        &mut host,
        &[
            "?",
            "s?",
            "show ?",
            "show running-config ?",
            "show running-config | ?",
            "show running-config | i ?",
            "crypto key generate rsa ?",
            "frob ?",
            "conf t",
            "crypto isakmp policy 10",
            "?",
            "encr ?",
            "no ?",
            "do show ?",
            "lifetime ?",
        ]
    ));
    assert!(
        host.said.is_empty(),
        "looking changes nothing: {:?}",
        host.said
    );
}

#[test]
fn orders_reach_the_machines_once_the_operator_is_sure() {
    let mut host = TestBox::new();
    host.machines = &Unregistered;
    insta::assert_snapshot!(dialogue(
        &mut host,
        &[
            "crypto gdoi ks rekey",
            "crypto gkm ks group G1 rekey",
            "crypto gdoi ks group G2 rekey",
            "crypto gdoi ks rekey replace-now",
            "clear crypto gdoi ks members",
            "yes",
            "clear crypto gdoi group G1 ks members 10.1.14.2 now",
            "yes",
            "clear crypto gdoi ks members now",
            "no",
            "crypto gdoi ks readmit 10.1.99.2",
            "clear crypto gdoi",
            "no",
            "clear crypto gkm group G1",
            "y",
            "clear logging",
            "",
            "clear crypto gdoi ks coop counters",
            "clear crypto gkm group G1 ks coop role",
            "clear crypto gdoi group G2 ks coop role",
        ]
    ));
    let group = Some(policy::GroupName::new("G1"));
    assert_eq!(
        host.orders,
        [
            Command::Rekey { group: None },
            Command::Rekey {
                group: group.clone()
            },
            Command::ReplaceNow { group: None },
            Command::ClearMembers {
                group: None,
                member: None,
                now: false,
            },
            Command::ClearMembers {
                group: group.clone(),
                member: Some(std::net::Ipv4Addr::new(10, 1, 14, 2)),
                now: true,
            },
            Command::ClearGdoi {
                group: group.clone()
            },
            Command::ClearCoopCounters { group: None },
            Command::ClearCoopRole { group },
        ]
    );
    assert_eq!(host.said, ["clear"]);
}

#[test]
fn orders_for_key_pairs_reach_the_machines_if_they_name_a_size_and_a_label() {
    let mut host = TestBox::new();
    insta::assert_snapshot!(dialogue(
        &mut host,
        &[
            "crypto key generate rsa label get modulus 2048 exportable",
            "crypto key generate rsa general-keys exportable modulus 3072 label other",
            "crypto key generate rsa modulus 1024 label weak",
            "crypto key generate rsa modulus 2048",
            "crypto key generate ec keysize 384 label curve exportable",
            "crypto key generate ec keysize 521 exportable label large",
            "crypto key generate ec keysize 224 label weak",
            "crypto key generate ec keysize 256",
            "crypto key generate ec label curve",
            "crypto key generate ec keysize 256 label curve modulus 2048",
        ]
    ));
    let key = |label: &str, size| Command::GenerateKeyPair {
        label: label.to_owned(),
        size,
        exportable: true,
    };
    let rsa = |modulus_bits| Size::Rsa { modulus_bits };
    assert_eq!(
        host.orders,
        [
            key("get", rsa(2048)),
            key("other", rsa(3072)),
            key("curve", Size::Ec(Curve::P384)),
            key("large", Size::Ec(Curve::P521)),
        ]
    );
}

#[test]
fn orders_for_key_pairs_are_abbreviated_in_configuration_mode_as_anywhere() {
    let (mut host, mut other) = (TestBox::new(), TestBox::new());
    let mut exec = Session::new("console", Kind::Interactive);
    let mut configuring = Session::new("console", Kind::Interactive);
    for line in ["conf t", "crypto gdoi group G1"] {
        configuring.line(&mut other, line);
    }
    for line in [
        "crypto key gen rsa label get mod 2048 exp",
        "cry key gen ec key 384 lab curve",
        "CRYPTO KEY GENERATE rsa label loud",
        "cry k exp rsa get pem term aes correct-horse",
        "cry key zero rsa get",
        "cry key frob",
        "cry key",
        "cry key gen rsa",
        "c key zero rsa get",
    ] {
        let (said, same) = (
            exec.line(&mut host, line),
            configuring.line(&mut other, line),
        );
        // The mark of an error stands below the prompt, which is longer there.
        let [said, same] =
            [said, same].map(|reply| (reply.status, reply.text.trim_start().to_owned()));
        assert_eq!(said, same, "{line}");
    }
    assert_eq!(host.orders, other.orders);
    assert_eq!(host.orders.len(), 3);
    assert_eq!(other.said, ["export get"]);
    // The block is open as before.
    assert!(configuring.prompt(&other).contains("config-"));
    // No line of the configuration is taken for such an order.
    let mut cursor = crate::config::Cursor::live();
    let failure = cursor.apply(&mut Config::default(), "crypto key");
    assert!(matches!(
        failure,
        Err(LineError::Unreadable(Failure::Invalid { word: 1, .. }))
    ));
}

#[test]
fn a_key_server_without_peers_has_no_role_to_clear() {
    let mut host = TestBox::new();
    let alone = KS1.replacen("   peer address ipv4 10.1.12.2\n", "", 1);
    host.config = parse("ks1.cfg", &alone).unwrap().config;
    let mut session = Session::new("exec", Kind::Commands);
    for line in [
        "clear crypto gdoi ks coop role",
        "clear crypto gdoi group G1 ks coop counters",
    ] {
        let reply = session.line(&mut host, line);
        assert_eq!(reply.status, Status::Refused, "{line}");
        assert_eq!(
            reply.text,
            "% This box cooperates with no other key server of such a group.\n"
        );
    }
    assert_eq!(host.orders, []);
}

#[test]
fn who_is_a_member_of_no_such_group_has_no_policy_to_clear() {
    let mut host = TestBox::new();
    let mut session = Session::new("console", Kind::Interactive);
    let mut refuses = |host: &mut TestBox, line: &str| {
        let reply = session.line(host, line);
        assert_eq!(reply.status, Status::Refused, "{line}");
        assert!(reply.text.contains("`clear crypto gdoi ks members`"));
    };
    refuses(&mut host, "clear crypto gdoi");
    refuses(&mut host, "clear crypto gkm group G1");
    // It is a member of G1, and G2 is another.
    host.machines = &Unregistered;
    let group = host.config.groups["G1"].clone();
    host.config.groups.insert("G2".into(), group);
    refuses(&mut host, "clear crypto gdoi group G2");
    // Nothing was asked, so that this is no answer.
    assert_eq!(session.line(&mut host, "yes").status, Status::Refused);
    assert_eq!(host.orders, []);
    session.line(&mut host, "clear crypto gdoi group G1");
    session.line(&mut host, "yes");
    assert_eq!(host.orders.len(), 1);
}

#[test]
fn a_program_is_not_asked_and_gets_columns_of_its_own_line() {
    let mut host = TestBox::new();
    host.machines = &Unregistered;
    let mut session = Session::new("exec", Kind::Commands);
    assert_eq!(
        session.line(&mut host, "clear crypto gdoi").status,
        Status::Done
    );
    assert_eq!(host.orders.len(), 1);
    let reply = session.line(&mut host, "show nonsense");
    assert_eq!(reply.status, Status::Refused);
    assert_eq!(
        reply.text,
        "     ^\n% Invalid input detected at '^' marker.\n\n"
    );
    // NAPALM asks whether the session lives by a NUL.
    assert_eq!(session.line(&mut host, "\0"), Reply::done(""));
    let reply = session.line(&mut host, "show run\u{7}");
    assert_eq!(reply.status, Status::Error);
    assert_eq!(
        session
            .line(&mut host, "crypto gdoi ks rekey | inc x")
            .status,
        Status::Refused
    );
}

#[test]
fn json_is_the_view_however_it_is_asked_for() {
    let mut host = TestBox::new();
    let mut session = Session::new("exec", Kind::Commands);
    let plain = session.line(&mut host, "show running-config");
    let json = plain.json.unwrap();
    assert!(
        json["lines"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line == "hostname KS1")
    );
    for text in ["show running-config | json", "sh run json", "show run | j"] {
        let reply = session.line(&mut host, text);
        let printed: serde_json::Value = serde_json::from_str(&reply.text).unwrap();
        assert_eq!(Some(printed), reply.json, "{text}");
        assert_eq!(reply.json.as_ref(), Some(&json));
    }
    let reply = session.line(&mut host, "show running-config | json | include KS1");
    assert_eq!(reply.text.trim(), "\"hostname KS1\",");
}

#[test]
fn a_block_is_in_force_as_a_whole_or_not_at_all() {
    let mut host = TestBox::new();
    let before = host.config.clone();
    insta::assert_snapshot!(dialogue(
        &mut host,
        &[
            "conf t",
            "crypto ipsec profile gdoi-p",
            "set security-association lifetime seconds 86400",
            "hostname other",
            "no ip access-list extended ENCPOL",
            "no crypto ipsec profile gdoi-p",
            "ip access-list extended ENCPOL",
            "no permit ip 192.168.0.0 0.0.255.255 192.168.0.0 0.0.255.255",
            "permit ip 10.0.0.0 0.255.255.255 10.0.0.0 0.255.255.255",
            "exit",
            "crypto gdoi group G2",
            "identity number 5",
            "server local",
            "address ipv4 10.1.11.2",
            "exit",
            "exit",
        ]
    ));
    assert_eq!(
        host.config.host(),
        "other",
        "the line after a refused block counts"
    );
    assert_eq!(host.config.profiles, before.profiles);
    let aces: Vec<_> = host.config.access_lists["ENCPOL"].aces().collect();
    assert_eq!(aces.len(), 1);
    assert!(host.config.groups.contains_key("G2"));
}

#[test]
fn two_operators_do_not_undo_each_other() {
    let mut host = TestBox::new();
    let mut first = Session::new("first", Kind::Interactive);
    let mut second = Session::new("second", Kind::Interactive);
    for (session, text) in [
        (1, "conf t"),
        (2, "conf t"),
        (1, "crypto isakmp policy 20"),
        (1, "authentication pre-share"),
        (1, "group 14"),
        (2, "hostname KS9"),
        (2, "end"),
        (1, "end"),
    ] {
        let session = if session == 1 {
            &mut first
        } else {
            &mut second
        };
        let reply = session.line(&mut host, text);
        assert_eq!(reply.status, Status::Done, "{text}: {}", reply.text);
    }
    assert_eq!(host.config.host(), "KS9");
    assert_eq!(host.config.isakmp_policies[&20].group, Some(14));
}

#[test]
fn a_session_that_breaks_off_leaves_whole_blocks() {
    let mut host = TestBox::new();
    let mut session = Session::new("console", Kind::Interactive);
    for text in ["conf t", "interface Loopback0", "description x"] {
        session.line(&mut host, text);
    }
    session.close(&mut host);
    assert_eq!(
        host.config.interfaces["Loopback0"].description.as_deref(),
        Some("x")
    );
    assert_eq!(host.said, ["configure", "by console"]);
}

#[test]
fn every_word_of_the_exec_mode_has_help() {
    assert_eq!(commands().tree.without_help(), Vec::<&str>::new());
}

#[test]
fn a_key_is_pasted_in_the_dialogue_of_ios() {
    let mut host = TestBox::new();
    insta::assert_snapshot!(dialogue(
        &mut host,
        &[
            "crypto key import rsa get exportable pem terminal correct-horse",
            "",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
            "AAAA?",
            "-----END ENCRYPTED PRIVATE KEY-----",
            "",
            "quit",
            "conf t",
            "crypto key import rsa get pem terminal correct-horse",
            "-----BEGIN PUBLIC KEY-----",
            "-----END PUBLIC KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----",
            "end",
            "quit",
            "crypto key export rsa get pem terminal aes correct-horse",
            "end",
        ],
    ));
    assert_eq!(
        host.said,
        [
            "import get of 4 lines",
            "import get of 4 lines",
            "export get"
        ]
    );
    let mut session = Session::new("x", Kind::Interactive);
    session.line(
        &mut host,
        "crypto key import rsa x pem terminal correct-horse",
    );
    session.line(&mut host, "-----BEGIN ENCRYPTED PRIVATE KEY-----");
    let long = "A".repeat(4_000);
    let replies: Vec<_> = (0..9)
        .map(|_| session.line(&mut host, &long).status)
        .collect();
    assert_eq!(replies[8], Status::Refused);
    let mut program = Session::new("x", Kind::Commands);
    let reply = program.line(
        &mut host,
        "crypto key import rsa x pem terminal correct-horse",
    );
    assert_eq!(reply.status, Status::Refused);
}

#[test]
fn the_help_of_event_traces_is_the_guides() {
    let mut host = TestBox::new();
    let mut session = Session::new("console", Kind::Interactive);
    let shown = session.line(&mut host, "show monitor event-trace gdoi ?");
    assert_eq!(
        shown.text,
        "  all           Show all the traces in current buffer
  back          Show trace from this far back in the past
  clock         Show trace from a specific clock time/date
  coop          GDOI COOP Event Traces
  exit          GDOI Exit Traces
  from-boot     Show trace from this many seconds after booting
  infra         GDOI INFRA Event Traces
  latest        Show latest trace events since last display
  merged        Show entries in all event traces sorted by time
  registration  GDOI Registration event Traces
  rekey         GDOI Rekey event Traces
"
    );
    session.line(&mut host, "configure terminal");
    let shown = session.line(&mut host, "monitor event-trace gdoi rekey size ?");
    assert_eq!(shown.text, "  <1-1000000>  Number of entries in trace\n");
}

proptest::proptest! {
    #[test]
    fn no_line_and_no_order_of_lines_brings_a_session_down(
        lines in proptest::collection::vec(
            proptest::prop_oneof![
                "[ -~]{0,60}".prop_map(|line| line),
                proptest::sample::select(vec![
                    "conf t", "end", "exit", "do show run", "show run | inc é|", "?", "no ?",
                    "crypto gdoi group G1", "server local", "no server local", "rekey lifetime ?",
                    "sa ipsec 1", "no sa ipsec 1", "profile x", "do", "do ?", "clear logging",
                    "interface Serial1/0", "no crypto gdoi group G1", "address ipv4 10.1.1.1",
                ]).prop_map(str::to_owned),
            ],
            0..30,
        )
    ) {
        let mut host = TestBox::new();
        let mut session = Session::new("x", Kind::Interactive);
        for text in lines {
            session.line(&mut host, &text);
            let _ = (session.complete(&text), session.prompt(&host));
        }
        session.close(&mut host);
        // Whatever was typed, what is in force reads back.
        let text = crate::config::render(&host.config);
        let mut again = Config::default();
        let mut cursor = crate::config::Cursor::in_file();
        for line in text.lines().filter(|line| !line::is_blank(line) && *line != "end") {
            proptest::prop_assert!(cursor.apply(&mut again, line).is_ok(), "{}", line);
        }
        proptest::prop_assert_eq!(again, host.config);
    }
}
