//! What a key server says of its group, as SA and KD payloads: the same in a PULL and in a PUSH.
//!
//! Decides how policy and keys are written for a kind of peer, and what of a key server's word
//! this program can follow. Whether it is followed is decided by `gm`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use crypto::key_pair::PublicKey;
use crypto::{Secret, cbc};
use policy::{
    Ace, Acl, ClockGeneration, GroupSize, KekCipher, KekSpi, PeerKind, PseudoTime, Sid, SigHash,
    Signature, Spi, Tek, Transform,
};
use wire::gdoi::{Gap, Identity, Kd, KekKeys, KeyPacket, Sa, Sak, Sat, Sids, TekKeys};
use wire::iana::{
    AckType, GapAttribute, KekAlgorithm, KekAttribute, KekKeyAttribute, SigAlgorithm,
    SigHashAlgorithm,
};
use wire::isakmp::{Attribute, Value};
use wire::private::{self, KeyRecord, PolicyName};

use crate::key_pairs::algorithm;
use crate::limits::{BLOCKS_LOG2_MAX, LIFETIME_MAX, SIDS_PER_PULL_MAX, TEKS_MAX};
use crate::machine::TekKey;
use crate::private::{GroupStamp, KekRecord, RegisterAgain, tek_of, tek_record};
use crate::rekey_sa::RekeySa;
use crate::transform::{SatTransform, ace_of_sat, sat};

/// The port of GDOI.
const GDOI_PORT: u16 = 848;
/// UDP.
const UDP: u8 = 17;

/// A Rekey SA as a SAK says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KekOffer {
    /// Where PUSHes come from.
    pub(crate) source: Ipv4Addr,
    /// Where they go to.
    pub(crate) destination: Ipv4Addr,
    /// Its SPI.
    pub(crate) spi: KekSpi,
    /// Its cipher.
    pub(crate) cipher: KekCipher,
    /// How long it is used, seconds from now.
    pub(crate) lifetime_s: u32,
    /// How it is signed.
    pub(crate) signature: Signature,
    /// Bits of the modulus or the curve that signs.
    pub(crate) sig_key_bits: u16,
    /// Which acknowledgement is asked for.
    pub(crate) ack: Option<AckType>,
    /// For members of ours.
    pub(crate) record: Option<KekRecord>,
}

/// A traffic key as its SATs say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TekOffer {
    /// Its SPI.
    pub(crate) spi: Spi,
    /// What ESP does.
    pub(crate) transform: Transform,
    /// How long it lives on, seconds from now.
    pub(crate) lifetime_s: u32,
}

/// What an SA payload says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The Rekey SA, in a PULL and when it changes.
    pub(crate) kek: Option<KekOffer>,
    /// The group's clock and generation, for members of ours.
    pub(crate) stamp: Option<GroupStamp>,
    /// The policy's name, for members of ours.
    pub(crate) policy: Option<PolicyName>,
    /// Of a group whose cipher has 64-bit blocks, for members of ours: each sender may encrypt 2 to
    /// this power of them with one key.
    pub(crate) blocks_log2: Option<u8>,
    /// In a PUSH without keys, for members of ours: that they are to register again.
    pub(crate) register_again: Option<RegisterAgain>,
    /// When plain members send on these keys, seconds from now.
    pub(crate) activation_delay_s: Option<u16>,
    /// Traffic keys in the order in which they are said.
    pub(crate) teks: Vec<TekOffer>,
    /// The policy's lines, for plain members.
    pub(crate) acl: Vec<Ace>,
}

/// Why a key server's word cannot be followed. Names the algorithm or attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unacceptable {
    /// Octets of another form.
    Malformed(wire::Error),
    /// Something this program does not have or believe.
    Unsupported(String),
}

impl fmt::Display for Unacceptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Unsupported(what) => f.write_str(what),
        }
    }
}

impl From<wire::Error> for Unacceptable {
    fn from(error: wire::Error) -> Self {
        Self::Malformed(error)
    }
}

pub(crate) fn unsupported(what: impl Into<String>) -> Unacceptable {
    Unacceptable::Unsupported(what.into())
}

