//! Rekeys on their way: who still has to acknowledge which, and when the next copy leaves.
//!
//! Decides times and counts only. What a rekey says and who gets it is `ks::rekey`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use policy::{KekSpi, PeerKind, Spi, Time};

use super::due::{Anew, Departure, Due, Told};
use crate::limits::{KEK_ACK_KEEP, PUSH_BATCH, PUSH_BATCH_PAUSE, PUSH_IDENTICAL, PUSH_ORDER_WAIT};

/// How old the stamp of a datagram may be for members that know no other of the same clock.
const STAMP_AGE_MAX: Duration = Duration::from_millis(500);
/// How old the first datagram to plain members may be, which waits for the rekeys before it.
const WAITED_MAX: Duration = Duration::from_secs(3);
/// How long what follows waits for one that was made anew in place of a copy.
const PUSH_APART: Duration = Duration::from_millis(200);
/// Tries after which a PUSH is handed to other key servers ...
const HAND_OVER_AFTER: u16 = 2;
/// ... and how often: one datagram may be lost there, too.
pub(crate) const HAND_OVERS: u8 = 2;

/// What a rekey is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// The traffic keys in force, of which this is the newest.
    Teks(Spi),
    /// A new Rekey SA.
    Kek(KekSpi),
    /// No key: the member is to register again (PROTOCOL P16).
    Register,
    /// Keys that plain members are to delete, since they have ended with their generation.
    Retired,
}

/// One PUSH.
#[derive(Clone)]
pub(crate) struct Push {
    /// The kind of its members.
    pub(crate) kind: PeerKind,
    /// The Rekey SA that it is under.
    pub(crate) kek: KekSpi,
    /// Its sequence number.
    pub(crate) seq: u32,
    /// What it is about.
    pub(crate) content: Content,
    /// The datagram, the same for everyone.
    pub(crate) bytes: Vec<u8>,
    /// The multicast address that it goes to, once for everyone.
    pub(crate) destination: Option<Ipv4Addr>,
    /// Whether members are asked to acknowledge it.
    pub(crate) asks: bool,
}

impl Push {
    /// What a new one in its place is.
    pub(super) fn anew(&self) -> Anew {
        let is_blind = self.destination.is_some() && !self.asks;
        Anew {
            kind: self.kind,
            under: is_blind.then_some(self.kek),
            content: self.content.clone(),
        }
    }

    /// One more copy, for one member.
    fn copy_to(&self, member: Ipv4Addr) -> Departure {
        Departure {
            member,
            seq: self.seq,
            copy: true,
            audience: Vec::new(),
            bytes: self.bytes.clone(),
        }
    }
}

/// A PUSH and the members that are to acknowledge it.
#[derive(Clone)]
struct Outstanding {
    push: Push,
    /// Where datagrams go: the members, or the multicast address in their place and members that
    /// did not acknowledge what went there.
    awaiting: BTreeMap<Ipv4Addr, Target>,
    /// The members behind the multicast address.
    audience: Vec<Ipv4Addr>,
    /// Those of them that are asked and have not acknowledged yet.
    silent: BTreeSet<Ipv4Addr>,
    missed: BTreeSet<Ipv4Addr>,
    /// Those that have acknowledged a later PUSH under the same Rekey SA, and take no copy any more.
    overtaken: BTreeSet<Ipv4Addr>,
    queue: BTreeSet<(Time, Ipv4Addr)>,
    began: Time,
    ended: Option<Time>,
    /// It holds keys that have ended, or a number that has been passed: copies are made anew.
    outdated: bool,
    /// A datagram of it has left.
    left: bool,
}

impl Outstanding {
    /// Members behind that address that are not known to have read it.
    fn lacking(&mut self, address: Ipv4Addr) -> Vec<Ipv4Addr> {
        if !address.is_multicast() {
            return vec![address];
        }
        if !self.push.asks {
            return self.audience.clone();
        }
        let mut lacking = std::mem::take(&mut self.silent);
        lacking.extend(&self.overtaken);
        lacking.into_iter().collect()
    }

