//! Transforms and access list entries as the SATs of RFC 6407 say them, and back.
//!
//! Decides what can be said to a plain peer: a SAT names one protocol, one port or all, and a
//! network with a netmask (PROTOCOL P10).

use std::net::{IpAddr, Ipv4Addr};

use policy::{Ace, Action, AddressMatch, Encryption, Integrity, KeyBits, PortMatch, Transform};
use wire::gdoi::{EspSat, Identity};
use wire::iana::{
    AddressPreservation, AuthAlgorithm, EncapsulationMode, EspTransform, SaDirection,
};

use crate::group_sa::{TekOffer, Unacceptable, unsupported};
use crate::limits::LIFETIME_MAX;

/// The SAT of a traffic key for one line; the line was found sayable.
pub(crate) fn sat(tek: &TekOffer, ace: &Ace) -> EspSat {
    let (transform, key_bits, authentication) = esp_numbers(tek.transform);
    EspSat {
        protocol: ace.protocol.unwrap_or(0),
        source: identity(&ace.source, ace.source_port),
        destination: identity(&ace.destination, ace.destination_port),
        transform,
        spi: tek.spi.0,
        encapsulation: Some(EncapsulationMode::TUNNEL),
        authentication,
        key_bits,
        lifetime_s: Some(tek.lifetime_s),
        lifetime_kb: None,
        address_preservation: Some(AddressPreservation::SOURCE_AND_DESTINATION),
        direction: Some(SaDirection::SYMMETRIC),
        other: Vec::new(),
    }
}

/// Transform, key length and authentication of ESP as IANA numbers them.
pub(crate) const fn esp_numbers(
    transform: Transform,
) -> (EspTransform, Option<u16>, Option<AuthAlgorithm>) {
    let (cipher, key_bits) = match transform.encryption() {
        Encryption::Null => (EspTransform::NULL, None),
        Encryption::TripleDes => (EspTransform::TRIPLE_DES, None),
        Encryption::AesCbc(bits) => (EspTransform::AES_CBC, Some(bits.bits())),
        Encryption::AesGcm(bits) => (EspTransform::AES_GCM_16, Some(bits.bits())),
        Encryption::AesGmac(bits) => (EspTransform::AES_GMAC, Some(bits.bits())),
    };
    let authentication = match transform.integrity() {
        Integrity::Combined => None,
        Integrity::HmacSha1 => Some(AuthAlgorithm::HMAC_SHA1),
        Integrity::HmacSha256 => Some(AuthAlgorithm::HMAC_SHA2_256),
        Integrity::HmacSha384 => Some(AuthAlgorithm::HMAC_SHA2_384),
        Integrity::HmacSha512 => Some(AuthAlgorithm::HMAC_SHA2_512),
    };
    (cipher, key_bits, authentication)
}

fn identity(address: &AddressMatch, port: PortMatch) -> Identity {
    let port = match port {
        PortMatch::Eq(port) => port,
        PortMatch::Any
        | PortMatch::Neq(_)
        | PortMatch::Lt(_)
        | PortMatch::Gt(_)
        | PortMatch::Range(_, _) => 0,
    };
    match address {
        AddressMatch::V4 { address, wildcard } if wildcard.is_unspecified() => {
            Identity::v4(*address, port)
        }
        AddressMatch::V4 { address, wildcard } => {
            let mask = Ipv4Addr::from_bits(!wildcard.to_bits());
            Identity::v4_subnet(*address, mask, port)
        }
        AddressMatch::Any | AddressMatch::V6 { .. } => {
            Identity::v4_subnet(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, port)
        }
    }
}

/// Why a SAT cannot say this line; `None` if it can.
//= getvpn P10
pub(crate) fn not_sayable(ace: &Ace) -> Option<&'static str> {
    if ace.action == Action::Deny {
        return Some("a deny");
    }
    for address in [&ace.source, &ace.destination] {
        match address {
            AddressMatch::Any => {}
            AddressMatch::V6 { .. } => return Some("IPv6"),
            AddressMatch::V4 { wildcard, .. } => {
                let bits = wildcard.to_bits();
                if bits & bits.wrapping_add(1) != 0 {
                    return Some("a wildcard with holes");
                }
            }
        }
    }
    for port in [ace.source_port, ace.destination_port] {
        match port {
            PortMatch::Any => {}
            PortMatch::Eq(0) => return Some("port 0"),
            PortMatch::Eq(_) => {}
            PortMatch::Neq(_) | PortMatch::Lt(_) | PortMatch::Gt(_) | PortMatch::Range(_, _) => {
                return Some("a range of ports");
            }
        }
    }
    None
}

