//! Operators change the transform set, or the rest of the policy: at one key server first, half of the time while it is apart
//! from the others, and then at all of them.
//!
//! Decides what and when. In a split only the members of that side know of it (README's limits), so
//! nothing is promised until it has healed; without one no packet is lost.

use std::time::Duration;

use crypto::SeededRng;

use crate::fault::{Course, place};
use crate::form;
use crate::link::below;
use crate::node::NodeId;
use crate::removal::SETTLED_APART;
use crate::signing::RekeyKey;
use crate::world::{Happening, VirtualWorld};

/// From the first key server's change, or the end of the split, to that of the others.
const OTHERS_FOLLOW: Duration = Duration::from_secs(30);
/// From the change in a split until it is healed, at most.
const APART_MAX_S: u64 = 180;
/// Transforms whose IVs name the sender, and such whose IVs do not: a group keeps to its kind, since
/// the watch tells copies by them.
const COUNTER_MODES: [&str; 4] = ["esp-gcm 256", "esp-gcm 128", "esp-gcm 192", "esp-gmac 256"];
const OTHERS: [&str; 3] = [
    "esp-aes 256 esp-sha256-hmac",
    "esp-aes 128 esp-sha256-hmac",
    "esp-aes 192 esp-sha256-hmac",
];

/// What operators type at each key server.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The commands.
    pub(crate) line: String,
    /// The rekey key that they name.
    pub(crate) key: Option<RekeyKey>,
}

impl Change {
    /// One that takes nothing else.
    const fn of(line: String) -> Self {
        Self { line, key: None }
    }
}

impl VirtualWorld {
    /// A change of the transform set, drawn.
    pub(crate) fn begin_transform(&mut self, recovery: Duration, dice: &mut SeededRng) -> Course {
        let transforms: &[&str] = if self.tells_copies {
            &COUNTER_MODES
        } else {
            &OTHERS
        };
        let transform = transforms[place(transforms.len(), dice)];
        let line = format!(
            "configure terminal ; crypto ipsec transform-set T1 {transform} ; end ; write memory"
        );
        self.begin_change(&Change::of(line), recovery, dice)
    }

    /// A change of the rest of the policy, drawn.
    pub(crate) fn begin_policy(&mut self, recovery: Duration, dice: &mut SeededRng) -> Course {
        let line = form::change(self.lifetimes, dice);
        self.begin_change(&Change::of(line), recovery, dice)
    }

    /// A change at the primary of one of the parts, then everywhere.
    pub(crate) fn begin_change(
        &mut self,
        change: &Change,
        recovery: Duration,
        dice: &mut SeededRng,
    ) -> Course {
        let which = place(self.servers.len(), dice);
        let apart = self.servers.len() > 1 && below(2, dice) == 0;
        let lasts = if apart {
            self.part_key_servers(dice);
            let rest = Duration::from_millis(below(APART_MAX_S * 1_000, dice));
            let change = change.clone();
            self.later(SETTLED_APART, Happening::Change { which, change });
            SETTLED_APART + rest
        } else {
            self.change(which, change);
            Duration::from_millis(below(20_000, dice))
        };
        for node in self.servers.clone() {
            let change = change.clone();
            self.later(lasts + OTHERS_FOLLOW, Happening::Follow { node, change });
        }
        Course {
            lasts,
            settles: recovery + OTHERS_FOLLOW,
        }
    }

    /// The policy changes at the primary of one of the parts.
    pub(crate) fn change(&mut self, which: usize, change: &Change) {
        let primaries: Vec<NodeId> = self.primaries();
        let now = self.now;
        if let Some(primary) = primaries.get(which % primaries.len().max(1)) {
            if let Some(model) = &mut self.reference {
                model.urgent_rekey(now);
            }
            self.follow(*primary, change);
        }
    }
}
