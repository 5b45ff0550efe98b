//! Why a message of ISAKMP is refused, and what follows from it, in one table.
//!
//! Each variant has exactly one Notify type, one counter and one event. What a stranger is told is
//! decided by `Answer`: nothing, unless the answer helps an honest peer and is smaller than the
//! question. Bad padding, a bad HASH and garbage after decryption look alike from outside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use event::{Crypto, Event};
use wire::iana::{Doi, ExchangeType, NotifyType, PayloadType};

use super::proposal::Mismatch;
use crate::exchange::Illegal;

/// Why a message was refused. None of these changes a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Octets that do not have the form of ISAKMP.
    Malformed(wire::Error),
    /// Payloads that may not be in this message, or are missing in it.
    Illegal(Illegal),
    /// The header's version is not 1.0.
    Version(u8),
    /// Aggressive mode: it would give a hash of the pre-shared key to whoever asks.
    AggressiveMode,
    /// An exchange that this program does not have.
    UnknownExchange(ExchangeType),
    /// Cookies of no SA, and the message does not begin one.
    NoSa,
    /// A message in clear that must be encrypted.
    NotEncrypted,
    /// An encrypted message before there are keys, or in an exchange that has none.
    EncryptedTooEarly,
    /// A message of another exchange before phase 1 is done.
    TooEarly(ExchangeType),
    /// A message id that must be zero, or must not.
    MessageId(u32),
    /// No pre-shared key is for this peer.
    NoPresharedKey,
    /// None of the peer's transforms fits a policy of ours.
    NoProposal(Box<Mismatch>),
    /// The responder answered with a transform that was not offered.
    NotOffered(Box<Mismatch>),
    /// The SA payload has another form than phase 1 asks for.
    BadProposal(&'static str),
    /// A domain of interpretation that is neither GDOI nor IPsec.
    Doi(Doi),
    /// A situation that does not belong to the DOI.
    Situation(u32),
    /// A Diffie-Hellman value that the group does not allow.
    KeyExchange(crypto::Error),
    /// A nonce that is too short or too long.
    NonceLength(usize),
    /// What was decrypted is no chain of payloads. In main mode message 5 or 6: another
    /// pre-shared key.
    Undecryptable {
        /// Whether it was the first message under keys that no message has proven yet.
        first: bool,
    },
    /// The HASH is not that of the message.
    BadHash,
    /// The peer's identity is not the address that its pre-shared key is for.
    Identity {
        /// What the peer says to be.
        claimed: String,
        /// The address of its key.
        expected: Ipv4Addr,
    },
    /// Too many negotiations of this address, or of all, are half open.
    HalfOpenFull,
    /// `crypto call admission limit ike sa` is reached.
    SaLimit,
    /// `crypto call admission limit ike in-negotiation-sa` is reached.
    NegotiationLimit,
    /// One negotiation asked for too many Diffie-Hellman secrets.
    Computations,
    /// The SA has too many exchanges open, or its message ids are used up.
    ExchangesFull,
    /// A message id that was used in this SA before: a replay.
    Replayed(u32),
    /// A part of a message whose MAC or numbers are wrong (PROTOCOL P4).
    BadPart(&'static str),
    /// An R-U-THERE or its answer that says something else than it must.
    BadKeepalive(&'static str),
}

/// What the sender of a refused message is told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Silence,
    /// A Notify in clear, rate-limited; the receiver must not trust it.
    Clear,
}

/// The name of a counter of refusals.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCounter {
    /// Octets of another form.
    Malformed,
    /// Payloads in the wrong place.
    IllegalPayloads,
    /// Another version.
    Version,
    /// Aggressive mode.
    AggressiveMode,
    /// An unknown exchange.
    UnknownExchange,
    /// Unknown cookies.
    NoSa,
    /// In clear.
    NotEncrypted,
    /// Encrypted without a key.
    EncryptedTooEarly,
    /// Before phase 1 was done.
    TooEarly,
    /// A wrong message id.
    MessageId,
    /// No pre-shared key.
    NoPresharedKey,
    /// No common proposal.
    NoProposal,
    /// A proposal that was not made.
    NotOffered,
    /// An SA payload of another form.
    BadProposal,
    /// An unknown DOI.
    Doi,
    /// An unknown situation.
    Situation,
    /// A bad Diffie-Hellman value.
    KeyExchange,
    /// A nonce of a wrong length.
    NonceLength,
    /// Garbage after decryption.
    Undecryptable,
    /// A wrong HASH.
    BadHash,
    /// A wrong identity.
    Identity,
    /// Too many half-open negotiations.
    HalfOpenFull,
    /// The configured limit of SAs.
    SaLimit,
    /// The configured limit of negotiations.
    NegotiationLimit,
    /// Too many Diffie-Hellman secrets in one negotiation.
    Computations,
    /// Too many exchanges in an SA.
    ExchangesFull,
    /// A replayed message id.
    Replayed,
    /// A bad part.
    BadPart,
    /// A bad keepalive.
    BadKeepalive,
}