    /// Before a copy to a multicast address leaves: who takes no copy any more gets it anew, without
    /// waiting for the others, and who has not acknowledged several gets one alone.
    //= getvpn P8
    fn look_after_silent(
        &mut self,
        address: Ipv4Addr,
        now: Time,
        copies: Copies<'_>,
        due: &mut Due,
    ) {
        if !address.is_multicast() || !self.push.asks {
            return;
        }
        let (silent, push) = (&mut self.silent, &self.push);
        self.overtaken.retain(|member| {
            let lacks = silent.remove(member);
            if lacks {
                due.anew(push, *member);
            }
            !lacks
        });
        let in_vain = |target: &Target| target.is_in_vain(copies);
        if self.awaiting.get(&address).is_some_and(in_vain) {
            self.turn_to_each(now, copies);
        }
    }

    /// No more goes to that address.
    fn give_up(&mut self, address: Ipv4Addr, due: &mut Due) {
        self.awaiting.remove(&address);
        let mut silent = BTreeSet::from([address]);
        if address.is_multicast() {
            silent = std::mem::take(&mut self.silent);
        }
        if self.push.asks {
            let missed = match self.push.destination {
                None => &mut due.missed,
                Some(_) => &mut due.silent,
            };
            missed.extend(silent.iter().map(|own| (*own, self.push.kek)));
            self.missed.append(&mut silent);
        }
    }

    /// Who has not acknowledged what went to the multicast address gets a copy alone, and where other
    /// key servers repeat that, from them: the way of multicast datagrams to it may be broken. A
    /// member that would take a copy's stamp for the time gets none.
    //= getvpn P24
    fn turn_to_each(&mut self, now: Time, copies: Copies<'_>) {
        let (overtaken, untimed) = (&self.overtaken, copies.untimed);
        let alone = |member: &Ipv4Addr| !overtaken.contains(member) && !untimed.contains(member);
        for member in self.silent.extract_if(.., alone) {
            let target = Target {
                datagrams: copies.number.max(1),
                first: Some(now),
                ..Target::default()
            };
            self.awaiting.insert(member, target);
            self.queue.insert((now, member));
        }
    }
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Target {
    datagrams: u16,
    handed: u8,
    /// When the first datagram left.
    first: Option<Time>,
    /// The next datagram is of a new PUSH, in place of a copy.
    anew: bool,
}

impl Target {
    /// Counts one more hand-over, if there was no answer for so long that it is time for one.
    //= getvpn P24
    const fn hands_over(&mut self, copies: Copies<'_>) -> bool {
        let due = self.is_in_vain(copies) && self.handed < copies.hand_overs;
        self.handed += due as u8;
        due
    }

    /// Whether so many datagrams had no answer that others are to help.
    const fn is_in_vain(&self, copies: Copies<'_>) -> bool {
        self.datagrams >= HAND_OVER_AFTER || self.datagrams > copies.number
    }

    /// What is made anew in place of a copy has left only when its own datagram has.
    const fn anew(self) -> Self {
        Self {
            anew: true,
            first: None,
            ..self
        }
    }

    /// How long what follows waits: the network may turn round what leaves in one moment.
    const fn order_wait(self) -> Duration {
        if self.anew || self.datagrams > 1 {
            PUSH_APART
        } else {
            PUSH_ORDER_WAIT
        }
    }

    /// Whether nothing more is sent, nor handed over.
    const fn is_over(&self, copies: Copies<'_>, is_multicast: bool) -> bool {
        self.datagrams > copies.number && (is_multicast || self.handed >= copies.hand_overs)
    }
}

/// What an acknowledgement is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The first for that PUSH.
    First,
    /// A repetition.
    Again,
    /// For a PUSH that was not sent to that member, or long ago.
    Unasked,
}

/// The figures of the last rekey.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastRekey {
    /// When its first datagram left.
    pub(crate) began: Option<Time>,
    /// From then to the last acknowledgement, or to giving up.
    pub(crate) duration: Duration,
    /// Copies.
    pub(crate) retransmits: u32,
}

/// All rekeys of a group that are on their way.
#[derive(Clone, Default)]
pub(crate) struct Rekeying {
    pushes: VecDeque<Outstanding>,
    pause_until: Time,
    /// The figures of the last rekey.
    pub(crate) last: LastRekey,
    /// Copies since the group began.
    pub(crate) retransmitted: u64,
}

/// How copies are repeated.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Copies<'a> {
    /// From one to the next.
    pub(crate) period: Duration,
    /// After the first datagram.
    pub(crate) number: u16,
    /// After the last copy of a multicast rekey, for its acknowledgements.
    pub(crate) wait: Duration,
    /// How often a PUSH in vain is handed to other key servers.
    pub(crate) hand_overs: u8,
    /// Members that know no stamp of the group's clock: they get no copies of an old one.
    pub(crate) untimed: &'a BTreeSet<Ipv4Addr>,
}

