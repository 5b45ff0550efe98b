//! What `show crypto isakmp sa` is made of.

use std::net::Ipv4Addr;

use policy::Time;

use super::admission::AdmissionView;
use super::proposal::Agreed;
use super::report::{Counters, Ended};
use super::vendor::Version;

/// How far a phase-1 SA has come, in the words of IOS.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SaState {
    /// `MM_NO_STATE`: message 1 is out.
    MmNoState,
    /// `MM_SA_SETUP`: the policy is agreed on.
    MmSaSetup,
    /// `MM_KEY_EXCH`: there are keys, nothing is authenticated yet.
    MmKeyExch,
    /// `GDOI_IDLE`: established.
    GdoiIdle,
}

impl SaState {
    /// The word of IOS.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MmNoState => "MM_NO_STATE",
            Self::MmSaSetup => "MM_SA_SETUP",
            Self::MmKeyExch => "MM_KEY_EXCH",
            Self::GdoiIdle => "GDOI_IDLE",
        }
    }
}

/// One phase-1 SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The responder's address.
    pub destination: Ipv4Addr,
    /// The initiator's address.
    pub source: Ipv4Addr,
    /// The other end, whichever role it has.
    pub peer: Ipv4Addr,
    /// How far it has come.
    pub state: SaState,
    /// Its number; 0 before it is established.
    pub conn_id: u32,
    /// What was negotiated, once it was.
    pub agreed: Option<Agreed>,
    /// When it ends, if it is established.
    pub expires: Option<Time>,
    /// The version that the peer claims.
    pub peer_version: Option<Version>,
    /// Whether the peer proved to be a getvpn.
    pub kin: bool,
}

/// Everything about phase 1 at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The SAs, newest first.
    pub rows: Vec<Row>,
    /// Negotiations that peers began and that are not done.
    pub half_open: usize,
    /// What `crypto call admission` limits, and how far that is used.
    pub admission: AdmissionView,
    /// The counters.
    pub counters: Counters,
    /// What was refused behind phase 1 and belongs to no group, by name.
    pub strays: Vec<(&'static str, u64)>,
    /// The last negotiations of ours that failed, oldest first.
    pub ended: Vec<Ended>,
}