impl RefusalCounter {
    /// Every counter, in the order in which they are shown.
    pub const ALL: [Self; 29] = [
        Self::Malformed,
        Self::IllegalPayloads,
        Self::Version,
        Self::AggressiveMode,
        Self::UnknownExchange,
        Self::NoSa,
        Self::NotEncrypted,
        Self::EncryptedTooEarly,
        Self::TooEarly,
        Self::MessageId,
        Self::NoPresharedKey,
        Self::NoProposal,
        Self::NotOffered,
        Self::BadProposal,
        Self::Doi,
        Self::Situation,
        Self::KeyExchange,
        Self::NonceLength,
        Self::Undecryptable,
        Self::BadHash,
        Self::Identity,
        Self::HalfOpenFull,
        Self::SaLimit,
        Self::NegotiationLimit,
        Self::Computations,
        Self::ExchangesFull,
        Self::Replayed,
        Self::BadPart,
        Self::BadKeepalive,
    ];

    /// What the counter is called in `show` and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::IllegalPayloads => "illegal payloads",
            Self::Version => "version",
            Self::AggressiveMode => "aggressive mode",
            Self::UnknownExchange => "unknown exchange",
            Self::NoSa => "no sa",
            Self::NotEncrypted => "not encrypted",
            Self::EncryptedTooEarly => "encrypted too early",
            Self::TooEarly => "sa not authenticated",
            Self::MessageId => "message id",
            Self::NoPresharedKey => "no pre-shared key",
            Self::NoProposal => "no proposal chosen",
            Self::NotOffered => "proposal not offered",
            Self::BadProposal => "bad proposal",
            Self::Doi => "doi",
            Self::Situation => "situation",
            Self::KeyExchange => "key exchange",
            Self::NonceLength => "nonce length",
            Self::Undecryptable => "undecryptable",
            Self::BadHash => "bad hash",
            Self::Identity => "identity",
            Self::HalfOpenFull => "half open full",
            Self::SaLimit => "sa limit",
            Self::NegotiationLimit => "in-negotiation limit",
            Self::Computations => "too many computations",
            Self::ExchangesFull => "exchanges full",
            Self::Replayed => "replayed message id",
            Self::BadPart => "bad part",
            Self::BadKeepalive => "bad keepalive",
        }
    }
}

/// One row of the table.
#[derive(Copy, Clone, Debug)]
pub struct Row {
    /// The Notify type that names the refusal.
    pub notify: NotifyType,
    /// Its counter.
    pub counter: RefusalCounter,
    /// Whether the peer is told.
    pub answer: Answer,
    event: EventOf,
}

type EventOf = fn(IpAddr, &Refusal) -> Crypto;

/// Nobody is told.
const fn mute(notify: NotifyType, counter: RefusalCounter, event: EventOf) -> Row {
    let answer = Answer::Silence;
    Row {
        notify,
        counter,
        answer,
        event,
    }
}

/// The sender is told, in clear.
const fn told(notify: NotifyType, counter: RefusalCounter, event: EventOf) -> Row {
    let answer = Answer::Clear;
    Row {
        notify,
        counter,
        answer,
        event,
    }
}

