//! The GROUPKEY-PUSH acknowledgement (RFC 8263): making it and checking it.
//!
//! Decides octets and hash. When one is sent is `gm::rekey`, what it means `ks::rekey`.

use std::net::{IpAddr, Ipv4Addr};

use crypto::hash::Hash;
use crypto::hmac;
use crypto::{Secret, hmac::prf};
use policy::KekSpi;
use wire::gdoi::Seq;
use wire::iana::{AckType, ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain, Flags, Header, Id};
use wire::private::AckStatus;

use crate::exchange::message_at;
use crate::push::kek_spi;

/// The label of the key derivation, with its NUL.
const LABEL: &[u8] = b"GROUPKEY-PUSH ACK\0";

/// The hash function of an acknowledgement; `None` for those that need LKH, and unknown ones.
const fn hash_of(ty: AckType) -> Option<Hash> {
    match ty {
        AckType::KEK_SHA256 | AckType::GETVPN_MEMBER => Some(Hash::Sha256),
        AckType::KEK_SHA512 => Some(Hash::Sha512),
        _ => None,
    }
}

/// Whether this program can make and check acknowledgements of that type.
pub(crate) const fn is_known(ty: AckType) -> bool {
    hash_of(ty).is_some()
}

/// The key under the hash, for one reading of L.
//= RFC 8263 3.2
//# ack_key = prf(base_key, "GROUPKEY-PUSH ACK" | SPI | L)
fn ack_key(hash: Hash, base: &Secret, spi: &KekSpi, bits: usize) -> Secret {
    let bits = u16::try_from(bits).unwrap_or(u16::MAX).to_be_bytes();
    prf(hash, base.expose(), &[LABEL, &spi.0, &bits])
}

/// The acknowledgement of the PUSH `seq` under `spi`; `None` for a type that is not known.
pub(crate) fn build(
    ty: AckType,
    base: &Secret,
    spi: &KekSpi,
    seq: u32,
    member: Ipv4Addr,
    status: Option<AckStatus>,
) -> Option<Vec<u8>> {
    let hash = hash_of(ty)?;
    let mut builder = Builder::new();
    let place = builder.push_raw(PayloadType::HASH, &vec![0; hash.output_len()]);
    builder.push(&Seq(seq));
    //= RFC 8263 3.4
    //# The Protocol ID and Port fields MUST be set to 0.
    builder.push(&Id::of_address(IpAddr::V4(member)));
    if let Some(status) = status {
        builder.push(&status.notify());
    }
    let mut built = builder.finish().ok()?;
    //= RFC 8263 3.2
    //# L MUST match the length of the base_key (i.e., 512 bits for
    //# PRF-HMAC-SHA-256).
    let key = ack_key(hash, base, spi, hash.block_len() * 8);
    let digest = hmac::Key::new(hash, key.expose()).sign(&[built.after(place)]);
    built.body_mut(place).copy_from_slice(digest.as_ref());
    Some(built.into_message(Header::new(
        spi.initiator_cookie(),
        spi.responder_cookie(),
        ExchangeType::GROUPKEY_PUSH_ACK,
        Flags::NONE,
        0,
    )))
}

/// An acknowledgement that has the form of one; nobody has proven yet who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// The Rekey SA of the PUSH.
    pub(crate) spi: KekSpi,
    /// Its sequence number.
    pub(crate) seq: u32,
    /// Whose it is, as it says.
    pub(crate) member: IpAddr,
    /// What a member of ours adds.
    pub(crate) status: Option<AckStatus>,
    hash: Vec<u8>,
    covered: Vec<u8>,
}

/// Reads an acknowledgement; `None` if it does not have the form of one.
pub(crate) fn open(datagram: &[u8]) -> Option<Ack> {
    let (header, payloads) = Header::split(datagram).ok()?;
    if header.flags != Flags::NONE || header.message_id != 0 {
        return None;
    }
    let chain = Chain::decode_exact(header.next_payload, payloads).ok()?;
    let types: Vec<_> = chain.types().collect();
    message_at(ExchangeType::GROUPKEY_PUSH_ACK, 1)
        .and_then(|place| place.check(&types))
        .ok()?;
    let ack = wire::gdoi::Ack::decode(header.next_payload, payloads).ok()?;
    let status = ack.notify.as_ref().map(AckStatus::decode);
    Some(Ack {
        spi: kek_spi(&header),
        seq: ack.seq.0,
        member: ack
            .id
            .address()
            .filter(|_| ack.id.protocol == 0 && ack.id.port == 0)?,
        status: status.transpose().ok()?,
        hash: ack.hash.to_vec(),
        covered: ack.authenticated.to_vec(),
    })
}

impl Ack {
    /// Whether its hash is right under `base`. RFC 8263 leaves open how many bits L counts: the
    /// block's and the output's are accepted.
    pub(crate) fn is_from_holder_of(&self, ty: AckType, base: &Secret) -> bool {
        hash_of(ty).is_some_and(|hash| {
            [hash.block_len() * 8, hash.output_len() * 8]
                .into_iter()
                .any(|bits| {
                    let key = ack_key(hash, base, &self.spi, bits);
                    hmac::Key::new(hash, key.expose()).verify(&[&self.covered], &self.hash)
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::private::AckFlags;

    fn spi() -> KekSpi {
        KekSpi(std::array::from_fn(|i| 0x10 + i as u8))
    }

    /// The two readings of L for base 00..0f and SPI 10..1f, computed independently.
    #[test]
    fn both_readings_of_the_key_length_are_the_known_ones() {
        let base = Secret::new((0..16).collect());
        let short = ack_key(Hash::Sha256, &base, &spi(), 256);
        assert_eq!(hex::encode(&short.expose()[..4]), "71fab736");
        assert_eq!(hex::encode(&short.expose()[28..]), "d140a0a6");
        let long = ack_key(Hash::Sha256, &base, &spi(), 512);
        assert_eq!(hex::encode(&long.expose()[..4]), "a1c54862");
        assert_eq!(hex::encode(&long.expose()[28..]), "7b3a94b5");
    }

    #[test]
    fn only_the_holder_of_the_key_acknowledges() {
        let base = Secret::new(vec![7; 32]);
        let member = Ipv4Addr::new(10, 1, 20, 2);
        let behind = AckStatus {
            flags: AckFlags::OLD_POLICY,
            policy: [9; 32],
        };
        for (ty, status) in [
            (AckType::KEK_SHA256, None),
            (AckType::KEK_SHA512, None),
            (AckType::GETVPN_MEMBER, Some(behind)),
        ] {
            let datagram = build(ty, &base, &spi(), 11, member, status).unwrap();
            let ack = open(&datagram).unwrap();
            assert_eq!((ack.spi, ack.seq, ack.status), (spi(), 11, status));
            assert_eq!(ack.member, IpAddr::V4(member));
            assert!(ack.is_from_holder_of(ty, &base));
            assert!(!ack.is_from_holder_of(ty, &Secret::new(vec![8; 32])));
            for at in 28..datagram.len() {
                let mut altered = datagram.clone();
                altered[at] ^= 1;
                let forged = open(&altered).is_some_and(|ack| ack.is_from_holder_of(ty, &base));
                assert!(!forged, "octet {at}");
            }
        }
        assert!(build(AckType::LKH_SHA256, &base, &spi(), 1, member, None).is_none());
    }
}
