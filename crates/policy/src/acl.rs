//! Access lists with IOS semantics: entries in order, the first match decides.
//!
//! Decides only what an entry matches. What permit and deny *mean* is the user's: in a group policy
//! permit encrypts and deny stays clear; in `authorization address` permit admits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a matching entry says.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `permit`.
    Permit,
    /// `deny`.
    Deny,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
        })
    }
}

/// Which addresses an entry names.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressMatch {
    /// `any`, of either family.
    Any,
    /// `A.B.C.D W.W.W.W`: bits that are 1 in the wildcard are ignored.
    V4 {
        /// The address; ignored bits are stored as 0.
        address: Ipv4Addr,
        /// The wildcard, an inverted mask that need not be contiguous.
        wildcard: Ipv4Addr,
    },
    /// `X:X::X/N`.
    V6 {
        /// The prefix; bits beyond the length are stored as 0.
        prefix: Ipv6Addr,
        /// Its length 0..=128.
        length: u8,
    },
}

impl AddressMatch {
    /// The match for an IPv4 address with a wildcard, in its one normal form.
    #[must_use]
    pub fn v4(address: Ipv4Addr, wildcard: Ipv4Addr) -> Self {
        if wildcard == Ipv4Addr::BROADCAST {
            return Self::Any;
        }
        Self::V4 {
            address: Ipv4Addr::from_bits(address.to_bits() & !wildcard.to_bits()),
            wildcard,
        }
    }

    /// The match for one IPv4 host.
    #[must_use]
    pub const fn host(address: Ipv4Addr) -> Self {
        Self::V4 {
            address,
            wildcard: Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Whether `address` is named.
    #[must_use]
    pub fn matches(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Any, _) => true,
            (
                Self::V4 {
                    address: own,
                    wildcard,
                },
                IpAddr::V4(other),
            ) => (own.to_bits() ^ other.to_bits()) & !wildcard.to_bits() == 0,
            (Self::V6 { prefix, length }, IpAddr::V6(other)) => {
                let shift = 128 - u32::from(*length);
                (prefix.to_bits() ^ other.to_bits())
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            (Self::V4 { .. }, IpAddr::V6(_)) | (Self::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }

    /// Address and netmask, as `show crypto ipsec sa` prints identities: any is 0.0.0.0/0.0.0.0.
    #[must_use]
    pub fn address_and_mask(&self) -> (IpAddr, IpAddr) {
        match self {
            Self::Any => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()),
            Self::V4 { address, wildcard } => (
                (*address).into(),
                Ipv4Addr::from_bits(!wildcard.to_bits()).into(),
            ),
            Self::V6 { prefix, length } => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*length)).unwrap_or(0);
                ((*prefix).into(), Ipv6Addr::from_bits(mask).into())
            }
        }
    }
}

/// `any`, `host A`, `A W`, `X::/N`.
impl fmt::Display for AddressMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::V4 { address, wildcard } if wildcard.is_unspecified() => {
                write!(f, "host {address}")
            }
            Self::V4 { address, wildcard } => write!(f, "{address} {wildcard}"),
            Self::V6 {
                prefix,
                length: 128,
            } => write!(f, "host {prefix}"),
            Self::V6 { prefix, length } => write!(f, "{prefix}/{length}"),
        }
    }
}

/// Which ports an entry names; only TCP and UDP have any.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortMatch {
    /// No port words.
    #[default]
    Any,
    /// `eq N`.
    Eq(u16),
    /// `neq N`.
    Neq(u16),
    /// `lt N`.
    Lt(u16),
    /// `gt N`.
    Gt(u16),
    /// `range A B`, both included.
    Range(u16, u16),
}

