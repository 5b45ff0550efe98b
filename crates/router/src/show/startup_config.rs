//! `show startup-config`: the file that the box was started with, as it was then.

use std::fmt;

use serde::Serialize;

use super::{Context, Page, Show};
use crate::cli::grammar::Syntax;

/// The command.
pub const COMMAND: Show = Show {
    syntax: Syntax {
        grammar: "show startup-config",
        help: &[("startup-config", "Contents of startup configuration")],
    },
    is_privileged: true,
    run: |context, _| Page::of(&view(context)),
};

/// What it shows. The pre-shared keys are in it, as on IOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// The file's lines.
    pub lines: Vec<String>,
}

/// The file of the box.
#[must_use]
pub fn view(context: &Context<'_>) -> View {
    View {
        lines: context.startup.lines().map(str::to_owned).collect(),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.lines.iter().map(|line| line.len() + 1).sum();
        writeln!(f, "Using {bytes} bytes")?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
