//! How a scenario is played in virtual time.

use std::time::Duration;

use policy::Time;

use crate::scenario::{Action, Measure, World};
use crate::traffic::Flow;
use crate::world::{Happening, VirtualWorld};

impl VirtualWorld {
    fn cut(&mut self, a: &str, b: &str, cut: bool) -> Result<(), String> {
        let ((name, "core") | ("core", name)) = (a, b) else {
            return Err(format!("no link joins {a} and {b}: boxes hang on the core"));
        };
        let link = self
            .link_mut(name)
            .ok_or_else(|| format!("no box is named {name}"))?;
        link.cut = cut;
        self.note(|_| format!("{} {a} {b}", if cut { "cut" } else { "heal" }));
        Ok(())
    }

    fn traffic(&mut self, from: &str, to: &str, pps: u32, octets: u32) -> Result<(), String> {
        let address = |name: &str| {
            self.hosts
                .get(name)
                .copied()
                .ok_or_else(|| format!("no host is named {name}"))
        };
        let (a, b) = (address(from)?, address(to)?);
        for (from, to) in [(a, b), (b, a)] {
            let place = self.flows.len();
            let id = u32::try_from(place).unwrap_or(u32::MAX);
            self.flows
                .push((self.now, Flow::new(id, from, to, pps, octets)));
            self.schedule(self.now, Happening::Packet { flow: place });
        }
        Ok(())
    }

    /// Ends all traffic and lets what is on the way arrive.
    fn stop(&mut self) {
        for (_, flow) in &mut self.flows {
            flow.open = false;
        }
        self.run_until(self.now + Duration::from_secs(1));
    }
}

impl World for VirtualWorld {
    fn advance(&mut self, at: Duration) -> Result<(), String> {
        self.run_until(Time::ZERO + at);
        self.violations()
            .first()
            .map_or(Ok(()), |first| Err(first.clone()))
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Kill(name) => self.kill(name),
            Action::Start(name) => self.start(name),
            Action::Cut(a, b) => self.cut(a, b, true),
            Action::Heal(a, b) => self.cut(a, b, false),
            Action::Multicast(routed) => {
                self.routes_multicast = *routed;
                Ok(())
            }
            Action::Traffic {
                from,
                to,
                pps,
                octets,
            } => self.traffic(from, to, *pps, *octets),
            Action::Stop => {
                self.stop();
                Ok(())
            }
            Action::On { .. } | Action::Expect(..) => Err("the runner does this".into()),
        }
    }

    fn exec(&mut self, node: &str, command: &str) -> Result<String, String> {
        let id = self.id(node)?;
        self.type_line(id, command)
    }

    fn measured(&mut self, measure: Measure) -> u64 {
        self.stop();
        self.flows
            .iter()
            .map(|(_, flow)| flow.measured(measure))
            .sum()
    }
}