impl Refusal {
    /// The table.
    #[must_use]
    #[rustfmt::skip]
    pub fn row(&self) -> Row {
        use NotifyType as N;
        use RefusalCounter as C;
        match self {
            Self::Malformed(_) => mute(N::PAYLOAD_MALFORMED, C::Malformed, malformed),
            Self::Illegal(_) => mute(N::INVALID_PAYLOAD_TYPE, C::IllegalPayloads, malformed),
            Self::Version(_) => mute(N::INVALID_MAJOR_VERSION, C::Version, malformed),
            Self::AggressiveMode => mute(N::UNSUPPORTED_EXCHANGE_TYPE, C::AggressiveMode, no_mode),
            Self::UnknownExchange(_) => mute(N::INVALID_EXCHANGE_TYPE, C::UnknownExchange, unknown),
            Self::NoSa => told(N::INVALID_COOKIE, C::NoSa, no_sa),
            Self::NotEncrypted => mute(N::INVALID_FLAGS, C::NotEncrypted, not_encrypted),
            Self::EncryptedTooEarly => mute(N::INVALID_FLAGS, C::EncryptedTooEarly, malformed),
            Self::TooEarly(_) => mute(N::INVALID_EXCHANGE_TYPE, C::TooEarly, early),
            Self::MessageId(_) => mute(N::INVALID_MESSAGE_ID, C::MessageId, malformed),
            Self::NoPresharedKey => mute(N::AUTHENTICATION_FAILED, C::NoPresharedKey, no_key),
            Self::NoProposal(_) => told(N::NO_PROPOSAL_CHOSEN, C::NoProposal, no_proposal),
            Self::NotOffered(_) => mute(N::ATTRIBUTES_NOT_SUPPORTED, C::NotOffered, not_offered),
            Self::BadProposal(_) => told(N::BAD_PROPOSAL_SYNTAX, C::BadProposal, malformed),
            Self::Doi(_) => told(N::DOI_NOT_SUPPORTED, C::Doi, malformed),
            Self::Situation(_) => told(N::SITUATION_NOT_SUPPORTED, C::Situation, malformed),
            Self::KeyExchange(_) => mute(N::INVALID_KEY_INFORMATION, C::KeyExchange, malformed),
            Self::NonceLength(_) => mute(N::PAYLOAD_MALFORMED, C::NonceLength, malformed),
            Self::Undecryptable { .. } => mute(N::PAYLOAD_MALFORMED, C::Undecryptable, malformed),
            Self::BadHash => mute(N::INVALID_HASH_INFORMATION, C::BadHash, malformed),
            Self::Identity { .. } => mute(N::INVALID_ID_INFORMATION, C::Identity, bad_identity),
            Self::HalfOpenFull => mute(N::INVALID_COOKIE, C::HalfOpenFull, busy),
            Self::SaLimit => mute(N::INVALID_COOKIE, C::SaLimit, busy),
            Self::NegotiationLimit => mute(N::INVALID_COOKIE, C::NegotiationLimit, busy),
            Self::Computations => mute(N::INVALID_KEY_INFORMATION, C::Computations, busy),
            Self::ExchangesFull => mute(N::INVALID_MESSAGE_ID, C::ExchangesFull, busy),
            Self::Replayed(_) => mute(N::INVALID_MESSAGE_ID, C::Replayed, malformed),
            Self::BadPart(_) => mute(N::PAYLOAD_MALFORMED, C::BadPart, malformed),
            Self::BadKeepalive(_) => mute(N::PAYLOAD_MALFORMED, C::BadKeepalive, malformed),
        }
    }

    /// The message for the operator.
    #[must_use]
    pub fn event(&self, peer: Ipv4Addr) -> Event {
        (self.row().event)(IpAddr::V4(peer), self).into()
    }
}

fn malformed(peer: IpAddr, refusal: &Refusal) -> Crypto {
    Crypto::IKMP_BAD_MESSAGE {
        peer,
        reason: refusal.to_string(),
    }
}

fn no_mode(peer: IpAddr, _: &Refusal) -> Crypto {
    Crypto::IKMP_AGGRESSIVE_MODE { peer }
}

fn unknown(peer: IpAddr, refusal: &Refusal) -> Crypto {
    Crypto::IKMP_UNK_EXCHANGE {
        peer,
        reason: refusal.to_string(),
    }
}

fn no_sa(peer: IpAddr, _: &Refusal) -> Crypto {
    Crypto::IKMP_NO_SA { peer }
}

fn not_encrypted(peer: IpAddr, _: &Refusal) -> Crypto {
    Crypto::IKMP_NOT_ENCRYPTED { peer }
}

fn early(peer: IpAddr, refusal: &Refusal) -> Crypto {
    Crypto::IKMP_SA_NOT_AUTH {
        peer,
        reason: refusal.to_string(),
    }
}

fn no_key(peer: IpAddr, _: &Refusal) -> Crypto {
    Crypto::IKMP_NO_PRESHARED_KEY { peer }
}

fn no_proposal(peer: IpAddr, refusal: &Refusal) -> Crypto {
    Crypto::IKMP_NO_PROPOSAL_CHOSEN {
        peer,
        offered: refusal.to_string(),
    }
}

