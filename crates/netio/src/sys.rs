//! System calls that std does not offer, each behind a safe function.
//!
//! Rules: every pointer handed to the kernel comes from a reference that outlives the call, every
//! length from the same slice; descriptors are owned or borrowed std types, never bare numbers.

#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use policy::steer::Instruction;

use crate::limits::{BATCH_MAX, PEER_GROUPS_MAX, POLL_MAX};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn size_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(mem::size_of::<T>()).expect("kernel structures are small")
}

/// A new socket, closed on exec.
pub(crate) fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is a descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// A value that the kernel may read or write as plain octets.
///
/// # Safety
/// Every bit pattern is a value, and there is no padding that matters.
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: integers have no padding and every bit pattern is a value.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: all fields are integers.
unsafe impl Plain for libc::tpacket_stats {}
// SAFETY: all fields are integers.
unsafe impl Plain for libc::timeval {}
// SAFETY: an array of integers.
unsafe impl<const N: usize> Plain for [u32; N] {}

/// setsockopt(2) with a plain value.
pub(crate) fn set_option<T: Plain>(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: T,
) -> io::Result<()> {
    // SAFETY: the kernel reads size_of::<T>() octets from `value`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<T>(),
        )
    };
    check(result).map(drop)
}

/// getsockopt(2) of a plain value.
pub(crate) fn option<T: Plain>(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<T> {
    let mut len = size_of::<T>();
    // SAFETY: T is plain, so zeroes are a value; the kernel writes at most `len` octets into it.
    unsafe {
        let mut value: T = mem::zeroed();
        check(libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut len,
        ))?;
        Ok(value)
    }
}

/// Attaches or replaces a classic BPF filter; the change is atomic.
pub(crate) fn attach_filter(fd: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|one| libc::sock_filter {
            code: one.code,
            jt: one.jt,
            jf: one.jf,
            k: one.k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `filter` holds `len` instructions and lives through the call; the kernel copies.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>(),
        )
    };
    check(result).map(drop)
}

/// Binds a packet socket to a device; protocol 0 receives nothing.
pub(crate) fn bind_packet(fd: BorrowedFd<'_>, index: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: zeroes are a valid sockaddr_ll; the kernel reads size_of octets of it.
    let result = unsafe {
        let mut address: libc::sockaddr_ll = mem::zeroed();
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("a small constant");
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
        libc::bind(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>(),
        )
    };
    check(result).map(drop)
}

/// Binds a netlink socket to multicast groups (a bit mask, 0 = none).
pub(crate) fn bind_netlink(fd: BorrowedFd<'_>, groups: u32) -> io::Result<()> {
    // SAFETY: zeroes are a valid sockaddr_nl; the kernel reads size_of octets of it.
    let result = unsafe {
        let mut address: libc::sockaddr_nl = mem::zeroed();
        address.nl_family = u16::try_from(libc::AF_NETLINK).expect("a small constant");
        address.nl_groups = groups;
        libc::bind(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_nl>(),
        )
    };
    check(result).map(drop)
}

/// Binds a UDP socket.
pub(crate) fn bind_v4(fd: BorrowedFd<'_>, address: SocketAddrV4) -> io::Result<()> {
    let name = name_of(address);
    // SAFETY: the kernel reads size_of octets of `name`.
    let result = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const name).cast(),
            size_of::<libc::sockaddr_in>(),
        )
    };
    check(result).map(drop)
}

