//! What a test bed asks of the kernel beyond [`crate::namespace`]: user and mount namespaces,
//! sessions and signals, raw IPv4 sockets, batches of datagrams, addresses. Decides nothing; whoever
//! calls says which namespace and which socket.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Turns the answer of a system call into a result.
fn check(answer: i32) -> io::Result<i32> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

/// The effective user.
pub fn effective_user() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() }
}

/// The effective group.
pub fn effective_group() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::getegid() }
}

/// Moves the calling thread into the network namespace.
pub fn enter_net(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Moves this process, which has one thread, into the user namespace.
pub fn enter_user(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWUSER) }).map(drop)
}

/// Moves this process, which has one thread, into the mount namespace.
pub fn enter_mount(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) }).map(drop)
}

/// Gives this process user, mount and network namespaces of its own.
pub fn leave_all() -> io::Result<()> {
    let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET;
    // SAFETY: flags only.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Mounts `source` on `target`; both are paths without NUL.
fn mount(source: &str, target: &str, kind: Option<&str>, flags: libc::c_ulong) -> io::Result<()> {
    let c = |text: &str| std::ffi::CString::new(text).map_err(io::Error::other);
    let (source, target) = (c(source)?, c(target)?);
    let kind = kind.map(c).transpose()?;
    let kind = kind.as_ref().map_or(std::ptr::null(), |kind| kind.as_ptr());
    // SAFETY: the strings live until after the call; no data pointer.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind,
            flags,
            std::ptr::null(),
        )
    })
    .map(drop)
}

/// Keeps the mounts of this namespace from spreading to any other.
pub fn mounts_private() -> io::Result<()> {
    mount("none", "/", None, libc::MS_REC | libc::MS_PRIVATE)
}

/// Mounts an empty memory file system.
pub fn mount_tmpfs(target: &str) -> io::Result<()> {
    mount(
        "tmpfs",
        target,
        Some("tmpfs"),
        libc::MS_NOSUID | libc::MS_NODEV,
    )
}

/// Shows the folder `source` at `target` too.
pub fn mount_bind(source: &str, target: &str) -> io::Result<()> {
    mount(source, target, None, libc::MS_BIND)
}

/// Makes this process the leader of a session, so that the terminal's signals pass it by.
pub fn new_session() -> io::Result<()> {
    // SAFETY: no arguments.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Sleeps until a signal ends the process.
pub fn sleep_for_good() -> ! {
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

/// Lets the command start in the network namespace, in a session of its own if asked.
pub fn start_in(command: &mut Command, namespace: &File, own_session: bool) {
    let fd = namespace.as_raw_fd();
    let inside = move || {
        // SAFETY: both calls are safe between fork and exec; the caller keeps the descriptor open.
        unsafe {
            check(libc::setns(fd, libc::CLONE_NEWNET))?;
            if own_session {
                check(libc::setsid())?;
            }
        }
        Ok(())
    };
    // SAFETY: the closure calls nothing but setns and setsid.
    unsafe { command.pre_exec(inside) };
}

/// Sends the signal to the process.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: numbers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP are noted for [`interrupted`] and end nothing at once.
pub fn note_interrupts() {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler stores to an atomic only; the structure is fully initialised.
        unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = note_interrupt as *const () as usize;
            libc::sigaction(number, &raw const action, std::ptr::null_mut());
        }
    }
}

/// A signal asked this process to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A raw IPv4 socket of the calling thread's namespace.
pub fn raw_socket(protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only; a descriptor that was just opened belongs to nobody else.
    unsafe {
        let fd = check(libc::socket(
            libc::AF_INET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            protocol,
        ))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Sets an integer option of a socket.
pub fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            len,
        )
    })
    .map(drop)
}

/// Asks for socket buffers of `len` octets, beyond the system's limit where that is allowed.
pub fn set_buffers(socket: &impl AsRawFd, len: i32) -> io::Result<()> {
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        if set_option(socket, libc::SOL_SOCKET, force, len).is_err() {
            set_option(socket, libc::SOL_SOCKET, plain, len)?;
        }
    }
    Ok(())
}

/// Lets receiving calls of the socket give up after this many milliseconds.
pub fn set_receive_timeout(socket: &impl AsRawFd, timeout_ms: u32) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: libc::time_t::from(timeout_ms / 1000),
        tv_usec: libc::suseconds_t::from(timeout_ms % 1000 * 1000),
    };
    let len = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `time`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const time).cast(),
            len,
        )
    })
    .map(drop)
}

fn sockaddr(to: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from(to).to_be(),
        },
        sin_zero: [0; 8],
    }
}

/// Sends one packet on a raw IPv4 socket.
pub fn raw_send(socket: &OwnedFd, packet: &[u8], to: Ipv4Addr) -> io::Result<()> {
    let to = sockaddr(to);
    let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the pointers and lengths describe `packet` and `to`.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const to).cast(),
            len,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Receives one packet of a raw IPv4 socket, IP header included; `None` when its timeout passed.
pub fn raw_receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: the pointer and the length describe `buffer`.
    let got = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            0,
        )
    };
    match usize::try_from(got) {
        Ok(len) => Ok(Some(len)),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            error => Err(error),
        },
    }
}

/// Datagrams for sendmmsg and recvmmsg: `TRAFFIC_BATCH` buffers of one size.
pub struct Batch {
    /// The datagrams, each `stride` octets.
    bytes: Vec<u8>,
    stride: usize,
    capacity: usize,
}

