//! The client of a router's control socket: one JSON object per line, each way. Decides how long
//! an answer is awaited.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::limits::COMMAND_MAX;

/// Version of the protocol.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Request<'a> {
    v: u32,
    command: &'a str,
}

#[derive(Deserialize)]
struct Reply {
    v: u32,
    status: String,
    #[serde(default)]
    text: String,
}

/// What a router said to a command.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// It obeyed; otherwise `text` says why not.
    pub(crate) accepted: bool,
    /// The text for people.
    pub(crate) text: String,
}

/// Lets the router at `socket` do a command.
///
/// # Errors
/// The router cannot be reached, or does not answer in this protocol.
pub(crate) fn exec(socket: &Path, command: &str) -> Result<Answer> {
    ask(&mut open(socket)?, socket, command)
}

/// Types lines into one session of the router at `socket`; what it said to all of them.
///
/// # Errors
/// The router cannot be reached, or does not answer in this protocol.
pub(crate) fn session<'a>(socket: &Path, lines: impl Iterator<Item = &'a str>) -> Result<String> {
    let mut stream = open(socket)?;
    let mut said = String::new();
    for line in lines {
        said.push_str(&ask(&mut stream, socket, line)?.text);
    }
    Ok(said)
}

fn open(socket: &Path) -> Result<UnixStream> {
    let context = || format!("{}", socket.display());
    let stream = UnixStream::connect(socket).with_context(context)?;
    stream.set_read_timeout(Some(COMMAND_MAX))?;
    stream.set_write_timeout(Some(COMMAND_MAX))?;
    Ok(stream)
}

fn ask(stream: &mut UnixStream, socket: &Path, command: &str) -> Result<Answer> {
    let context = || format!("{}", socket.display());
    let mut request = serde_json::to_string(&Request {
        v: VERSION,
        command,
    })?;
    request.push('\n');
    stream.write_all(request.as_bytes()).with_context(context)?;
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .with_context(context)?;
    let reply: Reply = serde_json::from_str(&line)
        .with_context(|| format!("{}: no answer of the protocol: {line:?}", socket.display()))?;
    if reply.v != VERSION {
        bail!(
            "{}: speaks version {}, expected {VERSION}",
            socket.display(),
            reply.v
        );
    }
    Ok(Answer {
        accepted: reply.status == "ok",
        text: reply.text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_refusal_is_an_answer_and_a_foreign_line_is_a_fault() {
        let dir = std::env::temp_dir().join(format!("getvpn-lab-control-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let socket = dir.join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let replies = [
                "{\"v\":1,\"status\":\"ok\",\"text\":\"done\",\"json\":{\"a\":1}}\n",
                "{\"v\":1,\"status\":\"refused\",\"text\":\"% no\",\"json\":null}\n",
                "hello\n",
                "{\"v\":2,\"status\":\"ok\"}\n",
            ];
            for reply in replies {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                assert_eq!(line, "{\"v\":1,\"command\":\"show x\"}\n");
                reader.get_mut().write_all(reply.as_bytes()).unwrap();
            }
        });
        let done = exec(&socket, "show x").unwrap();
        assert!(done.accepted && done.text == "done");
        let refused = exec(&socket, "show x").unwrap();
        assert!(!refused.accepted && refused.text == "% no");
        assert!(exec(&socket, "show x").is_err());
        assert!(exec(&socket, "show x").is_err());
        server.join().unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
