//! `clear ...`.

use gdoi::gm;
use gdoi::machine::Command;
use policy::GroupName;

use super::crypto::{only_the_primary, served_group};
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
            grammar: "clear crypto ( gdoi | gkm ) [ group <group:WORD> ] ks members \
                      [ <member:A.B.C.D> ] [ now ]",
            help: &[
                ("clear", "Reset functions"),
                ("gdoi", "Group key management (GDOI)"),
                ("gkm", "Group key management (GDOI)"),
                ("members", "Make every member register again"),
                (
                    "<member>",
                    "Remove this member, and make the others register again",
                ),
                ("now", "End all keys of now at once; traffic is lost"),
            ],
        },
        is_privileged: true,
        run: members,
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
    let members = call.host.context().machines.members();
    let is_named = |member: &gm::View| group.as_ref().is_none_or(|name| *name == member.group);
    if !members.iter().any(is_named) {
        return Err(Refusal::new(
            "% This box is a member of no such group. On a key server, `clear crypto gdoi ks \
             members` makes every member register again.",
        ));
    }
    Ok(Outcome::Ask {
        question:
            "% The Key Server and Group Member will destroy created and downloaded policies.\n\
                   % All Group Members are required to re-register.\n\n\
                   Are you sure you want to proceed ? [yes/no]: "
                .to_owned(),
        order: Order::Machine(Command::ClearGdoi { group }),
    })
}

fn members(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let group = served_group(call)?;
    if let Some(refusal) = only_the_primary(call, group.as_ref(), "clears members") {
        return Err(refusal);
    }
    let member = call.line.address("member").ok();
    let now = call.line.has("now");
    let whom = member.map_or_else(
        || "% All Group Members are required to re-register.\n".to_owned(),
        |member| {
            format!(
                "% {member} is removed: every Key Server refuses it until it is readmitted.\n\
                 % All other Group Members are required to re-register.\n"
            )
        },
    );
    let how = if now {
        "% Their keys are dropped at once: traffic is lost until they have re-registered.\n"
    } else {
        "% The lifetime of their keys is shortened.\n"
    };
    Ok(Outcome::Ask {
        question: format!("{whom}{how}\nAre you sure you want to proceed ? [yes/no]: "),
        order: Order::Machine(Command::ClearMembers { group, member, now }),
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
