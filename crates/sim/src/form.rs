//! The form in which a group is rekeyed: how rekeys travel, who acknowledges them, who signs, and
//! what operators change of its policy meanwhile.
//!
//! Drawn with dice of its own, so that all else of a day stays as it is in a group of another form.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crypto::SeededRng;

use crate::fault::place;
use crate::signing::RekeyKey;

/// Which forms random groups have.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Rekeys {
    /// Every one: unicast and multicast, RSA and elliptic curves, and operators change the policy.
    #[default]
    Any,
    /// By multicast at first, with everything else of `Any`.
    Multicast,
    /// With members of RFC 6407 among ours, and everything else of `Any`.
    Mixed,
    /// By unicast under an RSA signature, all day.
    Unicast,
}

impl Rekeys {
    /// Its word on a command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Multicast => "multicast",
            Self::Mixed => "mixed",
            Self::Unicast => "unicast",
        }
    }

    /// What a word means.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Any, Self::Multicast, Self::Mixed, Self::Unicast]
            .into_iter()
            .find(|own| own.word() == word)
    }
}

/// Two multicast addresses, each with the access list that names it.
const ADDRESSES: [(u16, Ipv4Addr); 2] = [
    (150, Ipv4Addr::new(239, 10, 1, 1)),
    (151, Ipv4Addr::new(239, 10, 1, 2)),
];

/// The form of a group.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// The access list of the multicast address, if rekeys do not travel by unicast.
    address: Option<u16>,
    /// Who acknowledges by multicast, where the configuration says so.
    acknowledgement: Option<&'static str>,
    /// Seconds between copies.
    pub(crate) period_s: u16,
    /// Seconds between reminders.
    reminder_s: Option<u32>,
    /// The rekey key that signs at first.
    pub(crate) key: RekeyKey,
    /// Whether operators change the policy.
    pub(crate) changes: bool,
    /// Whether some members speak RFC 6407 only: then the policy is one that they can be told.
    pub(crate) mixed: bool,
}

const RSA: RekeyKey = rekey_key("rsa", "modulus 2048");
const P256: RekeyKey = rekey_key("ec", "keysize 256");
const P384: RekeyKey = rekey_key("ec", "keysize 384");

const fn rekey_key(kind: &'static str, size: &'static str) -> RekeyKey {
    RekeyKey {
        kind,
        size,
        label: "rekey",
    }
}

/// Lifetimes of keys, in seconds. Operators double them and take that back.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Lifetimes {
    /// Of a traffic key.
    pub(crate) tek_s: u32,
    /// Of a Rekey SA.
    pub(crate) kek_s: u32,
}

/// A change of the policy, as an operator types it.
pub(crate) fn change(Lifetimes { tek_s, kek_s }: Lifetimes, dice: &mut SeededRng) -> String {
    // A Rekey SA lives twice as long as a traffic key at least.
    let (teks, keks) = [(1, 1), (1, 2), (2, 2)][place(3, dice)];
    let list = ADDRESSES[place(ADDRESSES.len(), dice)].0;
    let server = |lines: &str| format!("crypto gdoi group G1 ; server local ; {lines}");
    let lines = match place(8, dice) {
        0 | 1 => server("rekey transport unicast"),
        2 | 3 => server(&format!(
            "rekey address ipv4 {list} ; no rekey transport unicast"
        )),
        4 => server("sa ipsec 1 ; match address ipv4 ENCPOL"),
        5 => server("sa ipsec 1 ; match address ipv4 ENCPOL2"),
        _ => {
            let tek_s = teks * tek_s;
            let tek = format!(
                "crypto ipsec profile P1 ; set security-association lifetime seconds {tek_s}"
            );
            let kek = server(&format!("rekey lifetime seconds {}", keks * kek_s));
            match teks {
                1 => format!("{tek} ; {kek}"),
                _ => format!("{kek} ; {tek}"),
            }
        }
    };
    format!("configure terminal ; {lines} ; end ; write memory")
}

