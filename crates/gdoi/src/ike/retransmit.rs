//! When a message leaves again.
//!
//! Who needs an answer repeats with back-off; who answered repeats only when the question is
//! repeated, octet for octet. Nothing else in `ike` sends a datagram twice.

use std::time::Duration;

use crypto::hash::Hash;
use policy::Time;

use crate::limits::{REPEATS_MAX, RETRANSMIT_FIRST, RETRANSMIT_SENDINGS_MAX};

/// The name of a datagram, to know a copy.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of these octets.
    pub(super) fn of(datagram: &[u8]) -> Self {
        let digest = Hash::Sha256.digest(&[datagram]);
        let mut octets = [0; 32];
        octets.copy_from_slice(digest.as_ref());
        Self(octets)
    }

    /// Four octets of it, for a message id where nothing better is at hand.
    pub(super) fn message_id(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d]).max(1)
    }
}

/// A message that waits for its answer. All its datagrams leave together.
#[derive(Clone)]
pub(super) struct Pending {
    datagrams: Vec<Vec<u8>>,
    sendings: u32,
    wait: Duration,
    next: Time,
    hastened: bool,
}

/// What the passing of time asks of a pending message.
pub(super) enum Due<'a> {
    /// Nothing yet.
    Wait,
    /// Send these again.
    Send(&'a [Vec<u8>]),
    /// Nobody answers.
    GiveUp,
}

impl Pending {
    /// A message that has just left.
    pub(super) fn sent(now: Time, datagrams: Vec<Vec<u8>>) -> Self {
        Self {
            datagrams,
            sendings: 1,
            wait: RETRANSMIT_FIRST,
            next: now + RETRANSMIT_FIRST,
            hastened: false,
        }
    }

    /// When `due` has something to say.
    pub(super) const fn deadline(&self) -> Time {
        self.next
    }

    /// Somebody says that the peer does not know what this is about. Perhaps it is not the peer, so
    /// two more sendings give it the chance to answer, but no more time than that is spent.
    pub(super) fn hasten(&mut self, now: Time) {
        if !self.hastened {
            self.hastened = true;
            self.sendings = self.sendings.max(RETRANSMIT_SENDINGS_MAX - 2);
            self.wait = RETRANSMIT_FIRST / 2;
            self.next = self.next.min(now + RETRANSMIT_FIRST);
        }
    }

    /// What is to be done now.
    pub(super) fn due(&mut self, now: Time) -> Due<'_> {
        if now < self.next {
            return Due::Wait;
        }
        if self.sendings >= RETRANSMIT_SENDINGS_MAX {
            return Due::GiveUp;
        }
        self.sendings += 1;
        self.wait *= 2;
        self.next = now + self.wait;
        Due::Send(&self.datagrams)
    }
}

/// The last answer to a question, kept for when the question comes again.
#[derive(Clone)]
pub(super) struct Answered {
    question: Fingerprint,
    datagrams: Vec<Vec<u8>>,
    repeats: u32,
}

impl Answered {
    /// That answer to that question.
    pub(super) const fn new(question: Fingerprint, datagrams: Vec<Vec<u8>>) -> Self {
        Self {
            question,
            datagrams,
            repeats: 0,
        }
    }

    /// Whether this is the question.
    pub(super) fn is_to(&self, question: Fingerprint) -> bool {
        self.question == question
    }

    /// The answer once more; nothing when it was repeated often enough.
    pub(super) fn repeat(&mut self) -> &[Vec<u8>] {
        if self.repeats >= REPEATS_MAX {
            return &[];
        }
        self.repeats += 1;
        &self.datagrams
    }
}
