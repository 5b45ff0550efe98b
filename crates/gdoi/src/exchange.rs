//! Which payloads are legal in which message, for every exchange of the control plane.
//!
//! One table and one checker, used for what arrives and for what leaves. It decides on types,
//! counts and places only; what a payload says is judged by the machine that it is for. Phase 1 is
//! RFC 2409 section 5.4, the informational exchange section 5.7, GROUPKEY-PULL and GROUPKEY-PUSH are
//! RFC 6407 sections 3.2 and 4, the acknowledgement is RFC 8263 section 3, the private exchanges
//! are PROTOCOL P4 and P5.

use std::fmt;

use wire::iana::{ExchangeType, PayloadType};

/// Who sends a message, by the role in its own exchange.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Who began the exchange.
    Initiator,
    /// Who answers.
    Responder,
}

/// Whether what follows the header is encrypted, and under what.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// In clear.
    Clear,
    /// Under the keys of the phase-1 SA.
    Isakmp,
    /// Under the group's KEK.
    Kek,
}

/// What happens to a payload that no rule of the message names.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Others {
    /// The message is refused.
    Refused,
    /// It is passed over, but hashed or signed like the rest: peers of RFC 3547 send more than
    /// RFC 6407 knows.
    Ignored,
}

/// How often a payload may stand in a message.
#[derive(Copy, Clone, Debug)]
pub struct Rule {
    /// The payload.
    pub payload: PayloadType,
    /// It must be there at least so often.
    pub min: u8,
    /// It may be there at most so often; 0 forbids it where others are ignored.
    pub max: u8,
}

/// One message of one exchange.
#[derive(Copy, Clone, Debug)]
pub struct Message {
    /// Its name in transcripts and refusals.
    pub name: &'static str,
    /// The exchange.
    pub exchange: ExchangeType,
    /// Its place in the ladder, from 1.
    pub step: u8,
    /// Who sends it.
    pub sender: Sender,
    /// What protects it.
    pub protection: Protection,
    /// The payload that must be first.
    pub first: Option<PayloadType>,
    /// The payloads that it may have.
    pub rules: &'static [Rule],
    /// Whether they must come in the order of the rules.
    pub ordered: bool,
    /// What happens to those without a rule.
    pub others: Others,
}

/// Why a message is not what its place in the exchange asks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Illegal {
    /// The exchange has no such message.
    NoSuchMessage {
        /// The exchange.
        exchange: ExchangeType,
        /// The place.
        step: u8,
    },
    /// This payload may not be in it.
    Forbidden {
        /// The message.
        message: &'static str,
        /// The payload.
        payload: PayloadType,
    },
    /// This payload must be in it and is not.
    Missing {
        /// The message.
        message: &'static str,
        /// The payload.
        payload: PayloadType,
    },
    /// This payload is in it too often.
    TooMany {
        /// The message.
        message: &'static str,
        /// The payload.
        payload: PayloadType,
        /// How often it may be there.
        max: u8,
    },
    /// This payload must be the first.
    NotFirst {
        /// The message.
        message: &'static str,
        /// The payload.
        payload: PayloadType,
    },
    /// This payload must come before the one that is before it.
    OutOfOrder {
        /// The message.
        message: &'static str,
        /// The payload.
        payload: PayloadType,
    },
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchMessage { exchange, step } => {
                write!(f, "exchange {exchange} has no message {step}")
            }
            Self::Forbidden { message, payload } => {
                write!(f, "{message} may not have a {payload} payload")
            }
            Self::Missing { message, payload } => {
                write!(f, "{message} needs a {payload} payload and has none")
            }
            Self::TooMany {
                message,
                payload,
                max,
            } => {
                write!(
                    f,
                    "{message} may have {max} {payload} payloads and has more"
                )
            }
            Self::NotFirst { message, payload } => {
                write!(f, "{message} must begin with its {payload} payload")
            }
            Self::OutOfOrder { message, payload } => {
                write!(f, "the {payload} payload of {message} comes too late")
            }
        }
    }
}

const fn one(payload: PayloadType) -> Rule {
    Rule {
        payload,
        min: 1,
        max: 1,
    }
}

const fn optional(payload: PayloadType) -> Rule {
    Rule {
        payload,
        min: 0,
        max: 1,
    }
}

const fn up_to(max: u8, payload: PayloadType) -> Rule {
    Rule {
        payload,
        min: 0,
        max,
    }
}

const fn forbidden(payload: PayloadType) -> Rule {
    Rule {
        payload,
        min: 0,
        max: 0,
    }
}

