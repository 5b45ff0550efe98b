//! The other end of phase 1, written from RFC 2409 alone: no line of the engine under test.

use std::net::IpAddr;

use crypto::Secret;
use crypto::cbc::{Algorithm, Cipher};
use crypto::hash::Hash;
use crypto::hmac::prf;
use wire::iana::{Doi, ExchangeType, IsakmpTransform, OakleyAttribute, PayloadType, ProtocolId};
use wire::isakmp::{
    Attribute, Builder, Chain, Flags, Header, Id, Ke, Nonce, Payload, Proposal, Sa, Transform,
    VendorId,
};
use wire::private::Part;

use super::script::{Payloads, datagram};
use super::world::{PRESHARED_KEY, World};

const HASH: Hash = Hash::Sha256;
const BLOCK: usize = 16;
const NONCE: [u8; 32] = [0x5A; 32];
/// The public value of the peer, on the curve P-256 (FIPS 186-5): the base point, since its secret
/// exponent is 1. What it agrees on with the box is the x coordinate of the box's own value.
const PUBLIC_VALUE: [u8; 64] = [
    0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
    0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
    0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];
/// The vendor id of getvpn 1.2.3 (`docs/private-attributes.md` section 1).
const VENDOR_ID: [u8; 16] = [
    0x31, 0x7f, 0x5e, 0x98, 0xb9, 0x85, 0x02, 0xfa, 0x40, 0x87, 0xfd, 0x57, 0x7e, 1, 2, 3,
];

/// A phase-1 SA, as the peer of the box sees it.
pub(super) struct Peer {
    cookies: [[u8; 8]; 2],
    skeyid_d: Secret,
    skeyid_a: Secret,
    cipher: Cipher,
    last_block: Vec<u8>,
    /// Bodies of the vendor ids that the box sent.
    pub(super) received: Vec<Vec<u8>>,
}

/// One exchange under the SA: its IV chain and the nonces that have passed.
pub(super) struct Exchange {
    pub(super) kind: ExchangeType,
    pub(super) message_id: u32,
    iv: Vec<u8>,
    pub(super) nonces: Vec<u8>,
    /// Whether a message of ours was among those that passed.
    pub(super) answered: bool,
}

fn offer() -> Sa {
    let basic = |class: OakleyAttribute, value| Attribute::basic(class.0, value);
    Sa {
        doi: Doi::GDOI,
        situation: 0,
        proposals: vec![Proposal {
            number: 1,
            protocol: ProtocolId::ISAKMP,
            spi: Vec::new(),
            transforms: vec![Transform {
                number: 1,
                id: IsakmpTransform::KEY_IKE,
                attributes: vec![
                    basic(OakleyAttribute::ENCRYPTION_ALGORITHM, 7),
                    basic(OakleyAttribute::KEY_LENGTH, 128),
                    basic(OakleyAttribute::HASH_ALGORITHM, 4),
                    basic(OakleyAttribute::AUTHENTICATION_METHOD, 1),
                    basic(OakleyAttribute::GROUP_DESCRIPTION, 19),
                    basic(OakleyAttribute::LIFE_TYPE, 1),
                    basic(OakleyAttribute::LIFE_DURATION, 3_600),
                ],
            }],
        }],
    }
}

/// A message of main mode in the clear.
fn clear(cookies: [[u8; 8]; 2], builder: Builder) -> Vec<u8> {
    let header = Header::new(
        cookies[0],
        cookies[1],
        ExchangeType::IDENTITY_PROTECTION,
        Flags::NONE,
        0,
    );
    let built = builder.finish().expect("phase 1 is small");
    built.into_message(header)
}

/// The answer of the box to a message of main mode; it may have given the negotiation up.
fn answer(world: &mut World) -> Option<Vec<u8>> {
    world.take_sent().into_iter().find(|datagram| {
        let header = Header::decode(datagram).expect("the box sends what it should");
        header.exchange_type == ExchangeType::IDENTITY_PROTECTION
    })
}

fn body(datagram: &[u8], ty: PayloadType) -> Vec<u8> {
    let (header, payloads) = Header::split(datagram).expect("the box sends what it should");
    let chain = Chain::decode(header.next_payload, payloads).expect("likewise");
    chain.find(ty).expect("the payload is there").body.to_vec()
}

fn vendor_ids(datagram: &[u8]) -> Vec<Vec<u8>> {
    let (header, payloads) = Header::split(datagram).expect("the box sends what it should");
    let chain = Chain::decode(header.next_payload, payloads).expect("likewise");
    chain
        .all(PayloadType::VENDOR_ID)
        .map(|raw| raw.body.to_vec())
        .collect()
}

/// Message 3 or 4.
fn key_exchange() -> Builder {
    let mut builder = Builder::new();
    builder.push(&Ke {
        data: &PUBLIC_VALUE,
    });
    builder.push(&Nonce { data: &NONCE });
    builder
}

/// What the hashes of main mode cover.
struct Transcript {
    initiator_ke: Vec<u8>,
    responder_ke: Vec<u8>,
    initiator_nonce: Vec<u8>,
    responder_nonce: Vec<u8>,
    sa: Vec<u8>,
}

