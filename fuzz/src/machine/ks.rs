//! A key server, and an authenticated member that does not behave.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crypto::hash::Hash;
use crypto::hmac::prf;
use crypto::key_pair::Kind;
use crypto::{Secret, SeededRng};
use gdoi::config::{Acknowledgement, IpsecSa, Isakmp, KeyServer, Multicast, RekeyKey};
use gdoi::kin::{self, Bond};
use gdoi::machine::Command;
use gdoi::{Config, Input};
use policy::{
    Ace, Acl, Action, Encryption, GroupId, GroupSize, Integrity, KekCipher, KeyBits,
    RekeyTransport, SigHash, Transform,
};
use wire::gdoi::{Gap, Kd, KeyPacket, Seq};
use wire::iana::{Doi, ExchangeType, KdType, NotifyType, PayloadType, ProtocolId};
use wire::isakmp::{Builder, Built, Chain, Delete, Flags, Header, Id, Nonce, Notify, Payload};
use wire::private::{AckFlags, AckStatus, ChunkKind, PolicyRequest, SidsHeld};

use super::peer::{Exchange, Peer};
use super::script::{Payloads, Script, datagram};
use super::world::{GM, KS, RSA_LABEL, World};

const GROUP: u32 = 1_234;
/// Things that one script does at most.
const STEPS_MAX: usize = 16;
/// Bits of a script's first octet.
const PLAIN: u8 = 1;
const DENY: u8 = 2;
const CBC: u8 = 4;
const TBAR: u8 = 8;
const DROPS_DENIES: u8 = 16;
const KEEPALIVE: u8 = 32;
const MULTICAST: u8 = 64;
/// Every octet of the member's cookie in its first phase 1; the next has the next number.
const COOKIE: u8 = 0xA1;

/// A group; the bits of `form` choose among the knobs that members can tell apart.
pub(super) fn configuration(form: u8) -> Config {
    let has = |bit: u8| form & bit != 0;
    let deny_udp = Ace {
        action: Action::Deny,
        protocol: Some(17),
        ..Ace::PERMIT_IP_ANY_ANY
    };
    let mut entries = vec![Ace::PERMIT_IP_ANY_ANY];
    if has(DENY) {
        entries.insert(0, deny_udp);
    }
    let acl = Acl {
        name: "ENCPOL".to_owned(),
        entries,
    };
    let (encryption, integrity) = if has(CBC) {
        (Encryption::AesCbc(KeyBits::B256), Integrity::HmacSha256)
    } else {
        (Encryption::AesGcm(KeyBits::B128), Integrity::Combined)
    };
    Config {
        isakmp: Isakmp {
            keepalive_s: if has(KEEPALIVE) { 10 } else { 0 },
            ..Isakmp::default()
        },
        incomplete: Vec::new(),
        key_servers: vec![KeyServer {
            group: "fuzz".into(),
            id: GroupId::Number(GROUP),
            address: *KS.ip(),
            servers: vec![*KS.ip()],
            priority: 1,
            rekey_key: Some(RekeyKey::new(Kind::Rsa, RSA_LABEL)),
            transport: if has(MULTICAST) {
                RekeyTransport::Multicast
            } else {
                RekeyTransport::Unicast
            },
            multicast: Multicast {
                address: Some([239, 10, 1, 1].into()),
                acknowledgement: Acknowledgement::Any,
                ..Multicast::default()
            },
            kek_cipher: KekCipher::Aes128,
            sig_hash: SigHash::Sha256,
            raw_hash: false,
            kek_lifetime_s: 7_200,
            retransmit_period_s: 10,
            retransmit_number: 2,
            reminder_s: None,
            authorization: None,
            sas: vec![IpsecSa {
                number: 10,
                profile: "gdoi-p".to_owned(),
                transform: Transform::new(encryption, integrity).expect("a legal pair"),
                lifetime_s: 3_600,
                acl: Arc::new(acl),
                tbar_window_s: has(TBAR).then_some(10),
            }],
            size: GroupSize::Small16,
            key_sync: true,
            look_ahead: 2,
            rfc3547: None,
            rfc6407_drops_denies: has(DROPS_DENIES),
        }],
        ..Config::default()
    }
}