impl Batch {
    /// `capacity` datagrams of at most `stride` octets.
    pub fn new(capacity: usize, stride: usize) -> Self {
        Self {
            bytes: vec![0; capacity * stride],
            stride,
            capacity,
        }
    }

    /// The buffer of the datagram `index`.
    pub fn datagram(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[index * self.stride..(index + 1) * self.stride]
    }

    /// Builds the headers that sendmmsg and recvmmsg read, and hands them to `call`.
    fn with_headers<T>(&mut self, count: usize, call: impl FnOnce(&mut [libc::mmsghdr]) -> T) -> T {
        assert!(
            count <= self.capacity,
            "a batch holds {} datagrams",
            self.capacity
        );
        let mut vectors: Vec<libc::iovec> = self
            .bytes
            .chunks_exact_mut(self.stride)
            .take(count)
            .map(|chunk| libc::iovec {
                iov_base: chunk.as_mut_ptr().cast(),
                iov_len: chunk.len(),
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: an all-zero header is a valid one without address and control data.
                let mut header: libc::mmsghdr = unsafe { zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        call(&mut headers)
    }

    /// Sends the first `count` datagrams, each of the full size, on a connected socket.
    pub fn send(&mut self, socket: &impl AsRawFd, count: usize) -> io::Result<usize> {
        let fd = socket.as_raw_fd();
        self.with_headers(count, |headers| {
            // SAFETY: the headers point into buffers that outlive the call.
            let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), headers.len() as u32, 0) };
            check(sent).map(|sent| sent as usize)
        })
    }

    /// Receives up to `capacity` datagrams, waiting for the first; returns their lengths.
    pub fn receive(&mut self, socket: &impl AsRawFd, lengths: &mut Vec<usize>) -> io::Result<()> {
        let fd = socket.as_raw_fd();
        lengths.clear();
        let capacity = self.capacity;
        self.with_headers(capacity, |headers| {
            // SAFETY: the headers point into buffers that outlive the call; no timeout pointer.
            let got = unsafe {
                libc::recvmmsg(
                    fd,
                    headers.as_mut_ptr(),
                    headers.len() as u32,
                    libc::MSG_WAITFORONE,
                    std::ptr::null_mut(),
                )
            };
            match check(got) {
                Ok(got) => {
                    lengths.extend(
                        headers
                            .iter()
                            .take(got as usize)
                            .map(|h| h.msg_len as usize),
                    );
                    Ok(())
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}

/// An address of a device of the calling thread's namespace, with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAddress {
    /// The address.
    pub address: IpAddr,
    /// Leading bits of the network.
    pub prefix_len: u32,
    /// The number of its device.
    pub index: u32,
}

/// The addresses of this namespace except loopback and link-local ones, in the kernel's order.
pub fn addresses() -> io::Result<Vec<DeviceAddress>> {
    let mut head: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs fills `head` with a list that freeifaddrs releases below.
    check(unsafe { libc::getifaddrs(&raw mut head) })?;
    let mut found = Vec::new();
    let mut entry = head;
    while !entry.is_null() {
        // SAFETY: `entry` is an element of the list, not yet released.
        let item = unsafe { &*entry };
        if !item.ifa_addr.is_null() && !item.ifa_netmask.is_null() {
            // SAFETY: the two pointers are those of one element, of the family that they name.
            let at = unsafe { device_address(item.ifa_addr, item.ifa_netmask) };
            // SAFETY: the name ends with a NUL and lives as long as the list.
            let index = unsafe { libc::if_nametoindex(item.ifa_name) };
            found.extend(at.map(|at| DeviceAddress { index, ..at }));
        }
        entry = item.ifa_next;
    }
    // SAFETY: `head` came from getifaddrs and is not used afterwards.
    unsafe { libc::freeifaddrs(head) };
    Ok(found)
}

/// # Safety
/// Both pointers are socket addresses of the family that the first one names.
unsafe fn device_address(
    address: *const libc::sockaddr,
    mask: *const libc::sockaddr,
) -> Option<DeviceAddress> {
    // SAFETY: the caller's promise.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = |of: *const libc::sockaddr| {
                    u32::from_be((*of.cast::<libc::sockaddr_in>()).sin_addr.s_addr)
                };
                let at = Ipv4Addr::from(v4(address));
                (!at.is_loopback()).then(|| DeviceAddress {
                    address: at.into(),
                    prefix_len: v4(mask).count_ones(),
                    index: 0,
                })
            }
            libc::AF_INET6 => {
                let v6 = |of: *const libc::sockaddr| {
                    u128::from_be_bytes((*of.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr)
                };
                let at = Ipv6Addr::from(v6(address));
                (!at.is_loopback() && !at.is_unicast_link_local()).then(|| DeviceAddress {
                    address: at.into(),
                    prefix_len: v6(mask).count_ones(),
                    index: 0,
                })
            }
            _ => None,
        }
    }
}

/// Datagrams that arrived at the socket and found its buffer full (SO_MEMINFO).
pub fn receive_drops(fd: std::os::fd::RawFd) -> io::Result<u64> {
    /// Index of the drops in the array (SK_MEMINFO_DROPS), and how long it is (SK_MEMINFO_VARS).
    const DROPS: usize = 8;
    const VARS: usize = 9;
    /// The option's number in asm-generic/socket.h; libc does not name it.
    const SO_MEMINFO: i32 = 55;
    let mut info = [0_u32; VARS];
    let mut len = size_of::<[u32; VARS]>() as libc::socklen_t;
    // SAFETY: the pointers and the length describe `info` and `len`.
    check(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    })?;
    Ok(u64::from(info[DROPS]))
}
