//! A random group: key servers, members, and the configuration of each as IOS text.
//!
//! Small groups with short lives come most often, since they meet the most situations in a second of
//! work; 64 members come rarely.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crypto::SeededRng;
use policy::lifetime::Schedule;
use router::limits::KEY_LOOK_AHEAD_DEFAULT;

use crate::form::{Form, Lifetimes, Rekeys};
use crate::link::below;

/// Up to where random days go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Key servers.
    pub key_servers: RangeInclusive<u16>,
    /// Members.
    pub members: RangeInclusive<u16>,
    /// The longest calm between two faults, seconds.
    pub calm_s: u64,
    /// How groups are rekeyed.
    pub rekeys: Rekeys,
}

/// The longest calm of an ordinary day.
pub const CALM_S: u64 = 1_800;

/// A group as it was drawn.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The key servers: `ks1` and so on.
    pub(crate) key_servers: Vec<Spec>,
    /// The members: `gm1` and so on.
    pub(crate) members: Vec<Spec>,
    /// The lifetimes that it begins with.
    pub(crate) lifetimes: Lifetimes,
    /// The longest lifetime of a traffic key.
    pub(crate) tek_lifetime_s: u32,
    /// The TBAR window, if there is TBAR.
    pub(crate) tbar_window_s: Option<u32>,
    /// Whether copies of packets can be told: the IV of a counter mode names the sender.
    pub(crate) counter_mode: bool,
    /// The group's times, with each of its lifetimes.
    pub(crate) schedules: Vec<Schedule>,
    /// Periods that keys are minted for ahead.
    pub(crate) look_ahead: u32,
    /// How it is rekeyed.
    pub(crate) form: Form,
    /// What was drawn, in a line.
    pub(crate) summary: String,
}

/// One box.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Its name.
    pub(crate) name: String,
    /// Its configuration.
    pub(crate) config: String,
    /// A host in its LAN; only members have one.
    pub(crate) host: Option<Ipv4Addr>,
}

/// What all boxes of the group agree on.
struct Common {
    transform: &'static str,
    tek_s: u32,
    kek_s: u32,
    retransmits: u32,
    tbar_s: Option<u32>,
    /// Periods that keys are minted for ahead, where the configuration says so.
    look_ahead: Option<u32>,
    size: &'static str,
    keepalive: Option<(u64, &'static str)>,
    phase1_s: u64,
}

const TRANSFORMS: [&str; 5] = [
    "esp-gcm 256",
    "esp-gcm 128",
    "esp-gcm 192",
    "esp-gmac 256",
    "esp-aes 256 esp-sha256-hmac",
];

/// A number out of a range, small ones most often.
fn few(range: &RangeInclusive<u16>, dice: &mut SeededRng) -> u16 {
    let (low, high) = (*range.start(), *range.end());
    let most = match below(40, dice) {
        0 => high,
        1..=5 => high.min(low.saturating_add(14)),
        _ => high.min(low.saturating_add(4)),
    };
    let span = u64::from(most.saturating_sub(low)) + 1;
    low + u16::try_from(below(span, dice)).unwrap_or(0)
}

fn pick<T: Copy>(choices: &[T], dice: &mut SeededRng) -> T {
    let place = below(choices.len() as u64, dice);
    choices[usize::try_from(place).unwrap_or(0)]
}

fn secret(dice: &mut SeededRng) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..28).map(|_| char::from(pick(LETTERS, dice))).collect()
}

/// Mostly few key servers: what they say to each other grows with the square of their number.
fn key_servers(range: &RangeInclusive<u16>, dice: &mut SeededRng) -> u16 {
    let (low, high) = (*range.start(), *range.end());
    let more = match below(20, dice) {
        0..=8 => 0,
        9..=13 => 1,
        14..=16 => 2,
        17..=18 => 3,
        _ => below(u64::from(high.saturating_sub(low)) + 1, dice),
    };
    low.saturating_add(u16::try_from(more).unwrap_or(0))
        .min(high)
}

/// `crypto isakmp keepalive`. Key servers ask each other every second or two, which is most of what a
/// day of several of them costs: the more they are, the fewer groups have it.
fn keepalive(servers: u16, dice: &mut SeededRng) -> Option<(u64, &'static str)> {
    let asked = below(2 * u64::from(servers), dice) == 0;
    let choices = [(30, "periodic"), (120, "on-demand"), (600, "periodic")];
    asked.then(|| pick(&choices, dice))
}

impl Common {
    fn draw(servers: u16, members: u16, dice: &mut SeededRng) -> Self {
        // A large group with short lives would cost more than the rest of a run.
        let teks: &[u32] = match members {
            0..=8 => &[60, 60, 90, 120, 300, 600, 1_800, 3_600],
            9..=20 => &[300, 600, 1_800, 3_600],
            _ => &[1_800, 3_600],
        };
        let tek_s = pick(teks, dice);
        let kek_s = (2 * tek_s).max(300) * pick(&[1, 2, 3], dice);
        let bounds: &[&str] = if members <= 16 {
            &["medium", "medium", "medium", "large", "small 16"]
        } else {
            &["medium", "large"]
        };
        Self {
            transform: pick(&TRANSFORMS, dice),
            tek_s,
            kek_s,
            retransmits: pick(&[2, 2, 3, 5], dice),
            tbar_s: pick(&[None, None, Some(10), Some(30), Some(100)], dice),
            look_ahead: pick(&[None, None, None, Some(1), Some(2), Some(4)], dice),
            size: pick(bounds, dice),
            keepalive: keepalive(servers, dice),
            phase1_s: pick(&[86_400, 86_400, 3_600, 600], dice),
        }
    }
}

