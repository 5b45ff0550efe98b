//! A small network in namespaces of its own, for tests: host -- member -- core.

use std::fs::File;
use std::io::{IoSliceMut, Write as _};
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use netio::backend::{FrameRx, Received};
use netio::link::{self, Change};
use netio::namespace;
use netio::netlink::Socket;

const INSIDE: &str = "GETVPN_TEST_INSIDE";

/// Runs the test `name` again in namespaces of its own; true inside, where the test is to be done.
/// Says so when the system lets this user have none, and then the test counts as skipped.
pub(crate) fn isolated(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let skip = |why: String| {
        let _ = std::io::stderr().write_all(format!("SKIPPED {name}: {why}\n").as_bytes());
        false
    };
    let tun = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    if let Err(error) = tun {
        return skip(format!(
            "/dev/net/tun: {error} (usually everybody may open it)"
        ));
    }
    let mut command = Command::new(std::env::current_exe().expect("the test's own program"));
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1");
    namespace::isolate(&mut command);
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "{name} failed in its namespaces");
            false
        }
        Err(error) => skip(format!("no user and network namespaces here: {error}")),
    }
}

/// A new network namespace, with the loopback device up.
pub(crate) fn new_namespace() -> File {
    std::thread::spawn(|| {
        namespace::enter_new().unwrap();
        let mut socket = Socket::open().unwrap();
        link::change(&mut socket, 1, &Change::Up(true)).unwrap();
        namespace::current().unwrap()
    })
    .join()
    .unwrap()
}

/// Does something in a namespace; sockets opened there stay there.
pub(crate) fn within<T: Send>(place: &File, act: impl FnOnce(&mut Socket) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            namespace::enter(place).unwrap();
            act(&mut Socket::open().unwrap())
        });
        thread.join().unwrap()
    })
}

/// A device of this thread's namespace.
pub(crate) fn device(name: &str) -> link::Interface {
    link::named(&mut Socket::open().unwrap(), name)
        .unwrap()
        .unwrap()
}

/// A cable between `near` here and `far` in the namespace, each with its address, up.
pub(crate) fn cable(near: (&str, [u8; 4]), place: &File, far: (&str, [u8; 4])) {
    let mut socket = Socket::open().unwrap();
    link::create_veth(&mut socket, near.0, far.0).unwrap();
    let index = device(far.0).index;
    link::change(
        &mut socket,
        index,
        &Change::Namespace(std::os::fd::AsFd::as_fd(place)),
    )
    .unwrap();
    let set_up = |socket: &mut Socket, (name, address): (&str, [u8; 4])| {
        let index = link::named(socket, name).unwrap().unwrap().index;
        link::add_address(socket, index, address.into(), 24).unwrap();
        link::change(socket, index, &Change::Up(true)).unwrap();
    };
    set_up(&mut socket, near);
    within(place, |socket| set_up(socket, far));
}

pub(crate) fn route(socket: &mut Socket, network: [u8; 4], length: u8, gateway: [u8; 4]) {
    link::add_route(socket, Ipv4Addr::from(network), length, gateway.into()).unwrap();
}

pub(crate) fn sysctl(path: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
}

/// The next frame, or none within the time.
pub(crate) fn next_frame(from: &mut dyn FrameRx, wait: Duration) -> Option<Vec<u8>> {
    let end = Instant::now() + wait;
    loop {
        let mut space = vec![0; 70_000];
        let mut received = [Received::default()];
        let got = from.receive(&mut [IoSliceMut::new(&mut space)], &mut received);
        if got.unwrap() == 1 {
            space.truncate(received[0].len);
            return Some(space);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        netio::poll(&mut [netio::Wait::for_input(from.readable())], Some(left)).unwrap();
    }
}
