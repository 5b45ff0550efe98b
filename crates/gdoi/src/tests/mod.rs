//! The whole control plane, several boxes at a time, in virtual time.

mod network;
mod registration;
mod rekey;
