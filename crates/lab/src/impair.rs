//! Making a cable worse and good again: delay, loss, reordering, duplication without the kernel's
//! netem. Decides what can be asked for and which port of the cable the frames are taken from; a
//! process of its own ([`crate::link`]) carries them.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netio::testbed;
use serde::{Deserialize, Serialize};
use sim::link::{Link, Ppm};

use crate::build;
use crate::limits::LINK_DELAY_MAX;
use crate::link::{self, Figures, Order, PASSED};
use crate::place::Place;
use crate::process::{self, Process};
use crate::state::{Impaired, Lab};
use crate::topology::{Endpoint, Kind};

/// Preference of the filters: behind those of cuts.
const PREF: u16 = 1_000;
/// What the process says once its devices are open.
const READY: &str = "ready";
const WHOLE: Ppm = 1_000_000;

/// What happens to frames on a cable, each way alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Impairment {
    /// Time on the way, as `20ms`, `500us` or `1s`
    #[arg(long, value_parser = span, default_value = "0ms")]
    #[serde(deserialize_with = "spans::read", serialize_with = "spans::write")]
    pub delay: Duration,
    /// Up to so much more, equally distributed: frames may overtake each other
    #[arg(long, value_parser = span, default_value = "0ms")]
    #[serde(deserialize_with = "spans::read", serialize_with = "spans::write")]
    pub jitter: Duration,
    /// How many frames are lost, as `1%`; with `100%` nothing passes
    #[arg(long, value_parser = share, default_value = "0%")]
    #[serde(deserialize_with = "shares::read", serialize_with = "shares::write")]
    pub loss: Ppm,
    /// How many frames arrive twice
    #[arg(long, value_parser = share, default_value = "0%")]
    #[serde(deserialize_with = "shares::read", serialize_with = "shares::write")]
    pub duplicate: Ppm,
    /// How many frames wait 20 ms more, so that later ones overtake them
    #[arg(long, value_parser = share, default_value = "0%")]
    #[serde(deserialize_with = "shares::read", serialize_with = "shares::write")]
    pub reorder: Ppm,
    /// The seed of the dice
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Impairment {
    /// As the simulator knows it.
    pub(crate) fn link(self) -> Link {
        Link {
            delay: self.delay,
            jitter: self.jitter,
            loss: self.loss,
            duplication: self.duplicate,
            reordering: self.reorder,
            ..Link::default()
        }
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = [("delay", self.delay), ("jitter", self.jitter)];
        let mut words: Vec<String> = Vec::new();
        words.extend(
            spans
                .iter()
                .filter(|(_, span)| !span.is_zero())
                .map(|(word, span)| format!("{word} {}", spans::text(*span))),
        );
        let shares = [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
        ];
        words.extend(
            shares
                .iter()
                .filter(|(_, share)| *share > 0)
                .map(|(word, share)| format!("{word} {}", shares::text(*share))),
        );
        if words.is_empty() {
            words.push("nothing".to_owned());
        }
        f.write_str(&words.join(", "))
    }
}

/// Reads `20ms`, `500us`, `1s`.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_us = match &text[digits.len()..] {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => return Err(format!("`{text}`: expected a number with us, ms or s")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("`{text}`: expected a whole number with us, ms or s"))?;
    let span = Duration::from_micros(number.saturating_mul(unit_us));
    if span > LINK_DELAY_MAX {
        let most = LINK_DELAY_MAX.as_secs();
        return Err(format!("`{text}`: expected {most}s at most"));
    }
    Ok(span)
}

/// Reads `1%`, `0.5%`, as parts per million.
fn share(text: &str) -> Result<Ppm, String> {
    let expected = || format!("`{text}`: expected 0% to 100%, with four decimals at most");
    let number = text.strip_suffix('%').ok_or_else(expected)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || whole.len() > 3 || part.len() > 4 {
        return Err(expected());
    }
    let whole: Ppm = whole.parse().map_err(|_| expected())?;
    let part: Ppm = format!("{part:0<4}").parse().map_err(|_| expected())?;
    let share = whole * (WHOLE / 100) + part;
    if share > WHOLE {
        return Err(expected());
    }
    Ok(share)
}