/// Draws a group, and its form with dice of its own.
pub(crate) fn draw(bounds: &Bounds, dice: &mut SeededRng, forms: &mut SeededRng) -> Group {
    let servers = key_servers(&bounds.key_servers, dice).clamp(1, 16);
    let members = few(&bounds.members, dice).clamp(1, 200);
    let mut common = Common::draw(servers, members, dice);
    let form = Form::draw(bounds.rekeys, forms);
    if form.mixed {
        // What plain members cannot be told: a window, and long sender identifiers (PROTOCOL P10).
        common.tbar_s = None;
        common.size = "small 16";
    }
    let server = |n: u16| Ipv4Addr::from(0x0A01_0002 + (u32::from(n) << 8));
    let member = |n: u16| Ipv4Addr::from(0x0A02_0002 + (u32::from(n) << 8));
    let servers: Vec<_> = (1..=servers).map(server).collect();
    let members: Vec<_> = (1..=members).map(member).collect();
    let keys: Vec<Vec<String>> = (0..servers.len())
        .map(|_| {
            (0..servers.len() + members.len())
                .map(|_| secret(dice))
                .collect()
        })
        .collect();
    let priorities: Vec<u64> = servers.iter().map(|_| 1 + below(255, dice)).collect();
    let plain = (0..members.len())
        .map(|m| form.mixed && (m == 0 || below(2, forms) == 0))
        .collect();
    let plan = Plan {
        common: &common,
        plain,
        form: &form,
        servers: &servers,
        members: &members,
        keys: &keys,
        priorities: &priorities,
    };
    let summary = plan.summary();
    let longest_s = common.tek_s * if form.changes { 2 } else { 1 };
    let copies = u16::try_from(common.retransmits).unwrap_or(2);
    let schedule = |tek_s| Schedule::new(tek_s, form.period_s, copies);
    Group {
        key_servers: (0..servers.len()).map(|n| plan.server(n)).collect(),
        members: (0..members.len()).map(|n| plan.member(n, dice)).collect(),
        lifetimes: Lifetimes {
            tek_s: common.tek_s,
            kek_s: common.kek_s,
        },
        tek_lifetime_s: longest_s,
        tbar_window_s: common.tbar_s,
        counter_mode: common.transform.contains("-g"),
        schedules: [common.tek_s, longest_s].map(schedule).into(),
        look_ahead: common
            .look_ahead
            .unwrap_or_else(|| KEY_LOOK_AHEAD_DEFAULT.into()),
        form,
        summary,
    }
}

struct Plan<'a> {
    common: &'a Common,
    form: &'a Form,
    servers: &'a [Ipv4Addr],
    members: &'a [Ipv4Addr],
    /// Which members speak RFC 6407 only.
    plain: Vec<bool>,
    /// `keys[a][b]` for key servers a <= b, `keys[a][servers + m]` for members.
    keys: &'a [Vec<String>],
    priorities: &'a [u64],
}

