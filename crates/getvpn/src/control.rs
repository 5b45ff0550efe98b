//! The control socket: one JSON object per line, each way, on a Unix socket.
//!
//! `{"v":1,"command":"show crypto gdoi"}` is answered by
//! `{"v":1,"status":"ok|refused|error","text":...,"json":...,"prompt":...}`. A connection is a session:
//! a mode that a command enters lasts for the next, and `"interactive":true` in its first request
//! says that a person types. `"closes":true` in an answer ends it. Who may connect: root, the process's own user,
//! and members of the group `getvpn`. Decides nothing about commands.

use std::fs::Permissions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::limits::{CONTROL_CLIENTS_MAX, CONTROL_LINE_MAX};

/// Version of the protocol.
pub(crate) const VERSION: u64 = 1;
const GROUP: &str = "getvpn";

/// How a command ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Done.
    Ok,
    /// The box refused; the text is IOS's.
    Refused,
    /// The request was no request.
    Error,
}

impl Status {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    /// What is printed.
    pub(crate) text: String,
    /// The same for programs, if the command has it.
    pub(crate) json: Value,
    /// What stands before the next line, for example `KS1#`; empty after a question.
    pub(crate) prompt: String,
    /// Whether the session is over.
    pub(crate) closes: bool,
}

impl Answer {
    /// What the box replied, and what stands before the next line.
    pub(crate) fn new(reply: router::Reply, prompt: String) -> Self {
        Self {
            status: match reply.status {
                router::Status::Done => Status::Ok,
                router::Status::Refused => Status::Refused,
                router::Status::Error => Status::Error,
            },
            text: reply.text,
            json: reply.json.unwrap_or(Value::Null),
            prompt,
            closes: reply.closes,
        }
    }

    fn error(text: impl Into<String>) -> Self {
        Self {
            status: Status::Error,
            text: text.into(),
            json: Value::Null,
            prompt: String::new(),
            closes: false,
        }
    }

    fn line(&self) -> String {
        let object = json!({
            "v": VERSION,
            "status": self.status.word(),
            "text": self.text,
            "json": self.json,
            "prompt": self.prompt,
            "closes": self.closes,
        });
        format!("{object}\n")
    }
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The command.
    pub(crate) text: String,
    /// A person types it, who sees a prompt and answers questions (`"interactive":true`).
    pub(crate) interactive: bool,
}

/// What clients want of the box.
pub(crate) enum Request {
    /// Does a command in a session.
    Command {
        /// The session, made by its first command.
        session: u64,
        /// Who asks, for the log: `uid 0 by the control socket`.
        by: String,
        /// The line, and whether a person types it.
        line: Line,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// The client is gone.
    End {
        /// Its session.
        session: u64,
    },
}

/// The listening socket; its file goes with it.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    group: Option<u32>,
}

impl Control {
    /// Listens at `path`, in place of what a dead process left there.
    ///
    /// # Errors
    /// Another process listens there, or the folder cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let context = || format!("cannot listen at {}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(context)?;
        }
        if path.exists() {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                bail!(
                    "another getvpn listens at {}: give --socket",
                    path.display()
                );
            }
            std::fs::remove_file(path).with_context(context)?;
        }
        let listener = UnixListener::bind(path).with_context(context)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).with_context(context)?;
        let group = group_id(
            &std::fs::read_to_string("/etc/group").unwrap_or_default(),
            GROUP,
        );
        // Without the right to give the file away it stays with its owner, who is let in anyway.
        let group = group.filter(|group| chown(path, None, Some(*group)).is_ok());
        if group.is_some() {
            std::fs::set_permissions(path, Permissions::from_mode(0o660)).with_context(context)?;
        }
        Ok(Self {
            listener,
            path: path.to_owned(),
            group,
        })
    }

    /// Serves clients for ever.
    pub(crate) async fn serve(self, requests: mpsc::Sender<Request>) {
        let places = std::sync::Arc::new(tokio::sync::Semaphore::new(CONTROL_CLIENTS_MAX));
        let mut next_session = 0;
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, most likely: others must go first.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let requests = requests.clone();
            let place = std::sync::Arc::clone(&places).try_acquire_owned();
            let group = self.group;
            next_session += 1;
            let session = next_session;
            tokio::spawn(async move {
                // A client that goes away in the middle is no error of ours.
                let _ = match place {
                    Ok(_place) => client(stream, group, session, &requests).await,
                    Err(_) => refuse(stream, "too many clients").await,
                };
                let _ = requests.send(Request::End { session }).await;
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It is in nobody's way: the next start replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn refuse(mut stream: UnixStream, why: &str) -> io::Result<()> {
    stream.write_all(Answer::error(why).line().as_bytes()).await
}

async fn client(
    stream: UnixStream,
    group: Option<u32>,
    session: u64,
    requests: &mpsc::Sender<Request>,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let own = netio::effective_user();
    let allowed = peer.uid() == 0
        || peer.uid() == own
        || group.is_some_and(|group| {
            peer.gid() == group
                || netio::peer_groups(stream.as_fd()).is_ok_and(|all| all.contains(&group))
        });
    if !allowed {
        let why = format!(
            "uid {} is neither root nor in the group {GROUP}",
            peer.uid()
        );
        return refuse(stream, &why).await;
    }
    let by = format!("uid {} by the control socket", peer.uid());
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    while let Some(line) = next_line(&mut from).await? {
        // It may hold a passphrase.
        let line = crypto::Secret::new(line);
        let answer = match command(line.expose()) {
            Ok(line) => {
                let (answer, answered) = oneshot::channel();
                let request = Request::Command {
                    session,
                    by: by.clone(),
                    line,
                    answer,
                };
                if requests.send(request).await.is_err() {
                    return Ok(());
                }
                match answered.await {
                    Ok(answer) => answer,
                    Err(_) => return Ok(()),
                }
            }
            Err(why) => Answer::error(why),
        };
        to.write_all(answer.line().as_bytes()).await?;
        if answer.closes {
            break;
        }
    }
    Ok(())
}

/// The next line without its end; an end of file in the middle of a line is an end.
async fn next_line(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = u64::try_from(CONTROL_LINE_MAX).expect("a small limit");
    from.take(most).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() + 1 == CONTROL_LINE_MAX => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the line is too long",
        )),
        Some(_) | None => Ok(None),
    }
}

