//! The member's view: what it holds, in plain values.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use ::policy::{PseudoTime, Time};
use crypto::key_pair::Algorithm;

use super::held::{Held, Kek};
use super::{KekView, Keks, Member, PORT, PublicKeyView, Status, TekView, View};
use crate::key_pairs::algorithm;

impl Member {
    /// The key server that is asked next.
    fn next_server(&self) -> Option<SocketAddrV4> {
        let servers = &self.config.servers;
        let next = self.plan.server + usize::from(self.plan.next_server);
        let server = servers.get(next % servers.len().max(1))?;
        Some(SocketAddrV4::new(*server, PORT))
    }

    /// What an operator can see at `now`.
    pub(crate) fn view(&self, now: Time) -> View {
        let held = self.held.as_ref();
        let server = held
            .map(|held| held.server)
            .or_else(|| self.attempt.server())
            .or_else(|| self.next_server());
        let last = held.and_then(|held| held.last_rekey);
        let counters = &self.counters;
        View {
            group: self.config.group.clone(),
            id: self.config.id,
            servers: self.config.servers.clone(),
            local: self.local(),
            crypto_map: self.config.crypto_map.clone(),
            interface: self.config.interface.clone(),
            status: self.status(),
            server,
            server_kind: self.kind(),
            reregisters_in: self.plan.at.map(|at| now.until(at)),
            registrations_succeeded: counters.succeeded,
            registrations_attempted: counters.attempted,
            resumptions: counters.resumptions,
            last_failure: self.last_failure.clone(),
            last_rekey_from: last.map(|(from, _, _)| *from.ip()),
            last_rekey_seq: last.map_or(0, |(_, seq, _)| seq),
            last_rekey_ago: last.map(|(_, _, at)| now.since(at)),
            rekeys_received: counters.rekeys,
            rekeys_since_registration: counters.rekeys_since_registration,
            acks_sent: counters.acks,
            rekey_copies: counters.copies,
            refusals: counters
                .refusals
                .iter()
                .map(|(name, n)| (*name, *n))
                .collect(),
            signature_forms: counters
                .signature_forms
                .iter()
                .map(|(form, n)| (*form, *n))
                .collect(),
            transport: self.transport(),
            multicast_address: held.and_then(|held| held.keks.next()?.destination),
            downloaded_acl: held.map(|held| Arc::clone(&held.policy.acl)),
            local_acl: self.config.local_acl.clone(),
            merged_acl: held.map(|held| Arc::new(self.merged(&held.policy.acl))),
            policy_name: held.and_then(policy_name),
            policy_stale: self.fetch.is_some(),
            tbar_window_s: held.and_then(|held| held.policy.tbar_window_s),
            keks: held.map(|held| self.keks(held, now)).unwrap_or_default(),
            teks: held.map(|held| teks(held, now)).unwrap_or_default(),
            pseudotime: held.map(|held| held.clock.at(now)),
            clock_generation: self.clock.generation(),
            sids: held.map(|held| held.sids.clone()).unwrap_or_default(),
            sid_size: held.and_then(|held| held.sid_size),
            public_key: held.and_then(|held| {
                let key = held.public_key.as_ref()?;
                Some(PublicKeyView {
                    kind: key.kind(),
                    bits: key.bits(),
                    der: key.to_spki_der().to_vec(),
                })
            }),
        }
    }

    fn status(&self) -> Status {
        match (self.held.is_some(), self.attempt.is_idle()) {
            (true, true) => Status::Registered,
            (true, false) => Status::ReRegistering,
            (false, _) if self.plan.is_rejected() => Status::Rejected,
            (false, false) => Status::Registering,
            (false, true) => Status::NotRegistered,
        }
    }

    fn keks(&self, held: &Held, now: Time) -> Keks {
        let at = held.clock.at(now);
        let view = |kek: &Option<Kek>| kek.as_ref().map(|kek| self.kek_view(held, kek, at));
        Keks {
            new: view(&held.keks.new),
            current: view(&held.keks.current),
            previous: view(&held.keks.previous),
        }
    }

    fn kek_view(&self, held: &Held, kek: &Kek, now: PseudoTime) -> KekView {
        KekView {
            destination: kek.destination.unwrap_or(self.config.address),
            source: held
                .last_rekey
                .map_or_else(|| *held.server.ip(), |(from, _, _)| *from.ip()),
            conn_id: kek.conn_id,
            spi: kek.sa.spi,
            cipher: kek.sa.cipher,
            signature: kek.sa.signature,
            sig_key_bits: kek.sig_key_bits,
            sig_size: match algorithm(kek.sa.signature) {
                Algorithm::Rsa => usize::from(kek.sig_key_bits).div_ceil(8),
                Algorithm::Ecdsa(curve) => curve.signature_len(),
            },
            remaining: kek.expiry.since(now),
            seq: kek.seq,
            previous_seq: kek.previous_seq,
            acknowledgement: kek.ack.map(|ack| ack.0),
        }
    }
}

fn policy_name(held: &Held) -> Option<String> {
    Some(held.policy.blob.as_ref()?.short_name())
}

fn teks(held: &Held, now: Time) -> Vec<TekView> {
    let at = held.clock.at(now);
    let outbound = held.outbound(at);
    let mut teks: Vec<TekView> = held
        .teks
        .values()
        .map(|tek| TekView {
            spi: tek.spi,
            transform: tek.transform,
            remaining: tek.remaining(at),
            orig_lifetime_s: tek.orig_lifetime_s,
            activates_in: tek.activation.since(at),
            outbound: Some(tek.spi) == outbound,
        })
        .collect();
    teks.sort_by_key(|tek| (!tek.outbound, std::cmp::Reverse(tek.remaining), tek.spi));
    teks.retain(|tek| tek.outbound || tek.remaining > Duration::ZERO);
    teks
}
