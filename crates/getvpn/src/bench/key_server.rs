//! The key server that is measured: `getvpn run` of this very program, in a process of its own, as
//! it ships: sockets, log, state file and all.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netio::clock;

use super::registration::Rounds;
use crate::client;

/// Where it listens.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// Where another one listens that cooperates with it.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// The network of all addresses of the run.
pub(crate) const NETWORK_LEN: u8 = 16;
/// The group's number.
pub(crate) const GROUP: u32 = 3_333;

/// How long it may take until it serves the group: it makes an RSA key.
const SERVING_MAX: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// It has done everything when its processor time stands still for that long.
const SETTLED: Duration = Duration::from_millis(100);

/// The address of member `number`, counted from 0.
pub(crate) fn member(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 99, 1, 0).to_bits() + number)
}

/// Which key server of the group it is, and with whom it cooperates.
pub(crate) struct Seat {
    /// Where it listens.
    pub(crate) address: Ipv4Addr,
    /// The other key server and the pre-shared key of the two.
    pub(crate) peer: Option<(Ipv4Addr, String)>,
}

impl Seat {
    /// The only key server of its group.
    pub(crate) const ALONE: Self = Self {
        address: ADDRESS,
        peer: None,
    };
}

/// The running key server; dropping it ends its process.
pub(crate) struct KeyServer {
    process: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl KeyServer {
    /// Starts it in `folder` and waits until it serves. `keys` are the members' pre-shared keys.
    ///
    /// # Errors
    /// It does not start; the end of its log says why.
    pub(crate) fn start(folder: &Path, rounds: &Rounds, keys: &[String]) -> Result<Self> {
        let mut server = Self::launch(folder, rounds, keys, &Seat::ALONE)?;
        server.serve()?;
        Ok(server)
    }

    /// Starts it in `folder`, whether it serves yet or not.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn launch(
        folder: &Path,
        rounds: &Rounds,
        keys: &[String],
        seat: &Seat,
    ) -> Result<Self> {
        let (config, log) = (folder.join("ks.cfg"), folder.join("ks.log"));
        fs::write(&config, configuration(rounds, keys, seat))?;
        DirBuilder::new().mode(0o700).create(folder.join("state"))?;
        let output = File::create(&log)?;
        let socket = folder.join("ks.sock");
        let process = Command::new("/proc/self/exe")
            .arg("run")
            .arg("--config")
            .arg(&config)
            .arg("--state")
            .arg(folder.join("state"))
            .arg("--socket")
            .arg(&socket)
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("start the key server")?;
        Ok(Self {
            process,
            socket,
            log,
        })
    }

    /// What it answers to an operator's line.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn ask(&self, line: &str) -> Result<String> {
        client::ask(&self.socket, line)
    }

    /// Waits until it serves the group, for which it makes an RSA key.
    ///
    /// # Errors
    /// It does not; the end of its log says why.
    pub(crate) fn serve(&mut self) -> Result<()> {
        let end = Instant::now() + SERVING_MAX;
        let key = "crypto key generate rsa label bench modulus 2048";
        while client::ask(&self.socket, key).is_err() {
            self.wait(end, "answers")?;
        }
        while !client::ask(&self.socket, "show crypto gdoi ks policy")?.contains("TEK POLICY") {
            self.wait(end, "serves the group")?;
        }
        Ok(())
    }

    fn wait(&mut self, end: Instant, for_what: &str) -> Result<()> {
        let ended = self.process.try_wait()?;
        if ended.is_some() || Instant::now() > end {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(5)..].join("\n");
            bail!("the key server never {for_what}; it said last:\n{last}");
        }
        std::thread::sleep(LOOK_AGAIN);
        Ok(())
    }

    /// Processor time that it has used when it has nothing left to do.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn cpu_at_rest(&self) -> Result<Duration> {
        let mut before = self.cpu()?;
        loop {
            std::thread::sleep(SETTLED);
            let now = self.cpu()?;
            // A timer that wakes it costs some microseconds.
            if now - before < Duration::from_micros(200) {
                return Ok(now);
            }
            before = now;
        }
    }

    fn cpu(&self) -> Result<Duration> {
        clock::process_cpu(self.process.id()).context("the key server has ended")
    }

    /// How many members it says are registered.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn members(&self) -> Result<usize> {
        let text = client::ask(&self.socket, "show crypto gdoi ks members")?;
        let is_member = |line: &&str| line.trim_start().starts_with("Group Member ID");
        Ok(text.lines().filter(is_member).count())
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(rounds: &Rounds, keys: &[String], seat: &Seat) -> String {
    let address = seat.address;
    let group = rounds.group.number();
    let redundancy = seat.peer.as_ref().map_or_else(String::new, |(peer, _)| {
        format!("  redundancy\n   local priority 100\n   peer address ipv4 {peer}\n")
    });
    let mut text = format!(
        "hostname BENCH\n\
         crypto isakmp policy 10\n encr aes 256\n hash sha256\n authentication pre-share\n \
         group {group}\n lifetime 86400\n\
         crypto ipsec transform-set T1 esp-gcm 256\n\
         crypto ipsec profile P1\n set security-association lifetime seconds 7200\n \
         set transform-set T1\n\
         crypto gdoi group BENCH\n identity number {GROUP}\n server local\n  \
         rekey lifetime seconds 86400\n  rekey authentication mypubkey rsa bench\n  \
         rekey transport unicast\n  sa ipsec 1\n   profile P1\n   match address ipv4 POLICY\n  \
         address ipv4 {address}\n{redundancy}\
         ip access-list extended POLICY\n permit ip 192.168.0.0 0.0.255.255 192.168.0.0 \
         0.0.255.255\n"
    );
    if let Some((peer, key)) = &seat.peer {
        writeln!(text, "crypto isakmp key {key} address {peer}").expect("a string takes all");
    }
    //= getvpn P26
    for (number, key) in (0..).zip(keys) {
        let address = member(number);
        writeln!(text, "crypto isakmp key {key} address {address}").expect("a string takes all");
    }
    text
}
