//! From the LAN to the WAN: judge, cut, seal.

use event::DropReason;
use policy::Time;
use wire::ethernet::Frame;

use crate::engine::{Engine, Job};
use crate::esp::{Headers, encapsulate, plaintext_max};
use crate::fragment::Fragments;
use crate::frame::FrameBuf;
use crate::limits::BATCH_MAX;
use crate::notice::{Happening, Kind};
use crate::packet::{Flow, Ipv4, Packet, parse};
use crate::pmtu;
use crate::sadb::Sa;
use crate::snapshot::{Decisive, Outbound, Snapshot};
use crate::worker::{About, IV_MAX, View, Worker};
use crate::{InterfaceId, Sink};

/// What is left to be done with a frame once it was judged.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Step {
    /// Nothing: it was dropped.
    Gone,
    /// It leaves in clear.
    Clear,
    /// It leaves once this job is done.
    Sealed { job: usize, sealing: Sealing },
    /// It is cut, and each piece sealed.
    Cut {
        l3: usize,
        ip: Ipv4,
        sealing: Sealing,
    },
}

/// With what, and for whom, a packet is sealed.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sealing {
    /// A place in the snapshot's SAs.
    sa: usize,
    /// A place in the interface's groups.
    group: usize,
    /// The flow, for counters and notices.
    flow: Flow,
    /// Octets of the inner packet.
    len: usize,
}

