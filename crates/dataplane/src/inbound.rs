//! From the WAN to the LAN: look up, open, check, in the order of PROTOCOL P28.

use event::DropReason;
use policy::{GroupSize, Sid, Spi, Time, sid};
use wire::esp::Esp;
use wire::ip::{self, Protocol};

use crate::engine::{Engine, Job};
use crate::esp::{ESP_HEADER, Payload, decapsulated_tos, is_plausible, payload_of};
use crate::frame::FrameBuf;
use crate::limits::BATCH_MAX;
use crate::notice::{Happening, Kind};
use crate::packet::{Flow, Ipv4, Packet, parse, seal_ipv4_header};
use crate::replay::{Counted, Sender};
use crate::sadb::Sa;
use crate::snapshot::Snapshot;
use crate::worker::{About, View, Worker};
use crate::{InterfaceId, Sink};

/// What is left to be done with a frame once it was looked at.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Step {
    /// Nothing: it was dropped.
    Gone,
    /// It goes on as it is.
    Clear,
    /// It is checked once this job is done.
    Opened(Opening),
}

/// An ESP packet on its way through the engine.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Opening {
    job: usize,
    l3: usize,
    outer: Ipv4,
    flow: Flow,
    /// A place in the snapshot's SAs.
    sa: usize,
    /// A place in the interface's groups.
    group: usize,
    /// Who sent it and its counter, where the IV says so.
    counter: Option<(Sid, u64)>,
}