/// recv(2).
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    // SAFETY: the kernel writes at most buffer.len() octets into the buffer.
    let got = unsafe {
        libc::recv(
            fd.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags,
        )
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// send(2).
pub(crate) fn send(fd: BorrowedFd<'_>, octets: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads octets.len() octets.
    let sent = unsafe { libc::send(fd.as_raw_fd(), octets.as_ptr().cast(), octets.len(), 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// One frame of [`receive_frames`].
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Frame {
    /// Octets in the space.
    pub(crate) len: usize,
    /// Whether it was longer than the space.
    pub(crate) cut: bool,
    /// PACKET_AUXDATA: TCI and TPID of a VLAN tag that the kernel took out of the frame.
    pub(crate) tag: Option<(u16, u16)>,
}

#[repr(C, align(8))]
#[derive(Copy, Clone)]
struct Control([u8; 64]);

/// recvmmsg(2) without waiting: each frame goes into one space, its first octets, as many as a
/// header has, into `headers`. At most [`BATCH_MAX`] at once.
pub(crate) fn receive_frames<const N: usize>(
    fd: BorrowedFd<'_>,
    headers: &mut [[u8; N]],
    spaces: &mut [IoSliceMut<'_>],
    frames: &mut [Frame],
) -> io::Result<usize> {
    let count = spaces
        .len()
        .min(headers.len())
        .min(frames.len())
        .min(BATCH_MAX);
    let mut controls = [Control([0; 64]); BATCH_MAX];
    // SAFETY: zeroes are valid iovecs and mmsghdrs. All pointers are to the arguments and to
    // `controls`, `parts`, which outlive the call, with the lengths of what they point to. After
    // the call, only the `got` first messages are read, within the lengths the kernel reports.
    unsafe {
        let mut parts: [[libc::iovec; 2]; BATCH_MAX] = mem::zeroed();
        let mut messages: [libc::mmsghdr; BATCH_MAX] = mem::zeroed();
        for place in 0..count {
            parts[place][0].iov_base = headers[place].as_mut_ptr().cast();
            parts[place][0].iov_len = N;
            parts[place][1].iov_base = spaces[place].as_mut_ptr().cast();
            parts[place][1].iov_len = spaces[place].len();
            let message = &mut messages[place].msg_hdr;
            message.msg_iov = parts[place].as_mut_ptr();
            message.msg_iovlen = 2;
            message.msg_control = controls[place].0.as_mut_ptr().cast();
            message.msg_controllen = controls[place].0.len();
        }
        let got = check(libc::recvmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            u32::try_from(count).expect("a batch is small"),
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        ))?;
        let got = usize::try_from(got).expect("checked to be no error");
        for place in 0..got {
            let message = &messages[place];
            frames[place] = Frame {
                len: (message.msg_len as usize).saturating_sub(N),
                cut: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                tag: vlan_tag(&message.msg_hdr),
            };
        }
        Ok(got)
    }
}

/// # Safety
/// `message` was filled by recvmsg and its control buffer is alive.
unsafe fn vlan_tag(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: the CMSG functions walk the control buffer within msg_controllen; the data of a
    // PACKET_AUXDATA message is a tpacket_auxdata, read without assuming alignment.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = control.as_ref() {
            if header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA {
                let data = libc::CMSG_DATA(control).cast::<libc::tpacket_auxdata>();
                let data = std::ptr::read_unaligned(data);
                let status = data.tp_status;
                let tagged = status & libc::TP_STATUS_VLAN_VALID != 0;
                let named = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
                let protocol = if named { data.tp_vlan_tpid } else { 0x8100 };
                return tagged.then_some((data.tp_vlan_tci, protocol));
            }
            control = libc::CMSG_NXTHDR(message, control);
        }
        None
    }
}

/// sendmmsg(2): each of the frames, at most [`BATCH_MAX`], as one message. How many left.
pub(crate) fn send_frames(fd: BorrowedFd<'_>, frames: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = frames.len().min(BATCH_MAX);
    // SAFETY: zeroes are valid; an IoSlice is an iovec by its documented layout, and the kernel
    // only reads through it. `frames` outlives the call.
    let sent = unsafe {
        let mut messages: [libc::mmsghdr; BATCH_MAX] = mem::zeroed();
        for (message, frame) in messages.iter_mut().zip(frames) {
            message.msg_hdr.msg_iov = std::ptr::from_ref(frame).cast_mut().cast();
            message.msg_hdr.msg_iovlen = 1;
        }
        libc::sendmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            u32::try_from(count).expect("a batch is small"),
            0,
        )
    };
    usize::try_from(check(sent)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// One datagram of [`receive_datagrams`].
#[derive(Copy, Clone, Debug)]
pub(crate) struct Arrived {
    /// Where it came from.
    pub(crate) peer: SocketAddrV4,
    /// Its octets.
    pub(crate) len: usize,
}

impl Default for Arrived {
    fn default() -> Self {
        Self {
            peer: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            len: 0,
        }
    }
}

fn name_of(address: SocketAddrV4) -> libc::sockaddr_in {
    // SAFETY: zeroes are a valid sockaddr_in.
    let mut name: libc::sockaddr_in = unsafe { mem::zeroed() };
    name.sin_family = u16::try_from(libc::AF_INET).expect("a small constant");
    name.sin_port = address.port().to_be();
    name.sin_addr.s_addr = address.ip().to_bits().to_be();
    name
}

fn address_of(name: &libc::sockaddr_in) -> SocketAddrV4 {
    let address = Ipv4Addr::from_bits(u32::from_be(name.sin_addr.s_addr));
    SocketAddrV4::new(address, u16::from_be(name.sin_port))
}

/// recvmmsg(2) without waiting, on a UDP socket of IPv4: each datagram goes into one space of
/// `space_len` octets of `spaces`. At most [`BATCH_MAX`] at once.
pub(crate) fn receive_datagrams(
    fd: BorrowedFd<'_>,
    spaces: &mut [u8],
    space_len: usize,
    arrived: &mut [Arrived],
) -> io::Result<usize> {
    // SAFETY: zeroes are valid sockaddrs, iovecs and mmsghdrs. All pointers are to `spaces` and to
    // the arrays here, which outlive the call, with the lengths of what they point to. After the
    // call, only the `got` first messages are read.
    unsafe {
        let mut names: [libc::sockaddr_in; BATCH_MAX] = mem::zeroed();
        let mut parts: [libc::iovec; BATCH_MAX] = mem::zeroed();
        let mut messages: [libc::mmsghdr; BATCH_MAX] = mem::zeroed();
        let mut count = 0;
        for (space, _) in spaces
            .chunks_exact_mut(space_len)
            .zip(arrived.iter())
            .take(BATCH_MAX)
        {
            parts[count].iov_base = space.as_mut_ptr().cast();
            parts[count].iov_len = space.len();
            let message = &mut messages[count].msg_hdr;
            message.msg_name = (&raw mut names[count]).cast();
            message.msg_namelen = size_of::<libc::sockaddr_in>();
            message.msg_iov = &raw mut parts[count];
            message.msg_iovlen = 1;
            count += 1;
        }
        let got = check(libc::recvmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            u32::try_from(count).expect("a batch is small"),
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        ))?;
        let got = usize::try_from(got).expect("checked to be no error");
        for ((one, message), name) in arrived.iter_mut().zip(&messages).zip(&names).take(got) {
            *one = Arrived {
                peer: address_of(name),
                len: message.msg_len as usize,
            };
        }
        Ok(got)
    }
}

/// sendmmsg(2): each of the datagrams, at most [`BATCH_MAX`], to its peer. How many left; an error
/// is that of the first.
pub(crate) fn send_datagrams(
    fd: BorrowedFd<'_>,
    datagrams: &[(SocketAddrV4, &[u8])],
) -> io::Result<usize> {
    let count = datagrams.len().min(BATCH_MAX);
    // SAFETY: zeroes are valid sockaddrs, iovecs and mmsghdrs. All pointers are to `datagrams` and
    // to the arrays here, which outlive the call; the kernel only reads through them.
    let sent = unsafe {
        let mut names: [libc::sockaddr_in; BATCH_MAX] = mem::zeroed();
        let mut parts: [libc::iovec; BATCH_MAX] = mem::zeroed();
        let mut messages: [libc::mmsghdr; BATCH_MAX] = mem::zeroed();
        for (place, (peer, octets)) in datagrams.iter().take(count).enumerate() {
            names[place] = name_of(*peer);
            parts[place].iov_base = octets.as_ptr().cast_mut().cast();
            parts[place].iov_len = octets.len();
            let message = &mut messages[place].msg_hdr;
            message.msg_name = (&raw mut names[place]).cast();
            message.msg_namelen = size_of::<libc::sockaddr_in>();
            message.msg_iov = &raw mut parts[place];
            message.msg_iovlen = 1;
        }
        libc::sendmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            u32::try_from(count).expect("a batch is small"),
            0,
        )
    };
    usize::try_from(check(sent)?).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// What a descriptor is ready for.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Octets, or an error, wait to be read.
    pub readable: bool,
    /// The other end is gone, or the descriptor is in error.
    pub closed: bool,
}

/// A descriptor to wait for, and what became of it.
#[derive(Debug)]
pub struct Wait<'a> {
    fd: BorrowedFd<'a>,
    /// What it is ready for, after [`poll`].
    pub ready: Ready,
}

