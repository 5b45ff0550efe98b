//! A scenario file played on real namespaces: the same lines that the simulator runs in virtual
//! time. Decides how each line is done here; what a line means is [`sim::scenario`]'s.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netio::testbed;
use sim::scenario::{self, Action, Measure, Scenario, World};

use crate::build::{self, Wishes};
use crate::flow::Report;
use crate::limits::LOOK_AGAIN;
use crate::mroute::Routing;
use crate::place::Place;
use crate::screen::Screen;
use crate::state::{Folder, Lab};
use crate::traffic::{Shape, Traffic};
use crate::{control, cut, mroute, routers, topology, verbs};

/// Plays a scenario on a topology built for it. True when every expectation held.
pub(crate) fn run(place: &Place, topology: &str, file: &Path) -> Result<bool> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| name.to_string())?;
    let scenario = scenario::parse(&text).map_err(|errors| {
        let said: Vec<_> = errors
            .iter()
            .map(|error| format!("{name}: {error}"))
            .collect();
        anyhow::anyhow!("{}", said.join("\n"))
    })?;
    let topology = topology::load(topology)?;
    build::need_tap(place, &topology)?;
    testbed::note_interrupts();
    let mut screen = Screen::new();
    let (folder, mut lab) = build::network(place, &topology, Wishes::default())?;
    let played = play(place, &folder, &mut lab, &mut screen, &scenario);
    let removed = build::remove(place, folder, Some(lab));
    played?;
    removed?;
    Ok(screen.verdict())
}

fn play(
    place: &Place,
    folder: &Folder,
    lab: &mut Lab,
    screen: &mut Screen,
    scenario: &Scenario,
) -> Result<()> {
    // It ends with the scenario.
    let routing = mroute::start(place, lab)?;
    verbs::bring_up(place, folder, lab)?;
    screen.step("routers up");
    let mut stage = Stage {
        place,
        folder,
        lab,
        screen,
        routing,
        begin: Instant::now(),
        traffic: None,
        reports: Vec::new(),
    };
    let failures = scenario::run(scenario, &mut stage);
    stage.stop()?;
    if testbed::interrupted() {
        bail!("interrupted");
    }
    for failure in &failures {
        screen.check(false, failure);
    }
    if failures.is_empty() {
        let steps = scenario.steps.len();
        screen.check(true, format_args!("all {steps} lines held"));
    }
    Ok(())
}

/// A lab while a scenario is played on it.
struct Stage<'a> {
    place: &'a Place,
    folder: &'a Folder,
    lab: &'a mut Lab,
    screen: &'a mut Screen,
    routing: Routing,
    begin: Instant,
    traffic: Option<Traffic>,
    /// What traffic that has ended saw.
    reports: Vec<Report>,
}

impl Stage<'_> {
    fn obey(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::Kill(node) => {
                routers::kill(self.lab, node)?;
                self.screen.step(format_args!("{node} killed"));
            }
            Action::Start(node) => {
                routers::start(self.place, self.lab, node, None)?;
                routers::wait_up(self.place, self.lab, node)?;
                self.screen.step(format_args!("{node} started"));
            }
            Action::Cut(a, b) => {
                cut::cut(self.place, self.lab, a, b)?;
                self.screen.step(format_args!("{a} and {b} cut"));
            }
            Action::Heal(a, b) => {
                cut::heal(self.place, self.lab, a, b)?;
                self.screen.step(format_args!("{a} and {b} healed"));
            }
            Action::Multicast(routed) => {
                self.routing.pass(*routed);
                let word = if *routed { "on" } else { "off" };
                self.screen.step(format_args!("multicast {word}"));
            }
            Action::Traffic {
                from,
                to,
                pps,
                octets,
            } => {
                self.stop()?;
                let (a, b) = (verbs::host(self.place, from)?, verbs::host(self.place, to)?);
                let shape = Shape {
                    pps: *pps,
                    size: *octets as usize,
                };
                self.traffic = Some(Traffic::start(&[(&a, &b)], shape)?);
                self.screen
                    .step(format_args!("traffic: {pps} packets/s of {octets} octets"));
            }
            Action::Stop => self.stop()?,
            Action::On { .. } | Action::Expect(..) => {}
        }
        self.folder.save(self.lab)
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(traffic) = self.traffic.take() {
            self.reports = traffic.finish()?;
            self.screen.step("traffic ended");
            for report in &self.reports {
                self.screen.line(format_args!("            {report}"));
            }
        }
        Ok(())
    }
}

impl World for Stage<'_> {
    fn advance(&mut self, at: Duration) -> Result<(), String> {
        let moment = self.begin + at;
        loop {
            if testbed::interrupted() {
                return Err("interrupted".to_owned());
            }
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK_AGAIN));
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        self.obey(action).map_err(|error| format!("{error:#}"))
    }

    fn exec(&mut self, node: &str, command: &str) -> Result<String, String> {
        let known = self.lab.router_mut(node).map(drop);
        let lines = scenario::lines(command);
        let answer = known.and_then(|()| control::session(&self.place.socket(node), lines));
        answer.map_err(|error| format!("{error:#}"))
    }

    fn measured(&mut self, measure: Measure) -> u64 {
        if let Err(error) = self.stop() {
            // Traffic that could not be accounted for must not count as clean.
            self.screen.line(format_args!("{error:#}"));
            return u64::MAX;
        }
        let of = |report: &Report| match measure {
            Measure::Lost => report.lost,
            Measure::Reordered => report.reordered,
            Measure::Duplicated => report.duplicated,
        };
        self.reports.iter().map(of).sum()
    }
}
