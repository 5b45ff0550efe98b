//! Bytes to types and back: ISAKMP, GDOI, ESP, IP and what surrounds them.
//!
//! Decides only whether octets have the form that their document gives them. Whether a well-formed
//! message is legal here and now, whether its hash is right, who may say it: all of that is `gdoi`.
//! No crypto, no state; no octets that anyone can send make it panic, and what it allocates is
//! bounded by the length of its input.
//!
//! Decoders read what peers send, within what the documents allow; encoders write one form, and
//! `encode(decode(b)) == b` for every `b` in that form. Key octets are borrowed from the message,
//! never copied.

#![forbid(unsafe_code)]

mod numbers;

pub mod codec;
pub mod esp;
pub mod ethernet;
pub mod gdoi;
pub mod iana;
pub mod icmp;
pub mod ip;
pub mod isakmp;
pub mod limits;
pub mod pcap;
pub mod private;
pub mod tcp;
pub mod udp;

#[cfg(test)]
mod tests;

pub use codec::{Error, Kind, Reader, Writer};
