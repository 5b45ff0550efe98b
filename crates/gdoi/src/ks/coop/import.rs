//! What a peer's records do here: a join of sets, in whatever order they come (PROTOCOL P15).
//!
//! Nothing is taken before all of a message could be read. Decides what is new, what wins where two
//! say different things, and what members must be told because of it.

use std::net::{Ipv4Addr, SocketAddrV4};

use ::policy::{Generation, KekSpi, KsIndex, PseudoTime, Time};
use event::Gdoi;
use wire::private::Announcement;

use super::log::Key;
use super::records::{Piece, Record};
use crate::context::Context;
use crate::ks::keys::KINDS;
use crate::ks::outstanding::Content;
use crate::ks::{Kek, KeyServer, Member, TekRecord};
use crate::limits::{LIFETIME_MAX, MERGE_SEND_WAIT};
use crate::machine::Output;
use crate::persist;
use crate::policy_blob::{PolicyBlob, Sha256, sha256};
use crate::refusal::Refusal;

/// Pieces of policies that are kept until the policy is named: two of the largest.
const PIECES_MAX: usize = 128;

/// What a message changed.
#[derive(Default)]
struct Changes {
    /// Traffic keys that were not held.
    teks: usize,
    /// Keys or policy.
    group: bool,
    /// Members.
    members: Vec<Ipv4Addr>,
    /// Those of them of which a later registration is known here than the peer told of.
    later_here: Vec<Ipv4Addr>,
    /// Members that have registered at another key server.
    joined: Vec<Ipv4Addr>,
    /// Rekeys that members have not seen: they could not read them, or began anew where they were not
    /// known yet.
    untold: Vec<(Ipv4Addr, Content)>,
    /// Members that were taken out, or rises of the generation.
    removals: bool,
    /// Of the rises, more are known here than the peer told.
    raises_here: bool,
}

impl KeyServer {
    /// Takes a peer's records. Says whether it has more of them than it sent.
    pub(super) fn import(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        said: &Announcement<'_>,
        to_us: bool,
    ) -> Result<bool, Refusal> {
        let received = self.coop.peers.get(&index).map_or(0, |peer| peer.received);
        let more = said.backlog > 0;
        if !to_us || said.from > received {
            return Ok(true);
        }
        // Records are in the group's time, which must be known first.
        let timeless = !self.is_founded() && self.coop.synchronised.is_none();
        if said.flags.founded && timeless && !said.records.is_empty() {
            return Ok(true);
        }
        let mut records: Vec<Record> = said
            .records
            .iter()
            .map(|record| Record::read(record.kind, record.octets))
            .collect::<Result<_, _>>()
            .map_err(Refusal::Malformed)?;
        // A member counts by what was said of it last, and what is handed over is for a member.
        records.sort_by_key(Record::turn);
        self.coop.log.comes_from(Some(index));
        let mut changes = Changes::default();
        let ahead = self.keys.generation_ahead();
        for record in records {
            self.apply(cx, index, record, &mut changes);
        }
        self.keys.send_in_time();
        // A generation counts together with all that made it: whoever made new keys before it knew
        // who was removed would give them away.
        //= getvpn P14
        if !more {
            let generation = self.keys.generation.join(&Generation(said.generation));
            changes.group |= generation != self.keys.generation;
            self.keys.generation = generation;
        }
        if ahead != self.keys.generation_ahead() {
            // What waits for its last message would bring keys of before.
            self.pulls.clear();
            self.rekeying.clear();
            self.coop.withdraw_rekeys();
        }
        changes.group |= self.adopt_policy();
        if let Some(peer) = self.coop.peers.get_mut(&index) {
            peer.received = said.to.max(received);
        }
        if said.flags.complete && !more && said.to >= said.from {
            // What it stamps must be in the group's time, too.
            let timely = self.coop.synchronised.is_some();
            self.coop.complete |= !said.flags.founded || (timely && self.is_founded());
        }
        changes.group |= !more && self.trust_keys(index);
        self.write_down(cx, index, &changes);
        self.coop.log.comes_from(None);
        Ok(more)
    }

