//! Which frames of a WAN port go where: the filters of the steering, as classic BPF.
//!
//! The port works like one with a crypto map. Outbound, every frame goes to the forwarder, except
//! the few kinds that `egress` names. Inbound, the forwarder takes ESP and suspect clear packets,
//! and the stack sees only what `ingress` lets pass. Both programs name what *passes*, and the
//! filter that follows them redirects or drops everything else: a frame too short to be judged
//! makes classic BPF return 0, which here means "not named", so it does not pass.
//!
//! Decides nothing about groups, keys or access lists, and touches no device: `netio::steer` loads
//! these programs.

mod bpf;
pub mod limits;
mod protected;

use std::net::Ipv4Addr;

pub use bpf::{INSTRUCTIONS_MAX, Instruction};
pub use protected::{Protected, Range};

use bpf::{Assembler, Label, code};
use limits::{ADDRESSES_MAX, SEARCH_PIECE};

/// How one WAN port is steered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The Linux device, for example `wan`.
    pub device: String,
    /// The name by which the forwarders' snapshot knows the port, for example `Serial1/0`.
    pub interface: String,
    /// The port's own IPv4 addresses, the one that registers first.
    pub own: Vec<Ipv4Addr>,
    /// With whom the router itself speaks GDOI through this port.
    pub peers: Peers,
    /// Which inbound clear packets the forwarder must judge.
    pub protected: Protected,
}

/// With whom the router itself speaks UDP 848.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// A group member: with its configured servers only.
    Servers(Vec<Ipv4Addr>),
    /// A key server: with anyone.
    Anyone,
}

/// The hardware addresses on frames that the forwarder hands to the stack, drawn at random when it
/// starts. They are how the inbound filters tell such a frame from one off the wire, which may be
/// the same packet otherwise: a decrypted packet is clear and of protected addresses, and may
/// itself be protocol 50. They never appear on a wire.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reentry {
    /// The source of every such frame.
    pub source: [u8; 6],
    /// The destination of those that are not multicast: the forwarder's own device.
    pub destination: [u8; 6],
}

impl Reentry {
    /// Both addresses, unicast and locally administered, from 12 random octets.
    #[must_use]
    pub fn from_random(random: [u8; 12]) -> Self {
        let address = |octets: [u8; 6]| {
            let [first, rest @ ..] = octets;
            let first = first & !0x01 | 0x02;
            [first, rest[0], rest[1], rest[2], rest[3], rest[4]]
        };
        let [a, b, c, d, e, f, g, h, i, j, k, l] = random;
        Self {
            source: address([a, b, c, d, e, f]),
            destination: address([g, h, i, j, k, l]),
        }
    }
}

/// The verdict of a classifier program that names a frame: any value but 0.
const NAMED: u32 = u32::MAX;

/// The program that names what leaves the WAN port as it is; the rest goes to the forwarder.
#[must_use]
pub fn egress(plan: &Plan) -> Vec<Instruction> {
    let mut filter = Filter::new();
    filter.link_layer();
    filter.egress_v4(plan);
    filter.egress_v6();
    filter.finish(NAMED, 0)
}

/// The program that names what the stack may have of what arrives; the rest is dropped.
#[must_use]
pub fn ingress(plan: &Plan, reentry: &Reentry) -> Vec<Instruction> {
    inbound(plan, reentry, NAMED, 0)
}

/// The program for the forwarder's packet socket: it takes exactly what `ingress` does not name.
#[must_use]
pub fn socket(plan: &Plan, reentry: &Reentry) -> Vec<Instruction> {
    inbound(plan, reentry, 0, NAMED)
}

/// The program that returns `verdict` for every frame.
#[must_use]
pub fn constant(verdict: u32) -> Vec<Instruction> {
    vec![Instruction {
        code: code::RET,
        jt: 0,
        jf: 0,
        k: verdict,
    }]
}

fn inbound(plan: &Plan, reentry: &Reentry, pass: u32, hold: u32) -> Vec<Instruction> {
    let mut filter = Filter::new();
    filter.reentry(reentry);
    filter.link_layer();
    filter.ingress_v4(plan);
    filter.ingress_v6(plan);
    filter.finish(pass, hold)
}