impl Form {
    /// Draws one.
    pub(crate) fn draw(rekeys: Rekeys, dice: &mut SeededRng) -> Self {
        if rekeys == Rekeys::Unicast {
            return Self {
                address: None,
                acknowledgement: None,
                period_s: 10,
                reminder_s: None,
                key: RSA,
                changes: false,
                mixed: false,
            };
        }
        let one =
            |choices: &[Option<u32>], dice: &mut SeededRng| choices[place(choices.len(), dice)];
        let multicast = place(5, dice) < 2 || rekeys == Rekeys::Multicast;
        let (list, _) = ADDRESSES[place(ADDRESSES.len(), dice)];
        let words = [None, None, Some("getvpn"), Some("any"), Some("none")];
        let keys = [RSA, RSA, P256, P256, P256, P256, P384];
        Self {
            address: multicast.then_some(list),
            acknowledgement: words[place(words.len(), dice)],
            period_s: [10, 10, 10, 10, 20, 40][place(6, dice)],
            reminder_s: one(&[None, None, None, None, Some(120), Some(300)], dice),
            key: keys[place(keys.len(), dice)],
            changes: true,
            mixed: rekeys == Rekeys::Mixed,
        }
    }

    /// The rekey keys that operators change between: the first, and one of another kind or size.
    pub(crate) fn rekey_keys(&self, dice: &mut SeededRng) -> Vec<RekeyKey> {
        let others: Vec<RekeyKey> = [RSA, P256, P384]
            .into_iter()
            .filter(|other| *other != self.key)
            .collect();
        let other = RekeyKey {
            label: "other",
            ..others[place(others.len(), dice)]
        };
        vec![self.key, other]
    }

    /// Whether nobody may say who has a rekey.
    pub(crate) fn is_blind(&self) -> bool {
        self.acknowledgement == Some("none")
    }

    /// In a few words.
    pub(crate) fn summary(&self) -> String {
        let mut text = self.address.map_or("unicast", |_| "multicast").to_owned();
        if self.changes {
            let RekeyKey { kind, size, .. } = self.key;
            let _ = write!(text, " {kind} {size} copies every {} s", self.period_s);
        }
        if let Some(who) = self.acknowledgement {
            let _ = write!(text, " acknowledgement {who}");
        }
        if let Some(seconds) = self.reminder_s {
            let _ = write!(text, " reminder {seconds} s");
        }
        if self.mixed {
            text.push_str(" mixed");
        }
        text
    }

    /// The access lists of a key server that operators may change to: those that name multicast
    /// addresses, and another policy.
    pub(crate) fn access_lists(&self, server: Ipv4Addr, text: &mut String) {
        if !self.changes {
            return;
        }
        for (list, group) in ADDRESSES {
            let _ = writeln!(
                text,
                "access-list {list} permit udp host {server} eq 848 host {group} eq 848"
            );
        }
        // No plain member can be told of a deny.
        let first = if self.mixed {
            "permit tcp 10.200.0.0 0.0.255.255 any eq 179"
        } else {
            "deny tcp any any eq 179"
        };
        let _ = write!(
            text,
            "ip access-list extended ENCPOL2\n {first}\n \
             permit ip 10.200.0.0 0.0.255.255 10.200.0.0 0.0.255.255\n!\n"
        );
    }

    /// The lines of `server local`.
    pub(crate) fn lines(&self, text: &mut String) {
        let _ = writeln!(text, "  {}", self.key.line());
        match self.address {
            Some(list) => drop(writeln!(text, "  rekey address ipv4 {list}")),
            None => text.push_str("  rekey transport unicast\n"),
        }
        if let Some(who) = self.acknowledgement {
            let _ = writeln!(text, "  rekey acknowledgement {who}");
        }
        if let Some(seconds) = self.reminder_s {
            let _ = writeln!(text, "  rekey retransmit {seconds} periodic");
        }
    }
}
