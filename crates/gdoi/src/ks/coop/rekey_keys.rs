//! Which rekey keys key servers tell each other: the one that signs now, and those that sign under a
//! Rekey SA of before, since whoever leads next needs them, too (PROTOCOL P26).
//!
//! A label names the same pair at every key server. Decides which pair is taken over; when it is on
//! disk, `node` says.

use ::policy::KsIndex;
use crypto::key_pair::Kind;
use event::Gdoi;

use super::AdoptedKey;
use super::log::Key;
use super::records;
use crate::context::Context;
use crate::key_pairs::KeyPair;
use crate::ks::KeyServer;
use crate::ks::keys::Kek;
use crate::limits::KEY_PAIRS_TOLD_MAX;
use crate::policy_blob::Sha256;

impl KeyServer {
    /// What is told of the rekey key: all of it, or with `no key sync` its fingerprint.
    pub(super) fn rekey_key_record(&self, cx: &Context<'_>) -> Option<records::RekeyKey> {
        let named = &self.plan.as_ref()?.key;
        let key = cx.key_pairs.named(named)?;
        Some(self.told(self.coop.rekey_key_term, &named.label, key))
    }

    /// What is told of a pair that signs under a Rekey SA of before.
    pub(super) fn former_key_record(
        &self,
        cx: &Context<'_>,
        label: &str,
    ) -> Option<records::RekeyKey> {
        Some(self.told(0, label, cx.key_pairs.labelled(label)?))
    }

    fn told(&self, term: u32, label: &str, key: &KeyPair) -> records::RekeyKey {
        records::RekeyKey {
            term,
            label: label.to_owned(),
            exportable: key.exportable,
            fingerprint: records::fingerprint(key.public_der()),
            pkcs8: self.config.key_sync.then(|| key.pkcs8.clone()),
        }
    }

    /// The fingerprint of the rekey key that is configured, if it is there.
    pub(super) fn rekey_key_fingerprint(&self, cx: &Context<'_>) -> Option<Sha256> {
        let pair = cx.key_pairs.named(&self.plan.as_ref()?.key)?;
        Some(records::fingerprint(pair.public_der()))
    }

    /// A primary that signs with another key than it told tells that one.
    pub(in crate::ks) fn tell_rekey_key(&mut self, cx: &Context<'_>) {
        let own = self.rekey_key_fingerprint(cx);
        if self.coop.leads() && self.coop.own_key != own {
            self.coop.own_key = own;
            self.coop.changed(Key::Signing, cx.now);
        }
    }

    /// The rekey key of a primary wins. One of another label is kept beside the own one: the other
    /// key servers go over to it later, or operators have to agree on one.
    //= getvpn P26
    pub(super) fn join_rekey_key(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        key: records::RekeyKey,
    ) {
        // Who tells it may come to lead only later.
        self.coop.told_keys.insert(index, key.clone());
        self.keep_missing(cx, index, &key);
        let Some(named) = self.config.rekey_key.clone() else {
            return;
        };
        let labelled = cx.key_pairs.labelled(&named.label);
        let own = labelled.map(|pair| records::fingerprint(pair.public_der()));
        if own == Some(key.fingerprint) {
            self.coop.primary_key = own;
            self.coop.rekey_key_term = self.coop.rekey_key_term.max(key.term);
            return;
        }
        let leads_there = self.primary() == Some(index) || key.term > self.coop.rekey_key_term;
        if self.coop.leads() || !leads_there {
            return;
        }
        // A label names one key: one of another kind than is configured here is left alone.
        let fits = |pair: &KeyPair| {
            let free = labelled.is_none_or(|own| own.kind() == named.kind);
            key.label == named.label && free && pair.kind() == named.kind
        };
        match self.pair_of(&key).filter(fits) {
            Some(pair) => {
                self.coop.rekey_key_term = key.term;
                self.coop.primary_key = Some(key.fingerprint);
                self.adopt(cx, index, &key, pair);
            }
            None if own.is_some() || key.label == named.label => {
                self.shout(cx, index, named.kind, &named.label, &key)
            }
            None => {}
        }
    }

