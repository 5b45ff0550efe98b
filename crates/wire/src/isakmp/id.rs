//! The Identification payload: of a peer in phase 1, of a group in a PULL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::codec::{Error, Reader, Writer};
use crate::iana::{IdType, PayloadType};
use crate::isakmp::payload::Payload;

/// The Identification payload (RFC 2407 section 4.6.2, RFC 6407 section 5.1).
///
/// ```text
///                      1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ! Next Payload  !   RESERVED    !         Payload Length        !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// !    ID Type    !  Protocol ID  !             Port              !
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                     Identification Data                       ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// How the data is to be read.
    pub ty: IdType,
    /// 0 or UDP (17) in phase 1, 0 in GDOI.
    pub protocol: u8,
    /// 0, 500 or 848 in phase 1, 0 in GDOI.
    pub port: u16,
    /// The identity.
    pub data: Vec<u8>,
}

impl Id {
    /// An identity without protocol and port.
    #[must_use]
    pub const fn new(ty: IdType, data: Vec<u8>) -> Self {
        Self {
            ty,
            protocol: 0,
            port: 0,
            data,
        }
    }

    /// A group number: ID_KEY_ID with four octets.
    //= RFC 6407 5.1
    //# When used with the GDOI, the ID_KEY_ID ID Type MUST be supported by a
    //# conforming implementation and MUST specify a 4-octet group identifier
    //# as its value.
    #[must_use]
    pub fn group_number(number: u32) -> Self {
        Self::new(IdType::KEY_ID, number.to_be_bytes().to_vec())
    }

    /// An address of either family.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::new(IdType::IPV4_ADDR, address.octets().to_vec()),
            IpAddr::V6(address) => Self::new(IdType::IPV6_ADDR, address.octets().to_vec()),
        }
    }

    /// The address, if this is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        address(self.ty, &self.data)
    }

    /// The group number, if this is one.
    #[must_use]
    pub fn as_group_number(&self) -> Option<u32> {
        (self.ty == IdType::KEY_ID)
            .then(|| <[u8; 4]>::try_from(self.data.as_slice()).ok())
            .flatten()
            .map(u32::from_be_bytes)
    }
}

/// The address in identification data of a type.
pub(crate) fn address(ty: IdType, data: &[u8]) -> Option<IpAddr> {
    match ty {
        IdType::IPV4_ADDR => <[u8; 4]>::try_from(data)
            .ok()
            .map(|octets| Ipv4Addr::from(octets).into()),
        IdType::IPV6_ADDR => <[u8; 16]>::try_from(data)
            .ok()
            .map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

/// Checks that identification data has the length that its type needs.
pub(crate) fn check_len(r: &Reader<'_>, ty: IdType, len: usize) -> Result<(), Error> {
    let (fits, expected) = match ty {
        IdType::IPV4_ADDR => (len == 4, "4 octets for ID_IPV4_ADDR"),
        IdType::IPV6_ADDR => (len == 16, "16 octets for ID_IPV6_ADDR"),
        IdType::IPV4_ADDR_SUBNET => (len == 8, "8 octets for ID_IPV4_ADDR_SUBNET"),
        IdType::IPV4_ADDR_RANGE => (len == 8, "8 octets for ID_IPV4_ADDR_RANGE"),
        IdType::IPV6_ADDR_SUBNET => (len == 32, "32 octets for ID_IPV6_ADDR_SUBNET"),
        IdType::IPV6_ADDR_RANGE => (len == 32, "32 octets for ID_IPV6_ADDR_RANGE"),
        _ => return Ok(()),
    };
    if fits {
        Ok(())
    } else {
        Err(r.bad("length of Identification Data", len as u64, expected))
    }
}

impl Payload<'_> for Id {
    const TYPE: PayloadType = PayloadType::ID;

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("ID payload", body);
        let ty = IdType(r.u8()?);
        let protocol = r.u8()?;
        let port = r.u16()?;
        let data = r.rest();
        check_len(&r, ty, data.len())?;
        Ok(Self {
            ty,
            protocol,
            port,
            data: data.to_vec(),
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(self.ty.0);
        w.u8(self.protocol);
        w.u16(self.port);
        w.bytes(&self.data);
    }
}
