//! From the LAN to the WAN: judge, cut, seal.

use std::sync::Arc;

use event::DropReason;
use policy::Time;
use wire::ethernet::Frame;

use crate::engine::{Engine, Job};
use crate::esp::{Headers, Iv, encapsulate};
use crate::fragment::Fragments;
use crate::frame::FrameBuf;
use crate::limits::BATCH_MAX;
use crate::notice::{Happening, Kind};
use crate::packet::{Ip, Ipv4, Packet, parse};
use crate::pmtu;
use crate::sadb::{Sa, Spent};
use crate::snapshot::{Decisive, Group, Outbound, Snapshot};
use crate::worker::{About, View, Worker};
use crate::{InterfaceId, Sink};

/// What is left to be done with a frame once it was judged. Small, so that it is handed on in a
/// register; the rest is in the worker's lists.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Step {
    /// Nothing: it was dropped.
    Gone,
    /// It leaves in clear.
    Clear,
    /// It leaves once the next job is done.
    Sealed,
    /// It is cut as the next of the cuts says, and each piece sealed.
    Cut,
}

/// With what, and for whom, a packet is sealed.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sealing {
    /// A place in the snapshot's SAs.
    sa: usize,
    /// A place in the interface's groups.
    group: usize,
    /// Octets of the inner packet.
    len: usize,
}

