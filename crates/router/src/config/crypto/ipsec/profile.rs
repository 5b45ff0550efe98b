//! `crypto ipsec profile P`: a transform set and a lifetime.

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Place, Refusal, gone};
use crate::config::render::Text;
use crate::config::service::internal::least_lifetime;
use crate::config::{Command, Config};
use crate::limits::{TEK_LIFETIME_S_ADVISED, TEK_LIFETIME_S_MIN, TEK_LIFETIME_S_MIN_INTERNAL};

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// `set transform-set`.
    pub transform_set: Option<String>,
    /// `set security-association lifetime seconds`; 3600 if there is none.
    pub lifetime_s: Option<u32>,
}

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        mode: Mode::Global,
        syntax: Syntax {
            grammar: "crypto ipsec profile <profile:WORD>",
            help: &[
                ("profile", "Configure an ipsec policy profile"),
                ("<profile>", "Profile name"),
            ],
        },
        apply: enter,
        examples: &["crypto ipsec profile gdoi-p"],
    },
    Command {
        mode: Mode::IpsecProfile,
        syntax: Syntax {
            grammar: "set transform-set / <set:WORD>",
            help: &[
                ("set", "Set values for encryption/decryption"),
                ("transform-set", "Specify the transform set"),
                ("<set>", "Transform set tag"),
            ],
        },
        apply: transform_set,
        examples: &["set transform-set T1"],
    },
    Command {
        mode: Mode::IpsecProfile,
        syntax: Syntax {
            grammar: "set security-association lifetime / seconds <seconds:1-2592000>",
            help: &[
                ("set", "Set values for encryption/decryption"),
                ("security-association", "Security association parameters"),
                ("lifetime", "Security association lifetime"),
                ("seconds", "Time-based key duration in seconds"),
                ("<seconds>", "Security association duration in seconds"),
            ],
        },
        apply: lifetime,
        examples: &[
            "set security-association lifetime seconds 3600",
            "set security-association lifetime seconds 120",
        ],
    },
];

fn enter(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let name = line.word("profile")?.to_owned();
    if line.removes() {
        editor.config.profiles.remove(&name);
    } else {
        editor.config.profiles.entry(name.clone()).or_default();
        editor.enter(Place::IpsecProfile(name));
    }
    Ok(())
}

fn profile<'a>(editor: &'a mut Editor<'_>) -> Result<&'a mut Profile, Refusal> {
    let Place::IpsecProfile(name) = editor.place(0)? else {
        return Err(gone());
    };
    let name = name.clone();
    editor.config.profiles.get_mut(&name).ok_or_else(gone)
}

fn transform_set(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let set = if line.removes() {
        None
    } else {
        Some(line.word("set")?.to_owned())
    };
    if let Some(set) = &set
        && editor.is_live()
        && !editor.config.transform_sets.contains_key(set)
    {
        return Err(Refusal::new(format!(
            "% transform set with tag \"{set}\" does not exist."
        )));
    }
    profile(editor)?.transform_set = set;
    Ok(())
}

fn lifetime(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let seconds: Option<u32> = if line.removes() {
        None
    } else {
        Some(line.number("seconds")?)
    };
    if let Some(seconds) = seconds {
        let (least, internal) = (TEK_LIFETIME_S_MIN, TEK_LIFETIME_S_MIN_INTERNAL);
        least_lifetime(editor.config, seconds, least, internal)?;
        if seconds < TEK_LIFETIME_S_ADVISED {
            editor.warn(format!(
                "a lifetime of {seconds} s is below {TEK_LIFETIME_S_ADVISED} s: for tests only"
            ));
        }
    }
    profile(editor)?.lifetime_s = seconds;
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (name, profile) in &config.profiles {
        text.line(format_args!("{}", Place::IpsecProfile(name.clone())));
        text.block(|text| {
            if let Some(seconds) = profile.lifetime_s {
                text.line(format_args!(
                    "set security-association lifetime seconds {seconds}"
                ));
            }
            if let Some(set) = &profile.transform_set {
                text.line(format_args!("set transform-set {set}"));
            }
        });
        text.separate();
    }
}