impl Rekeying {
    /// A new rekey begins: the figures of the last one begin anew.
    pub(crate) fn begin(&mut self, now: Time) {
        self.last = LastRekey {
            began: Some(now),
            ..LastRekey::default()
        };
    }

    /// How many PUSHes are not over.
    pub(crate) fn len(&self) -> usize {
        self.pushes
            .iter()
            .filter(|push| push.ended.is_none())
            .count()
    }

    /// Queues a PUSH for these members.
    pub(crate) fn add(&mut self, now: Time, push: Push, members: impl Iterator<Item = Ipv4Addr>) {
        let (mut audience, mut silent) = (Vec::new(), BTreeSet::new());
        let awaiting: BTreeMap<_, _> = match push.destination {
            None => members.map(|m| (m, Target::default())).collect(),
            Some(group) => {
                audience.extend(members);
                if push.asks {
                    silent.extend(&audience);
                }
                BTreeMap::from([(group, Target::default())])
            }
        };
        self.pushes.push_back(Outstanding {
            push,
            queue: awaiting.keys().map(|member| (now, *member)).collect(),
            awaiting,
            audience,
            silent,
            missed: BTreeSet::new(),
            overtaken: BTreeSet::new(),
            began: now,
            ended: None,
            outdated: false,
            left: false,
        });
    }

    /// A PUSH of the same that has not left yet goes to these members, too. Says whether there is one.
    pub(crate) fn join(
        &mut self,
        now: Time,
        (kek, content, destination): (&KekSpi, &Content, Option<Ipv4Addr>),
        members: &[Ipv4Addr],
    ) -> bool {
        let waits = |own: &&mut Outstanding| {
            let same = own.push.kek == *kek && own.push.content == *content;
            let open = !(own.left || own.outdated) && own.ended.is_none();
            same && open && own.push.destination == destination
        };
        let Some(push) = self.pushes.iter_mut().find(waits) else {
            return false;
        };
        for member in members {
            if destination.is_none() {
                push.awaiting.entry(*member).or_default();
                push.queue.insert((now, *member));
            } else if !push.audience.contains(member) {
                push.audience.push(*member);
                push.silent.extend(push.push.asks.then_some(*member));
            }
        }
        true
    }

    /// What is due at `now`: at most a batch of datagrams.
    pub(crate) fn due(&mut self, now: Time, copies: Copies<'_>) -> Due {
        let mut due = Due::default();
        let mut budget = if now < self.pause_until {
            0
        } else {
            PUSH_BATCH
        };
        for at in 0..self.pushes.len() {
            while budget > 0 {
                let Some(&(when, member)) = self.pushes[at].queue.first() else {
                    break;
                };
                if when > now {
                    break;
                }
                self.pushes[at].queue.pop_first();
                if let Some(later) = self.blocked(at, member, now) {
                    self.pushes[at].queue.insert((later, member));
                } else if !self.renew(at, member, now, copies, &mut due) {
                    budget -= usize::from(self.step(at, member, now, copies, &mut due));
                }
            }
            self.end(at, now, &mut due);
        }
        if budget == 0 && self.pause_until <= now {
            self.pause_until = now + PUSH_BATCH_PAUSE;
        }
        self.pushes
            .retain(|push| push.ended.is_none_or(|ended| now < ended + KEK_ACK_KEEP));
        due
    }

    /// Until when a PUSH must wait because the member has not acknowledged the one before.
    //= getvpn P8
    fn blocked(&self, at: usize, member: Ipv4Addr, now: Time) -> Option<Time> {
        let own = &self.pushes[at];
        // A call to register makes all that was said before it void.
        let waits = own.push.content != Content::Register;
        // What was made anew in place of a copy has a number above what still waits.
        let target = own.awaiting.get(&member)?;
        if (target.datagrams > 0 && !target.anew) || !waits {
            return None;
        }
        // Members of two kinds may share a multicast address.
        let same = |before: &&Outstanding| before.push.kind == own.push.kind;
        self.pushes
            .iter()
            .take(at)
            .filter(same)
            .filter_map(|before| before.awaiting.get(&member))
            .map(|target| target.first.unwrap_or(now) + target.order_wait())
            .filter(|later| *later > now)
            .max()
    }

