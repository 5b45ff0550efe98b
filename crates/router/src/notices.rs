//! What the forwarders noticed, in the operator's words, and what it asks of the machines.

use dataplane::{Happening, Notice};
use event::{Crypto, DropReason, Event};
use gdoi::machine;
use policy::Spi;

/// ESP, in log lines that name a protocol.
const PROTOCOL_ESP: u8 = 50;

/// The event of a notice, if operators care, and the machine's input, if it must act.
pub(crate) fn translate(notice: Notice) -> (Option<Event>, Option<machine::Input<'static>>) {
    match notice.what {
        Happening::Dropped {
            reason,
            group,
            spi,
            source,
            destination,
            protocol,
            ..
        } => {
            let (Some(source), Some(destination)) = (source, destination) else {
                return (None, None);
            };
            let spi = spi.unwrap_or(Spi(0));
            match reason {
                DropReason::InvalidSpi => (
                    Some(
                        Crypto::RECVD_PKT_INV_SPI {
                            destination,
                            protocol,
                            spi,
                            source,
                        }
                        .into(),
                    ),
                    Some(machine::Input::UnknownSpi { spi }),
                ),
                DropReason::BadIcv => (
                    Some(
                        Crypto::RECVD_PKT_MAC_ERR {
                            spi,
                            source,
                            destination,
                        }
                        .into(),
                    ),
                    None,
                ),
                DropReason::ClearText => (
                    Some(
                        Crypto::RECVD_PKT_NOT_IPSEC {
                            destination,
                            source,
                            protocol,
                        }
                        .into(),
                    ),
                    None,
                ),
                DropReason::Replayed => (
                    Some(
                        Crypto::PKT_REPLAY_ERR {
                            spi,
                            source,
                            destination,
                        }
                        .into(),
                    ),
                    None,
                ),
                DropReason::FailClose
                | DropReason::NoSa
                | DropReason::NoSid
                | DropReason::IvExhausted
                | DropReason::TooBig
                | DropReason::Unprotectable
                | DropReason::Malformed
                | DropReason::BadPadding
                | DropReason::BadEcn
                | DropReason::AddressMismatch
                | DropReason::TimeReplay
                | DropReason::NotInPolicy
                | DropReason::DeviceFull => {
                    let group = group.map_or_else(|| "-".to_owned(), |name| name.to_string());
                    let protocol = if protocol == 0 {
                        PROTOCOL_ESP
                    } else {
                        protocol
                    };
                    let reason = reason.word().to_owned();
                    (
                        Some(
                            Crypto::PKT_DROP {
                                reason,
                                group,
                                source,
                                destination,
                                protocol,
                            }
                            .into(),
                        ),
                        None,
                    )
                }
            }
        }
        Happening::SidNearlyUsed { group, .. } => (
            None,
            Some(machine::Input::SidsLow {
                group: (*group).clone(),
            }),
        ),
        Happening::ReplayTableFull { group, sid } => {
            let group = (*group).clone();
            (
                Some(Crypto::REPLAY_TABLE_FULL { group, sid: sid.0 }.into()),
                None,
            )
        }
    }
}