/// EtherTypes that carry no IP and stay with the kernel: link control of the port itself.
const LINK_CONTROL: [u16; 6] = [
    0x0806, // ARP
    0x8035, // RARP
    0x8809, // slow protocols (LACP)
    0x888e, // EAPOL
    0x88cc, // LLDP
    0x8902, // CFM
];
const ETHERTYPE_IPV4: u32 = 0x0800;
const ETHERTYPE_IPV6: u32 = 0x86dd;
/// 802.1Q, 802.1ad and its predecessor.
const ETHERTYPES_VLAN: [u32; 3] = [0x8100, 0x88a8, 0x9100];
/// Below it the field is a length, and an LLC header follows (spanning tree, IS-IS, CDP).
const ETHERTYPE_FIRST: u32 = 0x0600;

const IGMP: u32 = 2;
const UDP: u32 = 17;
const ESP: u32 = 50;
const ICMPV6: u32 = 58;
const GDOI_PORT: u32 = 848;

/// Source and destination port, as one load reads them.
const fn ports(source: u32, destination: u32) -> u32 {
    source << 16 | destination
}

/// Where the fields of an IP header are, from its start, which register X holds.
mod at {
    pub(super) const V4_VERSION: u32 = 0;
    pub(super) const V4_FRAGMENT: u32 = 6;
    pub(super) const V4_TTL: u32 = 8;
    pub(super) const V4_PROTOCOL: u32 = 9;
    pub(super) const V4_SOURCE: u32 = 12;
    pub(super) const V4_DESTINATION: u32 = 16;
    pub(super) const V4_PORTS: u32 = 20;
    pub(super) const V6_NEXT_HEADER: u32 = 6;
    pub(super) const V6_HOP_LIMIT: u32 = 7;
    pub(super) const V6_SOURCE: u32 = 8;
    pub(super) const V6_DESTINATION: u32 = 24;
    pub(super) const V6_PAYLOAD: u32 = 40;
}

/// A filter under construction, with its two ends.
struct Filter {
    asm: Assembler,
    pass: Label,
    hold: Label,
    v4: Label,
    v6: Label,
}

impl Filter {
    fn new() -> Self {
        let mut asm = Assembler::default();
        let [pass, hold, v4, v6] = std::array::from_fn(|_| asm.label());
        Self {
            asm,
            pass,
            hold,
            v4,
            v6,
        }
    }

    fn finish(mut self, pass: u32, hold: u32) -> Vec<Instruction> {
        self.asm.place(self.pass);
        self.asm.plain(code::RET, pass);
        self.asm.place(self.hold);
        self.asm.plain(code::RET, hold);
        self.asm.assemble()
    }

    /// Frames that the forwarder hands to the stack pass.
    fn reentry(&mut self, reentry: &Reentry) {
        let halves = |mac: [u8; 6]| {
            let [a, b, c, d, e, f] = mac;
            (
                u32::from_be_bytes([a, b, c, d]),
                u32::from(u16::from_be_bytes([e, f])),
            )
        };
        let foreign = self.asm.label();
        let (high, low) = halves(reentry.source);
        self.asm.plain(code::LD_W_ABS, 6);
        self.asm.unless(code::JEQ, high, foreign);
        self.asm.plain(code::LD_H_ABS, 10);
        self.asm.unless(code::JEQ, low, foreign);
        self.asm.plain(code::LD_B_ABS, 0);
        self.asm.when(code::JSET, 0x01, self.pass);
        let (high, low) = halves(reentry.destination);
        self.asm.plain(code::LD_W_ABS, 0);
        self.asm.unless(code::JEQ, high, foreign);
        self.asm.plain(code::LD_H_ABS, 4);
        self.asm.when(code::JEQ, low, self.pass);
        self.asm.place(foreign);
    }

    /// Finds the IP header behind at most two VLAN tags: X = where it starts. Link control passes,
    /// whatever else is neither IPv4 nor IPv6 does not.
    fn link_layer(&mut self) {
        let found = self.asm.label();
        for (tags, start) in [14, 18, 22].into_iter().enumerate() {
            self.asm.plain(code::LDX_IMM, start);
            self.asm.plain(code::LD_H_ABS, start - 2);
            if tags == 2 {
                break;
            }
            let tag = self.asm.label();
            for ethertype in ETHERTYPES_VLAN {
                self.asm.when(code::JEQ, ethertype, tag);
            }
            self.asm.jump(found);
            self.asm.place(tag);
        }
        self.asm.place(found);
        self.asm.when(code::JEQ, ETHERTYPE_IPV4, self.v4);
        self.asm.when(code::JEQ, ETHERTYPE_IPV6, self.v6);
        self.asm.unless(code::JGE, ETHERTYPE_FIRST, self.pass);
        for ethertype in LINK_CONTROL {
            self.asm.when(code::JEQ, ethertype.into(), self.pass);
        }
        self.asm.jump(self.hold);
    }

