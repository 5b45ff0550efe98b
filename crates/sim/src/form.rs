//! The form in which a group is rekeyed: how rekeys travel, who acknowledges them, who signs.
//!
//! Drawn with dice of its own, so that all else of a day stays as it is in a group of another form.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crypto::SeededRng;

use crate::fault::place;
use crate::topology::REKEY_LABEL;

/// Which forms random groups have.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Rekeys {
    /// Every one: unicast and multicast, RSA and elliptic curves, and operators change the transport.
    #[default]
    Any,
    /// By multicast at first, with everything else of `Any`.
    Multicast,
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
            Self::Unicast => "unicast",
        }
    }

    /// What a word means.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Any, Self::Multicast, Self::Unicast]
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
    /// Seconds between reminders.
    reminder_s: Option<u32>,
    /// The words of the rekey key: its kind, and what `crypto key generate` needs beside its label.
    key: (&'static str, &'static str),
    /// Whether operators may change the transport.
    pub(crate) changes: bool,
}

const RSA: (&str, &str) = ("rsa", "modulus 2048");
const P256: (&str, &str) = ("ec", "keysize 256");
const P384: (&str, &str) = ("ec", "keysize 384");

/// A change of the transport, as an operator types it.
pub(crate) fn change(dice: &mut SeededRng) -> String {
    let lines = match place(3, dice) {
        0 => "rekey transport unicast".to_owned(),
        other => {
            let (list, _) = ADDRESSES[other - 1];
            format!("rekey address ipv4 {list} ; no rekey transport unicast")
        }
    };
    format!(
        "configure terminal ; crypto gdoi group G1 ; server local ; {lines} ; end ; write memory"
    )
}

impl Form {
    /// Draws one.
    pub(crate) fn draw(rekeys: Rekeys, dice: &mut SeededRng) -> Self {
        if rekeys == Rekeys::Unicast {
            return Self {
                address: None,
                acknowledgement: None,
                reminder_s: None,
                key: RSA,
                changes: false,
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
            reminder_s: one(&[None, None, None, None, Some(120), Some(300)], dice),
            key: keys[place(keys.len(), dice)],
            changes: true,
        }
    }

    /// Whether nobody may say who has a rekey.
    pub(crate) fn is_blind(&self) -> bool {
        self.acknowledgement == Some("none")
    }

    /// In a few words.
    pub(crate) fn summary(&self) -> String {
        let mut text = self.address.map_or("unicast", |_| "multicast").to_owned();
        if self.changes {
            let _ = write!(text, " {} {}", self.key.0, self.key.1);
        }
        if let Some(who) = self.acknowledgement {
            let _ = write!(text, " acknowledgement {who}");
        }
        if let Some(seconds) = self.reminder_s {
            let _ = write!(text, " reminder {seconds} s");
        }
        text
    }

    /// The access lists that name the multicast addresses of a key server.
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
    }

    /// The lines of `server local`.
    pub(crate) fn lines(&self, text: &mut String) {
        let (kind, _) = self.key;
        let _ = writeln!(text, "  rekey authentication mypubkey {kind} {REKEY_LABEL}");
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

    /// How an operator makes the rekey key.
    pub(crate) fn generate(&self) -> String {
        let (kind, size) = self.key;
        match kind {
            "rsa" => format!("crypto key generate rsa label {REKEY_LABEL} {size}"),
            _ => format!("crypto key generate {kind} {size} label {REKEY_LABEL}"),
        }
    }
}
