//! What somebody who holds a member's secrets reads off the wire, and what it can forge.
//!
//! The members' key logs give phase-1 cipher keys. With them message 4 of a PULL is readable, which
//! brings the Rekey SA; with that every PUSH is, which brings the next one. A KEK is in no output of
//! a router, so this is the only way to it. What needs a secret that is not a member's (the rekey
//! key's private half, another member's SKEYID_d) cannot be forged here or anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crypto::cbc::{Algorithm, Cipher};
use crypto::hash::Hash;
use crypto::{Rng, Secret, hmac};
use wire::gdoi::{Kd, KeyPacket, Seq};
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain, Flags, Header, Id};

/// Octets of an AES block.
const BLOCK: usize = 16;
/// Secrets and chains that are remembered of each sort; a day does not need so many.
const REMEMBERED_MAX: usize = 20_000;

/// The cookies that name a Rekey SA.
pub(crate) type Spi = [u8; 16];

/// The fingerprint of a traffic key.
pub(crate) type Print = u64;

/// What a message brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Rekey SAs.
    pub(crate) keks: BTreeSet<Spi>,
    /// Traffic keys.
    pub(crate) teks: BTreeSet<Print>,
}

/// A PUSH or an acknowledgement, as far as it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A rekey.
    Push {
        /// Its Rekey SA.
        spi: Spi,
        /// Its sequence number and what it brings, if its Rekey SA is known.
        read: Option<(u32, Keys)>,
    },
    /// The last message of a registration: the counter of the Rekey SA that it gives.
    Grant {
        /// The Rekey SA.
        spi: Spi,
        /// Where its counter stands.
        seq: u32,
        /// Everything that it brings.
        keys: Keys,
    },
    /// An acknowledgement.
    Ack {
        /// The Rekey SA of what it acknowledges.
        spi: Spi,
        /// The sequence number of what it acknowledges.
        seq: u32,
    },
}

/// A Rekey SA's secrets.
#[derive(Clone)]
pub(crate) struct KekSecret {
    key: Secret,
    iv: [u8; BLOCK],
}

impl KekSecret {
    /// What a PUSH brings to whoever holds this Rekey SA; `None` if it is no PUSH under it.
    pub(crate) fn open(&self, datagram: &[u8]) -> Option<Keys> {
        let (header, body) = Header::split(datagram).ok()?;
        let plain = decrypt(&self.key, &self.iv, body)?;
        sequence(&header, &plain)?;
        let chain = Chain::decode(header.next_payload, &plain).ok()?;
        let Some(kd) = chain.find(PayloadType::KD) else {
            return Some(Keys::default());
        };
        let kd: Kd<'_> = kd.decode().ok()?;
        Some(keys_of(&kd))
    }
}

/// A Rekey SA's secrets, the newest PUSH that was read under it, and what all of them brought.
struct Kek {
    secret: KekSecret,
    newest: Option<(Header, Vec<u8>)>,
    brought: Keys,
}

/// Everything overheard.
#[derive(Default)]
pub(crate) struct Tap {
    phase1: BTreeMap<[u8; 8], Secret>,
    blocks: BTreeMap<([u8; 8], u32), [u8; BLOCK]>,
    keks: BTreeMap<Spi, Kek>,
    latest: Option<Spi>,
}

impl Tap {
    /// The cipher key of a phase-1 SA.
    pub(crate) fn learn(&mut self, initiator_cookie: [u8; 8], key: Secret) {
        if self.phase1.len() >= REMEMBERED_MAX {
            self.phase1.clear();
            self.blocks.clear();
        }
        self.phase1.insert(initiator_cookie, key);
    }

