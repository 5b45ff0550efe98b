//! Proof that a peer is a getvpn, in the nonces of GROUPKEY-PULL (PROTOCOL P2).
//!
//! Vendor ids are not authenticated in IKEv1, so they only hint. A nonce of ours is 32 random octets,
//! a tag that only the two ends of the phase-1 SA can make, and a tag over the vendor ids that its
//! sender received. Who strips or adds vendor ids on the way is found out by the second tag; a plain
//! peer sees a random nonce. Decides what a nonce proves, not what follows from it.

use crypto::{Rng, Secret};
use subtle::ConstantTimeEq as _;

use crate::context::Context;
use crate::ike::SaId;

/// Random octets of a nonce of ours.
const RANDOM_LEN: usize = 32;
/// Octets of each tag.
const TAG_LEN: usize = 12;
/// Octets of a nonce of ours.
pub const NONCE_LEN: usize = RANDOM_LEN + 2 * TAG_LEN;

/// What the two tags are made of: the phase-1 SA as this end sees it.
pub struct Bond<'a> {
    /// prf(SKEYID_a, parts) of the SA.
    pub prf: &'a dyn Fn(&[&[u8]]) -> Secret,
    /// Both cookies, the initiator's first.
    pub cookies: [u8; 16],
    /// Whether this end initiated phase 1.
    pub initiator: bool,
    /// The bodies of all vendor ids that this end received in phase 1, in their order.
    pub received: &'a [Vec<u8>],
    /// The bodies of all vendor ids that this end sent in phase 1, in their order.
    pub sent: &'a [Vec<u8>],
}

/// What a peer's nonce proves.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: a plain peer.
    Plain,
    /// A getvpn, and nobody touched the vendor ids.
    Kin,
    /// A getvpn, but it did not receive the vendor ids that we sent: refuse the exchange.
    Downgraded,
}

//= getvpn P2
/// A fresh nonce that proves this end to a getvpn and says nothing to anybody else.
pub fn nonce(bond: &Bond<'_>, rng: &mut dyn Rng) -> Vec<u8> {
    let mut nonce = plain_nonce(rng);
    nonce.extend_from_slice(&kin_tag(bond, bond.initiator));
    nonce.extend_from_slice(&vid_tag(bond, bond.initiator, bond.received));
    nonce
}

/// A fresh nonce that proves nothing to anybody.
pub(crate) fn plain_nonce(rng: &mut dyn Rng) -> Vec<u8> {
    let mut nonce = vec![0; RANDOM_LEN];
    rng.fill(&mut nonce);
    nonce
}

/// What the peer's nonce proves.
#[must_use]
pub fn check(bond: &Bond<'_>, nonce: &[u8]) -> Proof {
    if nonce.len() != NONCE_LEN {
        return Proof::Plain;
    }
    let (kin, vid) = nonce[RANDOM_LEN..].split_at(TAG_LEN);
    if !bool::from(kin.ct_eq(&kin_tag(bond, !bond.initiator))) {
        return Proof::Plain;
    }
    if bool::from(vid.ct_eq(&vid_tag(bond, !bond.initiator, bond.sent))) {
        Proof::Kin
    } else {
        Proof::Downgraded
    }
}

fn kin_tag(bond: &Bond<'_>, initiator: bool) -> [u8; TAG_LEN] {
    cut(&(bond.prf)(&[
        b"getvpn-kin",
        role(initiator),
        &bond.cookies,
    ]))
}

/// Each vendor id goes in with its length, so that no two lists give the same octets.
fn vid_tag(bond: &Bond<'_>, initiator: bool, vendor_ids: &[Vec<u8>]) -> [u8; TAG_LEN] {
    let lengths: Vec<[u8; 4]> = vendor_ids
        .iter()
        .map(|id| u32::try_from(id.len()).unwrap_or(u32::MAX).to_be_bytes())
        .collect();
    let mut parts: Vec<&[u8]> = Vec::with_capacity(3 + 2 * vendor_ids.len());
    parts.extend([&b"getvpn-vid"[..], role(initiator), &bond.cookies]);
    for (length, id) in lengths.iter().zip(vendor_ids) {
        parts.push(length);
        parts.push(id);
    }
    cut(&(bond.prf)(&parts))
}