/// The member: what it has learnt of the group.
pub(super) struct Member {
    pub(super) world: World,
    peer: Peer,
    kin: bool,
    next_message_id: u32,
    pull: Option<Exchange>,
    kek_spi: [u8; 16],
    ack_base: Secret,
    negotiations: u8,
    /// How the next message is cut into parts, if it is.
    cut: Option<Cut>,
    acks_sent: u64,
}

/// Octets of each part, and one that is left out if it is there.
type Cut = (usize, usize);

/// One script against one key server.
pub fn ks_machine(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut member = Member::join(script.u8());
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            break;
        }
        member.step(&mut script);
        assert_eq!(member.views().len(), 1);
        assert!(member.world.has_plans(), "the key server waits for nothing");
    }
    let (sealed, believed) = (member.world.sealed, member.world.believed);
    let members = &member.views()[0].members;
    let acks: u64 = members.iter().map(|one| one.acks_received).sum();
    super::count(sealed + member.acks_sent, believed + acks);
}

fn built(fill: impl FnOnce(&mut Builder)) -> Built {
    let mut builder = Builder::new();
    fill(&mut builder);
    builder.finish().expect("what is bent later is small")
}

impl Member {
    /// A member that has a phase-1 SA with a key server.
    pub(super) fn join(form: u8) -> Self {
        let mut world = World::new(KS, GM);
        world.give_key_pair();
        world.configure(configuration(form));
        world.take_sent();
        let kin = form & PLAIN == 0;
        let peer = Peer::initiate(&mut world, (*GM.ip()).into(), kin, COOKIE);
        Self {
            world,
            peer: peer.expect("main mode goes on"),
            kin,
            next_message_id: 1,
            pull: None,
            kek_spi: [0; 16],
            ack_base: Secret::copy_of(&[0]),
            negotiations: 0,
            cut: None,
            acks_sent: 0,
        }
    }

    /// Phase 1 once more, beside what there is.
    fn join_again(&mut self) {
        self.negotiations += 1;
        let (own, number) = ((*GM.ip()).into(), COOKIE + self.negotiations);
        self.world.take_sent();
        if let Some(peer) = Peer::initiate(&mut self.world, own, self.kin, number) {
            self.peer = peer;
            self.pull = None;
        }
    }

    fn views(&self) -> Vec<gdoi::ks::View> {
        self.world.machine().ks_views(self.world.now())
    }

    pub(super) fn step(&mut self, script: &mut Script<'_>) {
        let kind = script.u8();
        match kind {
            250..=252 => return self.join_again(),
            253.. => {
                let octets = 1 + usize::from(script.u8());
                self.cut = Some((octets, script.u8().into()));
                return;
            }
            _ => {}
        }
        match kind % 10 {
            0 | 1 => self.pull_1(script),
            2 | 3 => self.pull_3(script),
            4 => self.informational(script),
            5 => self.fetch(script),
            6 => self.acknowledge(script),
            7 => self
                .world
                .wait(Duration::from_millis(u64::from(script.u16()) * 100)),
            8 => self.strange(script),
            _ => self
                .world
                .give(Input::Command(Command::Rekey { group: None })),
        }
    }

    fn message_id(&mut self) -> u32 {
        self.next_message_id += 1;
        self.next_message_id
    }

    /// Sends payloads in an exchange and returns what the key server says there.
    fn send(&mut self, exchange: &mut Exchange, payloads: &Payloads) -> Option<Payloads> {
        self.world.take_sent();
        let datagram = self.peer.seal(exchange, payloads);
        match self.cut.take() {
            None => self.world.arrive_sealed(&datagram),
            Some((octets, lost)) => {
                let mut parts = self.peer.cut(&datagram, octets);
                if lost < parts.len() {
                    parts.remove(lost);
                }
                parts.iter().for_each(|part| self.world.arrive(part));
            }
        }
        let answers = self.world.take_sent();
        answers
            .iter()
            .find_map(|answer| self.peer.open(exchange, answer))
    }

