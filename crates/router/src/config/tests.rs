//! The configuration as a whole: the guide's files, every command, every error with its line.

use proptest::prelude::*;

use super::edit::words_without_help;
use super::*;

const KS1: &str = include_str!("../../../../topologies/guide/ks1.cfg");
const KS2: &str = include_str!("../../../../topologies/guide/ks2.cfg");
const GM1: &str = include_str!("../../../../topologies/guide/gm1.cfg");
const GM2: &str = include_str!("../../../../topologies/guide/gm2.cfg");

/// Lines that lead from the start of a file into a mode.
const fn way_into(mode: Mode) -> &'static str {
    match mode {
        Mode::Global => "",
        Mode::IsakmpPolicy => "crypto isakmp policy 7\n",
        Mode::IsakmpPeer => "crypto isakmp peer address 10.9.9.9\n",
        Mode::TransformSet => "crypto ipsec transform-set T9 esp-gcm\n",
        Mode::IpsecProfile => "crypto ipsec profile P9\n",
        Mode::Group => "crypto gdoi group G9\n",
        Mode::ServerLocal => "crypto gdoi group G9\nserver local\n",
        Mode::SaIpsec => "crypto gdoi group G9\nserver local\nsa ipsec 9\n",
        Mode::Redundancy => "crypto gdoi group G9\nserver local\nredundancy\n",
        Mode::Identifier => "crypto gdoi group G9\nserver local\nidentifier\n",
        Mode::CryptoMap => "crypto map M9 9 gdoi\n",
        Mode::Interface => "interface Serial9/9\n",
        Mode::ExtendedAccessList => "ip access-list extended L9\n",
        Mode::StandardAccessList => "ip access-list standard L8\n",
        Mode::ClassMap => "class-map match-all C9\n",
        Mode::PolicyMap => "policy-map PM9\n",
        Mode::RouteMap => "route-map R9 permit 10\n",
        Mode::Applet => "event manager applet A9\n",
    }
}

/// The tree of a text, names that do not exist included.
fn tree(text: &str) -> Config {
    let mut config = Config::default();
    let mut cursor = Cursor::in_file();
    for line in text
        .lines()
        .filter(|line| !crate::cli::line::is_blank(line) && *line != "end")
    {
        if let Err(error) = cursor.apply(&mut config, line) {
            panic!("`{line}`: {error:?}");
        }
    }
    config
}

fn errors(text: &str) -> String {
    let said = match parse("ks1.cfg", text) {
        Ok(parsed) => parsed.warnings,
        Err(said) => said,
    };
    said.iter().map(|one| format!("{one}\n")).collect()
}

/// A file of IOS as its lines mean it: without comments.
fn lines_of(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !crate::cli::line::is_blank(line))
        .collect()
}

#[test]
fn the_configurations_of_the_lab_load_and_read_back_line_by_line() {
    for (name, text) in [("ks1", KS1), ("ks2", KS2), ("gm1", GM1), ("gm2", GM2)] {
        let parsed = match parse("ks1.cfg", text) {
            Ok(parsed) => parsed,
            Err(said) => panic!("{name}: {said:?}"),
        };
        assert_eq!(parsed.warnings, [], "{name}");
        let rendered = render(&parsed.config);
        assert_eq!(lines_of(&rendered), lines_of(text), "{name}");
        assert_eq!(tree(&rendered), parsed.config, "{name}");
    }
}

#[test]
fn the_guides_configurations_stand_unchanged_in_those_of_the_lab() {
    const GUIDE_KS1: &str = "crypto gdoi group G1\n identity number 3333\n server local\n  \
        rekey authentication mypubkey rsa get\n  rekey transport unicast\n  sa ipsec 1\n   \
        profile gdoi-p\n   match address ipv4 ENCPOL\n  address ipv4 10.1.11.2\n  redundancy\n   \
        local priority 10\n   peer address ipv4 10.1.12.2\n";
    const GUIDE_GM1: &str = "crypto gdoi group G1\n identity number 3333\n \
        server address ipv4 10.1.11.2\n server address ipv4 10.1.12.2\n!\n\
        crypto map gm_map 10 gdoi\n set group G1\n!\ninterface Serial1/0\n crypto map gm_map\n";
    for (guide, lab) in [(GUIDE_KS1, KS1), (GUIDE_GM1, GM1)] {
        let alone = tree(guide);
        let rendered = render(&alone);
        for line in lines_of(guide) {
            assert!(lines_of(&rendered).contains(&line), "{line}");
            assert!(lines_of(lab).contains(&line), "{line}");
        }
        assert_eq!(tree(&rendered), alone);
    }
}

