//! The scenario language, which the simulator and the lab share.
//!
//! ```text
//! # comments start with a hash
//! traffic h1 h2 udp 100pps 200B         constant rate, both ways
//! at 90s kill ks1
//! at 95s start ks1
//! at 100s cut gm1 core
//! at 110s heal gm1 core
//! at 115s multicast off                 the core routes no multicast until `multicast on`
//! at 2m on gm1 "show crypto gdoi" expect /Registered/ within 5s
//! at 3m stop
//! expect lost 0
//! ```
//! A line without `at` happens at the time of the line before it. `expect lost N` stops the traffic
//! that runs and compares. An unknown word is an error with its line.

use std::fmt;
use std::time::Duration;

use regex::Regex;

/// A scenario that was read without errors.
#[derive(Debug)]
pub struct Scenario {
    /// What happens, in the order in which it happens.
    pub steps: Vec<Step>,
}

/// One line.
#[derive(Debug)]
pub struct Step {
    /// When, since the start.
    pub at: Duration,
    /// The line in the file, from 1.
    pub line: usize,
    /// What.
    pub action: Action,
}

/// What a line does.
#[derive(Debug)]
pub enum Action {
    /// The router process of a node dies at once (`kill -9`).
    Kill(String),
    /// It starts again with what it has on disk.
    Start(String),
    /// The link between two nodes passes nothing.
    Cut(String, String),
    /// It passes again.
    Heal(String, String),
    /// Whether the core routes multicast; it does from the start.
    Multicast(bool),
    /// An operator's line on a node.
    On {
        /// The node.
        node: String,
        /// The line.
        command: String,
        /// What the answer must match, tried again until `within` has passed.
        expect: Option<Regex>,
        /// How long.
        within: Duration,
    },
    /// Constant-rate UDP between two hosts, both ways.
    Traffic {
        /// One host.
        from: String,
        /// The other.
        to: String,
        /// Packets per second in each direction.
        pps: u32,
        /// Octets of the UDP payload.
        octets: u32,
    },
    /// The traffic ends.
    Stop,
    /// What the traffic must have seen, summed over all flows.
    Expect(Measure, u64),
}

/// What traffic can suffer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Packets that never arrived.
    Lost,
    /// Packets that arrived after a later one of their flow.
    Reordered,
    /// Packets that arrived again.
    Duplicated,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lost => "lost",
            Self::Reordered => "reordered",
            Self::Duplicated => "duplicated",
        })
    }
}

/// Why a line is no scenario line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What was expected.
    pub expected: String,
    /// What was there.
    pub found: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: expected {}, found `{}`",
            self.line, self.expected, self.found
        )
    }
}

const ACTIONS: &str = "at, kill, start, cut, heal, multicast, on, traffic, stop or expect";

