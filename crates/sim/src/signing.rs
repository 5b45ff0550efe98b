//! Operators change what signs rekeys and what encrypts them: to another rekey key of another kind
//! and back, and the cipher of the Rekey SA.
//!
//! Half of the time the other key was carried to every key server before; otherwise only the one
//! that changes has it, and the others get it from there (PROTOCOL P26).

use std::time::Duration;

use crypto::SeededRng;

use crate::fault::{Course, place};
use crate::link::below;
use crate::node::NodeId;
use crate::transform::Change;
use crate::world::{Happening, VirtualWorld};

/// An operator waits so long for a key pair that is being made.
const MADE: Duration = Duration::from_secs(2);
/// Ciphers of a Rekey SA. The old one with small blocks is not among them: it comes with a warning.
const CIPHERS: [&str; 3] = ["aes 128", "aes 192", "aes 256"];

/// A rekey key as operators name it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct RekeyKey {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// The words for its size.
    pub(crate) size: &'static str,
    /// Its label.
    pub(crate) label: &'static str,
}

impl RekeyKey {
    /// How an operator makes it.
    pub(crate) fn generate(&self) -> String {
        let Self { kind, size, label } = self;
        match *kind {
            "rsa" => format!("crypto key generate rsa label {label} {size}"),
            _ => format!("crypto key generate {kind} {size} label {label}"),
        }
    }

    /// The line that lets it sign.
    pub(crate) fn line(&self) -> String {
        format!("rekey authentication mypubkey {} {}", self.kind, self.label)
    }
}

impl VirtualWorld {
    /// Another rekey key, or another cipher, drawn.
    pub(crate) fn begin_signing(&mut self, recovery: Duration, dice: &mut SeededRng) -> Course {
        let key = (below(4, dice) > 0).then(|| place(self.rekey_keys.len(), dice));
        let key = key.and_then(|place| self.rekey_keys.get(place).copied());
        let lines = match &key {
            Some(key) => key.line(),
            None => format!("rekey algorithm {}", CIPHERS[place(CIPHERS.len(), dice)]),
        };
        if let Some(key) = key.as_ref().filter(|_| below(2, dice) == 0) {
            for server in self.servers.clone() {
                self.bring_key(server, key);
            }
        }
        let line = format!(
            "configure terminal ; crypto gdoi group G1 ; server local ; {lines} ; end ; \
             write memory"
        );
        self.begin_change(&Change { line, key }, recovery, dice)
    }

    /// A key server gets a rekey key from its operator, if it runs and has it not.
    fn bring_key(&mut self, server: NodeId, key: &RekeyKey) {
        if self.nodes[server].running.is_some() && !self.has_key(server, key) {
            self.order(server, &key.generate());
        }
    }

    /// Whether a key server that runs has a rekey key.
    fn has_key(&mut self, server: NodeId, key: &RekeyKey) -> bool {
        let shown = self.type_line(server, "show crypto key mypubkey all");
        let named =
            |line: &str| line.trim().strip_prefix("Key name:").map(str::trim) == Some(key.label);
        shown.is_ok_and(|shown| shown.lines().any(named))
    }

    /// A change is typed at a key server. The key that it takes is there before, made there if no
    /// other one has it.
    pub(crate) fn follow(&mut self, server: NodeId, change: &Change) {
        let line = change.line.clone();
        let Some(key) = change.key.as_ref() else {
            return self.order(server, &line);
        };
        let servers = self.servers.clone();
        if servers.into_iter().any(|id| self.has_key(id, key)) {
            return self.order(server, &line);
        }
        self.bring_key(server, key);
        self.later(MADE, Happening::Type { node: server, line });
    }
}
