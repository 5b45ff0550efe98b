//! The control plane of one box: phase 1, the groups it serves, the groups it is a member of.
//!
//! Only routes: every input goes to whom it concerns. What it means is decided there.

mod key_pairs;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use crypto::Rng;
use crypto::key_pair::Kind;
use event::{Crypto, Gdoi};
use policy::{GroupId, GroupName, Time};
use wire::iana::{ExchangeType, PayloadType};
use wire::isakmp::{Builder, Chain, Header};
use wire::private::{Announcement, PolicyChunk, PolicyRequest};

use crate::config::Config;
use crate::context::Context;
use crate::ike::{self, Expect, Isakmp, SaId, Upcall};
use crate::key_pairs::{KeyPair, KeyPairs};
use crate::ks::{KeyServer, PullMessage};
use crate::machine::{Command, Input, Outbox, Output, Record};
use crate::persist::{BootId, CoopRow, Corrupt, GroupRow, Restored};
use crate::pull::Message1;
use crate::push::kek_spi;
use crate::refusal::{Refusal, Refusals};
use crate::{ack, gm, ks};

/// Handles of groups and key servers begin here, as IOS prints them.
const HANDLE_FIRST: u32 = 0x8000_0002;

/// The control plane of one box.
pub struct Machine {
    config: Arc<Config>,
    isakmp: Isakmp,
    rng: Box<dyn Rng + Send>,
    keylog: bool,
    boot: BootId,
    key_pairs: KeyPairs,
    restored: BTreeMap<GroupName, (GroupRow, ks::Members)>,
    restored_coop: BTreeMap<GroupName, CoopRow>,
    servers: BTreeMap<GroupName, KeyServer>,
    members: BTreeMap<GroupName, gm::Member>,
    refusals: Refusals,
    next_handle: u32,
    /// The multicast addresses that are heard, each with the address of its interface.
    joined: BTreeSet<(Ipv4Addr, Ipv4Addr)>,
}

pub use key_pairs::ExportRefusal;

/// A key pair as it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairView {
    /// Its label.
    pub label: String,
    /// Its kind.
    pub kind: Kind,
    /// Bits of the modulus or the curve.
    pub bits: usize,
    /// Whether it may be exported.
    pub exportable: bool,
    /// The public half, DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
}

impl Machine {
    /// A box that does nothing until it is configured. `restored` is what earlier runs persisted;
    /// `boot` names the boot of the machine, in which core time goes on. With `keylog` session
    /// keys are told to the outbox.
    ///
    /// # Errors
    /// The first restored row that cannot be read.
    pub fn new(
        rng: Box<dyn Rng + Send>,
        keylog: bool,
        boot: BootId,
        restored: Vec<Record>,
    ) -> Result<Self, Corrupt> {
        let restored = Restored::read(restored)?;
        Ok(Self {
            config: Arc::default(),
            isakmp: Isakmp::new(keylog),
            rng,
            keylog,
            boot,
            key_pairs: restored.key_pairs,
            restored: restored.groups,
            restored_coop: restored.coop,
            servers: BTreeMap::new(),
            members: BTreeMap::new(),
            refusals: Refusals::default(),
            next_handle: HANDLE_FIRST,
            joined: BTreeSet::new(),
        })
    }

