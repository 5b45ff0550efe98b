//! What a member shows of its group: plain values, no keys.
//!
//! Decides what can be seen; how it looks is decided in `router`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use crypto::key_pair::Kind;
use policy::{
    Acl, ClockGeneration, GroupId, GroupName, GroupSize, KekCipher, KekSpi, PeerKind, PseudoTime,
    RekeyTransport, Sid, Signature, Spi, Transform,
};

/// A group that this box is a member of.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The group's name.
    pub group: GroupName,
    /// Its identity.
    pub id: GroupId,
    /// The configured key servers in the order in which they are tried.
    pub servers: Vec<Ipv4Addr>,
    /// The member's address and port.
    pub local: SocketAddrV4,
    /// The crypto map that names the group.
    pub crypto_map: String,
    /// The interface that carries the crypto map.
    pub interface: String,
    /// How far the registration is.
    pub status: Status,
    /// The key server where it is registered, is trying, or tries next.
    pub server: Option<SocketAddrV4>,
    /// What that key server proved to be.
    pub server_kind: Option<PeerKind>,
    /// Until it registers again of itself; `None` when nothing is planned.
    pub reregisters_in: Option<Duration>,
    /// Registrations that succeeded.
    pub registrations_succeeded: u64,
    /// Registrations that were started.
    pub registrations_attempted: u64,
    /// How often everything was dropped because the machine's memory was resumed (PROTOCOL P21).
    pub resumptions: u64,
    /// Why the last registration failed, if it did.
    pub last_failure: Option<String>,
    /// Where the last rekey came from.
    pub last_rekey_from: Option<Ipv4Addr>,
    /// The sequence number of the last rekey.
    pub last_rekey_seq: u32,
    /// How long ago the last rekey came.
    pub last_rekey_ago: Option<Duration>,
    /// Rekeys accepted since the group was configured.
    pub rekeys_received: u64,
    /// Rekeys accepted since the last registration.
    pub rekeys_since_registration: u64,
    /// Acknowledgements sent.
    pub acks_sent: u64,
    /// Copies of rekeys that had come before.
    pub rekey_copies: u64,
    /// Rekeys refused, by the name of the reason.
    pub refusals: Vec<(&'static str, u64)>,
    /// How often each form of a rekey's signature matched, by its name.
    pub signature_forms: Vec<(&'static str, u64)>,
    /// How rekeys travel.
    pub transport: RekeyTransport,
    /// The multicast address that they come to.
    pub multicast_address: Option<Ipv4Addr>,
    /// The policy as the key server gave it.
    pub downloaded_acl: Option<Arc<Acl>>,
    /// The member's own denies.
    pub local_acl: Option<Arc<Acl>>,
    /// What is in force: the member's denies, then the key server's list.
    pub merged_acl: Option<Arc<Acl>>,
    /// The name of the policy in force: the first eight octets of its SHA-256, hexadecimal.
    pub policy_name: Option<String>,
    /// Whether a newer policy is named by the key server and not here yet (PROTOCOL P5).
    pub policy_stale: bool,
    /// The TBAR window, seconds.
    pub tbar_window_s: Option<u32>,
    /// Rekey SAs.
    pub keks: Keks,
    /// Traffic keys, the one that is sent on first.
    pub teks: Vec<TekView>,
    /// The group's clock as this member reads it.
    pub pseudotime: Option<PseudoTime>,
    /// Which clock that is (PROTOCOL P27).
    pub clock_generation: ClockGeneration,
    /// Its sender identifiers.
    pub sids: Vec<Sid>,
    /// How many bits a sender identifier has.
    pub sid_size: Option<GroupSize>,
    /// The key server's public key that rekeys must verify with.
    pub public_key: Option<PublicKeyView>,
}

/// A key server's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyView {
    /// Its kind.
    pub kind: Kind,
    /// Bits of the modulus or the curve.
    pub bits: usize,
    /// SubjectPublicKeyInfo, DER.
    pub der: Vec<u8>,
}

/// How far a registration is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The program has just started, or the group has no server to try.
    NotRegistered,
    /// Phase 1 or the PULL is running, and there is no policy yet.
    Registering,
    /// Policy and keys are in force.
    Registered,
    /// Policy and keys are in force, and a new registration is running.
    ReRegistering,
    /// The key server's policy cannot be installed here; it is tried again after a back-off.
    Rejected,
}

/// `Registered`, as `show crypto gdoi` prints it.
impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::NotRegistered => "Not Registered",
            Self::Registering => "Registering",
            Self::Registered => "Registered",
            Self::ReRegistering => "Re-registering",
            Self::Rejected => "Rejected",
        })
    }
}

/// The three rows of `gm rekey detail`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keks {
    /// Announced by the last rekey, not used by the key server yet.
    pub new: Option<KekView>,
    /// In use.
    pub current: Option<KekView>,
    /// Replaced, kept until it expires.
    pub previous: Option<KekView>,
}

/// A Rekey SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekView {
    /// The member: where rekeys go.
    pub destination: Ipv4Addr,
    /// The key server: where rekeys come from.
    pub source: Ipv4Addr,
    /// Its number in `show crypto gdoi rekey sa`.
    pub conn_id: u32,
    /// Its SPI: my-cookie is the first half, his-cookie the second.
    pub spi: KekSpi,
    /// Its cipher.
    pub cipher: KekCipher,
    /// How its PUSHes are signed.
    pub signature: Signature,
    /// Bits of the modulus or the curve of the rekey key.
    pub sig_key_bits: u16,
    /// Octets of a signature.
    pub sig_size: usize,
    /// How long it lives on.
    pub remaining: Duration,
    /// The highest sequence number accepted under it.
    pub seq: u32,
    /// The sequence number accepted before that.
    pub previous_seq: u32,
    /// The value of KEK_ACK_REQUESTED, if acknowledgements are asked for.
    pub acknowledgement: Option<u16>,
}

/// A traffic key record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TekView {
    /// Its SPI.
    pub spi: Spi,
    /// What ESP does.
    pub transform: Transform,
    /// How long it lives on.
    pub remaining: Duration,
    /// The configured lifetime when it was minted, seconds.
    pub orig_lifetime_s: u32,
    /// Until it may be sent on; zero once it may.
    pub activates_in: Duration,
    /// Whether this is the one that is sent on now.
    pub outbound: bool,
}