impl<E: Engine> Worker<E> {
    /// Processes frames that arrived at the WAN of a protected interface, in order: ESP, and what
    /// in clear needs an exact verdict.
    ///
    /// Each frame goes on, decrypted or as it is, through [`Sink::deliver`], or is dropped and
    /// counted. Its content is used up. Frames of an interface that the snapshot does not know are
    /// dropped.
    pub fn inbound<M: AsRef<[u8]> + AsMut<[u8]>>(
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
            self.inbound_batch(&view, batch, sink);
        }
    }

    fn inbound_batch<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        frames: &mut [FrameBuf<M>],
        sink: &mut impl Sink,
    ) {
        self.jobs.clear();
        self.inbound_steps.clear();
        for (place, frame) in frames.iter_mut().enumerate() {
            let step = self.admit_inbound(view, place, frame);
            self.inbound_steps.push(step);
        }
        self.engine
            .open_batch(&view.snapshot.sas, frames, &mut self.jobs);
        for (place, frame) in frames.iter_mut().enumerate() {
            match self.inbound_steps[place] {
                Step::Gone => {}
                Step::Clear => sink.deliver(frame.octets()),
                Step::Opened(opening) => self.finish(view, frame, &opening, sink),
            }
        }
    }

    fn admit_inbound<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        place: usize,
        frame: &mut FrameBuf<M>,
    ) -> Step {
        let Ok(packet) = parse(frame.octets()) else {
            self.drop_packet(view, DropReason::Malformed, &About::default());
            return Step::Gone;
        };
        match packet.ipv4 {
            Some(outer) if outer.fields.protocol == Protocol::ESP => {
                self.admit_esp(view, place, frame, &packet, outer)
            }
            Some(_) | None => self.admit_clear(view, &packet.flow),
        }
    }

    /// A packet in clear: only what no policy encrypts goes on.
    fn admit_clear(&mut self, view: &View<'_>, flow: &Flow) -> Step {
        let verdict = self.judge_inbound(view, flow);
        if verdict.clear {
            view.interface.traffic.of(self.index).passed_clear_in();
            return Step::Clear;
        }
        let first = verdict.groups.trailing_zeros() as usize;
        let group = (verdict.groups != 0).then(|| view.group(first));
        let reason = if verdict.groups == 0 {
            DropReason::FailClose
        } else {
            DropReason::ClearText
        };
        self.drop_packet(
            view,
            reason,
            &About {
                flow: Some(flow),
                group,
                ..About::default()
            },
        );
        Step::Gone
    }

    //= getvpn P28
    fn admit_esp<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        place: usize,
        frame: &mut FrameBuf<M>,
        packet: &Packet,
        outer: Ipv4,
    ) -> Step {
        let flow = packet.flow;
        let about = About {
            flow: Some(&flow),
            ..About::default()
        };
        let (begin, end) = (packet.l3 + outer.header_len, packet.l3 + outer.total_len);
        let octets = frame.octets();
        let is_intact = ip::checksum(&[&octets[packet.l3..begin]]) == 0 && !outer.is_fragment();
        let esp = &octets[begin..end];
        let Some(spi) = Esp::parse(esp)
            .ok()
            .filter(|_| is_intact)
            .map(|esp| Spi(esp.spi))
        else {
            self.drop_packet(view, DropReason::Malformed, &about);
            return Step::Gone;
        };
        let Some((sa, group)) = self.held(view, spi) else {
            return self.admit_foreign_esp(view, &flow, spi);
        };
        let held = &*view.snapshot.sas[sa];
        let transform = held.tek.transform;
        let about = About {
            group: Some(view.group(group)),
            sa: Some(held),
            ..about
        };
        if !is_plausible(transform, esp.len()) {
            self.drop_packet(view, DropReason::Malformed, &about);
            return Step::Gone;
        }
        let counter = counter_of(held, view.group(group).size, esp);
        if counter.is_some_and(|(sid, n)| !self.windows.peek(held.fingerprint, sid, n)) {
            self.drop_packet(view, DropReason::Replayed, &about);
            return Step::Gone;
        }
        frame.truncate(end);
        self.jobs.push(Job {
            frame: place,
            sa,
            esp: begin,
            done: false,
        });
        let job = self.jobs.len() - 1;
        Step::Opened(Opening {
            job,
            l3: packet.l3,
            outer,
            flow,
            sa,
            group,
            counter,
        })
    }

    /// The SA of an SPI and the group that it belongs to, if it may still be received on.
    fn held(&self, view: &View<'_>, spi: Spi) -> Option<(usize, usize)> {
        let spis = &view.interface.spis;
        let place = spis.binary_search_by_key(&spi, |&(own, _, _)| own).ok()?;
        let (_, sa, group) = spis[place];
        let now = self.phases[view.interface.groups[group]].now;
        let until = view.group(group).inbound_until(&view.snapshot.sas[sa]);
        (now <= until).then_some((sa, group))
    }

    /// ESP that is not the group's: another's, if the policy leaves it in clear.
    fn admit_foreign_esp(&mut self, view: &View<'_>, flow: &Flow, spi: Spi) -> Step {
        if self.judge_inbound(view, flow).clear {
            view.interface.traffic.of(self.index).passed_clear_in();
            return Step::Clear;
        }
        let about = About {
            flow: Some(flow),
            spi: Some(spi),
            ..About::default()
        };
        self.drop_packet(view, DropReason::InvalidSpi, &about);
        Step::Gone
    }

    fn finish<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        frame: &mut FrameBuf<M>,
        opening: &Opening,
        sink: &mut impl Sink,
    ) {
        let (sa, group) = (&*view.snapshot.sas[opening.sa], view.group(opening.group));
        match self.accept(view, frame, opening) {
            Ok(Some(len)) => {
                for traffic in [&*sa.traffic, &*group.traffic, &*view.interface.traffic] {
                    traffic.of(self.index).decapsulated(len);
                }
                sink.deliver(frame.octets());
            }
            Ok(None) => {}
            Err(reason) => {
                let about = About {
                    flow: Some(&opening.flow),
                    group: Some(group),
                    sa: Some(sa),
                    spi: None,
                };
                self.drop_packet(view, reason, &about);
            }
        }
    }

    /// Checks what was decrypted and turns the frame into that of the inner packet, whose octets
    /// are the answer; none for dummy traffic.
    //= getvpn P28
    fn accept<M: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        view: &View<'_>,
        frame: &mut FrameBuf<M>,
        opening: &Opening,
    ) -> Result<Option<usize>, DropReason> {
        let job = self.jobs[opening.job];
        if !job.done {
            return Err(DropReason::BadIcv);
        }
        let sa = &*view.snapshot.sas[opening.sa];
        let transform = sa.tek.transform;
        let begin = job.esp + ESP_HEADER + transform.iv_len();
        let end = frame.len() - transform.icv_len();
        let payload = &frame.octets()[begin..end];
        let len = match payload_of(payload).ok_or(DropReason::BadPadding)? {
            Payload::Ipv4 { len } => len,
            Payload::Dummy => return Ok(None),
        };
        let inner = Ipv4::read(&payload[..len]).ok_or(DropReason::Malformed)?;
        //= RFC 5374 5.2
        //# the
        //# marked address(es) (i.e., source and/or destination
        //# address(es)) in the outer IP header MUST be verified to be
        //# the same value(s) as in the inner IP header.
        if inner.addresses() != opening.outer.addresses() {
            return Err(DropReason::AddressMismatch);
        }
        self.count_replay(view, sa, opening)?;
        let octets = frame.octets_mut();
        octets.copy_within(..opening.l3, begin - opening.l3);
        frame.cut_front(begin - opening.l3);
        frame.truncate(opening.l3 + inner.total_len);
        self.check_policy(view, frame.octets(), opening)?;
        let tos = decapsulated_tos(inner.fields.tos, opening.outer.fields.tos)
            .ok_or(DropReason::BadEcn)?;
        if tos != inner.fields.tos {
            let header = &mut frame.octets_mut()[opening.l3..opening.l3 + inner.header_len];
            header[1] = tos;
            seal_ipv4_header(header);
        }
        Ok(Some(inner.total_len))
    }

    fn count_replay(
        &mut self,
        view: &View<'_>,
        sa: &Sa,
        opening: &Opening,
    ) -> Result<(), DropReason> {
        let Some((sid, counter)) = opening.counter else {
            return Ok(());
        };
        let group = view.group(opening.group);
        let sender = Sender {
            sa: sa.fingerprint,
            sid,
            expires: group.clock.time_of(group.inbound_until(sa)),
            idle: group.replay_idle,
        };
        match self.windows.accept(sender, counter, view.now) {
            Counted::Fresh => Ok(()),
            Counted::Copy => Err(DropReason::Replayed),
            Counted::NoRoom => {
                let name = &group.name;
                self.notices.tell(view.now, Kind::ReplayTableFull, || {
                    Happening::ReplayTableFull {
                        group: std::sync::Arc::clone(name),
                        sid,
                    }
                });
                Ok(())
            }
        }
    }

    /// What the group's key opened must be what the group's policy encrypts.
    fn check_policy(
        &mut self,
        view: &View<'_>,
        frame: &[u8],
        opening: &Opening,
    ) -> Result<(), DropReason> {
        let packet = parse(frame).map_err(|_| DropReason::Malformed)?;
        let verdict = self.judge_inbound(view, &packet.flow);
        if verdict.groups >> opening.group & 1 == 0 {
            return Err(DropReason::NotInPolicy);
        }
        if let Some(by) = verdict.by
            && let Some(policy) = view.group(by.group).policies.get(by.policy)
            && let Some(hits) = policy.hits.of(self.index).get(by.line)
        {
            hits.inbound.add(1);
        }
        Ok(())
    }
}

/// Sender and counter, where the IV names them (RFC 6054 section 3).
fn counter_of(sa: &Sa, size: GroupSize, esp: &[u8]) -> Option<(Sid, u64)> {
    let iv = esp.get(ESP_HEADER..)?.first_chunk()?;
    let is_counter_mode = sa.tek.transform.is_counter_mode();
    is_counter_mode.then(|| sid::split_iv(size, *iv))
}
