//! `show crypto ipsec sa [interface X] [detail]`: what the packet path encrypts, and what became
//! of the packets.
//!
//! One block for each permit entry of the policy in force. A group's SAs are shared by all its
//! entries; so are its counters when the policy has one permit entry. With several, a block's
//! packets are those that its entry decided about. Errors cannot be told by entry and stand in the
//! group's first block. While a group has no policy, it has one block for all packets, so that it is
//! seen what becomes of them until it is registered.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use event::DropReason;
use policy::{Ace, Action, Spi};
use serde::Serialize;

use crate::cli::grammar::{Match, Syntax};
use crate::config::Refusal;
use crate::show::crypto::gdoi::ipsec::sa::one_port;
use crate::show::crypto::{Replay, interface_word, spi_text};
use crate::show::machines::{Errors, Traffic};
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto ipsec sa [ interface <interface:WORD> ] [ detail ]",
        help: &[
            ("show", "Show running system information"),
            ("ipsec", "Show IPsec"),
            ("sa", "Show IPsec security associations"),
            ("detail", "Show error counters one by one"),
            ("interface", "Show one interface"),
            ("<interface>", "Name of the interface"),
        ],
    },
    is_privileged: false,
    run: |context, line| {
        let view = view(context, line);
        match line.word("interface") {
            Ok(name) if view.interfaces.is_empty() => Err(Refusal::new(format!(
                "% {name} has no crypto map with a group"
            ))),
            Ok(_) | Err(_) => Page::of(&view),
        }
    },
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The interfaces that carry a crypto map.
    pub interfaces: Vec<Interface>,
    /// Whether the text has every error counter.
    #[serde(skip)]
    pub is_detailed: bool,
}

/// A protected interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name as configured.
    pub interface: String,
    /// The crypto map.
    pub crypto_map: String,
    /// The member's address.
    pub local_address: Ipv4Addr,
    /// One for each permit entry of each group, and one for each group without a policy.
    pub flows: Vec<Flow>,
}

/// A permit entry with its SAs, or all packets of a group that has no policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// The group.
    pub group: String,
    /// The entry in full; none while no policy is in force.
    pub entry: Option<String>,
    /// Source.
    pub local_ident: Ident,
    /// Destination.
    pub remote_ident: Ident,
    /// The member's address.
    pub local_endpoint: Ipv4Addr,
    /// Packets encrypted.
    pub encrypted_packets: u64,
    /// Packets decrypted.
    pub decrypted_packets: u64,
    /// Dropped packets in the classes of IOS.
    pub errors: Errors,
    /// The largest packet that can be encrypted without a fragment, octets.
    pub plaintext_mtu: Option<usize>,
    /// The interface's MTU, octets.
    pub mtu: u16,
    /// The SPI that is sent on, `0x0(0)` when none is.
    pub outbound_spi: String,
    /// SAs that are received on.
    pub inbound: Vec<Sa>,
    /// The SA that is sent on.
    pub outbound: Vec<Sa>,
    #[serde(skip)]
    interface: String,
    #[serde(skip)]
    crypto_map: String,
}

/// `(addr/mask/prot/port)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ident {
    /// The address.
    pub address: IpAddr,
    /// Its mask.
    pub mask: IpAddr,
    /// IP protocol, 0 for any.
    pub protocol: u8,
    /// The port, 0 when it is not one port.
    pub port: u16,
}

/// One SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sa {
    /// Its SPI, the same in both directions.
    pub spi: String,
    /// What ESP does.
    pub transform: String,
    /// How long it lives on, seconds.
    pub remaining_lifetime_s: u64,
    /// Octets of the IV.
    pub iv_size_octets: usize,
    /// How copies are told.
    pub replay: Replay,
    /// Its number on this page.
    pub conn_id: usize,
}

/// The protected interfaces of the box, or the one that the line names.
#[must_use]
pub fn view(context: &Context<'_>, line: &Match) -> View {
    let asked = line.word("interface").ok();
    let members = context.machines.members();
    let interfaces = context.target.attachments.iter().filter(|own| {
        let device = context
            .interfaces
            .iter()
            .find(|device| device.name == own.device);
        asked.is_none_or(|asked| {
            own.interface == asked || device.is_some_and(|device| device.is_named(asked))
        })
    });
    let interfaces = interfaces.filter_map(|own| {
        let mut own_members = members
            .iter()
            .filter(|gm| gm.interface == own.interface)
            .peekable();
        let local_address = *own_members.peek()?.local.ip();
        let is_alone = own.is_of_one_group();
        let mut without_policy = own_members.clone().filter(|gm| gm.merged_acl.is_none());
        let first_without = without_policy.next().map(|gm| &gm.group);
        Some(Interface {
            interface: own.interface.clone(),
            crypto_map: own.crypto_map.clone(),
            local_address,
            flows: own_members
                .flat_map(|gm| {
                    let traffic = context.machines.traffic(&own.interface, &gm.group);
                    let mut drops = traffic.drops(is_alone);
                    if !is_alone && first_without == Some(&gm.group) {
                        drops = drops.iter().chain(unclaimed(&traffic)).collect();
                    }
                    flows(gm, &traffic, own.mtu, Errors::of(drops.iter()))
                })
                .collect(),
        })
    });
    View {
        interfaces: interfaces.collect(),
        is_detailed: line.has("detail"),
    }
}