    /// The router's own IGMP, DHCP and GDOI leave; X is the IP header.
    fn egress_v4(&mut self, plan: &Plan) {
        let (udp, igmp) = (self.asm.label(), self.asm.label());
        let (from_own, gdoi, dhcp) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.place(self.v4);
        self.asm.plain(code::LD_B_IND, at::V4_PROTOCOL);
        self.asm.when(code::JEQ, UDP, udp);
        self.asm.when(code::JEQ, IGMP, igmp);
        self.asm.jump(self.hold);

        self.asm.place(igmp);
        self.igmp(self.hold);
        self.asm.plain(code::LD_W_IND, at::V4_SOURCE);
        self.addresses(&plan.own, self.pass);
        self.asm.branch(code::JEQ, 0, self.pass, self.hold);

        self.asm.place(udp);
        self.whole_datagram(self.hold);
        self.asm.plain(code::LD_W_IND, at::V4_SOURCE);
        self.addresses(&plan.own, from_own);
        self.asm.branch(code::JEQ, 0, dhcp, self.hold);

        self.asm.place(from_own);
        match &plan.peers {
            Peers::Anyone => {
                self.asm.plain(code::LD_H_IND, at::V4_PORTS);
                self.asm.branch(code::JEQ, GDOI_PORT, self.pass, dhcp);
            }
            Peers::Servers(servers) => {
                self.asm.plain(code::LD_W_IND, at::V4_DESTINATION);
                self.addresses(servers, gdoi);
                self.asm.jump(dhcp);
            }
        }
        self.asm.place(gdoi);
        self.asm.plain(code::LD_W_IND, at::V4_PORTS);
        self.asm
            .when(code::JEQ, ports(GDOI_PORT, GDOI_PORT), self.pass);
        self.asm.place(dhcp);
        self.asm.plain(code::LD_W_IND, at::V4_PORTS);
        self.asm
            .branch(code::JEQ, ports(68, 67), self.pass, self.hold);
    }

    /// ESP is held, IGMP, DHCP and GDOI to the router pass, suspects are held; X is the IP header.
    fn ingress_v4(&mut self, plan: &Plan) {
        let [udp, igmp, to_own, to_group, gdoi, dhcp, suspects] =
            std::array::from_fn(|_| self.asm.label());
        self.asm.place(self.v4);
        self.asm.plain(code::LD_B_IND, at::V4_PROTOCOL);
        self.asm.when(code::JEQ, ESP, self.hold);
        self.asm.when(code::JEQ, UDP, udp);
        self.asm.when(code::JEQ, IGMP, igmp);
        self.asm.jump(suspects);

        self.asm.place(igmp);
        self.igmp(suspects);
        self.asm.jump(self.pass);

        self.asm.place(udp);
        self.whole_datagram(suspects);
        self.asm.plain(code::LD_W_IND, at::V4_DESTINATION);
        self.addresses(&plan.own, to_own);
        self.asm.when(code::JEQ, u32::MAX, dhcp);
        // A port without an address is offered one under that address.
        let other = if plan.own.is_empty() { dhcp } else { suspects };
        self.asm.branch(code::JGE, 0xe000_0000, to_group, other);

        self.asm.place(to_own);
        match &plan.peers {
            Peers::Anyone => {
                self.asm.jump(gdoi);
                self.asm.place(to_group);
                self.asm.jump(suspects);
            }
            Peers::Servers(servers) => {
                self.asm.plain(code::LD_W_IND, at::V4_SOURCE);
                self.addresses(servers, gdoi);
                self.asm.jump(dhcp);
                self.asm.place(to_group);
                self.asm.plain(code::LD_W_IND, at::V4_SOURCE);
                self.addresses(servers, gdoi);
                self.asm.jump(suspects);
            }
        }
        self.asm.place(gdoi);
        self.asm.plain(code::LD_H_IND, at::V4_PORTS + 2);
        self.asm.when(code::JEQ, GDOI_PORT, self.pass);
        self.asm.place(dhcp);
        self.asm.plain(code::LD_W_IND, at::V4_PORTS);
        self.asm
            .branch(code::JEQ, ports(67, 68), self.pass, suspects);

        self.asm.place(suspects);
        self.suspects(&plan.protected);
    }

