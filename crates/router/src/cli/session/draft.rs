//! The block of configuration that an operator is typing.
//!
//! Lines work on a copy; leaving the block puts the copy in force. If someone else changed the
//! configuration meanwhile, the block's lines are obeyed again on top of theirs.

use super::{Operated, Reply, Status};
use crate::cli::line;
use crate::config::check::check;
use crate::config::{Config, Cursor, Diagnostic, LineError, Origins, Severity};

/// `configure terminal`, until `end`.
pub(super) struct Draft {
    cursor: Cursor,
    block: Option<Block>,
    has_changed: bool,
}

/// Lines that are not in force yet.
struct Block {
    /// Where the first of them was typed.
    start: Cursor,
    lines: Vec<String>,
    /// The configuration that the lines were typed on.
    base: Config,
    /// That with the lines obeyed.
    config: Config,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            cursor: Cursor::live(),
            block: None,
            has_changed: false,
        }
    }

    pub(super) const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Obeys a line. A line that belongs outside of the open block puts that one in force first.
    pub(super) fn line(&mut self, host: &mut dyn Operated, text: &str) -> Result<Reply, LineError> {
        let before = match self.block.take_if(|_| self.cursor.leaves(text)) {
            Some(block) => self.put_in_force(host, block),
            None => Reply::done(""),
        };
        let mut block = self.block.take().unwrap_or_else(|| {
            let base = host.context().config.clone();
            let config = base.clone();
            Block {
                start: self.cursor.clone(),
                lines: Vec::new(),
                base,
                config,
            }
        });
        let applied = match self.cursor.apply(&mut block.config, text) {
            Ok(applied) => applied,
            Err(error) => {
                self.block = (!block.lines.is_empty()).then_some(block);
                return Err(error);
            }
        };
        block.lines.push(text.to_owned());
        let told = applied
            .warnings
            .iter()
            .map(|text| said(text))
            .collect::<String>();
        let after = if self.cursor.path().is_empty() {
            self.put_in_force(host, block)
        } else {
            self.block = Some(block);
            Reply::done("")
        };
        let status = if before.status == Status::Done {
            after.status
        } else {
            before.status
        };
        Ok(Reply {
            status,
            ..Reply::done(before.text + &told + &after.text)
        })
    }

    /// What leaving the open block would do.
    pub(super) fn preview(&self, host: &dyn Operated) -> Reply {
        let Some(block) = &self.block else {
            return Reply::done("% No change waits for the end of its block\n");
        };
        match host.preview(&block.config) {
            Ok(lines) if lines.is_empty() => {
                Reply::done("% The block changes nothing for the groups of this box\n")
            }
            Ok(lines) => Reply::done(lines.iter().map(|line| said(line)).collect::<String>()),
            Err(reasons) => refused(&reasons),
        }
    }

    /// Leaves configuration mode.
    pub(super) fn end(mut self, host: &mut dyn Operated, by: &str) -> Reply {
        let reply = match self.block.take() {
            Some(block) => self.put_in_force(host, block),
            None => Reply::done(""),
        };
        if self.has_changed {
            host.configured(by);
        }
        reply
    }

    fn put_in_force(&mut self, host: &mut dyn Operated, block: Block) -> Reply {
        let Block {
            start,
            lines,
            base,
            mut config,
        } = block;
        let current = host.context().config;
        let is_alone = *current == base;
        let before = check(current, &Origins::default());
        if !is_alone {
            config = current.clone();
            let mut cursor = start;
            for line in &lines {
                if cursor.apply(&mut config, line).is_err() {
                    return Reply::refused(format!(
                        "% The configuration was changed by someone else: `{}` no longer fits, \
                         nothing of the block is in force\n",
                        first_words(line)
                    ));
                }
            }
        }
        if config == *current {
            return Reply::done("");
        }
        let mut news = check(&config, &Origins::default());
        news.retain(|one| !before.contains(one));
        // What runs is not taken apart by removing a name from under it: type what replaces it
        // first.
        let removes = lines.iter().any(|line| {
            let first = line::words(line).first().map_or("", |word| word.text);
            matches!(first, "no" | "default")
        });
        let refuses = |one: &Diagnostic| match one.severity {
            Severity::Error => true,
            Severity::Incomplete => removes,
            Severity::Warning => false,
        };
        if news.iter().any(refuses) {
            let mut reply = refused(&news);
            if removes {
                reply.text.push_str("% What is in use is removed last\n");
            }
            return reply;
        }
        match host.configure(config) {
            Ok(warnings) => {
                self.has_changed = true;
                news.extend(warnings);
                let text = news.iter().map(|one| said(&one.text)).collect::<String>();
                Reply::done(text)
            }
            Err(reasons) => refused(&reasons),
        }
    }
}

fn refused(reasons: &[Diagnostic]) -> Reply {
    let errors = reasons
        .iter()
        .filter(|one| one.severity != Severity::Warning);
    let mut text: String = errors.map(|one| format!("% {}\n", one.text)).collect();
    text.push_str("% Nothing of the block is in force\n");
    Reply {
        status: Status::Refused,
        ..Reply::done(text)
    }
}

/// A line that tells something; IOS's own notes keep their sign.
fn said(text: &str) -> String {
    if text.starts_with('%') {
        format!("{text}\n")
    } else {
        format!("Warning: {text}\n")
    }
}

/// The start of a line, without what may be a secret in it.
fn first_words(line: &str) -> String {
    line.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}
