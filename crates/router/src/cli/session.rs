//! One operator's session: a line comes in, a reply goes out.
//!
//! Keeps the mode, the terminal's settings, a question that waits for its answer, and the block of
//! configuration that is being typed. A block is put in force as a whole when it is left, so the
//! machines never see half of one; a block that contradicts the rest is refused as a whole.
//! Echo, editing keys, paging and sockets are the consoles' business.

mod draft;
mod help;
mod paste;

use std::sync::LazyLock;

use gdoi::machine::Command;

use super::exec::{self, Call, Exec, Order, Outcome};
use super::grammar::{Failure, Form, Match, Tree, abbreviates, table};
use super::line;
use super::mode;
use super::pipe::{self, Modifier, PipeError};
use crate::config::edit::is_exit;
use crate::config::{Config, Diagnostic, LineError, Refusal};
use crate::key_pairs::{KeyExport, KeyImport};
use crate::limits::LINE_LEN_MAX;
use crate::show::monitor::event_trace::Seen;
use crate::show::{self, Context, Page, Show};
use draft::Draft;
use paste::{Paste, Pasted};

/// The box as its operators' sessions see it.
pub trait Operated {
    /// Everything that the box knows, for reading.
    fn context(&self) -> Context<'_>;
    /// Puts a configuration in force. The warnings are about what differs from the kernel.
    ///
    /// # Errors
    /// When it cannot be in force on this box, with the reasons; nothing has changed then.
    fn configure(&mut self, config: Config) -> Result<Vec<Diagnostic>, Vec<Diagnostic>>;
    /// What a configuration would do to the groups of this box, one line each.
    ///
    /// # Errors
    /// When it cannot be in force on this box, with the reasons.
    fn preview(&self, config: &Config) -> Result<Vec<String>, Vec<Diagnostic>>;
    /// An operator has left configuration mode after changes.
    fn configured(&mut self, by: &str);
    /// Gives the machines an order.
    ///
    /// # Errors
    /// When the box cannot pass it on.
    fn order(&mut self, command: Command) -> Result<(), Refusal>;
    /// Empties the buffered log.
    fn clear_log(&mut self);
    /// Exports a key: the text for the operator.
    ///
    /// # Errors
    /// When there is none, or it may not leave this box.
    fn export_key(&mut self, export: &KeyExport) -> Result<String, Refusal>;
    /// Whether a key may be imported under that label.
    ///
    /// # Errors
    /// When there is a key of that label.
    fn check_label(&self, label: &str) -> Result<(), Refusal>;
    /// Imports the key in a text.
    ///
    /// # Errors
    /// When it is none, the passphrase is wrong, or the label is in use.
    fn import_key(&mut self, import: &KeyImport, text: &str) -> Result<(), Refusal>;
    /// Imports the key in a file: what is said at once; the log says how it ends.
    ///
    /// # Errors
    /// When the name is none, or the label is in use.
    fn import_key_file(&mut self, name: String, import: KeyImport) -> Result<String, Refusal>;
    /// An operator has seen event traces up to there.
    fn displayed(&mut self, seen: &[Seen]);
    /// Makes `text` the configuration file.
    ///
    /// # Errors
    /// When there is none that can be written.
    fn save(&mut self, text: String) -> Result<(), Refusal>;
}

/// What became of a line.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was obeyed.
    Done,
    /// The box refused it; the text says why in IOS's words.
    Refused,
    /// It is no line that can be read at all.
    Error,
}

/// What a line brings back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// What became of it.
    pub status: Status,
    /// What is printed; ends with a line end, unless it is empty or a question.
    pub text: String,
    /// The view of a show command.
    pub json: Option<serde_json::Value>,
    /// Whether the session is over.
    pub closes: bool,
}

impl Reply {
    fn done(text: impl Into<String>) -> Self {
        Self {
            status: Status::Done,
            text: text.into(),
            json: None,
            closes: false,
        }
    }

    fn refused(text: impl Into<String>) -> Self {
        Self {
            status: Status::Refused,
            ..Self::done(text)
        }
    }

    fn refusal(refusal: Refusal) -> Self {
        Self::refused(refusal.0 + "\n")
    }
}