    /// What came is on disk before it is acknowledged.
    fn write_down(&mut self, cx: &mut Context<'_>, index: KsIndex, changes: &Changes) {
        // One record holds the rises of all: what the peer told is in it, and what it does not know.
        if changes.removals && changes.raises_here {
            self.coop.log.comes_from(None);
            self.note_removals();
            self.coop.log.comes_from(Some(index));
        }
        if changes.removals {
            self.persist_removals(cx);
        }
        if changes.group || changes.removals {
            self.persist_group(cx);
            self.persist_coop(cx);
        }
        for address in &changes.members {
            if let Some(member) = self.members.find(*address) {
                let record = persist::member_record(&self.config.group, *address, member);
                cx.out.push(Output::Persist(record));
            }
            // A peer need not be told of what it told, but of what it does not know yet.
            if changes.later_here.contains(address) {
                self.coop.changed_here(Key::Member(*address), cx.now);
            } else {
                self.coop.changed(Key::Member(*address), cx.now);
            }
        }
        if !self.coop.leads() {
            self.coop.scattered = false;
            return;
        }
        if changes.teks > 0
            && let Some(peer) = self.coop.peers.get(&index)
        {
            cx.out.report(Gdoi::COOP_MERGE {
                group: self.config.group.clone(),
                ks: peer.address,
                records: changes.teks,
            });
        }
        self.coop.log.comes_from(None);
        let scattered = std::mem::take(&mut self.coop.scattered);
        if scattered {
            self.doubt_plain(cx);
        }
        if scattered || changes.group || !changes.members.is_empty() {
            self.unify_keks(cx);
        }
        if scattered {
            self.tell_blind(cx);
        }
        self.tell_again(cx, &changes.untold);
        self.tell_returned(cx, &changes.members);
        self.tell_plain_elsewhere(cx, &changes.joined);
    }

    /// Members turned out to hold another Rekey SA than their rekeys went under, from a key server
    /// that was not heard, or have registered elsewhere meanwhile: they are told the same again.
    //= getvpn P15
    fn tell_again(&mut self, cx: &mut Context<'_>, untold: &[(Ipv4Addr, Content)]) {
        let now = self.clock.at(cx.now);
        for kind in KINDS {
            // Then who comes from another key server is told all keys in any case.
            let removing = self.keys.compromised_kek(kind, now).is_some();
            let mut by_content: Vec<(&Content, Vec<Ipv4Addr>)> = Vec::new();
            for (address, content) in untold {
                let member = self.members.find(*address);
                if member.is_none_or(|member| member.kind != kind) {
                    continue;
                }
                if removing && matches!(content, Content::Teks(_)) {
                    continue;
                }
                match by_content.iter_mut().find(|(of, _)| *of == content) {
                    Some((_, members)) => members.push(*address),
                    None => by_content.push((content, vec![*address])),
                }
            }
            for (content, members) in by_content {
                self.send(cx, kind, content, members);
            }
        }
    }

    fn apply(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        record: Record,
        changes: &mut Changes,
    ) {
        match record {
            Record::Tek(record) => self.join_tek(cx, *record, changes),
            Record::Kek(kek) => changes.group |= self.join_kek(cx.now, *kek),
            Record::Member(address, member) => {
                let told = (member.joined, member.server);
                if self.join_member(cx.now, address, *member, changes) {
                    changes.members.push(address);
                    let held = self.members.find(address);
                    if held.is_some_and(|held| (held.joined, held.server) != told) {
                        changes.later_here.push(address);
                    }
                }
            }
            Record::Group(group) => {
                let primary = self.primary() == Some(index);
                if !self.is_founded() || (primary && !self.coop.leads()) {
                    changes.group |= self.keys.spi_key.expose() != group.spi_key.expose();
                    self.keys.spi_key = group.spi_key.clone();
                }
                self.coop.announced_group = Some(group);
            }
            Record::Piece(piece) => self.keep_piece(piece),
            Record::RekeyKey(key) => self.join_rekey_key(cx, index, key),
            Record::FormerKey(key) => self.join_former_key(cx, index, &key),
            Record::Config(fields) => {
                if let Some(peer) = self.coop.peers.get_mut(&index) {
                    peer.fields = fields;
                }
                self.compare_config(cx, index);
            }
            Record::Tombstone(member, word) => {
                changes.removals |= self.keys.removals.join_tombstone(member, word);
            }
            Record::Removals(removals) => {
                let generation = self.keys.generation;
                changes.removals |= self.keys.removals.join_raises(&removals, &generation);
                changes.raises_here |= self.keys.removals.has_more_than(&removals);
            }
            Record::HandedPush(handed) => self.repeat(cx, index, handed),
            Record::HandedAck(handed) => self.handed_ack(cx, &handed),
            Record::Unknown => {}
        }
    }

