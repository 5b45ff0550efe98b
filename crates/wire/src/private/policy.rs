//! The policy blob: one encoding for one policy, so that its SHA-256 is its name.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::codec::{Error, Kind, Reader, Writer};
use crate::iana::{AuthAlgorithm, EspTransform};
use crate::limits::POLICY_OCTETS_MAX;

const WHAT: &str = "policy blob";
/// The version that this crate writes and reads.
const VERSION: u8 = 1;
/// The protocol number of an entry that names every protocol.
const ANY_PROTOCOL: u16 = 256;

/// The policy of a group (PROTOCOL P5, P6); `docs/private-attributes.md` section 5 has the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyBlob {
    /// From when it holds, nanoseconds of pseudotime.
    pub activation_ns: u64,
    /// The pseudotime generation of the activation.
    pub clock_generation: u32,
    /// The SAs, strictly ascending by number.
    pub sas: Vec<PolicySa>,
}

/// One `sa ipsec N` of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySa {
    /// N.
    pub number: u16,
    /// The cipher.
    pub transform: EspTransform,
    /// Bits of its key, 0 for ciphers of one size.
    pub key_bits: u16,
    /// The integrity, `NONE` for ciphers that bring their own.
    pub authentication: AuthAlgorithm,
    /// Lifetime of its TEKs.
    pub lifetime_s: u32,
    /// The TBAR window, `None` without TBAR; a window of 0 cannot be said.
    pub tbar_window_s: Option<u32>,
    /// Name of the access list, at most 255 octets.
    pub acl_name: String,
    /// The entries in the order in which they are tried.
    pub aces: Vec<PolicyAce>,
}

/// What an entry says.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Encrypt.
    Permit,
    /// Leave in the clear.
    Deny,
}

/// One access list entry.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PolicyAce {
    /// What it says.
    pub action: Action,
    /// The IP protocol, `None` for all.
    pub protocol: Option<u8>,
    /// Source addresses.
    pub source: AddressRule,
    /// Source ports.
    pub source_port: PortRule,
    /// Destination addresses.
    pub destination: AddressRule,
    /// Destination ports.
    pub destination_port: PortRule,
}

/// Which addresses an entry names.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressRule {
    /// All, of either family.
    Any,
    /// Those equal where the wildcard is 0.
    V4 {
        /// The address, 0 where the wildcard is 1.
        address: Ipv4Addr,
        /// The wildcard, not all ones.
        wildcard: Ipv4Addr,
    },
    /// Those that begin with the prefix.
    V6 {
        /// The prefix, 0 beyond its length.
        prefix: Ipv6Addr,
        /// Its length, 0 to 128.
        length: u8,
    },
}

/// Which ports an entry names.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRule {
    /// All, and packets without ports.
    Any,
    /// That one.
    Eq(u16),
    /// All but that one.
    Neq(u16),
    /// Those below.
    Lt(u16),
    /// Those above.
    Gt(u16),
    /// Those from the first to the second, both included.
    Range(u16, u16),
}

impl AddressRule {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let rule = match r.u8()? {
            0 => Self::Any,
            4 => Self::V4 {
                address: Ipv4Addr::from(r.array::<4>()?),
                wildcard: Ipv4Addr::from(r.array::<4>()?),
            },
            6 => Self::V6 {
                prefix: Ipv6Addr::from(r.array::<16>()?),
                length: r.u8()?,
            },
            other => return Err(r.bad("kind of address", other, "0, 4 or 6")),
        };
        match rule.flaw() {
            Some(kind) => Err(r.error(kind)),
            None => Ok(rule),
        }
    }

    /// Why this value has another encoding, or none.
    fn flaw(self) -> Option<Kind> {
        let (field, value, expected) = match self {
            Self::V4 { wildcard, .. } if wildcard == Ipv4Addr::BROADCAST => {
                ("wildcard", u64::from(u32::MAX), "any instead of all ones")
            }
            Self::V4 { address, wildcard } if address.to_bits() & wildcard.to_bits() != 0 => (
                "address",
                address.to_bits().into(),
                "0 where the wildcard is 1",
            ),
            Self::V6 { length, .. } if length > 128 => ("prefix length", length.into(), "0 to 128"),
            Self::V6 { prefix, length } if stray_bits(prefix, length) => {
                ("prefix length", length.into(), "no bits beyond it")
            }
            Self::Any | Self::V4 { .. } | Self::V6 { .. } => return None,
        };
        Some(Kind::Value {
            field,
            value,
            expected,
        })
    }

    fn encode(self, w: &mut Writer) {
        if let Some(kind) = self.flaw() {
            w.fail(WHAT, kind);
        }
        match self {
            Self::Any => w.u8(0),
            Self::V4 { address, wildcard } => {
                w.u8(4);
                w.bytes(&address.octets());
                w.bytes(&wildcard.octets());
            }
            Self::V6 { prefix, length } => {
                w.u8(6);
                w.bytes(&prefix.octets());
                w.u8(length);
            }
        }
    }
}

/// Whether a prefix has bits beyond its length.
fn stray_bits(prefix: Ipv6Addr, length: u8) -> bool {
    let beyond = u128::MAX.checked_shr(length.into()).unwrap_or(0);
    prefix.to_bits() & beyond != 0
}

