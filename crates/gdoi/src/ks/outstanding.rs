//! Rekeys on their way: who still has to acknowledge which, and when the next copy leaves.
//!
//! Decides times and counts only. What a rekey says and who gets it is `ks::rekey`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use policy::{KekSpi, PeerKind, Spi, Time};

use crate::limits::{KEK_ACK_KEEP, PUSH_BATCH, PUSH_BATCH_PAUSE, PUSH_IDENTICAL, PUSH_ORDER_WAIT};

/// Tries after which a PUSH is handed to other key servers ...
const HAND_OVER_AFTER: u16 = 2;
/// ... and how often: one datagram may be lost there, too.
pub(crate) const HAND_OVERS: u8 = 2;

/// What a rekey is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The traffic keys in force, of which this is the newest.
    Teks(Spi),
    /// A new Rekey SA.
    Kek(KekSpi),
    /// No key: the member is to register again (PROTOCOL P16).
    Register,
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
    /// Where datagrams go: the members, or the multicast address in their place.
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
}

impl Outstanding {
    /// Members behind that address that are not known to have read it.
    fn lacking(&mut self, address: Ipv4Addr) -> Vec<Ipv4Addr> {
        if self.push.destination.is_none() {
            return vec![address];
        }
        if !self.push.asks {
            return self.audience.clone();
        }
        let mut lacking = std::mem::take(&mut self.silent);
        lacking.extend(&self.overtaken);
        lacking.into_iter().collect()
    }
}

#[derive(Clone, Copy, Default)]
struct Target {
    datagrams: u16,
    handed: u8,
    first: Option<Time>,
}

impl Target {
    /// Counts one more hand-over, if there was no answer for so long that it is time for one.
    //= getvpn P24
    const fn hands_over(&mut self, copies: Copies) -> bool {
        let in_vain = self.datagrams >= HAND_OVER_AFTER || self.datagrams > copies.number;
        let due = in_vain && self.handed < copies.hand_overs;
        self.handed += due as u8;
        due
    }
}

/// A datagram that is to leave now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    /// To whom: a member, or a multicast address.
    pub(crate) member: Ipv4Addr,
    /// The members behind the multicast address.
    pub(crate) audience: Vec<Ipv4Addr>,
    /// Its sequence number.
    pub(crate) seq: u32,
    /// Whether it was sent before.
    pub(crate) copy: bool,
    /// The datagram.
    pub(crate) bytes: Vec<u8>,
}

/// What became due.
#[derive(Default)]
pub(crate) struct Due {
    /// Datagrams that leave.
    pub(crate) departures: Vec<Departure>,
    /// Members that did not acknowledge any copy, and the Rekey SA that it was under.
    pub(crate) missed: Vec<(Ipv4Addr, KekSpi)>,
    /// Members that did not acknowledge a multicast rekey, of which they perhaps saw no copy.
    pub(crate) silent: Vec<Ipv4Addr>,
    /// Members that are not asked whether they hold this Rekey SA, and were told it.
    pub(crate) told: Vec<(KekSpi, Vec<Ipv4Addr>)>,
    /// Members that need a new PUSH, because they do not take this one any more (PROTOCOL P8).
    pub(crate) again: Vec<(PeerKind, Content, Vec<Ipv4Addr>)>,
    /// Datagrams that are also repeated by other key servers.
    pub(crate) handed: Vec<(Departure, KekSpi)>,
    /// Rekeys that are over.
    pub(crate) over: Vec<Content>,
}