impl<'a> Wait<'a> {
    /// Waits for something to read.
    #[must_use]
    pub fn for_input(fd: BorrowedFd<'a>) -> Self {
        Self {
            fd,
            ready: Ready::default(),
        }
    }
}

/// Waits until one of the descriptors, at most 64, can be read, at most `timeout` (`None`: without
/// end).
///
/// # Errors
/// When the kernel refuses; interruption by a signal is not an error but nothing ready.
pub fn poll(waits: &mut [Wait<'_>], timeout: Option<Duration>) -> io::Result<()> {
    if waits.len() > POLL_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let nothing = libc::pollfd {
        fd: -1,
        events: 0,
        revents: 0,
    };
    let mut polled = [nothing; POLL_MAX];
    for (one, wait) in polled.iter_mut().zip(waits.iter()) {
        one.fd = wait.fd.as_raw_fd();
        one.events = libc::POLLIN;
    }
    let timeout_ms = timeout.map_or(-1, |span| {
        i32::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    let count = libc::nfds_t::try_from(waits.len()).expect("few descriptors");
    // SAFETY: the kernel reads and writes the first `count` pollfds of the array.
    let result = check(unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) });
    match result {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        Ok(_) | Err(_) => {}
    }
    for (one, wait) in polled.iter().zip(waits) {
        wait.ready = Ready {
            readable: one.revents & libc::POLLIN != 0,
            closed: one.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0,
        };
    }
    Ok(())
}

/// The supplementary groups of the process at the other end of a Unix socket (SO_PEERGROUPS).
///
/// # Errors
/// The socket has no other end.
pub fn peer_groups(fd: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    const SO_PEERGROUPS: i32 = 59;
    let mut groups = vec![0_u32; PEER_GROUPS_MAX];
    let mut len = libc::socklen_t::try_from(4 * groups.len()).expect("a small buffer");
    // SAFETY: the kernel writes at most `len` octets, which the buffer has, and sets `len`.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    check(result)?;
    groups.truncate(usize::try_from(len).unwrap_or(0) / 4);
    Ok(groups)
}

/// clock_gettime(2) in nanoseconds.
pub(crate) fn clock_nanos(clock: libc::clockid_t) -> i128 {
    // SAFETY: the kernel fills the timespec; for the constant clocks used here it never fails.
    let time = unsafe {
        let mut time: libc::timespec = mem::zeroed();
        let result = libc::clock_gettime(clock, &raw mut time);
        assert_eq!(result, 0, "these clocks exist on every Linux");
        time
    };
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// The clock of the processor time of a process, its ended threads included, as
/// clock_getcpuclockid(3) makes it.
pub(crate) fn cpu_clock(pid: u32) -> io::Result<libc::clockid_t> {
    const SCHED: libc::clockid_t = 2;
    // The kernel's greatest; beyond it the number would name another clock.
    const PID_MAX: libc::pid_t = 1 << 22;
    match libc::pid_t::try_from(pid) {
        Ok(pid @ 1..=PID_MAX) => Ok((!pid << 3) | SCHED),
        Ok(_) | Err(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// clock_gettime(2) of a clock that may be gone.
pub(crate) fn clock_if_there(clock: libc::clockid_t) -> io::Result<Duration> {
    // SAFETY: the kernel fills the timespec, or says that there is no such clock.
    let time = unsafe {
        let mut time: libc::timespec = mem::zeroed();
        check(libc::clock_gettime(clock, &raw mut time))?;
        time
    };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Ok(Duration::new(seconds, nanos))
}

/// Whether adjtimex(2) says that the clock is synchronised.
pub(crate) fn clock_is_synchronised() -> bool {
    // SAFETY: zeroes (modes = 0) only read; the kernel fills the structure.
    unsafe {
        let mut state: libc::timex = mem::zeroed();
        let result = libc::adjtimex(&raw mut state);
        result >= 0 && result != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0
    }
}

/// TUNSETIFF: makes or opens the TAP device of that name on an open `/dev/net/tun`.
pub(crate) fn tun_set_iff(fd: BorrowedFd<'_>, name: &str, flags: i32) -> io::Result<()> {
    // SAFETY: zeroes are a valid ifreq; the kernel reads and writes that one structure.
    unsafe {
        let mut request: libc::ifreq = mem::zeroed();
        if name.len() >= request.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = u16::try_from(flags)
            .map_err(|_| io::ErrorKind::InvalidInput)?
            .cast_signed();
        check(libc::ioctl(
            fd.as_raw_fd(),
            libc::TUNSETIFF,
            &raw mut request,
        ))
        .map(drop)
    }
}

/// TUNSETOFFLOAD: which super-packets may be read.
pub(crate) fn tun_set_offload(fd: BorrowedFd<'_>, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the argument is a number.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            libc::TUNSETOFFLOAD,
            libc::c_ulong::from(flags),
        )
    };
    check(result).map(drop)
}

/// unshare(2) of the calling thread.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// setns(2) of the calling thread.
pub(crate) fn setns(fd: BorrowedFd<'_>, kind: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(fd.as_raw_fd(), kind) }).map(drop)
}

/// The calling thread's id.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: no arguments, never fails.
    u32::try_from(unsafe { libc::gettid() }).expect("thread ids are positive")
}

/// The effective user of this process.
#[must_use]
pub fn effective_user() -> u32 {
    effective_ids().0
}

/// The effective user and group.
pub(crate) fn effective_ids() -> (u32, u32) {
    // SAFETY: no arguments, never fails.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Runs `prepare` in the child between fork and exec.
pub(crate) fn before_exec(
    command: &mut std::process::Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the closures given in this crate make system calls only and allocate nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Writes a short file with bare system calls, as between fork and exec.
pub(crate) fn write_file(path: &std::ffi::CStr, octets: &[u8]) -> io::Result<()> {
    // SAFETY: `path` ends with a nul; the kernel reads octets.len() octets; the descriptor that
    // open returned is owned here only.
    unsafe {
        let fd = check(libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC))?;
        let fd = OwnedFd::from_raw_fd(fd);
        let written = libc::write(fd.as_fd().as_raw_fd(), octets.as_ptr().cast(), octets.len());
        check(i32::try_from(written).unwrap_or(-1)).map(drop)
    }
}
