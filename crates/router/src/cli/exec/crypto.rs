//! `crypto gdoi ks ... rekey` and `crypto key generate`.

pub(super) mod key;

use crypto::ecdsa::Curve;
use crypto::key_pair::Size;
use gdoi::ks::Role;
use gdoi::machine::Command;
use policy::GroupName;

use super::clear::known_group;
use super::{Call, Exec, Outcome};
use crate::cli::grammar::{Incomplete, Syntax};
use crate::config::Refusal;
use crate::show::Page;

pub(super) const COMMANDS: &[Exec] = &[
    Exec {
        syntax: Syntax {
            grammar: "crypto ( gdoi | gkm ) ks [ group <group:WORD> ] rekey [ replace-now ]",
            help: &[
                ("rekey", "Send a rekey to the members now"),
                (
                    "replace-now",
                    "Replace every key at once; traffic may be lost",
                ),
            ],
        },
        is_privileged: true,
        run: rekey,
    },
    Exec {
        syntax: Syntax {
            grammar: "crypto ( gdoi | gkm ) ks [ group <group:WORD> ] readmit <member:A.B.C.D>",
            help: &[
                ("readmit", "Let a removed member register again"),
                ("<member>", "Address of a member"),
            ],
        },
        is_privileged: true,
        run: readmit,
    },
    Exec {
        syntax: Syntax {
            // The words come in any order, as IOS takes them.
            grammar: "crypto key generate rsa [ general-keys ] [ @key ] [ @key ] [ @key ]",
            help: &[
                ("key", "Long term key operations"),
                ("generate", "Generate new keys"),
                ("rsa", "Generate RSA keys"),
                ("general-keys", "Generate a general purpose RSA key pair"),
                ("label", "Provide a label"),
                (
                    "modulus",
                    "Provide number of modulus bits on the command line",
                ),
                ("exportable", "Allow the key to be exported"),
                ("<label>", "RSA keypair label"),
                ("<modulus>", "Size of the key modulus"),
            ],
        },
        is_privileged: true,
        run: generate_rsa,
    },
    Exec {
        syntax: Syntax {
            grammar: "crypto key generate ec keysize ( 256 | 384 | 521 ) [ @ec-key ] [ @ec-key ]",
            help: &[
                ("key", "Long term key operations"),
                ("generate", "Generate new keys"),
                ("ec", "Generate EC keys for ECDSA"),
                ("keysize", "Size of the curve"),
                ("256", "The curve P-256"),
                ("384", "The curve P-384"),
                ("521", "The curve P-521"),
                ("label", "Provide a label"),
                ("exportable", "Allow the key to be exported"),
                ("<label>", "EC keypair label"),
            ],
        },
        is_privileged: true,
        run: generate_ec,
    },
];

fn rekey(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let group = served_group(call)?;
    if let Some(refusal) = only_the_primary(call, group.as_ref(), "sends rekeys") {
        return Err(refusal);
    }
    call.host.order(if call.line.has("replace-now") {
        Command::ReplaceNow { group }
    } else {
        Command::Rekey { group }
    })?;
    Ok(Outcome::quiet())
}

fn readmit(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let group = served_group(call)?;
    let member = call.line.address("member")?;
    if let Some(refusal) = only_the_primary(call, group.as_ref(), "readmits members") {
        return Err(refusal);
    }
    let views = call.host.context().machines.key_servers();
    let is_removed = views
        .iter()
        .filter(|view| group.as_ref().is_none_or(|group| *group == view.group))
        .flat_map(|view| &view.removal.removed)
        .any(|(removed, _)| *removed == member);
    if !is_removed {
        return Err(Refusal::new(format!("% {member} was not removed.")));
    }
    call.host.order(Command::Readmit { group, member })?;
    Ok(Outcome::quiet())
}

/// The group that the line names, which this box must serve.
pub(super) fn served_group(call: &Call<'_>) -> Result<Option<GroupName>, Refusal> {
    let group = known_group(call)?;
    let config = call.host.context().config;
    let is_served = match &group {
        Some(name) => config
            .groups
            .get(name.as_str())
            .is_some_and(|g| g.local.is_some()),
        None => config.groups.values().any(|group| group.local.is_some()),
    };
    if !is_served {
        return Err(Refusal::new("% This box is no key server of such a group."));
    }
    Ok(group)
}

/// What a secondary does not do: the operator is told who does.
pub(super) fn only_the_primary(
    call: &Call<'_>,
    group: Option<&GroupName>,
    does: &str,
) -> Option<Refusal> {
    let views = call.host.context().machines.key_servers();
    let mut named = views
        .into_iter()
        .filter(|view| group.is_none_or(|group| *group == view.group))
        .peekable();
    named.peek()?;
    let mut refusal = None;
    for view in named {
        let coop = view.coop.filter(|coop| coop.role != Role::Primary)?;
        let primary = coop.primary.map_or_else(
            || "none is elected yet".to_owned(),
            |primary| format!("the primary is {primary}"),
        );
        let group = view.group;
        refusal = Some(Refusal::new(format!(
            "% Only the primary key server of group {group} {does}: {primary}."
        )));
    }
    refusal
}

fn generate_rsa(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let modulus: Result<u16, Incomplete> = call.line.number("modulus");
    let modulus_bits = modulus.unwrap_or(MODULUS_BITS_DEFAULT);
    generate(call, Size::Rsa { modulus_bits }, "modulus")
}

fn generate_ec(call: &mut Call<'_>) -> Result<Outcome, Refusal> {
    let named = |curve: &Curve| call.line.has(&curve.bits().to_string());
    let curve = Curve::ALL.into_iter().find(named);
    let curve = curve.ok_or_else(|| Refusal::new("% A key needs a size: keysize N"))?;
    generate(call, Size::Ec(curve), "curve")
}

fn generate(call: &mut Call<'_>, size: Size, of: &str) -> Result<Outcome, Refusal> {
    let line = call.line;
    let Ok(label) = line.word("label") else {
        return Err(Refusal::new("% A key needs a name: label NAME"));
    };
    let (kind, bits) = (size.kind(), size.bits());
    let pairs = call.host.context().machines.key_pairs();
    let named = pairs.iter().find(|pair| pair.label == label);
    if let Some(other) = named.map(|pair| pair.kind).filter(|other| *other != kind) {
        let is = other.with_article();
        return Err(Refusal::new(format!(
            "% {label} is {is} key: choose another label, or zeroize it first"
        )));
    }
    let exportable = line.has("exportable");
    let is = if exportable {
        "exportable"
    } else {
        "non-exportable"
    };
    let text = format!(
        "The name for the keys will be: {label}\n\n\
         % The key {of} size is {bits} bits\n\
         % Generating {bits} bit {kind} keys, keys will be {is}...\n"
    );
    call.host.order(Command::GenerateKeyPair {
        label: label.to_owned(),
        size,
        exportable,
    })?;
    Ok(Outcome::Print(Page::text(text)))
}

/// Bits of an RSA modulus unless the line says otherwise.
const MODULUS_BITS_DEFAULT: u16 = 2048;