/// The settings of an operator's terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// `enable`.
    pub is_privileged: bool,
    /// `terminal length`: lines per page, 0 for no pages.
    pub length: u16,
    /// `terminal width`: columns, 0 for any.
    pub width: u16,
    /// `terminal exec prompt timestamp`.
    pub has_timestamps: bool,
    /// `terminal monitor`.
    pub monitors: bool,
}

/// How a session is driven.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By an operator who sees a prompt and answers questions.
    Interactive,
    /// By a program, one line at a time: no questions, and columns count from the line's start.
    Commands,
}

/// One operator's session.
pub struct Session {
    by: String,
    kind: Kind,
    terminal: Terminal,
    editing: Option<Draft>,
    asked: Option<Order>,
    pasting: Option<Paste>,
}

impl Session {
    /// A session of the operator `by`, for example `console` or `root on /run/getvpn.sock`.
    #[must_use]
    pub fn new(by: impl Into<String>, kind: Kind) -> Self {
        Self {
            by: by.into(),
            kind,
            terminal: Terminal {
                is_privileged: true,
                length: 0,
                width: 80,
                has_timestamps: false,
                monitors: false,
            },
            editing: None,
            asked: None,
            pasting: None,
        }
    }

    /// What the console prints before the operator types.
    #[must_use]
    pub fn prompt(&self, host: &dyn Operated) -> String {
        if self.asked.is_some() || self.pasting.is_some() {
            return String::new();
        }
        let editing = self.editing.as_ref();
        let name = host.context().config.host();
        let mode = editing.map(|draft| draft.cursor().mode());
        mode::prompt(name, self.terminal.is_privileged, mode)
    }

    /// The terminal's settings, for whoever pages.
    #[must_use]
    pub const fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Obeys one line. A line that ends in `?` asks what could stand there.
    pub fn line(&mut self, host: &mut dyn Operated, text: &str) -> Reply {
        let text = text.trim_matches(|c: char| c == '\0' || c == '\r' || c == '\n');
        if text.len() > LINE_LEN_MAX || text.contains(|c: char| c.is_control() && c != '\t') {
            let text = format!("% A line is text of at most {LINE_LEN_MAX} octets\n");
            return Reply {
                status: Status::Error,
                ..Reply::done(text)
            };
        }
        if let Some(order) = self.asked.take() {
            return answered(host, order, text);
        }
        if let Some(paste) = self.pasting.take() {
            return match paste.line(host, text) {
                Pasted::More(paste, reply) => {
                    self.pasting = Some(paste);
                    reply
                }
                Pasted::Done(reply) => reply,
            };
        }
        if line::is_blank(text) {
            return Reply::done("");
        }
        if let Some(question) = text.strip_suffix('?') {
            return self.help(question);
        }
        match self.editing.take() {
            Some(draft) => self.configure(host, draft, text),
            None => self.exec(host, text, 0),
        }
    }

    /// The operator is gone: a block that was being typed is put in force as far as it is whole.
    pub fn close(&mut self, host: &mut dyn Operated) {
        if let Some(draft) = self.editing.take() {
            draft.end(host, &self.by);
        }
    }

    fn configure(&mut self, host: &mut dyn Operated, mut draft: Draft, text: &str) -> Reply {
        let words = line::words(text);
        match words.first().map(|word| word.text) {
            Some("end") if words.len() == 1 => return draft.end(host, &self.by),
            Some(word) if words.len() == 1 && is_exit(word) && draft.cursor().path().is_empty() => {
                return draft.end(host, &self.by);
            }
            Some("preview") if words.len() == 1 => {
                let reply = draft.preview(host);
                self.editing = Some(draft);
                return reply;
            }
            // IOS has these in its configuration mode, and they change no configuration.
            Some(_) if is_key_order(&words) => {
                self.editing = Some(draft);
                return self.exec(host, text, 0);
            }
            Some("do") if words.len() > 1 => {
                let skip = words[1];
                self.editing = Some(draft);
                return self.exec(host, &text[skip.offset..], skip.column);
            }
            Some(_) | None => {}
        }
        let indent = self.indent(host, Some(&draft));
        let reply = match draft.line(host, text) {
            Ok(said) => said,
            Err(LineError::Refused(refusal)) => Reply::refusal(refusal),
            Err(LineError::Unreadable(failure)) => Reply::refused(pointed(text, &failure, indent)),
        };
        self.editing = Some(draft);
        reply
    }

