//! The steering on a real kernel: host -- member -- core, in namespaces of its own.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod support;

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netio::backend::{ClearTx as _, FrameRx, Offload, Received, WireTx as _};
use netio::netlink::Socket;
use netio::packet::{PacketRx, PacketTx};
use netio::steer::{Filters, Rest};
use netio::tap::Tap;
use netio::{Wait, link, steer};
use policy::steer::{Peers, Plan, Protected, Reentry};
use policy::{Ace, AddressMatch};
use support::{cable, device, isolated, next_frame, route, sysctl, within};

const HOST: [u8; 4] = [192, 168, 20, 10];
const FAR: [u8; 4] = [192, 168, 21, 10];
const OUTSIDE: [u8; 4] = [198, 51, 100, 7];
const OWN: [u8; 4] = [10, 1, 20, 2];
const CORE: [u8; 4] = [10, 1, 20, 1];
const SERVER: [u8; 4] = [10, 1, 11, 2];
const SHORT: Duration = Duration::from_millis(200);
const REENTRY: Reentry = Reentry {
    source: [0x02, 1, 2, 3, 4, 5],
    destination: [0x02, 6, 7, 8, 9, 10],
};

/// The member is the namespace of the test's own thread.
struct Network {
    host: File,
    core: File,
    /// What arrives at the core's end of the WAN cable.
    wire: PacketRx,
    netlink: Socket,
}

fn plan() -> Plan {
    let net = AddressMatch::v4([192, 168, 0, 0].into(), [0, 0, 255, 255].into());
    Plan {
        device: "wan".into(),
        interface: "Serial1/0".into(),
        own: vec![OWN.into()],
        peers: Peers::Servers(vec![SERVER.into()]),
        protected: Protected::of(&[Ace {
            source: net,
            destination: net,
            ..Ace::PERMIT_IP_ANY_ANY
        }]),
    }
}

fn filters(rest: Rest) -> Filters {
    Filters {
        egress: policy::steer::egress(&plan()),
        ingress: policy::steer::ingress(&plan(), &REENTRY),
        rest,
    }
}

impl Network {
    fn build() -> Self {
        let (host, core) = (support::new_namespace(), support::new_namespace());
        cable(("lan", [192, 168, 20, 1]), &host, ("eth0", HOST));
        cable(("wan", OWN), &core, ("to-gm", CORE));
        sysctl("ipv4/ip_forward", "1");
        sysctl("ipv4/conf/all/rp_filter", "1");
        sysctl("ipv4/conf/wan/rp_filter", "1");
        let mut netlink = Socket::open().unwrap();
        route(&mut netlink, [0; 4], 0, CORE);
        within(&host, |socket| route(socket, [0; 4], 0, [192, 168, 20, 1]));
        let wire = within(&core, |socket| {
            for address in [FAR, OUTSIDE, SERVER] {
                link::add_address(socket, 1, address.into(), 32).unwrap();
            }
            route(socket, [192, 168, 20, 0], 24, OWN);
            let port = link::named(socket, "to-gm").unwrap().unwrap();
            PacketRx::open(port.index, &policy::steer::constant(u32::MAX)).unwrap()
        });
        Self {
            host,
            core,
            wire,
            netlink,
        }
    }

    fn take_up(&mut self) -> (Tap, PacketRx, PacketTx) {
        let wan = device("wan");
        let tap = Tap::create("wan", wan.mtu, REENTRY).unwrap();
        steer::reenter(&mut self.netlink, tap.index(), wan.index).unwrap();
        let filter = policy::steer::socket(&plan(), &REENTRY);
        let rx = PacketRx::open(wan.index, &filter).unwrap();
        let filters = filters(Rest::Tap(tap.index()));
        steer::load(&mut self.netlink, wan.index, &filters).unwrap();
        (tap, rx, PacketTx::open(wan.index).unwrap())
    }

    /// IP packets on the wire now that are not sealed, the port's own MLD and ND apart.
    fn leaks(&mut self) -> Vec<Vec<u8>> {
        let mut leaks = Vec::new();
        while let Some(frame) = next_frame(&mut self.wire, SHORT) {
            let v6 = frame[12..14] == [0x86, 0xdd] && ![0, 58].contains(&frame[20]);
            if v6 || (frame[12..14] == [8, 0] && frame[15] != SEALED) {
                leaks.push(frame);
            }
        }
        leaks
    }

