//! The composition: what comes in goes to the machine it is for, what comes out goes on in order.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::panic::Location;
use std::sync::Arc;

use crypto::{Rng, Secret, SeededRng};
use dataplane::{Control, Notice, Update};
use event::trace::{Buffer, Place};
use event::{Event, Step, Sys};
use gdoi::machine::{self, Command, Record};
use gdoi::{BootId, Machine};

use policy::steer::Plan;
use policy::{Acl, GroupName, Time, WallClock};

use crate::cli::session::{Kind, Operated, Reply, Session};
use crate::config::{self, Config, Diagnostic, Origins, Refusal, Target};
use crate::event_trace::EventTraces;
use crate::interface::Interface;
use crate::key_pairs::{KeyExport, KeyImport};
use crate::logging::Logging;
use crate::notices;
use crate::outbox::{Outbox, Output};
use crate::show::Context;
use crate::show::machines::{Machines, Traffic};
use crate::show::monitor::event_trace::Seen;
use crate::steering;

/// What a box is made of.
pub struct Boot {
    /// The configuration, IOS text.
    pub config: String,
    /// What errors call the configuration: its file name.
    pub config_name: String,
    /// Randomness: from the kernel in the daemon, from the scenario's seed in the simulator.
    pub seed: [u8; 32],
    /// The folder into which secrets are written for packet analysis, if they are.
    pub keylog: Option<String>,
    /// The boot of the machine in which core time goes on.
    pub boot: BootId,
    /// What was on disk.
    pub restored: Vec<Record>,
    /// The interfaces that the kernel has.
    pub interfaces: Vec<Interface>,
    /// Forwarding threads, 1 or more.
    pub workers: u16,
    /// Version of the program.
    pub version: &'static str,
    /// Now.
    pub now: Time,
    /// Now, by the wall clock.
    pub wall: WallClock,
}

/// What happens to a box.
pub enum Input<'a> {
    /// A datagram arrived on UDP 848.
    Datagram {
        /// The local address and port it was sent to.
        local: SocketAddrV4,
        /// Where it came from.
        peer: SocketAddrV4,
        /// The payload.
        bytes: &'a [u8],
    },
    /// The deadline has passed.
    Timer,
    /// The rows of that `Output::Persist` are on disk.
    Persisted(u64),
    /// The world made the key that `Output::GenerateKeyPair` asked for.
    KeyPair {
        /// Its label.
        label: String,
        /// Its kind.
        kind: crypto::key_pair::Kind,
        /// Whether it may be exported.
        exportable: bool,
        /// PKCS#8 DER.
        pkcs8: Secret,
    },
    /// The file that `Output::ReadKey` asked for, or why there is none.
    KeyFile {
        /// What is to become of it.
        import: Box<KeyImport>,
        /// Its text.
        text: Result<String, String>,
    },
    /// The kernel's interfaces changed.
    Interfaces(Vec<Interface>),
    /// The machine was suspended, or its memory was resumed from an image.
    Resumed {
        /// Fresh randomness from the kernel: that of before may live on in a copy.
        seed: [u8; 32],
    },
    /// What the forwarders noticed.
    Notices(Vec<Notice>),
}

