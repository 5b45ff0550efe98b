//! The story that bare `getvpn lab` tells: the guide's network boots, registers, works, is rekeyed
//! under load, loses a member and gets it back, while every port of the core is watched. Decides
//! the order of events and what must hold; whoever reads the screen needs no other tool.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netio::testbed;

use crate::build::{self, Wishes};
use crate::capture::Record;
use crate::limits::{
    BACK_MAX, LOOK_AGAIN, MERGE_MAX, NEW_KEY_MAX, REGISTERED_MAX, SNAPLEN, TAKE_OVER_MAX,
};
use crate::matrix::Matrix;
use crate::place::Place;
use crate::probe::Host;
use crate::screen::Screen;
use crate::sight::Sight;
use crate::state::{Folder, Lab};
use crate::stray::{self, STRAY_SPI, Strays};
use crate::topology::Topology;
use crate::traffic::{Shape, Traffic};
use crate::watch::Core;
use crate::{cut, flow, probe, routers, shows, topology, verbs};

/// Lines of ks1 and what bare `lab` makes of them.
const SHORT_KEYS: [(&str, &str); 2] = [
    (
        "set security-association lifetime seconds 3600",
        "set security-association lifetime seconds 60",
    ),
    ("rekey lifetime seconds 7200", "rekey lifetime seconds 120"),
];
/// The load under which the group is rekeyed.
const LOAD: Shape = Shape {
    pps: 1000,
    size: 200,
};
/// The load runs this long before the rekey, and this long on the new key.
const AROUND_REKEY: Duration = Duration::from_millis(600);

/// The guide's key servers, which back each other up.
const KEY_SERVERS: [&str; 2] = ["ks1", "ks2"];
/// How long the key servers do not see each other: longer than they take to notice, and shorter
/// than the keys that both hold last.
const SPLIT: Duration = Duration::from_secs(5);

/// What a run is asked for beyond its story.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Folder for the captures of the core's ports.
    pub(crate) pcap: Option<PathBuf>,
}

/// The network while the story runs.
struct Run<'a> {
    place: &'a Place,
    folder: &'a Folder,
    lab: &'a mut Lab,
    screen: &'a mut Screen,
    hosts: Vec<Host>,
    core: Core,
    /// SPIs that a key server named as TEKs, at any time.
    named_spis: Vec<u32>,
    /// Datagrams with each rare type of service that each host sent to each other.
    with_each_tos: u64,
}

/// Builds the network of the guide, tells the story, tears down. True when all is green.
pub(crate) fn run(place: &Place, options: &Options) -> Result<bool> {
    testbed::note_interrupts();
    let mut topology = topology::load("guide")?;
    build::need_tap(place, &topology)?;
    shorten_keys(&mut topology)?;
    let mut screen = Screen::new();
    screen.line("getvpn lab: the network of the guide, in namespaces of this machine");
    screen.line(PICTURE);
    let (folder, mut lab) = build::network(place, &topology, Wishes::default())?;
    screen.step(format_args!(
        "network built: {} namespaces {}-*, {} links; lifetimes TEK 60 s, KEK 120 s",
        lab.nodes.len(),
        place.name,
        lab.links.len(),
    ));
    let told = tell(place, &folder, &mut lab, &mut screen, options);
    let removed = build::remove(place, folder, Some(lab));
    told?;
    removed?;
    screen.step("torn down");
    Ok(screen.verdict())
}

/// Gives the keys of the guide's group short lives: every time of a rekey shrinks with them, the
/// time until all members may send on a new key included.
fn shorten_keys(topology: &mut Topology) -> Result<()> {
    let servers = topology
        .nodes
        .iter_mut()
        .filter(|node| KEY_SERVERS.contains(&node.name.as_str()));
    for node in servers {
        let name = &node.name;
        let Some(config) = node.startup_config.as_mut() else {
            continue;
        };
        for (long, short) in SHORT_KEYS {
            if !config.contains(long) {
                bail!("the startup-config of {name} has no line `{long}`");
            }
            *config = config.replace(long, short);
        }
    }
    Ok(())
}

const PICTURE: &str = "
  h1 192.168.20.10 -- gm1 10.1.20.2 --+        +-- gm2 10.1.21.2 -- h2 192.168.21.10
                                      +- core -+
                      ks1 10.1.11.2 --+        +-- ks2 10.1.12.2
