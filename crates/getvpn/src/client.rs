//! `getvpn exec` and `getvpn cli`: the other end of the control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustyline::error::ReadlineError;
use serde_json::{Value, json};

use crate::control::{Status, VERSION};
use crate::limits::CONTROL_ANSWER_WAIT;

/// Exit status of a command that was done.
pub(crate) const DONE: u8 = 0;
/// Exit status of a command that the box refused.
pub(crate) const REFUSED: u8 = 1;

/// A connection to a running box, which is one session.
struct Client {
    stream: BufReader<UnixStream>,
    interactive: bool,
}

struct Answer {
    status: Status,
    text: String,
    prompt: String,
    closes: bool,
}

impl Client {
    fn connect(socket: &Path, interactive: bool) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| {
            let socket = socket.display();
            format!("cannot reach getvpn at {socket} (is `getvpn run` running there?)")
        })?;
        stream.set_read_timeout(Some(CONTROL_ANSWER_WAIT))?;
        Ok(Self {
            stream: BufReader::new(stream),
            interactive,
        })
    }

    fn ask(&mut self, command: &str) -> Result<Answer> {
        let request = json!({
            "v": VERSION,
            "command": command,
            "interactive": self.interactive,
        });
        let lost = "getvpn went away";
        self.stream
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .context(lost)?;
        let mut line = String::new();
        self.stream.read_line(&mut line).context(lost)?;
        if line.is_empty() {
            bail!(lost);
        }
        let answer: Value = serde_json::from_str(&line).context("not an answer of getvpn")?;
        let text = |name: &str| {
            let value = answer.get(name).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let status = match text("status").as_str() {
            "ok" => Status::Ok,
            "refused" => Status::Refused,
            _ => Status::Error,
        };
        Ok(Answer {
            status,
            text: text("text"),
            prompt: text("prompt"),
            closes: answer
                .get("closes")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        })
    }
}

/// `getvpn exec`: the exit status.
///
/// # Errors
/// The box cannot be reached.
pub(crate) fn exec(socket: &Path, command: &str) -> Result<u8> {
    let answer = Client::connect(socket, false)?.ask(command)?;
    match answer.status {
        Status::Ok | Status::Refused => print(&answer.text)?,
        Status::Error => bail!("{}", answer.text),
    }
    Ok(match answer.status {
        Status::Ok => DONE,
        Status::Refused | Status::Error => REFUSED,
    })
}

/// The text of the answer to one command.
///
/// # Errors
/// The box cannot be reached, or refuses.
pub(crate) fn ask(socket: &Path, command: &str) -> Result<String> {
    let answer = Client::connect(socket, false)?.ask(command)?;
    match answer.status {
        Status::Ok => Ok(answer.text),
        Status::Refused | Status::Error => bail!("`{command}`: {}", answer.text.trim()),
    }
}

/// `getvpn cli`: lines until the session closes, the input ends or the box goes away.
///
/// # Errors
/// The box cannot be reached, or went away.
pub(crate) fn cli(socket: &Path) -> Result<u8> {
    let mut client = Client::connect(socket, true)?;
    let mut editor = rustyline::DefaultEditor::new().context("cannot use the terminal")?;
    let mut prompt = client.ask("")?.prompt;
    let mut is_asked = false;
    loop {
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            // As on a console: the line is given up.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(DONE),
            Err(error) => return Err(error).context("cannot read a line"),
        };
        if !is_asked && is_kept(&line) {
            editor.add_history_entry(&line)?;
        }
        let answer = client.ask(&line)?;
        is_asked = answer.prompt.is_empty();
        if answer.closes {
            print(&answer.text)?;
            return Ok(DONE);
        }
        prompt = if answer.prompt.is_empty() {
            // A question: its text stands before what is typed next.
            answer.text
        } else {
            print(&answer.text)?;
            answer.prompt
        };
    }
}

/// Whether a line goes into the history: one that may hold a secret does not, complete or not.
fn is_kept(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| *word == "do");
    let Some(first) = words.next() else {
        return false;
    };
    let is_key = |word: &str| word.starts_with('k') && "key".starts_with(word);
    !(first.starts_with("cr") && words.take(2).any(is_key))
}

/// To standard output, with one line end. A reader that has seen enough is no error.
fn print(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_may_hold_a_secret_are_not_kept() {
        for line in [
            "crypto key export rsa get pem terminal aes secret-phrase",
            "  cry k imp rsa get pem terminal secret-phrase",
            "do crypto key export rsa get pem",
            "crypto isakmp key secret address 10.1.1.1",
            "",
        ] {
            assert!(!is_kept(line), "{line}");
        }
        for line in [
            "show crypto key mypubkey rsa",
            "crypto gdoi group G1",
            "crypto isakmp keepalive 10",
            "do show crypto gdoi",
            "configure terminal",
        ] {
            assert!(is_kept(line), "{line}");
        }
    }
}