/// Who made the tag, so that a nonce cannot be thrown back at its sender.
const fn role(initiator: bool) -> &'static [u8] {
    if initiator { b"I" } else { b"R" }
}

fn cut(output: &Secret) -> [u8; TAG_LEN] {
    std::array::from_fn(|i| output.expose()[i])
}

/// Calls `with` with the bond of a phase-1 SA; `None` if it is gone.
pub(crate) fn with_bond<R>(
    cx: &mut Context<'_>,
    sa: SaId,
    with: impl FnOnce(&Bond<'_>, &mut dyn Rng) -> R,
) -> Option<R> {
    let sa = cx.isakmp.sa(sa)?;
    let bond = Bond {
        prf: &|parts| sa.prf_a(parts),
        cookies: [sa.initiator_cookie(), sa.responder_cookie()]
            .concat()
            .try_into()
            .ok()?,
        initiator: sa.is_initiator(),
        received: sa.vendor_ids_received(),
        sent: sa.vendor_ids_sent(),
    };
    Some(with(&bond, cx.rng))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::SeededRng;
    use crypto::hash::Hash;
    use crypto::hmac::prf;

    fn key(parts: &[&[u8]]) -> Secret {
        prf(Hash::Sha256, b"SKEYID_a", parts)
    }

    fn bond<'a>(initiator: bool, received: &'a [Vec<u8>], sent: &'a [Vec<u8>]) -> Bond<'a> {
        Bond {
            prf: &key,
            cookies: [7; 16],
            initiator,
            received,
            sent,
        }
    }

    #[test]
    fn two_of_ours_prove_it_to_each_other() {
        let ours = [vec![1, 2, 3], vec![4]];
        let theirs = [vec![9; 16]];
        let mut rng = SeededRng::from_number(1);
        let initiator = bond(true, &theirs, &ours);
        let responder = bond(false, &ours, &theirs);
        let nonce_i = nonce(&initiator, &mut rng);
        assert_eq!(check(&responder, &nonce_i), Proof::Kin);
        assert_eq!(check(&initiator, &nonce(&responder, &mut rng)), Proof::Kin);
        assert_eq!(check(&initiator, &nonce_i), Proof::Plain, "thrown back");
    }

    #[test]
    fn vendor_ids_that_were_stripped_altered_or_added_are_a_downgrade() {
        let sent = [vec![1, 2, 3], vec![4]];
        let changed: [&[Vec<u8>]; 5] = [
            &[],
            &[vec![1, 2, 3]],
            &[vec![1, 2, 3], vec![4], vec![5]],
            &[vec![1, 2], vec![3, 4]],
            &[vec![4], vec![1, 2, 3]],
        ];
        for received in changed {
            let peer = bond(true, received, &[]);
            let own = bond(false, &[], &sent);
            let nonce = nonce(&peer, &mut SeededRng::from_number(1));
            assert_eq!(check(&own, &nonce), Proof::Downgraded, "{received:?}");
        }
    }

    #[test]
    fn another_sa_or_a_random_nonce_proves_nothing() {
        let own = bond(false, &[], &[]);
        let mut other = bond(true, &[], &[]);
        other.cookies[15] ^= 1;
        let mut rng = SeededRng::from_number(3);
        assert_eq!(check(&own, &nonce(&other, &mut rng)), Proof::Plain);
        let mut random = [0; NONCE_LEN];
        rng.fill(&mut random);
        assert_eq!(check(&own, &random), Proof::Plain);
        assert_eq!(check(&own, &random[..20]), Proof::Plain);
    }
}
