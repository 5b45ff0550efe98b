//! What the engine and those above it say to each other.
//!
//! `pull`, `push`, `ks` and `gm` see phase 1 through these types only. A protected message reaches
//! them after it was decrypted, its payloads were found legal and its HASH was verified; what they
//! send is given without HASH, and gets it here.

use wire::iana::{ExchangeType, PayloadType};
use zeroize::Zeroizing;

use super::refusal::Failure;
use crate::exchange::Illegal;

/// A phase-1 SA, established or under negotiation, of this process run. Never reused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaId(pub(super) u64);

#[cfg(feature = "model")]
impl SaId {
    /// An SA that is nothing but its number.
    pub(crate) const fn numbered(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// What `connect` found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// An SA with this peer is there: use it at once.
    Established(SaId),
    /// A negotiation runs: `Upcall::Established` or `Upcall::Failed` will tell how it ended.
    Pending(SaId),
    /// It cannot even begin; the reason was reported.
    Refused(Failure),
}

/// What must happen after a message of ours inside a protected exchange.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The peer must answer: repeat the message with back-off until it does, then
    /// `Upcall::Timeout`.
    Reply,
    /// Nothing must come: the message is repeated only when the peer repeats its own before it.
    /// A responder answers with this, and so does whoever sends the last message of an exchange.
    Final,
}

/// What happened that those above must know, oldest first.
pub enum Upcall {
    /// Phase 1 is done.
    Established(SaId),
    /// A negotiation that `connect` began has ended without an SA.
    Failed {
        /// What `connect` returned.
        sa: SaId,
        /// Why; already reported.
        reason: Failure,
    },
    /// A message of a protected exchange: decrypted, legal for its place, HASH verified, no copy.
    Exchange {
        /// The SA that protects it.
        sa: SaId,
        /// PULL (32) or one of ours; never Informational, which ends here.
        exchange: ExchangeType,
        /// Its message id: answer with it.
        message_id: u32,
        /// Its place in the ladder: 1 for the first message.
        step: u8,
        /// Type of the first payload after HASH.
        first: PayloadType,
        /// The payloads after HASH as received, padding removed.
        payloads: Zeroizing<Vec<u8>>,
    },
    /// A PUSH (33) or its ACK (35): not under a phase-1 SA, handed up untouched.
    Plain {
        /// The local address and port.
        local: std::net::SocketAddrV4,
        /// Where it came from.
        peer: std::net::SocketAddrV4,
        /// Which of the two.
        exchange: ExchangeType,
        /// The whole datagram.
        bytes: Vec<u8>,
    },
    /// The peer never answered, or never went on with an exchange that it began. The exchange is
    /// gone, the SA stays (it may be dead: `delete` it then).
    Timeout {
        /// The SA.
        sa: SaId,
        /// The exchange.
        message_id: u32,
    },
    /// The peer notified something under the SA that does not end here.
    Notify {
        /// The SA.
        sa: SaId,
        /// What.
        notify: wire::iana::NotifyType,
        /// With which data.
        data: Vec<u8>,
    },
    /// An SA is gone: expired, deleted by the peer, or replaced after INITIAL-CONTACT.
    Deleted(SaId),
    /// An SA is gone because its peer answers no more (RFC 3706).
    Dead(SaId),
}

/// Why a message could not be sent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// That SA is no more.
    NoSa,
    /// That exchange is no more.
    NoExchange,
    /// Larger than an exchange may be.
    TooLong,
    /// The next message of that exchange is the peer's.
    NotOurTurn,
    /// The payloads given have not the form of a chain.
    Malformed(wire::Error),
    /// The payloads given are not legal in the message that is due.
    Illegal(Illegal),
    /// The SA holds as many exchanges as it may; some of them will end.
    Busy,
    /// The SA has used up its message ids.
    Exhausted,
}