impl Peer {
    /// Negotiates phase 1 with a box that waits for it; `None` if it does not come about.
    pub(super) fn initiate(world: &mut World, own: IpAddr, kin: bool, number: u8) -> Option<Self> {
        let mut cookies = [[number; 8], [0; 8]];
        let mut builder = Builder::new();
        builder.push(&offer());
        if kin {
            builder.push(&VendorId { data: &VENDOR_ID });
        }
        world.arrive(&clear(cookies, builder));
        let message_2 = answer(world)?;
        cookies[1] = Header::decode(&message_2)
            .expect("a header")
            .responder_cookie;
        world.arrive(&clear(cookies, key_exchange()));
        let message_4 = answer(world)?;
        let ke = body(&message_4, PayloadType::KE);
        let transcript = Transcript {
            initiator_ke: PUBLIC_VALUE.to_vec(),
            responder_ke: ke.clone(),
            initiator_nonce: NONCE.to_vec(),
            responder_nonce: body(&message_4, PayloadType::NONCE),
            sa: written(&offer()),
        };
        let received = [vendor_ids(&message_2), vendor_ids(&message_4)].concat();
        let (mut peer, skeyid) = Self::derive(cookies, &ke[..32], &transcript, received);
        let iv = peer.last_block.clone();
        let last = peer.authenticate(world, own, (&skeyid, &iv), &transcript, true);
        let mut message_6 = answer(world)?.split_off(Header::LEN);
        peer.last_block = message_6.split_off(message_6.len() - BLOCK);
        assert_ne!(peer.last_block, last);
        Some(peer)
    }

    /// Answers a box that has sent message 1; `None` if it does not go on from there.
    pub(super) fn respond(
        world: &mut World,
        own: IpAddr,
        kin: bool,
        message_1: &[u8],
    ) -> Option<Self> {
        let initiator = Header::decode(message_1)
            .expect("a header")
            .initiator_cookie;
        let cookies = [initiator, [0xB2; 8]];
        let mut builder = Builder::new();
        // The box offers one transform: it is chosen as it stands.
        builder.push_raw(PayloadType::SA, &body(message_1, PayloadType::SA));
        if kin {
            builder.push(&VendorId { data: &VENDOR_ID });
        }
        world.arrive(&clear(cookies, builder));
        let message_3 = answer(world)?;
        world.arrive(&clear(cookies, key_exchange()));
        let message_5 = answer(world)?;
        let ke = body(&message_3, PayloadType::KE);
        let transcript = Transcript {
            initiator_ke: ke.clone(),
            responder_ke: PUBLIC_VALUE.to_vec(),
            initiator_nonce: body(&message_3, PayloadType::NONCE),
            responder_nonce: NONCE.to_vec(),
            sa: body(message_1, PayloadType::SA),
        };
        let received = [vendor_ids(message_1), vendor_ids(&message_3)].concat();
        let (mut peer, skeyid) = Self::derive(cookies, &ke[..32], &transcript, received);
        let iv = message_5[message_5.len() - BLOCK..].to_vec();
        peer.last_block = peer.authenticate(world, own, (&skeyid, &iv), &transcript, false);
        Some(peer)
    }

    /// SKEYID and its children (RFC 2409 section 5), the cipher and its first IV (appendix B).
    fn derive(
        cookies: [[u8; 8]; 2],
        shared: &[u8],
        transcript: &Transcript,
        received: Vec<Vec<u8>>,
    ) -> (Self, Secret) {
        let nonces = [
            &transcript.initiator_nonce[..],
            &transcript.responder_nonce[..],
        ];
        let skeyid = prf(HASH, PRESHARED_KEY, &nonces);
        let child = |before: &[u8], number: u8| {
            let parts = [before, shared, &cookies[0], &cookies[1], &[number][..]];
            prf(HASH, skeyid.expose(), &parts)
        };
        let skeyid_d = child(&[], 0);
        let skeyid_a = child(skeyid_d.expose(), 1);
        let skeyid_e = child(skeyid_a.expose(), 2);
        let values = [&transcript.initiator_ke[..], &transcript.responder_ke[..]];
        let iv = HASH.digest(&values).as_ref()[..BLOCK].to_vec();
        let peer = Self {
            cookies,
            skeyid_d,
            skeyid_a,
            cipher: Cipher::new(Algorithm::Aes128, &skeyid_e.expose()[..16]).expect("16 octets"),
            last_block: iv,
            received,
        };
        (peer, skeyid)
    }