    /// How far the line stands from the left edge of the operator's screen.
    fn indent(&self, host: &dyn Operated, draft: Option<&Draft>) -> usize {
        match self.kind {
            Kind::Commands => 0,
            Kind::Interactive => {
                let name = host.context().config.host();
                let mode = draft.map(|draft| draft.cursor().mode());
                mode::prompt(name, self.terminal.is_privileged, mode)
                    .chars()
                    .count()
            }
        }
    }

    fn exec(&mut self, host: &mut dyn Operated, text: &str, column: usize) -> Reply {
        let indent = self.indent(host, self.editing.as_ref()) + column;
        let piped = match pipe::split(text) {
            Ok(piped) => piped,
            Err(error) => return Reply::refused(pipe_error(text, &error, indent)),
        };
        let (command, wants_json) = match parse(piped.command, &piped.modifiers) {
            Ok(found) => found,
            Err(failure) => return Reply::refused(pointed(text, &failure, indent)),
        };
        let line = &command.0;
        if command.1.is_privileged() && !self.terminal.is_privileged {
            return Reply::refused(marked(indent));
        }
        match command.1 {
            Found::Show(show) => {
                let context = host.context();
                let stamp = if self.terminal.has_timestamps {
                    time_source(&context)
                } else {
                    String::new()
                };
                match (show.run)(&context, line) {
                    Ok(page) => {
                        host.displayed(&page.seen);
                        printed(page, wants_json, &piped.modifiers, stamp)
                    }
                    Err(refusal) => Reply::refusal(refusal),
                }
            }
            Found::Exec(exec) => {
                let terminal = &mut self.terminal;
                let by = &self.by;
                match (exec.run)(&mut Call {
                    host,
                    terminal,
                    by,
                    line,
                }) {
                    Ok(outcome) => self.become_of(host, outcome),
                    Err(refusal) => Reply::refusal(refusal),
                }
            }
        }
    }

    fn become_of(&mut self, host: &mut dyn Operated, outcome: Outcome) -> Reply {
        match outcome {
            Outcome::Print(page) => printed(page, false, &[], String::new()),
            Outcome::Ask { order, .. } if self.kind == Kind::Commands => obeyed(host, order),
            Outcome::Ask { question, order } => {
                self.asked = Some(order);
                Reply::done(question)
            }
            Outcome::Paste(_) if self.kind == Kind::Commands => Reply::refused(
                "% Only a session can be pasted into: use `getvpn cli`, or url FILE\n",
            ),
            Outcome::Paste(import) => {
                let (paste, reply) = Paste::begin(import);
                self.pasting = Some(paste);
                reply
            }
            Outcome::Configure if self.editing.is_some() => Reply::done(""),
            Outcome::Configure => {
                self.editing = Some(Draft::new());
                Reply::done("Enter configuration commands, one per line.  End with CNTL/Z.\n")
            }
            Outcome::Close => Reply {
                closes: true,
                ..Reply::done("")
            },
        }
    }
}

