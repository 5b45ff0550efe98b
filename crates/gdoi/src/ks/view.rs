//! What a key server shows of a group: plain values, no keys.
//!
//! Decides what can be seen; how it looks is decided in `router`.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crypto::key_pair::Kind;
use policy::{
    Acl, ClockGeneration, GroupId, GroupName, GroupSize, KekCipher, KekSpi, KsIndex, PeerKind,
    PseudoTime, RekeyTransport, Signature, Spi, Transform,
};

use super::CoopView;
use crate::config::RekeyKey;

/// A group that this box serves.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The group's name.
    pub group: GroupName,
    /// Its identity.
    pub id: GroupId,
    /// Its handle, as `ks policy` prints it.
    pub handle: u32,
    /// This key server's address.
    pub address: Ipv4Addr,
    /// This key server's handle.
    pub server_handle: u32,
    /// Every configured key server with its handle, in configured order.
    pub servers: Vec<(Ipv4Addr, u32)>,
    /// `local priority`.
    pub priority: u8,
    /// How rekeys travel.
    pub transport: RekeyTransport,
    /// Whether members are served, and if not, why.
    pub serving: Serving,
    /// Rekeys sent since the group began: one per scheduled, ordered or policy-made rekey.
    pub rekeys_sent: u64,
    /// Copies repeated because an acknowledgement was missing, since the group began.
    pub rekeys_retransmitted: u64,
    /// Copies repeated in the last rekey.
    pub last_rekey_retransmits: u32,
    /// From the first copy of the last rekey to the last acknowledgement, or to giving up.
    pub last_rekey_duration: Duration,
    /// When the last rekey left, as a span before now; `None` when none was sent.
    pub last_rekey_ago: Option<Duration>,
    /// `rekey retransmit` period in force, after scaling for short lifetimes.
    pub retransmit_period: Duration,
    /// `rekey retransmit` period as configured, seconds.
    pub retransmit_period_s: u16,
    /// `rekey retransmit ... number`.
    pub retransmit_number: u16,
    /// `rekey lifetime seconds`.
    pub kek_lifetime_s: u32,
    /// Sequence number of the last PUSH under the first of `keks`; 0 when none was sent.
    pub seq: u32,
    /// Rekey SAs: the current one of each kind of member, getvpn members' first.
    pub keks: Vec<KekView>,
    /// Traffic keys: the newest first, expired ones no longer.
    pub teks: Vec<TekView>,
    /// `sa ipsec N`, in their order.
    pub sas: Vec<SaView>,
    /// The group's clock, `Replay Value`.
    pub pseudotime: PseudoTime,
    /// Which clock that is (PROTOCOL P27).
    pub clock_generation: ClockGeneration,
    /// Registered members in order of address.
    pub members: Vec<MemberView>,
    /// Sender identifiers.
    pub sids: SidView,
    /// Cooperation with other key servers; `None` when the group has this one only.
    pub coop: Option<CoopView>,
    /// How often each refusal happened, by its name.
    pub refusals: Vec<(&'static str, u64)>,
    /// Acknowledgements that were dropped: forged, late or unasked.
    pub unsolicited_acks: u64,
    /// Copies of acknowledgements that had come before.
    pub repeated_acks: u64,
    /// The name of the policy in force: the first eight octets of its SHA-256, hexadecimal.
    pub policy_name: String,
    /// Members that were taken out, and how far that is.
    pub removal: RemovalView,
}

/// Members that were taken out of a group (PROTOCOL P16).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovalView {
    /// Members that every key server refuses, with the time since their removal.
    pub removed: Vec<(Ipv4Addr, Duration)>,
    /// Configured key servers that are not known to have written that down: the removal is partial.
    pub lacking: Vec<Ipv4Addr>,
    /// Until the keys of before are sent on no more; `None` when no such change is under way.
    pub keys_end_in: Option<Duration>,
}

/// How a member stands.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It holds the group's keys, as far as is known.
    #[default]
    Registered,
    /// It was asked to register again and has not come yet.
    ToRegisterAgain,
    /// It has not acknowledged so many rekeys in a row; its registration ends soon (PROTOCOL P9).
    Stale(u8),
}

