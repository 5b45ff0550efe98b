//! Boxes whose machines answer with the values of the public samples.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crypto::key_pair::Kind;
use dataplane::{Drops, Hits, Totals};
use event::{DropReason, Event, Gdoi, Step};
use gdoi::config::{IsakmpCipher, IsakmpHash};
use gdoi::{KeyPairView, gm, ike, ks};
use policy::transform_set::{Encryption, Integrity, KeyBits};
use policy::{
    Ace, Acl, Action, AddressMatch, Generation, GroupId, GroupName, GroupSize, KekCipher, KekSpi,
    KsIndex, PeerKind, PortMatch, PseudoTime, RekeyTransport, Sid, SigHash, Signature, Spi, Time,
    Transform, WallClock,
};

use crate::Interface;
use crate::config::{Attachment, Config, Target, parse};
use crate::event_trace::EventTraces;
use crate::logging::Logging;
use crate::show::Context;
use crate::show::machines::{Machines, Traffic};

mod idle;
mod mixed;
mod unregistered;

pub(crate) use idle::Idle;
pub(crate) use mixed::Mixed;
pub(crate) use unregistered::Unregistered;

const CONFIG: &str = "hostname GM1
crypto gdoi group G1
 identity number 3333
 server address ipv4 10.1.11.2
 server address ipv4 10.1.12.2
!
ip access-list extended ENCPOL
 deny udp any eq 848 any eq 848
 permit ip any any
ip access-list standard MEMBERS
 permit 10.1.20.2
 deny 10.1.0.0 0.0.255.255
!
crypto map gm1map 10 gdoi
 set group G1
!
interface Serial1/0
 crypto map gm1map
";

/// What a context borrows.
pub(crate) struct Box<'a> {
    machines: &'a dyn Machines,
    pub(crate) config: Config,
    pub(crate) target: Target,
    interfaces: Vec<Interface>,
    logging: Logging,
    pub(crate) traces: EventTraces,
}

impl<'a> Box<'a> {
    pub(crate) fn new(machines: &'a dyn Machines) -> Self {
        let attachment = |interface: &str, device: &str, map: &str, group| Attachment {
            interface: interface.into(),
            device: device.into(),
            crypto_map: map.into(),
            groups: vec![GroupName::new(group)],
            mtu: 1500,
        };
        Self {
            machines,
            config: parse("gm1.cfg", CONFIG)
                .expect("the configuration is right")
                .config,
            target: Target {
                attachments: vec![
                    attachment("Serial1/0", "wan", "gm1map", "G1"),
                    attachment("wan2.100", "wan2.100", "second", "G3"),
                ],
                ..Target::default()
            },
            interfaces: vec![Interface {
                name: "wan".into(),
                alias: Some("Serial1/0".into()),
                index: 2,
                mac: [0; 6],
                mtu: 1500,
                addresses: vec![(address("10.1.13.2"), 24)],
            }],
            logging: Logging::default(),
            traces: traces(),
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            config: &self.config,
            startup: CONFIG,
            target: &self.target,
            interfaces: &self.interfaces,
            logging: &self.logging,
            traces: &self.traces,
            machines: self.machines,
            version: "1.0.27",
            started: Time::ZERO,
            now: Time::from_secs(3_725),
            wall: WallClock {
                unix_ms: 1_384_376_786_469,
                synchronised: false,
            },
        }
    }
}