#[test]
fn the_guides_other_configurations_load_with_a_warning_for_what_has_no_effect() {
    let text = "buffers huge permanent 10\nbuffers huge size 65535\n\
        service timestamp debug datetime msec\n\
        class-map match-all my_flow\n match access-group 150\n!\n\
        policy-map marking\n class my_flow\n  set ip precedence 4\n!\n\
        interface Ethernet1/0\n service-policy input marking\n ip policy route-map mark\n \
        ip accounting precedence input\n ip flow egress\n ip pim sparse-dense-mode\n\n\
        access-list 150 permit ip host 172.16.1.2 host 172.16.254.2\n\n\
        route-map mark permit 10\n match ip address 150\n set ip precedence flash-override\n\
        event manager applet debug\n event syslog pattern \"RESTART\"\n \
        action 1.0 cli command \"enable\"\n action 2.0 cli command \"debug crypto gdoi all all\"\n\
        ip route 0.0.0.0 0.0.0.0 10.1.1.1\n";
    insta::assert_snapshot!(errors(text));
    let config = tree(text);
    insta::assert_snapshot!(render(&config));
    assert_eq!(tree(&render(&config)), config);
}

#[test]
fn every_command_reads_back_and_no_takes_it_away() {
    for command in COMMANDS.iter().flat_map(|file| file.iter()) {
        for example in command.examples {
            let before = tree(way_into(command.mode));
            let text = format!("{}{example}\n", way_into(command.mode));
            let after = tree(&text);
            let again = tree(&render(&after));
            assert_eq!(
                again,
                after,
                "`{example}` reads back as\n{}",
                render(&after)
            );

            let mut config = after.clone();
            let mut cursor = Cursor::in_file();
            for line in way_into(command.mode).lines() {
                cursor
                    .apply(&mut config, line)
                    .unwrap_or_else(|e| panic!("{line}: {e:?}"));
            }
            let opposite = match example.strip_prefix("no ") {
                Some(rest) => format!("default {rest}"),
                None => format!("no {example}"),
            };
            if let Err(error) = cursor.apply(&mut config, &opposite) {
                panic!("`{opposite}`: {error:?}");
            }
            // `no logging console` is said, not merely unsaid; empty lists and maps stay.
            let said = ["logging", "no replay", "ip access-list", "access-list"];
            if !said.iter().any(|word| example.starts_with(word)) {
                assert_eq!(config, before, "`{opposite}`");
            }
            assert_eq!(tree(&render(&config)), config, "`{opposite}`");
        }
    }
}

#[test]
fn every_word_of_the_grammars_has_help_unless_it_does_nothing() {
    for mode in Mode::ALL {
        let inert: Vec<_> = inert::COMMANDS
            .iter()
            .filter(|command| command.mode == mode)
            .map(|command| command.syntax.grammar)
            .collect();
        for word in words_without_help(mode) {
            assert!(
                inert.iter().any(|grammar| grammar.contains(word)),
                "{mode:?}: {word}"
            );
        }
    }
}

#[test]
fn every_error_of_a_file_is_told_in_one_pass_with_its_line() {
    let text = "hostname -bad-\n\
        crypto isakmp policy 10\n encr des\n hash md5\n authentication rsa-sig\n lifetime 5\n\
        crypto isakmp key my secret address 10.1.20.2\n\
        crypto isakmp key 6 abc address 10.1.20.2\n\
        crypto isakmp key abc address 10.1.20.2 255.0.255.0\n\
        crypto ipsec transform-set T1 esp-gcm 256 esp-sha-hmac\n\
        crypto ipsec transform-set T2 esp-aes\n\
        crypto ipsec transform-set T3 esp-fast\n mode tunnel\n\
        crypto ipsec profile gdoi-p\n set transform-set T9\n \
        set security-association lifetime seconds 30\n\
        crypto gdoi group G1\n server local\n  rekey lifetime\n  rekey sig-hash\n  sa ipsec 1\n   \
        match address ipv4 NOWHERE\n   profile nowhere\n\
        crypto gdoi group G2\n identity number 1\n server address ipv4 0.0.0.0\n\
        crypto map M 10 gdoi\n set group G9\n match address NOWHERE\n\
        interface Serial1/0\n ip address 10.1.1.0 255.255.255.0\n crypto map NOWHERE\n\
        ip access-list extended A\n permit udp any eq nonsense any\n permit ip any\n \
        permit ip any eq 5 any\n\
        ip route 10.1.1.1 255.255.0.0 10.1.1.1\n\
        frobnicate the router\n\
        c 1\n";
    insta::assert_snapshot!(errors(text));
}