/// Most vendor ids of a message; real peers send up to a dozen.
const VENDOR_IDS: Rule = up_to(24, PayloadType::VENDOR_ID);
/// NAT discovery is tolerated and ignored: we never offer it.
const NAT_D: Rule = up_to(8, PayloadType::NAT_D);
/// As some peers numbered it before RFC 3947.
const NAT_D_DRAFT: Rule = up_to(8, PayloadType(130));
const NAT_OA: Rule = up_to(2, PayloadType::NAT_OA);
const CERTIFICATE_REQUESTS: Rule = up_to(8, PayloadType::CERT_REQUEST);

const MAIN_MODE_SA: &[Rule] = &[one(PayloadType::SA), VENDOR_IDS];
const MAIN_MODE_KE: &[Rule] = &[
    one(PayloadType::KE),
    one(PayloadType::NONCE),
    VENDOR_IDS,
    NAT_D,
    NAT_D_DRAFT,
    CERTIFICATE_REQUESTS,
];
const MAIN_MODE_AUTH: &[Rule] = &[
    one(PayloadType::ID),
    one(PayloadType::HASH),
    up_to(8, PayloadType::NOTIFY),
    VENDOR_IDS,
    NAT_OA,
    CERTIFICATE_REQUESTS,
];
const COOP: &[Rule] = &[
    one(PayloadType::HASH),
    optional(PayloadType::NONCE),
    one(PayloadType::GETVPN_COOP),
];
/// RFC 3547 has these in PULL. A KE would mean that the keys are masked with a Diffie-Hellman
/// secret, which RFC 6407 took out again; we cannot read such keys and must say so.
const PULL_KE: Rule = forbidden(PayloadType::KE);

/// Every message that this program can receive or send.
pub const MESSAGES: &[Message] = &[
    //= RFC 2409 5
    //# The SA payload MUST precede all other payloads in a phase 1 exchange.
    message(
        "MAIN MODE 1",
        ExchangeType::IDENTITY_PROTECTION,
        1,
        Protection::Clear,
        MAIN_MODE_SA,
    )
    .beginning(PayloadType::SA),
    message(
        "MAIN MODE 2",
        ExchangeType::IDENTITY_PROTECTION,
        2,
        Protection::Clear,
        MAIN_MODE_SA,
    )
    .beginning(PayloadType::SA),
    message(
        "MAIN MODE 3",
        ExchangeType::IDENTITY_PROTECTION,
        3,
        Protection::Clear,
        MAIN_MODE_KE,
    ),
    message(
        "MAIN MODE 4",
        ExchangeType::IDENTITY_PROTECTION,
        4,
        Protection::Clear,
        MAIN_MODE_KE,
    ),
    message(
        "MAIN MODE 5",
        ExchangeType::IDENTITY_PROTECTION,
        5,
        Protection::Isakmp,
        MAIN_MODE_AUTH,
    ),
    message(
        "MAIN MODE 6",
        ExchangeType::IDENTITY_PROTECTION,
        6,
        Protection::Isakmp,
        MAIN_MODE_AUTH,
    ),
    message(
        "INFORMATIONAL",
        ExchangeType::INFORMATIONAL,
        1,
        Protection::Isakmp,
        &[
            one(PayloadType::HASH),
            up_to(8, PayloadType::NOTIFY),
            up_to(8, PayloadType::DELETE),
            VENDOR_IDS,
        ],
    )
    .beginning(PayloadType::HASH),
    message(
        "GROUPKEY-PULL 1",
        ExchangeType::GROUPKEY_PULL,
        1,
        Protection::Isakmp,
        &[
            one(PayloadType::HASH),
            one(PayloadType::NONCE),
            one(PayloadType::ID),
            PULL_KE,
        ],
    )
    .beginning(PayloadType::HASH)
    .ignoring_others(),
    message(
        "GROUPKEY-PULL 2",
        ExchangeType::GROUPKEY_PULL,
        2,
        Protection::Isakmp,
        &[
            one(PayloadType::HASH),
            one(PayloadType::NONCE),
            one(PayloadType::SA),
            PULL_KE,
        ],
    )
    .beginning(PayloadType::HASH)
    .ignoring_others(),
    message(
        "GROUPKEY-PULL 3",
        ExchangeType::GROUPKEY_PULL,
        3,
        Protection::Isakmp,
        &[one(PayloadType::HASH), optional(PayloadType::GAP), PULL_KE],
    )
    .beginning(PayloadType::HASH)
    .ignoring_others(),
    message(
        "GROUPKEY-PULL 4",
        ExchangeType::GROUPKEY_PULL,
        4,
        Protection::Isakmp,
        &[
            one(PayloadType::HASH),
            optional(PayloadType::SEQ),
            one(PayloadType::KD),
            PULL_KE,
        ],
    )
    .beginning(PayloadType::HASH)
    .ignoring_others(),
    message(
        "POLICY FETCH 1",
        ExchangeType::GETVPN_POLICY_FETCH,
        1,
        Protection::Isakmp,
        &[
            one(PayloadType::HASH),
            one(PayloadType::GETVPN_POLICY_REQUEST),
        ],
    )
    .beginning(PayloadType::HASH),
    message(
        "POLICY FETCH 2",
        ExchangeType::GETVPN_POLICY_FETCH,
        2,
        Protection::Isakmp,
        &[
            one(PayloadType::HASH),
            up_to(8, PayloadType::GETVPN_POLICY_CHUNK),
        ],
    )
    .beginning(PayloadType::HASH),
    // The nonce is the proof of kin (PROTOCOL P2) in the first exchange under an SA.
    message(
        "COOP 1",
        ExchangeType::GETVPN_COOP,
        1,
        Protection::Isakmp,
        COOP,
    )
    .beginning(PayloadType::HASH),
    message(
        "COOP 2",
        ExchangeType::GETVPN_COOP,
        2,
        Protection::Isakmp,
        COOP,
    )
    .beginning(PayloadType::HASH),
    message(
        "GROUPKEY-PUSH",
        ExchangeType::GROUPKEY_PUSH,
        1,
        Protection::Kek,
        &[
            one(PayloadType::SEQ),
            up_to(8, PayloadType::DELETE),
            // Ours, without keys: "register again" (PROTOCOL P16).
            optional(PayloadType::GAP),
            optional(PayloadType::SA),
            optional(PayloadType::KD),
            // RFC 3547 only.
            optional(PayloadType::CERT),
            one(PayloadType::SIG),
        ],
    )
    .ordered(),
    message(
        "GROUPKEY-PUSH ACK",
        ExchangeType::GROUPKEY_PUSH_ACK,
        1,
        Protection::Clear,
        &[
            one(PayloadType::HASH),
            one(PayloadType::SEQ),
            one(PayloadType::ID),
            // What a member of ours did with the PUSH (PROTOCOL P5).
            optional(PayloadType::NOTIFY),
        ],
    )
    .ordered(),
];