/// Traces with the guide's entries, two exits, and a step of COOP.
fn traces() -> EventTraces {
    let mut traces = EventTraces::default();
    let (ks, gm) = (address("10.1.12.2"), address("10.1.13.2"));
    let group = || GroupName::new("G1");
    let acknowledged = Step::ACK_SENT {
        from: ks,
        to: gm,
        seq: 1,
        group: group(),
    };
    let received = Gdoi::GM_RECV_REKEY {
        group: group(),
        from: ks,
        to: gm,
        seq: 1,
    };
    let rejected = Gdoi::GM_REJECTING_SA_PAYLOAD {
        ks,
        group: group(),
        reason: "unsupported cipher".into(),
    };
    let refused = || Step::GM_REFUSED {
        group: group(),
        what: "rekey unreadable",
    };
    let reachable = Gdoi::COOP_KS_REACH { ks, group: group() };
    let events: [(u64, Event); 7] = [
        (3_200, rejected.into()),
        (3_600, acknowledged.clone().into()),
        (3_600, received.into()),
        (3_610, reachable.into()),
        (3_620, refused().into()),
        (3_621, refused().into()),
        (3_700, acknowledged.into()),
    ];
    for (uptime_s, event) in events {
        let wall = WallClock {
            unix_ms: 1_384_376_786_469 - 3_725_000 + i64::try_from(uptime_s).unwrap_or(0) * 1_000,
            synchronised: false,
        };
        traces.record(wall, s(uptime_s), event, Location::caller());
    }
    traces
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spi(head: u32, mine: u32, tail: u32) -> KekSpi {
    let mut octets = [0; 16];
    for (place, word) in [(0, head), (4, tail), (8, mine), (12, tail)] {
        octets[place..place + 4].copy_from_slice(&word.to_be_bytes());
    }
    KekSpi(octets)
}

fn transform(encryption: Encryption, integrity: Integrity) -> Transform {
    Transform::new(encryption, integrity).expect("they fit")
}

fn ace(action: Action, protocol: Option<u8>) -> Ace {
    Ace {
        action,
        protocol,
        ..Ace::PERMIT_IP_ANY_ANY
    }
}

/// The list of the sample.
fn acl() -> Arc<Acl> {
    let multicast = AddressMatch::v4(address("224.0.0.0"), address("0.255.255.255"));
    let gdoi = PortMatch::Eq(848);
    Arc::new(Acl {
        name: "ENCPOL".into(),
        entries: vec![
            ace(Action::Deny, Some(1)),
            ace(Action::Deny, Some(88)),
            Ace {
                destination: multicast,
                ..ace(Action::Deny, None)
            },
            Ace {
                source: multicast,
                ..ace(Action::Deny, None)
            },
            Ace {
                source_port: gdoi,
                destination_port: gdoi,
                ..ace(Action::Deny, Some(17))
            },
            Ace::PERMIT_IP_ANY_ANY,
        ],
    })
}

fn local_acl() -> Arc<Acl> {
    Arc::new(Acl {
        name: "LOCAL".into(),
        entries: vec![ace(Action::Deny, Some(89))],
    })
}

fn kek(conn_id: u32, spi: KekSpi) -> gm::KekView {
    gm::KekView {
        destination: address("10.1.13.2"),
        source: address("10.1.11.2"),
        conn_id,
        spi,
        cipher: KekCipher::TripleDes,
        signature: Signature::Rsa(SigHash::Sha1),
        sig_key_bits: 1024,
        sig_size: 128,
        remaining: s(878),
        seq: 3,
        previous_seq: 2,
        acknowledgement: Some(129),
    }
}

/// The member of the samples.
fn member() -> gm::View {
    gm::View {
        group: "G1".into(),
        id: GroupId::Number(3333),
        servers: vec![address("10.1.11.2"), address("10.1.12.2")],
        local: SocketAddrV4::new(address("10.1.13.2"), 848),
        crypto_map: "gm1map".into(),
        interface: "Serial1/0".into(),
        status: gm::Status::Registered,
        server: Some(SocketAddrV4::new(address("10.1.12.2"), 848)),
        server_kind: Some(PeerKind::Ours),
        reregisters_in: Some(s(139)),
        registrations_succeeded: 1,
        registrations_attempted: 1,
        resumptions: 0,
        last_failure: None,
        last_rekey_from: Some(address("10.1.11.2")),
        last_rekey_seq: 0,
        last_rekey_ago: Some(s(320)),
        rekeys_received: 1,
        rekeys_since_registration: 1,
        acks_sent: 1,
        rekey_copies: 3,
        refusals: vec![("rekey-seq", 2), ("rekey-signature", 0)],
        signature_forms: vec![("pkcs1-digest-info", 1)],
        transport: RekeyTransport::Unicast,
        multicast_address: None,
        downloaded_acl: Some(acl()),
        local_acl: None,
        merged_acl: Some(acl()),
        policy_name: Some("18864836ba888bcd".into()),
        policy_stale: false,
        tbar_window_s: Some(4),
        keks: gm::Keks {
            new: None,
            current: Some(kek(1114, spi(0xC5AC_6039, 0xA440_633E, 7))),
            previous: None,
        },
        teks: vec![gm::TekView {
            spi: Spi(0x8BF1_47EF),
            transform: transform(Encryption::TripleDes, Integrity::HmacSha1),
            remaining: s(200),
            orig_lifetime_s: 900,
            activates_in: Duration::ZERO,
            outbound: true,
        }],
        pseudotime: Some(PseudoTime::from_nanos(621_388_660_000_000)),
        clock_generation: policy::ClockGeneration::default(),
        sids: vec![Sid(0x12)],
        sid_size: Some(GroupSize::Medium),
        public_key: Some(gm::PublicKeyView {
            kind: Kind::Rsa,
            bits: 1024,
            der: (0..162).collect(),
        }),
    }
}

/// A second group of the box: GCM, a local list, two permit entries, a key to come.
fn second_member() -> gm::View {
    let flow = |port| Ace {
        destination: AddressMatch::v4(address("192.168.0.0"), address("0.0.255.255")),
        destination_port: PortMatch::Eq(port),
        ..ace(Action::Permit, Some(17))
    };
    let downloaded = Acl {
        name: "TWO".into(),
        entries: vec![flow(53), flow(123)],
    };
    let mut merged = downloaded.clone();
    merged.entries.splice(0..0, local_acl().entries.clone());
    let tek = |spi, remaining, activates_in| gm::TekView {
        spi: Spi(spi),
        transform: transform(Encryption::AesGcm(KeyBits::B256), Integrity::Combined),
        remaining: s(remaining),
        orig_lifetime_s: 3600,
        activates_in: s(activates_in),
        outbound: activates_in == 0,
    };
    let mut keks = member().keks;
    keks.new = keks.current.take();
    keks.current = Some(kek(1113, spi(0x14C4_0DC1, 0x88AD_3ACA, 9)));
    gm::View {
        group: "G3".into(),
        id: GroupId::Number(3),
        interface: "wan2.100".into(),
        crypto_map: "second".into(),
        downloaded_acl: Some(Arc::new(downloaded)),
        local_acl: Some(local_acl()),
        merged_acl: Some(Arc::new(merged)),
        policy_stale: true,
        tbar_window_s: None,
        keks,
        teks: vec![tek(0x1000_0001, 200, 0), tek(0x1000_0002, 3800, 140)],
        status: gm::Status::ReRegistering,
        ..member()
    }
}

fn key_server_tek(spi: u32, remaining: u64, elapsed: u64, rekey: Option<u64>) -> ks::TekView {
    ks::TekView {
        sa: 1,
        spi: Spi(spi),
        acl: "ENCPOL".into(),
        transform: transform(Encryption::Null, Integrity::HmacSha1),
        orig_lifetime_s: 900,
        remaining: Duration::from_millis(remaining * 1_000 + 400),
        life: s(remaining + elapsed),
        elapsed: Duration::from_millis(elapsed * 1_000 - 400),
        activates_in: Duration::ZERO,
        time_to_rekey: rekey.map(s),
        tbar_window_s: Some(4),
    }
}

/// The Rekey SA of the samples.
fn key_server_kek() -> ks::KekView {
    let mut kek_spi = KekSpi::default();
    for (octet, place) in kek_spi.0.iter_mut().zip((0..16).rev()) {
        *octet = (0x1886_4836_BA88_8BCD_1126_671E_EAFE_B4C7_u128 >> (8 * place)) as u8;
    }
    ks::KekView {
        kind: PeerKind::Ours,
        spi: kek_spi,
        cipher: KekCipher::TripleDes,
        signature: Signature::Rsa(SigHash::Sha1),
        sig_key_len: 162,
        sig_size: 128,
        sig_key_name: "key1".into(),
        orig_lifetime_s: 1200,
        remaining: s(528),
        time_to_rekey: Some(s(293)),
        seq: 10,
        acknowledgement: 129,
        destination: None,
    }
}

/// The key server of the samples.
fn key_server() -> ks::View {
    ks::View {
        group: "G1".into(),
        id: GroupId::Number(3333),
        handle: 2_147_483_650,
        address: address("10.1.11.2"),
        server_handle: 2_147_483_650,
        servers: vec![
            (address("10.1.11.2"), 2_147_483_650),
            (address("10.1.12.2"), 2_147_483_651),
        ],
        priority: 200,
        transport: RekeyTransport::Unicast,
        serving: ks::Serving::Yes,
        rekeys_sent: 346,
        rekeys_retransmitted: 0,
        last_rekey_retransmits: 0,
        last_rekey_duration: Duration::from_millis(12),
        last_rekey_ago: Some(s(40)),
        retransmit_period: s(10),
        retransmit_period_s: 10,
        retransmit_number: 5,
        kek_lifetime_s: 1200,
        seq: 10,
        keks: vec![key_server_kek()],
        teks: vec![
            key_server_tek(0x91E3_985A, 796, 1407, Some(670)),
            key_server_tek(0x3A14_695B, 12, 888, None),
        ],
        sas: vec![ks::SaView {
            number: 1,
            profile: "gdoi-p".into(),
            lifetime_s: 900,
            remaining: s(796),
            acl: acl(),
            tbar_window_s: Some(4),
        }],
        pseudotime: PseudoTime::from_nanos(442_843_290_000_000),
        clock_generation: policy::ClockGeneration::default(),
        members: vec![registered()],
        sids: ks::SidView {
            size: GroupSize::Medium,
            allocated: 2,
            mark: 64,
            capacity: 1 << 20,
            former: Vec::new(),
        },
        refusals: vec![("unauthorized", 3)],
        unsolicited_acks: 1,
        repeated_acks: 2,
        policy_name: "18864836ba888bcd".into(),
        coop: Some(primary()),
        removal: ks::RemovalView::default(),
    }
}

fn index(number: u8) -> KsIndex {
    KsIndex::new(number).expect("an index")
}

/// The cooperation of the sample, as its primary sees it.
fn primary() -> ks::CoopView {
    ks::CoopView {
        role: ks::Role::Primary,
        index: index(0),
        term: 3,
        generation: Generation::default().raised_by(index(0)),
        primary: Some(address("10.1.11.2")),
        complete: true,
        refresh: s(20),
        remaining: s(10),
        primary_timeout: s(30),
        sequence: 40,
        blocking: false,
        look_ahead: 2,
        acknowledged_periods: 2,
        horizon: s(8_290),
        peers: vec![ks::PeerView {
            handle: 2_147_483_651,
            address: address("10.1.12.2"),
            index: index(1),
            version: Some("1.0.4".into()),
            priority: Some(100),
            role: Some(ks::Role::Secondary),
            alive: true,
            lagging: false,
            heard_ago: Some(s(4)),
            sequence: 0,
            ike_established: true,
            backlog: 0,
            counters: ks::PeerCounters {
                announcements_sent: 31,
                reply_requests_sent: 2,
                announcements_received: 64,
                reply_requests_received: 1,
                sent_drops: 7,
                received_drops: 0,
                invalid_pseudotimes: 0,
                octets_sent: 20_887,
                octets_received: 40_244,
            },
            differences: Vec::new(),
        }],
    }
}

/// A secondary whose primary has been silent for a while, and whose third key server was never
/// heard.
fn secondary() -> ks::CoopView {
    let heard = primary().peers.remove(0);
    let difference = |field, own: &str, theirs: &str| ks::Difference {
        field,
        own: own.into(),
        theirs: theirs.into(),
    };
    ks::CoopView {
        role: ks::Role::Secondary,
        primary: Some(address("10.1.12.2")),
        remaining: s(18),
        peers: vec![
            ks::PeerView {
                role: Some(ks::Role::Primary),
                lagging: true,
                heard_ago: Some(s(9)),
                backlog: 3,
                counters: ks::PeerCounters {
                    invalid_pseudotimes: 2,
                    ..heard.counters
                },
                differences: vec![
                    difference("replay method", "replay time window-size 5", "no replay"),
                    difference("rekey lifetime seconds", "7200", "86400"),
                ],
                ..heard
            },
            ks::PeerView {
                handle: 2_147_483_652,
                address: address("10.1.16.2"),
                index: index(2),
                version: None,
                priority: None,
                role: None,
                alive: false,
                heard_ago: None,
                ike_established: false,
                backlog: 12,
                counters: ks::PeerCounters::default(),
                differences: Vec::new(),
                ..primary().peers.remove(0)
            },
        ],
        ..primary()
    }
}

fn registered() -> ks::MemberView {
    ks::MemberView {
        address: address("10.1.14.2"),
        kind: PeerKind::Ours,
        version: Some("1.0.4".into()),
        key_server: address("10.1.11.2"),
        registered_ago: Some(s(500)),
        rekeys_sent: 346,
        rekeys_retries: 0,
        acks_received: 346,
        acks_missed: 0,
        sent_seqs: [2, 1, 2, 1],
        received_seqs: [2, 1, 2, 1],
        policy_behind: false,
        sids: 2,
        state: ks::MemberState::Registered,
    }
}

/// A second group that the box serves, with a plain member that lags behind.
fn second_key_server() -> ks::View {
    let plain = ks::MemberView {
        address: address("10.1.15.2"),
        kind: PeerKind::Rfc6407,
        version: None,
        key_server: address("10.1.12.2"),
        policy_behind: true,
        state: ks::MemberState::Stale(2),
        ..registered()
    };
    ks::View {
        group: "G2".into(),
        id: GroupId::Number(4444),
        members: vec![registered(), plain],
        coop: Some(secondary()),
        removal: ks::RemovalView {
            removed: vec![(address("10.1.17.2"), s(12))],
            lacking: vec![address("10.1.13.2")],
            keys_end_in: Some(s(9)),
        },
        ..key_server()
    }
}

/// The box of the samples.
pub(crate) struct Guide;

impl Machines for Guide {
    fn key_servers(&self) -> Vec<ks::View> {
        vec![key_server(), second_key_server()]
    }

    fn members(&self) -> Vec<gm::View> {
        vec![member(), second_member()]
    }

    fn isakmp(&self) -> ike::View {
        let mut counters = ike::Counters::default();
        counters.established = 4;
        ike::View {
            rows: vec![ike::Row {
                destination: address("10.1.11.2"),
                source: address("10.1.13.2"),
                peer: address("10.1.11.2"),
                state: ike::SaState::GdoiIdle,
                conn_id: 1074,
                agreed: Some(ike::Agreed {
                    encryption: IsakmpCipher::Aes256,
                    hash: IsakmpHash::Sha256,
                    group: 19,
                    lifetime_s: 86_400,
                }),
                expires: Some(Time::from_secs(3_725 + 3_661)),
                peer_version: Some(ike::Version {
                    major: 1,
                    minor: 0,
                    patch: 4,
                }),
                kin: true,
            }],
            half_open: 1,
            admission: ike::AdmissionView {
                limits: ike::AdmissionLimits {
                    sas: Some(2_000),
                    negotiations: Some(40),
                    always: Vec::new(),
                },
                active: 1_001,
                negotiating: 3,
                counts: ike::AdmissionCounts {
                    incoming: 1_057_639,
                    incoming_accepted: 1_056_101,
                    outgoing: 7,
                    outgoing_accepted: 7,
                },
            },
            counters,
            strays: vec![("rekey for no member", 4)],
            ended: Vec::new(),
        }
    }

    fn key_pairs(&self) -> Vec<KeyPairView> {
        vec![KeyPairView {
            label: "get".into(),
            kind: Kind::Rsa,
            bits: 1024,
            exportable: true,
            public_key: (0..162).collect(),
        }]
    }

    fn traffic(&self, _interface: &str, group: &GroupName) -> Traffic {
        let is_first = group.as_str() == "G1";
        let drops: Drops = [
            (DropReason::Replayed, 2),
            (DropReason::NoSa, if is_first { 0 } else { 3 }),
        ]
        .into_iter()
        .collect();
        let totals = Totals {
            encaps_packets: 100,
            encaps_octets: 100_000,
            decaps_packets: 98,
            decaps_octets: 98_000,
            drops,
            ..Totals::default()
        };
        let hits = |outbound| Hits {
            outbound,
            inbound: outbound + 1,
        };
        Traffic {
            interface: totals,
            group: totals,
            lines: if is_first {
                [0, 0, 0, 0, 5, 100].map(hits).to_vec()
            } else {
                [0, 7, 11].map(hits).to_vec()
            },
            outbound_spi: Some(Spi(if is_first { 0x8BF1_47EF } else { 0x1000_0001 })),
            plaintext_mtu: Some(1446),
        }
    }
}

/// A key server of a counter-mode group that has lost its primary, which was silent for longer
/// than it may be, and whose key servers have all lost the clock before.
pub(crate) struct Electing;

impl Machines for Electing {
    fn key_servers(&self) -> Vec<ks::View> {
        let tek = ks::TekView {
            transform: transform(Encryption::AesGcm(KeyBits::B256), Integrity::Combined),
            ..key_server_tek(0x91E3_985A, 796, 1407, None)
        };
        let mut coop = secondary();
        coop.role = ks::Role::Electing;
        coop.complete = false;
        coop.blocking = true;
        coop.peers[0].alive = false;
        coop.peers[0].heard_ago = Some(s(95));
        let mut server = ks::View {
            teks: vec![tek],
            clock_generation: policy::ClockGeneration(33),
            coop: Some(coop),
            ..key_server()
        };
        server.sids.former = vec![index(1)];
        vec![server]
    }

    fn members(&self) -> Vec<gm::View> {
        Vec::new()
    }

    fn isakmp(&self) -> ike::View {
        Idle.isakmp()
    }

    fn key_pairs(&self) -> Vec<KeyPairView> {
        Vec::new()
    }

    fn traffic(&self, _: &str, _: &GroupName) -> Traffic {
        Traffic::default()
    }
}
