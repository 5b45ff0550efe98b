//! The messages, one file per facility, alphabetical within.

mod crypto;
mod gdoi;
mod step;
mod sys;

pub use crypto::Crypto;
pub use gdoi::Gdoi;
pub use step::Step;
pub use sys::Sys;

pub use crate::macros::Entry;

/// Any message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The group: registration, rekey, COOP.
    Gdoi(Gdoi),
    /// ISAKMP and ESP.
    Crypto(Crypto),
    /// The box itself.
    Sys(Sys),
    /// A step that only event traces show.
    Step(Step),
}

impl Event {
    /// Facility, severity, mnemonic, meaning and action.
    #[must_use]
    pub fn entry(&self) -> &'static Entry {
        match self {
            Self::Gdoi(event) => event.entry(),
            Self::Crypto(event) => event.entry(),
            Self::Sys(event) => event.entry(),
            Self::Step(event) => event.entry(),
        }
    }

    /// Calls `each` with every field's name and text.
    pub fn fields(&self, each: &mut dyn FnMut(&'static str, String)) {
        match self {
            Self::Gdoi(event) => event.fields(each),
            Self::Crypto(event) => event.fields(each),
            Self::Sys(event) => event.fields(each),
            Self::Step(event) => event.fields(each),
        }
    }
}

/// `%GDOI-5-SA_KEK_UPDATED: SA KEK was updated`.
impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entry = self.entry();
        write!(
            f,
            "%{}-{}-{}: ",
            entry.facility, entry.severity, entry.mnemonic
        )?;
        match self {
            Self::Gdoi(event) => event.fmt(f),
            Self::Crypto(event) => event.fmt(f),
            Self::Sys(event) => event.fmt(f),
            Self::Step(event) => event.fmt(f),
        }
    }
}

impl From<Gdoi> for Event {
    fn from(event: Gdoi) -> Self {
        Self::Gdoi(event)
    }
}

impl From<Crypto> for Event {
    fn from(event: Crypto) -> Self {
        Self::Crypto(event)
    }
}

impl From<Sys> for Event {
    fn from(event: Sys) -> Self {
        Self::Sys(event)
    }
}

impl From<Step> for Event {
    fn from(event: Step) -> Self {
        Self::Step(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_documented_and_alphabetical() {
        for entries in [Gdoi::ENTRIES, Crypto::ENTRIES, Sys::ENTRIES, Step::ENTRIES] {
            for entry in entries {
                assert!(entry.severity <= 7, "{}", entry.mnemonic);
                assert!(
                    entry.meaning.trim().ends_with('.'),
                    "{}: meaning",
                    entry.mnemonic
                );
                assert!(entry.action.ends_with('.'), "{}: action", entry.mnemonic);
            }
            assert!(
                entries.is_sorted_by(|a, b| a.mnemonic < b.mnemonic),
                "{}",
                entries[0].facility
            );
        }
    }

    #[test]
    fn the_guides_texts_are_reproduced() {
        let event = Event::from(Gdoi::GM_RECV_REKEY {
            group: "G1".into(),
            from: "10.1.11.2".parse().unwrap(),
            to: "10.1.20.2".parse().unwrap(),
            seq: 11,
        });
        assert_eq!(
            event.to_string(),
            "%GDOI-5-GM_RECV_REKEY: Received Rekey for group G1 from 10.1.11.2 to 10.1.20.2 with seq # 11"
        );
        let mut names = Vec::new();
        event.fields(&mut |name, text| names.push(format!("{name}={text}")));
        assert_eq!(
            names,
            ["group=G1", "from=10.1.11.2", "to=10.1.20.2", "seq=11"]
        );
    }

    #[test]
    fn the_texts_of_cooperation_are_those_that_operators_search_for() {
        let ks = "10.1.12.2".parse().unwrap();
        let texts = [
            (
                Gdoi::COOP_CONFIG_MISMATCH {
                    field: "replay method".into(),
                },
                "%GDOI-3-COOP_CONFIG_MISMATCH: WARNNING replay method configuration between \
                 Primary KS and Secondary KS are mismatched",
            ),
            (
                Gdoi::COOP_KS_ELECTION {
                    group: "G1".into(),
                    previous: "None".into(),
                },
                "%GDOI-5-COOP_KS_ELECTION: KS entering election mode in group G1 \
                 (Previous Primary = None)",
            ),
            (
                Gdoi::COOP_KS_REACH {
                    ks,
                    group: "G1".into(),
                },
                "%GDOI-5-COOP_KS_REACH: Reachability restored with Cooperative KS 10.1.12.2 in \
                 group G1.",
            ),
            (
                Gdoi::COOP_KS_TRANS_TO_PRI {
                    ks,
                    group: "G1".into(),
                    previous: "10.1.11.2".into(),
                },
                "%GDOI-5-COOP_KS_TRANS_TO_PRI: KS 10.1.12.2 in group G1 transitioned to Primary \
                 (Previous Primary = 10.1.11.2)",
            ),
            (
                Gdoi::COOP_KS_UNREACH {
                    ks,
                    group: "G1".into(),
                },
                "%GDOI-3-COOP_KS_UNREACH: Cooperative KS 10.1.12.2 Unreachable in group G1",
            ),
        ];
        for (event, text) in texts {
            assert_eq!(event.entry().trace, crate::trace::Buffer::Coop);
            assert_eq!(Event::from(event).to_string(), text);
        }
    }
}
