//! The program itself: a key server and a member with a host behind it, in namespaces of their own.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

#[path = "../../netio/tests/support/mod.rs"]
mod support;

use std::fs::{File, Permissions};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use netio::packet::PacketRx;
use netio::{link, steer};
use support::{cable, device, isolated, next_frame, route, sysctl, within};

const HOST: [u8; 4] = [192, 168, 20, 10];
const FAR: [u8; 4] = [192, 168, 21, 10];
const MEMBER: [u8; 4] = [10, 1, 20, 2];
const SERVER: [u8; 4] = [10, 1, 20, 1];
const WAIT: Duration = Duration::from_secs(20);

const PHASE_1: &str = "\
crypto isakmp policy 10
 encr aes 256
 hash sha256
 authentication pre-share
 group 19
crypto isakmp key kCu2dGgqXv9W1eBsSxJpTzNnQmRa address PEER
";

const KEY_SERVER: &str = "\
hostname KS
crypto ipsec transform-set T1 esp-gcm 256
crypto ipsec profile gdoi-p
 set transform-set T1
crypto gdoi group G1
 identity number 3333
 server local
  rekey authentication mypubkey rsa rekeyrsa
  rekey transport unicast
  sa ipsec 1
   profile gdoi-p
   match address ipv4 ENCPOL
  address ipv4 10.1.20.1
ip access-list extended ENCPOL
 permit ip 192.168.0.0 0.0.255.255 192.168.0.0 0.0.255.255
";

const GROUP_MEMBER: &str = "\
hostname GM
crypto gdoi group G1
 identity number 3333
 server address ipv4 10.1.20.1
crypto map M 10 gdoi
 set group G1
interface Serial1/0
 ip address 10.1.20.2 255.255.255.0
 crypto map M
";

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_getvpn"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn status(arguments: &[&str]) -> Option<i32> {
    run(arguments).status.code()
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("getvpn-run-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn config(folder: &Path, name: &str, text: &str, peer: [u8; 4]) -> String {
    let phase_1 = PHASE_1.replace("PEER", &Ipv4Addr::from(peer).to_string());
    let path = folder.join(name);
    std::fs::write(&path, format!("{phase_1}{text}")).unwrap();
    path.display().to_string()
}

/// A running box.
struct Running {
    child: Child,
    socket: String,
}

impl Running {
    fn start(folder: &Path, name: &str, config: &str) -> Self {
        Self::start_with(folder, name, config, &[])
    }

    fn start_with(folder: &Path, name: &str, config: &str, more: &[&str]) -> Self {
        let of = |what: &str| folder.join(format!("{name}.{what}")).display().to_string();
        let log = File::create(of("log")).unwrap();
        let socket = of("sock");
        let child = program(&["run", "--config", config, "--state", &of("state")])
            .args(["--socket", &socket])
            .args(more)
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        let running = Self { child, socket };
        until(|| running.exec("show running-config").status.success());
        running
    }

    fn exec(&self, command: &str) -> Output {
        run(&["exec", "--socket", &self.socket, command])
    }

    /// SIGTERM, as a service manager ends it.
    fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < end, "it did not come about in {WAIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A host behind a member whose WAN cable ends at the core; the key server is on the core.
struct Network {
    folder: PathBuf,
    core: File,
    host: UdpSocket,
    wire: PacketRx,
    member: String,
    server: String,
}

impl Network {
    fn build(name: &str) -> Self {
        let folder = folder(name);
        let (host, core) = (support::new_namespace(), support::new_namespace());
        cable(("lan", [192, 168, 20, 1]), &host, ("eth0", HOST));
        cable(("wan", MEMBER), &core, ("to-gm", SERVER));
        let mut netlink = netio::netlink::Socket::open().unwrap();
        let alias = link::Change::Alias("Serial1/0");
        link::change(&mut netlink, device("wan").index, &alias).unwrap();
        sysctl("ipv4/ip_forward", "1");
        route(&mut netlink, [0; 4], 0, SERVER);
        let wire = within(&core, |socket| {
            let port = link::named(socket, "to-gm").unwrap().unwrap();
            PacketRx::open(port.index, &policy::steer::constant(u32::MAX)).unwrap()
        });
        let host = within(&host, |socket| {
            route(socket, [0; 4], 0, [192, 168, 20, 1]);
            UdpSocket::bind((Ipv4Addr::from(HOST), 5_000)).unwrap()
        });
        Self {
            member: config(&folder, "gm.cfg", GROUP_MEMBER, SERVER),
            server: config(&folder, "ks.cfg", KEY_SERVER, MEMBER),
            folder,
            core,
            host,
            wire,
        }
    }