mod spans {
    use super::{Duration, span};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn text(span: Duration) -> String {
        let us = span.as_micros();
        if us.is_multiple_of(1_000) {
            format!("{}ms", us / 1_000)
        } else {
            format!("{us}us")
        }
    }

    pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        span(&String::deserialize(from)?).map_err(D::Error::custom)
    }

    pub(super) fn write<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(*span))
    }
}

mod shares {
    use super::{Ppm, share};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn text(share: Ppm) -> String {
        let (whole, part) = (share / 10_000, share % 10_000);
        let part = format!("{part:04}");
        match part.trim_end_matches('0') {
            "" => format!("{whole}%"),
            part => format!("{whole}.{part}%"),
        }
    }

    pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Ppm, D::Error> {
        share(&String::deserialize(from)?).map_err(D::Error::custom)
    }

    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(super) fn write<S: Serializer>(share: &Ppm, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text(*share))
    }
}

/// Impairs the cable between two nodes, in place of what was asked for before.
pub(crate) fn impair(
    place: &Place,
    lab: &mut Lab,
    a: &str,
    b: &str,
    impairment: Impairment,
) -> Result<()> {
    lab.node(a)?;
    lab.node(b)?;
    let port = plain_port(lab, a, b)?;
    if find(lab, a, b).is_some() {
        restore(place, lab, a, b)?;
    }
    let number = (0..).find(|n| lab.impaired.iter().all(|one| one.number != *n));
    let number: u16 = number.context("too many impaired links")?;
    let order = Order {
        device: port.device.clone(),
        number,
        impairment,
        figures: place.link_file(number),
    };
    let carrier = start(place, &port, &order)?;
    lab.impaired.push(Impaired {
        a: a.to_owned(),
        b: b.to_owned(),
        port: port.clone(),
        number,
        impairment,
        carrier,
    });
    let set = redirect(place, &port, number);
    if set.is_err() {
        // The first fault is the one to report.
        let _ = restore(place, lab, a, b);
    }
    set
}

/// Makes a cable good again.
pub(crate) fn restore(place: &Place, lab: &mut Lab, a: &str, b: &str) -> Result<()> {
    lab.node(a)?;
    lab.node(b)?;
    let Some(index) = find(lab, a, b) else {
        bail!("the cable between {a} and {b} is not impaired")
    };
    let Impaired {
        port,
        carrier,
        number,
        ..
    } = lab.impaired.remove(index);
    let line = |hook: &str| format!("filter delete dev {} {hook} pref {PREF}\n", port.device);
    let lines = line("ingress") + &line("egress");
    // Those of a port whose redirection failed half way are not all there.
    let removed = build::tc_batch(&place.namespace(&port.node), &lines);
    process::stop_all(&[carrier]);
    let _ = std::fs::remove_file(place.link_file(number));
    removed
}

/// What became of the frames on an impaired cable: those that arrived at the port where they are
/// taken, and those that left by it.
pub(crate) fn figures(
    place: &Place,
    lab: &Lab,
    a: &str,
    b: &str,
) -> Result<(Impaired, [Figures; 2])> {
    lab.node(a)?;
    lab.node(b)?;
    let index = find(lab, a, b);
    let index = index.with_context(|| format!("the cable between {a} and {b} is not impaired"))?;
    let impaired = lab.impaired[index].clone();
    if !impaired.carrier.is_alive() {
        bail!("the process of the cable between {a} and {b} has died: nothing passes");
    }
    let figures = link::figures(&place.link_file(impaired.number))?;
    Ok((impaired, figures))
}

fn find(lab: &Lab, a: &str, b: &str) -> Option<usize> {
    lab.impaired
        .iter()
        .position(|one| (one.a == a && one.b == b) || (one.a == b && one.b == a))
}