    /// Ours proves its kind; anybody else's is 32 octets.
    fn nonce(&self) -> Vec<u8> {
        if !self.kin {
            return vec![7; 32];
        }
        let bond = Bond {
            prf: &|parts| self.peer.prf_a(parts),
            cookies: self.peer.cookies(),
            initiator: true,
            received: &self.peer.received,
            sent: &[],
        };
        kin::nonce(&bond, &mut SeededRng::from_number(3))
    }

    fn pull_1(&mut self, script: &mut Script<'_>) {
        let nonce = self.nonce();
        let chain = built(|builder| {
            builder.push(&Nonce { data: &nonce });
            builder.push(&Id::group_number(GROUP));
        });
        let payloads = script.bend(&chain);
        let message_id = self.message_id();
        let mut exchange = self.peer.exchange(ExchangeType::GROUPKEY_PULL, message_id);
        let Some(answer) = self.send(&mut exchange, &payloads) else {
            return;
        };
        for from in [&payloads, &answer] {
            if let Ok(chain) = Chain::decode(from.first, &from.octets)
                && let Some(nonce) = chain.find(PayloadType::NONCE)
            {
                exchange.nonces.extend_from_slice(nonce.body);
            }
        }
        self.pull = Some(exchange);
    }

    fn pull_3(&mut self, script: &mut Script<'_>) {
        let gap = Gap {
            sender_id_request: Some(script.u8().into()),
            other: SidsHeld {
                bits: 16,
                sids: vec![1],
            }
            .attribute()
            .into_iter()
            .filter(|_| self.kin)
            .collect(),
            ..Gap::default()
        };
        let chain = built(|builder| {
            builder.push(&gap);
        });
        let payloads = script.bend(&chain);
        let Some(mut exchange) = self.pull.take() else {
            return;
        };
        let nonces = exchange.nonces.clone();
        if let Some(answer) = self.send(&mut exchange, &payloads) {
            self.learn(&answer, &nonces);
        }
        self.pull = Some(exchange);
    }

    /// Message 4: what an acknowledgement is made with.
    fn learn(&mut self, answer: &Payloads, nonces: &[u8]) {
        let Ok(chain) = Chain::decode(answer.first, &answer.octets) else {
            return;
        };
        let Some(kd) = chain.find(PayloadType::KD) else {
            return;
        };
        let kd = Kd::decode(kd.body).expect("a key server of ours sends a KD");
        for packet in &kd.packets {
            if let KeyPacket::Kek(kek) = packet {
                self.kek_spi = kek.spi;
                let key = kek.algorithm_key.unwrap_or_default();
                self.ack_base = if self.kin {
                    self.peer.prf_d(&[b"getvpn ack", nonces])
                } else {
                    Secret::copy_of(key.get(16..).unwrap_or_default())
                };
            }
            assert!(!matches!(packet, KeyPacket::Other { ty, .. } if *ty == KdType::LKH));
        }
    }

    fn informational(&mut self, script: &mut Script<'_>) {
        let ty = NotifyType(script.u16());
        let cookies = self.peer.cookies();
        let delete = script.u8() & 7 == 0;
        let chain = built(|builder| {
            if delete {
                builder.push(&Delete::isakmp(Doi::GDOI, cookies));
            } else {
                builder.push(&Notify {
                    doi: Doi::GDOI,
                    protocol: ProtocolId::ISAKMP,
                    ty,
                    spi: cookies.to_vec(),
                    data: vec![0, 0, 0, 1],
                });
            }
        });
        let payloads = script.bend(&chain);
        let message_id = self.message_id();
        let mut exchange = self.peer.exchange(ExchangeType::INFORMATIONAL, message_id);
        self.send(&mut exchange, &payloads);
    }

    fn fetch(&mut self, script: &mut Script<'_>) {
        let request = PolicyRequest {
            sha256: [script.u8(); 32],
            kind: if script.u8() & 1 == 0 {
                ChunkKind::Blob
            } else {
                ChunkKind::List
            },
            number: script.u16(),
        };
        let chain = built(|builder| {
            builder.push(&request);
        });
        let payloads = script.bend(&chain);
        let message_id = self.message_id();
        let mut exchange = self
            .peer
            .exchange(ExchangeType::GETVPN_POLICY_FETCH, message_id);
        self.send(&mut exchange, &payloads);
    }