    fn start_member(&self) -> Running {
        Running::start(&self.folder, "gm", &self.member)
    }

    /// What of five packets of the host comes to the core: (as ESP, in clear).
    fn sent(&mut self) -> (usize, usize) {
        for _ in 0..5 {
            self.host
                .send_to(b"data", (Ipv4Addr::from(FAR), 5_000))
                .unwrap();
        }
        let (mut sealed, mut clear) = (0, 0);
        while let Some(frame) = next_frame(&mut self.wire, Duration::from_millis(100)) {
            if frame[12..14] == [8, 0] && frame[26..30] == HOST {
                *(if frame[23] == 50 {
                    &mut sealed
                } else {
                    &mut clear
                }) += 1;
            }
        }
        (sealed, clear)
    }

    fn is_steered() -> bool {
        let mut netlink = netio::netlink::Socket::open().unwrap();
        steer::is_loaded(&mut netlink, device("wan").index).unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_member_protects_its_hosts_and_its_port_stays_closed_whatever_ends_it() {
    if !isolated("a_member_protects_its_hosts_and_its_port_stays_closed_whatever_ends_it") {
        return;
    }
    let mut network = Network::build("member");
    assert_eq!(network.sent(), (0, 5), "a plain router");
    // Closed before any member runs, and once more without effect.
    assert_eq!(status(&["close", "--config", &network.member]), Some(0));
    assert_eq!(network.sent(), (0, 0));
    assert_eq!(status(&["close", "--config", &network.member]), Some(0));
    // Closed before it is registered.
    let member = network.start_member();
    assert_eq!(network.sent(), (0, 0));

    let server = within(&network.core, |_| {
        let server = Running::start(&network.folder, "ks", &network.server);
        let made = server.exec("crypto key generate rsa label rekeyrsa modulus 2048");
        assert!(made.status.success());
        server
    });
    until(|| network.sent() == (5, 0));
    // Closed while it is dead; then back within three seconds.
    member.kill();
    assert_eq!(network.sent(), (0, 0));
    let begin = Instant::now();
    let member = network.start_member();
    let mut clear = 0;
    until(|| {
        let seen = network.sent();
        clear += seen.1;
        seen.0 == 5
    });
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(clear, 0);
    // Closed after it ended as asked; release opens.
    assert_eq!(member.stop(), Some(0));
    assert_eq!(network.sent(), (0, 0));
    assert!(Network::is_steered());
    assert_eq!(status(&["release", "--config", &network.member]), Some(0));
    assert!(!Network::is_steered());
    assert_eq!(network.sent(), (0, 5));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn without_crypto_map_the_port_is_open_and_with_it_closed_again() {
    if !isolated("without_crypto_map_the_port_is_open_and_with_it_closed_again") {
        return;
    }
    let mut network = Network::build("map");
    let member = network.start_member();
    assert_eq!(network.sent(), (0, 0));
    let typed = |lines: &[&str]| {
        let mut session = std::os::unix::net::UnixStream::connect(&member.socket).unwrap();
        for line in lines {
            use std::io::{BufRead as _, BufReader, Write as _};
            writeln!(session, r#"{{"v":1,"command":"{line}"}}"#).unwrap();
            let mut answer = String::new();
            BufReader::new(session.try_clone().unwrap())
                .read_line(&mut answer)
                .unwrap();
            assert!(answer.contains(r#""status":"ok""#), "{line}: {answer}");
        }
    };
    typed(&[
        "configure terminal",
        "interface Serial1/0",
        "no crypto map M",
        "end",
    ]);
    assert_eq!(network.sent(), (0, 5));
    assert!(!Network::is_steered());
    typed(&[
        "configure terminal",
        "interface Serial1/0",
        "crypto map M",
        "end",
    ]);
    assert_eq!(network.sent(), (0, 0));
}

#[test]
fn a_port_that_loses_its_filters_or_is_made_anew_is_steered_again() {
    if !isolated("a_port_that_loses_its_filters_or_is_made_anew_is_steered_again") {
        return;
    }
    let mut network = Network::build("again");
    let _member = network.start_member();
    let mut netlink = netio::netlink::Socket::open().unwrap();
    // Somebody takes the filters away.
    assert!(steer::release(&mut netlink, device("wan").index).unwrap());
    until(Network::is_steered);
    assert_eq!(network.sent(), (0, 0));
    // The device goes, as a pulled card does, and another comes under its name.
    let old = device("wan").index;
    link::delete(&mut netlink, old).unwrap();
    cable(("wan", MEMBER), &network.core, ("to-gm", SERVER));
    let alias = link::Change::Alias("Serial1/0");
    link::change(&mut netlink, device("wan").index, &alias).unwrap();
    assert_ne!(device("wan").index, old);
    until(Network::is_steered);
    route(&mut netlink, [0; 4], 0, SERVER);
    network.wire = within(&network.core, |socket| {
        let port = link::named(socket, "to-gm").unwrap().unwrap();
        PacketRx::open(port.index, &policy::steer::constant(u32::MAX)).unwrap()
    });
    assert_eq!(network.sent(), (0, 0));
}

#[test]
fn a_state_folder_and_a_socket_serve_one_box() {
    if !isolated("a_state_folder_and_a_socket_serve_one_box") {
        return;
    }
    let folder = folder("lock");
    let file = config(&folder, "r.cfg", "hostname R\n", SERVER);
    let first = Running::start(&folder, "r", &file);
    let state = folder.join("r.state").display().to_string();
    let other = folder.join("other.sock").display().to_string();
    let second = run(&[
        "run", "--config", &file, "--state", &state, "--socket", &other,
    ]);
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        said.contains(&format!("process {}", first.child.id())),
        "{said}"
    );
    let elsewhere = folder.join("elsewhere").display().to_string();
    let second = run(&[
        "run",
        "--config",
        &file,
        "--state",
        &elsewhere,
        "--socket",
        &first.socket,
    ]);
    assert_eq!(second.status.code(), Some(2));
    assert_eq!(first.exec("show nothing at all").status.code(), Some(1));
    let socket = first.socket.clone();
    assert_eq!(first.stop(), Some(0));
    assert!(!Path::new(&socket).exists());
    assert_eq!(
        status(&["exec", "--socket", &socket, "show version"]),
        Some(2)
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_sealed_state_folder_opens_with_its_key_only_also_after_a_kill() {
    if !isolated("a_sealed_state_folder_opens_with_its_key_only_also_after_a_kill") {
        return;
    }
    let folder = folder("sealed");
    let key = folder.join("seal.key");
    std::fs::write(&key, [7; 32]).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let file = config(&folder, "ks.cfg", KEY_SERVER, MEMBER);
    let with_key = ["--seal-key", key.to_str().unwrap()];
    let made = "crypto key generate rsa label get modulus 2048";
    let shown = "show crypto key mypubkey rsa";
    let first = Running::start_with(&folder, "ks", &file, &with_key);
    assert!(first.exec(made).status.success());
    let before = first.exec(shown).stdout;
    first.kill();
    let state = folder.join("ks.state").display().to_string();
    let without = run(&["run", "--config", &file, "--state", &state]);
    assert_eq!(without.status.code(), Some(2));
    let said = String::from_utf8(without.stderr).unwrap();
    assert!(said.contains("is sealed"), "{said}");
    let again = Running::start_with(&folder, "ks", &file, &with_key);
    assert_eq!(again.exec(shown).stdout, before);
    assert_eq!(again.stop(), Some(0));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn check_says_by_its_status_whether_a_configuration_is_clean() {
    let folder = folder("check");
    let path = folder.join("r.cfg");
    let file = path.display().to_string();
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output = run(&["check", &file]);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(check("hostname R\n"), (Some(0), String::new()));
    let (status_, said) = check("hostname R\ncrypto nonsense\nhostname\n");
    assert_eq!(status_, Some(1));
    assert!(
        said.contains("r.cfg:2:") && said.contains("r.cfg:3:"),
        "{said}"
    );
    let wildcard = "crypto isakmp key kCu2dGgqXv9W1eBsSxJpTzNnQmRa address 0.0.0.0\n";
    let (status_, said) = check(wildcard);
    assert_eq!(status_, Some(3), "{said}");
    assert_eq!(status(&["check", "/no/such/file"]), Some(2));
    std::fs::remove_dir_all(&folder).unwrap();
}
