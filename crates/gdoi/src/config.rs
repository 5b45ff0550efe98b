//! What the machines are told: the typed form of the configuration.
//!
//! `router` makes it from IOS text and has checked it; the machines compare it with what they run
//! and act on the difference.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::ike::AdmissionLimits;
use crypto::Secret;
use crypto::key_pair::Kind;
use policy::{Acl, GroupId, GroupName, GroupSize, KekCipher, RekeyTransport, SigHash, Transform};

/// Everything that one box is told.
#[derive(Clone, Default)]
pub struct Config {
    /// Phase 1.
    pub isakmp: Isakmp,
    /// Groups that this box serves.
    pub key_servers: Vec<KeyServer>,
    /// Groups that it is to serve and cannot, since something in their configuration is missing, and
    /// what: they stand still, and what they know is kept.
    pub incomplete: Vec<(GroupName, String)>,
    /// Groups that this box is a member of.
    pub members: Vec<Member>,
}

/// `crypto isakmp ...`.
#[derive(Clone, Default)]
pub struct Isakmp {
    /// `crypto isakmp policy N`, best first.
    pub policies: Vec<IsakmpPolicy>,
    /// `crypto isakmp key SECRET address A`.
    pub keys: Vec<PresharedKey>,
    /// `crypto isakmp peer address A` with its knobs.
    pub peers: Vec<IsakmpPeer>,
    /// `crypto isakmp keepalive N`: DPD interval in seconds, 0 = off.
    pub keepalive_s: u16,
    /// `crypto call admission limit ike`.
    pub admission: AdmissionLimits,
}

/// One `crypto isakmp policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsakmpPolicy {
    /// Its number 1..=10000; lower is tried first.
    pub priority: u16,
    /// `encr`.
    pub encryption: IsakmpCipher,
    /// `hash`.
    pub hash: IsakmpHash,
    /// `group`: the Diffie-Hellman group number (2, 5, 14, 15, 16, 19, 20, 21).
    pub group: u16,
    /// `lifetime`, seconds.
    pub lifetime_s: u32,
}

/// Cipher of a phase-1 SA.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IsakmpCipher {
    /// `3des`.
    TripleDes,
    /// `aes` or `aes 128`.
    Aes128,
    /// `aes 192`.
    Aes192,
    /// `aes 256`.
    Aes256,
}

/// Hash, and so PRF, of a phase-1 SA.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IsakmpHash {
    /// `sha`.
    Sha1,
    /// `sha256`.
    Sha256,
    /// `sha384`.
    Sha384,
    /// `sha512`.
    Sha512,
}

/// A pre-shared key and whom it is for.
#[derive(Clone)]
pub struct PresharedKey {
    /// The peer's address, or the network's with `mask`.
    pub address: Ipv4Addr,
    /// 255.255.255.255 for one peer; 0.0.0.0 for any, which `check` warns about (PROTOCOL P26).
    pub mask: Ipv4Addr,
    /// The key.
    pub secret: Secret,
}

/// Knobs of one peer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct IsakmpPeer {
    /// The peer.
    pub address: Ipv4Addr,
    /// `isakmp doi ipsec`: send DOI 1, situation 1 (PROTOCOL P1).
    pub doi_ipsec: bool,
}

