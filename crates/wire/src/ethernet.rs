//! Ethernet frames, with up to two VLAN tags.

use std::fmt;

use crate::codec::{Error, Reader};
use crate::numbers::numbers;

/// A MAC address.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station of the link.
    pub const BROADCAST: Self = Self([0xFF; 6]);

    /// Whether it names a group, broadcast included.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

/// `02:00:00:00:00:01`.
impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

numbers! {
    /// What an Ethernet frame carries.
    EtherType(u16) {
        IPV4 = 0x0800;
        ARP = 0x0806;
        /// A customer VLAN tag.
        VLAN = 0x8100;
        IPV6 = 0x86DD;
        MPLS = 0x8847;
        /// A service VLAN tag.
        SERVICE_VLAN = 0x88A8;
    }
}

/// A VLAN tag (IEEE 802.1Q).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// `VLAN` or `SERVICE_VLAN`.
    pub protocol: EtherType,
    /// Priority, drop eligibility and VLAN number.
    pub control: u16,
}

impl Tag {
    /// The VLAN's number.
    #[must_use]
    pub const fn vlan(self) -> u16 {
        self.control & 0x0FFF
    }
}

/// An Ethernet frame without its check sequence.
///
/// ```text
/// +--------------------+--------------------+-----------+-----------+----------+
/// | Destination MAC (6)|   Source MAC (6)   | Tags (4n) | Type (2)  | Payload  |
/// +--------------------+--------------------+-----------+-----------+----------+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whom it is for.
    pub destination: Mac,
    /// Who sent it.
    pub source: Mac,
    /// Its tags, outer first; most frames have none.
    pub tags: [Option<Tag>; 2],
    /// What the payload is.
    pub ty: EtherType,
    /// The payload, padding of short frames included.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Octets of a header without tags.
    pub const HEADER_LEN: usize = 14;

    /// The frame that `bytes` are. A third tag is left to stand as type and payload.
    ///
    /// # Errors
    /// Shorter than its header.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut r = Reader::new("Ethernet frame", bytes);
        let destination = Mac(r.array()?);
        let source = Mac(r.array()?);
        let mut ty = EtherType(r.u16()?);
        let mut tags = [None; 2];
        for slot in &mut tags {
            if !matches!(ty, EtherType::VLAN | EtherType::SERVICE_VLAN) {
                break;
            }
            *slot = Some(Tag {
                protocol: ty,
                control: r.u16()?,
            });
            ty = EtherType(r.u16()?);
        }
        Ok(Self {
            destination,
            source,
            tags,
            ty,
            payload: r.rest(),
        })
    }

    /// Octets of the header with its tags.
    #[must_use]
    pub fn header_len(&self) -> usize {
        Self::HEADER_LEN + 4 * self.tags.iter().flatten().count()
    }

    /// The octets of the frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.header_len() + self.payload.len());
        out.extend_from_slice(&self.destination.0);
        out.extend_from_slice(&self.source.0);
        for tag in self.tags.iter().flatten() {
            out.extend_from_slice(&tag.protocol.0.to_be_bytes());
            out.extend_from_slice(&tag.control.to_be_bytes());
        }
        out.extend_from_slice(&self.ty.0.to_be_bytes());
        out.extend_from_slice(self.payload);
        out
    }
}