impl<E: Engine> Worker<E> {
    /// Processes frames that left the router toward the WAN of a protected interface, in order.
    ///
    /// Each frame is sent in clear or as ESP through [`Sink::transmit`], answered through
    /// [`Sink::deliver`], or dropped and counted. Its content is used up. Frames of an interface
    /// that the snapshot does not know are dropped.
    pub fn outbound<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        snapshot: &Snapshot,
        interface: InterfaceId,
        now: Time,
        frames: &mut [FrameBuf<M>],
        sink: &mut impl Sink,
    ) {
        let Some(view) = View::new(snapshot, interface, now) else {
            return;
        };
        self.turn_to(snapshot, now);
        for batch in frames.chunks_mut(BATCH_MAX) {
            self.outbound_batch(&view, batch, sink);
        }
    }

    fn outbound_batch<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        frames: &mut [FrameBuf<M>],
        sink: &mut impl Sink,
    ) {
        self.jobs.clear();
        self.sealings.clear();
        self.cuts.clear();
        self.outbound_steps.clear();
        for (place, frame) in frames.iter_mut().enumerate() {
            let step = self.admit_outbound(view, place, frame, sink);
            self.outbound_steps.push(step);
        }
        let sas = &view.snapshot.sas;
        self.engine.seal_batch(sas, frames, &mut self.jobs);
        let (mut sealed, mut cut) = (0, 0);
        for (place, frame) in frames.iter().enumerate() {
            match self.outbound_steps[place] {
                Step::Gone => {}
                Step::Clear => sink.transmit(frame.octets()),
                Step::Sealed => {
                    let done = self.jobs[sealed].done;
                    self.send_sealed(view, done, frame, self.sealings[sealed], sink);
                    sealed += 1;
                }
                Step::Cut => {
                    self.cut(view, frame.octets(), self.cuts[cut], sink);
                    cut += 1;
                }
            }
        }
    }

    fn admit_outbound<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        place: usize,
        frame: &mut FrameBuf<M>,
        sink: &mut impl Sink,
    ) -> Step {
        let Ok(packet) = parse(frame.octets()) else {
            self.drop_packet(view, DropReason::Unprotectable, &About::default());
            return Step::Gone;
        };
        match self.judge_outbound(view, &packet.ip) {
            Outbound::Encrypt(by) => {
                self.count_hit(view, by);
                self.protect(view, place, frame, &packet, by.group, sink)
            }
            Outbound::Clear(by) => {
                if let Some(by) = by {
                    self.count_hit(view, by);
                }
                view.interface.traffic.of(self.index).passed_clear_out();
                Step::Clear
            }
            Outbound::FailClose => {
                let flow = Some(packet.flow());
                let about = About {
                    flow,
                    ..About::default()
                };
                self.drop_packet(view, DropReason::FailClose, &about);
                Step::Gone
            }
        }
    }

    fn count_hit(&self, view: &View<'_>, by: Decisive) {
        let policies = &view.group(by.group).policies;
        if let Some(policy) = policies.get(by.policy)
            && let Some(hits) = policy.hits.of(self.index).get(by.line)
        {
            hits.outbound.add(1);
        }
    }

    /// The policy encrypts this packet: from here on it is sealed or dropped.
    fn protect<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        place: usize,
        frame: &mut FrameBuf<M>,
        packet: &Packet,
        group: usize,
        sink: &mut impl Sink,
    ) -> Step {
        let held = self.phases[view.interface.groups[group]].sa;
        let (ip, sa) = match (&packet.ip, held) {
            (Ip::V4(ip), Some(sa)) => (ip, sa),
            (Ip::V4(_), None) => return self.refuse(view, DropReason::NoSa, packet, group, None),
            (Ip::V6(_), held) => {
                return self.refuse(view, DropReason::Unprotectable, packet, group, held);
            }
        };
        let sealing = Sealing {
            sa,
            group,
            len: ip.total_len(),
        };
        let len_max = view.snapshot.sas[sa]
            .layout
            .plaintext_max(view.interface.mtu);
        if ip.total_len() > len_max {
            if !ip.dont_fragment() {
                self.cuts.push(sealing);
                return Step::Cut;
            }
            self.answer_too_big(view, frame.octets(), ip, len_max, sink);
            return self.refuse(view, DropReason::TooBig, packet, group, Some(sa));
        }
        match self.lay_out(view, frame, packet.l3, ip, sealing) {
            Ok(esp) => {
                self.jobs.push(Job {
                    frame: place,
                    sa,
                    esp,
                    done: false,
                });
                self.sealings.push(sealing);
                Step::Sealed
            }
            Err(reason) => self.refuse(view, reason, packet, group, Some(sa)),
        }
    }

    #[cold]
    fn refuse(
        &mut self,
        view: &View<'_>,
        reason: DropReason,
        packet: &Packet,
        group: usize,
        sa: Option<usize>,
    ) -> Step {
        let about = About {
            flow: Some(packet.flow()),
            group: Some(view.group(group)),
            sa: sa.map(|sa| &*view.snapshot.sas[sa]),
            spi: None,
        };
        self.drop_packet(view, reason, &about);
        Step::Gone
    }

    /// Makes the ESP packet, all but the encryption, and says where its header begins.
    fn lay_out<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        frame: &mut FrameBuf<M>,
        l3: usize,
        ip: &Ipv4,
        sealing: Sealing,
    ) -> Result<usize, DropReason> {
        let sa = &*view.snapshot.sas[sealing.sa];
        let iv = self.next_iv(view, sa, sealing.group, sealing.len)?;
        let id = if ip.is_fragment() {
            self.next_id = self.next_id.wrapping_add(1);
            self.next_id
        } else {
            ip.identification()
        };
        let headers = Headers {
            layout: &sa.layout,
            spi: sa.tek.spi,
            sequence: sa.next_sequence(self.index),
            iv,
            id,
        };
        encapsulate(frame, l3, ip, &headers).ok_or(DropReason::Unprotectable)
    }

    //= RFC 6407 3.5
    //# The group member uses the
    //# same SID for each Data-Security SA specifying the use of a counter-
    //# based mode of operation.
    //= getvpn P21
    fn next_iv(
        &mut self,
        view: &View<'_>,
        sa: &Sa,
        group: usize,
        len: usize,
    ) -> Result<Iv, DropReason> {
        let group = view.group(group);
        if sa.layout.is_64_bit_block {
            self.spend(view, sa, group, len)?;
        }
        if !sa.layout.is_counter_mode {
            return Ok(self.ivs.next());
        }
        let sid = group.sid_of(self.index).ok_or(DropReason::NoSid)?;
        let drawn = sid.draw().ok_or(DropReason::IvExhausted)?;
        if drawn.nearly_used {
            self.notices
                .tell(view.now, Kind::SidNearlyUsed, || Happening::SidNearlyUsed {
                    group: Arc::clone(&group.name),
                    sid: sid.sid,
                });
        }
        Ok(Iv::counter(drawn.iv))
    }

    /// Counts what a packet of `len` octets takes of a key whose blocks have 64 bits.
    //= getvpn P23
    fn spend(
        &mut self,
        view: &View<'_>,
        sa: &Sa,
        group: &Group,
        len: usize,
    ) -> Result<(), DropReason> {
        match sa.spend(self.index, sa.layout.blocks(len), group.blocks_max) {
            Spent::Fine => Ok(()),
            Spent::Nearly => {
                self.notices
                    .tell(view.now, Kind::KeyNearlyUsed, || Happening::KeyNearlyUsed {
                        group: Arc::clone(&group.name),
                        spi: sa.tek.spi,
                    });
                Ok(())
            }
            Spent::Refused => Err(DropReason::BlocksExhausted),
        }
    }

    fn send_sealed<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        done: bool,
        frame: &FrameBuf<M>,
        sealing: Sealing,
        sink: &mut impl Sink,
    ) {
        let (sa, group) = (&*view.snapshot.sas[sealing.sa], view.group(sealing.group));
        if !done {
            // The library refused a packet whose lengths are right: never in clear.
            let (group, sa) = (Some(group), Some(sa));
            let about = About {
                group,
                sa,
                ..About::default()
            };
            self.drop_packet(view, DropReason::Unprotectable, &about);
            return;
        }
        for traffic in [&*sa.traffic, &*group.traffic, &*view.interface.traffic] {
            traffic.of(self.index).encapsulated(sealing.len);
        }
        sink.transmit(frame.octets());
    }

    /// Cuts a packet so that every piece fits when it is sealed, and sends the pieces in order.
    fn cut(&mut self, view: &View<'_>, frame: &[u8], sealing: Sealing, sink: &mut impl Sink) {
        let Ok(packet) = parse(frame) else { return };
        let (Ip::V4(ip), l3) = (packet.ip, packet.l3) else {
            return;
        };
        let Sealing { sa, group, .. } = sealing;
        let len_max = view.snapshot.sas[sa]
            .layout
            .plaintext_max(view.interface.mtu);
        let Some(mut pieces) = Fragments::new(&frame[l3..], ip, len_max) else {
            self.refuse(view, DropReason::TooBig, &packet, group, Some(sa));
            return;
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        loop {
            let space = scratch.space();
            let Some((link, rest)) = space.split_at_mut_checked(l3) else {
                break;
            };
            let Some(len) = pieces.next_into(rest) else {
                break;
            };
            link.copy_from_slice(&frame[..l3]);
            let Some(piece) = Ipv4::read(&rest[..len]) else {
                break;
            };
            scratch.set_len(l3 + len);
            let sealing = Sealing { len, ..sealing };
            match self.lay_out(view, &mut scratch, l3, &piece, sealing) {
                Ok(esp) => {
                    let mut jobs = [Job {
                        frame: 0,
                        sa,
                        esp,
                        done: false,
                    }];
                    let frames = std::slice::from_mut(&mut scratch);
                    self.engine
                        .seal_batch(&view.snapshot.sas, frames, &mut jobs);
                    self.send_sealed(view, jobs[0].done, &scratch, sealing, sink);
                }
                Err(reason) => {
                    self.refuse(view, reason, &packet, group, Some(sa));
                }
            }
        }
        self.scratch = scratch;
    }

    #[cold]
    fn answer_too_big(
        &mut self,
        view: &View<'_>,
        octets: &[u8],
        ip: &Ipv4,
        len_max: usize,
        sink: &mut impl Sink,
    ) {
        let (Ok(mtu), Ok(frame)) = (u16::try_from(len_max), Frame::parse(octets)) else {
            return;
        };
        if pmtu::may_be_answered(&frame, ip)
            && self.icmp_rate.allows(ip.source(), view.now)
            && pmtu::fragmentation_needed(&frame, ip, mtu, &mut self.scratch)
        {
            sink.deliver(self.scratch.octets());
        }
    }
}