fn about_sealing<'a>(view: &View<'a>, sealing: &'a Sealing) -> About<'a> {
    About {
        flow: Some(&sealing.flow),
        group: Some(view.group(sealing.group)),
        sa: Some(&view.snapshot.sas[sealing.sa]),
        spi: None,
    }
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
        self.outbound_steps.clear();
        for (place, frame) in frames.iter_mut().enumerate() {
            let step = self.admit_outbound(view, place, frame, sink);
            self.outbound_steps.push(step);
        }
        self.engine
            .seal_batch(&view.snapshot.sas, frames, &mut self.jobs);
        for (place, frame) in frames.iter().enumerate() {
            match self.outbound_steps[place] {
                Step::Gone => {}
                Step::Clear => sink.transmit(frame.octets()),
                Step::Sealed { job, sealing } => {
                    let done = self.jobs[job].done;
                    self.send_sealed(view, done, frame, &sealing, sink);
                }
                Step::Cut { l3, ip, sealing } => {
                    self.cut(view, frame.octets(), (l3, &ip), &sealing, sink);
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
        let about = About {
            flow: Some(&packet.flow),
            ..About::default()
        };
        match self.judge_outbound(view, &packet.flow) {
            Outbound::Encrypt(by) => self.protect(view, place, frame, &packet, by, sink),
            Outbound::Clear(by) => {
                if let Some(by) = by {
                    self.count_hit(view, by);
                }
                view.interface.traffic.of(self.index).passed_clear_out();
                Step::Clear
            }
            Outbound::FailClose => {
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
        by: Decisive,
        sink: &mut impl Sink,
    ) -> Step {
        self.count_hit(view, by);
        let group = view.group(by.group);
        let about = About {
            flow: Some(&packet.flow),
            group: Some(group),
            ..About::default()
        };
        let Some(ip) = packet.ipv4 else {
            self.drop_packet(view, DropReason::Unprotectable, &about);
            return Step::Gone;
        };
        let Some(sa) = self.phases[view.interface.groups[by.group]].sa else {
            self.drop_packet(view, DropReason::NoSa, &about);
            return Step::Gone;
        };
        let sealing = Sealing {
            sa,
            group: by.group,
            flow: packet.flow,
            len: ip.total_len,
        };
        let held = &*view.snapshot.sas[sa];
        let about = About {
            sa: Some(held),
            ..about
        };
        let len_max = plaintext_max(held.tek.transform, view.interface.mtu);
        if ip.total_len <= len_max {
            return self.queue(view, place, frame, (packet.l3, &ip), &sealing);
        }
        if !ip.fields.dont_fragment {
            let l3 = packet.l3;
            return Step::Cut { l3, ip, sealing };
        }
        self.drop_packet(view, DropReason::TooBig, &about);
        self.answer_too_big(view, frame.octets(), &ip, len_max, sink);
        Step::Gone
    }

    /// Lays the packet out and gives it to the batch.
    fn queue<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        place: usize,
        frame: &mut FrameBuf<M>,
        (l3, ip): (usize, &Ipv4),
        sealing: &Sealing,
    ) -> Step {
        let sa = sealing.sa;
        match self.lay_out(view, frame, l3, ip, sealing) {
            Ok(esp) => {
                let frame = place;
                self.jobs.push(Job {
                    frame,
                    sa,
                    esp,
                    done: false,
                });
                let job = self.jobs.len() - 1;
                Step::Sealed {
                    job,
                    sealing: *sealing,
                }
            }
            Err(reason) => {
                self.drop_packet(view, reason, &about_sealing(view, sealing));
                Step::Gone
            }
        }
    }

    /// Makes the ESP packet, all but the encryption, and says where its header begins.
    fn lay_out<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        frame: &mut FrameBuf<M>,
        l3: usize,
        ip: &Ipv4,
        sealing: &Sealing,
    ) -> Result<usize, DropReason> {
        let sa = &*view.snapshot.sas[sealing.sa];
        let iv = self.next_iv(view, sa, sealing.group)?;
        let id = if ip.is_fragment() {
            self.next_id = self.next_id.wrapping_add(1);
            self.next_id
        } else {
            ip.fields.identification
        };
        let headers = Headers {
            transform: sa.tek.transform,
            spi: sa.tek.spi,
            sequence: sa.next_sequence(self.index),
            iv: &iv[..sa.tek.transform.iv_len()],
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
    ) -> Result<[u8; IV_MAX], DropReason> {
        if !sa.tek.transform.is_counter_mode() {
            return Ok(self.ivs.next());
        }
        let group = view.group(group);
        let sid = group.sid_of(self.index).ok_or(DropReason::NoSid)?;
        let drawn = sid.draw().ok_or(DropReason::IvExhausted)?;
        if drawn.nearly_used {
            self.notices
                .tell(view.now, Kind::SidNearlyUsed, || Happening::SidNearlyUsed {
                    group: std::sync::Arc::clone(&group.name),
                    sid: sid.sid,
                });
        }
        let mut iv = [0; IV_MAX];
        iv[..drawn.iv.len()].copy_from_slice(&drawn.iv);
        Ok(iv)
    }

    fn send_sealed<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        done: bool,
        frame: &FrameBuf<M>,
        sealing: &Sealing,
        sink: &mut impl Sink,
    ) {
        let (sa, group) = (&*view.snapshot.sas[sealing.sa], view.group(sealing.group));
        if !done {
            // The library refused a packet whose lengths are right: never in clear.
            let about = about_sealing(view, sealing);
            self.drop_packet(view, DropReason::Unprotectable, &about);
            return;
        }
        for traffic in [&*sa.traffic, &*group.traffic, &*view.interface.traffic] {
            traffic.of(self.index).encapsulated(sealing.len);
        }
        sink.transmit(frame.octets());
    }

    /// Cuts a packet so that every piece fits when it is sealed, and sends the pieces in order.
    fn cut(
        &mut self,
        view: &View<'_>,
        frame: &[u8],
        (l3, ip): (usize, &Ipv4),
        sealing: &Sealing,
        sink: &mut impl Sink,
    ) {
        let sa = &*view.snapshot.sas[sealing.sa];
        let len_max = plaintext_max(sa.tek.transform, view.interface.mtu);
        let mut scratch = std::mem::take(&mut self.scratch);
        let about = about_sealing(view, sealing);
        let Some(mut pieces) = Fragments::new(&frame[l3..], *ip, len_max) else {
            self.drop_packet(view, DropReason::TooBig, &about);
            self.scratch = scratch;
            return;
        };
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
            let sealing = Sealing { len, ..*sealing };
            match self.lay_out(view, &mut scratch, l3, &piece, &sealing) {
                Ok(esp) => {
                    let mut jobs = [Job {
                        frame: 0,
                        sa: sealing.sa,
                        esp,
                        done: false,
                    }];
                    let frames = std::slice::from_mut(&mut scratch);
                    self.engine
                        .seal_batch(&view.snapshot.sas, frames, &mut jobs);
                    self.send_sealed(view, jobs[0].done, &scratch, &sealing, sink);
                }
                Err(reason) => self.drop_packet(view, reason, &about),
            }
        }
        self.scratch = scratch;
    }

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
            && self.icmp_rate.allows(ip.fields.source, view.now)
            && pmtu::fragmentation_needed(&frame, ip, mtu, &mut self.scratch)
        {
            sink.deliver(self.scratch.octets());
        }
    }
}
