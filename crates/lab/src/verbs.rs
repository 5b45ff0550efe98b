//! The verbs of `getvpn lab`: arguments, order of work, exit status. Decides what a verb prints;
//! the work is done elsewhere.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use netio::testbed;

use crate::build::{self, Wishes};
use crate::capture::{self, Record};
use crate::impair::Impairment;
use crate::limits::{SNAPLEN, TRAFFIC_PPS_MAX};
use crate::place::Place;
use crate::probe::Host;
use crate::state::{Folder, Impaired, Lab};
use crate::traffic::{Shape, Traffic};
use crate::{
    cut, guide, holder, impair, matrix, mroute, netns, nonces, play, process, routers, stray,
    topology,
};

/// Exit status: all green, a check failed, could not run.
const GREEN: i32 = 0;
const RED: i32 = 1;
const CANNOT: i32 = 2;

/// Build networks of namespaces with the real program in the routers.
///
/// Without a verb: build the network of the guide, let it work, show what happened, tear it down;
/// exit status 0 only if all is green.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The lab's name: several can stand side by side
    #[arg(long, default_value = "gv", global = true)]
    name: String,
    /// Keep captures of the core's ports in this folder (without a verb only)
    #[arg(long, value_name = "FOLDER")]
    pcap: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build a lab and leave it running
    Up {
        /// A topology file, or the built-in `guide`
        #[arg(default_value = "guide")]
        topology: String,
        /// Start no router: the same network forwards in plain, as with the group removed
        #[arg(long)]
        plain: bool,
        /// Let every router write a key log (a Wireshark configuration folder)
        #[arg(long)]
        keylog: bool,
    },
    /// Show the nodes of a lab
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a node; its exit status is the command's
    Exec {
        /// The node
        node: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Give a router a command, or open its command line
    Cli {
        /// The router
        node: String,
        /// The command; none opens the command line
        command: Option<String>,
    },
    /// Write what passes a port of a node to a pcap file
    Capture {
        /// The node
        node: String,
        /// Its device
        device: String,
        /// The file
        file: PathBuf,
        /// How long; without it until interrupted
        #[arg(long)]
        seconds: Option<u64>,
        /// Octets kept of each packet
        #[arg(long, default_value_t = SNAPLEN)]
        snaplen: u32,
    },
    /// Send numbered UDP between two hosts, both ways, and account for every datagram
    Traffic {
        /// One host
        a: String,
        /// The other
        b: String,
        /// Datagrams per second, each way
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32)
            .range(1..=i64::from(TRAFFIC_PPS_MAX)))]
        pps: u32,
        /// Octets of UDP payload
        #[arg(long, default_value_t = 200)]
        size: usize,
        /// How long
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let every host ask every other: ICMP echo, TCP, UDP
    Matrix,
    /// Let every host send the others protocol 50 of its own making, UDP and IPv6; status 0 if all
    /// of it arrives
    Strays,
    /// Prove over captures and key logs that no key met an IV twice
    Nonces {
        /// Capture files
        #[arg(required = true)]
        captures: Vec<PathBuf>,
        /// Key log folders
        #[arg(long, required = true)]
        keylog: Vec<PathBuf>,
    },
    /// Play a scenario file on a lab built for it, then remove the lab
    Play {
        /// The scenario
        file: PathBuf,
        /// A topology file, or the built-in `guide`
        #[arg(long, default_value = "guide")]
        topology: String,
    },
    /// Kill a router's process on the spot
    Kill {
        /// The router
        node: String,
    },
    /// Start a router again
    Start {
        /// The router
        node: String,
        /// Another build of the program to start it with
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
    },
    /// Route multicast in the plain nodes until interrupted
    Mroute,
    /// Let all packets between two nodes vanish
    Cut {
        /// One node
        a: String,
        /// The other
        b: String,
    },
    /// Undo a cut
    Heal {
        /// One node
        a: String,
        /// The other
        b: String,
    },
    /// Delay, lose, double and reorder frames on the cable between two nodes; without options say
    /// what became of them
    Impair {
        /// One node
        a: String,
        /// The other
        b: String,
        /// `off` makes the cable good again
        #[arg(value_parser = ["off"])]
        off: Option<String>,
        #[command(flatten)]
        impairment: Impairment,
    },
    /// Remove a lab and all that is in it
    Down,
    /// Keep the namespaces of an ordinary user's lab
    #[command(hide = true)]
    Hold {
        /// The state folder
        dir: PathBuf,
    },
    /// Carry the frames of an impaired cable
    #[command(hide = true)]
    Carry {
        /// Which, and what happens to them
        order: String,
    },
}

