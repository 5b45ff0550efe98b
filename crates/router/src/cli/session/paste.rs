//! The text of a key that an operator pastes, in IOS's dialogue: the public key, then the private.

use super::{Operated, Reply};
use crate::key_pairs::KeyImport;

/// A key whose lines are coming.
pub(super) struct Paste {
    import: KeyImport,
    text: String,
    is_private: bool,
}

/// What becomes of a line.
pub(super) enum Pasted {
    /// More lines are to come.
    More(Paste, Reply),
    /// It is done.
    Done(Reply),
}

const PUBLIC: &str = "% Enter PEM-formatted public General Purpose key or certificate.\n\
                      % End with a blank line or \"quit\" on a line by itself.\n";
const PRIVATE: &str = "% Enter PEM-formatted encrypted private General Purpose key.\n\
                       % End with \"quit\" on a line by itself.\n";

impl Paste {
    pub(super) fn begin(import: KeyImport) -> (Self, Reply) {
        let begun = Self {
            import,
            text: String::new(),
            is_private: false,
        };
        (begun, Reply::done(PUBLIC))
    }

    pub(super) fn line(mut self, host: &mut dyn Operated, line: &str) -> Pasted {
        let line = line.trim();
        let ends = line == "quit" || (line.is_empty() && !self.is_private);
        if ends && !self.is_private {
            self.is_private = true;
            return Pasted::More(self, Reply::done(PRIVATE));
        }
        if ends {
            return Pasted::Done(match host.import_key(&self.import, &self.text) {
                Ok(()) => Reply::done("% Key pair import succeeded.\n"),
                Err(refusal) => Reply::refusal(refusal),
            });
        }
        // Whoever pastes a whole export does not stop between its blocks.
        self.is_private |= line.starts_with("-----BEGIN") && line.contains("PRIVATE KEY");
        self.text.push_str(line);
        self.text.push('\n');
        if self.text.len() > crypto::pem::LEN_MAX {
            return Pasted::Done(Reply::refused("% That is too long for a key\n"));
        }
        Pasted::More(self, Reply::done(""))
    }
}