const fn message(
    name: &'static str,
    exchange: ExchangeType,
    step: u8,
    protection: Protection,
    rules: &'static [Rule],
) -> Message {
    Message {
        name,
        exchange,
        step,
        sender: if step % 2 == 1 {
            Sender::Initiator
        } else {
            Sender::Responder
        },
        protection,
        first: None,
        ordered: false,
        rules,
        others: Others::Refused,
    }
}

/// The message at a place of an exchange.
///
/// # Errors
/// When the exchange is unknown or has no such message.
pub fn message_at(exchange: ExchangeType, step: u8) -> Result<&'static Message, Illegal> {
    MESSAGES
        .iter()
        .find(|message| message.exchange == exchange && message.step == step)
        .ok_or(Illegal::NoSuchMessage { exchange, step })
}

impl Message {
    const fn beginning(mut self, payload: PayloadType) -> Self {
        self.first = Some(payload);
        self
    }

    /// That this payload is not there although something else in the message asks for it.
    #[must_use]
    pub const fn missing(&self, payload: PayloadType) -> Illegal {
        let message = self.name;
        Illegal::Missing { message, payload }
    }

    const fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    const fn ignoring_others(mut self) -> Self {
        self.others = Others::Ignored;
        self
    }

    /// Judges the types of a message's payloads, given in their order.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, payloads: &[PayloadType]) -> Result<(), Illegal> {
        let message = self.name;
        for rule in self.rules {
            let payload = rule.payload;
            let count = payloads.iter().filter(|&&ty| ty == payload).count();
            if count > 0 && rule.max == 0 {
                return Err(Illegal::Forbidden { message, payload });
            }
            if count > usize::from(rule.max) {
                return Err(Illegal::TooMany {
                    message,
                    payload,
                    max: rule.max,
                });
            }
            if count < usize::from(rule.min) {
                return Err(Illegal::Missing { message, payload });
            }
        }
        if self.others == Others::Refused {
            let named = |ty: &PayloadType| self.rules.iter().any(|rule| rule.payload == *ty);
            if let Some(&payload) = payloads.iter().find(|ty| !named(ty)) {
                return Err(Illegal::Forbidden { message, payload });
            }
        }
        if let Some(payload) = self.first
            && payloads.first() != Some(&payload)
        {
            return Err(Illegal::NotFirst { message, payload });
        }
        if self.ordered {
            let place = |ty: &PayloadType| self.rules.iter().position(|rule| rule.payload == *ty);
            if let Some(pair) = payloads
                .windows(2)
                .find(|pair| place(&pair[1]) < place(&pair[0]))
            {
                let payload = pair[1];
                return Err(Illegal::OutOfOrder { message, payload });
            }
        }
        Ok(())
    }
}