    /// A traffic key is immutable: it is held or it is new.
    //= getvpn P15
    fn join_tek(&mut self, cx: &Context<'_>, record: TekRecord, changes: &mut Changes) {
        let now = self.clock.at(cx.now);
        let leads = self.coop.leads();
        let spi = record.tek.spi;
        let send_from = (leads && record.announced).then(|| self.send_from_at_merge(cx));
        if let Some(held) = self.keys.teks.iter_mut().find(|held| held.tek.spi == spi) {
            // Who leads knows best what members were told; but what another one told its members
            // is sent on there, though it was withdrawn here before anybody held it.
            if send_from.is_some() && held.withdrawn {
                held.withdrawn = false;
                held.send_from = send_from;
                changes.group = true;
                changes.teks += 1;
            } else if leads
                && record.withdrawn
                && !(held.withdrawn || held.announced)
                && held.send_from.is_none()
            {
                // Nobody holds it, and whoever leads in the end may not know that it is good.
                held.withdrawn = true;
                changes.group = true;
            } else if !leads {
                let before = (held.announced, held.delivered, held.withdrawn);
                if record.announced {
                    held.send_from = record.send_from;
                }
                held.announced |= record.announced;
                held.delivered |= record.delivered;
                // What members were told is sent on, though it was withdrawn here before.
                held.withdrawn = (held.withdrawn | record.withdrawn) && !held.announced;
                changes.group |= before != (held.announced, held.delivered, held.withdrawn);
            }
            return;
        }
        let same_list = self
            .plan
            .as_ref()
            .is_some_and(|plan| plan.wanted.ks_list_hash == record.tek.ks_list_hash);
        let alive = record.tek.generation.is_alive_in(&self.keys.generation);
        let good = is_believable(record.tek.activation, record.tek.expiry);
        if !same_list || !alive || !good || record.tek.expiry <= now {
            return;
        }
        changes.group = true;
        changes.teks += 1;
        self.has_keys_until(record.minted);
        if !leads {
            return self.keys.insert_tek(record);
        }
        self.keys.insert_tek(TekRecord {
            announced: false,
            delivered: false,
            send_from,
            ..record
        });
    }

    /// Members of the other side send on a key already; those of this side first all learn it.
    fn send_from_at_merge(&self, cx: &Context<'_>) -> PseudoTime {
        let wait = self.plan.as_ref().map_or(MERGE_SEND_WAIT, |plan| {
            plan.wanted.schedule.scaled(MERGE_SEND_WAIT)
        });
        let now = self.clock.at(cx.now);
        now.after(wait.max(self.delivery_span(cx)))
    }

    fn join_kek(&mut self, at: Time, kek: Kek) -> bool {
        let now = self.clock.at(at);
        let leads = self.coop.leads();
        if let Some(held) = self.keys.kek_by_spi_mut(&kek.sa.spi) {
            let before = (held.seq, held.announced, held.delivered);
            held.seq = held.seq.max(kek.seq);
            if !leads {
                held.announced |= kek.announced;
                held.delivered |= kek.delivered;
            }
            let (seq, changed) = (
                held.seq,
                before != (held.seq, held.announced, held.delivered),
            );
            if seq > before.0 {
                self.rekeying.outnumber(&kek.sa.spi, seq);
            }
            return changed;
        }
        let good = is_believable(kek.minted, kek.expiry);
        // One of an older generation is kept, too: its members are asked under it to come.
        if !good || kek.expiry <= now {
            return false;
        }
        // The other side changed over, and nobody said whether those that are here did.
        let mut held = self.keys.keks.iter();
        let same = |held: &Kek| held.kind == kek.kind && now < held.expiry && held.is_blind();
        self.coop.scattered |= kek.announced && (kek.is_blind() || held.any(same));
        let place = self
            .keys
            .keks
            .partition_point(|held| held.minted <= kek.minted);
        self.keys.keks.insert(place, kek);
        true
    }