/// A file, what is replaced in it, and by what.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        KS1,
        "rekey lifetime seconds 7200",
        "rekey lifetime seconds 7199",
    ),
    (KS1, "lifetime seconds 3600", "lifetime seconds 90"),
    (KS1, "lifetime seconds 3600", "lifetime seconds 43201"),
    (
        KS1,
        "  rekey lifetime",
        "  group size small 8\n  rekey lifetime",
    ),
    (
        KS1,
        "  rekey lifetime",
        "  group size small 8\n exit\n exit\ncrypto isakmp key \
        kfNDQ2n9v7YxQpLr4TwZs1 address 10.7.7.1\ncrypto isakmp key kfNDQ2n9v7YxQpLr4TwZs2 \
        address 10.7.7.2\ncrypto isakmp key kfNDQ2n9v7YxQpLr4TwZs3 address 10.7.7.3\n\
        crypto gdoi group G1\n server local\n  rekey lifetime",
    ),
    (
        KS1,
        "hostname KS1",
        "crypto isakmp key sharedsecret address 10.1.0.0 255.255.0.0",
    ),
    (KS1, "  rekey authentication mypubkey rsa get\n", ""),
    (KS1, "  rekey transport unicast\n", ""),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 permit udp host 10.1.11.2 eq 848 host 239.10.1.1 eq 848\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 permit udp host 10.1.11.2 eq 848 host 10.9.9.9 eq 848\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 permit udp any any\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 permit udp host 10.1.11.9 eq 848 host 239.10.1.1 eq 848\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 permit udp any host 224.0.0.9\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 permit tcp any host 239.10.1.1\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 permit udp any host 239.10.1.1\naccess-list 150 permit udp any host 239.10.1.2\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 deny udp any any\ncrypto gdoi group G1\n server local\n",
    ),
    (
        KS1,
        "  rekey transport unicast\n",
        "  rekey address ipv4 150\n exit\n exit\naccess-list 150 permit udp host 10.1.11.2 eq 848 host 239.10.1.1 eq 848\ncrypto gdoi group G0\n identity number 9\n server local\n  address ipv4 10.1.11.2\n  rekey address ipv4 150\n  sa ipsec 1\n   profile gdoi-p\n   match address ipv4 ENCPOL\n  exit\n exit\nexit\ncrypto gdoi group G1\n server local\n",
    ),
    (KS1, "esp-gcm 256", "esp-3des esp-sha-hmac"),
    (KS1, "esp-gcm 256", "esp-null esp-sha-hmac"),
    (
        KS1,
        "peer address ipv4 10.1.12.2",
        "peer address ipv4 10.1.11.2",
    ),
    (
        KS1,
        "crypto isakmp key sQZnaA5LHvLgG7hmelqfpHQvSznO address 10.1.12.2",
        "crypto isakmp key sQZnaA5LHvLgG7hmelqfpHQvSznO address 10.1.12.0 255.255.255.0",
    ),
    (KS1, "sQZnaA5LHvLgG7hmelqfpHQvSznO", "cisco123cisco123"),
    (
        KS1,
        " encr aes 256\n hash sha256",
        " encr aes 192\n hash sha",
    ),
    (KS1, " group 19", " group 5"),
    (
        KS1,
        "crypto isakmp key sQ",
        "crypto isakmp policy 20\n encr aes\n authentication pre-share\n group 14\ncrypto isakmp key sQ",
    ),
    (
        KS1,
        "   peer address ipv4 10.1.12.2",
        "   no key sync\n   peer address ipv4 10.1.12.2",
    ),
    (KS1, "profile gdoi-p\n   match", "match"),
    (KS1, "permit ip", "deny ip"),
    (KS1, "identity number 3333\n", ""),
    (
        KS1,
        "  address ipv4 10.1.11.2\n",
        "  authorization address ipv4 WHO\n",
    ),
    (
        GM1,
        " set group G1",
        " set group G1\n match address LOCAL\n!\n\
        ip access-list extended LOCAL\n deny tcp any any eq 22\n permit ip any any",
    ),
    (GM1, "set group G1", "set group G2"),
    (GM1, "10.1.12.2\n!\ncrypto map", "10.1.13.2\n!\ncrypto map"),
    (GM1, " crypto map gm_map", " crypto map other"),
    (GM1, "end", "end\nhostname late"),
];