    /// A pair that signs under a Rekey SA of before.
    //= getvpn P26
    pub(super) fn join_former_key(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        key: &records::RekeyKey,
    ) {
        self.keep_missing(cx, index, key);
        let held = cx.key_pairs.labelled(&key.label);
        let differs = |own: &&KeyPair| records::fingerprint(own.public_der()) != key.fingerprint;
        let signs = self.signs(&key.label, cx);
        if let Some(kind) = held.filter(differs).map(KeyPair::kind).filter(|_| signs) {
            self.shout(cx, index, kind, &key.label, key);
        }
    }

    /// The key that is configured now is not there, or another key server leads now: its key may
    /// have been told before.
    pub(in crate::ks) fn recall_rekey_keys(&mut self, cx: &mut Context<'_>) {
        for (index, key) in self.coop.told_keys.clone() {
            self.join_rekey_key(cx, index, key);
        }
    }

    /// The labels of pairs that sign under the Rekey SAs that are held.
    pub(super) fn former_keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keks.iter().map(|kek| &*kek.label)
    }

    fn signs(&self, label: &str, cx: &Context<'_>) -> bool {
        let now = self.clock.at(cx.now);
        let signs = |kek: &Kek| kek.label == label && now < kek.expiry;
        self.keys.keks.iter().any(signs)
    }

    /// A pair of a label that names none here is kept, while there is room.
    fn keep_missing(&mut self, cx: &mut Context<'_>, index: KsIndex, key: &records::RekeyKey) {
        let waits = self.coop.adopted.iter().any(|own| own.label == key.label);
        let is_full = cx.key_pairs.len() + self.coop.adopted.len() >= KEY_PAIRS_TOLD_MAX;
        if waits || is_full || cx.key_pairs.labelled(&key.label).is_some() {
            return;
        }
        if let Some(pair) = self.pair_of(key) {
            self.adopt(cx, index, key, pair);
        }
    }

    /// The pair that was told, if it is what its fingerprint says.
    fn pair_of(&self, key: &records::RekeyKey) -> Option<KeyPair> {
        let pkcs8 = key.pkcs8.as_ref().filter(|_| self.config.key_sync)?;
        [Kind::Rsa, Kind::Ec]
            .into_iter()
            .find_map(|kind| KeyPair::new(kind, pkcs8.clone(), key.exportable).ok())
            .filter(|pair| records::fingerprint(pair.public_der()) == key.fingerprint)
    }

    fn adopt(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        key: &records::RekeyKey,
        pair: KeyPair,
    ) {
        let Some(ks) = self.coop.peers.get(&index).map(|peer| peer.address) else {
            return;
        };
        let hex = |octet: &u8| format!("{octet:02X}");
        cx.out.report(Gdoi::COOP_REKEY_KEY_ADOPTED {
            kind: pair.kind().to_string(),
            label: key.label.clone(),
            group: self.config.group.clone(),
            ks,
            fingerprint: key.fingerprint[..8].iter().map(hex).collect(),
        });
        let named = self.config.rekey_key.as_ref();
        if named.is_some_and(|named| named.label == key.label) {
            self.coop.log.changed(Key::Signing);
        }
        if self.former_keys().any(|label| label == key.label) {
            self.coop.log.changed(Key::Signed(key.label.clone()));
        }
        self.coop.adopted.push(AdoptedKey {
            label: key.label.clone(),
            pair,
        });
    }

    fn shout(
        &mut self,
        cx: &mut Context<'_>,
        index: KsIndex,
        kind: Kind,
        label: &str,
        told: &records::RekeyKey,
    ) {
        let peer = self.coop.peers.get(&index).map(|peer| peer.address);
        let Some(ks) = peer.filter(|_| self.coop.alarmed_key != Some(told.fingerprint)) else {
            return;
        };
        self.coop.alarmed_key = Some(told.fingerprint);
        cx.out.report(Gdoi::COOP_REKEY_KEY_MISMATCH {
            kind: kind.to_string(),
            label: label.to_owned(),
            group: self.config.group.clone(),
            ks,
        });
    }
}