/// Why a box does not start.
#[derive(Debug)]
pub enum BootError {
    /// The configuration has errors; all of them, with their lines.
    Config(Vec<Diagnostic>),
    /// What was on disk cannot be understood.
    State(String),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::State(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for BootError {}

/// One box.
pub struct Router {
    pub(crate) config: Config,
    pub(crate) startup: String,
    pub(crate) origins: Origins,
    pub(crate) target: Target,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) machine: Machine,
    pub(crate) control: Control,
    pub(crate) logging: Logging,
    pub(crate) traces: EventTraces,
    pub(crate) version: &'static str,
    pub(crate) started: Time,
    pub(crate) now: Time,
    pub(crate) wall: WallClock,
    pub(crate) workers: u16,
    policies: BTreeMap<GroupName, Arc<Acl>>,
    outbox: Outbox,
    effects: machine::Outbox,
    listening: Vec<Ipv4Addr>,
    snapshot: u64,
    plans: Vec<Plan>,
    /// Something changed of which the snapshot or the plans are made.
    stale: bool,
}

impl Router {
    /// A box with this configuration; its first effects are already in the outbox.
    ///
    /// # Errors
    /// When the configuration has errors, or the rows from disk cannot be understood.
    pub fn new(boot: Boot) -> Result<Self, BootError> {
        let parsed = config::parse(&boot.config_name, &boot.config).map_err(BootError::Config)?;
        let target = config::to_gdoi(
            &parsed.config,
            &parsed.origins,
            &boot.interfaces,
            boot.workers,
        )
        .map_err(BootError::Config)?;
        let rng: Box<dyn Rng + Send> = Box::new(SeededRng::from_seed(boot.seed));
        let machine = Machine::new(rng, boot.keylog.is_some(), boot.boot, boot.restored)
            .map_err(|error| BootError::State(error.to_string()))?;
        let mut router = Self {
            config: Config::default(),
            startup: boot.config,
            origins: parsed.origins,
            target: Target::default(),
            interfaces: boot.interfaces,
            machine,
            control: Control::new(usize::from(boot.workers)),
            logging: Logging::default(),
            traces: EventTraces::default(),
            version: boot.version,
            started: boot.now,
            now: boot.now,
            wall: boot.wall,
            workers: boot.workers,
            outbox: Outbox::default(),
            effects: machine::Outbox::default(),
            listening: Vec::new(),
            policies: BTreeMap::new(),
            snapshot: 0,
            plans: Vec::new(),
            stale: true,
        };
        router.report(Sys::RESTART {
            version: boot.version.to_owned(),
        });
        if let Some(folder) = boot.keylog {
            router.report(Sys::KEYLOG { folder });
        }
        router.warn(&parsed.warnings);
        router.warn(&target.warnings);
        router.adopt(parsed.config, target);
        Ok(router)
    }

    /// Something happened.
    pub fn handle(&mut self, now: Time, wall: WallClock, input: Input<'_>) {
        self.tick(now, wall);
        match input {
            Input::Datagram { local, peer, bytes } => {
                self.drive(machine::Input::Datagram { local, peer, bytes });
            }
            Input::Timer => self.drive(machine::Input::Timer),
            Input::Persisted(number) => self.outbox.persisted(number),
            Input::KeyPair {
                label,
                kind,
                exportable,
                pkcs8,
            } => {
                self.drive(machine::Input::KeyPair {
                    label,
                    kind,
                    exportable,
                    pkcs8,
                });
            }
            Input::KeyFile { import, text } => self.key_file(&import, text),
            Input::Interfaces(interfaces) => self.meet(interfaces),
            Input::Resumed { seed } => {
                let rng = Box::new(SeededRng::from_seed(seed));
                self.drive(machine::Input::Resumed { rng });
            }
            Input::Notices(notices) => self.notice(notices),
        }
    }

    /// The next effect that may happen now, in order.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outbox.take()
    }

    /// Whether every effect so far has been given out, and none waits for the disk.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// How many rows wait to be given out, and the number of the `Output::Persist` that will hold them:
    /// what an operator ordered is on disk when that is.
    #[must_use]
    pub fn unwritten(&self) -> (usize, u64) {
        self.outbox.unwritten()
    }