/// Reads a scenario; all errors at once.
///
/// # Errors
/// Every line that is none, with what was expected there.
pub fn parse(text: &str) -> Result<Scenario, Vec<Error>> {
    let mut steps = Vec::new();
    let mut errors = Vec::new();
    let mut at = Duration::ZERO;
    for (number, line) in text.lines().enumerate() {
        let mut words = Words {
            line: number + 1,
            rest: line.trim(),
        };
        if words.rest.is_empty() || words.rest.starts_with('#') {
            continue;
        }
        match step(&mut words, &mut at) {
            Ok(step) => steps.push(step),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(Scenario { steps })
    } else {
        Err(errors)
    }
}

fn step(words: &mut Words<'_>, at: &mut Duration) -> Result<Step, Error> {
    let mut word = words.word(ACTIONS)?;
    if word == "at" {
        let when = words.span("a time such as 90s")?;
        if when < *at {
            return Err(words.error(
                "a time that is not before the line above",
                &format!("{when:?}"),
            ));
        }
        *at = when;
        word = words.word(ACTIONS)?;
    }
    let action = action(word, words)?;
    match words.rest.split('#').next().map_or("", str::trim) {
        "" => Ok(Step {
            at: *at,
            line: words.line,
            action,
        }),
        rest => Err(words.error("the end of the line", rest)),
    }
}

fn action(word: &str, words: &mut Words<'_>) -> Result<Action, Error> {
    let node = "a node";
    Ok(match word {
        "kill" => Action::Kill(words.word(node)?.into()),
        "start" => Action::Start(words.word(node)?.into()),
        "cut" => Action::Cut(words.word(node)?.into(), words.word(node)?.into()),
        "heal" => Action::Heal(words.word(node)?.into(), words.word(node)?.into()),
        "multicast" => {
            let expected = "on or off";
            Action::Multicast(match words.word(expected)? {
                "on" => true,
                "off" => false,
                other => return Err(words.error(expected, other)),
            })
        }
        "stop" => Action::Stop,
        "on" => on(words)?,
        "traffic" => {
            let from = words.word("a host")?.into();
            let to = words.word("a host")?.into();
            words.keyword("udp")?;
            let pps = words.number("a rate such as 100pps", "pps")?;
            let octets = words.number("a size such as 200B", "B")?;
            Action::Traffic {
                from,
                to,
                pps,
                octets,
            }
        }
        "expect" => {
            let expected = "lost, reordered or duplicated";
            let measure = match words.word(expected)? {
                "lost" => Measure::Lost,
                "reordered" => Measure::Reordered,
                "duplicated" => Measure::Duplicated,
                other => return Err(words.error(expected, other)),
            };
            Action::Expect(measure, u64::from(words.number("a number", "")?))
        }
        other => return Err(words.error(ACTIONS, other)),
    })
}

/// The lines of a command: ` ; ` ends each but the last, so that a configuration can be typed.
pub fn lines(command: &str) -> impl Iterator<Item = &str> {
    command.split(" ; ").map(str::trim)
}

fn on(words: &mut Words<'_>) -> Result<Action, Error> {
    let node = words.word("a node")?.into();
    let command = words.quoted('"', "a command in double quotes")?.to_owned();
    if words.rest.is_empty() || words.rest.starts_with('#') {
        return Ok(Action::On {
            node,
            command,
            expect: None,
            within: Duration::ZERO,
        });
    }
    words.keyword("expect")?;
    let pattern = words.quoted('/', "a pattern between slashes")?;
    let expect = Regex::new(pattern).map_err(|_| words.error("a regular expression", pattern))?;
    let mut within = Duration::ZERO;
    if words.rest.starts_with("within") {
        words.keyword("within")?;
        within = words.span("a time such as 5s")?;
    }
    Ok(Action::On {
        node,
        command,
        expect: Some(expect),
        within,
    })
}

struct Words<'a> {
    line: usize,
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn error(&self, expected: &str, found: &str) -> Error {
        Error {
            line: self.line,
            expected: expected.into(),
            found: found.into(),
        }
    }

    fn word(&mut self, expected: &str) -> Result<&'a str, Error> {
        let (word, rest) = self
            .rest
            .split_once(char::is_whitespace)
            .unwrap_or((self.rest, ""));
        if word.is_empty() || word.starts_with('#') {
            return Err(self.error(expected, "the end of the line"));
        }
        self.rest = rest.trim_start();
        Ok(word)
    }

    fn keyword(&mut self, expected: &str) -> Result<(), Error> {
        let word = self.word(expected)?;
        if word == expected {
            Ok(())
        } else {
            Err(self.error(expected, word))
        }
    }

    fn number(&mut self, expected: &str, unit: &str) -> Result<u32, Error> {
        let word = self.word(expected)?;
        word.strip_suffix(unit)
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| self.error(expected, word))
    }

    fn span(&mut self, expected: &str) -> Result<Duration, Error> {
        let word = self.word(expected)?;
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let scale_ms = match &word[digits.len()..] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return Err(self.error(expected, word)),
        };
        let value: f64 = digits.parse().map_err(|_| self.error(expected, word))?;
        Duration::try_from_secs_f64(value * scale_ms / 1_000.0)
            .map_err(|_| self.error(expected, word))
    }

    fn quoted(&mut self, mark: char, expected: &str) -> Result<&'a str, Error> {
        let inner = self
            .rest
            .strip_prefix(mark)
            .and_then(|rest| rest.split_once(mark))
            .ok_or_else(|| self.error(expected, self.rest))?;
        self.rest = inner.1.trim_start();
        Ok(inner.0)
    }
}