/// Whether a group is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Members register and are rekeyed.
    Yes,
    /// The rekey key is not there: `crypto key generate` makes it.
    NoRekeyKey {
        /// The configured key.
        key: RekeyKey,
        /// The kind of the key that has its label, if there is one.
        other: Option<Kind>,
    },
    /// The configuration lacks something; the words say what.
    Incomplete(String),
}

/// A Rekey SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekView {
    /// The kind of member it is for.
    pub kind: PeerKind,
    /// Its SPI: the cookie pair of its PUSHes.
    pub spi: KekSpi,
    /// Its cipher.
    pub cipher: KekCipher,
    /// How its PUSHes are signed.
    pub signature: Signature,
    /// Octets of the public key as it is sent (DER).
    pub sig_key_len: usize,
    /// Octets of a signature.
    pub sig_size: usize,
    /// The label of the rekey key.
    pub sig_key_name: String,
    /// The configured lifetime when it was minted, seconds.
    pub orig_lifetime_s: u32,
    /// How long it lives on.
    pub remaining: Duration,
    /// When its successor is sent; `None` once that has happened.
    pub time_to_rekey: Option<Duration>,
    /// Sequence number of its last PUSH.
    pub seq: u32,
    /// The value of KEK_ACK_REQUESTED that it asks for; 129 is ours (PROTOCOL P8).
    pub acknowledgement: u16,
    /// The multicast address that its PUSHes go to; by unicast without one.
    pub destination: Option<Ipv4Addr>,
}

/// A traffic key record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TekView {
    /// The number of the `sa ipsec` it belongs to.
    pub sa: u16,
    /// Its SPI.
    pub spi: Spi,
    /// The name of the access list it protects.
    pub acl: String,
    /// What ESP does.
    pub transform: Transform,
    /// The configured lifetime when it was minted, seconds.
    pub orig_lifetime_s: u32,
    /// How long it lives on.
    pub remaining: Duration,
    /// From minting to expiry: `tek life`.
    pub life: Duration,
    /// Since minting; `elapsed + remaining` is `life`.
    pub elapsed: Duration,
    /// Until members send on it; zero once they do.
    pub activates_in: Duration,
    /// When its successor is sent; `None` once that has happened.
    pub time_to_rekey: Option<Duration>,
    /// The TBAR window, seconds.
    pub tbar_window_s: Option<u32>,
}

/// One `sa ipsec N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaView {
    /// N.
    pub number: u16,
    /// The profile.
    pub profile: String,
    /// The configured lifetime, seconds.
    pub lifetime_s: u32,
    /// How long the newest traffic key lives on.
    pub remaining: Duration,
    /// The access list.
    pub acl: Arc<Acl>,
    /// The TBAR window, seconds.
    pub tbar_window_s: Option<u32>,
}

/// A registered member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its identity: the address it registered from.
    pub address: Ipv4Addr,
    /// What it proved to be.
    pub kind: PeerKind,
    /// Its version as its vendor id says; `None` from a plain peer.
    pub version: Option<String>,
    /// The key server where it registered.
    pub key_server: Ipv4Addr,
    /// How long ago it registered last; `None` when that was before this program started.
    pub registered_ago: Option<Duration>,
    /// Rekeys sent to it, copies not counted.
    pub rekeys_sent: u64,
    /// Copies sent to it.
    pub rekeys_retries: u64,
    /// Acknowledgements received from it.
    pub acks_received: u64,
    /// Rekeys that it never acknowledged.
    pub acks_missed: u64,
    /// The sequence numbers of the last four rekeys sent to it, newest first, 0 where none was.
    pub sent_seqs: [u32; 4],
    /// The sequence numbers of its last four acknowledgements, newest first.
    pub received_seqs: [u32; 4],
    /// Whether it said that it does not hold the policy in force yet (PROTOCOL P5).
    pub policy_behind: bool,
    /// How many sender identifiers it holds.
    pub sids: usize,
    /// How it stands.
    pub state: MemberState,
}

/// Sender identifiers of a counter-mode group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidView {
    /// How many bits a SID has.
    pub size: GroupSize,
    /// How many were ever handed out in this epoch.
    pub allocated: u64,
    /// The high-water mark on disk.
    pub mark: u64,
    /// How many this key server may hand out.
    pub capacity: u64,
    /// Indexes under which it handed out some before, in spaces that are not in use now.
    pub former: Vec<KsIndex>,
}
