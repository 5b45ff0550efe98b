//! The shape of every machine: inputs come in with the time, effects leave in one ordered list.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::panic::Location;
use std::sync::Arc;

use crypto::key_pair::{Kind, Size};
use crypto::{Rng, Secret};
use event::Event;
use event::trace::Place;
use policy::tbar::PseudoClock;
use policy::{Acl, GroupName, GroupSize, PseudoTime, Sid, Spi, Tek};

use crate::config::Config;

/// What happens to the machine.
pub enum Input<'a> {
    /// A UDP datagram arrived on port 848.
    Datagram {
        /// The local address and port it was sent to.
        local: SocketAddrV4,
        /// Where it came from.
        peer: SocketAddrV4,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// The deadline that the machine named has passed.
    Timer,
    /// The configuration changed, or is given for the first time.
    Configure(Arc<Config>),
    /// An operator's command.
    Command(Command),
    /// The world made the key pair that `Output::GenerateKeyPair` asked for.
    KeyPair {
        /// Its label.
        label: String,
        /// Its kind.
        kind: Kind,
        /// Whether it may be exported.
        exportable: bool,
        /// The private key, PKCS#8 DER.
        pkcs8: Secret,
    },
    /// A worker of the data plane has used three quarters of its counter (PROTOCOL P21): the
    /// member registers again for new SIDs.
    SidsLow {
        /// The group.
        group: GroupName,
    },
    /// The data plane has used three quarters of the blocks that this sender may encrypt with a key
    /// (PROTOCOL P23): the key server is told.
    KeySpent {
        /// The group.
        group: GroupName,
        /// The key.
        spi: Spi,
    },
    /// The machine was suspended, or resumed from an image of its memory: whatever it held may be
    /// held, and used, elsewhere too (PROTOCOL P21).
    Resumed {
        /// Randomness that no other copy of this memory has.
        rng: Box<dyn Rng + Send>,
    },
    /// An ESP packet came under an SPI that no group of this box holds (PROTOCOL P18).
    UnknownSpi {
        /// The SPI.
        spi: Spi,
    },
}

/// What an operator can order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `clear crypto gdoi [group G]`: drop policy and keys, register again.
    ClearGdoi {
        /// One group, or all.
        group: Option<GroupName>,
    },
    /// `crypto gdoi ks [group G] rekey`.
    Rekey {
        /// One group, or all.
        group: Option<GroupName>,
    },
    /// `crypto gdoi ks [group G] rekey replace-now`: new keys in place of all that members hold.
    ReplaceNow {
        /// One group, or all.
        group: Option<GroupName>,
    },
    /// `clear crypto gdoi [group G] ks members [A.B.C.D] [now]`: every member registers again, or
    /// all but one, which stays out.
    ClearMembers {
        /// One group, or all.
        group: Option<GroupName>,
        /// The member that is removed; `None` for nobody in particular.
        member: Option<Ipv4Addr>,
        /// Whether the keys of before end at once.
        now: bool,
    },
    /// `crypto gdoi ks [group G] readmit A.B.C.D`: a removed member may register again.
    Readmit {
        /// One group, or all.
        group: Option<GroupName>,
        /// The member.
        member: Ipv4Addr,
    },
    /// `clear crypto gdoi ks coop counters`.
    ClearCoopCounters {
        /// One group, or all.
        group: Option<GroupName>,
    },
    /// `clear crypto gdoi ks coop role`: elect anew.
    ClearCoopRole {
        /// One group, or all.
        group: Option<GroupName>,
    },
    /// `crypto key generate rsa label NAME modulus N [exportable]`, `crypto key generate ec keysize
    /// N label NAME [exportable]`.
    GenerateKeyPair {
        /// Its label.
        label: String,
        /// Its kind and size; an RSA modulus has 2048 to 4096 bits.
        size: Size,
        /// Whether it may be exported.
        exportable: bool,
    },
    /// `crypto key zeroize rsa|ec LABEL`.
    ZeroizeKeyPair {
        /// Its label.
        label: String,
    },
}

