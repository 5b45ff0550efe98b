//! What views are made of beside the configuration: the machines' and the packet path's readings.
//!
//! Decides only what can be read. Whoever composes a box answers; a test answers with values.

use dataplane::{Control, Drops, Hits, Totals};
use event::DropReason;
use policy::{GroupName, Spi, Time};

/// The running parts of a box.
pub trait Machines {
    /// The groups that this box serves, in the order of their names.
    fn key_servers(&self) -> Vec<gdoi::ks::View>;
    /// The groups that this box is a member of, in the order of their names.
    fn members(&self) -> Vec<gdoi::gm::View>;
    /// Phase 1.
    fn isakmp(&self) -> gdoi::ike::View;
    /// The key pairs of this box, in the order of their labels.
    fn key_pairs(&self) -> Vec<gdoi::KeyPairView>;
    /// What passed under a group's policy at an interface.
    fn traffic(&self, interface: &str, group: &GroupName) -> Traffic;
}

/// What passed under a group's policy at an interface; counters never go back while the group
/// stays configured, those of `lines` while its policy stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All packets of the interface, whatever became of them.
    pub interface: Totals,
    /// Those that the group's policy decided about.
    pub group: Totals,
    /// How often each line of the newest policy decided, in the order of its lines.
    pub lines: Vec<Hits>,
    /// The SPI that is sent on now, if one is.
    pub outbound_spi: Option<Spi>,
    /// The largest packet that can be encrypted without a fragment, octets; only if one can be sent.
    pub plaintext_mtu: Option<usize>,
}

impl Traffic {
    /// The reading at `now`.
    #[must_use]
    pub fn read(control: &Control, now: Time, interface: &str, group: &GroupName) -> Self {
        let id = control.interface_id(interface);
        Self {
            interface: id
                .map(|id| control.interface_totals(id))
                .unwrap_or_default(),
            group: control.group_totals(group),
            lines: control.policy_hits(group),
            outbound_spi: control.outbound_spi(group, now),
            plaintext_mtu: id.and_then(|id| control.plaintext_mtu(id, group, now)),
        }
    }

    /// The dropped packets of the group. `is_alone`: no other group shares the interface, so that
    /// what the interface dropped before it knew a group is this group's.
    #[must_use]
    pub const fn drops(&self, is_alone: bool) -> Drops {
        if is_alone {
            self.interface.drops
        } else {
            self.group.drops
        }
    }
}

/// Dropped packets in the classes of IOS.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Errors {
    /// Nothing to encrypt with: no SA, no sender identifier, counter used up, not registered.
    pub no_sa_send: u64,
    /// No SA has the packet's SPI.
    pub invalid_sa_receive: u64,
    /// Too big for the path, or no packet that can be protected.
    pub encaps_failed_send: u64,
    /// Padding, next header or congestion mark that cannot be.
    pub decaps_failed_receive: u64,
    /// In clear although the policy encrypts it.
    pub invalid_protocol_receive: u64,
    /// The ICV does not verify.
    pub verify_failed_receive: u64,
    /// Addresses or ports that the policy does not encrypt, or another address outside than inside.
    pub invalid_identity_receive: u64,
    /// Lengths that contradict each other.
    pub invalid_length_receive: u64,
    /// A copy, or outside the time window.
    pub replay_failed_receive: u64,
    /// The kernel would not take the packet.
    pub internal_send: u64,
}

impl Errors {
    /// The classes of some drops.
    #[must_use]
    pub fn of(drops: impl IntoIterator<Item = (DropReason, u64)>) -> Self {
        let mut errors = Self::default();
        for (reason, count) in drops {
            let class = match reason {
                DropReason::FailClose
                | DropReason::NoSa
                | DropReason::NoSid
                | DropReason::IvExhausted
                | DropReason::BlocksExhausted => &mut errors.no_sa_send,
                DropReason::TooBig | DropReason::Unprotectable => &mut errors.encaps_failed_send,
                DropReason::InvalidSpi => &mut errors.invalid_sa_receive,
                DropReason::Malformed => &mut errors.invalid_length_receive,
                DropReason::BadIcv => &mut errors.verify_failed_receive,
                DropReason::BadPadding | DropReason::BadEcn => &mut errors.decaps_failed_receive,
                DropReason::AddressMismatch | DropReason::NotInPolicy => {
                    &mut errors.invalid_identity_receive
                }
                DropReason::Replayed | DropReason::TimeReplay => &mut errors.replay_failed_receive,
                DropReason::ClearText => &mut errors.invalid_protocol_receive,
                DropReason::DeviceFull => &mut errors.internal_send,
            };
            *class += count;
        }
        errors
    }

    /// Packets that were to be sent and were not.
    #[must_use]
    pub const fn send(&self) -> u64 {
        self.no_sa_send + self.encaps_failed_send + self.internal_send
    }

    /// Packets that came and were not passed on.
    #[must_use]
    pub const fn receive(&self) -> u64 {
        self.invalid_sa_receive
            + self.decaps_failed_receive
            + self.invalid_protocol_receive
            + self.verify_failed_receive
            + self.invalid_identity_receive
            + self.invalid_length_receive
            + self.replay_failed_receive
    }
}