impl PortMatch {
    /// Whether `port` is named; a packet that shows no port is named by `Any` only.
    #[must_use]
    pub fn matches(&self, port: Option<u16>) -> bool {
        match (self, port) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Eq(own), Some(port)) => port == *own,
            (Self::Neq(own), Some(port)) => port != *own,
            (Self::Lt(own), Some(port)) => port < *own,
            (Self::Gt(own), Some(port)) => port > *own,
            (Self::Range(low, high), Some(port)) => (*low..=*high).contains(&port),
        }
    }
}

/// ` eq 848`: with a leading blank, empty for any.
impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Eq(port) => write!(f, " eq {port}"),
            Self::Neq(port) => write!(f, " neq {port}"),
            Self::Lt(port) => write!(f, " lt {port}"),
            Self::Gt(port) => write!(f, " gt {port}"),
            Self::Range(low, high) => write!(f, " range {low} {high}"),
        }
    }
}

/// What of a packet an access list looks at.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port, if the packet shows one (not in later fragments).
    pub source_port: Option<u16>,
    /// Destination port, likewise.
    pub destination_port: Option<u16>,
}

impl FlowKey {
    /// The same flow seen from the other end.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// Protocol words of IOS; numbers without a word print as numbers.
const PROTOCOLS: [(u8, &str); 12] = [
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipinip"),
    (6, "tcp"),
    (17, "udp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ahp"),
    (88, "eigrp"),
    (89, "ospf"),
    (103, "pim"),
    (108, "pcp"),
];

/// The protocol number of an IOS word; `ip` is no number, it names all.
#[must_use]
pub fn protocol_number(word: &str) -> Option<u8> {
    PROTOCOLS
        .iter()
        .find(|(_, name)| *name == word)
        .map(|(number, _)| *number)
}

/// The IOS word of a protocol number, if it has one.
#[must_use]
pub fn protocol_word(number: u8) -> Option<&'static str> {
    PROTOCOLS
        .iter()
        .find(|(own, _)| *own == number)
        .map(|(_, name)| *name)
}

/// One access list entry.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ace {
    /// Permit or deny.
    pub action: Action,
    /// The IP protocol, `None` for `ip`.
    pub protocol: Option<u8>,
    /// Source addresses.
    pub source: AddressMatch,
    /// Source ports.
    pub source_port: PortMatch,
    /// Destination addresses.
    pub destination: AddressMatch,
    /// Destination ports.
    pub destination_port: PortMatch,
}

impl Ace {
    /// `permit ip any any`.
    pub const PERMIT_IP_ANY_ANY: Self = Self {
        action: Action::Permit,
        protocol: None,
        source: AddressMatch::Any,
        source_port: PortMatch::Any,
        destination: AddressMatch::Any,
        destination_port: PortMatch::Any,
    };

    /// Whether the entry names this flow.
    #[must_use]
    pub fn matches(&self, flow: &FlowKey) -> bool {
        self.protocol
            .is_none_or(|protocol| protocol == flow.protocol)
            && self.source.matches(flow.source)
            && self.destination.matches(flow.destination)
            && self.source_port.matches(flow.source_port)
            && self.destination_port.matches(flow.destination_port)
    }

    /// The entry that names the same flows seen from the other end.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            action: self.action,
            protocol: self.protocol,
            source: self.destination,
            source_port: self.destination_port,
            destination: self.source,
            destination_port: self.source_port,
        }
    }

    /// The text of `show crypto gdoi` on a member: `deny udp any port = 848 any port = 848`.
    #[must_use]
    pub fn show_member(&self) -> String {
        let port = |port: &PortMatch| match port {
            PortMatch::Any => String::new(),
            PortMatch::Eq(n) => format!(" port = {n}"),
            PortMatch::Neq(n) => format!(" port != {n}"),
            PortMatch::Lt(n) => format!(" port < {n}"),
            PortMatch::Gt(n) => format!(" port > {n}"),
            PortMatch::Range(low, high) => format!(" port range {low} {high}"),
        };
        format!(
            "{} {} {}{} {}{}",
            self.action,
            self.protocol_text(),
            self.source,
            port(&self.source_port),
            self.destination,
            port(&self.destination_port)
        )
    }

    fn protocol_text(&self) -> String {
        self.protocol.map_or_else(
            || "ip".to_owned(),
            |number| protocol_word(number).map_or_else(|| number.to_string(), str::to_owned),
        )
    }
}

