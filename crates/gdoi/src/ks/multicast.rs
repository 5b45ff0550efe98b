//! Rekeys by multicast: one datagram for all members of a kind, repeated blindly.
//!
//! Decides what is different from unicast: nobody is repeated to alone, nobody is removed for
//! silence, and who acknowledges is seen and not waited for. Times and copies are `outstanding`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::policy::{KekSpi, PeerKind, PseudoTime, Spi, Time};
use event::Gdoi;
use wire::iana::AckType;

use super::coop::Key;
use super::due::{Departure, Told};
use super::keys::{Kek, kinds};
use super::outstanding::Content;
use super::rekey::ack_type;
use super::{KeyServer, Member};
use crate::context::Context;
use crate::machine::Output;

/// The port of GDOI.
const PORT: u16 = 848;

impl Kek {
    /// Whether nobody says who has it: PUSHes under it go to a multicast address, and are not
    /// acknowledged.
    pub(crate) fn is_blind(&self) -> bool {
        self.destination.is_some() && self.ack_type().is_none()
    }

    /// Which acknowledgement its members are asked for.
    pub(crate) fn ack_type(&self) -> Option<AckType> {
        ack_type(self.kind).filter(|_| self.acknowledged)
    }
}

impl KeyServer {
    /// A PUSH for one member alone, by unicast whatever the transport: the others have its content
    /// already.
    pub(super) fn send_apart(
        &mut self,
        cx: &mut Context<'_>,
        kind: PeerKind,
        content: &Content,
        member: Ipv4Addr,
    ) {
        let now = self.clock.at(cx.now);
        if let Some(kek) = self.kek_for(kind, content, member, now) {
            self.send_under(cx, kek, content, None, vec![member]);
        }
    }

    /// One datagram leaves for everyone.
    pub(super) fn depart_once(&mut self, cx: &mut Context<'_>, departure: Departure) {
        for address in &departure.audience {
            let Some(member) = self.members.find_mut(*address) else {
                continue;
            };
            if departure.copy {
                member.retries += 1;
            } else {
                member.sent(departure.seq);
            }
        }
        cx.out.push(Output::Multicast {
            local: SocketAddrV4::new(self.config.address, PORT),
            group: SocketAddrV4::new(departure.member, PORT),
            ttl: self.config.multicast.ttl,
            bytes: departure.bytes,
        });
    }

    /// A member acknowledged no copy of a multicast rekey, nor those that went to it alone. It is
    /// seen, and not removed for it: it registers again before its keys end.
    pub(super) fn heard_nothing(&mut self, now: Time, address: Ipv4Addr, kek: &KekSpi) {
        if let Some(member) = self.members.find_mut(address) {
            member.acks_missed += 1;
            member.is_kek_doubted |= member.kek == *kek;
        }
        if self.is_summoned(address) {
            self.not_heard(now, [address]);
        }
    }

    /// These are not asked: after the last copy those that could read it are taken to hold the Rekey
    /// SA, unless some may be on the other side of a split. Plain members are in any case, since they
    /// need not keep the one before.
    pub(super) fn trust_told(&mut self, told: &[Told], now: Time) {
        let split = !self.coop.all_are_alive();
        for Told {
            under,
            new,
            members,
        } in told
        {
            for address in members {
                let member = self.members.find_mut(*address);
                let trusted = |member: &&mut Member| {
                    let keeps = member.kind == PeerKind::Ours;
                    member.certain_kek() == *under && !(split && keeps)
                };
                if let Some(member) = member.filter(trusted) {
                    member.holds(*new);
                    self.coop.changed_here(Key::Member(*address), now);
                }
            }
        }
    }

