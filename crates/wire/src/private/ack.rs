//! What a member of ours adds to a PUSH-ACK.

use crate::codec::{Error, Reader};
use crate::iana::{Doi, NotifyType, ProtocolId};
use crate::isakmp::notify::Notify;

/// What the member did with the PUSH.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckFlags(u8);

impl AckFlags {
    /// All as the PUSH says.
    pub const NONE: Self = Self(0);
    /// The new keys run under an old policy until the new one is fetched (PROTOCOL P5).
    pub const OLD_POLICY: Self = Self(1);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The data of the notification GETVPN_ACK_STATUS (PROTOCOL P5, P8).
///
/// ```text
/// +-----------+--------------+----------------------------------+
/// | flags (1) | RESERVED (3) | SHA-256 of the running policy    |
/// +-----------+--------------+----------------------------------+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct AckStatus {
    /// What the member did with the PUSH.
    pub flags: AckFlags,
    /// SHA-256 of the policy that it runs, zeros for none.
    pub policy: [u8; 32],
}

impl AckStatus {
    const WHAT: &'static str = "ACK status";

    /// The status in a notification of an ACK.
    ///
    /// # Errors
    /// Another notification, one with an SPI, unknown flags, another length.
    pub fn decode(notify: &Notify) -> Result<Self, Error> {
        let mut r = Reader::new(Self::WHAT, &notify.data);
        if notify.ty != NotifyType::GETVPN_ACK_STATUS {
            return Err(r.bad("notify type", notify.ty.0, "36001"));
        }
        if notify.doi != Doi::GDOI {
            return Err(r.bad("DOI", notify.doi.0, "2 (GDOI)"));
        }
        if notify.protocol != ProtocolId::RESERVED {
            return Err(r.bad("Protocol-ID", notify.protocol.0, "0"));
        }
        if !notify.spi.is_empty() {
            return Err(r.bad("SPI Size", notify.spi.len() as u64, "0"));
        }
        let flags = match r.u8()? {
            flags @ 0..=1 => AckFlags(flags),
            other => return Err(r.bad("flags", other, "0 or 1")),
        };
        r.reserved()?;
        r.reserved()?;
        r.reserved()?;
        let policy = r.array()?;
        r.end()?;
        Ok(Self { flags, policy })
    }

    /// The notification.
    #[must_use]
    pub fn notify(&self) -> Notify {
        Notify {
            doi: Doi::GDOI,
            protocol: ProtocolId::RESERVED,
            ty: NotifyType::GETVPN_ACK_STATUS,
            spi: Vec::new(),
            data: [&[self.flags.0, 0, 0, 0], &self.policy[..]].concat(),
        }
    }
}