impl Offer {
    /// The SA payload for a kind of peer. Private attributes go to proven kin only.
    //= getvpn P2
    pub(crate) fn to_wire(&self, kind: PeerKind) -> Result<Sa, wire::Error> {
        let mut gap = Gap {
            activation_delay_s: self.activation_delay_s,
            ..Gap::default()
        };
        let mut sats = Vec::new();
        if kind == PeerKind::Ours {
            let stamp = self.stamp.map(|stamp| stamp.to_wire().attribute());
            let policy = self.policy.as_ref().map(PolicyName::attribute);
            gap.other = stamp.into_iter().chain(policy).collect::<Result<_, _>>()?;
            let class = GapAttribute::GETVPN_BLOCK_LIMIT.0;
            let blocks = self
                .blocks_log2
                .map(|log2| Attribute::basic(class, log2.into()));
            gap.other.extend(blocks);
            let again = self.register_again.map(RegisterAgain::attribute);
            gap.other.extend(again);
            sats.extend(
                self.teks
                    .iter()
                    .map(|tek| Sat::Esp(sat(tek, &Ace::PERMIT_IP_ANY_ANY))),
            );
        } else {
            for tek in &self.teks {
                sats.extend(self.acl.iter().map(|ace| Sat::Esp(sat(tek, ace))));
            }
        }
        //= getvpn P10
        let has_gap = gap != Gap::default() && kind != PeerKind::Rfc3547;
        Ok(Sa {
            sak: self.kek.as_ref().map(|kek| kek.to_wire(kind)).transpose()?,
            gap: has_gap.then_some(gap),
            sats,
            ..Sa::default()
        })
    }

    /// What an SA payload of a peer of that kind says.
    ///
    /// # Errors
    /// What cannot be followed.
    pub(crate) fn from_wire(sa: &Sa, kind: PeerKind) -> Result<Self, Unacceptable> {
        let mut offer = Self {
            kek: sa
                .sak
                .as_ref()
                .map(|sak| KekOffer::from_wire(sak, kind))
                .transpose()?,
            ..Self::default()
        };
        if let Some(gap) = &sa.gap {
            offer.read_gap(gap, kind)?;
        }
        for sat in &sa.sats {
            let Sat::Esp(sat) = sat else {
                return Err(unsupported("a TEK protocol that is not ESP"));
            };
            let transform = SatTransform::of(sat)?;
            let tek = TekOffer {
                spi: Spi(sat.spi),
                transform: transform.transform,
                lifetime_s: transform.lifetime_s,
            };
            match offer.teks.iter().find(|held| held.spi == tek.spi) {
                Some(held) if *held != tek => {
                    return Err(unsupported(format!("SPI {} with two policies", tek.spi)));
                }
                Some(_) => {}
                None if offer.teks.len() == TEKS_MAX => {
                    return Err(unsupported(format!("more than {TEKS_MAX} traffic keys")));
                }
                None => offer.teks.push(tek),
            }
            if kind != PeerKind::Ours {
                let ace = ace_of_sat(sat)?;
                if !offer.acl.contains(&ace) {
                    offer.acl.push(ace);
                }
            }
        }
        Ok(offer)
    }

    /// What a GAP payload of a PUSH without keys says.
    ///
    /// # Errors
    /// What cannot be followed.
    pub(crate) fn of_gap(gap: &Gap, kind: PeerKind) -> Result<Self, Unacceptable> {
        let mut offer = Self::default();
        offer.read_gap(gap, kind)?;
        Ok(offer)
    }

    //= RFC 6407 5.4
    //# A GDOI implementation MUST abort if it encounters an attribute or
    //# capability that it does not understand.
    fn read_gap(&mut self, gap: &Gap, kind: PeerKind) -> Result<(), Unacceptable> {
        self.activation_delay_s = gap.activation_delay_s;
        let ours = kind == PeerKind::Ours;
        let known = |class| {
            [
                GapAttribute::GETVPN_GROUP_STAMP,
                GapAttribute::GETVPN_POLICY_NAME,
                GapAttribute::GETVPN_BLOCK_LIMIT,
                GapAttribute::GETVPN_REGISTER_AGAIN,
            ]
            .contains(&class)
        };
        let classes = gap
            .other
            .iter()
            .map(|attribute| GapAttribute(attribute.class));
        if let Some(class) = classes.into_iter().find(|class| !ours || !known(*class)) {
            return Err(unsupported(format!("GAP attribute {class}")));
        }
        self.stamp = private::GroupStamp::find(&gap.other)?
            .map(|stamp| GroupStamp::of(&stamp))
            .transpose()?;
        self.policy = PolicyName::find(&gap.other)?;
        self.blocks_log2 = blocks_log2(gap)?;
        self.register_again = RegisterAgain::find(&gap.other)?;
        Ok(())
    }
}

