//! The loop around the box: hands in what happens, and obeys its effects in their order.
//!
//! One thread. It decides nothing about groups; the order of effects and the barrier of the disk
//! are the box's (`router::Outbox`).

use std::collections::{BTreeMap, VecDeque};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use arc_swap::ArcSwapOption;
use crypto::Secret;
use crypto::key_pair::Size;
use gdoi::BootId;
use gdoi::machine::Record;
use netio::clock::Clocks;
use netio::link::{self, Monitor};
use netio::netlink::Socket;
use netio::{Wait, clock};
use router::{Boot, BootError, Input, Kind, Output, Router, Session};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::control::{self, Control, Request};
use crate::datagrams::Datagrams;
use crate::forward::{Forwarder, Published, Report};
use crate::key_files;
use crate::key_pairs;
use crate::keylog::KeyLog;
use crate::limits::{
    CONTROL_QUEUE, GATHER, GATHERED, INTERFACES_SETTLE, REPORT_QUEUE, WAKE_MAX, WORKERS,
};
use crate::logging::Sink;
use crate::ports::Ports;
use crate::resumption::{self, Pending, Resumption};
use crate::seal::Sealer;
use crate::service::Service;
use crate::storage::{Batch, Done, Folder, Writer};

/// What `getvpn run` was told.
pub(crate) struct Setup {
    pub(crate) config: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) seal_key: Option<PathBuf>,
    pub(crate) keylog: Option<PathBuf>,
}

/// The configuration has errors; they have been written.
#[derive(Debug)]
pub(crate) struct BadConfig;

impl std::fmt::Display for BadConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the configuration has errors")
    }
}

impl std::error::Error for BadConfig {}

/// Runs a box until a signal ends it.
///
/// # Errors
/// Why it could not start or go on; the steering is closed then.
pub(crate) fn run(setup: &Setup) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut world, sources) = World::start(setup)?;
        world.obey()?;
        world.service.ready();
        let result = world.turn(sources).await;
        world.service.stopping();
        result
    })
}

/// The kernel's interfaces, as the box knows them.
pub(crate) fn interfaces(netlink: &mut Socket) -> Result<Vec<router::Interface>> {
    let all = link::interfaces(netlink).context("cannot list interfaces")?;
    let known = all.into_iter().map(|one| router::Interface {
        name: one.name,
        alias: one.alias,
        index: one.index,
        mac: one.mac,
        mtu: one.mtu,
        addresses: one.addresses,
    });
    Ok(known.collect())
}

/// What a box is made of.
///
/// # Errors
/// The configuration file cannot be read.
fn boot(setup: &Setup, interfaces: Vec<router::Interface>, restored: Vec<Record>) -> Result<Boot> {
    let config_name = setup.config.display().to_string();
    let config = std::fs::read_to_string(&setup.config)
        .with_context(|| format!("cannot read {config_name}"))?;
    let folder = setup.keylog.as_ref();
    Ok(Boot {
        config,
        config_name,
        seed: seed()?,
        keylog: folder.map(|folder| folder.display().to_string()),
        boot: BootId(clock::boot_id().context("cannot read the number of this boot")?),
        restored,
        interfaces,
        workers: WORKERS,
        version: env!("CARGO_PKG_VERSION"),
        now: clock::now(),
        wall: clock::wall(),
    })
}

/// A key pair that was made.
struct MadeKey {
    label: String,
    kind: crypto::key_pair::Kind,
    exportable: bool,
    pkcs8: Result<Secret>,
}

/// Where things that happen come from.
struct Sources {
    done: mpsc::UnboundedReceiver<Done>,
    requests: mpsc::Receiver<Request>,
    reports: mpsc::Receiver<Report>,
    keys: mpsc::UnboundedReceiver<MadeKey>,
    changes: mpsc::Receiver<()>,
    images: Option<mpsc::Receiver<()>>,
}

/// What ends a wait.
enum Happening {
    /// Those that came at once are with the sockets.
    Datagrams,
    Done(Done),
    Request(Request),
    Report(Report),
    MadeKey(MadeKey),
    Interfaces,
    /// Time passed, or the machine was resumed.
    Woken,
}