";

fn tell(
    place: &Place,
    folder: &Folder,
    lab: &mut Lab,
    screen: &mut Screen,
    options: &Options,
) -> Result<()> {
    let hosts = verbs::hosts(place, lab)?;
    let record = |port: &str| match &options.pcap {
        Some(folder) => {
            Record::create(&folder.join(format!("core-{port}.pcap")), SNAPLEN).map(Some)
        }
        None => Ok(None),
    };
    let core = Core::watch(place, lab, "core", &hosts, record)?;
    let mut run = Run {
        place,
        folder,
        lab,
        screen,
        hosts,
        core,
        named_spis: Vec::new(),
        with_each_tos: 0,
    };
    run.boot()?;
    run.before_registration()?;
    run.registration()?;
    run.matrix("host-to-host matrix")?;
    run.strays_of_members()?;
    run.rekey()?;
    run.death_of_a_member()?;
    run.loss_of_key_servers()?;
    run.counters()?;
    let Run {
        core,
        screen,
        hosts,
        named_spis,
        with_each_tos,
        ..
    } = run;
    let (sight, dropped) = core.finish()?;
    judge(screen, &hosts, &sight, dropped, &named_spis, with_each_tos);
    Ok(())
}

impl Run<'_> {
    fn ask(&self, router: &str, command: &str) -> Result<String> {
        if testbed::interrupted() {
            bail!("interrupted");
        }
        routers::ask(self.place, router, command)
    }

    /// Looks until `done` says so; false when it has not after `max`.
    fn until(&self, max: Duration, mut done: impl FnMut(&Self) -> Result<bool>) -> Result<bool> {
        let end = Instant::now() + max;
        loop {
            if done(self)? {
                return Ok(true);
            }
            if Instant::now() > end {
                return Ok(false);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Starts the routers with the way to the key server cut, and gives it its rekey key.
    fn boot(&mut self) -> Result<()> {
        for key_server in KEY_SERVERS {
            cut::cut(self.place, self.lab, key_server, "core")?;
        }
        verbs::bring_up(self.place, self.folder, self.lab)?;
        let names: Vec<_> = self.lab.routers().map(|node| node.name.as_str()).collect();
        self.screen.step(format_args!(
            "routers up: {}; ks1 has its rekey key (RSA 2048), the ways to the key servers are cut",
            names.join(" ")
        ));
        Ok(())
    }

    /// Hosts send while no member is registered: nothing may pass.
    fn before_registration(&mut self) -> Result<()> {
        let strays = stray::send_all(&self.hosts).context("while no member is registered")?;
        self.screen.step(format_args!(
            "fail-close: of {} packets sent before registration {} arrived",
            strays.sent(),
            strays.arrived(),
        ));
        self.screen.check(
            strays.arrived() == 0,
            format_args!(
                "before registration nothing passes ({} packets sent)",
                strays.sent()
            ),
        );
        for key_server in KEY_SERVERS {
            cut::heal(self.place, self.lab, key_server, "core")?;
        }
        Ok(())
    }

    fn registration(&mut self) -> Result<()> {
        let members: Vec<String> = ["gm1", "gm2"].map(str::to_owned).into();
        let begin = Instant::now();
        let registered = self.until(REGISTERED_MAX, |run| run.are_registered(&members))?;
        let listed = shows::members(&self.ask("ks1", "show crypto gdoi ks members")?);
        self.screen.step(format_args!(
            "members on ks1: {} ({:.2} s after the ways were healed)",
            listed.join(" "),
            begin.elapsed().as_secs_f64(),
        ));
        self.screen
            .check(registered, "all members are registered on ks1");
        if !registered {
            for member in &members {
                let log = routers::last_words(self.place, member);
                self.screen.line(format_args!("log of {member}:\n{log}"));
            }
            bail!(
                "members do not register within {} s",
                REGISTERED_MAX.as_secs()
            );
        }
        self.note_keys().map(drop)
    }

    fn are_registered(&self, members: &[String]) -> Result<bool> {
        for member in members {
            let text = self.ask(member, "show crypto gdoi gm")?;
            if shows::registration(&text).as_deref() != Some("Registered") {
                return Ok(false);
            }
        }
        let listed = shows::members(&self.ask("ks1", "show crypto gdoi ks members")?);
        Ok(listed.len() == members.len())
    }

    /// Notes the TEKs that the key server names now.
    fn note_keys(&mut self) -> Result<Vec<u32>> {
        self.note_keys_of("ks1")
    }

    fn note_keys_of(&mut self, key_server: &str) -> Result<Vec<u32>> {
        let now = shows::tek_spis(&self.ask(key_server, "show crypto gdoi ks policy")?);
        let new: Vec<u32> = now
            .iter()
            .copied()
            .filter(|spi| !self.named_spis.contains(spi))
            .collect();
        self.named_spis.extend(new);
        Ok(now)
    }

    fn matrix(&mut self, title: &str) -> Result<()> {
        let matrix = Matrix::ask(&self.hosts);
        self.screen.step(format_args!(
            "{title}: {} of {} answered",
            matrix.answered(),
            matrix.cells.len()
        ));
        for cell in &matrix.cells {
            self.screen.line(format_args!("            {cell}"));
        }
        self.with_each_tos += matrix.with_each_tos;
        let figures = format!("{} of {}", matrix.answered(), matrix.cells.len());
        self.screen.check(
            matrix.is_green(),
            format_args!("{title}: {figures} answered"),
        );
        Ok(())
    }

    /// Registered members carry a host's own protocol 50 as any other; IPv6 does not pass.
    fn strays_of_members(&mut self) -> Result<()> {
        let strays = stray::send_all(&self.hosts).context("while members are registered")?;
        let Strays {
            esp_sent,
            esp_arrived,
            ipv6_sent,
            ipv6_arrived,
            ..
        } = strays;
        self.screen.step(format_args!(
            "hosts' own protocol 50: {esp_arrived} of {esp_sent} arrived inside ESP; \
             IPv6: {ipv6_arrived} of {ipv6_sent}"
        ));
        self.screen.check(
            esp_arrived == esp_sent,
            format_args!("protocol 50 of a host is carried: {esp_arrived} of {esp_sent}"),
        );
        let blocked = format!("IPv6 does not pass: {ipv6_arrived} of {ipv6_sent} arrived");
        self.screen.check(ipv6_arrived == 0, blocked);
        Ok(())
    }

    fn rekey(&mut self) -> Result<()> {
        let before = self.note_keys()?;
        let old = self.core.last_spis();
        let [a, b] = &self.hosts[..] else {
            bail!("the guide has two hosts")
        };
        let traffic = Traffic::start(&[(a, b)], LOAD)?;
        std::thread::sleep(AROUND_REKEY);
        self.ask("ks1", "crypto gdoi ks rekey")?;
        let begin = Instant::now();
        let changed = self.until(NEW_KEY_MAX, |run| {
            let now = run.core.last_spis();
            let new = |spi: &u32| !old.contains(spi) && !before.contains(spi);
            Ok(!now.is_empty() && now.iter().all(new))
        })?;
        let after = begin.elapsed();
        std::thread::sleep(AROUND_REKEY);
        let reports = traffic.finish()?;
        let named = self.note_keys()?;
        let now = self.core.last_spis();
        self.screen.step(format_args!(
            "rekey under {} packets/s: SPI on the core {} -> {} after {:.2} s",
            2 * LOAD.pps,
            spis(&old),
            spis(&now),
            after.as_secs_f64(),
        ));
        for report in &reports {
            self.screen.line(format_args!("            {report}"));
        }
        let agreed = changed && now.len() == 1 && now.iter().all(|spi| named.contains(spi));
        self.screen.check(
            agreed,
            format_args!(
                "the SPI on the core changes to the one of ks policy ({})",
                spis(&named)
            ),
        );
        let clean = reports.iter().all(flow::Report::is_clean);
        let lost: u64 = reports.iter().map(|report| report.lost).sum();
        let sent: u64 = reports.iter().map(|report| report.sent).sum();
        self.screen.check(
            clean,
            format_args!("rekey under load: {lost} of {sent} lost, none reordered or doubled"),
        );
        Ok(())
    }

    /// Kills a member without warning, lets the hosts send, and starts it again.
    fn death_of_a_member(&mut self) -> Result<()> {
        routers::kill(self.lab, "gm2")?;
        self.folder.save(self.lab)?;
        let strays = stray::send_all(&self.hosts).context("while gm2 is dead")?;
        self.screen.step(format_args!(
            "gm2 killed: of {} packets sent {} arrived",
            strays.sent(),
            strays.arrived()
        ));
        self.screen.check(
            strays.arrived() == 0,
            format_args!("a dead member is closed ({} packets sent)", strays.sent()),
        );
        let begin = Instant::now();
        routers::start(self.place, self.lab, "gm2", None)?;
        self.folder.save(self.lab)?;
        let [a, b] = &self.hosts[..] else {
            bail!("the guide has two hosts")
        };
        let mut back = false;
        while !back && begin.elapsed() < 2 * BACK_MAX && !testbed::interrupted() {
            back = probe::reaches(a, b)?;
        }
        let took = begin.elapsed();
        self.note_keys()?;
        self.screen.step(format_args!(
            "gm2 started again: passing after {:.2} s",
            took.as_secs_f64()
        ));
        self.screen.check(
            back && took <= BACK_MAX,
            format_args!(
                "a member is back within {} s of its start",
                BACK_MAX.as_secs()
            ),
        );
        self.matrix("matrix after its return")
    }

    /// Under traffic the primary dies and comes back, and the key servers lose sight of each other
    /// and find each other again, with a rekey after each.
    fn loss_of_key_servers(&mut self) -> Result<()> {
        let [a, b] = &self.hosts[..] else {
            bail!("the guide has two hosts")
        };
        let primary = self.only_primary(REGISTERED_MAX)?;
        let Some(primary) = primary else {
            self.screen
                .check(false, "one of the key servers is primary");
            return Ok(());
        };
        let other = KEY_SERVERS.into_iter().find(|name| *name != primary);
        let other = other.unwrap_or("ks2");
        let traffic = Traffic::start(&[(a, b)], LOAD)?;
        routers::kill(self.lab, primary)?;
        self.folder.save(self.lab)?;
        let begin = Instant::now();
        let took_over = self.until(2 * TAKE_OVER_MAX, |run| run.is_primary(other))?;
        let after = begin.elapsed();
        self.screen.step(format_args!(
            "{primary}, the primary, killed: {other} is primary after {:.2} s",
            after.as_secs_f64()
        ));
        self.screen.check(
            took_over && after <= TAKE_OVER_MAX,
            format_args!(
                "a dead primary is replaced within {} s",
                TAKE_OVER_MAX.as_secs()
            ),
        );
        self.order_rekey(other)?;
        routers::start(self.place, self.lab, primary, None)?;
        self.folder.save(self.lab)?;
        routers::wait_up(self.place, self.lab, primary)?;
        let back = self.only_primary(2 * TAKE_OVER_MAX)?;
        self.screen
            .step(format_args!("{primary} is back, and {other} stays primary"));
        self.screen.check(
            back == Some(other),
            "who comes back does not preempt the primary",
        );
        cut::cut(self.place, self.lab, primary, "core")?;
        std::thread::sleep(SPLIT);
        let both = self.is_primary(primary)? && self.is_primary(other)?;
        cut::heal(self.place, self.lab, primary, "core")?;
        let begin = Instant::now();
        let one = self.only_primary(MERGE_MAX)?;
        self.screen.step(format_args!(
            "key servers split for {} s, each primary of its side: one again {:.2} s after the \
             split was healed",
            SPLIT.as_secs(),
            begin.elapsed().as_secs_f64()
        ));
        self.screen.check(
            both && one.is_some(),
            "a split has a primary on each side, and one after it",
        );
        self.order_rekey(one.unwrap_or(other))?;
        let reports = traffic.finish()?;
        for report in &reports {
            self.screen.line(format_args!("            {report}"));
        }
        let lost: u64 = reports.iter().map(|report| report.lost).sum();
        let sent: u64 = reports.iter().map(|report| report.sent).sum();
        self.screen.check(
            reports.iter().all(flow::Report::is_clean),
            format_args!("death, return, split and merge of key servers: {lost} of {sent} lost"),
        );
        Ok(())
    }

    fn is_primary(&self, key_server: &str) -> Result<bool> {
        let text = self.ask(key_server, "show crypto gdoi ks coop")?;
        Ok(shows::coop_role(&text).as_deref() == Some("Primary"))
    }

    /// The only key server that says it is primary, once the other is its secondary.
    fn only_primary(&self, max: Duration) -> Result<Option<&'static str>> {
        let mut found = None;
        self.until(max, |run| {
            let mut primaries = Vec::new();
            let mut settled = true;
            for name in KEY_SERVERS {
                let text = run.ask(name, "show crypto gdoi ks coop")?;
                match shows::coop_role(&text).as_deref() {
                    Some("Primary") => primaries.push(name),
                    Some("Secondary") => {}
                    Some(_) | None => settled = false,
                }
            }
            found = (settled && primaries.len() == 1).then(|| primaries[0]);
            Ok(found.is_some())
        })?;
        Ok(found)
    }

    /// Orders a rekey and waits until all send on its key.
    fn order_rekey(&mut self, key_server: &str) -> Result<()> {
        let before = self.note_keys_of(key_server)?;
        self.ask(key_server, "crypto gdoi ks rekey")?;
        let changed = self.until(NEW_KEY_MAX, |run| {
            let now = run.core.last_spis();
            Ok(!now.is_empty() && now.iter().all(|spi| !before.contains(spi)))
        })?;
        self.note_keys_of(key_server)?;
        self.screen.check(
            changed,
            format_args!("{key_server} rekeys, and all send on its key"),
        );
        Ok(())
    }

    fn counters(&mut self) -> Result<()> {
        self.screen.headline("members");
        for member in ["gm1", "gm2"] {
            let text = self.ask(member, "show crypto ipsec sa")?;
            let spi = shows::outbound_spi(&text).map_or_else(|| "none".to_owned(), |s| spis(&[s]));
            let (out, back) = shows::packets(&text).unwrap_or((0, 0));
            self.screen.line(format_args!(
                "  {member}  sends on {spi}  encrypted {out}  decrypted {back}"
            ));
            self.screen.check(
                out > 0 && back > 0,
                format_args!("{member} counts both ways"),
            );
            // gm2 died on the way, and its counters with it.
            if member == "gm1" {
                let seen = self.core.esp_from(self.hosts[0].address, out);
                let what = format!("gm1 encrypted {out} packets, the core saw {seen} of h1's");
                self.screen.check(seen == out, what);
            }
        }
        Ok(())
    }
}

fn spis(spis: &[u32]) -> String {
    let shown: Vec<_> = spis.iter().map(|spi| format!("0x{spi:08X}")).collect();
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown.join(" ")
    }
}

