//! Steps that only event traces show: too frequent for a log, and what its lines do not say.

use std::net::Ipv4Addr;

use policy::GroupName as Group;

catalogue! {
    /// Steps that only event traces show.
    Step = "GDOI";

    /// A member acknowledged a rekey; the acknowledgement was verified.
    #[action = "None."]
    7 ACK_RCVD in Rekey { from: Ipv4Addr, to: Ipv4Addr, seq: u32, group: Group }
        "From {from} to {to} with seq no {seq} for the group {group}";

    /// A rekey was acknowledged; the addresses are the rekey's own.
    #[action = "None."]
    7 ACK_SENT in Rekey { from: Ipv4Addr, to: Ipv4Addr, seq: u32, group: Group }
        "From {from} to {to} with seq no {seq} for the group {group}";

    /// The key server gave a member policy and keys.
    #[action = "None."]
    7 GM_ADMITTED in Registration { gm: Ipv4Addr, ks: Ipv4Addr, group: Group }
        "GM {gm} registered with {ks} for the group {group}";

    /// A member counted a refusal of what came to it.
    #[action = "See the messages beside it for who sent what."]
    7 GM_REFUSED in Exit { group: Group, what: &'static str }
        "What came for the group {group} is refused: {what}";

    /// The member lost everything or left the group: what the group protects is dropped.
    #[action = "None."]
    7 GROUP_CLOSED in Infra { group: Group }
        "Policy and keys of the group {group} are gone";

    /// A phase-1 SA is established.
    #[action = "None."]
    7 IKE_SA_UP in Infra { peer: Ipv4Addr }
        "Phase 1 with {peer} is established";

    /// The member's policy is in force, or will be from its activation.
    #[action = "None."]
    7 POLICY_INSTALLED in Infra { group: Group, entries: usize }
        "Policy of {entries} entries for the group {group}";

    /// A rekey, or a copy of it, left for a member.
    #[action = "None."]
    7 REKEY_SENT in Rekey { from: Ipv4Addr, to: Ipv4Addr, seq: u32, group: Group, copy: String }
        "From {from} to {to} with seq no {seq} for the group {group}{copy}";

    /// The member holds a traffic key, or holds it for longer.
    #[action = "None."]
    7 SA_INSTALLED in Infra { spi: policy::Spi, group: Group }
        "SA with spi {spi} for the group {group}";

    /// The member no longer holds a traffic key.
    #[action = "None."]
    7 SA_REMOVED in Infra { spi: policy::Spi, group: Group }
        "SA with spi {spi} for the group {group}";
}