/// The box and all that obeys it. Fields are dropped in this order: what forwards goes before what
/// writes, and the writer waits for the disk.
struct World {
    config: PathBuf,
    state: PathBuf,
    clocks: Clocks,
    router: Router,
    sessions: BTreeMap<u64, Session>,
    /// Answers to orders that are not on disk yet, with the number of the write that they wait for.
    answers: VecDeque<(u64, oneshot::Sender<control::Answer>, control::Answer)>,
    ports: Ports,
    forwarder: Forwarder,
    datagrams: Datagrams,
    published: Published,
    resumption: Arc<Resumption>,
    /// A resumption whose answer has not reached the forwarding threads yet.
    answering: Option<Pending>,
    keylog: Option<KeyLog>,
    sink: Sink,
    service: Service,
    netlink: Socket,
    interfaces: Vec<router::Interface>,
    /// Why a port is not steered that should be; empty if all are.
    unsteered: String,
    made_keys: mpsc::UnboundedSender<MadeKey>,
    server: tokio::task::JoinHandle<()>,
    writer: Writer,
    _folder: Folder,
}

impl World {
    fn start(setup: &Setup) -> Result<(Self, Sources)> {
        let folder = Folder::open(&setup.state)?;
        let sealer = setup.seal_key.as_deref().map(Sealer::read).transpose()?;
        let (store, restored) = folder.load(sealer)?;
        let keylog = setup.keylog.as_deref().map(KeyLog::open).transpose()?;
        let mut netlink = Socket::open().context("cannot speak to the kernel by netlink")?;
        // Before the list: what changes after it is heard.
        let changes = watch_interfaces()?;
        let interfaces = interfaces(&mut netlink)?;
        let router = Router::new(boot(setup, interfaces.clone(), restored)?)
            .map_err(|error| explain(error, &setup.state))?;
        let (said, done) = mpsc::unbounded_channel();
        let (asked, requests) = mpsc::channel(CONTROL_QUEUE);
        let (reported, reports) = mpsc::channel(REPORT_QUEUE);
        let (made_keys, keys) = mpsc::unbounded_channel();
        let published: Published = Arc::new(ArcSwapOption::empty());
        let resumption = Resumption::now();
        let control = Control::open(&setup.socket)?;
        let world = Self {
            config: setup.config.clone(),
            state: setup.state.clone(),
            clocks: Clocks::default(),
            router,
            sessions: BTreeMap::new(),
            answers: VecDeque::new(),
            ports: Ports::new()?,
            forwarder: Forwarder::start(&published, &resumption, seed()?, reported)?,
            datagrams: Datagrams::default(),
            published,
            resumption,
            answering: None,
            keylog,
            sink: Sink::find(),
            service: Service::find(),
            netlink,
            interfaces,
            unsteered: String::new(),
            made_keys,
            server: tokio::spawn(control.serve(asked)),
            writer: Writer::start(store, said)?,
            _folder: folder,
        };
        // Not every kernel tells, and the clocks do without.
        let images = resumption::watch(&world.resumption)
            .map_err(|error| world.complain(&error))
            .ok();
        let sources = Sources {
            done,
            requests,
            reports,
            keys,
            changes,
            images,
        };
        Ok((world, sources))
    }

