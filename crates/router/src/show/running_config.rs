//! `show running-config`: the configuration in force, as text that reads back.

use std::fmt;

use serde::Serialize;

use super::{Context, Page, Show};
use crate::cli::grammar::Syntax;
use crate::config::render;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show running-config",
        help: &[("running-config", "Current operating configuration")],
    },
    is_privileged: true,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows. The pre-shared keys are in it, as on IOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The configuration's lines.
    pub lines: Vec<String>,
}

/// The configuration of the box.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    View {
        lines: render(context.config).lines().map(str::to_owned).collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.lines.iter().map(|line| line.len() + 1).sum();
        writeln!(
            f,
            "Building configuration...\n\nCurrent configuration : {bytes} bytes"
        )?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
