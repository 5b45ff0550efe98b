//! The SA KEK payload: what the Rekey SA is.

use crate::codec::{Error, Kind, Reader, Writer};
use crate::gdoi::identity::Identity;
use crate::iana::{
    AckType, KekAlgorithm, KekAttribute, KekManagement, PayloadType, SigAlgorithm, SigHashAlgorithm,
};
use crate::isakmp::attribute::{self, Attribute, once};
use crate::isakmp::payload::Payload;

const WHAT: &str = "SA KEK payload";

/// The SA KEK payload (RFC 6407 section 5.3).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !    Protocol   !  SRC ID Type  !         SRC ID Port           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !SRC ID Data Len!          SRC Identification Data              ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ! DST ID Type   !         DST ID Port           !DST ID Data Len!
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !                    DST Identification Data                    ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !                                                               !
/// ~                              SPI                              ~
/// !                                                               !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// !                           RESERVED2                           !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ~                        KEK Attributes                         ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-!
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sak {
    /// IP protocol of the PUSH: UDP, 17.
    pub protocol: u8,
    /// Where PUSHes come from.
    pub source: Identity,
    /// Where PUSHes go to: a multicast address, or the member's.
    pub destination: Identity,
    /// The SPI: the cookie pair of the PUSHes.
    pub spi: [u8; 16],
    /// KEK_ALGORITHM.
    pub algorithm: KekAlgorithm,
    /// KEK_KEY_LENGTH: bits of the key, without the IV.
    pub key_bits: Option<u16>,
    /// KEK_KEY_LIFETIME.
    pub lifetime_s: Option<u32>,
    /// SIG_HASH_ALGORITHM; implicit in the ECDSA algorithms.
    pub sig_hash: Option<SigHashAlgorithm>,
    /// SIG_ALGORITHM.
    pub sig_algorithm: SigAlgorithm,
    /// SIG_KEY_LENGTH: bits.
    pub sig_key_bits: Option<u16>,
    /// KEK_MANAGEMENT_ALGORITHM: to be ignored in a PULL.
    pub management: Option<KekManagement>,
    /// KEK_ACK_REQUESTED (RFC 8263 section 2).
    pub ack_requested: Option<AckType>,
    /// Attributes that the RFCs do not name: ours among them.
    pub other: Vec<Attribute<'static>>,
}

#[derive(Default)]
struct Found {
    algorithm: Option<u16>,
    key_bits: Option<u16>,
    lifetime_s: Option<u32>,
    sig_hash: Option<u16>,
    sig_algorithm: Option<u16>,
    sig_key_bits: Option<u16>,
    management: Option<u16>,
    ack_requested: Option<u16>,
    other: Vec<Attribute<'static>>,
}

impl Found {
    fn add(&mut self, attribute: Attribute<'_>) -> Result<(), Error> {
        let (slot, field) = match KekAttribute(attribute.class) {
            KekAttribute::KEK_MANAGEMENT_ALGORITHM => {
                (&mut self.management, "KEK_MANAGEMENT_ALGORITHM")
            }
            KekAttribute::KEK_ALGORITHM => (&mut self.algorithm, "KEK_ALGORITHM"),
            KekAttribute::KEK_KEY_LENGTH => (&mut self.key_bits, "KEK_KEY_LENGTH"),
            KekAttribute::SIG_HASH_ALGORITHM => (&mut self.sig_hash, "SIG_HASH_ALGORITHM"),
            KekAttribute::SIG_ALGORITHM => (&mut self.sig_algorithm, "SIG_ALGORITHM"),
            KekAttribute::SIG_KEY_LENGTH => (&mut self.sig_key_bits, "SIG_KEY_LENGTH"),
            KekAttribute::KEK_ACK_REQUESTED => (&mut self.ack_requested, "KEK_ACK_REQUESTED"),
            KekAttribute::KEK_KEY_LIFETIME => {
                let lifetime_s = attribute.expect_u32(WHAT, "KEK_KEY_LIFETIME")?;
                return once(&mut self.lifetime_s, lifetime_s, WHAT, "KEK_KEY_LIFETIME");
            }
            _ => {
                self.other.push(attribute.into_owned());
                return Ok(());
            }
        };
        once(slot, attribute.expect_basic(WHAT, field)?, WHAT, field)
    }
}

impl Payload<'_> for Sak {
    const TYPE: PayloadType = PayloadType::SAK;

    //= RFC 6407 5.3
    //# The KEK_ALGORITHM and SIG_ALGORITHM attributes MUST be included;
    //# others are OPTIONAL and are included depending on group policy.
    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(WHAT, body);
        let protocol = r.u8()?;
        let source = Identity::decode(&mut r)?;
        let destination = Identity::decode(&mut r)?;
        let spi = r.array()?;
        // RESERVED2 held the POP algorithm and key length of RFC 3547: not looked at.
        r.take(4)?;
        let missing = |part| Error {
            what: WHAT,
            kind: Kind::Missing { part },
        };
        let mut found = Found::default();
        for attribute in attribute::decode_all(&mut r)? {
            found.add(attribute)?;
        }
        let Some(algorithm) = found.algorithm else {
            return Err(missing("KEK_ALGORITHM"));
        };
        let Some(sig_algorithm) = found.sig_algorithm else {
            return Err(missing("SIG_ALGORITHM"));
        };
        Ok(Self {
            protocol,
            source,
            destination,
            spi,
            algorithm: KekAlgorithm(algorithm),
            key_bits: found.key_bits,
            lifetime_s: found.lifetime_s,
            sig_hash: found.sig_hash.map(SigHashAlgorithm),
            sig_algorithm: SigAlgorithm(sig_algorithm),
            sig_key_bits: found.sig_key_bits,
            management: found.management.map(KekManagement),
            ack_requested: found.ack_requested.map(AckType),
            other: found.other,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(self.protocol);
        self.source.encode(WHAT, w);
        self.destination.encode(WHAT, w);
        w.bytes(&self.spi);
        w.u32(0);
        let basic = |class: KekAttribute, value: Option<u16>, w: &mut Writer| {
            attribute::encode_basic(class.0, value, w);
        };
        let management = self.management.map(|n| n.0);
        basic(KekAttribute::KEK_MANAGEMENT_ALGORITHM, management, w);
        basic(KekAttribute::KEK_ALGORITHM, Some(self.algorithm.0), w);
        basic(KekAttribute::KEK_KEY_LENGTH, self.key_bits, w);
        if let Some(lifetime_s) = self.lifetime_s {
            Attribute::long(KekAttribute::KEK_KEY_LIFETIME.0, lifetime_s).encode(w);
        }
        basic(
            KekAttribute::SIG_HASH_ALGORITHM,
            self.sig_hash.map(|n| n.0),
            w,
        );
        basic(KekAttribute::SIG_ALGORITHM, Some(self.sig_algorithm.0), w);
        basic(KekAttribute::SIG_KEY_LENGTH, self.sig_key_bits, w);
        let ack_requested = self.ack_requested.map(|n| n.0);
        basic(KekAttribute::KEK_ACK_REQUESTED, ack_requested, w);
        attribute::encode(&self.other, w);
    }
}
