//! Two engines in virtual time, a peer written down from the RFC alone, and hostile ones.

mod hostile;
mod ladder;
mod network;
mod proposals;
mod reference;
mod tables;
mod under_sa;
