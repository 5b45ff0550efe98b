//! Dead peer detection (RFC 3706): whether the other end of an SA still lives.
//!
//! Questions are always answered. Ours are asked only with `crypto isakmp keepalive`, after the
//! peer was silent for so long, and only to peers that announced to understand them; between key
//! server and member they are neither needed nor the default. When a peer counts as dead is
//! decided here, what then happens to the SA is not.

use std::time::Duration;

use policy::Time;

use super::refusal::Refusal;
use crate::limits::{
    DPD_ANSWERS_PER_S_MAX, DPD_RETRY, DPD_SENDINGS_MAX, WATCHED_RETRY, WATCHED_SENDINGS_MAX,
    WATCHED_SILENCE,
};

/// Answers to so many of the last questions are expected.
const ANSWERS_LATE_MAX: u32 = 8;

/// What is known of the peer's life.
pub(super) struct Dpd {
    understood: bool,
    /// Whether the peer is another key server, whose death must be noticed soon.
    watched: bool,
    last_heard: Time,
    /// The number of the next question.
    next: u32,
    /// Questions so far.
    count: u32,
    asked: Option<Asked>,
    /// The number of the last question of the peer.
    answered: Option<u32>,
    answers: (u64, u32),
}

struct Asked {
    sendings: u32,
    at: Time,
}

/// What the passing of time asks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Wait,
    /// R-U-THERE with this number.
    Ask(u32),
    /// The peer is dead.
    Dead,
}

impl Dpd {
    /// A fresh SA; `random` gives the first number.
    pub(super) const fn new(now: Time, understood: bool, random: u32) -> Self {
        //= RFC 3706 6.2
        //# The first R-U-THERE message sent in a
        //# session MUST be a randomly chosen number.  To prevent rolling past
        //# overflowing the 32-bit boundary, the high-bit of the sequence number
        //# initially SHOULD be set to zero.
        let next = random >> 1;
        Self {
            understood,
            watched: false,
            last_heard: now,
            next,
            count: 0,
            asked: None,
            answered: None,
            answers: (0, 0),
        }
    }

    /// From now on silence is noticed within seconds.
    pub(super) fn watch(&mut self) {
        self.watched = true;
    }

    /// Questions without an answer after which the peer is dead.
    pub(super) const fn sendings_max(&self) -> u32 {
        if self.watched {
            WATCHED_SENDINGS_MAX
        } else {
            DPD_SENDINGS_MAX
        }
    }

    /// The peer proved to be there.
    pub(super) fn heard(&mut self, now: Time) {
        self.last_heard = now;
        self.asked = None;
    }

    /// What is to be done now, with `keepalive_s` seconds of silence allowed.
    pub(super) fn due(&mut self, now: Time, keepalive_s: u16) -> Due {
        if self
            .deadline(keepalive_s)
            .is_none_or(|deadline| now < deadline)
        {
            return Due::Wait;
        }
        let sendings = self.asked.as_ref().map_or(0, |asked| asked.sendings);
        if sendings >= self.sendings_max() {
            return Due::Dead;
        }
        //= RFC 3706 6.2
        //# Subsequent R-U-THERE messages MUST
        //# increment the sequence number by one.
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.count = self.count.saturating_add(1);
        self.asked = Some(Asked {
            sendings: sendings + 1,
            at: now,
        });
        Due::Ask(number)
    }

    /// When `due` has something to say.
    pub(super) fn deadline(&self, keepalive_s: u16) -> Option<Time> {
        if keepalive_s == 0 || !self.understood {
            return None;
        }
        Some(match &self.asked {
            Some(asked) if self.watched => asked.at + WATCHED_RETRY,
            Some(asked) => asked.at + DPD_RETRY,
            None => {
                let keepalive = Duration::from_secs(keepalive_s.into());
                let most = if self.watched {
                    WATCHED_SILENCE
                } else {
                    keepalive
                };
                self.last_heard + keepalive.min(most)
            }
        })
    }

