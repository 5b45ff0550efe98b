//! What the forwarders noticed, in the operator's words, and what it asks of the machines.

use std::net::IpAddr;

use dataplane::{Happening, Notice};
use event::{Crypto, DropReason, Event};
use gdoi::machine;
use policy::Spi;

/// A packet that was dropped, as far as it could be read.
struct Drop {
    reason: DropReason,
    group: Option<String>,
    spi: Spi,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
}

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
            let group = group.map(|name| name.to_string());
            let spi = spi.unwrap_or_default();
            let recover = reason == DropReason::InvalidSpi;
            let event = dropped(Drop {
                reason,
                group,
                spi,
                source,
                destination,
                protocol,
            });
            (
                Some(event),
                recover.then_some(machine::Input::UnknownSpi { spi }),
            )
        }
        Happening::SidNearlyUsed { group, .. } => (
            None,
            Some(machine::Input::SidsLow {
                group: (*group).clone(),
            }),
        ),
        Happening::KeyNearlyUsed { group, spi } => (
            None,
            Some(machine::Input::KeySpent {
                group: (*group).clone(),
                spi,
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

fn dropped(drop: Drop) -> Event {
    let Drop {
        reason,
        group,
        spi,
        source,
        destination,
        protocol,
    } = drop;
    match reason {
        DropReason::InvalidSpi => Crypto::RECVD_PKT_INV_SPI {
            destination,
            protocol,
            spi,
            source,
        },
        DropReason::BadIcv => Crypto::RECVD_PKT_MAC_ERR {
            spi,
            source,
            destination,
        },
        DropReason::ClearText => Crypto::RECVD_PKT_NOT_IPSEC {
            destination,
            source,
            protocol,
        },
        DropReason::Replayed => Crypto::PKT_REPLAY_ERR {
            spi,
            source,
            destination,
        },
        DropReason::FailClose
        | DropReason::NoSa
        | DropReason::NoSid
        | DropReason::IvExhausted
        | DropReason::BlocksExhausted
        | DropReason::TooBig
        | DropReason::Unprotectable
        | DropReason::Malformed
        | DropReason::BadPadding
        | DropReason::BadEcn
        | DropReason::AddressMismatch
        | DropReason::TimeReplay
        | DropReason::NotInPolicy
        | DropReason::DeviceFull => Crypto::PKT_DROP {
            reason: reason.word().to_owned(),
            group: group.unwrap_or_else(|| "-".to_owned()),
            source,
            destination,
            protocol,
        },
    }
    .into()
}
