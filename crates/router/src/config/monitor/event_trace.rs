//! `monitor event-trace gdoi {coop | exit | infra | registration | rekey} size N`, each with `no`.

use std::collections::BTreeMap;

use event::trace::Buffer;

use crate::cli::grammar::Syntax;
use crate::cli::mode::Mode;
use crate::config::edit::{Editor, Line, Refusal};
use crate::config::render::Text;
use crate::config::{Command, Config};
use crate::limits::TRACE_ENTRIES_DEFAULT;

/// How many entries each trace holds, where the configuration says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTrace {
    sizes: BTreeMap<Buffer, u32>,
}

impl EventTrace {
    /// How many entries the trace holds at most.
    #[must_use]
    pub fn entries_max(&self, buffer: Buffer) -> usize {
        let size = self.sizes.get(&buffer);
        size.and_then(|size| usize::try_from(*size).ok())
            .unwrap_or(TRACE_ENTRIES_DEFAULT)
    }
}

pub(crate) const COMMANDS: &[Command] = &[Command {
    mode: Mode::Global,
    syntax: Syntax {
        grammar: "monitor event-trace gdoi ( coop | exit | infra | registration | rekey ) size / \
                  <entries:1-1000000>",
        help: &[
            ("monitor", "Monitoring different system events"),
            ("event-trace", "Tracing of system events"),
            ("gdoi", "GDOI event traces"),
            ("coop", "GDOI COOP Event Traces"),
            ("exit", "GDOI Exit Traces"),
            ("infra", "GDOI INFRA Event Traces"),
            ("registration", "GDOI Registration event Traces"),
            ("rekey", "GDOI Rekey event Traces"),
            ("size", "Size of trace"),
            ("<entries>", "Number of entries in trace"),
        ],
    },
    apply,
    examples: &[
        "monitor event-trace gdoi rekey size 10000",
        "monitor event-trace gdoi exit size 1",
        "monitor event-trace gdoi coop size 1000000",
    ],
}];

fn apply(editor: &mut Editor<'_>, line: &Line) -> Result<(), Refusal> {
    let sizes = &mut editor.config.event_trace.sizes;
    let named = Buffer::ALL.iter().find(|buffer| line.has(buffer.word()));
    if let Some(buffer) = named {
        if line.removes() {
            sizes.remove(buffer);
        } else {
            sizes.insert(*buffer, line.number("entries")?);
        }
    }
    Ok(())
}

pub(crate) fn render(config: &Config, text: &mut Text) {
    for (buffer, size) in &config.event_trace.sizes {
        let kind = buffer.word();
        text.line(format_args!("monitor event-trace gdoi {kind} size {size}"));
    }
    text.separate();
}