    fn join_member(
        &mut self,
        at: Time,
        address: Ipv4Addr,
        member: Member,
        changes: &mut Changes,
    ) -> bool {
        let now = self.clock.at(at);
        let local = SocketAddrV4::new(self.config.address, 848);
        let theirs = Member { local, ..member };
        if self.keys.removals.voids(address, member.joined, now) {
            return false;
        }
        let until = self.keys.teks.iter().map(|record| record.tek.expiry).max();
        let minted = |spi: &KekSpi| self.keys.kek_by_spi(spi).map(|kek| kek.minted);
        let Some(held) = self.members.find(address) else {
            self.members.insert(address, theirs);
            changes.joined.push(address);
            return true;
        };
        // What an older registration got since, the member has forgotten.
        let same = (theirs.joined, theirs.server) == (held.joined, held.server);
        let newer_kek = same && minted(&theirs.kek) > minted(&held.certain_kek());
        let before = (
            held.joined,
            held.server,
            held.certain_kek(),
            held.leases.len(),
        );
        let kek = theirs.kek;
        let Some(held) = self.members.find_mut(address) else {
            return false;
        };
        held.join(theirs, until.unwrap_or(now), now);
        if newer_kek {
            held.holds(kek);
        }
        let kek = held.certain_kek();
        let changed = before != (held.joined, held.server, kek, held.leases.len());
        let elsewhere = (before.0, before.1) != (held.joined, held.server);
        let kind = held.kind;
        let untold = if elsewhere {
            // What was told by then may not have been known where it registered.
            let ago = now.since(held.joined) + self.replication_wait();
            let since = at.since(Time::ZERO).saturating_sub(ago);
            self.rekeying.forget(address);
            self.rekeying.begun_since(kind, Time::ZERO + since)
        } else if kek == before.2 {
            Vec::new()
        } else {
            self.rekeying.take_unread(address, &kek)
        };
        changes.joined.extend(elsewhere.then_some(address));
        if elsewhere || kek != before.2 {
            // It may have come to a key server that had not heard of a removal, or not been able to
            // read that it is to come.
            self.summon_again(address);
        }
        let untold = untold.into_iter().map(|content| (address, content));
        changes.untold.extend(untold);
        changed
    }

    // ---------------------------------------------------------------- policy

    fn keep_piece(&mut self, piece: Piece) {
        if self.coop.pieces.len() >= PIECES_MAX {
            self.coop.pieces.clear();
        }
        let key = (piece.sha256, piece.number);
        self.coop.pieces.insert(key, piece.octets);
    }

    /// Takes over a policy that is newer than the one held, when all its pieces are here. Of two
    /// that are equally old, as key servers have that were founded apart, all take the same.
    //= getvpn P15
    fn adopt_policy(&mut self) -> bool {
        let Some(group) = self.coop.announced_group.clone() else {
            return false;
        };
        let own = self.group_record();
        if self.policy.is_some() && group.rank() <= own.rank() {
            self.coop.announced_group = None;
            return false;
        }
        let mut blobs = [None, None];
        for (blob, named) in blobs.iter_mut().zip(&group.policies) {
            if let Some((sha256, octets)) = named {
                let Some(found) = self.blob(sha256, *octets) else {
                    return false;
                };
                *blob = Some(found);
            }
        }
        self.coop.announced_group = None;
        let [policy, next] = blobs;
        let same = self.policy == policy && self.next_policy == next;
        self.coop.row.policy_version = group.version;
        (self.policy, self.next_policy) = (policy, next);
        self.coop.pieces.clear();
        !same
    }

    fn blob(&self, name: &Sha256, octets: u32) -> Option<PolicyBlob> {
        let held = [&self.policy, &self.next_policy].into_iter().flatten();
        if let Some(held) = held.into_iter().find(|blob| blob.sha256 == *name) {
            return Some(held.clone());
        }
        let pieces = self.coop.pieces.range((*name, 0)..=(*name, u16::MAX));
        let whole: Vec<u8> = pieces
            .flat_map(|(_, piece)| piece.iter().copied())
            .collect();
        let right = whole.len() == octets as usize && sha256(&whole) == *name;
        PolicyBlob::decode(whole).ok().filter(|_| right)
    }
}

/// Whether a key lives as long as members believe: one that never ended would stop all others.
fn is_believable(begin: PseudoTime, expiry: PseudoTime) -> bool {
    let life = expiry.since(begin);
    !life.is_zero() && life <= LIFETIME_MAX
}