impl PortRule {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match r.u8()? {
            0 => Self::Any,
            1 => Self::Eq(r.u16()?),
            2 => Self::Neq(r.u16()?),
            3 => Self::Lt(r.u16()?),
            4 => Self::Gt(r.u16()?),
            5 => {
                let (low, high) = (r.u16()?, r.u16()?);
                if low > high {
                    return Err(r.bad("end of a port range", high, "its beginning or above"));
                }
                Self::Range(low, high)
            }
            other => return Err(r.bad("kind of port", other, "0 to 5")),
        })
    }

    fn encode(self, w: &mut Writer) {
        let (kind, port) = match self {
            Self::Any => return w.u8(0),
            Self::Eq(port) => (1, port),
            Self::Neq(port) => (2, port),
            Self::Lt(port) => (3, port),
            Self::Gt(port) => (4, port),
            Self::Range(low, high) => {
                if low > high {
                    let kind = Kind::Value {
                        field: "end of a port range",
                        value: high.into(),
                        expected: "its beginning or above",
                    };
                    w.fail(WHAT, kind);
                }
                w.u8(5);
                w.u16(low);
                return w.u16(high);
            }
        };
        w.u8(kind);
        w.u16(port);
    }
}

impl PolicyAce {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let action = match r.u8()? {
            1 => Action::Permit,
            2 => Action::Deny,
            other => return Err(r.bad("action", other, "1 (permit) or 2 (deny)")),
        };
        let protocol = match r.u16()? {
            ANY_PROTOCOL => None,
            number => match u8::try_from(number) {
                Ok(number) => Some(number),
                Err(_) => return Err(r.bad("protocol", number, "0 to 256")),
            },
        };
        Ok(Self {
            action,
            protocol,
            source: AddressRule::decode(r)?,
            source_port: PortRule::decode(r)?,
            destination: AddressRule::decode(r)?,
            destination_port: PortRule::decode(r)?,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u8(match self.action {
            Action::Permit => 1,
            Action::Deny => 2,
        });
        w.u16(self.protocol.map_or(ANY_PROTOCOL, u16::from));
        self.source.encode(w);
        self.source_port.encode(w);
        self.destination.encode(w);
        self.destination_port.encode(w);
    }
}

impl PolicySa {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let number = r.u16()?;
        let transform = EspTransform(r.u8()?);
        r.reserved()?;
        let key_bits = r.u16()?;
        let authentication = AuthAlgorithm(r.u16()?);
        let lifetime_s = r.u32()?;
        let tbar_window_s = match r.u32()? {
            0 => None,
            window_s => Some(window_s),
        };
        let name_len = usize::from(r.u8()?);
        let name = r.take(name_len)?;
        let Ok(acl_name) = std::str::from_utf8(name) else {
            return Err(r.error(Kind::Missing {
                part: "UTF-8 in the name of the access list",
            }));
        };
        let count = usize::from(r.u16()?);
        let aces = (0..count)
            .map(|_| PolicyAce::decode(r))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            number,
            transform,
            key_bits,
            authentication,
            lifetime_s,
            tbar_window_s,
            acl_name: acl_name.to_owned(),
            aces,
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.u16(self.number);
        w.u8(self.transform.0);
        w.u8(0);
        w.u16(self.key_bits);
        w.u16(self.authentication.0);
        w.u32(self.lifetime_s);
        if self.tbar_window_s == Some(0) {
            let kind = Kind::Value {
                field: "TBAR window",
                value: 0,
                expected: "1 second or more, or none",
            };
            w.fail(WHAT, kind);
        }
        w.u32(self.tbar_window_s.unwrap_or(0));
        w.length_u8(WHAT, |w| w.bytes(self.acl_name.as_bytes()));
        w.count_u16(WHAT, "entries of an access list", self.aces.len());
        self.aces.iter().for_each(|ace| ace.encode(w));
    }
}

impl PolicyBlob {
    /// The policy in a blob whose hash was checked.
    ///
    /// # Errors
    /// Another version, anything malformed, anything that would be encoded otherwise.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(WHAT, bytes);
        if bytes.len() > POLICY_OCTETS_MAX as usize {
            return Err(r.bad("octets", bytes.len() as u64, "1048576 at most"));
        }
        let version = r.u8()?;
        if version != VERSION {
            return Err(r.bad("version", version, "1"));
        }
        r.reserved()?;
        let count = usize::from(r.u16()?);
        let activation_ns = r.u64()?;
        let clock_generation = r.u32()?;
        let mut sas: Vec<PolicySa> = Vec::new();
        for _ in 0..count {
            let sa = PolicySa::decode(&mut r)?;
            if sas.last().is_some_and(|last| last.number >= sa.number) {
                return Err(r.bad("number of an SA", sa.number, "above the one before it"));
            }
            sas.push(sa);
        }
        r.end()?;
        Ok(Self {
            activation_ns,
            clock_generation,
            sas,
        })
    }

    /// The blob.
    ///
    /// # Errors
    /// What `decode` would refuse, and more than 1 MiB.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut w = Writer::new();
        w.u8(VERSION);
        w.u8(0);
        w.count_u16(WHAT, "SAs", self.sas.len());
        w.u64(self.activation_ns);
        w.u32(self.clock_generation);
        for pair in self.sas.windows(2) {
            if let [before, after] = pair
                && before.number >= after.number
            {
                let kind = Kind::Value {
                    field: "number of an SA",
                    value: after.number.into(),
                    expected: "above the one before it",
                };
                w.fail(WHAT, kind);
            }
        }
        self.sas.iter().for_each(|sa| sa.encode(&mut w));
        if w.len() > POLICY_OCTETS_MAX as usize {
            let kind = Kind::TooMany {
                parts: "octets",
                max: POLICY_OCTETS_MAX as usize,
            };
            w.fail(WHAT, kind);
        }
        w.finish()
    }
}