impl Plan<'_> {
    fn summary(&self) -> String {
        let Common {
            transform,
            tek_s,
            kek_s,
            retransmits,
            tbar_s,
            size,
            ..
        } = self.common;
        let (servers, members) = (self.servers.len(), self.members.len());
        let form = self.form.summary();
        let tbar = tbar_s.map_or_else(|| "no TBAR".into(), |s| format!("TBAR {s} s"));
        format!(
            "{servers} key servers, {members} members, {transform}, TEK {tek_s} s, KEK {kek_s} s, \
             {retransmits} copies, {tbar}, group size {size}, {form}"
        )
    }

    fn head(&self, name: &str, text: &mut String) {
        let _ = write!(
            text,
            "hostname {}\n!\ncrypto isakmp policy 10\n encr aes 256\n hash sha256\n \
             authentication pre-share\n group 19\n lifetime {}\n",
            name.to_uppercase(),
            self.common.phase1_s
        );
        if let Some((seconds, kind)) = self.common.keepalive {
            let _ = writeln!(text, "crypto isakmp keepalive {seconds} 5 {kind}");
        }
    }

    fn server(&self, n: usize) -> Spec {
        let name = format!("ks{}", n + 1);
        let (own, mut text) = (self.servers[n], String::new());
        self.head(&name, &mut text);
        let mut key = |key: &str, peer: Ipv4Addr| {
            let _ = writeln!(text, "crypto isakmp key {key} address {peer}");
        };
        for (other, peer) in self.servers.iter().enumerate().filter(|(o, _)| *o != n) {
            key(&self.keys[n.min(other)][n.max(other)], *peer);
        }
        for (m, peer) in self.members.iter().enumerate() {
            key(&self.keys[n][self.servers.len() + m], *peer);
        }
        self.server_local(n, &mut text);
        let _ = write!(
            text,
            "!\ninterface Ethernet0/0\n ip address {own} 255.255.255.0\n!\n\
             ip access-list extended ENCPOL\n permit ip 10.200.0.0 0.0.255.255 10.200.0.0 0.0.255.255\n!\n"
        );
        self.form.access_lists(own, &mut text);
        text.push_str("end\n");
        Spec {
            name,
            config: text,
            host: None,
        }
    }

    fn server_local(&self, n: usize, text: &mut String) {
        let common = self.common;
        let _ = write!(
            text,
            "!\ncrypto ipsec transform-set T1 {}\n!\ncrypto ipsec profile P1\n \
             set security-association lifetime seconds {}\n set transform-set T1\n!\n\
             crypto gdoi group G1\n identity number 3333\n server local\n  \
             rekey lifetime seconds {}\n  rekey retransmit {} number {}\n",
            common.transform, common.tek_s, common.kek_s, self.form.period_s, common.retransmits
        );
        self.form.lines(text);
        let _ = writeln!(text, "  group size {}", common.size);
        if let Some(periods) = common.look_ahead {
            let _ = writeln!(text, "  key look-ahead {periods}");
        }
        let _ = write!(
            text,
            "  sa ipsec 1\n   profile P1\n   match address ipv4 ENCPOL\n"
        );
        if let Some(window) = common.tbar_s {
            let _ = writeln!(text, "   replay time window-size {window}");
        }
        let _ = writeln!(text, "  address ipv4 {}", self.servers[n]);
        if self.servers.len() > 1 {
            let priority = self.priorities[n];
            let _ = write!(text, "  redundancy\n   local priority {priority}\n");
            for peer in self.servers.iter().filter(|peer| **peer != self.servers[n]) {
                let _ = writeln!(text, "   peer address ipv4 {peer}");
            }
        }
    }

    fn member(&self, m: usize, dice: &mut SeededRng) -> Spec {
        let name = format!("gm{}", m + 1);
        let (own, mut text) = (self.members[m], String::new());
        self.head(&name, &mut text);
        for (n, peer) in self.servers.iter().enumerate() {
            let key = &self.keys[n][self.servers.len() + m];
            let _ = writeln!(text, "crypto isakmp key {key} address {peer}");
        }
        text.push_str("!\ncrypto gdoi group G1\n identity number 3333\n");
        if self.plain[m] {
            text.push_str(" client compatibility rfc6407\n");
        }
        let mut order = self.servers.to_vec();
        while !order.is_empty() {
            let place = usize::try_from(below(order.len() as u64, dice)).unwrap_or(0);
            let _ = writeln!(text, " server address ipv4 {}", order.remove(place));
        }
        let lan = lan(m);
        let _ = write!(
            text,
            "!\ncrypto map gm_map 10 gdoi\n set group G1\n!\ninterface Ethernet0/0\n \
             ip address {}.1 255.255.255.0\n!\ninterface Serial1/0\n \
             ip address {own} 255.255.255.0\n crypto map gm_map\n!\nend\n",
            lan
        );
        let host = format!("{lan}.10").parse().ok();
        Spec {
            name,
            config: text,
            host,
        }
    }
}

/// The first three octets of a member's LAN.
fn lan(m: usize) -> String {
    format!("10.200.{}", m + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use router::config::parse;

    fn drawn(bounds: &Bounds, seed: u64) -> Group {
        let [mut dice, mut form] = [seed, !seed].map(SeededRng::from_number);
        draw(bounds, &mut dice, &mut form)
    }

    #[test]
    fn every_configuration_of_a_random_group_is_one_that_the_router_takes() {
        let bounds = |rekeys| Bounds {
            key_servers: 1..=8,
            members: 2..=64,
            calm_s: CALM_S,
            rekeys,
        };
        let mut most = (0, 0);
        for seed in 0..200 {
            let rekeys = [Rekeys::Any, Rekeys::Mixed][usize::from(seed % 4 == 0)];
            let group = drawn(&bounds(rekeys), seed);
            most.0 = most.0.max(group.key_servers.len());
            most.1 = most.1.max(group.members.len());
            for spec in group.key_servers.iter().chain(&group.members) {
                let parsed = parse(&spec.name, &spec.config);
                let errors = parsed.err().unwrap_or_default();
                let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
                assert!(told.is_empty(), "{told:#?}\n{}", spec.config);
            }
        }
        assert!(most.0 > 4 && most.1 > 20, "{most:?}");
    }

    #[test]
    fn a_seed_draws_the_same_group_again() {
        let bounds = Bounds {
            key_servers: 2..=8,
            members: 2..=64,
            calm_s: CALM_S,
            rekeys: Rekeys::Any,
        };
        let text = |seed| {
            let group = drawn(&bounds, seed);
            format!("{group:?}")
        };
        assert_eq!(text(5), text(5));
        assert_ne!(text(5), text(6));
    }
}