    /// A datagram passes.
    pub(crate) fn overhear(&mut self, datagram: &[u8]) -> Option<Heard> {
        let (header, body) = Header::split(datagram).ok()?;
        match header.exchange_type {
            ExchangeType::GROUPKEY_PULL => self.read_pull(&header, body),
            ExchangeType::GROUPKEY_PUSH => {
                let spi = header.cookies();
                let read = self.read_push(spi, &header, body);
                Some(Heard::Push { spi, read })
            }
            ExchangeType::GROUPKEY_PUSH_ACK => {
                let chain = Chain::decode(header.next_payload, body).ok()?;
                let seq = chain.find(PayloadType::SEQ)?.body.try_into().ok()?;
                Some(Heard::Ack {
                    spi: header.cookies(),
                    seq: u32::from_be_bytes(seq),
                })
            }
            _ => None,
        }
    }

    fn read_pull(&mut self, header: &Header, body: &[u8]) -> Option<Heard> {
        let key = self.phase1.get(&header.initiator_cookie)?;
        let place = (header.initiator_cookie, header.message_id);
        let last: [u8; BLOCK] = *body.last_chunk()?;
        if self.blocks.len() >= REMEMBERED_MAX {
            self.blocks.clear();
        }
        let iv = self.blocks.insert(place, last)?;
        let plain = decrypt(key, &iv, body)?;
        let keys = self.read_keys(header, &plain)?;
        let spi = *keys.keks.first()?;
        let chain = Chain::decode(header.next_payload, &plain).ok()?;
        let seq = chain.find(PayloadType::SEQ)?.body.try_into().ok()?;
        Some(Heard::Grant {
            spi,
            seq: u32::from_be_bytes(seq),
            keys,
        })
    }

    fn read_push(&mut self, spi: Spi, header: &Header, body: &[u8]) -> Option<(u32, Keys)> {
        let secret = &self.keks.get(&spi)?.secret;
        let plain = decrypt(&secret.key, &secret.iv, body)?;
        let seq = sequence(header, &plain)?;
        let keys = self.read_keys(header, &plain).unwrap_or_default();
        let kek = self.keks.get_mut(&spi)?;
        kek.newest = Some((*header, plain));
        kek.brought.keks.extend(&keys.keks);
        kek.brought.teks.extend(&keys.teks);
        self.latest = Some(spi);
        Some((seq, keys))
    }

    /// Everything that who was given these keys can read of all that has passed: what came under its
    /// Rekey SAs, under those that came under these, and so on.
    pub(crate) fn opened_by(&self, given: &Keys) -> (BTreeMap<Spi, KekSecret>, BTreeSet<Print>) {
        let (mut keks, mut teks) = (BTreeMap::new(), given.teks.clone());
        let mut left: Vec<Spi> = given.keks.iter().copied().collect();
        while let Some(spi) = left.pop() {
            if let Some(kek) = self.keks.get(&spi).filter(|_| !keks.contains_key(&spi)) {
                keks.insert(spi, kek.secret.clone());
                teks.extend(&kek.brought.teks);
                left.extend(&kek.brought.keks);
            }
        }
        (keks, teks)
    }

    /// Learns the Rekey SA of a KD payload, if there is one. Says all that is in there.
    fn read_keys(&mut self, header: &Header, plain: &[u8]) -> Option<Keys> {
        let chain = Chain::decode(header.next_payload, plain).ok()?;
        let kd: Kd<'_> = chain.find(PayloadType::KD)?.decode().ok()?;
        for packet in &kd.packets {
            if let KeyPacket::Kek(kek) = packet
                && let Some((iv, key)) = kek
                    .algorithm_key
                    .and_then(<[u8]>::split_first_chunk::<BLOCK>)
            {
                let entry = self.keks.entry(kek.spi).or_insert_with(|| Kek {
                    secret: KekSecret {
                        key: Secret::copy_of(key),
                        iv: *iv,
                    },
                    newest: None,
                    brought: Keys::default(),
                });
                entry.secret.iv = *iv;
            }
        }
        Some(keys_of(&kd))
    }

