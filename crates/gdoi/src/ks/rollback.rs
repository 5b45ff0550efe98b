//! A key server that has forgotten what it handed out: its disk was restored from an older copy, or
//! its machine was cloned (PROTOCOL P22).
//!
//! Decides what is concluded from what others remember: other key servers of its marks, members of
//! the sender identifiers that they hold.

use std::net::Ipv4Addr;

use ::policy::{PseudoTime, Sid, SidSpace};
use event::Gdoi;
use wire::private::SidsHeld;

use super::{KeyServer, Member, Serving};
use crate::context::Context;
use crate::limits::SID_BLOCK;

impl KeyServer {
    /// A member that registers again says which sender identifiers it holds. One of our range that
    /// we do not know to be handed out, or know to be another member's, was handed out in a life
    /// that we have forgotten. Says whether keys are in doubt because of it.
    //= getvpn P22
    #[must_use]
    pub(super) fn member_remembers(
        &mut self,
        cx: &mut Context<'_>,
        address: Ipv4Addr,
        held: &SidsHeld,
    ) -> bool {
        let space = self.sids.space();
        if held.bits != space.size.bits() {
            return false;
        }
        let (mut highest, mut twice) = (None, None);
        for sid in held.sids.iter().copied().map(Sid) {
            let Some((whose, n)) = SidSpace::holding(space.size, sid) else {
                continue;
            };
            if whose != space {
                // If that key server loses its memory, we tell it.
                self.coop_remembers(cx, whose.index, n.saturating_add(1));
            } else if n >= self.sids.allocated() {
                highest = highest.max(Some(n));
            } else if self.sids.is_of_this_run(n) && self.is_leased_to_another(sid, address) {
                twice = Some(sid);
            }
        }
        if highest.is_none() && twice.is_none() {
            return false;
        }
        let mut what = Vec::new();
        if let Some(n) = highest {
            what.push(format!("sender identifier {n} of this key server's range"));
            self.sids
                .skip_to(n.saturating_add(1).next_multiple_of(SID_BLOCK));
        }
        what.extend(twice.map(|sid| format!("another holder of identifier 0x{:X}", sid.0)));
        cx.out.report(Gdoi::KS_STATE_ROLLBACK {
            peer: address,
            group: self.config.group.clone(),
            what: what.join(" and "),
        });
        self.persist_group(cx);
        // Keys of this run were never used with what an earlier one handed out.
        twice.is_some() || self.has_keys_of_before()
    }

    /// Whether a member other than that one sends with an identifier, or may still.
    fn is_leased_to_another(&self, sid: Sid, address: Ipv4Addr) -> bool {
        let has = |member: &Member| member.leases.iter().any(|lease| lease.sids.contains(&sid));
        let own = self.members.find(address).is_some_and(has);
        !own && self
            .members
            .iter()
            .any(|(other, member)| other != address && has(member))
    }

    /// Whether identifiers were handed out in this run for keys that are older than it.
    fn has_keys_of_before(&self) -> bool {
        let before = |minted: PseudoTime| self.keys_until.is_some_and(|until| minted <= until);
        let mut teks = self.keys.teks.iter();
        self.sids.has_allocated() && teks.any(|record| before(record.minted))
    }

    /// Two members may send with one identifier: the keys that they do it with are replaced, and
    /// every member comes for other identifiers.
    pub(super) fn replace_doubtful_keys(&mut self, cx: &mut Context<'_>) {
        if self.serving == Serving::Yes && !self.is_removing() {
            let now = self.clock.at(cx.now);
            self.raise(cx, now.after(self.removal_delay(cx)), now);
        }
    }

    /// Keys of before this run, or of another key server, were minted until then at least.
    pub(super) fn has_keys_until(&mut self, minted: PseudoTime) {
        self.keys_until = self.keys_until.max(Some(minted));
    }
}