/// `crypto key ...`, abbreviated as anywhere. No line of the configuration starts so.
fn is_key_order(words: &[line::Word<'_>]) -> bool {
    let is = |place: usize, keyword| {
        let word: Option<&line::Word<'_>> = words.get(place);
        word.is_some_and(|word| abbreviates(word.text, keyword))
    };
    is(0, "crypto") && is(1, "key")
}

fn answered(host: &mut dyn Operated, order: Order, answer: &str) -> Reply {
    let answer = answer.trim().to_ascii_lowercase();
    // An empty answer confirms `[confirm]` and declines `[yes/no]`, as on IOS.
    let confirms = matches!(order, Order::ClearLogging) && answer.is_empty();
    if confirms || (!answer.is_empty() && "yes".starts_with(&answer)) {
        obeyed(host, order)
    } else {
        Reply::done("")
    }
}

fn obeyed(host: &mut dyn Operated, order: Order) -> Reply {
    match order {
        Order::Machine(command) => match host.order(command) {
            Ok(()) => Reply::done(""),
            Err(refusal) => Reply::refusal(refusal),
        },
        Order::ClearLogging => {
            host.clear_log();
            Reply::done("")
        }
    }
}

fn printed(page: Page, wants_json: bool, modifiers: &[Modifier], stamp: String) -> Reply {
    let Page { text, json, .. } = page;
    let text = match (&json, wants_json) {
        (Some(json), true) => format!("{json:#}\n"),
        (_, _) => text,
    };
    Reply {
        json,
        ..Reply::done(stamp + &pipe::filter(text, modifiers))
    }
}

/// `Time source is hardware calendar, *21:06:26.469 UTC Wed Nov 13 2013` (mission row 15).
fn time_source(context: &Context<'_>) -> String {
    let clock = show::clock::view(context);
    format!("Time source is {}, {}\n\n", clock.source, clock.time)
}

/// A command of the exec mode.
#[derive(Copy, Clone)]
enum Found {
    Show(&'static Show),
    Exec(&'static Exec),
}

impl Found {
    const fn is_privileged(self) -> bool {
        match self {
            Self::Show(show) => show.is_privileged,
            Self::Exec(exec) => exec.is_privileged,
        }
    }
}

struct Commands {
    tree: Tree,
    found: Vec<Found>,
}

fn commands() -> &'static Commands {
    static COMMANDS: LazyLock<Commands> = LazyLock::new(|| {
        let execs = exec::COMMANDS
            .iter()
            .flat_map(|file| file.iter())
            .map(Found::Exec);
        let found: Vec<_> = show::COMMANDS
            .iter()
            .map(Found::Show)
            .chain(execs)
            .collect();
        let tree = Tree::new(found.iter().map(|found| match found {
            Found::Show(show) => show.syntax,
            Found::Exec(exec) => exec.syntax,
        }));
        Commands { tree, found }
    });
    &COMMANDS
}

/// The command that `text` says, and whether it wants JSON; both `| json` and a last word `json`
/// ask for it.
fn parse(text: &str, modifiers: &[Modifier]) -> Result<((Match, Found), bool), Failure> {
    let Commands { tree, found } = commands();
    let words = line::words(text);
    let is_piped = matches!(modifiers.first(), Some(Modifier::Json));
    if let Some((last, before)) = words.split_last()
        && last.text == "json"
        && let Ok(line) = tree.parse(&text[..last.offset], before, Form::Set)
        && let command @ Found::Show(_) = found[line.entry]
    {
        return Ok(((line, command), true));
    }
    let line = tree.parse(text, &words, Form::Set)?;
    let command = found[line.entry];
    match (command, words.last()) {
        // Only what shows can be filtered.
        (Found::Exec(_), Some(_)) if !modifiers.is_empty() => Err(Failure::Invalid {
            word: words.len(),
            expected: Vec::new(),
            hides: false,
        }),
        (_, _) => Ok(((line, command), is_piped)),
    }
}

/// IOS's three answers to a line that it cannot read.
fn pointed(text: &str, failure: &Failure, indent: usize) -> String {
    match failure {
        Failure::Invalid { word, .. } => {
            let words = line::words(text);
            let column = words
                .get(*word)
                .map_or_else(|| text.chars().count(), |word| word.column);
            marked(indent + column)
        }
        Failure::Incomplete { .. } => "% Incomplete command.\n\n".to_owned(),
        Failure::Ambiguous { .. } => ambiguous(text),
    }
}

fn pipe_error(text: &str, error: &PipeError, indent: usize) -> String {
    match error {
        PipeError::Invalid(column) => marked(indent + column),
        PipeError::Incomplete => "% Incomplete command.\n\n".to_owned(),
        PipeError::Ambiguous => ambiguous(text),
        PipeError::Pattern(reason) => format!("% Failed to compile regular expression: {reason}\n"),
    }
}

fn ambiguous(text: &str) -> String {
    format!("% Ambiguous command:  \"{}\"\n", text.trim())
}

fn marked(column: usize) -> String {
    format!(
        "{:column$}^\n% Invalid input detected at '^' marker.\n\n",
        ""
    )
}

#[cfg(test)]
mod tests;
