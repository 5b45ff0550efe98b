//! A member, and a key server that has the right keys and says wrong things with them.

use std::time::Duration;

use crypto::SeededRng;
use crypto::cbc::{Algorithm, Cipher};
use crypto::hash::Hash;
use gdoi::config::Member as MemberConfig;
use gdoi::kin::{self, Bond};
use gdoi::machine::Command;
use gdoi::{Config, Input};
use policy::{Ace, Acl, GroupId, Spi};
use wire::gdoi::{EspSat, Gap, Identity, Kd, KekKeys, KeyPacket, Sa, Sak, Sat, Seq, Sids, TekKeys};
use wire::iana::{
    AckType, Doi, EncapsulationMode, EspTransform, ExchangeType, KekAlgorithm, NotifyType,
    PayloadType, ProtocolId, SigAlgorithm, SigHashAlgorithm,
};
use wire::isakmp::{Builder, Built, Chain, Delete, Flags, Header, Nonce, Notify};
use wire::private::{
    self, AddressRule, ChunkKind, ChunkList, GroupStamp, KeyRecord, PolicyAce, PolicyBlob,
    PolicyChunk, PolicyName, PolicySa, PortRule,
};

use super::peer::{Exchange, Peer};
use super::script::{Payloads, Script, datagram};
use super::signer::{SIGNATURE_LEN, Signer};
use super::world::{GM, KS, World};

const GROUP: u32 = 1_234;
const KEK: [u8; 16] = [0x4B; 16];
const KEK_IV: [u8; 16] = [0x49; 16];
const KEK_SPI: [u8; 16] = *b"kek-spi-kek-spi!";
/// Things that one script does at most.
const STEPS_MAX: usize = 16;
const BLOCK: usize = 16;

/// The member; every second one has denies of its own.
fn configuration(denies: bool) -> Config {
    let deny = Ace {
        action: policy::Action::Deny,
        ..Ace::PERMIT_IP_ANY_ANY
    };
    let own = Acl {
        name: "OWN".to_owned(),
        entries: vec![deny],
    };
    Config {
        members: vec![MemberConfig {
            group: "fuzz".into(),
            id: GroupId::Number(GROUP),
            servers: vec![*KS.ip()],
            address: *GM.ip(),
            crypto_map: "map".to_owned(),
            interface: "wan".to_owned(),
            local_acl: denies.then(|| own.into()),
            workers: 2,
            compatible_rfc6407: false,
        }],
        ..Config::default()
    }
}

/// The key server: what it says when nothing bends it.
struct Server {
    world: World,
    peer: Peer,
    kin: bool,
    signer: &'static Signer,
    kek: Cipher,
    seq: u32,
    next_spi: u32,
    next_message_id: u32,
    pull: Option<Exchange>,
    rekeys_sent: u64,
}

/// One script against one member.
pub fn gm_machine(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let form = script.u8();
    let mut server = Server::serve(form & 1 == 0, form & 2 != 0);
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            break;
        }
        server.step(&mut script);
        assert_eq!(server.views().len(), 1);
        assert!(server.world.has_plans(), "the member waits for nothing");
    }
    let (sealed, believed) = (server.world.sealed, server.world.believed);
    let verified = &server.views()[0].signature_forms;
    let verified: u64 = verified.iter().map(|(_, times)| times).sum();
    super::count(sealed + server.rekeys_sent, believed + verified);
}

fn built(fill: impl FnOnce(&mut Builder)) -> Built {
    let mut builder = Builder::new();
    fill(&mut builder);
    builder.finish().expect("what is bent later is small")
}

/// The policy that the name in `sa` names: one chunk.
fn policy() -> Vec<u8> {
    let blob = PolicyBlob {
        activation_ns: 0,
        clock_generation: 0,
        sas: vec![PolicySa {
            number: 10,
            transform: EspTransform::AES_GCM_16,
            key_bits: 128,
            authentication: wire::iana::AuthAlgorithm::NONE,
            lifetime_s: 3_600,
            tbar_window_s: None,
            acl_name: "ENCPOL".to_owned(),
            aces: vec![PolicyAce {
                action: private::Action::Permit,
                protocol: None,
                source: AddressRule::Any,
                source_port: PortRule::Any,
                destination: AddressRule::Any,
                destination_port: PortRule::Any,
            }],
        }],
    };
    blob.encode().expect("one short list")
}

fn record(life_s: u64) -> KeyRecord {
    KeyRecord {
        activation_ns: 0,
        expiry_ns: life_s * 1_000_000_000,
        clock_generation: 0,
        orig_lifetime_s: 3_600,
        ks_list_hash: [1; 8],
        minted_by: 0,
        generation: [0; 16],
    }
}

