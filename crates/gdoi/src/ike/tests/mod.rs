//! Ladders of two engines in virtual time.

mod ladder;
mod network;