    /// A datagram whose stamp is too old for who is to get it is made anew, and nothing else about it
    /// changes. Says whether it is. For a plain member the times in it count from its arrival, so what
    /// is late by a copy would begin and end late, too, and several are on their way at a time: of those
    /// that nobody acknowledges only the one with the highest number could be repeated as it is.
    //= getvpn P10, P27
    fn renew(
        &mut self,
        at: usize,
        member: Ipv4Addr,
        now: Time,
        copies: Copies<'_>,
        due: &mut Due,
    ) -> bool {
        let push = &mut self.pushes[at];
        let is_multicast = member.is_multicast();
        let untimed = |member: &Ipv4Addr| copies.untimed.contains(member);
        let is_plain = push.push.kind != PeerKind::Ours;
        let counts = is_plain && push.push.content != Content::Register;
        let minds = counts
            || match is_multicast {
                true => push.audience.iter().any(untimed),
                false => untimed(&member),
            };
        let is_turned = !is_multicast && push.push.destination.is_some();
        let Some(target) = push.awaiting.get(&member).copied() else {
            return false;
        };
        // One that waited for those before it would begin to wait again.
        let age_max = match counts && target.datagrams == 0 {
            true => WAITED_MAX,
            false => STAMP_AGE_MAX,
        };
        if is_turned || !minds || now <= push.began + age_max || push.overtaken.contains(&member) {
            return false;
        }
        // One that was made anew leaves, however late: what is made over and over goes to nobody.
        let waits = target.anew && !push.left;
        if waits || target.is_over(copies, is_multicast) {
            return false;
        }
        push.awaiting.remove(&member);
        for lacking in push.lacking(member) {
            due.anew(&push.push, lacking);
        }
        let tried = target.anew();
        due.tried.insert((member, push.push.anew()), tried);
        true
    }

    /// What was made anew in place of a copy counts as one.
    pub(crate) fn go_on(&mut self, tried: BTreeMap<(Ipv4Addr, Anew), Target>) {
        for ((member, anew), target) in tried {
            let new = |push: &&mut Outstanding| push.push.anew() == anew;
            let mut pushes = self.pushes.iter_mut().rev().filter(new);
            if let Some(awaiting) = pushes.find_map(|push| push.awaiting.get_mut(&member)) {
                *awaiting = target;
            }
        }
    }

    /// One member's turn. Says whether a datagram leaves.
    fn step(
        &mut self,
        at: usize,
        member: Ipv4Addr,
        now: Time,
        copies: Copies<'_>,
        due: &mut Due,
    ) -> bool {
        let push = &mut self.pushes[at];
        let is_multicast = member.is_multicast();
        push.look_after_silent(member, now, copies, due);
        let Some(target) = push.awaiting.get_mut(&member) else {
            return false;
        };
        let is_overtaken = push.overtaken.contains(&member);
        if !is_multicast && !is_overtaken && target.hands_over(copies) {
            due.handed.push((push.push.copy_to(member), push.push.kek));
            if target.datagrams > copies.number && target.handed < copies.hand_overs {
                push.queue.insert((now + copies.period, member));
                return false;
            }
        }
        if target.datagrams > copies.number && !is_overtaken {
            push.give_up(member, due);
            return false;
        }
        // Nobody says which copies of a multicast rekey arrived: all of them are the same.
        let by_unicast = push.push.destination.is_none();
        let is_late = target.datagrams > 0 && now.since(push.began) > PUSH_IDENTICAL;
        if push.outdated || (by_unicast && is_late) || (!is_multicast && is_overtaken) {
            let tried = target.anew();
            push.awaiting.remove(&member);
            for lacking in push.lacking(member) {
                due.anew(&push.push, lacking);
            }
            if is_late && !push.outdated && !is_overtaken {
                due.tried.insert((member, push.push.anew()), tried);
            }
            return false;
        }
        let copy = target.datagrams > 0 && !std::mem::take(&mut target.anew);
        target.datagrams += 1;
        push.left = true;
        target.first.get_or_insert(now);
        let is_last = target.datagrams > copies.number;
        let pause = if is_multicast && is_last && push.push.asks {
            copies.period.max(copies.wait)
        } else {
            copies.period
        };
        push.queue.insert((now + pause, member));
        due.departures.push(Departure {
            member,
            audience: push.audience.clone(),
            seq: push.push.seq,
            copy,
            bytes: push.push.bytes.clone(),
        });
        if copy {
            self.last.retransmits += 1;
            self.retransmitted += 1;
        }
        true
    }