    /// R-U-THERE came: whether it is to be answered.
    ///
    /// # Errors
    /// A number that was answered before, or too many questions in a second.
    pub(super) fn question(&mut self, now: Time, number: u32) -> Result<(), Refusal> {
        //= RFC 3706 6.2
        //# Each entity SHOULD also maintain its peer's R-U-THERE sequence
        //# number, and an entity SHOULD reject the R-U-THERE message if it fails
        //# to match the expected sequence number.
        // Questions may be lost, so every higher number is expected.
        if self
            .answered
            .is_some_and(|last| number.wrapping_sub(last).cast_signed() <= 0)
        {
            return Err(Refusal::BadKeepalive("its number was seen before"));
        }
        let second = now.as_secs();
        let count = if self.answers.0 == second {
            self.answers.1
        } else {
            0
        };
        if count >= DPD_ANSWERS_PER_S_MAX {
            return Err(Refusal::BadKeepalive("too many in one second"));
        }
        self.answers = (second, count + 1);
        self.answered = Some(number);
        Ok(())
    }

    /// R-U-THERE-ACK came. One to an earlier question of the same silence is a sign of life, too;
    /// one that crossed with the peer's own word says nothing new.
    ///
    /// # Errors
    /// When that was not asked lately.
    pub(super) fn answer(&mut self, now: Time, number: u32) -> Result<(), Refusal> {
        let age = self.next.wrapping_sub(number);
        if age == 0 || age > self.count.min(ANSWERS_LATE_MAX) {
            return Err(Refusal::BadKeepalive("an answer that was not asked for"));
        }
        if self
            .asked
            .as_ref()
            .is_some_and(|asked| age <= asked.sendings)
        {
            self.heard(now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dpd() -> Dpd {
        Dpd::new(Time::ZERO, true, u32::MAX)
    }

    #[test]
    fn a_question_is_answered_once_and_few_a_second() {
        let mut dpd = dpd();
        let now = Time::from_secs(1);
        for number in 0..DPD_ANSWERS_PER_S_MAX {
            assert_eq!(dpd.question(now, 7 + number), Ok(()));
            assert!(dpd.question(now, 7 + number).is_err(), "seen before");
            assert!(dpd.question(now, 6).is_err(), "older");
        }
        assert!(dpd.question(now, 100).is_err(), "too many");
        assert_eq!(dpd.question(Time::from_secs(2), 100), Ok(()));
    }

    #[test]
    fn only_the_answer_to_a_question_counts() {
        let mut dpd = dpd();
        assert!(dpd.answer(Time::ZERO, 0).is_err());
        let now = Time::from_secs(10);
        let Due::Ask(number) = dpd.due(now, 10) else {
            panic!("the peer was silent for ten seconds");
        };
        assert!(number < 1 << 31, "there is room to count on");
        assert!(dpd.answer(now, number + 1).is_err());
        assert!(dpd.answer(now, number - 1).is_err());
        assert_eq!(dpd.answer(now, number), Ok(()));
        assert_eq!(dpd.due(now, 10), Due::Wait);
    }

    #[test]
    fn an_answer_that_crosses_the_peers_own_question_is_no_fault() {
        let mut dpd = dpd();
        let now = Time::from_secs(10);
        let Due::Ask(number) = dpd.due(now, 10) else {
            panic!("the peer was silent for ten seconds");
        };
        dpd.heard(now);
        assert_eq!(dpd.answer(now, number), Ok(()));
        let later = Time::from_secs(20);
        assert!(matches!(dpd.due(later, 10), Due::Ask(_)));
        assert_eq!(dpd.answer(later, number), Ok(()));
        assert!(
            dpd.asked.is_some(),
            "what was asked before is no sign of life"
        );
    }

    #[test]
    fn who_does_not_understand_is_not_asked() {
        let mut dpd = Dpd::new(Time::ZERO, false, 0);
        assert_eq!(dpd.deadline(10), None);
        assert_eq!(dpd.due(Time::from_secs(100), 10), Due::Wait);
    }
}
