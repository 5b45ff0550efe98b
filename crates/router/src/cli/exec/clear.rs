//! `clear ...`.

use gdoi::machine::Command;
use policy::GroupName;

use super::{Call, Exec, Order, Outcome};
use crate::cli::grammar::Syntax;
use crate::config::Refusal;

pub(super) const COMMANDS: &[Exec] = &[
    Exec {
        syntax: Syntax {
            grammar: "clear crypto ( gdoi | gkm ) [ group <group:WORD> ]",
            help: &[
                ("clear", "Reset functions"),
                ("gdoi", "Destroy policies and keys and register again"),
                ("gkm", "Destroy policies and keys and register again"),
            ],
        },
        is_privileged: true,
        run: gdoi,
    },
    Exec {
        syntax: Syntax {
            grammar: "clear crypto ( gdoi | gkm ) [ group <group:WORD> ] ks coop ( counters | role )",
            help: &[
                ("clear", "Reset functions"),
                ("gdoi", "Group key management (GDOI)"),
                ("gkm", "Group key management (GDOI)"),
                ("coop", "Cooperative key servers"),
                ("counters", "Count what passes between key servers from 0"),
                ("role", "Give the role up and elect the primary anew"),
            ],
        },
        is_privileged: true,
        run: coop,
    },
    Exec {
        syntax: Syntax {
            grammar: "clear logging",
            help: &[
                ("clear", "Reset functions"),
                ("logging", "Clear logging buffer"),
            ],
        },
        is_privileged: true,
        run: logging,
    },
];

fn gdoi(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let group = known_group(call)?;
    Ok(Outcome::Ask {
        question:
            "% The Key Server and Group Member will destroy created and downloaded policies.\n\
                   % All Group Members are required to re-register.\n\n\
                   Are you sure you want to proceed ? [yes/no]: "
                .to_owned(),
        order: Order::Machine(Command::ClearGdoi { group }),
    })
}

fn coop(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let group = known_group(call)?;
    let groups = &call.host.context().config.groups;
    let cooperates = |name: &str| {
        let local = groups.get(name).and_then(|group| group.local.as_ref());
        let redundancy = local.and_then(|local| local.redundancy.as_ref());
        redundancy.is_some_and(|redundancy| !redundancy.peers.is_empty())
    };
    let is_there = match &group {
        Some(name) => cooperates(name.as_str()),
        None => groups.keys().any(|name| cooperates(name)),
    };
    if !is_there {
        return Err(Refusal::new(
            "% This box cooperates with no other key server of such a group.",
        ));
    }
    call.host.order(if call.line.has("role") {
        Command::ClearCoopRole { group }
    } else {
        Command::ClearCoopCounters { group }
    })?;
    Ok(Outcome::quiet())
}

/// The group that the line names, which must be configured.
pub(super) fn known_group(call: &Call<'_>) -> Result<Option<GroupName>, Refusal> {
    let Ok(name) = call.line.word("group") else {
        return Ok(None);
    };
    if call.host.context().config.groups.contains_key(name) {
        Ok(Some(GroupName::new(name)))
    } else {
        Err(Refusal::new(format!("% group {name} doesn't yet exist.")))
    }
}

fn logging(_: &mut Call<'_>) -> Result<Outcome, Refusal> {
    Ok(Outcome::Ask {
        question: "Clear logging buffer [confirm]".to_owned(),
        order: Order::ClearLogging,
    })
}
