//! Vendor ids: what we say of ourselves, and what a peer's say of it.
//!
//! IKEv1 does not authenticate them, so they only hint (PROTOCOL P2): a version to show, whether
//! keepalives are understood. All that were received are kept, octet for octet, because the vid tag
//! in the GDOI nonces covers them.

use std::fmt;

use wire::isakmp::vendor_id::DPD_1_0;
use wire::isakmp::{Chain, VendorId};
use wire::private::VENDOR_ID_PREFIX;

use crate::limits::{VENDOR_ID_OCTETS_MAX, VENDOR_IDS_MAX};
use wire::iana::PayloadType;

/// A version of this program.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Incompatible changes.
    pub major: u8,
    /// New features.
    pub minor: u8,
    /// Repairs.
    pub patch: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Version {
    /// That of this program.
    pub const OWN: Self = Self {
        major: decimal(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: decimal(env!("CARGO_PKG_VERSION_MINOR")),
        patch: decimal(env!("CARGO_PKG_VERSION_PATCH")),
    };

    fn vendor_id(self) -> Vec<u8> {
        let mut octets = VENDOR_ID_PREFIX.to_vec();
        octets.extend([self.major, self.minor, self.patch]);
        octets
    }

    fn in_vendor_id(octets: &[u8]) -> Option<Self> {
        let [major, minor, patch] = *octets.strip_prefix(&VENDOR_ID_PREFIX)?.first_chunk::<3>()?;
        Some(Self {
            major,
            minor,
            patch,
        })
    }
}

/// Digits of a part of the package's version; at most 255, which the compiler checks.
const fn decimal(digits: &str) -> u8 {
    let mut number = 0;
    let mut at = 0;
    while at < digits.len() {
        number = number * 10 + digits.as_bytes()[at] - b'0';
        at += 1;
    }
    number
}

/// What we send, the most useful first.
pub(super) fn own() -> Vec<Vec<u8>> {
    vec![Version::OWN.vendor_id(), DPD_1_0.to_vec()]
}

/// The vendor ids that passed in one negotiation.
#[derive(Clone, Debug, Default)]
pub(super) struct VendorIds {
    /// Those of the peer, in the order of their arrival.
    pub(super) received: Vec<Vec<u8>>,
    /// Those that we sent.
    pub(super) sent: Vec<Vec<u8>>,
}

impl VendorIds {
    /// Those of a message that are to be kept beside those that are.
    pub(super) fn read(&self, chain: &Chain<'_>) -> Vec<Vec<u8>> {
        let mut octets: usize = self.received.iter().map(Vec::len).sum();
        let mut read = Vec::new();
        for raw in chain.all(PayloadType::VENDOR_ID) {
            if self.received.len() + read.len() < VENDOR_IDS_MAX
                && octets + raw.body.len() <= VENDOR_ID_OCTETS_MAX
            {
                octets += raw.body.len();
                read.push(raw.body.to_vec());
            }
        }
        read
    }

    /// Keeps those of a message.
    pub(super) fn receive(&mut self, chain: &Chain<'_>) {
        let read = self.read(chain);
        self.received.extend(read);
    }

    /// Whether the peer answers R-U-THERE.
    pub(super) fn dpd(&self) -> bool {
        self.received.iter().any(|data| VendorId { data }.is_dpd())
    }

    /// The version of a peer that says to be a getvpn.
    pub(super) fn version(&self) -> Option<Version> {
        self.received
            .iter()
            .find_map(|octets| Version::in_vendor_id(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_vendor_id_tells_the_version() {
        let [ours, dpd] = &own()[..] else {
            panic!("two vendor ids");
        };
        assert_eq!(ours.len(), 16);
        assert_eq!(Version::in_vendor_id(ours), Some(Version::OWN));
        assert_eq!(Version::in_vendor_id(dpd), None);
        assert_eq!(Version::in_vendor_id(&ours[..15]), None);
        assert_eq!(Version::OWN.to_string(), env!("CARGO_PKG_VERSION"));
    }
}
