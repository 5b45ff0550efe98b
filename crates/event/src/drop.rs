//! Why a packet was dropped: every reason is a counter, a word and a sentence.

/// A reason; `ALL` lists them in the order of the counters.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// A group that may encrypt this flow is not registered (fail-close).
    FailClose,
    /// Outbound: the policy encrypts this flow, but no usable SA is held.
    NoSa,
    /// Outbound: the SA needs a SID and none is left.
    NoSid,
    /// Outbound: the sender's counter is used up.
    IvExhausted,
    /// Outbound: too big for the path and not to be fragmented; the source was told.
    TooBig,
    /// Outbound: not an IP packet that can be protected.
    Unprotectable,
    /// Inbound: no SA has this SPI.
    InvalidSpi,
    /// Inbound: shorter than its headers, or lengths that contradict each other.
    Malformed,
    /// Inbound: the ICV does not verify.
    BadIcv,
    /// Inbound: padding or next header are not what ESP requires.
    BadPadding,
    /// Inbound: outer and inner addresses differ (RFC 5374 section 5.2).
    AddressMismatch,
    /// Inbound: a copy of a packet that was accepted before.
    Replayed,
    /// Inbound: the pseudotime is outside the window.
    TimeReplay,
    /// Inbound: decrypted, but the policy does not encrypt this flow.
    NotInPolicy,
    /// Inbound: in clear, but the policy encrypts this flow.
    ClearText,
    /// The kernel would not take the packet.
    DeviceFull,
    /// Inbound: marked as congested on the way, which its sender would not understand
    /// (RFC 6040 section 4.2).
    BadEcn,
    /// Outbound: this sender has encrypted as many 64-bit blocks with the key as it may.
    BlocksExhausted,
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 18] = [
        Self::FailClose,
        Self::NoSa,
        Self::NoSid,
        Self::IvExhausted,
        Self::TooBig,
        Self::Unprotectable,
        Self::InvalidSpi,
        Self::Malformed,
        Self::BadIcv,
        Self::BadPadding,
        Self::AddressMismatch,
        Self::Replayed,
        Self::TimeReplay,
        Self::NotInPolicy,
        Self::ClearText,
        Self::DeviceFull,
        Self::BadEcn,
        Self::BlocksExhausted,
    ];

    /// The word in counters and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FailClose => "fail-close",
            Self::NoSa => "no-sa",
            Self::NoSid => "no-sid",
            Self::IvExhausted => "iv-exhausted",
            Self::TooBig => "too-big",
            Self::Unprotectable => "unprotectable",
            Self::InvalidSpi => "invalid-spi",
            Self::Malformed => "malformed",
            Self::BadIcv => "bad-icv",
            Self::BadPadding => "bad-padding",
            Self::AddressMismatch => "address-mismatch",
            Self::Replayed => "replayed",
            Self::TimeReplay => "time-replay",
            Self::NotInPolicy => "not-in-policy",
            Self::ClearText => "clear-text",
            Self::DeviceFull => "device-full",
            Self::BadEcn => "bad-ecn",
            Self::BlocksExhausted => "blocks-exhausted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_list_is_that_of_the_numbers() {
        for (place, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }
}
