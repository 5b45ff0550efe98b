//! From the WAN to the LAN: look up, open, check, in the order of PROTOCOL P28.

use std::net::Ipv4Addr;
use std::sync::Arc;

use event::DropReason;
use policy::{Sid, Spi, Time, sid};
use wire::esp::Esp;
use wire::ip::Protocol;

use crate::engine::{Engine, Job};
use crate::esp::{ESP_HEADER, Payload, decapsulated_tos, payload_of};
use crate::frame::FrameBuf;
use crate::limits::BATCH_MAX;
use crate::notice::{Happening, Kind};
use crate::packet::{Ip, Ipv4, is_ipv4_header_intact, parse, seal_ipv4_header};
use crate::replay::{Counted, Sender};
use crate::snapshot::{Held, Snapshot};
use crate::worker::{About, View, Worker};
use crate::{InterfaceId, Sink};

/// What is left to be done with a frame once it was looked at. Small, so that it is handed on in a
/// register; the rest is in the worker's lists.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Step {
    /// Nothing: it was dropped.
    Gone,
    /// It goes on as it is.
    Clear,
    /// It is checked once the next job is done.
    Opened,
}

/// An ESP packet on its way through the engine.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Opening {
    l3: usize,
    /// The outer addresses.
    addresses: (Ipv4Addr, Ipv4Addr),
    /// The outer ToS.
    tos: u8,
    /// A place in what the interface holds.
    held: usize,
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
        self.openings.clear();
        self.inbound_steps.clear();
        for (place, frame) in frames.iter_mut().enumerate() {
            let step = self.admit_inbound(view, place, frame);
            self.inbound_steps.push(step);
        }
        let sas = &view.snapshot.sas;
        self.engine.open_batch(sas, frames, &mut self.jobs);
        let mut opened = 0;
        for (place, frame) in frames.iter_mut().enumerate() {
            match self.inbound_steps[place] {
                Step::Gone => {}
                Step::Clear => sink.deliver(frame.octets()),
                Step::Opened => {
                    let (job, opening) = (self.jobs[opened], self.openings[opened]);
                    self.finish(view, frame, job, &opening, sink);
                    opened += 1;
                }
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
        match &packet.ip {
            Ip::V4(outer) if outer.protocol() == Protocol::ESP => {
                self.admit_esp(view, place, frame, packet.l3, outer)
            }
            Ip::V4(_) | Ip::V6(_) => self.admit_clear(view, &packet.ip),
        }
    }

    /// A packet in clear: only what no policy encrypts goes on.
    fn admit_clear(&mut self, view: &View<'_>, ip: &Ip) -> Step {
        let verdict = self.judge_inbound(view, ip);
        if verdict.clear {
            view.interface.traffic.of(self.index).passed_clear_in();
            return Step::Clear;
        }
        let first = verdict.groups.trailing_zeros() as usize;
        let group = (verdict.groups != 0).then(|| view.group(first));
        let reason = if group.is_some() {
            DropReason::ClearText
        } else {
            DropReason::FailClose
        };
        let flow = match ip {
            Ip::V4(ip) => ip.flow(),
            Ip::V6(flow) => *flow,
        };
        let flow = Some(flow);
        self.drop_packet(
            view,
            reason,
            &About {
                flow,
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
        l3: usize,
        outer: &Ipv4,
    ) -> Step {
        let (begin, end) = (l3 + outer.header_len(), l3 + outer.total_len());
        let octets = frame.octets();
        let is_intact = is_ipv4_header_intact(&octets[l3..begin]) && !outer.is_fragment();
        let esp = &octets[begin..end];
        let Some(spi) = Esp::parse(esp)
            .ok()
            .filter(|_| is_intact)
            .map(|esp| Spi(esp.spi))
        else {
            return self.refuse_esp(view, DropReason::Malformed, outer, None);
        };
        let Some(place_held) = self.held(view, spi) else {
            return self.admit_foreign_esp(view, outer, spi);
        };
        let held = &view.interface.spis[place_held];
        let sa = &*view.snapshot.sas[held.sa];
        if !sa.layout.is_plausible(esp.len()) {
            return self.refuse_esp(view, DropReason::Malformed, outer, Some(held));
        }
        // The IV of GCM and GMAC names sender and counter (RFC 6054 section 3).
        let counter = esp
            .get(ESP_HEADER..)
            .and_then(|iv| iv.first_chunk())
            .filter(|_| sa.layout.is_counter_mode)
            .map(|iv| sid::split_iv(view.group(held.group).size, *iv));
        if counter.is_some_and(|(sid, n)| !self.windows.peek(sa.fingerprint, sid, n)) {
            return self.refuse_esp(view, DropReason::Replayed, outer, Some(held));
        }
        frame.truncate(end);
        self.jobs.push(Job {
            frame: place,
            sa: held.sa,
            esp: begin,
            done: false,
        });
        self.openings.push(Opening {
            l3,
            addresses: outer.addresses(),
            tos: outer.tos(),
            held: place_held,
            counter,
        });
        Step::Opened
    }

    #[cold]
    fn refuse_esp(
        &mut self,
        view: &View<'_>,
        reason: DropReason,
        outer: &Ipv4,
        held: Option<&Held>,
    ) -> Step {
        let about = About {
            flow: Some(outer.flow()),
            group: held.map(|held| view.group(held.group)),
            sa: held.map(|held| &*view.snapshot.sas[held.sa]),
            spi: None,
        };
        self.drop_packet(view, reason, &about);
        Step::Gone
    }

    /// Where the SA of an SPI is held, if it may still be received on.
    fn held(&self, view: &View<'_>, spi: Spi) -> Option<usize> {
        let spis = &view.interface.spis;
        let place = spis.binary_search_by_key(&spi, |held| held.spi).ok()?;
        let now = self.phases[view.interface.groups[spis[place].group]].now;
        (now <= spis[place].until).then_some(place)
    }

    /// ESP that is not the group's: another's, if the policy leaves it in clear.
    fn admit_foreign_esp(&mut self, view: &View<'_>, outer: &Ipv4, spi: Spi) -> Step {
        if self.judge_inbound_v4(view, outer).clear {
            view.interface.traffic.of(self.index).passed_clear_in();
            return Step::Clear;
        }
        let about = About {
            flow: Some(outer.flow()),
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
        job: Job,
        opening: &Opening,
        sink: &mut impl Sink,
    ) {
        let held = &view.interface.spis[opening.held];
        let (sa, group) = (&*view.snapshot.sas[held.sa], view.group(held.group));
        match self.accept(view, frame, job, opening) {
            Ok(Some(len)) => {
                for traffic in [&*sa.traffic, &*group.traffic, &*view.interface.traffic] {
                    traffic.of(self.index).decapsulated(len);
                }
                sink.deliver(frame.octets());
            }
            Ok(None) => {}
            Err(reason) => {
                let about = About {
                    flow: parse(frame.octets()).ok().map(|packet| packet.flow()),
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
        job: Job,
        opening: &Opening,
    ) -> Result<Option<usize>, DropReason> {
        if !job.done {
            return Err(DropReason::BadIcv);
        }
        let held = &view.interface.spis[opening.held];
        let layout = view.snapshot.sas[held.sa].layout;
        let begin = job.esp + ESP_HEADER + layout.iv_len;
        let end = frame.len() - layout.icv_len;
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
        if inner.addresses() != opening.addresses {
            return Err(DropReason::AddressMismatch);
        }
        self.count_replay(view, opening)?;
        let l3 = opening.l3;
        frame.octets_mut().copy_within(..l3, begin - l3);
        frame.cut_front(begin - l3);
        frame.truncate(l3 + inner.total_len());
        self.check_policy(view, &inner, held.group)?;
        let tos = decapsulated_tos(inner.tos(), opening.tos).ok_or(DropReason::BadEcn)?;
        if tos != inner.tos() {
            let header = &mut frame.octets_mut()[l3..l3 + inner.header_len()];
            header[1] = tos;
            seal_ipv4_header(header);
        }
        Ok(Some(inner.total_len()))
    }

    fn count_replay(&mut self, view: &View<'_>, opening: &Opening) -> Result<(), DropReason> {
        let Some((sid, counter)) = opening.counter else {
            return Ok(());
        };
        let held = &view.interface.spis[opening.held];
        let group = view.group(held.group);
        let sender = Sender {
            sa: view.snapshot.sas[held.sa].fingerprint,
            sid,
            expires: held.expires,
            idle: group.replay_idle,
        };
        match self.windows.accept(sender, counter, view.now) {
            Counted::Fresh => Ok(()),
            Counted::Copy => Err(DropReason::Replayed),
            Counted::NoRoom => {
                let kind = Kind::ReplayTableFull;
                self.notices
                    .tell(view.now, kind, || Happening::ReplayTableFull {
                        group: Arc::clone(&group.name),
                        sid,
                    });
                Ok(())
            }
        }
    }

    /// What the group's key opened must be what the group's policy encrypts.
    fn check_policy(
        &mut self,
        view: &View<'_>,
        inner: &Ipv4,
        group: usize,
    ) -> Result<(), DropReason> {
        let verdict = self.judge_inbound_v4(view, inner);
        if verdict.groups >> group & 1 == 0 {
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
