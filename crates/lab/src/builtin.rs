//! The topologies and startup-configs that the program carries, so that a lab runs from anywhere.
//! Decides nothing; the files stand in `topologies/`.

/// Names of the built-in topologies.
pub(crate) const TOPOLOGIES: [&str; 1] = ["guide"];

/// The text of a built-in topology.
pub(crate) fn topology(name: &str) -> Option<&'static str> {
    match name {
        "guide" => Some(include_str!("../../../topologies/guide.yaml")),
        _ => None,
    }
}

/// The text of a built-in startup-config, by the name that a built-in topology gives it.
pub(crate) fn config(name: &str) -> Option<&'static str> {
    match name {
        "guide/ks1.cfg" => Some(include_str!("../../../topologies/guide/ks1.cfg")),
        "guide/ks2.cfg" => Some(include_str!("../../../topologies/guide/ks2.cfg")),
        "guide/gm1.cfg" => Some(include_str!("../../../topologies/guide/gm1.cfg")),
        "guide/gm2.cfg" => Some(include_str!("../../../topologies/guide/gm2.cfg")),
        _ => None,
    }
}