impl Due {
    /// A member needs what that PUSH is about in a new one.
    fn anew(&mut self, push: &Push, member: Ipv4Addr) {
        let same = |(kind, content, _): &&mut (PeerKind, Content, Vec<Ipv4Addr>)| {
            *kind == push.kind && *content == push.content
        };
        match self.again.iter_mut().find(same) {
            Some((_, _, members)) => members.push(member),
            None => {
                let content = push.content.clone();
                self.again.push((push.kind, content, vec![member]));
            }
        }
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
pub(crate) struct Copies {
    /// From one to the next.
    pub(crate) period: Duration,
    /// After the first datagram.
    pub(crate) number: u16,
    /// After the last copy of a multicast rekey, for its acknowledgements.
    pub(crate) wait: Duration,
    /// How often a PUSH in vain is handed to other key servers.
    pub(crate) hand_overs: u8,
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
        });
    }

    /// What is due at `now`: at most a batch of datagrams.
    pub(crate) fn due(&mut self, now: Time, copies: Copies) -> Due {
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
                } else {
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
        if self.pushes[at].awaiting.get(&member)?.datagrams > 0 {
            return None;
        }
        self.pushes
            .iter()
            .take(at)
            .filter_map(|before| before.awaiting.get(&member))
            .map(|target| target.first.unwrap_or(now) + PUSH_ORDER_WAIT)
            .filter(|later| *later > now)
            .max()
    }

    /// One member's turn. Says whether a datagram leaves.
    fn step(
        &mut self,
        at: usize,
        member: Ipv4Addr,
        now: Time,
        copies: Copies,
        due: &mut Due,
    ) -> bool {
        let push = &mut self.pushes[at];
        let Some(target) = push.awaiting.get_mut(&member) else {
            return false;
        };
        let is_multicast = push.push.destination.is_some();
        let is_overtaken = push.overtaken.contains(&member);
        if !is_multicast && !is_overtaken && target.hands_over(copies) {
            due.handed.push((push.push.copy_to(member), push.push.kek));
            if target.datagrams > copies.number && target.handed < copies.hand_overs {
                push.queue.insert((now + copies.period, member));
                return false;
            }
        }
        if target.datagrams > copies.number && !is_overtaken {
            push.awaiting.remove(&member);
            if is_multicast {
                push.missed = std::mem::take(&mut push.silent);
                for overtaken in &push.overtaken {
                    push.missed.remove(overtaken);
                    due.anew(&push.push, *overtaken);
                }
                due.silent.extend(&push.missed);
            } else if push.push.asks {
                push.missed.insert(member);
                due.missed.push((member, push.push.kek));
            }
            return false;
        }
        // Nobody says which copies of a multicast rekey arrived: all of them are the same.
        let is_late = target.datagrams > 0 && now.since(push.began) > PUSH_IDENTICAL;
        if push.outdated || (!is_multicast && (is_late || is_overtaken)) {
            push.awaiting.remove(&member);
            for lacking in push.lacking(member) {
                due.anew(&push.push, lacking);
            }
            return false;
        }
        let copy = target.datagrams > 0;
        target.datagrams += 1;
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
            due.over.push(push.push.content.clone());
            if let Content::Kek(new) = push.push.content
                && !push.push.asks
            {
                due.told.push((new, push.audience.clone()));
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
                Some(_) if push.push.asks => push.overtaken.extend(&push.silent),
                Some(_) => push.outdated = true,
            }
        }
    }

    /// What a PUSH is about that was sent lately.
    pub(crate) fn content(&self, kek: &KekSpi, seq: u32) -> Option<&Content> {
        let of = |push: &&Outstanding| push.push.kek == *kek && push.push.seq == seq;
        self.pushes.iter().find(of).map(|push| &push.push.content)
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
                Content::Teks(_) => true,
                Content::Kek(new) => new != held,
                Content::Register => false,
            };
            if was && told && !unread.contains(content) {
                unread.push(content.clone());
            }
        }
        unread
    }

    /// The newest traffic keys of the rekeys that some member still has to acknowledge.
    pub(crate) fn teks_on_their_way(&self) -> impl Iterator<Item = Spi> {
        let not_over = self.pushes.iter().filter(|push| push.ended.is_none());
        not_over.filter_map(|push| match push.push.content {
            Content::Teks(newest) => Some(newest),
            Content::Kek(_) | Content::Register => None,
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
                (member, target.datagrams, target.first.map(&rel)).hash(h);
            }
            (&push.missed, &push.overtaken).hash(h);
            (rel(push.began), push.outdated).hash(h);
            for (at, member) in &push.queue {
                (rel(*at), member).hash(h);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPIES: Copies = Copies {
        period: Duration::from_secs(10),
        number: 2,
        wait: Duration::from_secs(10),
        hand_overs: HAND_OVERS,
    };

    fn member(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, n)
    }

    fn kek() -> KekSpi {
        KekSpi([5; 16])
    }

    fn rekeying(members: &[u8], seq: u32) -> Rekeying {
        let mut rekeying = Rekeying::default();
        add(&mut rekeying, Time::ZERO, members, seq);
        rekeying
    }

    fn push(seq: u32, content: Content) -> Push {
        Push {
            kind: PeerKind::Ours,
            kek: kek(),
            seq,
            content,
            bytes: vec![1],
            destination: None,
            asks: true,
        }
    }

    fn add(rekeying: &mut Rekeying, now: Time, members: &[u8], seq: u32) {
        let content = Content::Teks(Spi(seq));
        let targets = members.iter().map(|n| member(*n));
        rekeying.add(now, push(seq, content), targets);
    }

    #[test]
    fn copies_leave_until_the_member_answers_and_stop_at_the_configured_number() {
        let mut rekeying = rekeying(&[1, 2], 7);
        let mut sent = Vec::new();
        let mut missed = Vec::new();
        let mut over = 0;
        for s in 0..60 {
            let now = Time::from_secs(s);
            let due = rekeying.due(now, COPIES);
            sent.extend(due.departures.iter().map(|d| (s, d.member, d.copy)));
            missed.extend(due.missed);
            over += due.over.len();
            if s == 3 {
                assert_eq!(rekeying.acknowledged(&kek(), 7, member(1)), Answer::First);
                assert_eq!(rekeying.acknowledged(&kek(), 7, member(1)), Answer::Again);
                assert_eq!(rekeying.acknowledged(&kek(), 8, member(1)), Answer::Unasked);
            }
        }
        let (one, two) = (member(1), member(2));
        let expected = [
            (0, one, false),
            (0, two, false),
            (10, two, true),
            (20, two, true),
        ];
        assert_eq!(sent, expected);
        assert_eq!((missed, over), (vec![(two, kek())], 1));
        assert_eq!(rekeying.last.retransmits, 2);
        assert_eq!(rekeying.last.duration, Duration::from_secs(30));
    }

    #[test]
    fn the_second_rekey_waits_for_the_firsts_acknowledgement_or_a_second() {
        let mut rekeying = rekeying(&[1, 2], 7);
        add(&mut rekeying, Time::ZERO, &[1, 2], 8);
        let seqs =
            |due: &Due| -> Vec<_> { due.departures.iter().map(|d| (d.member, d.seq)).collect() };
        let first = rekeying.due(Time::ZERO, COPIES);
        assert_eq!(seqs(&first), [(member(1), 7), (member(2), 7)]);
        rekeying.acknowledged(&kek(), 7, member(1));
        let later = rekeying.due(Time::from_millis(1_000), COPIES);
        assert_eq!(seqs(&later), [(member(1), 8), (member(2), 8)]);
    }

    #[test]
    fn after_a_minute_the_rest_gets_a_new_push_instead_of_a_copy() {
        let slow = Copies {
            period: Duration::from_secs(40),
            number: 3,
            wait: Duration::from_secs(10),
            hand_overs: HAND_OVERS,
        };
        let mut rekeying = rekeying(&[1], 7);
        assert_eq!(rekeying.due(Time::ZERO, slow).departures.len(), 1);
        assert_eq!(rekeying.due(Time::from_secs(40), slow).departures.len(), 1);
        let due = rekeying.due(Time::from_secs(80), slow);
        assert!(due.departures.is_empty() && due.missed.is_empty());
        assert_eq!(due.again[0].2, [member(1)]);
    }

    #[test]
    fn who_has_acknowledged_a_later_rekey_gets_the_missed_one_anew() {
        let mut rekeying = rekeying(&[1, 2, 3], 7);
        add(&mut rekeying, Time::ZERO, &[1, 2, 3], 8);
        rekeying.due(Time::ZERO, COPIES);
        rekeying.due(Time::from_secs(1), COPIES);
        for n in [1, 2] {
            assert_eq!(rekeying.acknowledged(&kek(), 8, member(n)), Answer::First);
        }
        // Its acknowledgement was only late.
        assert_eq!(rekeying.acknowledged(&kek(), 7, member(2)), Answer::First);
        let due = rekeying.due(Time::from_secs(10), COPIES);
        let copies: Vec<_> = due.departures.iter().map(|d| (d.member, d.seq)).collect();
        assert_eq!(copies, [(member(3), 7)]);
        let again = (PeerKind::Ours, Content::Teks(Spi(7)), vec![member(1)]);
        assert_eq!(due.again, [again]);
    }

    #[test]
    fn who_has_acknowledged_a_later_multicast_rekey_gets_the_missed_one_anew() {
        let mut rekeying = Rekeying::default();
        let group = Some(Ipv4Addr::new(239, 0, 0, 1));
        for seq in [7, 8] {
            let push = Push {
                destination: group,
                ..push(seq, Content::Teks(Spi(seq)))
            };
            rekeying.add(Time::ZERO, push, [1, 2].into_iter().map(member));
        }
        let mut again = Vec::new();
        let mut silent = Vec::new();
        for s in 0..60 {
            let due = rekeying.due(Time::from_secs(s), COPIES);
            again.extend(due.again);
            silent.extend(due.silent);
            if s == 2 {
                assert_eq!(rekeying.acknowledged(&kek(), 8, member(1)), Answer::First);
                assert_eq!(rekeying.acknowledged(&kek(), 8, member(2)), Answer::First);
                assert_eq!(rekeying.acknowledged(&kek(), 7, member(2)), Answer::First);
            }
        }
        let missed = (PeerKind::Ours, Content::Teks(Spi(7)), vec![member(1)]);
        assert_eq!(again, [missed]);
        assert!(silent.is_empty());
    }

    #[test]
    fn what_has_ended_goes_to_nobody_again_and_to_those_who_lack_it_anew() {
        let group = Some(Ipv4Addr::new(239, 0, 0, 1));
        for (destination, asks, lacking) in [
            (None, true, vec![member(2)]),
            (group, true, vec![member(2)]),
            (group, false, vec![member(1), member(2)]),
        ] {
            let mut rekeying = Rekeying::default();
            let push = Push {
                destination,
                asks,
                ..push(7, Content::Teks(Spi(7)))
            };
            rekeying.add(Time::ZERO, push, [1, 2].into_iter().map(member));
            rekeying.due(Time::ZERO, COPIES);
            rekeying.acknowledged(&kek(), 7, member(1));
            rekeying.outdate(Time::from_secs(5));
            let due = rekeying.due(Time::from_secs(10), COPIES);
            assert!(due.departures.is_empty());
            let again = (PeerKind::Ours, Content::Teks(Spi(7)), lacking);
            assert_eq!(due.again, [again], "{destination:?}, asked: {asks}");
            let after = rekeying.due(Time::from_secs(20), COPIES);
            assert!(after.departures.is_empty() && after.again.is_empty());
        }
    }

    #[test]
    fn what_another_key_server_has_outnumbered_goes_to_all_anew() {
        let mut rekeying = rekeying(&[1, 2], 7);
        rekeying.due(Time::ZERO, COPIES);
        rekeying.acknowledged(&kek(), 7, member(1));
        rekeying.outnumber(&kek(), 7);
        let due = rekeying.due(Time::from_secs(10), COPIES);
        assert_eq!(due.departures.len(), 1, "it is its own number");
        rekeying.outnumber(&kek(), 8);
        let due = rekeying.due(Time::from_secs(20), COPIES);
        let again = (PeerKind::Ours, Content::Teks(Spi(7)), vec![member(2)]);
        assert_eq!((due.departures.len(), due.again), (0, vec![again]));
    }

    #[test]
    fn what_a_member_could_not_read_is_taken_from_its_way_and_named_once() {
        let other = KekSpi([6; 16]);
        let mut rekeying = rekeying(&[1, 2], 7);
        let under_other = |seq, content| Push {
            kek: other,
            ..push(seq, content)
        };
        let one = || std::iter::once(member(1));
        rekeying.add(Time::ZERO, under_other(1, Content::Teks(Spi(7))), one());
        rekeying.add(Time::ZERO, under_other(2, Content::Kek(kek())), one());
        rekeying.add(Time::ZERO, under_other(3, Content::Register), one());
        for s in 0..40 {
            rekeying.due(Time::from_secs(s), COPIES);
        }
        // All copies have left in vain.
        let unread = rekeying.take_unread(member(1), &kek());
        assert_eq!(unread, [Content::Teks(Spi(7))]);
        assert!(rekeying.take_unread(member(1), &kek()).is_empty());
        let unread = rekeying.take_unread(member(1), &other);
        assert_eq!(unread, [Content::Teks(Spi(7))]);
        let late = rekeying.acknowledged(&kek(), 7, member(1));
        assert_eq!(late, Answer::Again);
        let of_another = rekeying.acknowledged(&kek(), 7, member(2));
        assert_eq!(of_another, Answer::First);
        let (ours, plain) = (PeerKind::Ours, PeerKind::Rfc6407);
        let begun = rekeying.begun_since(ours, Time::ZERO);
        assert_eq!(begun, [Content::Teks(Spi(7)), Content::Kek(kek())]);
        assert!(rekeying.begun_since(ours, Time::from_secs(1)).is_empty());
        assert!(rekeying.begun_since(plain, Time::ZERO).is_empty());
    }

    #[test]
    fn a_large_group_is_served_in_batches() {
        let mut rekeying = Rekeying::default();
        let members = (0..250u32).map(Ipv4Addr::from_bits);
        let content = Content::Teks(Spi(1));
        rekeying.add(Time::ZERO, push(1, content), members);
        let mut now = Time::ZERO;
        let mut sizes = Vec::new();
        for _ in 0..3 {
            sizes.push(rekeying.due(now, COPIES).departures.len());
            now = rekeying.deadline(now).unwrap();
        }
        assert_eq!(sizes, [100, 100, 50]);
    }
}