    /// When to hand in `Input::Timer`.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.machine.deadline(self.now)
    }

    /// One line of a program, which is asked nothing, and its answer.
    pub fn exec(&mut self, now: Time, wall: WallClock, line: &str) -> Reply {
        let mut session = Session::new("vty", Kind::Commands);
        self.session_line(now, wall, &mut session, line)
    }

    /// One line of an operator's session.
    pub fn session_line(
        &mut self,
        now: Time,
        wall: WallClock,
        session: &mut Session,
        line: &str,
    ) -> Reply {
        self.tick(now, wall);
        session.line(self, line)
    }

    /// The operator is gone.
    pub fn session_close(&mut self, now: Time, wall: WallClock, session: &mut Session) {
        self.tick(now, wall);
        session.close(self);
    }

    /// The lines of the buffered log, oldest first.
    pub fn log_lines(&self) -> impl Iterator<Item = &str> {
        self.logging.lines()
    }

    /// The host name.
    #[must_use]
    pub fn hostname(&self) -> &str {
        self.config.host()
    }

    /// Puts a new configuration in force; the machines act on the difference.
    pub(crate) fn adopt(&mut self, config: Config, target: Target) {
        self.stale = true;
        let (bytes_max, level) = config.logging.buffer();
        self.logging.resize(bytes_max, level);
        for buffer in Buffer::ALL {
            let entries_max = config.event_trace.entries_max(buffer);
            self.traces.resize(buffer, entries_max);
        }
        self.attach(&target);
        self.config = config;
        self.target = target;
        let gdoi = Arc::new(self.target.gdoi.clone());
        self.drive(machine::Input::Configure(gdoi));
        self.listen();
    }

    /// The forwarders' share of a configuration: which interface serves which groups.
    fn attach(&mut self, target: &Target) {
        let gone = self.target.attachments.iter().filter(|old| {
            target
                .attachments
                .iter()
                .all(|new| new.interface != old.interface)
        });
        let mut updates: Vec<Update> = gone
            .map(|old| Update::Detach {
                interface: old.interface.clone(),
            })
            .collect();
        for old in &self.target.gdoi.members {
            if target.gdoi.members.iter().all(|new| new.group != old.group) {
                updates.push(Update::RemoveGroup {
                    group: old.group.clone(),
                });
            }
        }
        for member in &target.gdoi.members {
            updates.push(Update::Group {
                group: member.group.clone(),
                fail_close: target.is_fail_close(&member.group),
                local_acl: member.local_acl.clone(),
            });
        }
        updates.extend(
            target
                .attachments
                .iter()
                .map(|new| Update::Attach(new.facts())),
        );
        for update in updates {
            self.update(update);
        }
    }

    pub(crate) fn drive(&mut self, input: machine::Input<'_>) {
        let mut effects = std::mem::take(&mut self.effects);
        self.machine.handle(self.now, input, &mut effects);
        for effect in effects.drain() {
            self.obey(effect);
        }
        // Kept for its room.
        self.effects = effects;
        self.publish();
    }

    /// Passes one effect on. What the forwarders must know is published before anything that
    /// follows it leaves: an SA is installed before its rekey is acknowledged.
    fn obey(&mut self, effect: machine::Output) {
        self.trace(&effect);
        match effect {
            machine::Output::Persist(record) => self.outbox.persist(record),
            effect @ (machine::Output::Transmit { .. }
            | machine::Output::Multicast { .. }
            | machine::Output::Join { .. }
            | machine::Output::Leave { .. }) => self.pass_on(effect),
            machine::Output::InstallSa { group, tek, key } => {
                let key = dataplane::TekKey {
                    encryption: key.encryption,
                    integrity: key.integrity,
                };
                self.update(Update::InstallSa { group, tek, key });
            }
            machine::Output::RemoveSa { group, spi } => {
                self.update(Update::RemoveSa { group, spi });
            }
            machine::Output::InstallPolicy {
                group,
                acl,
                tbar_window_s,
                activation,
            } => {
                self.policies.insert(group.clone(), Arc::clone(&acl));
                self.update(Update::InstallPolicy {
                    group,
                    acl,
                    tbar_window_s,
                    activation,
                });
            }
            machine::Output::InstallSids { group, size, sids } => {
                self.update(Update::InstallSids { group, size, sids });
            }
            machine::Output::LimitBlocks { group, log2 } => {
                self.update(Update::LimitBlocks { group, log2 });
            }
            machine::Output::SetClock { group, clock, anew } => {
                self.update(Update::SetClock { group, clock, anew });
            }
            machine::Output::CloseGroup { group } => {
                self.policies.remove(&group);
                self.update(Update::CloseGroup { group });
            }
            machine::Output::GenerateKeyPair {
                label,
                size,
                exportable,
            } => {
                self.outbox.push(Output::GenerateKeyPair {
                    label,
                    size,
                    exportable,
                });
            }
            machine::Output::Report(event @ Event::Step(_), place) => {
                self.record(event, place);
            }
            machine::Output::Report(event, place) => {
                self.publish();
                self.report_from(event, place);
            }
            machine::Output::KeyLog(line) => self.outbox.push(Output::KeyLog(line)),
        }
    }

    /// What concerns UDP 848 alone.
    fn pass_on(&mut self, effect: machine::Output) {
        self.publish();
        if let machine::Output::Transmit { local, peer, bytes } = effect {
            self.outbox.push(Output::Transmit { local, peer, bytes });
        } else if let machine::Output::Multicast {
            local,
            group,
            ttl,
            bytes,
        } = effect
        {
            self.outbox.push(Output::Multicast {
                local,
                group,
                ttl,
                bytes,
            });
        } else if let machine::Output::Join { group, interface } = effect {
            self.outbox.push(Output::Join { group, interface });
        } else if let machine::Output::Leave { group, interface } = effect {
            self.outbox.push(Output::Leave { group, interface });
        }
    }

    /// Hands an update to the packet path; what it refuses is a fault that the operator sees.
    fn update(&mut self, update: Update) {
        self.stale = true;
        if let Err(refusal) = self.control.apply(self.now, update) {
            self.report(Sys::DATAPLANE {
                reason: refusal.to_string(),
            });
        }
    }

    /// Gives the forwarders a new snapshot, and the kernel new filters, if anything changed.
    fn publish(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let snapshot = self.control.snapshot();
        if snapshot.number() != self.snapshot {
            self.snapshot = snapshot.number();
            self.outbox.push(Output::Publish(snapshot));
        }
        let policies = &self.policies;
        let policy_of = |group: &GroupName| policies.get(group).cloned();
        let plans = steering::plans(&self.target, &self.interfaces, &policy_of);
        if plans != self.plans {
            self.plans.clone_from(&plans);
            self.outbox.push(Output::Steer(plans));
        }
    }

    #[track_caller]
    pub(crate) fn report(&mut self, event: impl Into<Event>) {
        self.report_from(event.into(), Location::caller());
    }

    fn report_from(&mut self, event: Event, place: Place) {
        self.log(&event);
        self.record(event, place);
    }

    fn log(&mut self, event: &Event) {
        let line = self.logging.record(self.wall, event);
        self.outbox.push(Output::Log {
            severity: event.entry().severity,
            line,
        });
    }

    /// What the traces say of an effect beside what was reported.
    fn trace(&mut self, effect: &machine::Output) {
        let step = match effect {
            machine::Output::InstallSa { group, tek, .. } => Step::SA_INSTALLED {
                spi: tek.spi,
                group: group.clone(),
            },
            machine::Output::RemoveSa { group, spi } => Step::SA_REMOVED {
                spi: *spi,
                group: group.clone(),
            },
            machine::Output::InstallPolicy { group, acl, .. } => Step::POLICY_INSTALLED {
                group: group.clone(),
                entries: acl.entries.len(),
            },
            machine::Output::CloseGroup { group } => Step::GROUP_CLOSED {
                group: group.clone(),
            },
            machine::Output::Persist(_)
            | machine::Output::Transmit { .. }
            | machine::Output::Multicast { .. }
            | machine::Output::Join { .. }
            | machine::Output::Leave { .. }
            | machine::Output::InstallSids { .. }
            | machine::Output::LimitBlocks { .. }
            | machine::Output::SetClock { .. }
            | machine::Output::GenerateKeyPair { .. }
            | machine::Output::Report(..)
            | machine::Output::KeyLog(_) => return,
        };
        self.record(step.into(), Location::caller());
    }

    fn record(&mut self, event: Event, place: Place) {
        let uptime = self.now.since(self.started);
        self.traces.record(self.wall, uptime, event, place);
    }

    pub(crate) fn outbox_push(&mut self, output: Output) {
        self.outbox.push(output);
    }

    pub(crate) fn tick(&mut self, now: Time, wall: WallClock) {
        self.now = self.now.max(now);
        self.wall = wall;
    }

    fn warn(&mut self, warnings: &[Diagnostic]) {
        for warning in warnings {
            self.report(Sys::CONFIG_WARNING {
                warning: warning.to_string(),
            });
        }
    }

    /// The kernel's interfaces changed: MTU, addresses, or a device that was missing came.
    fn meet(&mut self, interfaces: Vec<Interface>) {
        if interfaces == self.interfaces {
            return;
        }
        self.interfaces = interfaces;
        self.stale = true;
        match config::to_gdoi(&self.config, &self.origins, &self.interfaces, self.workers) {
            Ok(target) => {
                let config = self.config.clone();
                self.adopt(config, target);
            }
            // What ran goes on: its device is gone, and with it everything that could leak.
            Err(errors) => self.warn(&errors),
        }
    }

    fn notice(&mut self, noticed: Vec<Notice>) {
        for notice in noticed {
            let (event, order) = notices::translate(notice);
            if let Some(event) = event {
                self.log(&event);
            }
            if let Some(order) = order {
                self.drive(order);
            }
        }
    }

    /// The addresses where this box speaks GDOI.
    fn listen(&mut self) {
        let servers = self
            .target
            .gdoi
            .key_servers
            .iter()
            .map(|server| server.address);
        let members = self.target.gdoi.members.iter().map(|member| member.address);
        let mut addresses: Vec<Ipv4Addr> = servers.chain(members).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses != self.listening {
            self.listening.clone_from(&addresses);
            self.outbox.push(Output::Listen(addresses));
        }
    }

    /// Whether this box serves the group.
    #[must_use]
    pub fn serves(&self, group: &GroupName) -> bool {
        self.target
            .gdoi
            .key_servers
            .iter()
            .any(|server| server.group == *group)
    }
}

