//! Routing netlink: requests, answers and attributes, no more than this program needs.
//!
//! Decides nothing about links or filters; `link` and `steer` build their messages with it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::limits::NETLINK_BUFFER;
use crate::sys;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Nested attributes say so; the kernel checks it in newer families.
const NLA_F_NESTED: u16 = 0x8000;

/// A request under construction.
#[derive(Clone, Debug)]
pub struct Message {
    octets: Vec<u8>,
}

impl Message {
    /// A request of the type with flags besides REQUEST, and its fixed body.
    #[must_use]
    pub fn new(kind: u16, flags: i32, body: &[u8]) -> Self {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).expect("flags have 16 bits");
        let mut octets = Vec::with_capacity(256);
        octets.extend([0; 4]);
        octets.extend(kind.to_ne_bytes());
        octets.extend(flags.to_ne_bytes());
        octets.extend([0; 8]);
        octets.extend(body);
        let mut message = Self { octets };
        message.pad();
        message
    }

    fn pad(&mut self) {
        let len = self.octets.len().next_multiple_of(4);
        self.octets.resize(len, 0);
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let len = u16::try_from(4 + value.len()).expect("attributes are below 64 KiB");
        self.octets.extend(len.to_ne_bytes());
        self.octets.extend(kind.to_ne_bytes());
        self.octets.extend(value);
        self.pad();
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn with_u32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_ne_bytes())
    }

    /// Adds text with its terminating nul.
    #[must_use]
    pub fn with_text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.with(kind, &value)
    }

    /// Adds an attribute that holds the attributes that `fill` adds.
    #[must_use]
    pub fn nested(self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        self.nested_with_body(kind, &[], fill)
    }

    /// Adds an attribute that holds a fixed body and the attributes that `fill` adds.
    #[must_use]
    pub fn nested_with_body(
        mut self,
        kind: u16,
        body: &[u8],
        fill: impl FnOnce(Self) -> Self,
    ) -> Self {
        let start = self.octets.len();
        self.octets.extend([0; 2]);
        self.octets.extend((kind | NLA_F_NESTED).to_ne_bytes());
        self.octets.extend(body);
        self.pad();
        let mut filled = fill(self);
        let len = u16::try_from(filled.octets.len() - start).expect("attributes are below 64 KiB");
        filled.octets[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        filled
    }

    fn finish(mut self, flags: i32, sequence: u32) -> Vec<u8> {
        let len = u32::try_from(self.octets.len()).expect("requests are short");
        self.octets[0..4].copy_from_slice(&len.to_ne_bytes());
        let old = u16::from_ne_bytes([self.octets[6], self.octets[7]]);
        let flags = old | u16::try_from(flags).expect("flags have 16 bits");
        self.octets[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.octets[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.octets
    }
}

/// The attributes of an answer, in order; damaged ones end the list.
#[derive(Copy, Clone, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The first attribute of a type.
    #[must_use]
    pub fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(own, _)| *own == kind).map(|(_, value)| value)
    }

    /// The first attribute of a type, as a number.
    #[must_use]
    pub fn find_u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.find(kind)?.try_into().ok()?))
    }

    /// The first attribute of a type, as text up to its nul.
    #[must_use]
    pub fn find_text(self, kind: u16) -> Option<String> {
        let value = self.find(kind)?;
        let end = value
            .iter()
            .position(|octet| *octet == 0)
            .unwrap_or(value.len());
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, _) = self.0.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// One message of an answer: its type and what follows the netlink header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// RTM_NEWLINK and so on.
    pub kind: u16,
    /// Fixed part and attributes.
    pub body: Vec<u8>,
}

impl Answer {
    /// The fixed part of `len` octets and the attributes behind it.
    #[must_use]
    pub fn split(&self, len: usize) -> Option<(&[u8], Attributes<'_>)> {
        let (fixed, rest) = self.body.split_at_checked(len)?;
        Some((fixed, Attributes(rest)))
    }
}