/// What must happen in the world, in the order in which it must happen.
pub enum Output {
    /// Write this to disk; nothing after it may happen before it is there.
    Persist(Record),
    /// Send a datagram from port 848.
    Transmit {
        /// The local address and port to send from.
        local: SocketAddrV4,
        /// Where to.
        peer: SocketAddrV4,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Send a datagram from port 848 to a multicast address.
    Multicast {
        /// The local address and port to send from; it says which interface it leaves by.
        local: SocketAddrV4,
        /// The multicast address and port.
        group: SocketAddrV4,
        /// Routers that it may cross.
        ttl: u8,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Receive on port 848 what comes for this multicast address by the interface of that address.
    Join {
        /// The multicast address.
        group: Ipv4Addr,
        /// An address of the interface.
        interface: Ipv4Addr,
    },
    /// Receive that no longer.
    Leave {
        /// The multicast address.
        group: Ipv4Addr,
        /// An address of the interface.
        interface: Ipv4Addr,
    },
    /// A member holds this traffic key from now on: receive on it at once, send on it from its
    /// activation (PROTOCOL P11). Installing an SPI that is held only refreshes its record.
    InstallSa {
        /// The group.
        group: GroupName,
        /// The record.
        tek: Box<Tek>,
        /// The keys.
        key: TekKey,
    },
    /// A member no longer holds this traffic key.
    RemoveSa {
        /// The group.
        group: GroupName,
        /// Its SPI.
        spi: Spi,
    },
    /// A member's policy: the merged list, its own denies first.
    InstallPolicy {
        /// The group.
        group: GroupName,
        /// The list; permit = encrypt.
        acl: Arc<Acl>,
        /// The TBAR window in seconds, if the group has TBAR.
        tbar_window_s: Option<u32>,
        /// From when it is in force; `None` for at once (PROTOCOL P6).
        activation: Option<PseudoTime>,
    },
    /// The SIDs that a member may send with, one per worker, in place of all it had before.
    InstallSids {
        /// The group.
        group: GroupName,
        /// How many bits a SID has.
        size: GroupSize,
        /// The SIDs.
        sids: Vec<Sid>,
    },
    /// How many blocks of 64 bits this member may encrypt with one key of the group (PROTOCOL P23).
    LimitBlocks {
        /// The group.
        group: GroupName,
        /// 2 to this power, at most 30.
        log2: u8,
    },
    /// The group's pseudotime as this member reads it.
    SetClock {
        /// The group.
        group: GroupName,
        /// The clock.
        clock: PseudoClock,
        /// Whether it is another clock than before: what is held lives as long as both say
        /// (PROTOCOL P27).
        anew: bool,
    },
    /// A member left the group or lost everything: fail close.
    CloseGroup {
        /// The group.
        group: GroupName,
    },
    /// Make a key pair and bring it back as `Input::KeyPair`.
    GenerateKeyPair {
        /// Its label.
        label: String,
        /// Its kind and size.
        size: Size,
        /// Whether it may be exported.
        exportable: bool,
    },
    /// Tell the operator what happened, and which place in the program says so.
    Report(Event, Place),
    /// Secrets for packet analysis; only made when the key log was switched on at construction.
    KeyLog(KeyLogLine),
    /// What key servers say to each other, without IKE.
    #[cfg(feature = "model")]
    Decoded(Box<crate::model::Decoded>),
}

/// The keys of one traffic key record, as TEK_ALGORITHM_KEY and TEK_INTEGRITY_KEY carry them.
#[derive(Clone)]
pub struct TekKey {
    /// Cipher key, with the salt for counter modes; empty for ESP-NULL.
    pub encryption: Secret,
    /// Integrity key; empty for GCM and GMAC.
    pub integrity: Secret,
}

/// One row of the state file: written when `value` is there, removed when not.
#[derive(Clone)]
pub struct Record {
    /// The row's name; `persist` knows its structure.
    pub key: Vec<u8>,
    /// Its content, which may hold secrets.
    pub value: Option<Secret>,
}

/// What the key log says; it has no Debug, since it is made of secrets.
pub enum KeyLogLine {
    /// A phase-1 SA.
    Isakmp {
        /// The initiator's cookie.
        initiator_cookie: [u8; 8],
        /// The cipher key.
        key: Secret,
    },
    /// A traffic key.
    Esp {
        /// The record.
        tek: Box<Tek>,
        /// The keys.
        key: TekKey,
    },
}

/// Effects in the order in which they must happen.
#[derive(Default)]
pub struct Outbox {
    outputs: VecDeque<Output>,
}

impl Outbox {
    /// Adds an effect after all others.
    pub fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Adds a report.
    #[track_caller]
    pub fn report(&mut self, event: impl Into<Event>) {
        self.push(Output::Report(event.into(), Location::caller()));
    }

    /// Takes the effects out, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.outputs.drain(..)
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }
}