fn command(line: &[u8]) -> Result<Line, String> {
    let mut value: Value =
        serde_json::from_slice(line).map_err(|error| format!("not a JSON object: {error}"))?;
    match value.get("v").and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(other) => return Err(format!("version {other} is not spoken here: expected 1")),
        None => return Err("expected \"v\":1".to_owned()),
    }
    let interactive = value.get("interactive").and_then(Value::as_bool);
    match value.get_mut("command").map(Value::take) {
        Some(Value::String(text)) if !text.contains(['\n', '\r']) => Ok(Line {
            text,
            interactive: interactive.unwrap_or(false),
        }),
        Some(Value::String(_)) => Err("a command is one line".to_owned()),
        Some(_) | None => Err("expected \"command\":\"...\"".to_owned()),
    }
}

/// The number of a group, from the text of `/etc/group`.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        fields.nth(1)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_others_are_told_what_was_expected() {
        let read = |line: &str| command(line.as_bytes());
        let show = read(r#"{"v":1,"command":"show crypto gdoi"}"#).unwrap();
        assert_eq!(
            (show.text.as_str(), show.interactive),
            ("show crypto gdoi", false)
        );
        assert!(
            read(r#"{"v":1,"command":"","interactive":true}"#)
                .unwrap()
                .interactive
        );
        for (line, expected) in [
            ("show crypto gdoi", "not a JSON object"),
            (r#"{"command":"x"}"#, "expected \"v\":1"),
            (r#"{"v":2,"command":"x"}"#, "version 2"),
            (r#"{"v":1}"#, "expected \"command\""),
            (r#"{"v":1,"command":"a\nb"}"#, "one line"),
        ] {
            assert!(read(line).unwrap_err().contains(expected), "{line}");
        }
    }

    #[test]
    fn the_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\ngetvpn-other:x:7:\ngetvpn:x:990:alice\n";
        assert_eq!(group_id(groups, "getvpn"), Some(990));
        assert_eq!(group_id(groups, "get"), None);
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    async fn ask(stream: &mut BufReader<UnixStream>, line: &[u8]) -> Value {
        stream.write_all(line).await.unwrap();
        let mut answer = String::new();
        stream.read_line(&mut answer).await.unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    #[test]
    fn many_clients_are_answered_each_in_its_session() {
        let path = std::env::temp_dir().join(format!("getvpn-control-{}", std::process::id()));
        runtime().block_on(async {
            std::fs::write(&path, b"left behind").unwrap();
            let control = Control::open(&path).unwrap();
            assert!(Control::open(&path).is_err());
            let (sender, mut requests) = mpsc::channel(4);
            let server = tokio::spawn(control.serve(sender));
            let box_ = tokio::spawn(async move {
                let mut ended = 0;
                while let Some(request) = requests.recv().await {
                    match request {
                        Request::Command {
                            session,
                            line,
                            answer,
                            ..
                        } => {
                            let answered = answer.send(Answer {
                                status: Status::Ok,
                                text: format!("{session}:{}", line.text),
                                json: Value::Null,
                                prompt: "R#".into(),
                                closes: false,
                            });
                            answered.unwrap();
                        }
                        Request::End { .. } => {
                            ended += 1;
                            if ended == 3 {
                                return;
                            }
                        }
                    }
                }
            });
            let mut one = BufReader::new(UnixStream::connect(&path).await.unwrap());
            let mut two = BufReader::new(UnixStream::connect(&path).await.unwrap());
            let request = b"{\"v\":1,\"command\":\"a\"}\n";
            // Session 1 was the look whether somebody listens here already.
            assert_eq!(ask(&mut one, request).await["text"], "2:a");
            let answer = ask(&mut two, request).await;
            assert_eq!(answer["text"], "3:a");
            assert_eq!(answer["status"], "ok");
            assert_eq!(ask(&mut one, b"what\n").await["status"], "error");
            assert_eq!(ask(&mut one, request).await["prompt"], "R#");
            // A line without end is cut off.
            two.write_all(&vec![b'x'; CONTROL_LINE_MAX + 1])
                .await
                .unwrap();
            let mut rest = Vec::new();
            let _ = two.read_to_end(&mut rest).await;
            assert!(rest.is_empty());
            drop(one);
            box_.await.unwrap();
            server.abort();
        });
        let _ = std::fs::remove_file(&path);
    }
}