    /// Hands in what happens until a signal comes.
    async fn turn(&mut self, mut sources: Sources) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            let (mut pause, left) = (false, self.until_deadline());
            let happening = tokio::select! {
                count = self.datagrams.receive() => {
                    pause = GATHERED.contains(&count);
                    Happening::Datagrams
                }
                Some(done) = sources.done.recv() => Happening::Done(done),
                Some(request) = sources.requests.recv() => Happening::Request(request),
                Some(report) = sources.reports.recv() => Happening::Report(report),
                Some(key) = sources.keys.recv() => Happening::MadeKey(key),
                Some(()) = sources.changes.recv() => Happening::Interfaces,
                Some(()) = heard(sources.images.as_mut()) => Happening::Woken,
                () = tokio::time::sleep(left) => Happening::Woken,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            };
            self.answer_resumption()?;
            self.happen(happening)?;
            if self
                .router
                .deadline()
                .is_some_and(|deadline| deadline <= clock::now())
            {
                self.handle(Input::Timer);
            }
            self.obey()?;
            self.service.alive();
            if pause {
                std::thread::sleep(GATHER);
            }
        }
        self.server.abort();
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<()> {
        match happening {
            Happening::Datagrams => self.arrived(),
            Happening::Done(done) => self.written(done?),
            Happening::Request(request) => self.request(request),
            Happening::Report(report) => self.report(report)?,
            Happening::MadeKey(key) => self.key_made(key),
            Happening::Interfaces => self.interfaces_changed()?,
            Happening::Woken => {}
        }
        Ok(())
    }

    /// Drops what a copy of this memory may hold too, if there may be one, before anything else
    /// happens. The forwarding threads pass nothing until [`Self::obey`] has nothing left of it.
    //= getvpn P21
    fn answer_resumption(&mut self) -> Result<()> {
        if self.answering.is_none()
            && let Some(pending) = self.resumption.pending()
        {
            self.handle(Input::Resumed { seed: seed()? });
            self.answering = Some(pending);
        }
        Ok(())
    }

    /// How long nothing is due. Never long: the deadline counts through a suspend, a timer of the
    /// kernel does not.
    fn until_deadline(&self) -> Duration {
        let deadline = self.router.deadline();
        let left = deadline.map_or(WAKE_MAX, |deadline| clock::now().until(deadline));
        left.min(WAKE_MAX).min(self.service.patience())
    }

    fn handle(&mut self, input: Input<'_>) {
        let (now, wall) = self.clocks.read();
        self.router.handle(now, wall, input);
    }

    /// Hands in what came at once, which is soon done, as of one moment.
    fn arrived(&mut self) {
        let (now, wall) = self.clocks.read();
        for (local, peer, bytes) in self.datagrams.arrived() {
            let input = Input::Datagram { local, peer, bytes };
            self.router.handle(now, wall, input);
        }
    }

    fn request(&mut self, request: Request) {
        let (now, wall) = self.clocks.read();
        match request {
            Request::Command {
                session,
                by,
                line,
                answer,
            } => {
                let kind = if line.interactive {
                    Kind::Interactive
                } else {
                    Kind::Commands
                };
                let open = || Session::new(by, kind);
                let session = self.sessions.entry(session).or_insert_with(open);
                let (rows, _) = self.router.unwritten();
                let reply = self.router.session_line(now, wall, session, &line.text);
                let prompt = session.prompt(&self.router);
                // It may hold a passphrase.
                drop(Secret::new(line.text.into_bytes()));
                let reply = control::Answer::new(reply, prompt);
                match self.router.unwritten() {
                    (with_it, number) if with_it > rows => {
                        self.answers.push_back((number, answer, reply));
                    }
                    // The client may have gone.
                    _ => drop(answer.send(reply)),
                }
            }
            Request::End { session } => {
                if let Some(mut session) = self.sessions.remove(&session) {
                    self.router.session_close(now, wall, &mut session);
                }
            }
        }
    }

    /// Rows are on disk, and with them what operators ordered until then: now they are told so.
    fn written(&mut self, number: u64) {
        self.handle(Input::Persisted(number));
        while let Some((_, answer, reply)) = self.answers.pop_front_if(|own| own.0 <= number) {
            // The client may have gone.
            drop(answer.send(reply));
        }
    }

    fn report(&mut self, report: Report) -> Result<()> {
        match report {
            Report::Notices(notices) => self.handle(Input::Notices(notices)),
            Report::Fault(error) => return Err(error),
        }
        Ok(())
    }

    fn key_made(&mut self, key: MadeKey) {
        match key.pkcs8 {
            Ok(pkcs8) => self.handle(Input::KeyPair {
                label: key.label,
                kind: key.kind,
                exportable: key.exportable,
                pkcs8,
            }),
            Err(error) => self.complain(&error),
        }
    }

    fn interfaces_changed(&mut self) -> Result<()> {
        let interfaces = interfaces(&mut self.netlink)?;
        if interfaces != self.interfaces {
            self.interfaces.clone_from(&interfaces);
            self.handle(Input::Interfaces(interfaces));
            // The addresses that are missing are known already.
            self.datagrams.rejoin();
        }
        let refreshed = self.ports.refresh(&mut self.forwarder);
        self.steered(refreshed)
    }

    /// Obeys the effects that may happen now, in their order.
    fn obey(&mut self) -> Result<()> {
        while let Some(output) = self.router.next_output() {
            if !matches!(output, Output::Transmit { .. }) {
                self.datagrams.flush();
            }
            match output {
                Output::Transmit { local, peer, bytes } => {
                    self.datagrams.post(local, peer, bytes);
                }
                Output::Multicast {
                    local,
                    group,
                    ttl,
                    bytes,
                } => self.datagrams.send_multicast(local, group, ttl, &bytes),
                Output::Join { group, interface } => {
                    for (address, error) in self.datagrams.join(group, interface) {
                        self.complain(&anyhow!("cannot hear rekeys to {address}: {error}"));
                    }
                }
                Output::Leave { group, interface } => self.datagrams.leave(group, interface),
                Output::Persist { number, records } => {
                    self.writer.write(Batch { number, records });
                }
                Output::Listen(addresses) => {
                    for (address, error) in self.datagrams.listen(addresses) {
                        self.complain(&anyhow!("cannot listen at {address} port 848: {error}"));
                    }
                }
                Output::Publish(snapshot) => self.published.store(Some(snapshot)),
                Output::Steer(plans) => self.steer(plans)?,
                Output::Log { severity, line } => self.sink.write(severity, &line),
                Output::SaveConfig(text) => {
                    if let Err(error) = save(&self.config, &text) {
                        self.complain(&error);
                    }
                }
                Output::KeyLog(line) => {
                    if let Some(keylog) = &mut self.keylog {
                        keylog.write(&line)?;
                    }
                }
                Output::GenerateKeyPair {
                    label,
                    size,
                    exportable,
                } => self.make_key(label, size, exportable),
                Output::WriteKey { name, pem } => {
                    if let Err(error) = key_files::write(&self.state, &name, &pem) {
                        self.complain(&error);
                    }
                }
                Output::ReadKey { name, import } => {
                    let text = key_files::read(&self.state, &name);
                    let text = text.map_err(|error| format!("{error:#}"));
                    self.handle(Input::KeyFile { import, text });
                }
            }
        }
        self.datagrams.flush();
        if self.router.is_idle()
            && let Some(pending) = self.answering.take()
        {
            self.resumption.answered(pending);
        }
        Ok(())
    }

    /// A port that cannot be steered ends the program before it has ever worked, so that nobody
    /// believes in a protection that is not there; afterwards it is said and tried again.
    fn steer(&mut self, plans: Vec<policy::steer::Plan>) -> Result<()> {
        let result = self.ports.steer(plans, &mut self.forwarder);
        self.steered(result)
    }

    fn steered(&mut self, result: Result<()>) -> Result<()> {
        let unsteered = match result {
            Ok(()) => String::new(),
            Err(error) if !self.service.is_ready() => return Err(error),
            Err(error) => format!("{error:#}"),
        };
        // Said once, not with every change of an interface.
        if unsteered != self.unsteered && !unsteered.is_empty() {
            self.complain(&anyhow!("{unsteered}"));
        }
        self.unsteered = unsteered;
        Ok(())
    }

    fn make_key(&self, label: String, size: Size, exportable: bool) {
        let made = self.made_keys.clone();
        tokio::task::spawn_blocking(move || {
            let pkcs8 = key_pairs::generate(size);
            // The loop may have ended.
            let _ = made.send(MadeKey {
                label,
                kind: size.kind(),
                exportable,
                pkcs8,
            });
        });
    }

    /// Says what went wrong outside of the box.
    fn complain(&self, error: &anyhow::Error) {
        const ERROR: u8 = 3;
        self.sink.write(ERROR, &format!("getvpn: {error:#}"));
    }
}