/// The end of the cable between two nodes where no router has filters of its own.
fn plain_port(lab: &Lab, a: &str, b: &str) -> Result<Endpoint> {
    let cable = lab
        .links
        .iter()
        .find(|[x, y]| (x.node == a && y.node == b) || (x.node == b && y.node == a));
    let cable = cable.with_context(|| format!("{a} and {b} share no cable"))?;
    let plain = |end: &&Endpoint| {
        lab.node(&end.node)
            .is_ok_and(|node| node.kind == Kind::Linux)
    };
    let port = cable.iter().find(plain).cloned();
    port.with_context(|| format!("{a} and {b} are both routers: no plain port to take frames from"))
}

/// Starts the process in the namespace of the port; its devices are open when this returns.
fn start(place: &Place, port: &Endpoint, order: &Order) -> Result<Process> {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["lab", "carry"])
        .arg(serde_json::to_string(order)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir("/");
    let namespace = place.open_namespace(&port.node)?;
    testbed::start_in(&mut command, &namespace, true);
    let mut child = command.spawn().context("start the carrier of a link")?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said)?;
    }
    if said.trim() != READY {
        let output = child.wait_with_output()?;
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("the carrier of the link at {port} did not start: {reason}");
    }
    Process::of(child.id()).context("the carrier of a link ended at once")
}

/// The life of the process that [`start`] starts.
pub(crate) fn carry(order: &str) -> Result<()> {
    use std::io::Write;
    let order: Order = serde_json::from_str(order).context("the order of a link")?;
    link::carry(&order, || {
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{READY}")?;
        Ok(stdout.flush()?)
    })
}

/// Sends what arrives by the port, unless it has been on the link, and what leaves by it through
/// the devices of the process. Without the process both end there: the cable is cut.
fn redirect(place: &Place, port: &Endpoint, number: u16) -> Result<()> {
    let namespace = place.namespace(&port.node);
    let (device, inward, outward) = (&port.device, link::arriving(number), link::leaving(number));
    // It may be there from a cut or an earlier impairment.
    let _ = build::tc_batch(&namespace, &format!("qdisc add dev {device} clsact\n"));
    let all = format!("1,6 0 0 {}", u32::MAX);
    let mark = u32::from_be_bytes(PASSED);
    let fresh = format!("4,32 0 0 6,21 0 1 {mark},6 0 0 0,6 0 0 {}", u32::MAX);
    let filter = |dev: &str, hook: &str, pref: u16, code: &str, way: &str, to: &str| {
        format!(
            "filter add dev {dev} {hook} pref {pref} bpf bytecode '{code}' \
             action mirred {way} redirect dev {to}\n"
        )
    };
    let lines = [
        format!("qdisc add dev {inward} clsact\n"),
        filter(&inward, "ingress", 1, &all, "ingress", device),
        filter(device, "ingress", PREF, &fresh, "egress", &inward),
        filter(device, "egress", PREF, &all, "egress", &outward),
    ];
    build::tc_batch(&namespace, &lines.concat())
        .context("an impaired link needs the kernel's cls_bpf and act_mirred")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_shares_are_read_and_written_alike() {
        for text in ["20ms", "500us", "0ms", "1500us"] {
            assert_eq!(spans::text(span(text).unwrap()), text);
        }
        assert_eq!(span("1s"), Ok(Duration::from_secs(1)));
        for text in ["1%", "0.5%", "12.3456%", "100%", "0%"] {
            assert_eq!(shares::text(share(text).unwrap()), text);
        }
        assert_eq!(share("0.5%"), Ok(5_000));
        for wrong in ["20", "ms", "-1ms", "1.5ms", "1h", "61s", "ä"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "1", "%", "101%", "100.1%", "1.%", ".5%", "0.00001%", "-1%", "1e2%",
        ] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_impairment_goes_to_its_process_and_back_unchanged() {
        let impairment = Impairment {
            delay: Duration::from_millis(20),
            jitter: Duration::from_micros(500),
            loss: 10_000,
            duplicate: 5_000,
            reorder: 20_000,
            seed: 7,
        };
        let text = serde_json::to_string(&impairment).unwrap();
        assert_eq!(
            serde_json::from_str::<Impairment>(&text).unwrap(),
            impairment
        );
        assert_eq!(
            impairment.to_string(),
            "delay 20ms, jitter 500us, loss 1%, duplicate 0.5%, reorder 2%"
        );
    }
}