/// What a shared interface dropped for want of a policy. No group is told of it; of those that have
/// none it stands with the first.
fn unclaimed(traffic: &Traffic) -> impl Iterator<Item = (DropReason, u64)> + '_ {
    let reasons = [DropReason::FailClose, DropReason::InvalidSpi];
    reasons
        .map(|reason| (reason, traffic.interface.drops.of(reason)))
        .into_iter()
}

/// The blocks of a group: one for each permit entry, or one while there is no policy.
fn flows(gm: &gdoi::gm::View, traffic: &Traffic, mtu: u16, mut errors: Errors) -> Vec<Flow> {
    let permits: Vec<_> = match &gm.merged_acl {
        Some(acl) => acl
            .entries
            .iter()
            .enumerate()
            .filter(|(_, ace)| ace.action == Action::Permit)
            .map(|(line, ace)| (Some(line), ace))
            .collect(),
        None => vec![(None, &Ace::PERMIT_IP_ANY_ANY)],
    };
    let mut numbers = 1..;
    permits
        .iter()
        .map(|(line, ace)| {
            let lines = line.and_then(|line| traffic.lines.get(line).copied());
            let lines = lines.unwrap_or_default();
            let (encrypted_packets, decrypted_packets) = if permits.len() == 1 {
                (traffic.group.encaps_packets, traffic.group.decaps_packets)
            } else {
                (lines.outbound, lines.inbound)
            };
            let (local_ident, remote_ident) = idents(ace);
            let mut sa = |tek| Sa::of(tek, gm.tbar_window_s, numbers.next().unwrap_or_default());
            Flow {
                group: gm.group.to_string(),
                entry: line.map(|_| ace.show_member()),
                local_ident,
                remote_ident,
                local_endpoint: *gm.local.ip(),
                encrypted_packets,
                decrypted_packets,
                errors: std::mem::take(&mut errors),
                plaintext_mtu: traffic.plaintext_mtu,
                mtu,
                outbound_spi: traffic
                    .outbound_spi
                    .map_or_else(|| "0x0(0)".to_owned(), spi_text),
                inbound: gm.teks.iter().map(&mut sa).collect(),
                outbound: gm
                    .teks
                    .iter()
                    .filter(|tek| is_sent_on(tek.spi, traffic))
                    .map(&mut sa)
                    .collect(),
                interface: gm.interface.clone(),
                crypto_map: gm.crypto_map.clone(),
            }
        })
        .collect()
}

fn is_sent_on(spi: Spi, traffic: &Traffic) -> bool {
    traffic.outbound_spi == Some(spi)
}

fn idents(ace: &Ace) -> (Ident, Ident) {
    let ident = |address: &policy::AddressMatch, port| {
        let (address, mask) = address.address_and_mask();
        Ident {
            address,
            mask,
            protocol: ace.protocol.unwrap_or(0),
            port: one_port(port),
        }
    };
    (
        ident(&ace.source, ace.source_port),
        ident(&ace.destination, ace.destination_port),
    )
}