/// Runs `getvpn lab`; the value is the exit status.
pub fn main(args: Args) -> i32 {
    match run(args) {
        Ok(status) => status,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "getvpn lab: {error:#}");
            CANNOT
        }
    }
}

fn run(args: Args) -> Result<i32> {
    let place = Place::new(&args.name)?;
    let Some(verb) = args.verb else {
        let green = guide::run(&place, &guide::Options { pcap: args.pcap })?;
        return Ok(if green { GREEN } else { RED });
    };
    match verb {
        Verb::Up {
            topology,
            plain,
            keylog,
        } => up(&place, &topology, Wishes { plain, keylog }),
        Verb::Status { json } => status(&place, json),
        Verb::Exec { node, command } => exec(&place, &node, &command),
        Verb::Cli { node, command } => cli(&place, &node, command.as_deref()),
        Verb::Capture {
            node,
            device,
            file,
            seconds,
            snaplen,
        } => capture(&place, &node, &device, &file, seconds, snaplen),
        Verb::Traffic {
            a,
            b,
            pps,
            size,
            seconds,
            json,
        } => traffic(&place, [&a, &b], Shape { pps, size }, seconds, json),
        Verb::Matrix => ask_all(&place),
        Verb::Strays => strays(&place),
        Verb::Play { file, topology } => {
            let green = play::run(&place, &topology, &file)?;
            Ok(if green { GREEN } else { RED })
        }
        Verb::Nonces { captures, keylog } => nonces(&captures, &keylog),
        Verb::Kill { node } => change(&place, |_, lab| routers::kill(lab, &node)),
        Verb::Start { node, program } => start(&place, &node, program.as_deref()),
        Verb::Mroute => route_multicast(&place),
        Verb::Cut { a, b } => change(&place, |place, lab| cut::cut(place, lab, &a, &b)),
        Verb::Heal { a, b } => change(&place, |place, lab| cut::heal(place, lab, &a, &b)),
        Verb::Impair {
            a,
            b,
            off,
            impairment,
        } => impair_cable(&place, [&a, &b], off.is_some(), impairment),
        Verb::Down => down(&place),
        Verb::Hold { dir } => holder::hold(&dir).map(|()| GREEN),
        Verb::Carry { order } => impair::carry(&order).map(|()| GREEN),
    }
}

fn print(text: std::fmt::Arguments<'_>) {
    // A reader that has seen enough (`| head`) is no fault of the lab.
    let _ = writeln!(std::io::stdout(), "{text}");
}

//------------ Building and removing ------------------------------------------------------------

fn up(place: &Place, what: &str, wishes: Wishes) -> Result<i32> {
    let topology = topology::load(what)?;
    if !wishes.plain {
        build::need_tap(place, &topology)?;
    }
    testbed::note_interrupts();
    let begin = Instant::now();
    let (folder, mut lab) = build::network(place, &topology, wishes)?;
    let started = if wishes.plain {
        Ok(())
    } else {
        bring_up(place, &folder, &mut lab)
    };
    if let Err(error) = started {
        build::remove(place, folder, Some(lab))?;
        return Err(error);
    }
    let elapsed = begin.elapsed().as_millis();
    let plain = if wishes.plain { ", no router runs" } else { "" };
    print(format_args!(
        "lab {} ({}) is up: {} nodes, {} links, {elapsed} ms{plain}",
        place.name,
        lab.topology,
        lab.nodes.len(),
        lab.links.len(),
    ));
    Ok(GREEN)
}

