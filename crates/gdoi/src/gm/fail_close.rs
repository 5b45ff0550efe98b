//! When keys are lost: what expires is taken away, and a member without keys is closed.

use super::Member;
use super::held::Keks;
use super::registration::Plan;
use crate::context::Context;
use crate::machine::Output;

impl Member {
    /// Takes away what has expired. A member whose last key is gone passes nothing more.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let Some(held) = &mut self.held else { return };
        let now = held.clock.at(cx.now);
        for spi in held.expire(now) {
            cx.out.push(Output::RemoveSa {
                group: self.config.group.clone(),
                spi,
            });
        }
        if held.teks.is_empty() {
            self.held = None;
            self.fetch = None;
            cx.out.push(Output::CloseGroup {
                group: self.config.group.clone(),
            });
            let late = self.plan.at.is_none_or(|at| at > cx.now) && !self.summoned;
            if self.attempt.is_idle() && late {
                self.plan = Plan::at(cx.now);
            }
        }
    }

    /// The key server set the group's clock back: it has forgotten what it was, and with it the
    /// sender identifiers that it gave for the keys of before. Their times mean nothing on the new
    /// clock, so nobody would end them, and two members could send on them under one identifier.
    //= getvpn P20
    pub(super) fn drop_keys(&mut self, cx: &mut Context<'_>) {
        let group = self.config.group.clone();
        let Some(held) = &mut self.held else { return };
        held.keks = Keks::default();
        let spis: Vec<_> = held.teks.keys().copied().collect();
        for spi in spis {
            held.drop_tek(spi);
            let group = group.clone();
            cx.out.push(Output::RemoveSa { group, spi });
        }
    }
}