/// Prints what the core saw and notes what must hold of it.
fn judge(
    screen: &mut Screen,
    hosts: &[Host],
    sight: &Sight,
    dropped: u64,
    named: &[u32],
    with_each_tos: u64,
) {
    screen.headline("the core, on all its ports, from before the routers' start");
    let total = sight.esp_packets() + sight.clear + sight.foreign;
    screen.line(format_args!(
        "  {total} packets between the hosts' networks, {} not ESP; {} other frames",
        sight.clear + sight.foreign,
        sight.other.packets,
    ));
    for (spi, packets) in sight.by_spi() {
        let origin = if named.contains(&spi) {
            "named by ks policy"
        } else {
            "UNKNOWN"
        };
        screen.line(format_args!(
            "  {}  {packets:>7} packets  {origin}",
            spis(&[spi])
        ));
    }
    for offender in &sight.offenders {
        screen.line(format_args!("  {offender}"));
    }
    screen.check(
        dropped == 0,
        format_args!("the watch missed nothing ({dropped} frames)"),
    );
    screen.check(
        sight.clear == 0 && sight.esp_packets() > 0,
        format_args!(
            "{total} packets between the hosts' networks, {} in clear",
            sight.clear
        ),
    );
    screen.check(sight.foreign == 0, "ESP is under the hosts' own addresses");
    let by_spi = sight.by_spi();
    let strangers = by_spi.keys().filter(|spi| !named.contains(spi)).count();
    screen.check(
        strangers == 0 && !by_spi.contains_key(&STRAY_SPI),
        "every ESP packet is under a key of the key server",
    );
    for a in hosts {
        for b in hosts.iter().filter(|b| b.address != a.address) {
            for tos in probe::TOS.into_iter().filter(|tos| *tos != 0) {
                let seen = sight.esp_with_tos(a.address, b.address, tos);
                screen.check(
                    seen == with_each_tos,
                    format_args!(
                        "{} > {} type of service {tos:#04x}: {with_each_tos} sent, {seen} on \
                         the core",
                        a.name, b.name
                    ),
                );
            }
        }
    }
}