/// Starts the key servers and gives them their rekey keys, then starts the other routers: a member
/// that asks a key server without a key is refused and tries again much later.
pub(crate) fn bring_up(place: &Place, folder: &Folder, lab: &mut Lab) -> Result<()> {
    let (servers, others): (Vec<_>, Vec<_>) = lab
        .routers()
        .cloned()
        .partition(|node| !node.rekey_keys.is_empty());
    for round in [servers, others] {
        for node in &round {
            routers::start(place, lab, &node.name, None)?;
            folder.save(lab)?;
        }
        for node in &round {
            routers::wait_up(place, lab, &node.name)?;
            routers::provide_keys(place, node)?;
        }
    }
    Ok(())
}

fn down(place: &Place) -> Result<i32> {
    let folder = Folder::open(place)?;
    let lab = folder.load()?;
    build::remove(place, folder, lab)?;
    print(format_args!("lab {} is gone", place.name));
    Ok(GREEN)
}

//------------ A lab that is up -----------------------------------------------------------------

/// The lab as recorded; this process moves into its namespaces if they are an ordinary user's.
fn enter(place: &Place) -> Result<(Folder, Lab)> {
    let folder = Folder::open(place)?;
    let lab = folder.load()?.with_context(|| {
        format!(
            "lab {} was not built to its end: `getvpn lab down` clears it",
            place.name
        )
    })?;
    if let Some(keeper) = lab.holder {
        holder::enter(keeper)?;
    }
    Ok((folder, lab))
}

/// As [`enter`], for a verb that changes nothing: others need not wait for it.
fn visit(place: &Place) -> Result<Lab> {
    enter(place).map(|(_, lab)| lab)
}

/// Does something to a lab and records it.
fn change(place: &Place, work: impl FnOnce(&Place, &mut Lab) -> Result<()>) -> Result<i32> {
    let (folder, mut lab) = enter(place)?;
    work(place, &mut lab)?;
    folder.save(&lab)?;
    Ok(GREEN)
}

fn start(place: &Place, node: &str, program: Option<&std::path::Path>) -> Result<i32> {
    // Named as it is seen here: the lab's namespaces may hide a part of the path before it.
    let program = program.map(|file| {
        let path = std::fs::canonicalize(file);
        path.with_context(|| file.display().to_string())
    });
    let program = program.transpose()?;
    change(place, |place, lab| {
        if lab.plain {
            bail!("the lab was built without routers (--plain)");
        }
        routers::start(place, lab, node, program.as_deref())
    })?;
    routers::wait_up(place, &visit_again(place)?, node)?;
    Ok(GREEN)
}

/// The lab as recorded, for a process that is in its namespaces already.
fn visit_again(place: &Place) -> Result<Lab> {
    Folder::open(place)?
        .load()?
        .context("the record of the lab is gone")
}

fn status(place: &Place, json: bool) -> Result<i32> {
    let lab = visit(place)?;
    if json {
        print(format_args!("{}", status_json(place, &lab)));
        return Ok(GREEN);
    }
    let holder = lab.holder.map_or_else(String::new, |keeper| {
        format!(", held by process {}", keeper.pid)
    });
    print(format_args!(
        "lab {} ({}) in {}{holder}",
        place.name,
        lab.topology,
        place.dir.display()
    ));
    for node in &lab.nodes {
        let what = match (node.kind, node.host) {
            (topology::Kind::Getvpn, _) => router_state(&lab, node.router),
            (topology::Kind::Linux, true) => "host".to_owned(),
            (topology::Kind::Linux, false) => "plain router".to_owned(),
        };
        let ports = lab.ports(&node.name).join(" ");
        let namespace = place.namespace(&node.name);
        print(format_args!(
            "  {:<8} {namespace:<12} {what:<24} {ports}",
            node.name
        ));
    }
    for cut in &lab.cuts {
        print(format_args!("  cut: {} - {}", cut.a, cut.b));
    }
    for one in &lab.impaired {
        let Impaired {
            a, b, impairment, ..
        } = one;
        print(format_args!("  impaired: {a} - {b}: {impairment}"));
    }
    Ok(GREEN)
}

