//! `show crypto gdoi gm rekey [detail]`: did rekeys arrive, and were they acknowledged (mission
//! row 80).

use std::fmt;
use std::net::Ipv4Addr;

use policy::RekeyTransport;
use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::show::crypto::cookies;
use crate::show::crypto::gdoi::HELP;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ( gdoi | gkm ) gm rekey [ detail ]",
        help: HELP,
    },
    is_privileged: false,
    run: |context, line| Page::of(&view(context, line)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The groups.
    pub groups: Vec<Group>,
    /// Whether the text has the Rekey SAs, too.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// The rekeys of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The group.
    pub group: String,
    /// How rekeys travel.
    pub transport: String,
    /// Rekeys accepted since the group was configured.
    pub rekeys_received: u64,
    /// Rekeys accepted since the last registration.
    pub rekeys_since_registration: u64,
    /// The multicast address that rekeys come to.
    pub multicast_address: Option<Ipv4Addr>,
    /// Acknowledgements sent; under multicast only if the key server asks for them.
    pub acks_sent: u64,
    /// Announced by the last rekey, not in use yet.
    pub new: Option<Kek>,
    /// In use.
    pub current: Option<Kek>,
    /// Replaced, kept until it expires.
    pub previous: Option<Kek>,
    #[serde(skip)]
    is_unicast: bool,
}

/// A Rekey SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kek {
    /// The member.
    pub destination: Ipv4Addr,
    /// The key server.
    pub source: Ipv4Addr,
    /// Its number.
    pub conn_id: u32,
    /// Its SPI.
    pub spi: String,
    /// The first four octets of the SPI's first half.
    pub my_cookie: String,
    /// The first four octets of its second half.
    pub his_cookie: String,
    /// How long it lives on, seconds.
    pub remaining_lifetime_s: u64,
    /// The highest sequence number accepted under it.
    pub seq: u32,
}

impl Kek {
    fn of(kek: &gdoi::gm::KekView) -> Self {
        let [my_cookie, his_cookie] = cookies(kek.spi);
        Self {
            destination: kek.destination,
            source: kek.source,
            conn_id: kek.conn_id,
            spi: kek.spi.to_string(),
            my_cookie,
            his_cookie,
            remaining_lifetime_s: kek.remaining.as_secs(),
            seq: kek.seq,
        }
    }
}

impl Group {
    fn of(gm: &gdoi::gm::View) -> Self {
        Self {
            group: gm.group.to_string(),
            transport: gm.transport.to_string(),
            rekeys_received: gm.rekeys_received,
            rekeys_since_registration: gm.rekeys_since_registration,
            multicast_address: gm.multicast_address,
            acks_sent: gm.acks_sent,
            new: gm.keks.new.as_ref().map(Kek::of),
            current: gm.keks.current.as_ref().map(Kek::of),
            previous: gm.keks.previous.as_ref().map(Kek::of),
            is_unicast: gm.transport == RekeyTransport::Unicast,
        }
    }
}

/// The rekeys of every group.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    View {
        groups: context.machines.members().iter().map(Group::of).collect(),
        is_detailed: line.has("detail"),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, group) in self.groups.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            group.write(f)?;
            if self.is_detailed {
                group.write_keks(f)?;
            }
        }
        Ok(())
    }
}

impl Group {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Group {} ({})", self.group, self.transport)?;
        writeln!(
            f,
            "    Number of Rekeys received (cumulative)       : {}",
            self.rekeys_received
        )?;
        let since = self.rekeys_since_registration;
        writeln!(
            f,
            "    Number of Rekeys received after registration : {since}"
        )?;
        if let Some(address) = self.multicast_address {
            writeln!(
                f,
                "    Multicast destination address                : {address}"
            )?;
        }
        if self.is_unicast || self.acks_sent > 0 {
            writeln!(
                f,
                "    Number of Rekey Acks sent                    : {}",
                self.acks_sent
            )?;
        }
        Ok(())
    }

    fn write_keks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nRekey (KEK) SA information :")?;
        let head = "dst             src             conn-id  my-cookie  his-cookie";
        writeln!(f, "          {head}")?;
        for (row, kek) in [
            ("New", &self.new),
            ("Current", &self.current),
            ("Previous", &self.previous),
        ] {
            let cells = kek.as_ref().map_or_else(
                || std::array::from_fn(|_| "---".to_owned()),
                |kek| {
                    [
                        kek.destination.to_string(),
                        kek.source.to_string(),
                        kek.conn_id.to_string(),
                        kek.my_cookie.clone(),
                        kek.his_cookie.clone(),
                    ]
                },
            );
            let [dst, src, conn_id, mine, his] = cells;
            writeln!(f, "{row:<8}: {dst:<16}{src:<16}{conn_id:<9}{mine:<11}{his}")?;
        }
        Ok(())
    }
}
