//! What a change of a group's configuration will do, said before it is done (mission 2.2).
//!
//! Pure: two configurations in, consequences out. Whether a change needs new keys is judged by the
//! same plans as in `KeyServer::follow`; a test changes each field of a running group and compares.

use crypto::key_pair::Kind;
use policy::RekeyTransport;

use super::keys::kinds;
use super::policy::Plan;
use crate::config::KeyServer;

/// When a change reaches the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// New traffic keys are made and sent now; those of before stay until they expire.
    NewTeks,
    /// A new rekey key is made and sent now; traffic keys stay.
    NewKek,
    /// The next rekey brings it; `crypto gdoi ks rekey` sends one at once.
    NextRekey,
    /// No rekey: it counts for what this key server does from now on.
    FromNowOn,
}

/// A change and its consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The words of the configuration.
    pub what: &'static str,
    /// What follows.
    pub effect: Effect,
}

/// What follows from a change of a group that this key server leads.
///
/// # Errors
/// Why the group is not served with the new configuration.
pub fn preview(before: &KeyServer, after: &KeyServer) -> Result<Vec<Change>, String> {
    let after_plan = Plan::of(after)?;
    let mut changes = Vec::new();
    let mut note = |is_other: bool, what: &'static str, effect: Effect| {
        if is_other {
            changes.push(Change { what, effect });
        }
    };
    // A group that was not served has no keys: those that it gets are its first.
    if let Ok(before_plan) = Plan::of(before) {
        keyed(&mut note, (before, &before_plan), (after, &after_plan));
    }
    unkeyed(&mut note, before, after);
    Ok(changes)
}

type Note<'a> = dyn FnMut(bool, &'static str, Effect) + 'a;

/// What keys are made of.
fn keyed(note: &mut Note<'_>, before: (&KeyServer, &Plan), after: (&KeyServer, &Plan)) {
    let ((old_config, old), (new_config, new)) = (before, after);
    let (was, is) = (&old.wanted, &new.wanted);
    note(
        was.transform != is.transform,
        "transform set",
        Effect::NewTeks,
    );
    note(old.acl != new.acl, "access list", Effect::NewTeks);
    let replay = old.tbar_window_s != new.tbar_window_s;
    note(replay, "replay", Effect::NewTeks);
    let servers = was.ks_list_hash != is.ks_list_hash;
    note(servers, "list of key servers", Effect::NewTeks);
    note(old.key != new.key, "rekey authentication", Effect::NewKek);
    note(
        was.kek_cipher != is.kek_cipher,
        "rekey algorithm",
        Effect::NewKek,
    );
    note(
        new.key.kind == Kind::Rsa && old.sig_hash != new.sig_hash,
        "rekey sig-hash algorithm",
        Effect::NewKek,
    );
    let transport = |config: &KeyServer| config.transport == RekeyTransport::Unicast;
    let delivery = kinds(new_config).any(|kind| was.delivery(kind) != is.delivery(kind));
    let switched = transport(old_config) != transport(new_config);
    note(delivery && switched, "rekey transport", Effect::NewKek);
    note(
        delivery && !switched,
        "rekey address or acknowledgement",
        Effect::NewKek,
    );
    let tek = was.tek_lifetime_s != is.tek_lifetime_s;
    note(tek, "lifetime of traffic keys", Effect::NextRekey);
    let kek = was.kek_lifetime_s != is.kek_lifetime_s;
    note(kek, "rekey lifetime", Effect::NextRekey);
}

/// What no key depends on.
fn unkeyed(note: &mut Note<'_>, before: &KeyServer, after: &KeyServer) {
    let signed = before.raw_hash != after.raw_hash;
    note(signed, "rekey sig-hash raw-hash", Effect::NextRekey);
    let copies = |config: &KeyServer| {
        let (period, number) = (config.retransmit_period_s, config.retransmit_number);
        (period, number, config.reminder_s)
    };
    let retransmit = copies(before) != copies(after);
    note(retransmit, "rekey retransmit", Effect::FromNowOn);
    let ttl = before.multicast.ttl != after.multicast.ttl;
    note(ttl, "rekey multicast ttl", Effect::FromNowOn);
    let authorization = before.authorization != after.authorization;
    note(authorization, "authorization", Effect::FromNowOn);
    let kinds = |config: &KeyServer| (config.rfc6407_drops_denies, config.rfc3547.clone());
    let compatibility = kinds(before) != kinds(after);
    note(compatibility, "client compatibility", Effect::FromNowOn);
    note(before.size != after.size, "group size", Effect::FromNowOn);
    let ahead = before.look_ahead != after.look_ahead;
    note(ahead, "key look-ahead", Effect::FromNowOn);
    note(
        before.key_sync != after.key_sync,
        "key sync",
        Effect::FromNowOn,
    );
    let priority = before.priority != after.priority;
    note(priority, "local priority", Effect::FromNowOn);
    let identity = (before.id != after.id, before.address != after.address);
    note(identity.0, "identity", Effect::FromNowOn);
    note(identity.1, "address", Effect::FromNowOn);
}
