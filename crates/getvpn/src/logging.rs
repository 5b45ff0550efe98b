//! Where log lines go outside of the box: the journal when run as a service, else standard output.

use std::io::Write;

/// The sink.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Standard error, which is the journal's: each line starts with its severity, `<5>`.
    Journal,
    /// Standard output, lines as they are.
    Plain,
}

impl Sink {
    /// The journal says in JOURNAL_STREAM that it listens.
    pub(crate) fn find() -> Self {
        match std::env::var_os("JOURNAL_STREAM") {
            Some(_) => Self::Journal,
            None => Self::Plain,
        }
    }

    /// Writes a message, which may have several lines.
    pub(crate) fn write(self, severity: u8, message: &str) {
        let text = self.format(severity, message);
        // The log in the box keeps the message when nobody reads it here.
        let _ = match self {
            Self::Journal => std::io::stderr().lock().write_all(text.as_bytes()),
            Self::Plain => std::io::stdout().lock().write_all(text.as_bytes()),
        };
    }

    fn format(self, severity: u8, message: &str) -> String {
        let prefix = match self {
            Self::Journal => format!("<{severity}>"),
            Self::Plain => String::new(),
        };
        let lines = message.lines();
        lines.map(|line| format!("{prefix}{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_message_has_its_severity_in_the_journal() {
        assert_eq!(Sink::Journal.format(5, "a\nb"), "<5>a\n<5>b\n");
        assert_eq!(Sink::Plain.format(5, "a\nb"), "a\nb\n");
    }
}
