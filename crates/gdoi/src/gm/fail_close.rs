//! When keys are lost: what expires is taken away, and a member without keys is closed.

use std::collections::VecDeque;

use ::policy::{PseudoTime, Spi, Tek};

use super::Member;
use super::held::Keks;
use super::registration::Plan;
use crate::context::Context;
use crate::machine::Output;

/// At most so many are remembered.
const ENDED_MAX: usize = 64;

/// Keys that have ended at this member. A key server that has lost the group's clock may still take
/// them for alive; but copies of what was sent on them are not recognised any more.
//= getvpn P28
#[derive(Clone, Default)]
pub(super) struct Ended(VecDeque<(Spi, PseudoTime)>);

impl Ended {
    fn note(&mut self, spi: Spi, told_expiry: PseudoTime) {
        if self.0.len() == ENDED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((spi, told_expiry));
    }

    /// Whether a record is of such a key: an SPI alone may be another one's.
    pub(super) fn has(&self, tek: &Tek) -> bool {
        self.0.contains(&(tek.spi, tek.expiry))
    }
}

impl Member {
    /// Takes away what has expired. A member whose last key is gone passes nothing more.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let Some(held) = &mut self.held else { return };
        let now = held.clock.at(cx.now);
        for (spi, told_expiry) in held.expire(now) {
            self.ended.note(spi, told_expiry);
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