/// The configuration's text: `permit udp any eq 848 host 10.1.1.1`.
impl fmt::Display for Ace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}{} {}{}",
            self.action,
            self.protocol_text(),
            self.source,
            self.source_port,
            self.destination,
            self.destination_port
        )
    }
}

/// A named access list; the entries stand in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl {
    /// Its name or number.
    pub name: String,
    /// Its entries.
    pub entries: Vec<Ace>,
}

impl Acl {
    /// The first entry that names `flow`, with its place; `None` is IOS's implicit deny.
    #[must_use]
    pub fn first_match(&self, flow: &FlowKey) -> Option<(usize, &Ace)> {
        self.entries
            .iter()
            .enumerate()
            .find(|(_, entry)| entry.matches(flow))
    }

    /// Whether the first match is a permit.
    #[must_use]
    pub fn permits(&self, flow: &FlowKey) -> bool {
        self.first_match(flow)
            .is_some_and(|(_, entry)| entry.action == Action::Permit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(source: [u8; 4], destination: [u8; 4], ports: Option<(u16, u16)>) -> FlowKey {
        FlowKey {
            source: IpAddr::from(source),
            destination: IpAddr::from(destination),
            protocol: 17,
            source_port: ports.map(|p| p.0),
            destination_port: ports.map(|p| p.1),
        }
    }

    #[test]
    fn the_first_match_decides_and_none_is_a_deny() {
        let deny = Ace {
            action: Action::Deny,
            protocol: Some(17),
            source_port: PortMatch::Eq(848),
            destination_port: PortMatch::Eq(848),
            ..Ace::PERMIT_IP_ANY_ANY
        };
        let acl = Acl {
            name: "ENCPOL".into(),
            entries: vec![deny, Ace::PERMIT_IP_ANY_ANY],
        };
        let gdoi = udp([10, 1, 11, 2], [10, 1, 20, 2], Some((848, 848)));
        assert_eq!(acl.first_match(&gdoi).map(|(place, _)| place), Some(0));
        assert!(!acl.permits(&gdoi));
        assert!(acl.permits(&udp([10, 1, 11, 2], [10, 1, 20, 2], Some((848, 53)))));
        assert!(acl.permits(&udp([10, 1, 11, 2], [10, 1, 20, 2], None)));
        assert!(!Acl::default().permits(&gdoi));
        assert_eq!(deny.show_member(), "deny udp any port = 848 any port = 848");
        assert_eq!(deny.to_string(), "deny udp any eq 848 any eq 848");
    }

    #[test]
    fn wildcards_may_have_holes_and_families_do_not_mix() {
        let odd = AddressMatch::v4([10, 0, 0, 1].into(), [0, 255, 0, 254].into());
        assert!(odd.matches(IpAddr::from([10, 77, 0, 3])));
        assert!(!odd.matches(IpAddr::from([10, 77, 1, 3])));
        let v6 = AddressMatch::V6 {
            prefix: "2001:db8::".parse().unwrap(),
            length: 32,
        };
        assert!(v6.matches("2001:db8:1::1".parse().unwrap()));
        assert!(!v6.matches("2001:db9::1".parse().unwrap()));
        assert!(!odd.matches("2001:db8::1".parse().unwrap()));
        assert!(
            AddressMatch::V6 {
                prefix: Ipv6Addr::UNSPECIFIED,
                length: 0
            }
            .matches("::1".parse().unwrap())
        );
        assert_eq!(
            v6.address_and_mask().1,
            "ffff:ffff::".parse::<IpAddr>().unwrap()
        );
    }
}