/// The limit of 64-bit blocks in a GAP.
//= getvpn P23
fn blocks_log2(gap: &Gap) -> Result<Option<u8>, Unacceptable> {
    let class = GapAttribute::GETVPN_BLOCK_LIMIT;
    let Some(attribute) = gap.other.iter().find(|own| own.class == class.0) else {
        return Ok(None);
    };
    let log2 = match attribute.value {
        Value::Basic(value) => u8::try_from(value).ok(),
        Value::Variable(_) => None,
    };
    match log2.filter(|log2| *log2 <= BLOCKS_LOG2_MAX) {
        Some(log2) => Ok(Some(log2)),
        None => Err(unsupported(format!(
            "GAP attribute {class} that is no limit"
        ))),
    }
}

impl KekOffer {
    fn to_wire(&self, kind: PeerKind) -> Result<Sak, wire::Error> {
        let record = self.record.filter(|_| kind == PeerKind::Ours);
        let record = record
            .map(|record| record.to_wire().attribute())
            .transpose()?;
        Ok(Sak {
            protocol: UDP,
            source: Identity::v4(self.source, GDOI_PORT),
            destination: Identity::v4(self.destination, GDOI_PORT),
            spi: self.spi.0,
            algorithm: match self.cipher {
                KekCipher::TripleDes => KekAlgorithm::TRIPLE_DES,
                KekCipher::Aes128 | KekCipher::Aes192 | KekCipher::Aes256 => KekAlgorithm::AES,
            },
            key_bits: match self.cipher {
                KekCipher::TripleDes => None,
                KekCipher::Aes128 => Some(128),
                KekCipher::Aes192 => Some(192),
                KekCipher::Aes256 => Some(256),
            },
            lifetime_s: Some(self.lifetime_s),
            sig_hash: Some(match self.signature.hash() {
                SigHash::Sha1 => SigHashAlgorithm::SHA1,
                SigHash::Sha256 => SigHashAlgorithm::SHA256,
                SigHash::Sha384 => SigHashAlgorithm::SHA384,
                SigHash::Sha512 => SigHashAlgorithm::SHA512,
            }),
            sig_algorithm: match self.signature {
                Signature::Rsa(_) => SigAlgorithm::RSA,
                Signature::Ecdsa256 => SigAlgorithm::ECDSA_256,
                Signature::Ecdsa384 => SigAlgorithm::ECDSA_384,
                Signature::Ecdsa521 => SigAlgorithm::ECDSA_521,
            },
            sig_key_bits: Some(self.sig_key_bits),
            management: None,
            ack_requested: self.ack,
            other: record.into_iter().collect(),
        })
    }

