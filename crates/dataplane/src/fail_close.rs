//! Fail-close: what may pass while a group is not registered.
//!
//! The group machine says when a group opens and closes; here it is obeyed. Until a group's policy
//! is there, everything that no registered group of the crypto map claims is dropped, but for the
//! flows that the member's own list denies: they stay in clear after registration too, and routing
//! and management may need them to reach a key server at all. `no fail-close` lets traffic pass in
//! clear before the *first* registration; a group that once had a policy never falls back to that.
//!
//! Fail-close also holds IPv6 that no line of the policy names: two hosts that speak both families
//! would else go round an IPv4 policy without anybody noticing. A line that denies it, or
//! `no fail-close`, lets it pass.

use policy::{Acl, Action, FlowKey};

/// Whether the member's own list says that this flow stays in clear.
pub(crate) fn exempts(local: Option<&Acl>, flow: &FlowKey) -> bool {
    local
        .and_then(|acl| acl.first_match(flow))
        .is_some_and(|(_, entry)| entry.action == Action::Deny)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Ace, AddressMatch};

    #[test]
    fn only_a_deny_of_the_own_list_exempts() {
        let flow = FlowKey {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            protocol: 89,
            source_port: None,
            destination_port: None,
        };
        let entry = |action| Ace {
            action,
            source: AddressMatch::host([10, 0, 0, 1].into()),
            ..Ace::PERMIT_IP_ANY_ANY
        };
        let acl = |action| Acl {
            name: "LOCAL".into(),
            entries: vec![entry(action)],
        };
        assert!(exempts(Some(&acl(Action::Deny)), &flow));
        assert!(!exempts(Some(&acl(Action::Permit)), &flow));
        assert!(!exempts(Some(&acl(Action::Deny)), &flow.reversed()));
        assert!(!exempts(None, &flow));
    }
}