impl Sa {
    fn of(tek: &gdoi::gm::TekView, tbar_window_s: Option<u32>, conn_id: usize) -> Self {
        Self {
            spi: spi_text(tek.spi),
            transform: tek.transform.show(),
            remaining_lifetime_s: tek.remaining.as_secs(),
            iv_size_octets: tek.transform.iv_len(),
            replay: Replay::of(tek.transform, tbar_window_s),
            conn_id,
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, interface) in self.interfaces.iter().enumerate() {
            if place > 0 || !self.is_detailed {
                writeln!(f)?;
            }
            let name = interface_word(&interface.interface);
            let (map, address) = (&interface.crypto_map, interface.local_address);
            writeln!(f, "interface: {name}")?;
            writeln!(f, "    Crypto map tag: {map}, local addr {address}")?;
            for flow in &interface.flows {
                flow.write(f, self.is_detailed)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            mask,
            protocol,
            port,
        } = self;
        write!(f, "({address}/{mask}/{protocol}/{port})")
    }
}

impl Flow {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_detailed: bool) -> fmt::Result {
        let (out, back) = (self.encrypted_packets, self.decrypted_packets);
        writeln!(f, "\n   protected vrf: (none)")?;
        writeln!(
            f,
            "   local  ident (addr/mask/prot/port): {}",
            self.local_ident
        )?;
        writeln!(
            f,
            "   remote ident (addr/mask/prot/port): {}",
            self.remote_ident
        )?;
        writeln!(f, "   current_peer 0.0.0.0 port 848")?;
        writeln!(f, "     PERMIT, flags={{origin_is_acl,}}")?;
        writeln!(
            f,
            "    #pkts encaps: {out}, #pkts encrypt: {out}, #pkts digest: {out}"
        )?;
        writeln!(
            f,
            "    #pkts decaps: {back}, #pkts decrypt: {back}, #pkts verify: {back}"
        )?;
        writeln!(f, "    #pkts compressed: 0, #pkts decompressed: 0")?;
        writeln!(f, "    #pkts not compressed: 0, #pkts compr. failed: 0")?;
        writeln!(
            f,
            "    #pkts not decompressed: 0, #pkts decompress failed: 0"
        )?;
        if is_detailed {
            self.write_errors(f)?;
        } else {
            let (send, receive) = (self.errors.send(), self.errors.receive());
            writeln!(f, "    #send errors {send}, #recv errors {receive}")?;
        }
        let local = self.local_endpoint;
        let (mtu, name) = (self.mtu, interface_word(&self.interface));
        let plaintext = self.plaintext_mtu.unwrap_or_else(|| usize::from(mtu));
        writeln!(
            f,
            "\n     local crypto endpt.: {local}, remote crypto endpt.: 0.0.0.0"
        )?;
        writeln!(
            f,
            "     plaintext mtu {plaintext}, path mtu {mtu}, ip mtu {mtu}, ip mtu idb {name}"
        )?;
        writeln!(f, "     current outbound spi: {}", self.outbound_spi)?;
        writeln!(f, "     PFS (Y/N): N, DH group: none")?;
        for (way, sas) in [("inbound", &self.inbound), ("outbound", &self.outbound)] {
            writeln!(f, "\n     {way} esp sas:")?;
            for sa in sas {
                sa.write(f, &self.crypto_map, is_detailed)?;
            }
            writeln!(f, "\n     {way} ah sas:\n\n     {way} pcp sas:")?;
        }
        Ok(())
    }

    fn write_errors(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &self.errors;
        let (no_sa, invalid_sa) = (e.no_sa_send, e.invalid_sa_receive);
        let (encaps, decaps) = (e.encaps_failed_send, e.decaps_failed_receive);
        let (protocol, verify) = (e.invalid_protocol_receive, e.verify_failed_receive);
        let (identity, length) = (e.invalid_identity_receive, e.invalid_length_receive);
        writeln!(
            f,
            "    #pkts no sa (send) {no_sa}, #pkts invalid sa (rcv) {invalid_sa}"
        )?;
        writeln!(
            f,
            "    #pkts encaps failed (send) {encaps}, #pkts decaps failed (rcv) {decaps}"
        )?;
        writeln!(
            f,
            "    #pkts invalid prot (recv) {protocol}, #pkts verify failed: {verify}"
        )?;
        writeln!(
            f,
            "    #pkts invalid identity (recv) {identity}, #pkts invalid len (rcv) {length}"
        )?;
        writeln!(
            f,
            "    #pkts replay rollover (send): 0, #pkts replay rollover (rcv) 0"
        )?;
        writeln!(
            f,
            "    ##pkts replay failed (rcv): {}",
            e.replay_failed_receive
        )?;
        writeln!(f, "    #pkts tagged (send): 0, #pkts untagged (rcv): 0")?;
        writeln!(
            f,
            "    #pkts not tagged (send): 0, #pkts not untagged (rcv): 0"
        )?;
        let internal = e.internal_send;
        writeln!(
            f,
            "    #pkts internal err (send): {internal}, #pkts internal err (recv) 0"
        )
    }
}

impl Sa {
    /// Nothing counts kilobytes, so none run out; the detailed form says so as the largest number.
    fn write(&self, f: &mut fmt::Formatter<'_>, map: &str, is_detailed: bool) -> fmt::Result {
        let (id, remaining) = (self.conn_id, self.remaining_lifetime_s);
        writeln!(f, "      spi: {}", self.spi)?;
        writeln!(f, "        transform: {} ,", self.transform)?;
        writeln!(f, "        in use settings ={{Tunnel, }}")?;
        writeln!(
            f,
            "        conn id: {id}, flow_id: SW:{id}, sibling_flags 80000040, crypto map: {map}"
        )?;
        if is_detailed {
            let kilobytes = u32::MAX;
            writeln!(
                f,
                "        sa timing: remaining key lifetime (k/sec): ({kilobytes}/{remaining})"
            )?;
        } else {
            writeln!(
                f,
                "        sa timing: remaining key lifetime (sec): ({remaining})"
            )?;
            writeln!(f, "        Kilobyte Volume Rekey has been disabled")?;
        }
        writeln!(f, "        IV size: {} bytes", self.iv_size_octets)?;
        match self.replay {
            Replay::None => writeln!(f, "        replay detection support: N")?,
            Replay::Time { .. } | Replay::Counter { .. } => {
                let window = self.replay.window();
                writeln!(
                    f,
                    "        replay detection support: Y  replay window size: {window}"
                )?;
            }
        }
        writeln!(f, "        Status: ACTIVE(ACTIVE)")
    }
}
