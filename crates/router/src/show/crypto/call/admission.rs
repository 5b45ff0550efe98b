//! `show crypto call admission statistics`: what `crypto call admission limit` allows, and who was
//! refused.
//!
//! A limit of 0 is none. GDOI has no IPsec requests: traffic keys come with a registration, so their
//! requests are 0, and their SAs those that members of this box hold, one in each direction.

use std::fmt;

use gdoi::ike::RefusalCounter;
use serde::Serialize;

use crate::cli::grammar::Syntax;
use crate::show::{Context, Page, Show};

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show crypto call admission statistics",
        help: &[
            ("show", "Show running system information"),
            ("call", "Show crypto call admission info"),
            ("admission", "Show crypto call admission info"),
            ("statistics", "Show crypto call admission statistics"),
        ],
    },
    is_privileged: false,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// SAs at most; `None` without a limit.
    pub ike_sas_max: Option<u32>,
    /// Negotiations at most; `None` without a limit.
    pub negotiations_max: Option<u32>,
    /// SAs that are established.
    pub ike_sas_active: usize,
    /// Negotiations that are not done, of both sides.
    pub ike_sas_negotiating: usize,
    /// Negotiations that peers asked for.
    pub incoming: Requests,
    /// Negotiations that this box wanted.
    pub outgoing: Requests,
    /// Messages that were refused because a table of this box was full.
    pub refused_for_resources: u64,
    /// Messages that were refused because of the limit of SAs.
    pub refused_by_sa_limit: u64,
    /// Messages that were refused because of the limit of negotiations.
    pub refused_by_negotiation_limit: u64,
    /// Messages that were dropped unread or unasked.
    pub dropped: u64,
    /// Traffic keys of this box's members, one SA in each direction.
    pub ipsec_sas: usize,
}

/// What was asked and granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Asked for.
    pub requests: u64,
    /// Granted.
    pub accepted: u64,
    /// Refused.
    pub rejected: u64,
}

impl Requests {
    fn of(requests: u64, accepted: u64) -> Self {
        Self {
            requests,
            accepted,
            rejected: requests.saturating_sub(accepted),
        }
    }
}

/// The admission of phase 1.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    let isakmp = context.machines.isakmp();
    let (admission, counters) = (&isakmp.admission, &isakmp.counters);
    let counts = &admission.counts;
    let outgoing = Requests::of(counts.outgoing, counts.outgoing_accepted);
    let dropped = [RefusalCounter::Malformed, RefusalCounter::NoSa];
    View {
        ike_sas_max: admission.limits.sas,
        negotiations_max: admission.limits.negotiations,
        ike_sas_active: admission.active,
        ike_sas_negotiating: admission.negotiating,
        incoming: Requests::of(counts.incoming, counts.incoming_accepted),
        refused_for_resources: counters.refused(RefusalCounter::HalfOpenFull) + outgoing.rejected,
        outgoing,
        refused_by_sa_limit: counters.refused(RefusalCounter::SaLimit),
        refused_by_negotiation_limit: counters.refused(RefusalCounter::NegotiationLimit),
        dropped: dropped
            .map(|counter| counters.refused(counter))
            .iter()
            .sum(),
        ipsec_sas: context
            .machines
            .members()
            .iter()
            .map(|member| 2 * member.teks.len())
            .sum(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = "-".repeat(69);
        let (sas, negotiations) = (
            self.ike_sas_max.unwrap_or(0),
            self.negotiations_max.unwrap_or(0),
        );
        let resources = self.refused_for_resources;
        let (by_sas, by_negotiations) =
            (self.refused_by_sa_limit, self.refused_by_negotiation_limit);
        let refused = resources + by_sas + by_negotiations;
        writeln!(f, "{rule}")?;
        writeln!(f, "            Crypto Call Admission Control Statistics")?;
        writeln!(f, "{rule}")?;
        let limits = [
            ("System Resource Limit:", 0),
            ("Max IKE SAs:", sas.into()),
            ("Max in nego:", negotiations.into()),
        ];
        row(f, limits)?;
        let (active, negotiating) = (self.ike_sas_active, self.ike_sas_negotiating);
        totals(f, "Total IKE SA Count:", active, negotiating)?;
        self.incoming.write(f, "Incoming IKE Requests:")?;
        self.outgoing.write(f, "Outgoing IKE Requests:")?;
        let rejected = [
            ("Rejected IKE Requests:", refused),
            ("rsrc low:", resources),
            ("Active SA limit:", by_sas),
        ];
        row(f, rejected)?;
        writeln!(f, "{:>58} {by_negotiations}", "In-neg SA limit:")?;
        writeln!(f, "IKE packets dropped at dispatch: {:>8}", self.dropped)?;
        writeln!(f)?;
        writeln!(f, "Max IPSEC SAs: {:>5}", 0)?;
        totals(f, "Total IPSEC SA Count:", self.ipsec_sas, 0)?;
        let none = Requests::of(0, 0);
        none.write(f, "Incoming IPSEC Requests:")?;
        none.write(f, "Outgoing IPSEC Requests:")?;
        writeln!(f)?;
        writeln!(f, "Phase1.5 SAs under negotiation: {:>9}", 0)
    }
}

impl Requests {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let (requests, accepted) = (self.requests, self.accepted);
        let rejected = ("rejected:", self.rejected);
        row(f, [(name, requests), ("accepted:", accepted), rejected])
    }
}

fn row(f: &mut fmt::Formatter<'_>, numbers: [(&str, u64); 3]) -> fmt::Result {
    let words = numbers.map(|(name, number)| format!("{name} {number:>8}"));
    writeln!(f, "{}", words.join(" "))
}

fn totals(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    active: usize,
    negotiating: usize,
) -> fmt::Result {
    let all = active + negotiating;
    writeln!(
        f,
        "{name} {all:>11} active: {active:>10} negotiating: {negotiating:>5}"
    )
}
