//! A packet ring of the kernel (AF_PACKET, TPACKET_V3): every frame that passes a device, with the
//! kernel's own count of those it had no room for. Decides how the ring is laid out and read.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::limits::{RING_BLOCK_LEN, RING_BLOCKS, RING_RETIRE_MS};

/// A frame as the kernel saw it.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Since the epoch, by the kernel's clock.
    pub at: Duration,
    /// Octets on the wire.
    pub wire_len: u32,
    /// The first octets, from the Ethernet header on.
    pub bytes: &'a [u8],
}

/// An open ring on one device.
pub struct Ring {
    socket: OwnedFd,
    memory: NonNull<u8>,
    /// The block that comes next.
    next: usize,
}

// SAFETY: the memory belongs to this value alone and is unmapped with it.
unsafe impl Send for Ring {}

const MEMORY_LEN: usize = RING_BLOCKS as usize * RING_BLOCK_LEN as usize;
/// Frames have any size in version 3; the kernel wants a divisor of the block's length.
const FRAME_LEN: u32 = 2048;

fn check(answer: i32) -> io::Result<i32> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

impl Ring {
    /// Opens a ring on a device of the calling thread's namespace; with `arriving_only` frames
    /// that leave are not shown.
    pub fn open(device: &str, arriving_only: bool) -> io::Result<Self> {
        let name = CString::new(device).map_err(io::Error::other)?;
        // SAFETY: a terminated name, then numbers; the new descriptor belongs to nobody else.
        let (index, socket) = unsafe {
            let index = libc::if_nametoindex(name.as_ptr());
            if index == 0 {
                return Err(io::Error::last_os_error());
            }
            // Protocol 0: nothing is queued until the ring stands and bind names the device.
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            let fd = check(libc::socket(libc::AF_PACKET, kind, 0))?;
            (index, OwnedFd::from_raw_fd(fd))
        };
        let version = libc::tpacket_versions::TPACKET_V3 as i32;
        set_packet_option(&socket, libc::PACKET_VERSION, &version)?;
        if arriving_only {
            set_packet_option(&socket, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        }
        let request = libc::tpacket_req3 {
            tp_block_size: RING_BLOCK_LEN,
            tp_block_nr: RING_BLOCKS,
            tp_frame_size: FRAME_LEN,
            tp_frame_nr: RING_BLOCK_LEN / FRAME_LEN * RING_BLOCKS,
            tp_retire_blk_tov: RING_RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_packet_option(&socket, libc::PACKET_RX_RING, &request)?;
        // SAFETY: maps the ring that was just set up; the result is checked.
        let memory = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let fd = socket.as_raw_fd();
            libc::mmap(
                std::ptr::null_mut(),
                MEMORY_LEN,
                protection,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        let ring = Self {
            socket,
            memory,
            next: 0,
        };
        ring.bind(index)?;
        Ok(ring)
    }

    fn bind(&self, index: u32) -> io::Result<()> {
        // SAFETY: an all-zero address is valid; the pointer and the length describe it.
        unsafe {
            let mut address: libc::sockaddr_ll = zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
            let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            check(libc::bind(
                self.socket.as_raw_fd(),
                (&raw const address).cast(),
                len,
            ))
            .map(drop)
        }
    }

    /// Shows the frames of the next block, waiting for it at most `wait`; false when none came.
    pub fn read(&mut self, wait: Duration, mut see: impl FnMut(Frame<'_>)) -> io::Result<bool> {
        // SAFETY: `next` is below RING_BLOCKS, so the block lies inside the mapping.
        let block = unsafe {
            self.memory
                .as_ptr()
                .add(self.next * RING_BLOCK_LEN as usize)
        };
        if status(block).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            self.wait(wait)?;
            if status(block).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return Ok(false);
            }
        }
        // SAFETY: the kernel handed the block over and keeps its hands off until it is given back.
        unsafe { walk(block, &mut see) };
        status(block).store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % RING_BLOCKS as usize;
        Ok(true)
    }

    fn wait(&self, wait: Duration) -> io::Result<()> {
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one element, as said.
        match check(unsafe { libc::poll(&raw mut poll, 1, wait_ms) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other.map(drop),
        }
    }

    /// Frames that the kernel had no room for, since the last call.
    pub fn dropped(&self) -> io::Result<u64> {
        // SAFETY: the pointers and the length describe `found` and `len`.
        unsafe {
            let mut found: libc::tpacket_stats_v3 = zeroed();
            let mut len = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
            check(libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut found).cast(),
                &raw mut len,
            ))?;
            Ok(u64::from(found.tp_drops))
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this length and nothing refers to it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), MEMORY_LEN) };
    }
}

fn set_packet_option<T>(socket: &OwnedFd, name: i32, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value: *const T = value;
    // SAFETY: the pointer and the length describe `value`.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            name,
            value.cast(),
            len,
        )
    };
    check(answer).map(drop)
}

/// The status word of a block, which kernel and reader pass to and fro.
fn status<'a>(block: *mut u8) -> &'a AtomicU32 {
    let offset =
        offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
    // SAFETY: the block is mapped, page-aligned, and outlives the short use of the word.
    unsafe { AtomicU32::from_ptr(block.add(offset).cast()) }
}

/// Shows every frame of a block.
///
/// # Safety
/// The block is mapped and handed over by the kernel.
unsafe fn walk(block: *const u8, see: &mut impl FnMut(Frame<'_>)) {
    // SAFETY: the kernel wrote the header and a chain of frames that stay inside the block; lengths
    // are checked against its end all the same.
    unsafe {
        let header = (*block.cast::<libc::tpacket_block_desc>()).hdr.bh1;
        let mut offset = header.offset_to_first_pkt as usize;
        for _ in 0..header.num_pkts {
            let start = block.add(offset);
            let frame = &*start.cast::<libc::tpacket3_hdr>();
            let mac = usize::from(frame.tp_mac);
            let len = frame.tp_snaplen as usize;
            if offset + mac + len > RING_BLOCK_LEN as usize {
                return;
            }
            see(Frame {
                at: Duration::new(u64::from(frame.tp_sec), frame.tp_nsec),
                wire_len: frame.tp_len,
                bytes: std::slice::from_raw_parts(start.add(mac), len),
            });
            if frame.tp_next_offset == 0 {
                return;
            }
            offset += frame.tp_next_offset as usize;
        }
    }
}