    //= RFC 6407 5.3.2
    //# A
    //# GDOI implementation MUST abort if it encounters an attribute or
    //# capability that it does not understand.
    fn from_wire(sak: &Sak, kind: PeerKind) -> Result<Self, Unacceptable> {
        let cipher = match (sak.algorithm, sak.key_bits) {
            (KekAlgorithm::TRIPLE_DES, None | Some(168 | 192)) => KekCipher::TripleDes,
            (KekAlgorithm::AES, None | Some(128)) => KekCipher::Aes128,
            (KekAlgorithm::AES, Some(192)) => KekCipher::Aes192,
            (KekAlgorithm::AES, Some(256)) => KekCipher::Aes256,
            (algorithm, bits) => {
                let bits = bits.map_or_else(String::new, |bits| format!(" with {bits} bits"));
                return Err(unsupported(format!("KEK algorithm {algorithm}{bits}")));
            }
        };
        let signature = read_signature(sak)?;
        let lifetime_s = sak.lifetime_s.unwrap_or(86_400);
        if u64::from(lifetime_s) > LIFETIME_MAX.as_secs() || lifetime_s == 0 {
            return Err(unsupported(format!("KEK lifetime of {lifetime_s} seconds")));
        }
        let ours = kind == PeerKind::Ours;
        let known = |class| match class {
            KekAttribute::GETVPN_KEY_RECORD => ours,
            // Retired, and harmless: RFC 3547 peers say which group a KE would be in.
            class => class == KekAttribute::KE_OAKLEY_GROUP,
        };
        let classes = sak
            .other
            .iter()
            .map(|attribute| KekAttribute(attribute.class));
        if let Some(class) = classes.into_iter().find(|class| !known(*class)) {
            return Err(unsupported(format!("KEK attribute {class}")));
        }
        let record = KeyRecord::find(&sak.other)?;
        let record = record.map(|record| KekRecord::of(&record)).transpose()?;
        if ours && record.is_none() {
            return Err(unsupported("a SAK without a record"));
        }
        let v4 = |identity: &Identity| match identity.address() {
            Some(std::net::IpAddr::V4(address)) => Ok(address),
            _ => Err(unsupported("a Rekey SA between other than IPv4 addresses")),
        };
        if sak
            .ack_requested
            .is_some_and(|ty| !crate::ack::is_known(ty))
        {
            return Err(unsupported("an acknowledgement that needs LKH"));
        }
        Ok(Self {
            source: v4(&sak.source)?,
            destination: v4(&sak.destination)?,
            spi: KekSpi(sak.spi),
            cipher,
            lifetime_s,
            signature,
            sig_key_bits: sak.sig_key_bits.unwrap_or(0),
            ack: sak.ack_requested,
            record,
        })
    }
}

/// How a SAK says that PUSHes are signed.
fn read_signature(sak: &Sak) -> Result<Signature, Unacceptable> {
    let hash = match sak.sig_hash {
        Some(SigHashAlgorithm::SHA1) => Some(SigHash::Sha1),
        Some(SigHashAlgorithm::SHA256) => Some(SigHash::Sha256),
        Some(SigHashAlgorithm::SHA384) => Some(SigHash::Sha384),
        Some(SigHashAlgorithm::SHA512) => Some(SigHash::Sha512),
        Some(hash) => return Err(unsupported(format!("signature hash {hash}"))),
        None => None,
    };
    let (signature, bits) = match sak.sig_algorithm {
        SigAlgorithm::RSA => return Ok(Signature::Rsa(hash.unwrap_or_default())),
        SigAlgorithm::ECDSA_256 => (Signature::Ecdsa256, 256),
        SigAlgorithm::ECDSA_384 => (Signature::Ecdsa384, 384),
        SigAlgorithm::ECDSA_521 => (Signature::Ecdsa521, 521),
        algorithm => return Err(unsupported(format!("signature algorithm {algorithm}"))),
    };
    //= RFC 6407 5.3.5
    //# If the SIG_ALGORITHM is SIG_ALG_ECDSA-256, SIG_ALG_ECDSA-384, or
    //# SIG_ALG_ECDSA-521, the hash algorithm is implicit in the definition,
    //# and SIG_HASH_ALGORITHM is OPTIONAL in a SAK payload.
    if let Some(hash) = hash.filter(|hash| *hash != signature.hash()) {
        return Err(unsupported(format!(
            "signature hash {hash} for {signature}"
        )));
    }
    if let Some(other) = sak.sig_key_bits.filter(|own| *own != bits) {
        return Err(unsupported(format!(
            "signature key of {other} bits for {signature}"
        )));
    }
    Ok(signature)
}

/// A traffic key to be said.
pub(crate) struct TekGrant<'a> {
    /// The record.
    pub(crate) tek: &'a Tek,
    /// From when the receiver sends on it: its activation, or later (PROTOCOL P15).
    pub(crate) activation: PseudoTime,
    /// The key.
    pub(crate) key: &'a TekKey,
}

/// A Rekey SA to be said.
pub(crate) struct KekGrant<'a> {
    /// Its keys.
    pub(crate) sa: &'a RekeySa,
    /// The public key that its signatures verify with, DER.
    pub(crate) public_key: Option<&'a [u8]>,
    /// What the tags of SPIs are made with, for members of ours.
    pub(crate) spi_key: Option<&'a Secret>,
}

/// What a KD payload is made of.
#[derive(Default)]
pub(crate) struct Grant<'a> {
    /// The Rekey SA.
    pub(crate) kek: Option<KekGrant<'a>>,
    /// Traffic keys.
    pub(crate) teks: Vec<TekGrant<'a>>,
    /// Sender identifiers; in a PULL only.
    pub(crate) sids: Option<(GroupSize, &'a [Sid])>,
    /// Which clock the times of the records are of.
    pub(crate) clock_generation: ClockGeneration,
}