/// Makes `text` the configuration file, as a whole or not at all.
fn save(path: &Path, text: &str) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    // A link stays one: what it points to is replaced.
    let path = path.canonicalize().with_context(context)?;
    let mut beside = path.clone().into_os_string();
    beside.push(".new");
    // Who could read the old one can read the new one, and nobody else at any time.
    let permissions = path.metadata().with_context(context)?.permissions();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    file.set_permissions(permissions).with_context(context)?;
    file.sync_all().with_context(context)?;
    std::fs::rename(&beside, &path).with_context(context)
}

/// What comes from a source that may not be there.
async fn heard(source: Option<&mut mpsc::Receiver<()>>) -> Option<()> {
    match source {
        Some(source) => source.recv().await,
        None => None,
    }
}

/// Says when interfaces or addresses change; several changes in a row are said once.
fn watch_interfaces() -> Result<mpsc::Receiver<()>> {
    let mut monitor = Monitor::open().context("cannot hear of changed interfaces")?;
    let (changed, changes) = mpsc::channel(1);
    let watch = move || {
        while netio::poll(&mut [Wait::for_input(monitor.as_fd())], None).is_ok() {
            std::thread::sleep(INTERFACES_SETTLE);
            if !monitor.changed().unwrap_or(false) {
                continue;
            }
            match changed.try_send(()) {
                // Full: that there was a change is known already.
                Ok(()) | Err(TrySendError::Full(())) => {}
                Err(TrySendError::Closed(())) => return,
            }
        }
    };
    std::thread::Builder::new()
        .name("interfaces".into())
        .spawn(watch)
        .context("cannot start a thread")?;
    Ok(changes)
}

pub(crate) fn seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(seed)
}

/// Why a box does not start, for people; errors of the configuration are written at once.
fn explain(error: BootError, state: &Path) -> anyhow::Error {
    match error {
        BootError::Config(diagnostics) => {
            crate::write_diagnostics(&diagnostics);
            BadConfig.into()
        }
        BootError::State(why) => anyhow!(
            "the rows in {} cannot be understood: {why}. They may be of another version: move the \
             folder away to start without them",
            state.display()
        ),
    }
}