/// What a scenario needs of the world that it runs in.
pub trait World {
    /// Lets time pass until `at` since the start.
    ///
    /// # Errors
    /// A sentence about what broke meanwhile.
    fn advance(&mut self, at: Duration) -> Result<(), String>;
    /// Does what the action says; `On` and `Expect` are the runner's.
    ///
    /// # Errors
    /// A sentence: no such node, no such link.
    fn act(&mut self, action: &Action) -> Result<(), String>;
    /// An operator's line on a node and its answer.
    ///
    /// # Errors
    /// A sentence: no such node, or it does not run.
    fn exec(&mut self, node: &str, command: &str) -> Result<String, String>;
    /// What the traffic has suffered; ends it first.
    fn measured(&mut self, measure: Measure) -> u64;
}

/// Runs a scenario and returns what failed, with the lines.
pub fn run(scenario: &Scenario, world: &mut dyn World) -> Vec<String> {
    let mut failures = Vec::new();
    for step in &scenario.steps {
        if let Err(failure) = world.advance(step.at).and_then(|()| perform(step, world)) {
            failures.push(format!("line {}: {failure}", step.line));
        }
    }
    failures
}

/// How often an expectation is tried again.
const RETRY: Duration = Duration::from_millis(200);

fn perform(step: &Step, world: &mut dyn World) -> Result<(), String> {
    match &step.action {
        Action::On {
            node,
            command,
            expect,
            within,
        } => {
            let mut waited = Duration::ZERO;
            loop {
                let answer = world.exec(node, command);
                let met = match (&answer, expect) {
                    (Ok(text), Some(pattern)) => pattern.is_match(text),
                    (Ok(_), None) => true,
                    (Err(_), _) => false,
                };
                if met {
                    return Ok(());
                }
                if waited >= *within {
                    let wanted = expect.as_ref().map_or("an answer", Regex::as_str);
                    let text = answer.unwrap_or_else(|error| error);
                    return Err(format!(
                        "{node} \"{command}\": expected {wanted}, got:\n{text}"
                    ));
                }
                waited += RETRY;
                world.advance(step.at + waited)?;
            }
        }
        Action::Expect(measure, wanted) => {
            let seen = world.measured(*measure);
            if seen == *wanted {
                Ok(())
            } else {
                Err(format!("{measure} {seen}, expected {wanted}"))
            }
        }
        Action::Kill(_)
        | Action::Start(_)
        | Action::Cut(..)
        | Action::Heal(..)
        | Action::Multicast(_)
        | Action::Traffic { .. }
        | Action::Stop => world.act(&step.action),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_a_time_happens_with_the_line_before_it() {
        let text = "# a failover\ntraffic h1 h2 udp 100pps 200B\nat 90s kill ks1\nstart ks1 # now\n\
                    multicast off\n\
                    at 1.6m on gm1 \"show crypto gdoi | include Reg\" expect /Registered +with/ within 5s\n\
                    expect lost 0\n";
        let scenario = parse(text).unwrap();
        let at: Vec<u64> = scenario
            .steps
            .iter()
            .map(|step| step.at.as_secs())
            .collect();
        assert_eq!(at, [0, 90, 90, 90, 96, 96]);
        assert!(matches!(scenario.steps[3].action, Action::Multicast(false)));
        assert!(
            matches!(&scenario.steps[4].action, Action::On { command, within, .. }
            if command == "show crypto gdoi | include Reg" && within.as_secs() == 5)
        );
        assert_eq!(scenario.steps[5].line, 7);
    }

    #[test]
    fn every_wrong_line_is_named_with_what_was_expected() {
        let text = "kil ks1\nat soon stop\ntraffic h1 h2 udp fast 200B\non gm1 show\nstop it\n\
                    at 5s stop\nat 4s stop\non gm1 \"x\" expect /(/\nmulticast maybe\n";
        let errors = parse(text).unwrap_err();
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 8, "{shown:#?}");
        assert!(
            shown[0].starts_with("line 1: expected at, kill"),
            "{}",
            shown[0]
        );
        assert_eq!(
            shown[2],
            "line 3: expected a rate such as 100pps, found `fast`"
        );
        assert_eq!(shown[4], "line 5: expected the end of the line, found `it`");
    }
}
