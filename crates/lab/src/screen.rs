//! What a person sees of a run: steps as they happen, then one screen. Decides the layout; colours
//! only where there is a terminal.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// One thing that must hold, and whether it did.
#[derive(Debug)]
pub(crate) struct Check {
    /// It held.
    pub(crate) ok: bool,
    /// What must hold, with the figures.
    pub(crate) what: String,
}

/// The running output of one lab run.
pub(crate) struct Screen {
    begin: Instant,
    colours: bool,
    checks: Vec<Check>,
}

impl Screen {
    /// An empty screen; time counts from here.
    pub(crate) fn new() -> Self {
        Self {
            begin: Instant::now(),
            colours: std::io::stdout().is_terminal(),
            checks: Vec::new(),
        }
    }

    /// A line as it is.
    pub(crate) fn line(&self, text: impl fmt::Display) {
        // A reader that went away (`| head`) does not make the run fail.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// A headline.
    pub(crate) fn headline(&self, text: impl fmt::Display) {
        self.line("");
        self.line(self.paint("1", text));
    }

    /// A step that is done, with the time since the beginning.
    pub(crate) fn step(&self, text: impl fmt::Display) {
        let elapsed = self.begin.elapsed().as_secs_f64();
        self.line(format_args!("  {elapsed:6.2} s  {text}"));
    }

    /// Notes whether something that must hold did.
    pub(crate) fn check(&mut self, ok: bool, what: impl fmt::Display) {
        self.checks.push(Check {
            ok,
            what: what.to_string(),
        });
    }

    /// Prints the checks and the verdict; true when all is green.
    pub(crate) fn verdict(&self) -> bool {
        self.headline("checks");
        for check in &self.checks {
            let mark = if check.ok {
                self.paint("32", "ok  ")
            } else {
                self.paint("31;1", "FAIL")
            };
            self.line(format_args!("  {mark}  {}", check.what));
        }
        let failed = self.checks.iter().filter(|check| !check.ok).count();
        let passed = self.checks.len() - failed;
        let green = failed == 0 && passed > 0;
        let word = if green {
            self.paint("32;1", "green")
        } else {
            self.paint("31;1", "RED")
        };
        let elapsed = self.begin.elapsed().as_secs_f64();
        self.line("");
        self.line(format_args!(
            "{word}: {passed} passed, {failed} failed, {elapsed:.1} s"
        ));
        green
    }

    fn paint(&self, code: &str, text: impl fmt::Display) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}