    fn socket(place: &File, address: [u8; 4], port: u16) -> UdpSocket {
        let socket = within(place, |_| {
            UdpSocket::bind((std::net::Ipv4Addr::from(address), port))
        });
        let socket = socket.unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        socket
    }
}

/// The toy transform: protocol 50, and what it was in the place of the TTL's neighbour.
const SEALED: u8 = 0x5a;

fn seal(frame: &mut [u8]) {
    frame[15] = SEALED;
    frame[18] = frame[23];
    frame[23] = 50;
    checksum(frame);
}

fn open(frame: &mut [u8]) {
    frame[15] = 0;
    frame[23] = frame[18];
    frame[18] = 0;
    checksum(frame);
}

fn checksum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum: u32 = frame[14..34]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    frame[24..26].copy_from_slice(&(!folded).to_be_bytes());
}

/// One packet out of the TAP, sealed, onto the wire.
fn forward_out(tap: &mut Tap, tx: &mut PacketTx) {
    let mut frame = next_frame_that(tap, |frame| frame[12..14] == [8, 0]).expect("a packet");
    seal(&mut frame);
    assert_eq!(tx.send(&[IoSlice::new(&frame)]), 0);
}

/// One packet off the wire, opened, to the stack.
fn forward_in(rx: &mut PacketRx, tap: &Tap) {
    let mut frame = next_frame_that(rx, |frame| frame[23] == 50).expect("a sealed packet");
    open(&mut frame);
    tap.writer().unwrap().send(&frame, &Offload::NONE).unwrap();
}

/// What the core does with a sealed packet: back to where it came from.
fn reflect(network: &mut Network) {
    let mut frame = next_frame_that(&mut network.wire, |frame| frame[15] == SEALED)
        .expect("a sealed packet on the wire");
    let (source, destination) = (frame[26..30].to_vec(), frame[30..34].to_vec());
    frame[26..30].copy_from_slice(&destination);
    frame[30..34].copy_from_slice(&source);
    let (to, from) = (frame[6..12].to_vec(), frame[..6].to_vec());
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    let mut tx = within(&network.core, |socket| {
        PacketTx::open(link::named(socket, "to-gm").unwrap().unwrap().index).unwrap()
    });
    assert_eq!(tx.send(&[IoSlice::new(&frame)]), 0);
}

/// Moves frames unchanged both ways until told to stop; the longest that came off the wire.
fn pass_on(ends: (Tap, PacketRx, PacketTx), stop: &AtomicBool) -> usize {
    let (mut tap, mut rx, mut tx) = ends;
    let mut writer = tap.writer().unwrap();
    let mut longest = 0;
    let mut space = vec![0; 70_000];
    let mut received = [Received::default()];
    while !stop.load(Ordering::Relaxed) {
        netio::poll(
            &mut [
                Wait::for_input(tap.readable()),
                Wait::for_input(rx.readable()),
            ],
            Some(SHORT),
        )
        .unwrap();
        while tap
            .receive(&mut [IoSliceMut::new(&mut space)], &mut received)
            .unwrap()
            == 1
        {
            let frame = &space[..received[0].len];
            assert!(frame.len() <= 1_514 && received[0].offload == Offload::NONE);
            assert_eq!(tx.send(&[IoSlice::new(frame)]), 0);
        }
        while rx
            .receive(&mut [IoSliceMut::new(&mut space)], &mut received)
            .unwrap()
            == 1
        {
            longest = longest.max(received[0].len);
            writer
                .send(&space[..received[0].len], &received[0].offload)
                .unwrap();
        }
    }
    assert_eq!((tap.lost(), rx.lost()), (0, 0));
    longest
}