    /// A rekey that an insider makes out of the newest real one: a later number, altered keys, the
    /// old signature. A router that believes it checks no signatures.
    pub(crate) fn forge_push(&self, ahead: u32, rng: &mut dyn Rng) -> Option<Vec<u8>> {
        let kek = self.keks.get(&self.latest?)?;
        let (header, plain) = kek.newest.as_ref()?;
        let mut forged = plain.clone();
        let seq = sequence(header, plain)?.wrapping_add(ahead);
        forged.get_mut(4..8)?.copy_from_slice(&seq.to_be_bytes());
        let mut octet = [0; 2];
        rng.fill(&mut octet);
        if octet[0] % 2 == 0 {
            let place = 8 + usize::from(octet[1]) % forged.len().saturating_sub(8).max(1);
            *forged.get_mut(place)? ^= 1;
        }
        let secret = &kek.secret;
        let cipher = Cipher::new(algorithm(&secret.key)?, secret.key.expose()).ok()?;
        cipher.encrypt(&secret.iv, &mut forged).ok()?;
        let mut datagram = header.encode().to_vec();
        datagram.extend_from_slice(&forged);
        Some(datagram)
    }

    /// An acknowledgement in the name of a member, keyed with the KEK as plain members' are.
    //= RFC 8263 3.2
    //# ack_key = prf(base_key, "GROUPKEY-PUSH ACK" | SPI | L)
    pub(crate) fn forge_ack(&self, member: Ipv4Addr) -> Option<Vec<u8>> {
        let spi = self.latest?;
        let kek = self.keks.get(&spi)?;
        let (header, plain) = kek.newest.as_ref()?;
        let mut builder = Builder::new();
        let place = builder.push_raw(PayloadType::HASH, &[0; 32]);
        builder.push(&Seq(sequence(header, plain)?));
        builder.push(&Id::of_address(IpAddr::V4(member)));
        let mut built = builder.finish().ok()?;
        let bits = 512_u16.to_be_bytes();
        let parts: [&[u8]; 3] = [b"GROUPKEY-PUSH ACK\0", &spi, &bits];
        let key = hmac::prf(Hash::Sha256, kek.secret.key.expose(), &parts);
        let digest = hmac::Key::new(Hash::Sha256, key.expose()).sign(&[built.after(place)]);
        built.body_mut(place).copy_from_slice(digest.as_ref());
        let ack = ExchangeType::GROUPKEY_PUSH_ACK;
        let mut header = *header;
        header.exchange_type = ack;
        header.flags = Flags::NONE;
        Some(built.into_message(header))
    }
}

/// The fingerprint of a traffic key, from what it consists of.
pub(crate) fn print(encryption: &[u8], integrity: &[u8]) -> Print {
    let digest = Hash::Sha256.digest(&[encryption, integrity]);
    let head = digest.as_ref().first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(head)
}

fn keys_of(kd: &Kd<'_>) -> Keys {
    let mut keys = Keys::default();
    for packet in &kd.packets {
        match packet {
            KeyPacket::Tek(tek) => {
                let parts = [tek.algorithm_key, tek.integrity_key].map(Option::unwrap_or_default);
                keys.teks.insert(print(parts[0], parts[1]));
            }
            KeyPacket::Kek(kek) => drop(keys.keks.insert(kek.spi)),
            KeyPacket::Lkh(_) | KeyPacket::Sid(_) | KeyPacket::Other { .. } => {}
        }
    }
    keys
}

fn algorithm(key: &Secret) -> Option<Algorithm> {
    match key.len() {
        16 => Some(Algorithm::Aes128),
        24 => Some(Algorithm::Aes192),
        32 => Some(Algorithm::Aes256),
        _ => None,
    }
}

fn decrypt(key: &Secret, iv: &[u8; BLOCK], body: &[u8]) -> Option<Vec<u8>> {
    let mut plain = body.to_vec();
    let cipher = Cipher::new(algorithm(key)?, key.expose()).ok()?;
    cipher.decrypt(iv, &mut plain).ok()?;
    Some(plain)
}

fn sequence(header: &Header, plain: &[u8]) -> Option<u32> {
    if header.next_payload != PayloadType::SEQ {
        return None;
    }
    let octets = plain.get(4..8)?.try_into().ok()?;
    Some(u32::from_be_bytes(octets))
}
