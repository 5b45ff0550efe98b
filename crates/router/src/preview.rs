//! What a change of configuration will do to the groups that this box serves, in the operator's
//! words. What follows from which change is judged in `gdoi::ks::preview`.

use gdoi::config::{KeyServer, RekeyKey};
use gdoi::ks::Role;
use gdoi::ks::preview::{Change, Effect, preview};

use crate::config::Target;
use crate::router::Router;

impl Router {
    /// A line for each consequence of going from the configuration in force to `after`.
    pub(crate) fn preview(&self, after: &Target) -> Vec<String> {
        let mut lines = Vec::new();
        let served = |target: &Target, before: &KeyServer| {
            let mut groups = target.gdoi.key_servers.iter();
            groups.find(|own| own.group == before.group).cloned()
        };
        for before in &self.target.gdoi.key_servers {
            match served(after, before) {
                Some(after) => lines.extend(self.consequences(before, &after)),
                None => lines.push(format!(
                    "% Group {}: it is no longer served here, and its keys are forgotten; members \
                     keep theirs until they expire.",
                    before.group
                )),
            }
        }
        lines
    }

    fn consequences(&self, before: &KeyServer, after: &KeyServer) -> Vec<String> {
        let group = &before.group;
        let changes = match preview(before, after) {
            Ok(changes) => changes,
            Err(reason) => {
                return vec![format!(
                    "% Group {group}: members are not served any more: {reason}"
                )];
            }
        };
        if changes.is_empty() {
            return Vec::new();
        }
        if let Some(RekeyKey { kind, label }) = &after.rekey_key {
            let found = self.kind_of_key(label);
            let why = match found.filter(|found| found != kind) {
                Some(other) => format!(
                    "{label} is {} key, not {} key",
                    other.with_article(),
                    kind.with_article()
                ),
                None => format!("there is no {kind} key {label}"),
            };
            if found != Some(*kind) {
                return vec![format!(
                    "% Group {group}: members are not served any more: {why}"
                )];
            }
        }
        let views = self.machine.ks_views(self.now);
        let view = views.iter().find(|view| view.group == *group);
        let coop = view.and_then(|view| view.coop.as_ref());
        let members = view.map_or(0, |view| view.members.len());
        if let Some(coop) = coop
            && coop.role != Role::Primary
        {
            let primary = coop
                .primary
                .map_or_else(|| "none is elected yet".to_owned(), |own| own.to_string());
            return vec![format!(
                "% Group {group}: no rekey: this key server is not the primary ({primary}), whose \
                 configuration counts. Change it there, too: {}.",
                names(&changes, |_| true)
            )];
        }
        told(&changes)
            .into_iter()
            .map(|line| {
                format!(
                    "% Group {group}: {}",
                    line.replace("{members}", &plural(members))
                )
            })
            .collect()
    }
}

/// The consequences of a primary's change, one line each, the gravest first.
fn told(changes: &[Change]) -> Vec<String> {
    let is = |wanted: Effect| move |effect: &Effect| *effect == wanted;
    let mut lines = Vec::new();
    let teks = names(changes, is(Effect::NewTeks));
    if !teks.is_empty() {
        lines.push(format!(
            "this will rekey now: {teks}. New traffic keys go to {{members}}; those of before stay \
             until they expire."
        ));
    }
    let keks = names(changes, is(Effect::NewKek));
    if !keks.is_empty() {
        lines.push(format!(
            "this will rekey now: {keks}. A new rekey key goes to {{members}}; traffic keys stay."
        ));
    }
    let next = names(changes, is(Effect::NextRekey));
    if !next.is_empty() {
        lines.push(format!(
            "no rekey for {next}: the next scheduled rekey brings it, `crypto gdoi ks rekey` sends \
             one now."
        ));
    }
    let quiet = names(changes, is(Effect::FromNowOn));
    if !quiet.is_empty() {
        lines.push(format!(
            "no rekey for {quiet}: it counts from now on, and members that are registered stay."
        ));
    }
    lines
}

fn names(changes: &[Change], wanted: impl Fn(&Effect) -> bool) -> String {
    let wanted = changes.iter().filter(|change| wanted(&change.effect));
    wanted
        .map(|change| change.what)
        .collect::<Vec<_>>()
        .join(", ")
}

fn plural(members: usize) -> String {
    match members {
        0 => "no member yet".to_owned(),
        1 => "1 member".to_owned(),
        _ => format!("{members} members"),
    }
}