    fn end(&mut self, at: usize, now: Time, due: &mut Due) {
        let push = &mut self.pushes[at];
        if push.awaiting.is_empty() && push.ended.is_none() {
            push.ended = Some(now);
            due.over.push((push.push.kind, push.push.content.clone()));
            match push.push.content {
                Content::Kek(new) if !push.push.asks => {
                    due.told.push(Told {
                        under: push.push.kek,
                        new,
                        members: push.audience.clone(),
                    });
                }
                // By unicast nobody is in the audience.
                Content::Register if !push.push.asks => due.called.extend(&push.audience),
                Content::Register | Content::Retired | Content::Kek(_) | Content::Teks(_) => {}
            }
            let began = self.last.began.unwrap_or(push.began);
            self.last.duration = now.since(began);
        }
    }

    /// `member` has acknowledged; the acknowledgement was verified.
    pub(crate) fn acknowledged(&mut self, kek: &KekSpi, seq: u32, member: Ipv4Addr) -> Answer {
        let answer = self.answered(kek, seq, member);
        if answer == Answer::First {
            self.overtake(kek, seq, member);
        }
        answer
    }

    fn answered(&mut self, kek: &KekSpi, seq: u32, member: Ipv4Addr) -> Answer {
        let Some(push) = self
            .pushes
            .iter_mut()
            .find(|push| push.push.kek == *kek && push.push.seq == seq)
        else {
            return Answer::Unasked;
        };
        push.overtaken.remove(&member);
        match push.awaiting.remove(&member) {
            Some(target) if target.datagrams > 0 => Answer::First,
            Some(target) => {
                push.awaiting.insert(member, target);
                Answer::Unasked
            }
            None if push.missed.remove(&member) => Answer::First,
            None if push.awaiting.values().all(|target| target.datagrams > 0)
                && push.silent.remove(&member) =>
            {
                Answer::First
            }
            None => Answer::Again,
        }
    }

    /// A member takes nothing below the number that it has acknowledged: what it still lacks of that
    /// goes to it anew when its next copy is due, together with what others lack.
    //= getvpn P8
    fn overtake(&mut self, kek: &KekSpi, seq: u32, member: Ipv4Addr) {
        let below = |own: &&mut Outstanding| own.push.kek == *kek && own.push.seq < seq;
        for push in self.pushes.iter_mut().filter(below) {
            let lacks = push.awaiting.contains_key(&member) || push.silent.contains(&member);
            if lacks && push.push.asks {
                push.overtaken.insert(member);
            }
        }
    }

    /// Another key server has used that number under a Rekey SA: whoever has read its PUSH takes no
    /// copy of one with a lower number. What is still to be acknowledged goes to all of them anew.
    //= getvpn P8
    pub(crate) fn outnumber(&mut self, kek: &KekSpi, seq: u32) {
        let below = |own: &&mut Outstanding| own.push.kek == *kek && own.push.seq < seq;
        for push in self.pushes.iter_mut().filter(below) {
            match push.push.destination {
                None => push.overtaken.extend(push.awaiting.keys()),
                Some(_) if push.push.asks => {
                    let each = push.awaiting.keys().filter(|own| !own.is_multicast());
                    push.overtaken.extend(each.chain(&push.silent));
                }
                Some(_) => push.outdated = true,
            }
        }
    }

    /// What a PUSH is about that was sent lately, and when it was made.
    pub(crate) fn content(&self, kek: &KekSpi, seq: u32) -> Option<(&Content, Time)> {
        let of = |push: &&Outstanding| push.push.kek == *kek && push.push.seq == seq;
        let push = self.pushes.iter().find(of)?;
        Some((&push.push.content, push.began))
    }

    /// Another key server leads: nothing of what was on its way is repeated.
    pub(crate) fn clear(&mut self) {
        self.pushes.clear();
    }

    /// Traffic keys have ended with their generation at that time: no copy that is still to leave
    /// may hold them.
    pub(crate) fn outdate(&mut self, ended: Time) {
        for push in self.pushes.iter_mut().filter(|push| push.began < ended) {
            push.outdated |= matches!(push.push.content, Content::Teks(_));
        }
    }