/// `crypto gdoi group G` with `server local`.
#[derive(Clone)]
pub struct KeyServer {
    /// The group's name.
    pub group: GroupName,
    /// Its identity.
    pub id: GroupId,
    /// `address ipv4`: where this key server listens and from where rekeys come.
    pub address: Ipv4Addr,
    /// Every key server of the group, this one included.
    pub servers: Vec<Ipv4Addr>,
    /// `local priority`, default 1.
    pub priority: u8,
    /// `rekey authentication mypubkey rsa|ec LABEL`.
    pub rekey_key: Option<RekeyKey>,
    /// `rekey transport unicast`, else multicast.
    pub transport: RekeyTransport,
    /// How rekeys travel by multicast.
    pub multicast: Multicast,
    /// `rekey algorithm`.
    pub kek_cipher: KekCipher,
    /// `rekey sig-hash algorithm`; an EC key brings its hash.
    pub sig_hash: SigHash,
    /// `rekey sig-hash ... raw-hash`: sign the bare hash, as the 2011 reference does.
    pub raw_hash: bool,
    /// `rekey lifetime seconds`, default 86400.
    pub kek_lifetime_s: u32,
    /// `rekey retransmit PERIOD number N`: seconds between copies.
    pub retransmit_period_s: u16,
    /// ... and how many copies at most.
    pub retransmit_number: u16,
    /// `rekey retransmit N periodic`: seconds from one reminder to the next.
    pub reminder_s: Option<u16>,
    /// `authorization address ipv4 ACL`; `None` admits every authenticated peer.
    pub authorization: Option<Arc<Acl>>,
    /// `sa ipsec N`, in their order.
    pub sas: Vec<IpsecSa>,
    /// `group size`.
    pub size: GroupSize,
    /// `key sync`: the rekey key goes to the other key servers (PROTOCOL P26).
    pub key_sync: bool,
    /// `key look-ahead N`, default 2.
    pub look_ahead: u8,
    /// `client compatibility rfc6407` (PROTOCOL P10).
    pub rfc6407_drops_denies: bool,
    /// `client compatibility rfc3547 address ipv4 ACL`: plain members that speak RFC 3547 only. On
    /// the wire they look like those of RFC 6407 (PROTOCOL P2).
    pub rfc3547: Option<Arc<Acl>>,
}

/// The key pair that signs a group's rekeys: `rsa LABEL` or `ec LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RekeyKey {
    /// Its kind.
    pub kind: Kind,
    /// Its label.
    pub label: String,
}

impl RekeyKey {
    /// The key pair of this kind and label.
    #[must_use]
    pub fn new(kind: Kind, label: &str) -> Self {
        Self {
            kind,
            label: label.to_owned(),
        }
    }
}

/// As the configuration says it.
impl fmt::Display for RekeyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.label)
    }
}

/// How rekeys travel that do not leave by unicast.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// The destination that the list of `rekey address ipv4 ACL` permits.
    pub address: Option<Ipv4Addr>,
    /// `rekey multicast ttl N`.
    pub ttl: u8,
    /// `rekey acknowledgement`: who is asked to acknowledge.
    pub acknowledgement: Acknowledgement,
    /// `rekey transport unicast rfc6407`: plain members get theirs by unicast.
    pub plain_by_unicast: bool,
}

/// Which members are asked to acknowledge a multicast rekey.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Nobody.
    None,
    /// Members of our own kind.
    #[default]
    Ours,
    /// Every member whose protocol has an acknowledgement.
    Any,
}

impl Default for Multicast {
    fn default() -> Self {
        Self {
            address: None,
            ttl: MULTICAST_TTL_DEFAULT,
            acknowledgement: Acknowledgement::default(),
            plain_by_unicast: false,
        }
    }
}

/// Routers that a multicast rekey may cross if nothing else is configured: more than any group's
/// network has in a row, and few enough to end a loop.
pub const MULTICAST_TTL_DEFAULT: u8 = 64;

/// One `sa ipsec N` of a key server.
#[derive(Clone)]
pub struct IpsecSa {
    /// N.
    pub number: u16,
    /// `profile`.
    pub profile: String,
    /// The transform of the profile's first transform set.
    pub transform: Transform,
    /// The profile's `set security-association lifetime seconds`, default 3600.
    pub lifetime_s: u32,
    /// `match address ipv4`.
    pub acl: Arc<Acl>,
    /// `replay time window-size`, seconds; `None` without TBAR.
    pub tbar_window_s: Option<u32>,
}

/// `crypto gdoi group G` with `server address`.
#[derive(Clone)]
pub struct Member {
    /// The group's name.
    pub group: GroupName,
    /// Its identity.
    pub id: GroupId,
    /// Key servers in the order in which they are tried.
    pub servers: Vec<Ipv4Addr>,
    /// The address that registers: that of the interface with the crypto map.
    pub address: Ipv4Addr,
    /// The crypto map that names the group.
    pub crypto_map: String,
    /// The interface that carries the crypto map.
    pub interface: String,
    /// The member's own denies, searched before the key server's list.
    pub local_acl: Option<Arc<Acl>>,
    /// Independent encryption engines, each of which needs a SID (RFC 6407 section 3.5).
    pub workers: u16,
    /// `client compatibility rfc6407`: it proves nothing to key servers, and hears and says what
    /// members of other makes do (PROTOCOL P2).
    pub compatible_rfc6407: bool,
}