#[test]
fn what_does_not_fit_together_is_named_with_both_lines() {
    let mut told = String::new();
    for (file, from, to) in CHANGES {
        assert!(file.contains(from), "{from}");
        let said = errors(&file.replacen(from, to, 1));
        let said = said
            .lines()
            .filter(|line| !line.contains("do not cooperate yet"));
        told += &format!("{from:?} -> {to:?}\n");
        told.extend(said.map(|line| format!("  {line}\n")));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn no_error_and_no_warning_repeats_a_key() {
    let text = "crypto isakmp key first-part second-part address 10.1.1.1\n\
        crypto isakmp key hunter2hunter2 address 10.1.1.1\n\
        crypto isakmp key hunter2hunter2 address 10.1.0.0 255.255.0.0\n\
        crypto isakmp key hunter2hunter2 adress 10.1.1.1\n";
    let said = errors(text);
    assert!(said.lines().count() >= 4, "{said}");
    for secret in ["first-part", "second-part", "hunter2"] {
        assert!(!said.contains(secret), "{said}");
    }
    let parsed = tree("crypto isakmp key hunter2hunter2 address 10.1.1.1\n");
    assert!(!format!("{parsed:?}").contains("hunter2"));
    assert!(render(&parsed).contains("crypto isakmp key hunter2hunter2 address 10.1.1.1\n"));
}

#[test]
fn a_refused_line_changes_nothing() {
    let mut config = tree(KS1);
    let before = config.clone();
    let mut cursor = Cursor::live();
    for line in [
        "crypto gdoi group G1",
        "server address ipv4 10.1.1.1",
        "client compatibility rfc6407",
    ] {
        let _ = cursor.apply(&mut config, line);
    }
    for line in [
        "hostname -",
        "interface Serial1/0",
        "ip address 10.1.1.1 255.0.255.0",
        "crypto map nowhere",
        "set group G7",
        "nonsense",
        "no nonsense",
    ] {
        let place = cursor.clone();
        if cursor.apply(&mut config, line).is_err() {
            assert_eq!(cursor, place, "{line}");
        }
    }
    assert_eq!(config, before);

    let mut member = tree("crypto gdoi group G1\n client compatibility rfc6407\n");
    let before = member.clone();
    let mut cursor = Cursor::live();
    cursor.apply(&mut member, "crypto gdoi group G1").unwrap();
    assert!(cursor.apply(&mut member, "server local").is_err());
    assert_eq!(member, before);
}

#[test]
fn an_operator_may_only_name_what_exists() {
    let mut config = tree(GM1);
    let mut cursor = Cursor::live();
    let mut say = |line: &str| match cursor.apply(&mut config, line) {
        Ok(applied) => applied.warnings.join("\n"),
        Err(LineError::Refused(refusal)) => refusal.0,
        Err(LineError::Unreadable(failure)) => format!("{failure:?}"),
    };
    assert_eq!(
        say("crypto map other 10 gdoi"),
        "% NOTE: This new crypto map will remain disabled until a valid group has been configured."
    );
    assert_eq!(say("set group G7"), "% group G7 doesn't yet exist.");
    assert!(say("crypto gdoi group ipv6 G6").contains("IPv6"));
    say("crypto map other 10 gdoi");
    assert_eq!(
        say("set group G6"),
        "Group G6 is an IPv6 group and Crypto map is for IPv4.Please set an IPv4 group."
    );
    assert_eq!(
        say("no crypto map gm_map"),
        "% Crypto-map gm_map is in use by interface(s): Serial1/0"
    );
    assert_eq!(say("interface Serial1/0"), "");
    assert_eq!(
        say("crypto map nowhere"),
        "ERROR: Crypto Map with tag \"nowhere\" does not exist."
    );
}

fn device(name: &str, alias: &str, address: [u8; 4]) -> crate::Interface {
    crate::Interface {
        name: name.into(),
        alias: Some(alias.into()),
        index: 2,
        mac: [0; 6],
        mtu: 1500,
        addresses: vec![(address.into(), 24)],
    }
}

#[test]
fn a_member_and_a_key_server_are_told_what_their_files_say() {
    let parsed = parse("config", GM1).unwrap();
    let devices = [
        device("wan", "Serial1/0", [10, 1, 20, 2]),
        device("lan", "Ethernet0/0", [192, 168, 20, 1]),
    ];
    let target = to_gdoi(&parsed.config, &parsed.origins, &devices, 2).unwrap();
    assert_eq!(target.warnings, []);
    assert_eq!(target.attachments.len(), 1);
    assert_eq!(target.attachments[0].device, "wan");
    let [member] = &target.gdoi.members[..] else {
        panic!("one member")
    };
    assert_eq!(member.servers.len(), 2);
    assert_eq!(member.address, Ipv4Addr::new(10, 1, 20, 2));
    assert_eq!(
        (member.interface.as_str(), member.workers),
        ("Serial1/0", 2)
    );
    assert!(!member.compatible_rfc6407);
    let line = " server address ipv4 10.1.11.2\n";
    let plain = GM1.replacen(line, &format!(" client compatibility rfc6407\n{line}"), 1);
    let parsed = parse("config", &plain).unwrap();
    let target = to_gdoi(&parsed.config, &parsed.origins, &devices, 2).unwrap();
    assert!(target.gdoi.members[0].compatible_rfc6407);

    let parsed = parse("config", KS1).unwrap();
    let devices = [device("wan", "Serial1/0", [10, 1, 11, 2])];
    let target = to_gdoi(&parsed.config, &parsed.origins, &devices, 1).unwrap();
    assert_eq!(target.warnings, []);
    let [server] = &target.gdoi.key_servers[..] else {
        panic!("one key server")
    };
    assert_eq!(
        server.servers,
        [Ipv4Addr::new(10, 1, 11, 2), Ipv4Addr::new(10, 1, 12, 2)]
    );
    assert_eq!((server.priority, server.kek_lifetime_s), (10, 7200));
    assert_eq!(server.sas[0].transform.to_string(), "esp-gcm 256");
    assert_eq!(server.sas[0].acl.entries.len(), 1);
    assert_eq!(target.gdoi.isakmp.keys.len(), 3);
}

#[test]
fn a_group_has_sixteen_key_servers_at_most() {
    let with = |peers: u8| {
        let lines: String = (1..=peers)
            .map(|n| format!("   peer address ipv4 10.1.30.{n}\n"))
            .collect();
        KS1.replacen("   peer address ipv4 10.1.12.2\n", &lines, 1)
    };
    assert!(parse("ks1.cfg", &with(15)).is_ok());
    assert!(parse("ks1.cfg", &with(16)).is_err());
    let said = errors(&with(16));
    assert!(
        said.contains(": A group has at most 16 key servers"),
        "{said}"
    );
}

#[test]
fn the_rekey_key_travels_unless_it_is_told_not_to() {
    let synced = |text: &str| {
        let parsed = parse("config", text).unwrap();
        let devices = [device("wan", "Serial1/0", [10, 1, 11, 2])];
        let target = to_gdoi(&parsed.config, &parsed.origins, &devices, 1).unwrap();
        target.gdoi.key_servers[0].key_sync
    };
    assert!(synced(KS1));
    let off = KS1.replacen("  redundancy\n", "  redundancy\n   no key sync\n", 1);
    assert!(!synced(&off));
}

#[test]
fn a_missing_device_and_other_addresses_are_named() {
    let parsed = parse("config", GM1).unwrap();
    let devices = [device("eth0", "Ethernet0/0", [192, 168, 99, 1])];
    let Err(said) = to_gdoi(&parsed.config, &parsed.origins, &devices, 1) else {
        panic!("Serial1/0 is missing");
    };
    let said: String = said.iter().map(|one| format!("{one}\n")).collect();
    insta::assert_snapshot!(said);
}

#[test]
fn an_abbreviated_alias_is_the_interface_and_a_group_is_joined_through_one() {
    let two = GM1.replacen(
        " ip address 192.168.20.1 255.255.255.0\n",
        " ip address 192.168.20.1 255.255.255.0\n crypto map gm_map\n",
        1,
    );
    let devices = [
        device("wan", "Se1/0", [10, 1, 20, 2]),
        device("lan", "ethernet 0/0", [192, 168, 20, 1]),
    ];
    let told = |text: &str| {
        let parsed = parse("gm1.cfg", text).unwrap();
        match to_gdoi(&parsed.config, &parsed.origins, &devices, 1) {
            Ok(target) => format!("{:?}", target.attachments[0].device),
            Err(said) => said.iter().map(|one| format!("{one}\n")).collect(),
        }
    };
    assert_eq!(told(GM1), "\"wan\"");
    assert_eq!(
        told(&two),
        "gm1.cfg:31: group G1 is joined through Ethernet0/0 already: one interface per group\n"
    );
}

#[test]
fn the_output_of_show_running_config_is_a_file() {
    let config = tree(KS1);
    let shown = format!(
        "Building configuration...\n\nCurrent configuration : 9 bytes\n{}",
        render(&config)
    );
    assert_eq!(parse("kept.cfg", &shown).unwrap().config, config);
}

#[test]
fn without_a_policy_phase_1_offers_the_boxs_own() {
    let target = to_gdoi(&Config::default(), &Origins::default(), &[], 1).unwrap();
    let offered: Vec<_> = target
        .gdoi
        .isakmp
        .policies
        .iter()
        .map(|p| p.group)
        .collect();
    assert_eq!(offered, [19, 14]);
}

/// Every example of every mode, in any order and number, is a configuration.
fn scripts() -> impl Strategy<Value = String> {
    let lines: Vec<String> = COMMANDS
        .iter()
        .flat_map(|file| file.iter())
        .flat_map(|command| {
            command
                .examples
                .iter()
                .flat_map(|line| [(*line).to_owned(), format!("no {line}")])
                .map(|line| format!("{}{line}\n", way_into(command.mode)))
        })
        .collect();
    prop::collection::vec(prop::sample::select(lines), 0..40).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn any_configuration_reads_back_to_the_same_tree(script in scripts()) {
        let mut config = Config::default();
        let mut cursor = Cursor::in_file();
        for line in script.lines() {
            // Two lines may contradict each other; a refused one changes nothing.
            let _ = cursor.apply(&mut config, line);
        }
        let text = render(&config);
        prop_assert_eq!(&tree(&text), &config, "{}", text);
        prop_assert_eq!(render(&tree(&text)), text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n]{0,200}") {
        let _ = parse("config", &text);
    }

    #[test]
    fn any_words_of_the_language_are_read_or_refused(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "crypto", "isakmp", "policy", "10", "key", "address", "10.1.1.1", "gdoi", "group",
                "G1", "ipv4", "server", "local", "no", "default", "sa", "ipsec", "ip", "any",
                "access-list", "permit", "host", "eq", "range", "rekey", "lifetime", "seconds",
                "\n", "\n ", "set", "match", "interface", "Serial1/0", "exit", "0", "map",
            ]),
            0..60,
        )
    ) {
        if let Ok(parsed) = parse("config", &words.join(" ")) {
            prop_assert_eq!(tree(&render(&parsed.config)), parsed.config);
        }
    }
}

#[test]
fn a_list_of_ten_thousand_entries_loads() {
    let mut text = String::from("ip access-list extended BIG\n");
    for n in 0..10_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        text += &format!(" permit tcp 10.{a}.{b}.{c} 0.0.0.0 any eq {}\n", n % 60_000);
    }
    let config = tree(&text);
    assert_eq!(config.access_lists["BIG"].entries().len(), 10_000);
    assert_eq!(tree(&render(&config)), config);
}