    /// A member has registered again: what was on its way to it is no longer needed.
    pub(crate) fn forget(&mut self, member: Ipv4Addr) {
        for push in &mut self.pushes {
            push.awaiting.remove(&member);
            push.silent.remove(&member);
            push.overtaken.remove(&member);
        }
    }

    /// A member has that: it goes to it under no other Rekey SA any more.
    pub(crate) fn has(&mut self, member: Ipv4Addr, content: &Content) {
        let same = |own: &&mut Outstanding| own.push.content == *content;
        for push in self.pushes.iter_mut().filter(same) {
            push.awaiting.remove(&member);
            push.silent.remove(&member);
            push.overtaken.remove(&member);
        }
    }

    /// What rekeys to this kind of members were about that began since; calls to register are none.
    pub(crate) fn begun_since(&self, kind: PeerKind, since: Time) -> Vec<Content> {
        let mut begun = Vec::new();
        for own in &self.pushes {
            let content = &own.push.content;
            let fits = own.push.kind == kind && own.began >= since;
            if fits && *content != Content::Register && !begun.contains(content) {
                begun.push(content.clone());
            }
        }
        begun
    }

    /// A member holds that Rekey SA: what went to it under others, and it did not acknowledge, it
    /// could not read. That is not repeated; says what it was about, but for calls to register.
    pub(crate) fn take_unread(&mut self, member: Ipv4Addr, held: &KekSpi) -> Vec<Content> {
        let mut unread = Vec::new();
        for push in self.pushes.iter_mut().filter(|own| own.push.kek != *held) {
            let awaited = push.awaiting.remove(&member).is_some();
            let was = awaited | push.missed.remove(&member) | push.silent.remove(&member);
            push.overtaken.remove(&member);
            let content = &push.push.content;
            let told = match content {
                Content::Teks(_) | Content::Retired => true,
                Content::Kek(new) => new != held,
                Content::Register => false,
            };
            if was && told && !unread.contains(content) {
                unread.push(content.clone());
            }
        }
        unread
    }

    /// Whether some member still has to acknowledge a rekey about that.
    pub(crate) fn is_on_its_way(&self, content: &Content) -> bool {
        let mut not_over = self.pushes.iter().filter(|push| push.ended.is_none());
        not_over.any(|push| push.push.content == *content)
    }

    /// The newest traffic keys of the rekeys that some member still has to acknowledge, and its kind.
    pub(crate) fn teks_on_their_way(&self) -> impl Iterator<Item = (PeerKind, Spi)> {
        let not_over = self.pushes.iter().filter(|push| push.ended.is_none());
        not_over.filter_map(|push| match push.push.content {
            Content::Teks(newest) => Some((push.push.kind, newest)),
            Content::Kek(_) | Content::Register | Content::Retired => None,
        })
    }

    /// When `due` has something to do; a PUSH that is fully acknowledged ends at once.
    pub(crate) fn deadline(&self, now: Time) -> Option<Time> {
        self.pushes
            .iter()
            .filter(|push| push.ended.is_none())
            .filter_map(|push| {
                if push.awaiting.is_empty() {
                    return Some(now);
                }
                push.queue.first().map(|(when, _)| *when)
            })
            .min()
            .map(|when| when.max(self.pause_until))
    }
}

#[cfg(feature = "model")]
impl Rekeying {
    /// The Rekey SA and the number of a datagram that left lately.
    pub(crate) fn number_of(&self, bytes: &[u8]) -> Option<(KekSpi, u32)> {
        let mut pushes = self.pushes.iter().map(|push| &push.push);
        let push = pushes.find(|push| push.bytes == bytes)?;
        Some((push.kek, push.seq))
    }

    /// Hashes what decides which datagrams leave when; `rel` makes times relative.
    pub(crate) fn fingerprint(&self, rel: impl Fn(Time) -> i128, h: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        rel(self.pause_until).max(0).hash(h);
        for push in &self.pushes {
            (push.push.kek.0, push.push.seq, push.ended.map(&rel)).hash(h);
            for (member, target) in &push.awaiting {
                (
                    member,
                    target.datagrams,
                    target.anew,
                    target.first.map(&rel),
                )
                    .hash(h);
            }
            (&push.missed, &push.overtaken).hash(h);
            (rel(push.began), push.outdated, push.left).hash(h);
            for (at, member) in &push.queue {
                (rel(*at), member).hash(h);
            }
        }
    }
}

#[cfg(test)]
mod tests;