impl Server {
    /// A key server that has a phase-1 SA with a member and its PULL 1.
    fn serve(kin: bool, denies: bool) -> Self {
        let mut world = World::new(GM, KS);
        world.configure(configuration(denies));
        let registers = world.wait_for_datagram(Duration::from_secs(60));
        assert!(registers, "the member does not register");
        let message_1 = world.take_sent().remove(0);
        let peer = Peer::respond(&mut world, (*KS.ip()).into(), kin, &message_1);
        let mut server = Self {
            world,
            peer: peer.expect("main mode goes on"),
            kin,
            signer: Signer::shared(),
            kek: Cipher::new(Algorithm::Aes128, &KEK).expect("16 octets"),
            seq: 0,
            next_spi: 0x1000_0000,
            next_message_id: 1 << 31,
            pull: None,
            rekeys_sent: 0,
        };
        server.listen();
        server
    }

    fn views(&self) -> Vec<gdoi::gm::View> {
        self.world.machine().gm_views(self.world.now())
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let kind = script.u8();
        if kind >= 250 {
            return self.data_plane(kind, script);
        }
        match kind % 10 {
            0..=2 => self.answer_pull(script),
            3..=5 => self.push(script),
            6 => self.informational(script),
            7 => {
                let span = Duration::from_millis(u64::from(script.u16()) * 100);
                self.world.wait(span);
                self.listen();
            }
            8 => self.raw_push(script),
            _ => self.strange(script),
        }
    }

    /// What packets of ESP that whoever sends them makes the data plane say.
    fn data_plane(&mut self, kind: u8, script: &mut Script<'_>) {
        let group = || "fuzz".into();
        self.world.give(match kind {
            250..=252 => Input::UnknownSpi {
                spi: Spi(self.next_spi.wrapping_sub(script.u8().into())),
            },
            253 | 254 => Input::SidsLow { group: group() },
            _ => Input::Command(Command::ClearGdoi {
                group: Some(group()),
            }),
        });
        self.listen();
    }

    /// Takes what the member says, and negotiates phase 1 anew when it asks for that: the last
    /// time that it does, since it has given the others up.
    fn listen(&mut self) {
        while let Some(message_1) = self.take_said() {
            let own = (*KS.ip()).into();
            if let Some(peer) = Peer::respond(&mut self.world, own, self.kin, &message_1) {
                self.peer = peer;
                self.pull = None;
            }
        }
    }

    /// Takes the beginning of a PULL or of a policy fetch, and returns that of a phase 1.
    fn take_said(&mut self) -> Option<Vec<u8>> {
        let mut message_1 = None;
        for datagram in self.world.take_sent() {
            let Ok((header, _)) = Header::split(&datagram) else {
                continue;
            };
            let kind = header.exchange_type;
            if kind == ExchangeType::IDENTITY_PROTECTION && header.responder_cookie == [0; 8] {
                message_1 = Some(datagram);
                continue;
            }
            let begins =
                kind == ExchangeType::GROUPKEY_PULL || kind == ExchangeType::GETVPN_POLICY_FETCH;
            let runs = self
                .pull
                .as_mut()
                .filter(|exchange| exchange.message_id == header.message_id);
            if let Some(exchange) = runs {
                // Message 3, of which the nonces alone count.
                self.peer.open(exchange, &datagram);
            } else if begins && header.flags == Flags::ENCRYPTION {
                let mut exchange = self.peer.exchange(kind, header.message_id);
                if let Some(payloads) = self.peer.open(&mut exchange, &datagram) {
                    remember_nonce(&mut exchange, &payloads);
                    self.pull = Some(exchange);
                }
            }
        }
        message_1
    }

    /// Message 2, or 4 once the nonce of message 2 has passed, or a chunk of the policy.
    fn answer_pull(&mut self, script: &mut Script<'_>) {
        let Some(mut exchange) = self.pull.take() else {
            return;
        };
        let spi = self.next_spi;
        let chain = if exchange.kind == ExchangeType::GETVPN_POLICY_FETCH {
            let policy = policy();
            built(|builder| {
                builder.push(&PolicyChunk {
                    kind: ChunkKind::Blob,
                    number: 0,
                    data: Some(&policy),
                });
            })
        } else if !exchange.answered {
            let nonce = self.nonce();
            let sa = self.sa(spi, true);
            built(|builder| {
                builder.push(&Nonce { data: &nonce });
                builder.push(&sa);
            })
        } else {
            let seq = Seq(self.seq);
            built(|builder| {
                builder.push(&seq);
                self.push_kd(builder, spi, true);
            })
        };
        let payloads = script.bend(&chain);
        let message = self.peer.seal(&mut exchange, &payloads);
        if !exchange.answered {
            remember_nonce(&mut exchange, &payloads);
        }
        exchange.answered = true;
        self.pull = Some(exchange);
        self.world.arrive_sealed(&message);
        self.listen();
    }