fn router_state(lab: &Lab, router: Option<process::Process>) -> String {
    match router {
        _ if lab.plain => "plain router".to_owned(),
        Some(router) if router.is_alive() => format!("router, process {}", router.pid),
        Some(router) => format!("router, dead ({})", router.pid),
        None => "router, never started".to_owned(),
    }
}

fn status_json(place: &Place, lab: &Lab) -> serde_json::Value {
    let nodes = lab.nodes.iter().map(|node| {
        serde_json::json!({
            "name": node.name,
            "kind": node.kind,
            "host": node.host,
            "namespace": place.namespace(&node.name),
            "folder": place.node_dir(&node.name),
            "socket": place.socket(&node.name),
            "program": node.program,
            "pid": node.router.map(|router| router.pid),
            "alive": node.router.is_some_and(process::Process::is_alive),
            "ports": lab.ports(&node.name),
        })
    });
    serde_json::json!({
        "name": place.name,
        "topology": lab.topology,
        "plain": lab.plain,
        "holder": lab.holder.map(|keeper| keeper.pid),
        "nodes": nodes.collect::<Vec<_>>(),
        "impaired": lab.impaired,
        "cuts": lab.cuts.iter().map(|cut| [&cut.a, &cut.b]).collect::<Vec<_>>(),
    })
}

fn exec(place: &Place, node: &str, command: &[OsString]) -> Result<i32> {
    visit(place)?.node(node)?;
    let (program, arguments) = command.split_first().context("a command is needed")?;
    testbed::enter_net(&place.open_namespace(node)?)?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| program.to_string_lossy().into_owned())
}

fn cli(place: &Place, node: &str, command: Option<&str>) -> Result<i32> {
    visit(place)?.router_mut(node)?;
    let mut program = Command::new("/proc/self/exe");
    match command {
        Some(command) => program
            .arg("exec")
            .arg("--socket")
            .arg(place.socket(node))
            .arg(command),
        None => program.arg("cli").arg("--socket").arg(place.socket(node)),
    };
    Err(program.exec()).context("start the client of the router")
}

fn capture(
    place: &Place,
    node: &str,
    device: &str,
    file: &std::path::Path,
    seconds: Option<u64>,
    snaplen: u32,
) -> Result<i32> {
    // Made before the move into the lab's namespaces, where folders may be others.
    let record = Record::create(file, snaplen)?;
    let lab = visit(place)?;
    lab.node(node)?;
    if !lab.ports(node).contains(&device) {
        let known = lab.ports(node).join(", ");
        bail!("{node} has no port {device} (have: {known})");
    }
    testbed::note_interrupts();
    let time = seconds.map(Duration::from_secs);
    let captured = capture::record(&place.open_namespace(node)?, device, record, time)?;
    let (frames, dropped) = (captured.frames, captured.dropped);
    print(format_args!(
        "{}: {frames} packets, {dropped} dropped",
        file.display()
    ));
    Ok(if dropped == 0 { GREEN } else { RED })
}

/// A node as an end of traffic: its namespace and its first IPv4 address.
pub(crate) fn host(place: &Place, name: &str) -> Result<Host> {
    let namespace = place.open_namespace(name)?;
    let found = netns::inside(&namespace, || Ok(testbed::addresses()?))?;
    let address = found.iter().find_map(|at| match at.address {
        std::net::IpAddr::V4(address) => Some(address),
        std::net::IpAddr::V6(_) => None,
    });
    let address = address.with_context(|| format!("{name} has no IPv4 address"))?;
    Ok(Host {
        name: name.to_owned(),
        namespace,
        address,
    })
}

