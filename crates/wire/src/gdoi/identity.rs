//! Source and destination as SAK and SAT name them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::codec::{Error, Reader, Writer};
use crate::iana::IdType;
use crate::isakmp::id;

/// Type, port, length and data of an SRC or DST identification (RFC 6407 sections 5.3, 5.5.1).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !    ID Type    !           ID Port             !  ID Data Len  !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                      Identification Data                      ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// The text lists a "DST ID Prot" octet that the figures do not have; it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How the data is to be read.
    pub ty: IdType,
    /// The port, 0 for any.
    pub port: u16,
    /// The identity.
    pub data: Vec<u8>,
}

impl Identity {
    /// One IPv4 address.
    #[must_use]
    pub fn v4(address: Ipv4Addr, port: u16) -> Self {
        Self {
            ty: IdType::IPV4_ADDR,
            port,
            data: address.octets().to_vec(),
        }
    }

    /// An IPv4 network; the mask is a netmask, not a wildcard.
    #[must_use]
    pub fn v4_subnet(address: Ipv4Addr, mask: Ipv4Addr, port: u16) -> Self {
        Self {
            ty: IdType::IPV4_ADDR_SUBNET,
            port,
            data: [address.octets(), mask.octets()].concat(),
        }
    }

    /// An IPv6 network.
    #[must_use]
    pub fn v6_subnet(prefix: Ipv6Addr, mask: Ipv6Addr, port: u16) -> Self {
        Self {
            ty: IdType::IPV6_ADDR_SUBNET,
            port,
            data: [prefix.octets(), mask.octets()].concat(),
        }
    }

    /// Whether the source is anyone: three octets of zero.
    //= RFC 6407 5.5.1
    //# Set to 3 octets or zero for multiple-source
    //# multicast groups that use a common TEK for all senders.
    #[must_use]
    pub fn is_any_source(&self) -> bool {
        is_any_source(&self.data)
    }

    /// The address, if this is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        id::address(self.ty, &self.data)
    }

    /// Address and netmask, if this is an address or a network.
    #[must_use]
    pub fn address_and_mask(&self) -> Option<(IpAddr, IpAddr)> {
        match self.ty {
            IdType::IPV4_ADDR => Some((self.address()?, Ipv4Addr::BROADCAST.into())),
            IdType::IPV6_ADDR => Some((self.address()?, Ipv6Addr::from_bits(u128::MAX).into())),
            IdType::IPV4_ADDR_SUBNET => {
                let (address, mask) = self.data.split_first_chunk::<4>()?;
                let mask = <[u8; 4]>::try_from(mask).ok()?;
                Some((Ipv4Addr::from(*address).into(), Ipv4Addr::from(mask).into()))
            }
            IdType::IPV6_ADDR_SUBNET => {
                let (prefix, mask) = self.data.split_first_chunk::<16>()?;
                let mask = <[u8; 16]>::try_from(mask).ok()?;
                Some((Ipv6Addr::from(*prefix).into(), Ipv6Addr::from(mask).into()))
            }
            _ => None,
        }
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let ty = IdType(r.u8()?);
        let port = r.u16()?;
        let len = usize::from(r.u8()?);
        let data = r.take(len)?;
        if !is_any_source(data) {
            id::check_len(r, ty, len)?;
        }
        Ok(Self {
            ty,
            port,
            data: data.to_vec(),
        })
    }

    pub(crate) fn encode(&self, what: &'static str, w: &mut Writer) {
        w.u8(self.ty.0);
        w.u16(self.port);
        w.length_u8(what, |w| w.bytes(&self.data));
    }
}

fn is_any_source(data: &[u8]) -> bool {
    data.is_empty() || data == [0, 0, 0]
}