impl Grant<'_> {
    /// Calls `push` with the KD payload for a kind of peer.
    ///
    /// # Errors
    /// A record that does not fit its fields.
    pub(crate) fn with_wire<R>(
        &self,
        kind: PeerKind,
        push: impl FnOnce(&Kd<'_>) -> R,
    ) -> Result<R, wire::Error> {
        let ours = kind == PeerKind::Ours;
        let mut kek_octets = zeroize::Zeroizing::new(Vec::with_capacity(64));
        let mut packets = Vec::new();
        for grant in &self.teks {
            let integrity = grant.key.integrity.expose();
            let encryption = grant.key.encryption.expose();
            let record = ours
                .then(|| tek_record(grant.tek, grant.activation, self.clock_generation).attribute())
                .transpose()?;
            packets.push(KeyPacket::Tek(TekKeys {
                spi: grant.tek.spi.0,
                algorithm_key: (!encryption.is_empty()).then_some(encryption),
                integrity_key: (!integrity.is_empty()).then_some(integrity),
                source_auth_key: None,
                other: record.into_iter().collect(),
            }));
        }
        if let Some(kek) = &self.kek {
            //= RFC 6407 5.6.2.1
            //# If the mode of operation for the algorithm requires an IV, an
            //# explicit IV MUST be included in the KEK_ALGORITHM_KEY before the
            //# actual key.
            kek_octets.extend_from_slice(kek.sa.iv.expose());
            kek_octets.extend_from_slice(kek.sa.key.expose());
            let class = KekKeyAttribute::GETVPN_SPI_KEY.0;
            packets.push(KeyPacket::Kek(KekKeys {
                spi: kek.sa.spi.0,
                algorithm_key: Some(&kek_octets),
                signature_key: kek.public_key,
                other: kek
                    .spi_key
                    .filter(|_| ours)
                    .map(|key| Attribute::variable(class, key.expose()))
                    .into_iter()
                    .collect(),
            }));
        }
        if let Some((size, sids)) = self.sids {
            packets.push(KeyPacket::Sid(Sids {
                bits: size.bits(),
                values: sids.iter().map(|sid| sid.0).collect(),
                other: Vec::new(),
            }));
        }
        Ok(push(&Kd { packets }))
    }
}

/// A Rekey SA that was received.
#[derive(Clone)]
pub(crate) struct KekReceived {
    /// Its keys.
    pub(crate) sa: RekeySa,
    /// The public key, if it was said: one of the algorithm that the SAK names.
    pub(crate) public_key: Option<PublicKey>,
    /// What the tags of SPIs are made with.
    pub(crate) spi_key: Option<Secret>,
}

/// What a KD payload says, matched with the offer that it belongs to.
#[derive(Default)]
pub(crate) struct Received {
    /// The Rekey SA.
    pub(crate) kek: Option<KekReceived>,
    /// Traffic keys by SPI; the record is there from a key server of ours.
    pub(crate) teks: BTreeMap<Spi, (TekKey, Option<Tek>)>,
    /// Sender identifiers.
    pub(crate) sids: Option<(GroupSize, Vec<Sid>)>,
}

impl Received {
    /// What a KD payload says to an offer.
    ///
    /// # Errors
    /// A key that does not fit its SA, or that is missing.
    pub(crate) fn from_wire(
        kd: &Kd<'_>,
        offer: &Offer,
        kind: PeerKind,
    ) -> Result<Self, Unacceptable> {
        let mut received = Self::default();
        for packet in &kd.packets {
            match packet {
                KeyPacket::Tek(keys) => received.read_tek(keys, offer, kind)?,
                KeyPacket::Kek(keys) => {
                    let kek = offer.kek.as_ref().filter(|kek| kek.spi.0 == keys.spi);
                    let kek = kek.ok_or_else(|| unsupported("a KEK for another SAK"))?;
                    received.kek = Some(read_kek(keys, kek, kind)?);
                }
                KeyPacket::Sid(sids) => received.sids = Some(read_sids(sids)?),
                KeyPacket::Lkh(_) => return Err(unsupported("an LKH key packet")),
                KeyPacket::Other { ty, .. } => {
                    return Err(unsupported(format!("key packet type {ty}")));
                }
            }
        }
        let missing = offer
            .teks
            .iter()
            .find(|tek| !received.teks.contains_key(&tek.spi));
        if let Some(tek) = missing {
            return Err(unsupported(format!("SPI {} without a key", tek.spi)));
        }
        if offer.kek.is_some() && received.kek.is_none() {
            return Err(unsupported("a SAK without a KEK"));
        }
        Ok(received)
    }