fn traffic(
    place: &Place,
    [a, b]: [&str; 2],
    shape: Shape,
    seconds: u64,
    json: bool,
) -> Result<i32> {
    let lab = visit(place)?;
    lab.node(a)?;
    lab.node(b)?;
    testbed::note_interrupts();
    let (a, b) = (host(place, a)?, host(place, b)?);
    let until = Instant::now() + Duration::from_secs(seconds);
    let traffic = Traffic::start(&[(&a, &b)], shape)?;
    while Instant::now() < until && !testbed::interrupted() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let reports = traffic.finish()?;
    if json {
        print(format_args!("{}", serde_json::to_string_pretty(&reports)?));
    } else {
        for report in &reports {
            print(format_args!("{report}"));
        }
    }
    Ok(if reports.iter().all(crate::Report::is_clean) {
        GREEN
    } else {
        RED
    })
}

/// The hosts of a lab, as ends of traffic.
pub(crate) fn hosts(place: &Place, lab: &Lab) -> Result<Vec<Host>> {
    lab.hosts().map(|node| host(place, &node.name)).collect()
}

fn ask_all(place: &Place) -> Result<i32> {
    let lab = visit(place)?;
    let matrix = matrix::Matrix::ask(&hosts(place, &lab)?);
    for cell in &matrix.cells {
        print(format_args!("{cell}"));
    }
    Ok(if matrix.is_green() { GREEN } else { RED })
}

fn nonces(captures: &[PathBuf], keylogs: &[PathBuf]) -> Result<i32> {
    let mut keys = nonces::Keys::default();
    for folder in keylogs {
        let path = folder.join("esp_sa");
        let rows = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        keys.add(&rows)
            .with_context(|| path.display().to_string())?;
    }
    let mut uses = nonces::Uses::default();
    for path in captures {
        let octets = std::fs::read(path).with_context(|| path.display().to_string())?;
        uses.add(&keys, &octets)
            .with_context(|| path.display().to_string())?;
    }
    let found = uses.judge();
    print(format_args!(
        "{} packets under {} keys ({} sightings more), {} without IV, {} under unknown SPIs: \
         {} repeated nonces",
        found.packets, found.keys, found.copies, found.without_iv, found.unknown, found.repeated,
    ));
    for example in &found.examples {
        print(format_args!("  {example}"));
    }
    let proven = found.repeated == 0 && found.unknown == 0 && found.packets > 0;
    Ok(if proven { GREEN } else { RED })
}

fn impair_cable(place: &Place, [a, b]: [&str; 2], off: bool, wanted: Impairment) -> Result<i32> {
    let nothing = Impairment {
        seed: wanted.seed,
        ..Impairment::default()
    };
    if off {
        return change(place, |place, lab| impair::restore(place, lab, a, b));
    }
    if wanted != nothing {
        return change(place, |place, lab| impair::impair(place, lab, a, b, wanted));
    }
    let lab = visit(place)?;
    let (impaired, figures) = impair::figures(place, &lab, a, b)?;
    let port = &impaired.port;
    print(format_args!("{a} - {b}: {}", impaired.impairment));
    for (way, figures) in ["arriving at", "leaving by"].iter().zip(figures) {
        print(format_args!(
            "  {way} {port}: taken {}  passed {}  lost {}  doubled {}  overtaken {}  queue full {}  \
             refused {}  waiting {}",
            figures.taken,
            figures.passed,
            figures.lost,
            figures.doubled,
            figures.overtaken,
            figures.overflowed,
            figures.refused,
            figures.waiting,
        ));
    }
    Ok(GREEN)
}

fn route_multicast(place: &Place) -> Result<i32> {
    let lab = visit(place)?;
    testbed::note_interrupts();
    let routing = mroute::start(place, &lab)?;
    print(format_args!("multicast is routed"));
    while !testbed::interrupted() {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(routing);
    Ok(GREEN)
}

fn strays(place: &Place) -> Result<i32> {
    let lab = visit(place)?;
    let found = stray::send_all(&hosts(place, &lab)?)?;
    print(format_args!("{found}"));
    Ok(if found.arrived() == found.sent() {
        GREEN
    } else {
        RED
    })
}