impl Machines for Router {
    fn key_servers(&self) -> Vec<gdoi::ks::View> {
        self.machine.ks_views(self.now)
    }

    fn members(&self) -> Vec<gdoi::gm::View> {
        self.machine.gm_views(self.now)
    }

    fn isakmp(&self) -> gdoi::ike::View {
        self.machine.isakmp_view()
    }

    fn key_pairs(&self) -> Vec<gdoi::KeyPairView> {
        self.machine.key_pairs()
    }

    fn traffic(&self, interface: &str, group: &GroupName) -> Traffic {
        Traffic::read(&self.control, self.now, interface, group)
    }
}

impl Operated for Router {
    fn context(&self) -> Context<'_> {
        Context {
            config: &self.config,
            startup: &self.startup,
            target: &self.target,
            interfaces: &self.interfaces,
            logging: &self.logging,
            traces: &self.traces,
            machines: self,
            version: self.version,
            started: self.started,
            now: self.now,
            wall: self.wall,
        }
    }

    fn configure(&mut self, config: Config) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let target = config::to_gdoi(&config, &self.origins, &self.interfaces, self.workers)?;
        let told = self.preview(&target).into_iter();
        let mut said: Vec<_> = told.map(|line| Diagnostic::warning(None, line)).collect();
        said.extend(target.warnings.iter().cloned());
        self.adopt(config, target);
        Ok(said)
    }

    fn preview(&self, config: &Config) -> Result<Vec<String>, Vec<Diagnostic>> {
        let target = config::to_gdoi(config, &self.origins, &self.interfaces, self.workers)?;
        Ok(self.preview(&target))
    }

    fn configured(&mut self, by: &str) {
        self.report(Sys::CONFIG_I { by: by.to_owned() });
    }

    fn order(&mut self, command: Command) -> Result<(), Refusal> {
        self.drive(machine::Input::Command(command));
        Ok(())
    }

    fn clear_log(&mut self) {
        self.logging.clear();
    }

    fn export_key(&mut self, export: &KeyExport) -> Result<String, Refusal> {
        self.export_key(export)
    }

    fn check_label(&self, label: &str) -> Result<(), Refusal> {
        self.check_label(label)
    }

    fn import_key(&mut self, import: &KeyImport, text: &str) -> Result<(), Refusal> {
        self.import_key(import, text)
    }

    fn import_key_file(&mut self, name: String, import: KeyImport) -> Result<String, Refusal> {
        self.import_key_file(name, import)
    }

    fn displayed(&mut self, seen: &[Seen]) {
        for seen in seen {
            self.traces.displayed(seen.buffer, seen.number);
        }
    }

    fn save(&mut self, text: String) -> Result<(), Refusal> {
        self.startup.clone_from(&text);
        self.outbox.push(Output::SaveConfig(text));
        Ok(())
    }
}
