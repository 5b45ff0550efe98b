//! The host-to-host matrix: an ICMP echo, a TCP and a UDP exchange with content, done by the lab
//! itself inside the hosts. Decides what counts as answered.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netio::testbed;

use crate::limits::{PROBE_AGAIN, PROBE_MAX};
use crate::netns;

/// A host as the prober needs it.
#[derive(Debug)]
pub(crate) struct Host {
    /// The node's name.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) namespace: File,
    /// Its address.
    pub(crate) address: Ipv4Addr,
}

/// Octets sent each way over TCP.
const TCP_LEN: usize = 64 * 1024;
/// Payloads of the UDP datagrams, in octets.
const UDP_LENS: [usize; 3] = [18, 512, 1200];
/// Types of service of the UDP datagrams: none, AF21, EF.
pub(crate) const TOS: [u8; 3] = [0x00, 0x48, 0xb8];
/// Octets of an echo's content.
const ECHO_LEN: usize = 56;

/// Content that no accident produces: a stream drawn from `seed`.
fn content(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) << 32 | 0x9e37_79b9;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// One ICMP echo from `a` to `b`; the time until its answer.
pub(crate) fn icmp(a: &Host, b: &Host) -> Result<Duration> {
    match echo(a, b, PROBE_MAX)? {
        Some(time) => Ok(time),
        None => bail!(
            "no ICMP echo reply from {} within {} s",
            b.address,
            PROBE_MAX.as_secs()
        ),
    }
}

/// An ICMP echo from `a` to `b` is answered at once; for asking again and again.
pub(crate) fn reaches(a: &Host, b: &Host) -> Result<bool> {
    Ok(echo(a, b, PROBE_AGAIN)?.is_some())
}

fn echo(a: &Host, b: &Host, wait: Duration) -> Result<Option<Duration>> {
    let to = b.address;
    netns::inside(&a.namespace, || {
        let socket = testbed::raw_socket(libc::IPPROTO_ICMP)?;
        testbed::set_receive_timeout(&socket, 20)?;
        let id = std::process::id() as u16;
        let request = echo_request(id, 1, &content(1, ECHO_LEN));
        let mut answer = request.clone();
        answer[0] = 0;
        let begin = Instant::now();
        testbed::raw_send(&socket, &request, to).context("send an ICMP echo")?;
        let mut buffer = vec![0; 2048];
        while begin.elapsed() < wait {
            let Some(len) = testbed::raw_receive(&socket, &mut buffer)? else {
                continue;
            };
            let packet = &buffer[..len];
            let header_len = packet
                .first()
                .map_or(0, |first| usize::from(first & 0x0f) * 4);
            let from = packet.get(12..16) == Some(&to.octets());
            let body = packet.get(header_len..).unwrap_or_default();
            // The checksum differs by the type; everything else must come back as it was sent.
            if from && body.len() == answer.len() && body[0] == 0 && body[4..] == answer[4..] {
                return Ok(Some(begin.elapsed()));
            }
        }
        Ok(None)
    })
}

/// An ICMP echo request with its checksum.
fn echo_request(id: u16, sequence: u16, content: &[u8]) -> Vec<u8> {
    let mut packet = vec![8, 0, 0, 0];
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(content);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or(0),
        ]))
    });
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// A TCP connection from `a` to `b` over which 64 KiB go and come back unchanged.
pub(crate) fn tcp(a: &Host, b: &Host) -> Result<Duration> {
    let listener = netns::inside(&b.namespace, || Ok(TcpListener::bind((b.address, 0))?))?;
    let to = listener.local_addr()?;
    let mirror = std::thread::spawn(move || mirror_tcp(&listener));
    let begin = Instant::now();
    let done = netns::inside(&a.namespace, || {
        let mut stream = TcpStream::connect_timeout(&to, PROBE_MAX)
            .with_context(|| format!("TCP connection to {to}"))?;
        stream.set_read_timeout(Some(PROBE_MAX))?;
        stream.set_write_timeout(Some(PROBE_MAX))?;
        let sent = content(2, TCP_LEN);
        let mut reader = stream.try_clone()?;
        let answer = std::thread::spawn(move || {
            let mut answer = Vec::new();
            reader.read_to_end(&mut answer).map(|_| answer)
        });
        stream.write_all(&sent).context("TCP write")?;
        stream.shutdown(Shutdown::Write)?;
        let answer = answer
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        if answer.context("TCP read")? != sent {
            bail!("TCP content from {to} differs");
        }
        Ok(())
    });
    if done.is_err() {
        // Nobody will connect any more: the mirror is woken by a connection of its own side.
        let _ = netns::inside(&b.namespace, || {
            Ok(TcpStream::connect_timeout(&to, PROBE_MAX)?)
        });
    }
    let mirrored = netns::join(mirror);
    done.and(mirrored).map(|()| begin.elapsed())
}

fn mirror_tcp(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PROBE_MAX))?;
    stream.set_write_timeout(Some(PROBE_MAX))?;
    let mut reader = stream.try_clone()?;
    std::io::copy(&mut reader, &mut stream).context("TCP mirror")?;
    Ok(())
}

/// UDP datagrams of several sizes and types of service from `a` to `b` and back unchanged. Returns
/// how many went each way with each of [`TOS`].
pub(crate) fn udp(a: &Host, b: &Host) -> Result<u64> {
    let mirror = netns::inside(&b.namespace, || Ok(UdpSocket::bind((b.address, 0))?))?;
    let to = mirror.local_addr()?;
    mirror.set_read_timeout(Some(PROBE_MAX))?;
    let rounds = UDP_LENS.len() * TOS.len();
    let mirror = std::thread::spawn(move || mirror_udp(&mirror, rounds));
    let done = netns::inside(&a.namespace, || {
        let socket = UdpSocket::bind((a.address, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(PROBE_MAX))?;
        for tos in TOS {
            testbed::set_option(&socket, libc::IPPROTO_IP, libc::IP_TOS, i32::from(tos))?;
            for len in UDP_LENS {
                ask_udp(&socket, to, tos, len)?;
            }
        }
        Ok(())
    });
    let mirrored = netns::join(mirror);
    done.and(mirrored)?;
    Ok(UDP_LENS.len() as u64)
}

fn ask_udp(socket: &UdpSocket, to: SocketAddr, tos: u8, len: usize) -> Result<()> {
    let mut sent = content(3 + u32::from(tos), len);
    sent[0] = tos;
    socket.send(&sent).context("UDP send")?;
    let mut answer = vec![0; 2048];
    let got = socket
        .recv(&mut answer)
        .with_context(|| format!("no UDP answer from {to} to {len} octets with tos {tos:#04x}"))?;
    if answer[..got] != sent {
        bail!("UDP content from {to} differs");
    }
    Ok(())
}

/// Sends each datagram back under the type of service that its first octet names.
fn mirror_udp(socket: &UdpSocket, count: usize) -> Result<()> {
    let mut buffer = vec![0; 2048];
    for _ in 0..count {
        let (len, from) = socket
            .recv_from(&mut buffer)
            .context("UDP mirror: nothing arrives")?;
        let tos = i32::from(buffer[0]);
        testbed::set_option(socket, libc::IPPROTO_IP, libc::IP_TOS, tos)?;
        socket.send_to(&buffer[..len], from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_packet_with_its_checksum_is_zero() {
        let packet = echo_request(7, 9, &content(1, 57));
        assert_eq!(checksum(&packet), 0);
    }

    #[test]
    fn contents_of_different_seeds_differ() {
        assert_ne!(content(1, 64), content(2, 64));
        assert_eq!(content(1, 64), content(1, 64));
    }
}
