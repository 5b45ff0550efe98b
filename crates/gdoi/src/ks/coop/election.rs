//! Who is primary: a pure function of what a key server knows of those it can reach.
//!
//! Availability first (PROTOCOL P25): every connected part of a split elects exactly one. Decides
//! nothing about when an election is held.

use std::net::Ipv4Addr;

use policy::{Generation, KsIndex};

use super::view::Role;

/// A key server that takes part.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its index.
    pub(crate) index: KsIndex,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Its `local priority`.
    pub(crate) priority: u8,
    /// The role that it announced last.
    pub(crate) role: Role,
    /// Whether it holds the whole state of the group.
    pub(crate) complete: bool,
    /// Whether it has keys of the group.
    pub(crate) founded: bool,
    /// The generation that it knows.
    pub(crate) generation: Generation,
    /// Whether it lags (PROTOCOL P13).
    pub(crate) lagging: bool,
}

impl Candidate {
    /// What decides without an incumbent.
    fn rank(&self) -> (bool, bool, u8, Ipv4Addr) {
        let whole = self.complete && !self.lagging;
        (self.founded, whole, self.priority, self.address)
    }
}

/// The primary of these key servers, which all reach each other, directly or over others. An
/// incumbent stays, whatever the priority of who comes later: nothing is preempted.
//= getvpn P25
pub(crate) fn elect(candidates: &[Candidate]) -> Option<KsIndex> {
    let incumbents: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| candidate.role == Role::Primary)
        .collect();
    // A generation that another incumbent's covers has lost: its keys are dead there.
    let newest = incumbents.iter().filter(|one| {
        !incumbents
            .iter()
            .any(|other| other.generation.is_after(&one.generation))
    });
    let incumbent = newest.max_by_key(|candidate| (candidate.priority, candidate.address));
    incumbent
        .copied()
        .or_else(|| candidates.iter().max_by_key(|candidate| candidate.rank()))
        .map(|candidate| candidate.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(index: u8) -> Candidate {
        Candidate {
            index: KsIndex::new(index).unwrap(),
            address: Ipv4Addr::new(10, 0, 0, index),
            priority: 1,
            role: Role::Electing,
            complete: true,
            founded: true,
            generation: Generation::default(),
            lagging: false,
        }
    }

    fn elected(candidates: &[Candidate]) -> u8 {
        elect(candidates).unwrap().get()
    }

    #[test]
    fn priority_then_address_decides_when_nobody_is_primary() {
        let mut all = [candidate(1), candidate(2), candidate(3)];
        assert_eq!(elected(&all), 3);
        all[0].priority = 9;
        assert_eq!(elected(&all), 1);
    }

    #[test]
    fn a_higher_priority_that_comes_later_preempts_nobody() {
        let mut all = [candidate(1), candidate(2)];
        all[0].role = Role::Primary;
        all[1].priority = 255;
        assert_eq!(elected(&all), 1);
    }

    #[test]
    fn who_has_no_state_is_elected_only_when_nobody_has_any() {
        let mut all = [candidate(1), candidate(2)];
        all[1].founded = false;
        all[1].priority = 255;
        assert_eq!(elected(&all), 1);
        all[0].founded = false;
        assert_eq!(elected(&all), 2);
    }

    #[test]
    fn who_lags_is_no_candidate_while_another_holds_everything() {
        let mut all = [candidate(1), candidate(2)];
        all[1].lagging = true;
        all[1].priority = 255;
        assert_eq!(elected(&all), 1);
        all[0].complete = false;
        assert_eq!(elected(&all), 2);
    }

    #[test]
    fn of_two_primaries_the_newer_generation_stays_then_priority() {
        let mut all = [candidate(1), candidate(2)];
        all.iter_mut().for_each(|one| one.role = Role::Primary);
        all[1].priority = 200;
        assert_eq!(elected(&all), 2);
        all[0].generation = all[0].generation.raised_by(all[0].index);
        assert_eq!(elected(&all), 1);
        all[1].generation = all[1].generation.raised_by(all[1].index);
        assert_eq!(elected(&all), 2, "neither covers the other");
    }

    #[test]
    fn three_primaries_settle_on_one_whatever_their_order() {
        let mut all = [candidate(1), candidate(2), candidate(3)];
        all.iter_mut().for_each(|one| one.role = Role::Primary);
        // The second covers the first; the third is beside both.
        all[1].generation = all[1].generation.raised_by(all[1].index);
        all[2].generation = all[2].generation.raised_by(all[2].index);
        (all[0].priority, all[2].priority, all[1].priority) = (9, 5, 1);
        assert_eq!(elected(&all), 3);
        all.reverse();
        assert_eq!(elected(&all), 3);
    }

    prop_compose! {
        fn any_candidate(index: u8)(
            priority in 1..4_u8,
            primary in any::<bool>(),
            complete in any::<bool>(),
            founded in any::<bool>(),
            lagging in any::<bool>(),
        ) -> Candidate {
            Candidate {
                priority,
                complete,
                founded,
                lagging,
                role: if primary { Role::Primary } else { Role::Secondary },
                ..candidate(index)
            }
        }
    }

    proptest! {
        #[test]
        fn the_order_in_which_they_are_known_does_not_matter(
            a in any_candidate(1),
            b in any_candidate(2),
            c in any_candidate(3),
            d in any_candidate(4),
        ) {
            let winner = elect(&[a, b, c, d]);
            prop_assert_eq!(winner, elect(&[d, c, b, a]));
            prop_assert_eq!(winner, elect(&[c, a, d, b]));
        }
    }
}
