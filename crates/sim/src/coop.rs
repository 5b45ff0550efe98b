//! What key servers say of their cooperation.
//!
//! Read from `show crypto gdoi ks coop | json`, as an operator would. A box that does not know the
//! command takes no part; groups with one key server have no cooperation to look at.

use regex::Regex;

use crate::node::NodeId;

/// Whether a key server calls itself the primary; `None` if it shows no cooperation.
pub(crate) fn is_primary(shown: &str) -> Option<bool> {
    let role = Regex::new(r#""(?:local_)?role"\s*:\s*"([A-Za-z]+)"#).ok()?;
    let found = role.captures(shown)?;
    Some(found[1].eq_ignore_ascii_case("primary"))
}

/// The connected components of two-way paths: which key servers can agree on a primary.
pub(crate) fn components(
    nodes: &[NodeId],
    joined: impl Fn(NodeId, NodeId) -> bool,
) -> Vec<Vec<NodeId>> {
    let mut left = nodes.to_vec();
    let mut found = Vec::new();
    while let Some(first) = left.pop() {
        let mut component = vec![first];
        let mut at = 0;
        while at < component.len() {
            let here = component[at];
            let (near, far) = left.iter().partition(|other| joined(here, **other));
            component.extend::<Vec<NodeId>>(near);
            left = far;
            at += 1;
        }
        component.sort_unstable();
        found.push(component);
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_boxes_that_only_reach_each_other_over_a_third_are_one_component() {
        let joined =
            |a: NodeId, b: NodeId| matches!((a.min(b), a.max(b)), (0, 1) | (1, 2) | (3, 4));
        assert_eq!(
            components(&[0, 1, 2, 3, 4], joined),
            [vec![0, 1, 2], vec![3, 4]]
        );
        assert_eq!(components(&[0, 2], joined), [vec![0], vec![2]]);
    }

    #[test]
    fn the_role_is_read_from_the_json_and_a_refusal_has_none() {
        assert_eq!(is_primary(r#"{"groups":[{"role":"Primary"}]}"#), Some(true));
        assert_eq!(is_primary(r#"{"local_role": "secondary"}"#), Some(false));
        assert_eq!(is_primary("% Invalid input detected"), None);
    }
}
