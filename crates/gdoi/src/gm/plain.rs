//! What a plain key server says of a traffic key: no record, but in seconds how long it lives and when
//! it is sent on, from now.

use std::time::Duration;

use ::policy::{Generation, KsIndex, PeerKind, PseudoTime, Tek};

use crate::group_sa::TekOffer;
use crate::limits::PLAIN_EARLY_MAX;

/// Times in whole seconds that were on their way as long as datagrams are differ by less.
const RETIMED_MIN: Duration = Duration::from_secs(2);

/// The record of a traffic key that a plain key server gave: times count from now.
pub(super) fn record(said: &TekOffer, now: PseudoTime, delay: Duration) -> Tek {
    Tek {
        spi: said.spi,
        transform: said.transform,
        activation: now.after(delay),
        expiry: now.after(Duration::from_secs(u64::from(said.lifetime_s)).max(delay)),
        generation: Generation::default(),
        ks_list_hash: [0; 8],
        minted_by: KsIndex::default(),
        orig_lifetime_s: said.lifetime_s,
    }
}

/// How much earlier than others of its kind a member may send on a new key.
//= getvpn P10
pub(super) fn early(kind: PeerKind) -> Duration {
    match kind {
        PeerKind::Ours => Duration::ZERO,
        PeerKind::Rfc6407 | PeerKind::Rfc3547 => PLAIN_EARLY_MAX,
    }
}

/// A plain key server has said again how long a key lives, and from when it is sent on: all hold it
/// already, so the earlier time is good. Says whether that is another time than it was, seconds aside:
/// it is said in seconds.
pub(super) fn retime(own: &mut Tek, said: &Tek) -> bool {
    let activation = own.activation.min(said.activation);
    let apart = |a: PseudoTime, b: PseudoTime| a.since(b).max(b.since(a)) > RETIMED_MIN;
    let other = apart(own.activation, activation) || apart(own.expiry, said.expiry);
    if other {
        (own.activation, own.expiry) = (activation, said.expiry);
    }
    other
}
