//! Every host asks every other: ICMP, TCP and UDP. Decides the order and what the matrix promises
//! the core's tally (how many packets of each type of service must have passed).

use std::fmt;

use anyhow::Result;

use crate::probe::{self, Host};

/// One question and its answer.
#[derive(Debug)]
pub(crate) struct Cell {
    /// Who asks.
    pub(crate) from: String,
    /// Who is asked.
    pub(crate) to: String,
    /// In which protocol.
    pub(crate) protocol: &'static str,
    /// What came of it, in words.
    pub(crate) result: Result<String, String>,
}

/// The answers of one round.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    /// One cell per ordered pair and protocol.
    pub(crate) cells: Vec<Cell>,
    /// Datagrams that each host sent to each other with every type of service of the prober.
    pub(crate) with_each_tos: u64,
}

impl Matrix {
    /// Lets every host ask every other.
    pub(crate) fn ask(hosts: &[Host]) -> Self {
        let mut matrix = Self::default();
        for a in hosts {
            for b in hosts.iter().filter(|b| b.address != a.address) {
                matrix.ask_one(a, b);
            }
        }
        matrix
    }

    fn ask_one(&mut self, a: &Host, b: &Host) {
        let ms = |time: std::time::Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        let udp = probe::udp(a, b).map(|each| {
            // Once as a question of `a`, once as an answer to the question of `b`.
            self.with_each_tos = 2 * each;
            format!("{each} sizes x {} types of service", probe::TOS.len())
        });
        let rounds = [
            ("icmp", probe::icmp(a, b).map(ms)),
            (
                "tcp",
                probe::tcp(a, b).map(|time| format!("64 KiB there and back, {}", ms(time))),
            ),
            ("udp", udp),
        ];
        for (protocol, result) in rounds {
            let result = result.map_err(|error| format!("{error:#}"));
            let (from, to) = (a.name.clone(), b.name.clone());
            self.cells.push(Cell {
                from,
                to,
                protocol,
                result,
            });
        }
    }

    /// Questions that were answered.
    pub(crate) fn answered(&self) -> usize {
        self.cells.iter().filter(|cell| cell.result.is_ok()).count()
    }

    /// Every question was answered, and there was one.
    pub(crate) fn is_green(&self) -> bool {
        !self.cells.is_empty() && self.answered() == self.cells.len()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from, to, protocol, ..
        } = self;
        match &self.result {
            Ok(text) => write!(f, "{from} > {to}  {protocol:<4}  ok    {text}"),
            Err(text) => write!(f, "{from} > {to}  {protocol:<4}  FAIL  {text}"),
        }
    }
}