    /// On if this is IGMP as a port itself speaks it: TTL 1 to a multicast address.
    fn igmp(&mut self, otherwise: Label) {
        self.asm.plain(code::LD_B_IND, at::V4_TTL);
        self.asm.unless(code::JEQ, 1, otherwise);
        self.asm.plain(code::LD_B_IND, at::V4_DESTINATION);
        self.asm.unless(code::JGE, 0xe0, otherwise);
        self.asm.when(code::JGE, 0xf0, otherwise);
    }

    /// On if the header has no options and the datagram is no fragment, so that its ports follow.
    fn whole_datagram(&mut self, otherwise: Label) {
        self.asm.plain(code::LD_B_IND, at::V4_VERSION);
        self.asm.unless(code::JEQ, 0x45, otherwise);
        self.asm.plain(code::LD_H_IND, at::V4_FRAGMENT);
        self.asm.when(code::JSET, 0x3fff, otherwise);
    }

    /// To `hit` if A is one of the first `ADDRESSES_MAX` addresses, else on.
    fn addresses(&mut self, addresses: &[Ipv4Addr], hit: Label) {
        for address in addresses.iter().take(ADDRESSES_MAX) {
            self.asm.when(code::JEQ, address.to_bits(), hit);
        }
    }

    fn suspects(&mut self, protected: &Protected) {
        if protected.all_v4 {
            return self.asm.jump(self.hold);
        }
        if !protected.both.is_empty() {
            let (second, on) = (self.asm.label(), self.asm.label());
            self.asm.plain(code::LD_W_IND, at::V4_SOURCE);
            self.search(&protected.both, second, on);
            self.asm.place(second);
            self.asm.plain(code::LD_W_IND, at::V4_DESTINATION);
            self.search(&protected.both, self.hold, on);
            self.asm.place(on);
        }
        if !protected.either.is_empty() {
            for field in [at::V4_SOURCE, at::V4_DESTINATION] {
                let on = self.asm.label();
                self.asm.plain(code::LD_W_IND, field);
                self.search(&protected.either, self.hold, on);
                self.asm.place(on);
            }
        }
        self.asm.jump(self.pass);
    }

    /// To `hit` if A is in one of the sorted ranges, else to `miss`, in logarithmic time.
    fn search(&mut self, ranges: &[Range], hit: Label, miss: Label) {
        let mut boundaries = Vec::with_capacity(2 * ranges.len());
        for range in ranges {
            boundaries.push((range.first.to_bits(), true));
            if let Some(after) = range.last.to_bits().checked_add(1) {
                boundaries.push((after, false));
            }
        }
        self.search_boundaries(&boundaries, false, hit, miss);
    }

    /// `boundaries`: from which address on the answer is which; `below`: the answer before all.
    fn search_boundaries(
        &mut self,
        boundaries: &[(u32, bool)],
        below: bool,
        hit: Label,
        miss: Label,
    ) {
        if boundaries.len() <= SEARCH_PIECE {
            // Exits of the piece's own, near enough for its conditions.
            let (near_hit, near_miss) = (self.asm.label(), self.asm.label());
            self.search_piece(boundaries, below, near_hit, near_miss);
            self.asm.place(near_hit);
            self.asm.jump(hit);
            self.asm.place(near_miss);
            return self.asm.jump(miss);
        }
        let (middle, (address, answer)) = (boundaries.len() / 2, boundaries[boundaries.len() / 2]);
        let above = self.asm.label();
        self.asm.when(code::JGE, address, above);
        self.search_boundaries(&boundaries[..middle], below, hit, miss);
        self.asm.place(above);
        self.search_boundaries(&boundaries[middle + 1..], answer, hit, miss);
    }

    fn search_piece(&mut self, boundaries: &[(u32, bool)], below: bool, hit: Label, miss: Label) {
        let exit = |answer: bool| if answer { hit } else { miss };
        match boundaries {
            [] => self.asm.jump(exit(below)),
            [(address, answer)] => {
                self.asm
                    .branch(code::JGE, *address, exit(*answer), exit(below));
            }
            _ => {
                let (address, answer) = boundaries[boundaries.len() / 2];
                let above = self.asm.label();
                self.asm.when(code::JGE, address, above);
                self.search_piece(&boundaries[..boundaries.len() / 2], below, hit, miss);
                self.asm.place(above);
                self.search_piece(&boundaries[boundaries.len() / 2 + 1..], answer, hit, miss);
            }
        }
    }