    /// Key servers that did not hear each other have met, and nobody said which of them members
    /// heard: what is in use is told under every Rekey SA that some may hold instead.
    //= getvpn P15
    pub(super) fn tell_blind(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.at(cx.now);
        let newest = self.keys.usable(now).last().map(|record| record.tek.spi);
        for kind in kinds(&self.config) {
            let Some(current) = self.keys.kek(kind).map(|kek| kek.sa.spi) else {
                continue;
            };
            let members: Vec<Ipv4Addr> = self.members.of_kind(kind).collect();
            let blind = |kek: &Kek| kek.kind == kind && kek.is_blind();
            if members.is_empty() || !self.keys.keks.iter().any(blind) {
                continue;
            }
            self.begin(cx);
            self.send_under_all(cx, kind, &Content::Kek(current), &members, Kek::is_blind);
            if let Some(newest) = newest {
                self.send(cx, kind, &Content::Teks(newest), members);
            }
        }
    }

    /// Says that a rekey leaves.
    pub(super) fn report_rekey(&self, cx: &mut Context<'_>, to: Option<Ipv4Addr>, seq: u32) {
        let (group, from) = (self.config.group.clone(), self.config.address);
        match to {
            None => cx
                .out
                .report(Gdoi::KS_SEND_UNICAST_REKEY { group, from, seq }),
            Some(to) => cx.out.report(Gdoi::KS_SEND_MCAST_REKEY {
                group,
                from,
                to,
                seq,
            }),
        }
    }

    /// Says that rekeys travel another way from now on. Members learn it by the Rekey SA that is
    /// announced under the one they hold, and so by the way that they know.
    pub(super) fn report_transport(&self, cx: &mut Context<'_>, new: &KekSpi) {
        let Some(kek) = self.keys.kek_by_spi(new) else {
            return;
        };
        let before = self.keys.predecessor(kek.kind, new);
        let Some(before) = before.filter(|_| kek.kind == PeerKind::Ours) else {
            return;
        };
        let group = self.config.group.clone();
        match (before.destination, kek.destination) {
            (None, Some(_)) => cx.out.report(Gdoi::KS_REKEY_TRANS_2_MULTI { group }),
            (Some(_), None) => cx.out.report(Gdoi::KS_REKEY_TRANS_2_UNI { group }),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    /// `rekey retransmit N periodic`: whoever has not acknowledged the last rekey, or is not asked,
    /// gets the keys in force again, as a new PUSH.
    //= getvpn P8
    pub(super) fn remind(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.at(cx.now);
        let Some((due, newest)) = self.next_reminder(now) else {
            return;
        };
        if due > cx.now {
            return;
        }
        let behind: Vec<(PeerKind, Vec<Ipv4Addr>)> = kinds(&self.config)
            .map(|kind| (kind, self.behind(kind).collect()))
            .collect();
        self.begin(cx);
        for (kind, members) in behind {
            self.send(cx, kind, &Content::Teks(newest), members);
        }
    }

    /// When the next reminder leaves, and up to which key: only when no copy is on its way, somebody
    /// needs it, and there is a key to be reminded of, which is not so for a moment after a removal
    /// with `now`.
    pub(super) fn next_reminder(&self, now: PseudoTime) -> Option<(Time, Spi)> {
        let period = Duration::from_secs(self.config.reminder_s?.into());
        let last = self.rekeying.last.began?;
        let newest = self.keys.usable(now).last()?.tek.spi;
        let needed = kinds(&self.config).any(|kind| self.behind(kind).next().is_some());
        (needed && self.rekeying.len() == 0).then(|| (last + period, newest))
    }

    /// Members that have not acknowledged the last rekey, or are never asked.
    fn behind(&self, kind: PeerKind) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let asks = self.keys.kek(kind).is_some_and(|k| k.ack_type().is_some());
        self.members
            .iter()
            .filter(move |(_, member)| {
                // Delayed acknowledgements arrive in any order.
                let answered = member.received_seqs.contains(&member.sent_seqs[0]);
                member.kind == kind && (!asks || !answered)
            })
            .map(|(address, _)| address)
    }
}
