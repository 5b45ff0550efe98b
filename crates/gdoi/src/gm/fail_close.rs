//! When keys are lost: what expires is taken away, and a member without keys is closed.

use std::collections::VecDeque;

use ::policy::{PseudoTime, Spi, Tek};
use crypto::hash::{Digest, Hash};
use event::Gdoi;

use super::Member;
use super::held::Keks;
use super::registration::Plan;
use crate::context::Context;
use crate::machine::{Output, TekKey};

/// At most so many are remembered.
const ENDED_MAX: usize = 64;

/// What a key is recognised by when it is given again: its SPI alone may be another one's.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// The end that its record names.
    Expiry(PseudoTime),
    /// A digest of it: plain key servers give no record.
    Digest(Digest),
}

impl Mark {
    pub(super) fn of(key: &TekKey, record: Option<&Tek>) -> Self {
        let parts = [key.encryption.expose(), key.integrity.expose()];
        let digest = || Self::Digest(Hash::Sha256.digest(&parts));
        record.map_or_else(digest, |record| Self::Expiry(record.expiry))
    }
}

/// Keys that have ended at this member. A key server that has lost the group's clock may still take
/// them for alive; but copies of what was sent on them are not recognised any more.
//= getvpn P28
#[derive(Clone, Default)]
pub(super) struct Ended(VecDeque<(Spi, Mark)>);

impl Ended {
    fn note(&mut self, spi: Spi, mark: Mark) {
        if self.0.len() == ENDED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((spi, mark));
    }

    /// Whether a key is one of them.
    pub(super) fn has(&self, spi: Spi, mark: Mark) -> bool {
        self.0.contains(&(spi, mark))
    }
}

impl Member {
    /// Takes away what has expired. A member whose last key is gone passes nothing more.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let Some(held) = &mut self.held else { return };
        let now = held.clock.at(cx.now);
        for (spi, mark) in held.expire(now) {
            self.ended.note(spi, mark);
            cx.out.push(Output::RemoveSa {
                group: self.config.group.clone(),
                spi,
            });
        }
        if held.teks.is_empty() {
            self.held = None;
            self.fetch = None;
            let group = self.config.group.clone();
            cx.out.push(Output::CloseGroup {
                group: group.clone(),
            });
            cx.out.report(Gdoi::GM_RE_REGISTER { group });
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

#[cfg(test)]
mod tests {
    use crypto::Secret;

    use super::*;

    /// An SPI comes again, some day; a key does not.
    #[test]
    fn a_key_without_a_record_is_recognised_by_what_it_is() {
        let key = |octet| TekKey {
            encryption: Secret::copy_of(&[octet; 20]),
            integrity: Secret::default(),
        };
        let mut ended = Ended::default();
        ended.note(Spi(0x100), Mark::of(&key(1), None));
        assert!(ended.has(Spi(0x100), Mark::of(&key(1), None)));
        assert!(!ended.has(Spi(0x100), Mark::of(&key(2), None)));
        assert!(!ended.has(Spi(0x101), Mark::of(&key(1), None)));
    }
}
