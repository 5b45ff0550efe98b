//! The whole control plane, several boxes at a time, in virtual time.

mod admission;
mod coop;
mod ecdsa;
mod ejection;
mod groups;
mod hostile;
mod loss;
mod member;
mod merge;
mod multicast;
mod multicast_coop;
mod network;
mod plain;
mod plain_coop;
mod plain_policy;
mod plane;
mod policy;
mod preview;
mod registration;
mod rekey;
mod rekey_key;
mod rekey_key_coop;
mod removal;
mod removal_coop;
mod restart;
mod truth;