fn not_offered(peer: IpAddr, refusal: &Refusal) -> Crypto {
    Crypto::IKMP_SA_NOT_OFFERED {
        peer,
        reason: refusal.to_string(),
    }
}

fn bad_identity(peer: IpAddr, refusal: &Refusal) -> Crypto {
    Crypto::IKMP_BAD_IDENTITY {
        peer,
        reason: refusal.to_string(),
    }
}

fn busy(peer: IpAddr, refusal: &Refusal) -> Crypto {
    Crypto::IKMP_BUSY {
        peer,
        reason: refusal.to_string(),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Illegal(illegal) => illegal.fmt(f),
            Self::Version(version) => {
                write!(f, "version {}.{}, expected 1.0", version >> 4, version & 15)
            }
            Self::AggressiveMode => f.write_str("aggressive mode is not supported"),
            Self::UnknownExchange(exchange) => write!(f, "exchange {exchange} is not known here"),
            Self::NoSa => f.write_str("its cookies are those of no SA"),
            Self::NotEncrypted => f.write_str("in clear, but must be encrypted"),
            Self::EncryptedTooEarly => f.write_str("encrypted before there is a key"),
            Self::TooEarly(exchange) => {
                write!(f, "exchange {exchange} before phase 1 was done")
            }
            Self::MessageId(id) => write!(f, "message id {id:#010x} is not legal here"),
            Self::NoPresharedKey => f.write_str("no pre-shared key is configured for it"),
            Self::NoProposal(mismatch) | Self::NotOffered(mismatch) => mismatch.fmt(f),
            Self::BadProposal(what) => write!(f, "SA payload: {what}"),
            Self::Doi(doi) => write!(f, "DOI {doi}, expected GDOI (2) or IPSEC (1)"),
            Self::Situation(situation) => write!(f, "situation {situation}, expected 0 or 1"),
            Self::KeyExchange(error) => error.fmt(f),
            Self::NonceLength(octets) => write!(f, "nonce of {octets} octets is out of range"),
            Self::Undecryptable { first: true } => {
                f.write_str("decryption gives no payloads: most likely the pre-shared keys differ")
            }
            Self::Undecryptable { first: false } => f.write_str("decryption gives no payloads"),
            Self::BadHash => f.write_str("its HASH does not verify"),
            Self::Identity { claimed, expected } => {
                write!(
                    f,
                    "it claims to be {claimed}, but its pre-shared key is for {expected}"
                )
            }
            Self::HalfOpenFull => f.write_str("too many negotiations are half open"),
            Self::SaLimit => {
                f.write_str("the limit of `crypto call admission limit ike sa` is reached")
            }
            Self::NegotiationLimit => f.write_str(
                "the limit of `crypto call admission limit ike in-negotiation-sa` is reached",
            ),
            Self::Computations => f.write_str("too many key exchanges in one negotiation"),
            Self::ExchangesFull => f.write_str("too many exchanges under one SA"),
            Self::Replayed(id) => write!(f, "message id {id:#010x} was used before"),
            Self::BadPart(what) => write!(f, "part of a message: {what}"),
            Self::BadKeepalive(what) => write!(f, "keepalive: {what}"),
        }
    }
}

/// Why a negotiation of ours ended without an SA.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No pre-shared key is for the peer.
    NoPresharedKey,
    /// No `crypto isakmp policy` is configured.
    NoPolicy,
    /// Too many negotiations of ours run already.
    TooMany,
    /// The peer did not answer a message.
    NoAnswer {
        /// Which message of main mode.
        message: u8,
        /// The last error that somebody, perhaps the peer, notified in clear meanwhile.
        hint: Option<NotifyType>,
    },
    /// It was ended from here.
    Cancelled,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPresharedKey => f.write_str("no pre-shared key is configured for the peer"),
            Self::NoPolicy => f.write_str("no `crypto isakmp policy` is configured"),
            Self::TooMany => f.write_str("too many negotiations are under way"),
            Self::NoAnswer { message, hint } => {
                write!(f, "no answer to main mode message {message}")?;
                match (hint, message) {
                    (Some(notify), _) => write!(f, "; an unauthenticated notify said {notify}"),
                    (None, 5) => f.write_str(": most likely the pre-shared keys differ"),
                    (None, _) => Ok(()),
                }
            }
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// The payload that a message lacks although its place in the exchange promised it.
#[must_use]
pub(super) const fn missing(message: &'static str, payload: PayloadType) -> Refusal {
    Refusal::Illegal(Illegal::Missing { message, payload })
}