/// A socket to the kernel's routing netlink.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel refuses netlink.
    pub fn open() -> io::Result<Self> {
        Self::open_groups(0)
    }

    /// Opens a socket that also hears multicast groups (a mask of RTMGRP bits).
    ///
    /// # Errors
    /// The kernel refuses netlink.
    pub fn open_groups(groups: u32) -> io::Result<Self> {
        let fd = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
        sys::bind_netlink(fd.as_fd(), groups)?;
        // Texts beside error numbers, without which "invalid argument" is all there is.
        sys::set_option(fd.as_fd(), libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1_i32)?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends a request and waits for its acknowledgement.
    ///
    /// # Errors
    /// The kernel's refusal, with its text where it gives one.
    pub fn request(&mut self, message: Message) -> io::Result<()> {
        self.exchange(message, libc::NLM_F_ACK).map(drop)
    }

    /// Sends a request for a list and returns all of it, asking again when it changed on the way.
    ///
    /// # Errors
    /// The kernel's refusal, with its text where it gives one.
    pub fn dump(&mut self, message: &Message) -> io::Result<Vec<Answer>> {
        loop {
            if let Some(answers) = self.exchange(message.clone(), libc::NLM_F_DUMP)? {
                return Ok(answers);
            }
        }
    }

    fn exchange(&mut self, message: Message, flags: i32) -> io::Result<Option<Vec<Answer>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let octets = message.finish(flags, self.sequence);
        sys::send(self.fd.as_fd(), &octets)?;
        let mut buffer = vec![0; NETLINK_BUFFER];
        let (mut answers, mut whole) = (Vec::new(), true);
        loop {
            let got = sys::receive(self.fd.as_fd(), &mut buffer, 0)?;
            for (header, body) in messages(&buffer[..got]) {
                if header.sequence != self.sequence {
                    continue;
                }
                whole &= header.flags & NLM_F_DUMP_INTR == 0;
                match header.kind {
                    NLMSG_DONE => return Ok(whole.then_some(answers)),
                    NLMSG_ERROR => return outcome(header.flags, body).map(|()| Some(answers)),
                    kind => answers.push(Answer {
                        kind,
                        body: body.to_vec(),
                    }),
                }
            }
        }
    }

    /// Takes everything that waits, without waiting; true if there was anything.
    ///
    /// # Errors
    /// The socket is broken. An overrun is not an error: it says that something changed.
    pub fn drain(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; NETLINK_BUFFER];
        let mut any = false;
        loop {
            match sys::receive(self.fd.as_fd(), &mut buffer, libc::MSG_DONTWAIT) {
                Ok(_) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// The messages of one datagram; a damaged one ends the list.
fn messages(mut octets: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = octets.split_first_chunk::<HEADER>()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *header;
        let len = usize::try_from(u32::from_ne_bytes([a, b, c, d])).ok()?;
        let body = octets.get(HEADER..len)?;
        octets = octets.get(len.next_multiple_of(4)..).unwrap_or_default();
        let header = Header {
            kind: u16::from_ne_bytes([e, f]),
            flags: u16::from_ne_bytes([g, h]),
            sequence: u32::from_ne_bytes([i, j, k, l]),
        };
        Some((header, body))
    })
}

/// An NLMSG_ERROR's number, 0 = done, and the text that newer kernels add.
fn outcome(flags: u16, body: &[u8]) -> io::Result<()> {
    let Some((number, rest)) = body.split_first_chunk::<4>() else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let number = i32::from_ne_bytes(*number);
    if number == 0 {
        return Ok(());
    }
    let error = io::Error::from_raw_os_error(number.wrapping_neg());
    // Behind the number: the header of the request, its body unless capped, then attributes.
    let request_len = rest
        .first_chunk::<4>()
        .map_or(0, |len| u32::from_ne_bytes(*len) as usize);
    let skip = if flags & NLM_F_CAPPED != 0 {
        HEADER
    } else {
        request_len.next_multiple_of(4)
    };
    let text = (flags & NLM_F_ACK_TLVS != 0)
        .then(|| Attributes(rest.get(skip..).unwrap_or_default()).find_text(NLMSGERR_ATTR_MSG))
        .flatten();
    Err(match text {
        Some(text) => io::Error::new(error.kind(), format!("{error}: {text}")),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_read_back() {
        let message = Message::new(7, 0, &[1, 2])
            .with_u32(1, 5)
            .nested(2, |inner| inner.with_text(3, "clsact").with(4, &[9]))
            .with(5, &[]);
        let octets = message.finish(0, 1);
        let body = &octets[HEADER + 4..];
        let attributes = Attributes(body);
        assert_eq!(attributes.count(), 3);
        assert_eq!(attributes.find_u32(1), Some(5));
        let inner = Attributes(attributes.find(2).unwrap());
        assert_eq!(inner.find_text(3).unwrap(), "clsact");
        assert_eq!(inner.find(4), Some(&[9][..]));
        assert_eq!(inner.find(5), None);
    }

    #[test]
    fn damaged_answers_end_the_list() {
        assert_eq!(Attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(Attributes(&[200, 0, 1, 0, 1]).count(), 0);
        assert_eq!(messages(&[9; 15]).count(), 0);
        assert_eq!(messages(&[0; 16]).count(), 0);
        assert_eq!(messages(&[255; 40]).count(), 0);
        assert!(outcome(0, &[1]).is_err());
        assert!(outcome(NLM_F_ACK_TLVS, &[0xff; 9]).is_err());
    }

    #[test]
    fn the_kernel_says_in_words_what_it_refuses() {
        let mut socket = Socket::open().unwrap();
        // A link that does not exist.
        let message = Message::new(libc::RTM_GETLINK, 0, &[0; 16]).with_text(3, "no-such-device");
        let error = socket.request(message).unwrap_err();
        assert_eq!(error.raw_os_error().unwrap_or(libc::ENODEV), libc::ENODEV);
    }
}
