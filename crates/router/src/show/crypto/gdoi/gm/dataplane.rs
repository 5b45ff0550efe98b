//! `show crypto gdoi gm dataplane counter`, which IOS spells `dataplan`.
//!
//! What an interface drops before it knows a group, above all ESP under an SPI that nobody holds, is
//! counted for the group that is alone on the interface. Of several groups it is nobody's.

use std::fmt;

use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::crypto::gdoi::HELP;
use crate::show::machines::Errors;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) gm dataplane counter",
        help: HELP,
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups.
    pub groups: Vec<Group>,
}

/// The counters of one group, over all SAs that it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// Packets encrypted.
    pub encrypted_packets: u64,
    /// Their octets before encryption.
    pub encrypted_octets: u64,
    /// Packets decrypted.
    pub decrypted_packets: u64,
    /// Their octets after decryption.
    pub decrypted_octets: u64,
    /// Dropped packets in the classes of IOS.
    pub errors: Errors,
    /// Dropped packets by reason, those that happened.
    pub drops: Vec<Drop>,
}

/// Packets dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drop {
    /// The reason.
    pub reason: &'static str,
    /// How many.
    pub packets: u64,
}

/// The counters of every group.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let members = context.machines.members();
    let groups = members.iter().map(|gm| {
        let traffic = context.machines.traffic(&gm.interface, &gm.group);
        let totals = traffic.group;
        let mut attachments = context.target.attachments.iter();
        let is_alone =
            attachments.any(|own| own.interface == gm.interface && own.is_of_one_group());
        let drops = traffic.drops(is_alone);
        let happened = drops.iter().filter(|(_, packets)| *packets > 0);
        Group {
            group: gm.group.to_string(),
            encrypted_packets: totals.encaps_packets,
            encrypted_octets: totals.encaps_octets,
            decrypted_packets: totals.decaps_packets,
            decrypted_octets: totals.decaps_octets,
            errors: Errors::of(drops.iter()),
            drops: happened
                .map(|(reason, packets)| Drop {
                    reason: reason.word(),
                    packets,
                })
                .collect(),
        }
    });
    View {
        groups: groups.collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            let e = &group.errors;
            let (out, back) = (group.encrypted_packets, group.decrypted_packets);
            let (failed, undone) = (
                e.encaps_failed_send,
                e.decaps_failed_receive + e.invalid_length_receive,
            );
            writeln!(f, "Data-plane statistics for group {}:", group.group)?;
            writeln!(
                f,
                "    #pkts encrypt            : {out:<12}#pkts decrypt            : {back}"
            )?;
            for (left, sent, right, received) in [
                ("tagged (send)", 0, "untagged (rcv)", 0),
                (
                    "no sa (send)",
                    e.no_sa_send,
                    "invalid sa (rcv)",
                    e.invalid_sa_receive,
                ),
                ("encaps fail (send)", failed, "decap fail (rcv)", undone),
                (
                    "invalid prot (rcv)",
                    e.invalid_protocol_receive + e.invalid_identity_receive,
                    "verify fail (rcv)",
                    e.verify_failed_receive,
                ),
                ("not tagged (send)", 0, "not untagged (rcv)", 0),
                (
                    "internal err (send)",
                    e.internal_send,
                    "internal err (rcv)",
                    0,
                ),
            ] {
                writeln!(
                    f,
                    "    #pkts {left:<19}: {sent:<9}#pkts {right:<19}: {received}"
                )?;
            }
            for drop in &group.drops {
                writeln!(f, "    #pkts dropped {:<19}: {}", drop.reason, drop.packets)?;
            }
        }
        Ok(())
    }
}