    /// An acknowledgement with a right hash over whatever it says (RFC 8263 section 3.2).
    fn acknowledge(&mut self, script: &mut Script<'_>) {
        let kin = self.kin;
        let member = if script.u8() & 7 == 0 {
            Ipv4Addr::from(u32::from(script.u16()))
        } else {
            *GM.ip()
        };
        let seq = Seq(script.u8().into());
        let chain = built(|builder| {
            builder.push(&seq);
            builder.push(&Id::of_address(member.into()));
            if kin {
                let status = AckStatus {
                    flags: AckFlags::NONE,
                    policy: [0; 32],
                };
                builder.push(&status.notify());
            }
        });
        let payloads = script.bend(&chain);
        let label = b"GROUPKEY-PUSH ACK\0";
        let bits = 512_u16.to_be_bytes();
        let parts = [&label[..], &self.kek_spi, &bits];
        let key = prf(Hash::Sha256, self.ack_base.expose(), &parts);
        let hash = prf(Hash::Sha256, key.expose(), &[&payloads.octets]);
        let mut octets = vec![payloads.first.0, 0, 0, 36];
        octets.extend_from_slice(hash.expose());
        octets.extend_from_slice(&payloads.octets);
        let (initiator, responder) = self.kek_spi.split_at(8);
        let header = Header::new(
            initiator.try_into().expect("half of 16"),
            responder.try_into().expect("half of 16"),
            ExchangeType::GROUPKEY_PUSH_ACK,
            Flags::NONE,
            0,
        );
        self.acks_sent += 1;
        self.world
            .arrive(&datagram(header, PayloadType::HASH, &octets));
    }

    /// Octets of the input's as a datagram of the SA, in whatever exchange.
    fn strange(&mut self, script: &mut Script<'_>) {
        let kind = ExchangeType(script.u8());
        let message_id = u32::from(script.u8());
        let first = PayloadType(script.u8());
        let flags = Flags(script.u8() & 1);
        let mut cookies = self.peer.cookies();
        if script.u8() & 1 == 1 {
            cookies[8..].fill(0);
        }
        let (initiator, responder) = cookies.split_at(8);
        let header = Header::new(
            initiator.try_into().expect("half of 16"),
            responder.try_into().expect("half of 16"),
            kind,
            flags,
            message_id,
        );
        let datagram = datagram(header, first, script.octets());
        self.world.arrive(&datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_not_bent_registers_and_acknowledges() {
        for form in [0, PLAIN] {
            let mut member = Member::join(form);
            // PULL 1, PULL 3, a rekey, its acknowledgement.
            for step in [&[0, 0][..], &[2, 1, 0], &[9], &[6, 1, 1, 0]] {
                member.step(&mut Script::new(step));
            }
            assert_eq!((member.world.sealed, member.world.believed), (2, 2));
            let view = &member.views()[0];
            assert_eq!(view.members.len(), 1, "form {form}");
            assert_eq!(view.members[0].acks_received, 1, "form {form}");
        }
    }

    #[test]
    fn a_member_may_come_back_under_a_new_phase_1() {
        let mut member = Member::join(CBC | TBAR);
        for step in [&[0, 0][..], &[2, 1, 0], &[250], &[0, 0], &[2, 1, 0]] {
            member.step(&mut Script::new(step));
        }
        assert_eq!((member.world.sealed, member.world.believed), (4, 4));
        assert_eq!(member.views()[0].members.len(), 1);
        assert_eq!(member.world.machine().isakmp_view().rows.len(), 2);
    }

    #[test]
    fn a_member_may_say_everything_in_parts() {
        let mut member = Member::join(KEEPALIVE);
        // Parts of 21 octets, none lost, around PULL 1 and PULL 3.
        for step in [&[253, 20, 255][..], &[0, 0], &[253, 20, 255], &[2, 1, 0]] {
            member.step(&mut Script::new(step));
        }
        assert_eq!(member.world.sealed, 0);
        assert_eq!(member.views()[0].members.len(), 1);
    }
}