    /// Message 5 or 6; returns its last block.
    fn authenticate(
        &self,
        world: &mut World,
        own: IpAddr,
        (skeyid, iv): (&Secret, &[u8]),
        transcript: &Transcript,
        initiator: bool,
    ) -> Vec<u8> {
        let id = Id::of_address(own);
        let mut values = [&transcript.initiator_ke[..], &transcript.responder_ke[..]];
        let mut cookies = [&self.cookies[0][..], &self.cookies[1][..]];
        if !initiator {
            values.reverse();
            cookies.reverse();
        }
        let parts = [
            values[0],
            values[1],
            cookies[0],
            cookies[1],
            &transcript.sa,
            &written(&id),
        ];
        let hash = prf(HASH, skeyid.expose(), &parts);
        let mut builder = Builder::new();
        builder.push(&id);
        builder.push_raw(PayloadType::HASH, hash.expose());
        let built = builder.finish().expect("phase 1 is small");
        let header = self.header(ExchangeType::IDENTITY_PROTECTION, 0);
        let mut message = built.into_padded_message(header, BLOCK);
        self.cipher
            .encrypt(iv, &mut message[Header::LEN..])
            .expect("whole blocks");
        world.arrive(&message);
        message[message.len() - BLOCK..].to_vec()
    }

    fn header(&self, kind: ExchangeType, message_id: u32) -> Header {
        Header::new(
            self.cookies[0],
            self.cookies[1],
            kind,
            Flags::ENCRYPTION,
            message_id,
        )
    }

    /// Both cookies, the initiator's first.
    pub(super) fn cookies(&self) -> [u8; 16] {
        self.header(ExchangeType::NONE, 0).cookies()
    }

    /// prf(SKEYID_a, parts).
    pub(super) fn prf_a(&self, parts: &[&[u8]]) -> Secret {
        prf(HASH, self.skeyid_a.expose(), parts)
    }

    /// prf(SKEYID_d, parts).
    pub(super) fn prf_d(&self, parts: &[&[u8]]) -> Secret {
        prf(HASH, self.skeyid_d.expose(), parts)
    }

    /// An exchange begins.
    pub(super) fn exchange(&self, kind: ExchangeType, message_id: u32) -> Exchange {
        let iv = HASH.digest(&[&self.last_block, &message_id.to_be_bytes()]);
        Exchange {
            kind,
            message_id,
            iv: iv.as_ref()[..BLOCK].to_vec(),
            nonces: Vec::new(),
            answered: false,
        }
    }

    /// A message of an exchange with a right hash around whatever payloads there are.
    pub(super) fn seal(&self, exchange: &mut Exchange, payloads: &Payloads) -> Vec<u8> {
        let message_id = exchange.message_id.to_be_bytes();
        let parts = [&message_id[..], &exchange.nonces, &payloads.octets];
        let hash = self.prf_a(&parts);
        let mut clear = vec![payloads.first.0, 0, 0, 36];
        clear.extend_from_slice(hash.expose());
        clear.extend_from_slice(&payloads.octets);
        clear.resize(clear.len().next_multiple_of(BLOCK), 0);
        self.cipher
            .encrypt(&exchange.iv, &mut clear)
            .expect("whole blocks");
        exchange.iv = clear[clear.len() - BLOCK..].to_vec();
        let header = self.header(exchange.kind, exchange.message_id);
        datagram(header, PayloadType::HASH, &clear)
    }

    /// A message of the initiator's in parts of so many octets (`docs/private-attributes.md`
    /// section 7), or as much of it as 255 parts hold.
    pub(super) fn cut(&self, datagram: &[u8], octets: usize) -> Vec<Vec<u8>> {
        let header = Header::decode(datagram).expect("a message of ours");
        let key = self.prf_d(&[b"getvpn parts"]);
        let bodies: Vec<&[u8]> = datagram.chunks(octets).take(u8::MAX.into()).collect();
        let total = u8::try_from(bodies.len()).expect("no more than were taken");
        let part = |(number, body)| {
            let kind = header.exchange_type;
            let serial = [0x5E; 4];
            let mac = prf(
                HASH,
                key.expose(),
                &[
                    &[1],
                    &header.cookies(),
                    &header.message_id.to_be_bytes(),
                    &[kind.0, number, total],
                    &serial,
                    body,
                ],
            );
            let part = Part {
                exchange: kind,
                number,
                total,
                serial: u32::from_be_bytes(serial),
                mac: mac.expose()[..16].try_into().expect("16 of 32"),
                body,
            };
            part.encode(header)
        };
        (1..=total).zip(bodies).map(part).collect()
    }

    /// The payloads after HASH of a message of the box.
    pub(super) fn open(&self, exchange: &mut Exchange, datagram: &[u8]) -> Option<Payloads> {
        let (header, encrypted) = Header::split(datagram).ok()?;
        if header.message_id != exchange.message_id || encrypted.len() < BLOCK {
            return None;
        }
        let mut clear = encrypted.to_vec();
        self.cipher.decrypt(&exchange.iv, &mut clear).ok()?;
        let chain = Chain::decode(header.next_payload, &clear).ok()?;
        let hash = chain.payloads.first()?;
        let first = PayloadType(*hash.whole.first()?);
        let octets = clear[hash.whole.len()..chain.used].to_vec();
        exchange.iv = encrypted[encrypted.len() - BLOCK..].to_vec();
        Some(Payloads { first, octets })
    }
}

fn written<'a, P: Payload<'a>>(payload: &P) -> Vec<u8> {
    let mut builder = Builder::new();
    let place = builder.push(payload);
    let built = builder.finish().expect("phase 1 is small");
    built.body(place).to_vec()
}