    fn nonce(&self) -> Vec<u8> {
        if !self.kin {
            return vec![7; 32];
        }
        let bond = Bond {
            prf: &|parts| self.peer.prf_a(parts),
            cookies: self.peer.cookies(),
            initiator: false,
            received: &self.peer.received,
            sent: &[],
        };
        kin::nonce(&bond, &mut SeededRng::from_number(3))
    }

    /// The SA payload: the Rekey SA where it is wanted, one traffic key.
    fn sa(&self, spi: u32, with_kek: bool) -> Sa {
        let kin = self.kin;
        let attributes = |attribute: Result<_, wire::Error>| {
            let attribute = attribute.expect("small numbers");
            if kin { vec![attribute] } else { Vec::new() }
        };
        let sak = Sak {
            protocol: 17,
            source: Identity::v4(*KS.ip(), 848),
            destination: Identity::v4(*GM.ip(), 848),
            spi: KEK_SPI,
            algorithm: KekAlgorithm::AES,
            key_bits: Some(128),
            lifetime_s: Some(7_200),
            sig_hash: Some(SigHashAlgorithm::SHA256),
            sig_algorithm: SigAlgorithm::RSA,
            sig_key_bits: Some(2_048),
            management: None,
            ack_requested: Some(if kin {
                AckType::GETVPN_MEMBER
            } else {
                AckType::KEK_SHA256
            }),
            other: attributes(record(7_200).attribute()),
        };
        let stamp = GroupStamp {
            pseudotime_ns: 1_000_000_000,
            clock_generation: 0,
            stamped_by: 0,
            generation: [0; 16],
        };
        let blob = policy();
        let name = PolicyName {
            sha256: Hash::Sha256
                .digest(&[&blob])
                .as_ref()
                .try_into()
                .expect("32 octets"),
            octets: u32::try_from(blob.len()).expect("one chunk"),
            chunks: ChunkList::Single,
        };
        let gap = Gap {
            other: [attributes(stamp.attribute()), attributes(name.attribute())].concat(),
            ..Gap::default()
        };
        let any = Identity::v4_subnet([0; 4].into(), [0; 4].into(), 0);
        Sa {
            sak: with_kek.then_some(sak),
            gap: kin.then_some(gap),
            sats: vec![Sat::Esp(EspSat {
                protocol: 0,
                source: any.clone(),
                destination: any,
                transform: EspTransform::AES_GCM_16,
                spi,
                encapsulation: Some(EncapsulationMode::TUNNEL),
                authentication: None,
                key_bits: Some(128),
                lifetime_s: Some(3_600),
                lifetime_kb: None,
                address_preservation: None,
                direction: None,
                other: Vec::new(),
            })],
            ..Sa::default()
        }
    }

    fn push_kd(&self, builder: &mut Builder, spi: u32, pull: bool) {
        let record = record(3_600).attribute().expect("small numbers");
        let mut packets = vec![KeyPacket::Tek(TekKeys {
            spi,
            algorithm_key: Some(&[0x54; 20]),
            other: if self.kin { vec![record] } else { Vec::new() },
            ..TekKeys::default()
        })];
        let kek = [KEK_IV, KEK].concat();
        if pull {
            packets.push(KeyPacket::Kek(KekKeys {
                spi: KEK_SPI,
                algorithm_key: Some(&kek),
                signature_key: Some(self.signer.spki()),
                other: Vec::new(),
            }));
            packets.push(KeyPacket::Sid(Sids {
                bits: 24,
                values: vec![1, 2],
                other: Vec::new(),
            }));
        }
        builder.push(&Kd { packets });
    }

    /// A rekey, rightly signed over whatever it says.
    fn push(&mut self, script: &mut Script<'_>) {
        self.seq += 1;
        self.next_spi += 1;
        let form = script.u8();
        let chain = built(|builder| {
            builder.push(&Seq(self.seq));
            if form & 3 == 0 {
                builder.push(&Delete::esp(&[self.next_spi - 1]));
            }
            if form & 7 == 1 {
                builder.push(&Delete::kek(KEK_SPI));
            }
            if form & 12 != 12 {
                builder.push(&self.sa(self.next_spi, form & 16 == 0));
                self.push_kd(builder, self.next_spi, form & 16 == 0);
            }
        });
        let payloads = script.bend(&chain);
        self.sign_and_send(&payloads);
    }