/// What a SAT says of its traffic key.
pub(crate) struct SatTransform {
    /// What ESP does.
    pub(crate) transform: Transform,
    /// How long, seconds.
    pub(crate) lifetime_s: u32,
}

impl SatTransform {
    /// Reads it.
    ///
    /// # Errors
    /// The algorithm or attribute that is not supported here, by name.
    pub(crate) fn of(sat: &EspSat) -> Result<Self, Unacceptable> {
        let aes = || match sat.key_bits {
            None => Ok(KeyBits::B128),
            Some(bits) => KeyBits::from_bits(bits)
                .ok_or_else(|| unsupported(format!("an AES key of {bits} bits"))),
        };
        let encryption = match sat.transform {
            EspTransform::NULL => Encryption::Null,
            EspTransform::TRIPLE_DES => Encryption::TripleDes,
            EspTransform::AES_CBC => Encryption::AesCbc(aes()?),
            EspTransform::AES_GCM_16 => Encryption::AesGcm(aes()?),
            EspTransform::AES_GMAC => Encryption::AesGmac(aes()?),
            other => return Err(unsupported(format!("ESP transform {other}"))),
        };
        let combined = matches!(encryption, Encryption::AesGcm(_) | Encryption::AesGmac(_));
        let integrity = match sat.authentication {
            _ if combined => Integrity::Combined,
            Some(AuthAlgorithm::HMAC_SHA1) => Integrity::HmacSha1,
            Some(AuthAlgorithm::HMAC_SHA2_256) => Integrity::HmacSha256,
            Some(AuthAlgorithm::HMAC_SHA2_384) => Integrity::HmacSha384,
            Some(AuthAlgorithm::HMAC_SHA2_512) => Integrity::HmacSha512,
            Some(other) => return Err(unsupported(format!("ESP authentication {other}"))),
            None => return Err(unsupported("ESP without authentication")),
        };
        let transform = Transform::new(encryption, integrity)
            .map_err(|error| unsupported(error.to_string()))?;
        if sat
            .encapsulation
            .is_some_and(|mode| mode != EncapsulationMode::TUNNEL)
        {
            return Err(unsupported("ESP in transport mode"));
        }
        let both = AddressPreservation::SOURCE_AND_DESTINATION;
        if sat.address_preservation.is_some_and(|kept| kept != both) {
            return Err(unsupported("ESP that does not keep both addresses"));
        }
        if sat.direction.is_some_and(|to| to != SaDirection::SYMMETRIC) {
            return Err(unsupported("an SA for one direction only"));
        }
        if let Some(other) = sat.other.first() {
            return Err(unsupported(format!("SA attribute {}", other.class)));
        }
        let lifetime_s = sat.lifetime_s.unwrap_or(28_800);
        if lifetime_s == 0 || u64::from(lifetime_s) > LIFETIME_MAX.as_secs() {
            return Err(unsupported(format!(
                "a TEK lifetime of {lifetime_s} seconds"
            )));
        }
        Ok(Self {
            transform,
            lifetime_s,
        })
    }
}

/// The line that a plain key server's SAT says.
pub(crate) fn ace_of_sat(sat: &EspSat) -> Result<Ace, Unacceptable> {
    let end = |identity: &Identity| {
        let address = if identity.is_any_source() {
            AddressMatch::Any
        } else {
            match identity.address_and_mask() {
                Some((IpAddr::V4(address), IpAddr::V4(mask))) => {
                    AddressMatch::v4(address, Ipv4Addr::from_bits(!mask.to_bits()))
                }
                Some(_) | None => {
                    let ty = identity.ty;
                    return Err(unsupported(format!("a SAT for identification type {ty}")));
                }
            }
        };
        let port = match identity.port {
            0 => PortMatch::Any,
            port => PortMatch::Eq(port),
        };
        Ok((address, port))
    };
    let (source, source_port) = end(&sat.source)?;
    let (destination, destination_port) = end(&sat.destination)?;
    Ok(Ace {
        action: Action::Permit,
        protocol: (sat.protocol != 0).then_some(sat.protocol),
        source,
        source_port,
        destination,
        destination_port,
    })
}