    /// Something happened at `now`; its effects are added to `out`, in their order.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Datagram { local, peer, bytes } => {
                self.isakmp
                    .datagram(now, local, peer, bytes, self.rng.as_mut(), out);
            }
            Input::Timer => self.timer(now, out),
            Input::Configure(config) => self.configure(now, config, out),
            Input::Command(command) => self.command(now, command, out),
            Input::KeyPair {
                label,
                kind,
                exportable,
                pkcs8,
            } => {
                let made = KeyPair::new(kind, pkcs8, exportable);
                self.made_key_pair(now, label, kind, made, out);
            }
            Input::SidsLow { group } => self.with_member(now, &group, out, gm::Member::sids_low),
            Input::KeySpent { group, spi } => {
                self.with_member(now, &group, out, |member, cx| member.key_spent(cx, spi));
            }
            Input::Resumed { rng } => self.resumed(now, rng, out),
            Input::UnknownSpi { spi } => {
                let (mut cx, _, members) = self.split(now, out);
                for member in members.values_mut() {
                    member.unknown_spi(&mut cx, spi);
                }
            }
        }
        while let Some(upcall) = self.isakmp.upcall() {
            self.upcall(now, upcall, out);
        }
        self.adopt_rekey_keys(now, out);
        self.follow_rekey_addresses(out);
    }

    /// Hears what the members' rekeys come to, and nothing else.
    fn follow_rekey_addresses(&mut self, out: &mut Outbox) {
        let wanted: BTreeSet<(Ipv4Addr, Ipv4Addr)> = self
            .members
            .values()
            .flat_map(|member| member.rekey_addresses().map(|own| (own, member.address())))
            .collect();
        for (group, interface) in self.joined.difference(&wanted).copied() {
            out.push(Output::Leave { group, interface });
        }
        for (group, interface) in wanted.difference(&self.joined).copied() {
            out.push(Output::Join { group, interface });
        }
        self.joined = wanted;
    }

    /// When `Input::Timer` is due; `now` is the time of the last `handle`.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let servers = self
            .servers
            .values()
            .filter_map(|group| group.deadline(now));
        let members = self.members.values().filter_map(gm::Member::deadline);
        servers.chain(members).chain(self.isakmp.deadline()).min()
    }

    /// Every group that this box serves.
    #[must_use]
    pub fn ks_views(&self, now: Time) -> Vec<ks::View> {
        self.servers
            .values()
            .map(|group| group.view(now, &self.key_pairs, HANDLE_FIRST))
            .collect()
    }

    /// Every group that this box is a member of.
    #[must_use]
    pub fn gm_views(&self, now: Time) -> Vec<gm::View> {
        self.members
            .values()
            .map(|member| member.view(now))
            .collect()
    }

    /// Phase 1.
    #[must_use]
    pub fn isakmp_view(&self) -> ike::View {
        ike::View {
            strays: self.refusals.counts(),
            ..self.isakmp.view()
        }
    }

    /// The key pairs of this box.
    #[must_use]
    pub fn key_pairs(&self) -> Vec<KeyPairView> {
        self.key_pairs
            .iter()
            .map(|(label, key)| KeyPairView {
                label: label.clone(),
                kind: key.kind(),
                bits: key.public_key().bits(),
                exportable: key.exportable,
                public_key: key.public_der().to_vec(),
            })
            .collect()
    }

    fn split<'a>(
        &'a mut self,
        now: Time,
        out: &'a mut Outbox,
    ) -> (
        Context<'a>,
        &'a mut BTreeMap<GroupName, KeyServer>,
        &'a mut BTreeMap<GroupName, gm::Member>,
    ) {
        let cx = Context {
            now,
            isakmp: &mut self.isakmp,
            rng: self.rng.as_mut(),
            key_pairs: &self.key_pairs,
            keylog: self.keylog,
            #[cfg(feature = "model")]
            decoded: false,
            out,
        };
        (cx, &mut self.servers, &mut self.members)
    }

    fn with_member(
        &mut self,
        now: Time,
        group: &GroupName,
        out: &mut Outbox,
        act: impl FnOnce(&mut gm::Member, &mut Context<'_>),
    ) {
        let (mut cx, _, members) = self.split(now, out);
        if let Some(member) = members.get_mut(group) {
            act(member, &mut cx);
        }
    }

    /// A copy of this memory may run elsewhere, with the same phase-1 SAs and the same randomness to
    /// come: none of it is used again. Nothing is said to the peers, since whatever was said under
    /// such an SA the copy could say too; they notice when nobody answers.
    //= getvpn P21
    fn resumed(&mut self, now: Time, rng: Box<dyn Rng + Send>, out: &mut Outbox) {
        self.rng = rng;
        let gone = self.isakmp.forget_all();
        let (mut cx, servers, members) = self.split(now, out);
        for sa in gone {
            for group in servers.values_mut() {
                group.forget_sa(sa);
                group.coop_failed(&mut cx, sa);
                group.coop_deleted(&mut cx, sa, false);
            }
        }
        for member in members.values_mut() {
            member.resumed(&mut cx);
        }
    }

    fn timer(&mut self, now: Time, out: &mut Outbox) {
        self.isakmp.timer(now, self.rng.as_mut(), out);
        let (mut cx, servers, members) = self.split(now, out);
        for group in servers.values_mut() {
            if group.deadline(now).is_some_and(|due| due <= now) {
                group.timer(&mut cx);
            }
        }
        for member in members.values_mut() {
            if member.deadline().is_some_and(|due| due <= now) {
                member.timer(&mut cx);
            }
        }
    }

    fn configure(&mut self, now: Time, config: Arc<Config>, out: &mut Outbox) {
        self.isakmp.configure(Arc::new(config.isakmp.clone()));
        self.config = Arc::clone(&config);
        self.configure_servers(now, out);
        let (mut cx, _, members) = self.split(now, out);
        let configured = |name: &GroupName| config.members.iter().any(|own| own.group == *name);
        let gone: Vec<_> = members
            .keys()
            .filter(|name| !configured(name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(mut member) = members.remove(&name) {
                member.close(&mut cx);
            }
        }
        for own in &config.members {
            if let Some(member) = members.get_mut(&own.group) {
                member.configure(&mut cx, own.clone());
            } else {
                let member = gm::Member::new(&mut cx, own.clone());
                members.insert(own.group.clone(), member);
            }
        }
    }

    fn configure_servers(&mut self, now: Time, out: &mut Outbox) {
        let config = Arc::clone(&self.config);
        let mut restored = std::mem::take(&mut self.restored);
        let mut restored_coop = std::mem::take(&mut self.restored_coop);
        let (boot, mut handle) = (self.boot, self.next_handle);
        let (mut cx, servers, _) = self.split(now, out);
        let configured = |name: &GroupName| config.key_servers.iter().any(|own| own.group == *name);
        let gone: Vec<_> = servers
            .keys()
            .filter(|name| !configured(name))
            .cloned()
            .collect();
        for name in gone {
            let lacks = config.incomplete.iter().find(|(own, _)| *own == name);
            if let (Some((_, reason)), Some(group)) = (lacks, servers.get_mut(&name)) {
                group.suspend(&mut cx, reason);
            } else if let Some(group) = servers.remove(&name) {
                group.forget(&mut cx);
            }
        }
        for own in &config.key_servers {
            if let Some(group) = servers.get_mut(&own.group) {
                group.configure(&mut cx, own.clone());
            } else {
                let left = restored.remove(&own.group);
                let coop = restored_coop.remove(&own.group);
                let group = KeyServer::new(&mut cx, own.clone(), handle, boot, left, coop);
                servers.insert(own.group.clone(), group);
                handle += 1;
            }
        }
        self.restored = restored;
        self.restored_coop = restored_coop;
        self.next_handle = handle;
    }

    fn command(&mut self, now: Time, command: Command, out: &mut Outbox) {
        match command {
            Command::ClearGdoi { group } => {
                let (mut cx, _, members) = self.split(now, out);
                for (name, member) in members {
                    if group.as_ref().is_none_or(|wanted| wanted == name) {
                        member.clear(&mut cx);
                    }
                }
            }
            Command::Rekey { group } => {
                let (mut cx, servers, _) = self.split(now, out);
                for (_, server) in named(servers, group.as_ref()) {
                    server.order_rekey(&mut cx);
                }
            }
            Command::ReplaceNow { group } => {
                let (mut cx, servers, _) = self.split(now, out);
                for (_, server) in named(servers, group.as_ref()) {
                    server.replace_now(&mut cx);
                }
            }
            Command::ClearMembers {
                group,
                member,
                now: at_once,
            } => {
                let (mut cx, servers, _) = self.split(now, out);
                for (_, server) in named(servers, group.as_ref()) {
                    server.clear_members(&mut cx, member, at_once);
                }
            }
            Command::Readmit { group, member } => {
                let (mut cx, servers, _) = self.split(now, out);
                for (_, server) in named(servers, group.as_ref()) {
                    server.readmit(&mut cx, member);
                }
            }
            Command::ClearCoopCounters { group } => {
                for (_, server) in named(&mut self.servers, group.as_ref()) {
                    server.clear_coop_counters();
                }
            }
            Command::ClearCoopRole { group } => {
                let (mut cx, servers, _) = self.split(now, out);
                for (_, server) in named(servers, group.as_ref()) {
                    server.clear_coop_role(&mut cx);
                }
            }
            Command::GenerateKeyPair {
                label,
                size,
                exportable,
            } => out.push(Output::GenerateKeyPair {
                label,
                size,
                exportable,
            }),
            Command::ZeroizeKeyPair { label } => self.zeroize_key_pair(now, &label, out),
        }
    }

    fn upcall(&mut self, now: Time, upcall: Upcall, out: &mut Outbox) {
        if let Upcall::Exchange {
            sa,
            exchange,
            message_id,
            step,
            first,
            payloads,
        } = &upcall
        {
            let message = PullMessage {
                sa: *sa,
                message_id: *message_id,
                first: *first,
                payloads,
            };
            return self.exchange(now, *exchange, *step, &message, out);
        }
        let dead = matches!(upcall, Upcall::Dead(_));
        let (mut cx, servers, members) = self.split(now, out);
        match upcall {
            Upcall::Established(sa) => {
                for member in members.values_mut() {
                    member.established(&mut cx, sa);
                }
                for group in servers.values_mut() {
                    group.coop_established(&mut cx, sa);
                }
            }
            Upcall::Failed { sa, reason } => {
                for member in members.values_mut() {
                    member.failed(&mut cx, sa, reason);
                }
                for group in servers.values_mut() {
                    group.coop_failed(&mut cx, sa);
                }
            }
            Upcall::Deleted(sa) | Upcall::Dead(sa) => {
                for group in servers.values_mut() {
                    group.forget_sa(sa);
                    group.coop_deleted(&mut cx, sa, dead);
                }
                for member in members.values_mut() {
                    member.deleted(&mut cx, sa);
                }
            }
            Upcall::Timeout { sa, message_id } => {
                for member in members.values_mut() {
                    member.timeout(&mut cx, sa, message_id);
                }
                for group in servers.values_mut() {
                    group.coop_timeout(&mut cx, sa, message_id);
                }
            }
            Upcall::Notify { sa, notify, data } => {
                let said = said(notify, &data);
                for member in members.values_mut() {
                    member.notified(&mut cx, sa, &said);
                }
            }
            Upcall::Plain {
                local,
                peer,
                exchange,
                bytes,
            } => self.plain(now, (local, peer), exchange, &bytes, out),
            Upcall::Exchange { .. } => {}
        }
    }

    /// A message under a phase-1 SA: for the member that began the exchange, else for a group that
    /// is served here.
    fn exchange(
        &mut self,
        now: Time,
        exchange: ExchangeType,
        step: u8,
        message: &PullMessage<'_>,
        out: &mut Outbox,
    ) {
        let PullMessage {
            sa,
            message_id,
            first,
            payloads,
        } = *message;
        let (mut cx, servers, members) = self.split(now, out);
        let member = members
            .values_mut()
            .find(|member| member.waits_for(sa, message_id));
        match (exchange, member) {
            (_, Some(member)) => member.exchange(&mut cx, (sa, message_id), first, payloads),
            (ExchangeType::GROUPKEY_PULL, None) if step == 1 => self.begin_pull(now, message, out),
            (ExchangeType::GROUPKEY_PULL, None) => {
                let group = servers
                    .values_mut()
                    .find(|group| group.has_pull(sa, message_id));
                match group {
                    Some(group) => group.finish_pull(&mut cx, message),
                    None => self.refuse(now, sa, &Refusal::NoPull, out),
                }
            }
            (ExchangeType::GETVPN_POLICY_FETCH, None) => self.policy_fetch(now, message, out),
            (ExchangeType::GETVPN_COOP, None) => self.coop(now, step, message, out),
            // `ike` hands up no other exchange.
            (_, _) => {}
        }
    }

    fn begin_pull(&mut self, now: Time, message: &PullMessage<'_>, out: &mut Outbox) {
        let message_1 = match Message1::read(message.first, message.payloads) {
            Ok(message_1) => message_1,
            Err(error) => return self.refuse(now, message.sa, &Refusal::Malformed(error), out),
        };
        let (mut cx, servers, _) = self.split(now, out);
        let group = servers
            .values_mut()
            .find(|group| Some(group.config().id) == message_1.group);
        match group {
            Some(group) => group.begin_pull(&mut cx, message, &message_1),
            None => {
                let id = message_1.group.as_ref().map_or_else(
                    || format!("of identification type {}", message_1.id.ty),
                    GroupId::to_string,
                );
                self.refuse(now, message.sa, &Refusal::UnknownGroup(id), out);
            }
        }
    }

    /// A refusal before it is known which group is meant.
    fn refuse(&mut self, now: Time, sa: SaId, refusal: &Refusal, out: &mut Outbox) {
        let Some(peer) = self.isakmp.sa(sa).map(|sa| *sa.peer().ip()) else {
            return;
        };
        let row = refusal.row();
        if self.refusals.count(now, peer, row.name) {
            out.report(refusal.event(peer, &GroupName::new("-")));
        }
        let text = refusal.to_string();
        // An SA that is used up cannot carry the reason; the member's own timer tells it then.
        let _ = self
            .isakmp
            .notify(sa, row.notify, text.as_bytes(), self.rng.as_mut(), out);
    }

    /// A member fetches a piece of a policy. Only who may register gets one.
    //= getvpn P5
    fn policy_fetch(&mut self, now: Time, message: &PullMessage<'_>, out: &mut Outbox) {
        let request = Chain::decode(message.first, message.payloads).and_then(|chain| match chain
            .find(PayloadType::GETVPN_POLICY_REQUEST)
        {
            Some(raw) => raw.decode::<PolicyRequest>(),
            None => Err(wire::Error {
                what: "policy fetch",
                kind: wire::Kind::Missing {
                    part: "GETVPN_POLICY_REQUEST",
                },
            }),
        });
        let request = match request {
            Ok(request) => request,
            Err(error) => return self.refuse(now, message.sa, &Refusal::Malformed(error), out),
        };
        let (cx, servers, _) = self.split(now, out);
        let Some(peer) = cx.isakmp.sa(message.sa).map(|sa| *sa.peer().ip()) else {
            return;
        };
        let piece = servers
            .values()
            .filter(|group| group.admits(peer))
            .find_map(|group| group.policy_piece(&request));
        let mut builder = Builder::new();
        builder.push(&PolicyChunk {
            kind: request.kind,
            number: request.number,
            data: piece.as_deref(),
        });
        let built = builder
            .finish()
            .expect("a piece is a chunk or a part of the list");
        // An SA that ended in between: the member asks again.
        let _ = cx.isakmp.send(
            now,
            message.sa,
            message.message_id,
            (built.first(), built.payloads()),
            Expect::Final,
            cx.out,
        );
    }

    /// A message between key servers, for the group that it names.
    fn coop(&mut self, now: Time, step: u8, message: &PullMessage<'_>, out: &mut Outbox) {
        let named = Chain::decode(message.first, message.payloads)
            .ok()
            .and_then(|chain| {
                let raw = chain.find(PayloadType::GETVPN_COOP)?;
                Some(ks::group_of(raw.decode::<Announcement<'_>>().ok()?.group))
            });
        let (mut cx, servers, _) = self.split(now, out);
        let group = servers
            .values_mut()
            .find(|group| Some(group.config().id) == named);
        match group {
            Some(group) => group.coop_message(&mut cx, message, step),
            None => {
                let id = named.map_or_else(
                    || "in a malformed announcement".to_owned(),
                    |id| id.to_string(),
                );
                self.refuse(now, message.sa, &Refusal::UnknownGroup(id), out);
            }
        }
    }

    /// A PUSH, for the member that holds its Rekey SA, or an acknowledgement, for the group that
    /// sent what it acknowledges.
    fn plain(
        &mut self,
        now: Time,
        (local, peer): (SocketAddrV4, SocketAddrV4),
        exchange: ExchangeType,
        bytes: &[u8],
        out: &mut Outbox,
    ) {
        let Ok(header) = Header::decode(bytes) else {
            return;
        };
        let (mut cx, servers, members) = self.split(now, out);
        if exchange == ExchangeType::GROUPKEY_PUSH {
            let spi = kek_spi(&header);
            let holder = members.values_mut().find(|member| member.holds_kek(&spi));
            if let Some(member) = holder {
                member.push(&mut cx, local, peer, bytes);
                return;
            }
            let mut heard = false;
            for member in members.values_mut().filter(|own| own.hears(*local.ip())) {
                member.push(&mut cx, local, peer, bytes);
                heard = true;
            }
            if !heard && self.refusals.count(now, *peer.ip(), "rekey for no member") {
                out.report(Crypto::IKMP_BAD_MESSAGE {
                    peer: IpAddr::V4(*peer.ip()),
                    reason: "a rekey, and no member of a group is at its destination".to_owned(),
                });
            }
            return;
        }
        let known = ack::open(bytes).is_some_and(|ack| {
            servers
                .values_mut()
                .any(|group| group.acknowledge(&mut cx, *peer.ip(), &ack))
        });
        if !known
            && self
                .refusals
                .count(now, *peer.ip(), "unsolicited acknowledgement")
        {
            out.report(Gdoi::KS_UNSOL_ACK {
                gm: *peer.ip(),
                group: GroupName::new("-"),
            });
        }
    }
}

/// The group of that name, or all.
fn named<'a>(
    servers: &'a mut BTreeMap<GroupName, KeyServer>,
    wanted: Option<&'a GroupName>,
) -> impl Iterator<Item = (&'a GroupName, &'a mut KeyServer)> {
    servers
        .iter_mut()
        .filter(move |(name, _)| wanted.is_none_or(|wanted| wanted == *name))
}

/// A Notify as an operator reads it: its name, and the text that key servers of ours add.
fn said(notify: wire::iana::NotifyType, data: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(data)
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    if text.is_empty() {
        notify.to_string()
    } else {
        format!("{notify}: {text}")
    }
}