    /// Neighbour discovery, MLD and the port's own DHCPv6 leave; X is the IP header.
    fn egress_v6(&mut self) {
        let (multicast, udp) = (self.asm.label(), self.asm.label());
        self.asm.place(self.v6);
        self.asm.plain(code::LD_B_IND, at::V6_NEXT_HEADER);
        self.asm.when(code::JEQ, 0, multicast);
        self.asm.when(code::JEQ, UDP, udp);
        self.asm.unless(code::JEQ, ICMPV6, self.hold);
        self.neighbour_discovery(self.hold);
        self.asm.place(multicast);
        self.multicast_listener(self.hold);
        self.asm.place(udp);
        self.dhcpv6(at::V6_SOURCE, ports(546, 547), self.hold);
    }

    /// ESP is held, neighbour discovery, MLD and DHCPv6 to the port pass; X is the IP header.
    fn ingress_v6(&mut self, plan: &Plan) {
        let [multicast, udp, suspects] = std::array::from_fn(|_| self.asm.label());
        self.asm.place(self.v6);
        self.asm.plain(code::LD_B_IND, at::V6_NEXT_HEADER);
        self.asm.when(code::JEQ, ESP, self.hold);
        self.asm.when(code::JEQ, 0, multicast);
        self.asm.when(code::JEQ, UDP, udp);
        self.asm.unless(code::JEQ, ICMPV6, suspects);
        self.neighbour_discovery(suspects);
        self.asm.place(multicast);
        self.multicast_listener(suspects);
        self.asm.place(udp);
        self.dhcpv6(at::V6_DESTINATION, ports(547, 546), suspects);
        self.asm.place(suspects);
        self.asm.jump(if plan.protected.all_v6 {
            self.hold
        } else {
            self.pass
        });
    }

    /// RFC 4861 types 133..=137 with hop limit 255: a router forwards no such packet.
    fn neighbour_discovery(&mut self, otherwise: Label) {
        self.asm.plain(code::LD_B_IND, at::V6_HOP_LIMIT);
        self.asm.unless(code::JEQ, 255, otherwise);
        self.asm.plain(code::LD_B_IND, at::V6_PAYLOAD);
        self.asm.unless(code::JGE, 133, otherwise);
        self.asm.branch(code::JGE, 138, otherwise, self.pass);
    }

    /// RFC 3810: hop limit 1, from a link-local or no address to multicast, behind router alert.
    fn multicast_listener(&mut self, otherwise: Label) {
        let listener = self.asm.label();
        self.asm.plain(code::LD_B_IND, at::V6_HOP_LIMIT);
        self.asm.unless(code::JEQ, 1, otherwise);
        self.asm.plain(code::LD_B_IND, at::V6_DESTINATION);
        self.asm.unless(code::JEQ, 0xff, otherwise);
        // Next header and length of the hop-by-hop header: ICMPv6 after eight octets.
        self.asm.plain(code::LD_H_IND, at::V6_PAYLOAD);
        self.asm.unless(code::JEQ, ICMPV6 << 8, otherwise);
        self.link_local(at::V6_SOURCE, listener);
        for word in 0..4 {
            self.asm.plain(code::LD_W_IND, at::V6_SOURCE + 4 * word);
            self.asm.unless(code::JEQ, 0, otherwise);
        }
        self.asm.place(listener);
        self.asm.plain(code::LD_B_IND, at::V6_PAYLOAD + 8);
        self.asm.when(code::JEQ, 143, self.pass);
        self.asm.unless(code::JGE, 130, otherwise);
        self.asm.branch(code::JGE, 133, otherwise, self.pass);
    }

    fn dhcpv6(&mut self, own: u32, ports: u32, otherwise: Label) {
        let local = self.asm.label();
        self.link_local(own, local);
        self.asm.jump(otherwise);
        self.asm.place(local);
        self.asm.plain(code::LD_W_IND, at::V6_PAYLOAD);
        self.asm.branch(code::JEQ, ports, self.pass, otherwise);
    }

    /// To `hit` if the address at `field` is in fe80::/10, which no router forwards, else on.
    fn link_local(&mut self, field: u32, hit: Label) {
        self.asm.plain(code::LD_H_IND, field);
        self.asm.plain(code::AND, 0xffc0);
        self.asm.when(code::JEQ, 0xfe80, hit);
    }
}

#[cfg(test)]
mod tests;