    /// A rekey of the input's octets, rightly signed.
    fn raw_push(&mut self, script: &mut Script<'_>) {
        let payloads = Payloads {
            first: PayloadType(script.u8()),
            octets: script.octets().to_vec(),
        };
        self.sign_and_send(&payloads);
    }

    /// Hash, signature and encryption of RFC 6407 section 4 around payloads.
    fn sign_and_send(&mut self, payloads: &Payloads) {
        let mut octets = payloads.octets.clone();
        link_sig(payloads.first, &mut octets);
        let covered = octets.len();
        octets.extend_from_slice(&[0, 0, 1, 4]);
        octets.resize(covered + 4 + SIGNATURE_LEN, 0);
        let (initiator, responder) = KEK_SPI.split_at(8);
        let header = Header::new(
            initiator.try_into().expect("half of 16"),
            responder.try_into().expect("half of 16"),
            ExchangeType::GROUPKEY_PUSH,
            Flags::ENCRYPTION,
            0,
        );
        let plain = datagram(header, payloads.first, &octets);
        let (head, body) = plain.split_at(Header::LEN);
        let parts = [b"rekey", head, &body[..covered]];
        let signature = self.signer.sign(&parts);
        octets[covered + 4..].copy_from_slice(&signature);
        octets.resize(octets.len().next_multiple_of(BLOCK), 0);
        self.kek
            .encrypt(&KEK_IV, &mut octets)
            .expect("whole blocks");
        let message = datagram(header, payloads.first, &octets);
        self.rekeys_sent += 1;
        self.world.arrive(&message);
        self.listen();
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
        self.next_message_id += 1;
        let mut exchange = self
            .peer
            .exchange(ExchangeType::INFORMATIONAL, self.next_message_id);
        let message = self.peer.seal(&mut exchange, &payloads);
        self.world.arrive_sealed(&message);
        self.listen();
    }

    /// Octets of the input's as a datagram of the SA, in whatever exchange.
    fn strange(&mut self, script: &mut Script<'_>) {
        let kind = ExchangeType(script.u8());
        let message_id = u32::from(script.u8());
        let first = PayloadType(script.u8());
        let flags = Flags(script.u8() & 1);
        let cookies = self.peer.cookies();
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
        self.listen();
    }
}

fn remember_nonce(exchange: &mut Exchange, payloads: &Payloads) {
    if let Ok(chain) = Chain::decode(payloads.first, &payloads.octets)
        && let Some(nonce) = chain.find(PayloadType::NONCE)
    {
        exchange.nonces.extend_from_slice(nonce.body);
    }
}

/// Lets the last payload of a chain name a SIG payload after it, where there is a last payload.
fn link_sig(first: PayloadType, octets: &mut [u8]) {
    let Ok(chain) = Chain::decode(first, octets) else {
        return;
    };
    let Some(last) = chain.payloads.last() else {
        return;
    };
    let at = chain.used - last.whole.len();
    octets[at] = PayloadType::SIG.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_server_that_is_not_bent_registers_and_rekeys_its_member() {
        for kin in [true, false] {
            let mut server = Server::serve(kin, false);
            // PULL 2, PULL 4, for ours the policy, and a rekey with the same Rekey SA.
            let mut steps = vec![&[0, 0][..], &[0, 0]];
            if kin {
                steps.push(&[0, 0]);
            }
            steps.push(&[3, 19, 0]);
            for step in steps {
                server.step(&mut Script::new(step));
            }
            assert_eq!(server.world.believed, server.world.sealed);
            let view = &server.views()[0];
            assert_eq!(view.registrations_succeeded, 1, "{:?}", view.last_failure);
            assert_eq!(view.rekeys_received, 1, "{:?}", view.refusals);
        }
    }

    #[test]
    fn a_member_that_begins_anew_is_answered_anew() {
        let mut server = Server::serve(false, true);
        // PULL 2, PULL 4, the operator's order to forget all, PULL 2, PULL 4.
        for step in [&[0, 0][..], &[0, 0], &[255], &[0, 0], &[0, 0]] {
            server.step(&mut Script::new(step));
        }
        let view = &server.views()[0];
        assert_eq!(view.status, gdoi::gm::Status::Registered);
        assert_eq!(view.registrations_succeeded, 1, "{:?}", view.last_failure);
    }
}