#[test]
fn clear_traffic_that_the_forwarder_permits_arrives_whole_super_packets_included() {
    if !isolated("clear_traffic_that_the_forwarder_permits_arrives_whole_super_packets_included") {
        return;
    }
    const OCTETS: usize = 1_000_000;
    let mut network = Network::build();
    let ends = network.take_up();
    let stop = AtomicBool::new(false);
    let (host, far) = (
        std::net::Ipv4Addr::from(HOST),
        std::net::Ipv4Addr::from(FAR),
    );
    let listener = within(&network.core, |_| TcpListener::bind((far, 5_002))).unwrap();
    std::thread::scope(|scope| {
        let forwarder = scope.spawn(|| pass_on(ends, &stop));
        let server = scope.spawn(|| {
            let (mut stream, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), host);
            let mut all = vec![0; OCTETS];
            stream.read_exact(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let mut stream = within(&network.host, |_| TcpStream::connect((far, 5_002))).unwrap();
        let sent: Vec<u8> = (0..OCTETS).map(|n| (n % 251) as u8).collect();
        stream.write_all(&sent).unwrap();
        let mut back = vec![0; OCTETS];
        stream.read_exact(&mut back).unwrap();
        assert!(back == sent);
        server.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(forwarder.join().unwrap() > 1_514, "no super-packet came");
    });
}

#[test]
fn transit_packets_go_through_the_forwarder_both_ways_and_nothing_goes_around_it() {
    if !isolated("transit_packets_go_through_the_forwarder_both_ways_and_nothing_goes_around_it") {
        return;
    }
    let mut network = Network::build();
    let (mut tap, mut rx, mut tx) = network.take_up();
    let host = Network::socket(&network.host, HOST, 5_000);
    let _far = Network::socket(&network.core, FAR, 5_000);
    for round in 0..5_u8 {
        host.send_to(&[round; 100], (std::net::Ipv4Addr::from(FAR), 5_000))
            .unwrap();
        forward_out(&mut tap, &mut tx);
        reflect(&mut network);
        forward_in(&mut rx, &tap);
        let mut buffer = [0; 200];
        assert_eq!(host.recv(&mut buffer).unwrap(), 100);
        assert_eq!(buffer[99], round);
    }
    // The router's own traffic is steered too; its GDOI is not.
    let own = UdpSocket::bind((std::net::Ipv4Addr::from(OWN), 848)).unwrap();
    own.send_to(b"own", (std::net::Ipv4Addr::from(FAR), 848))
        .unwrap();
    forward_out(&mut tap, &mut tx);
    let server = Network::socket(&network.core, SERVER, 848);
    own.send_to(b"gdoi", (std::net::Ipv4Addr::from(SERVER), 848))
        .unwrap();
    assert_eq!(server.recv(&mut [0; 9]).unwrap(), 4);
    let leaks = network.leaks();
    assert_eq!(leaks.len(), 1, "GDOI only: {leaks:02x?}");

    dead_forwarder(&mut network, &host, (tap, rx, tx));
    inbound(&mut network, &host);
}

/// The forwarder dies: closed, though the exempt still passes; its successor adopts the filters.
fn dead_forwarder(network: &mut Network, host: &UdpSocket, ends: (Tap, PacketRx, PacketTx)) {
    let wan = device("wan");
    drop(ends);
    assert!(
        link::named(&mut network.netlink, "gv-wan")
            .unwrap()
            .is_none()
    );
    for _ in 0..20 {
        host.send_to(b"dead", (std::net::Ipv4Addr::from(FAR), 5_000))
            .unwrap();
        inject(&wan, &v6_frame(&wan));
        inject(&wan, &esp_frame(&wan));
    }
    assert_eq!(network.leaks(), Vec::<Vec<u8>>::new());
    assert!(steer::is_loaded(&mut network.netlink, wan.index).unwrap());

    let (mut tap, _rx, mut tx) = network.take_up();
    host.send_to(b"again", (std::net::Ipv4Addr::from(FAR), 5_000))
        .unwrap();
    forward_out(&mut tap, &mut tx);
    // IPv6, protocol 50 of a host and a tagged frame come to the forwarder, tag in place.
    for frame in [v6_frame(&wan), esp_frame(&wan), tagged_frame(&wan)] {
        inject(&wan, &frame);
        let seen = next_frame_that(&mut tap, |seen| seen[12..] == frame[12..]);
        assert!(seen.is_some(), "{frame:02x?}");
    }
    assert_eq!(network.leaks(), Vec::<Vec<u8>>::new());
    // A closed port without any forwarder.
    steer::load(&mut network.netlink, wan.index, &filters(Rest::Drop)).unwrap();
    host.send_to(b"closed", (std::net::Ipv4Addr::from(FAR), 5_000))
        .unwrap();
    assert!(next_frame(&mut tap, SHORT).is_none());
    assert_eq!(network.leaks(), Vec::<Vec<u8>>::new());
}

/// What may come in, and that release opens.
fn inbound(network: &mut Network, host: &UdpSocket) {
    let wan = device("wan");
    let (tap, mut rx, _tx) = network.take_up();
    let to_host = (std::net::Ipv4Addr::from(HOST), 5_000);
    let far = Network::socket(&network.core, FAR, 5_001);
    let outside = Network::socket(&network.core, OUTSIDE, 5_001);
    let mut buffer = [0; 2_000];
    // Clear, of protected addresses: not to the host, but to the forwarder, who may hand it back.
    far.send_to(b"protected", to_host).unwrap();
    let (frame, offload) = next_with_offload(&mut rx);
    host.set_read_timeout(Some(SHORT)).unwrap();
    assert!(host.recv(&mut buffer).is_err());
    host.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    tap.writer().unwrap().send(&frame, &offload).unwrap();
    assert_eq!(host.recv(&mut buffer).unwrap(), 9);
    outside.send_to(b"outside", to_host).unwrap();
    assert_eq!(host.recv(&mut buffer).unwrap(), 7);
    assert!(
        next_frame(&mut rx, SHORT).is_none(),
        "not suspect: not copied"
    );
    // A tagged frame arrives at the forwarder with its tag.
    let mut tx = within(&network.core, |socket| {
        PacketTx::open(link::named(socket, "to-gm").unwrap().unwrap().index).unwrap()
    });
    let tagged = tagged_frame(&wan);
    assert_eq!(tx.send(&[IoSlice::new(&tagged)]), 0);
    assert_eq!(next_frame(&mut rx, Duration::from_secs(2)).unwrap(), tagged);
    assert_eq!(rx.lost(), 0);

    assert!(steer::release(&mut network.netlink, wan.index).unwrap());
    assert!(!steer::is_loaded(&mut network.netlink, wan.index).unwrap());
    assert!(!steer::release(&mut network.netlink, wan.index).unwrap());
    far.send_to(b"open", to_host).unwrap();
    assert_eq!(host.recv(&mut buffer).unwrap(), 4);
}

fn next_with_offload(rx: &mut PacketRx) -> (Vec<u8>, Offload) {
    netio::poll(
        &mut [Wait::for_input(rx.readable())],
        Some(Duration::from_secs(2)),
    )
    .unwrap();
    let mut space = vec![0; 70_000];
    let mut received = [Received::default()];
    let got = rx
        .receive(&mut [IoSliceMut::new(&mut space)], &mut received)
        .unwrap();
    assert_eq!(got, 1);
    space.truncate(received[0].len);
    (space, received[0].offload)
}

fn header(wan: &link::Interface, rest: &[u8]) -> Vec<u8> {
    [&[0xff; 6], &wan.mac[..], rest].concat()
}

fn v6_frame(wan: &link::Interface) -> Vec<u8> {
    let mut rest = vec![0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64];
    rest.extend([0xfd; 32]);
    rest.extend([0; 8]);
    header(wan, &rest)
}

fn v4_rest(protocol: u8) -> Vec<u8> {
    let mut rest = vec![8, 0, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, protocol, 0, 0];
    rest.extend(HOST);
    rest.extend(FAR);
    rest.extend([7; 40]);
    rest
}

fn esp_frame(wan: &link::Interface) -> Vec<u8> {
    header(wan, &v4_rest(50))
}

fn tagged_frame(wan: &link::Interface) -> Vec<u8> {
    let mut rest = vec![0x81, 0, 0, 100];
    rest.extend(v4_rest(6));
    header(wan, &rest)
}

/// Sends a frame out of the WAN port the way the stack does, through traffic control.
fn inject(wan: &link::Interface, frame: &[u8]) {
    let raw = queued_packet_socket(wan.index);
    raw(frame);
}

/// The next frame that fits, within two seconds.
fn next_frame_that(from: &mut dyn FrameRx, fits: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let end = std::time::Instant::now() + Duration::from_secs(2);
    while let Some(frame) = next_frame(
        from,
        end.saturating_duration_since(std::time::Instant::now()),
    ) {
        if fits(&frame) {
            return Some(frame);
        }
    }
    None
}

/// Sends frames on a device through its queueing discipline.
fn queued_packet_socket(index: u32) -> impl Fn(&[u8]) {
    let socket = PacketTx::open_queued(index).unwrap();
    let socket = std::cell::RefCell::new(socket);
    move |frame| {
        // A frame that a filter drops counts as refused: what matters is where it appears.
        let _ = socket.borrow_mut().send(&[IoSlice::new(frame)]);
    }
}