    fn read_tek(
        &mut self,
        keys: &TekKeys<'_>,
        offer: &Offer,
        kind: PeerKind,
    ) -> Result<(), Unacceptable> {
        let spi = Spi(keys.spi);
        let tek = offer.teks.iter().find(|tek| tek.spi == spi);
        let tek = tek.ok_or_else(|| unsupported(format!("a key for {spi}, which has no SAT")))?;
        let encryption = keys.algorithm_key.unwrap_or_default();
        let integrity = keys.integrity_key.unwrap_or_default();
        let fits = encryption.len() == tek.transform.key_len()
            && integrity.len() == tek.transform.integrity_key_len();
        if !fits {
            let transform = tek.transform;
            return Err(unsupported(format!(
                "keys of {spi} that do not fit {transform}"
            )));
        }
        let record = match KeyRecord::find(&keys.other)? {
            Some(record) if kind == PeerKind::Ours => Some(tek_of(&record, spi, tek.transform)?),
            Some(_) | None => None,
        };
        if record.is_none() && kind == PeerKind::Ours {
            return Err(unsupported(format!("SPI {spi} without a record")));
        }
        let key = TekKey {
            encryption: Secret::copy_of(encryption),
            integrity: Secret::copy_of(integrity),
        };
        if self.teks.insert(spi, (key, record)).is_some() {
            return Err(unsupported(format!("two keys for {spi}")));
        }
        Ok(())
    }
}

fn read_kek(
    keys: &KekKeys<'_>,
    offer: &KekOffer,
    kind: PeerKind,
) -> Result<KekReceived, Unacceptable> {
    let block = offer.cipher.block_len();
    let octets = keys.algorithm_key.unwrap_or_default();
    if octets.len() != block + offer.cipher.key_len() {
        return Err(unsupported("a KEK whose length does not fit its cipher"));
    }
    let (iv, key) = octets.split_at(block);
    let sa = RekeySa {
        spi: offer.spi,
        cipher: offer.cipher,
        key: Secret::copy_of(key),
        iv: Secret::copy_of(iv),
        signature: offer.signature,
    };
    let _: cbc::Cipher = sa
        .cbc()
        .ok_or_else(|| unsupported("a KEK that its cipher refuses"))?;
    let spi_key = keys
        .other
        .iter()
        .filter(|_| kind == PeerKind::Ours)
        .find(|attribute| attribute.class == KekKeyAttribute::GETVPN_SPI_KEY.0)
        .and_then(|attribute| match &attribute.value {
            Value::Variable(octets) => Some(Secret::copy_of(octets)),
            Value::Basic(_) => None,
        });
    let wanted = algorithm(offer.signature);
    let public_key = keys
        .signature_key
        .map(|der| PublicKey::from_der(wanted, der))
        .transpose()
        .map_err(|error| {
            let signature = offer.signature;
            unsupported(format!("public key of rekeys, {signature}: {error}"))
        })?;
    Ok(KekReceived {
        sa,
        public_key,
        spi_key,
    })
}

fn read_sids(sids: &Sids) -> Result<(GroupSize, Vec<Sid>), Unacceptable> {
    let size = GroupSize::from_bits(sids.bits)
        .ok_or_else(|| unsupported(format!("SIDs of {} bits", sids.bits)))?;
    if sids.values.len() > usize::from(SIDS_PER_PULL_MAX) {
        return Err(unsupported(format!("more than {SIDS_PER_PULL_MAX} SIDs")));
    }
    Ok((size, sids.values.iter().copied().map(Sid).collect()))
}

/// The plain policy's lines as a list.
pub(crate) fn acl_of(entries: Vec<Ace>, group: &policy::GroupName) -> Acl {
    Acl {
        name: format!("gdoi_group_{group}_temp_acl"),
        entries,
    }
}
