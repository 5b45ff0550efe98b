//! What the box asks of the world, in order, and how that order waits for the disk.
//!
//! A machine pushes `Persist` before the datagram that depends on it; here that order becomes a
//! barrier: what stands behind a `Persist` is not given out until the world says that it is on
//! disk. Writes that queue up behind a barrier go out together, in one transaction.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use gdoi::machine::{KeyLogLine, Record};

use crate::key_pairs::KeyImport;

/// One effect.
pub enum Output {
    /// Write these rows in one transaction, then hand in `Input::Persisted` with this number.
    Persist {
        /// Counts up from 1.
        number: u64,
        /// The rows, oldest first; a later row with the same key replaces an earlier one.
        records: Vec<Record>,
    },
    /// Send a datagram from port 848.
    Transmit {
        /// The local address and port.
        local: SocketAddrV4,
        /// Where to.
        peer: SocketAddrV4,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Send a datagram from port 848 to a multicast address.
    Multicast {
        /// The local address and port; it says which interface it leaves by.
        local: SocketAddrV4,
        /// The multicast address and port.
        group: SocketAddrV4,
        /// Routers that it may cross.
        ttl: u8,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Receive on UDP 848 what comes for a multicast address.
    Join {
        /// The multicast address.
        group: Ipv4Addr,
        /// An address of the interface that it comes by.
        interface: Ipv4Addr,
    },
    /// Receive that no longer.
    Leave {
        /// The multicast address.
        group: Ipv4Addr,
        /// An address of the interface that it comes by.
        interface: Ipv4Addr,
    },
    /// Listen on UDP 848 at these addresses and at no others.
    Listen(Vec<Ipv4Addr>),
    /// The forwarders work by this from now on.
    Publish(Arc<dataplane::Snapshot>),
    /// Steer these WAN ports like this and no others; a port that is not named is released.
    Steer(Vec<policy::steer::Plan>),
    /// A log line for the sinks outside of the box; it holds no secret.
    Log {
        /// 0 (emergency) ..= 7 (debugging).
        severity: u8,
        /// The line without its end.
        line: String,
    },
    /// Make this text the configuration file.
    SaveConfig(String),
    /// Secrets for packet analysis, if the key log is on.
    KeyLog(KeyLogLine),
    /// Make a key pair and hand it in as `Input::KeyPair`.
    GenerateKeyPair {
        /// Its label.
        label: String,
        /// Its kind and size.
        size: crypto::key_pair::Size,
        /// Whether it may be exported.
        exportable: bool,
    },
    /// Write the text of an exported key, its private half encrypted, into a new file of that name
    /// in the folder of keys.
    WriteKey {
        /// The file's name, without any folder.
        name: String,
        /// The text.
        pem: String,
    },
    /// Read the file of that name in the folder of keys and hand it in as `Input::KeyFile`.
    ReadKey {
        /// The file's name, without any folder.
        name: String,
        /// What is to become of it.
        import: Box<KeyImport>,
    },
}

/// Effects in order, with the barrier of the disk.
#[derive(Default)]
pub struct Outbox {
    queue: VecDeque<Item>,
    waiting: Option<u64>,
    last_number: u64,
}

enum Item {
    Persist(Record),
    Effect(Output),
}

impl Outbox {
    /// Adds a row to write; nothing that is pushed later happens before it is on disk.
    pub fn persist(&mut self, record: Record) {
        self.queue.push_back(Item::Persist(record));
    }

    /// Adds an effect.
    pub fn push(&mut self, output: Output) {
        self.queue.push_back(Item::Effect(output));
    }

    /// The next effect that may happen now.
    pub fn take(&mut self) -> Option<Output> {
        if self.waiting.is_some() {
            return None;
        }
        match self.queue.pop_front()? {
            Item::Effect(output) => Some(output),
            Item::Persist(first) => {
                // Rows that wait further back may be written earlier than they must be: writing
                // ahead of use is what a mark is for.
                let mut records = vec![first];
                let mut rest = VecDeque::with_capacity(self.queue.len());
                for item in self.queue.drain(..) {
                    match item {
                        Item::Persist(record) => records.push(record),
                        Item::Effect(output) => rest.push_back(Item::Effect(output)),
                    }
                }
                self.queue = rest;
                self.last_number += 1;
                self.waiting = Some(self.last_number);
                Some(Output::Persist {
                    number: self.last_number,
                    records,
                })
            }
        }
    }

    /// How many rows wait to be given out, and the number of the `Persist` that will hold them.
    #[must_use]
    pub fn unwritten(&self) -> (usize, u64) {
        let rows = self
            .queue
            .iter()
            .filter(|item| matches!(item, Item::Persist(_)));
        (rows.count(), self.last_number + 1)
    }

    /// Whether everything was given out and is on disk.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_none()
    }

    /// The rows of that `Persist` are on disk.
    pub fn persisted(&mut self, number: u64) {
        if self.waiting == Some(number) {
            self.waiting = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(line: &str) -> Output {
        Output::Log {
            severity: 5,
            line: line.into(),
        }
    }

    fn row(name: u8) -> Record {
        Record {
            key: vec![name],
            value: None,
        }
    }

    fn lines(outbox: &mut Outbox) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(output) = outbox.take() {
            if let Output::Log { line, .. } = output {
                seen.push(line);
            } else if let Output::Persist { number, records } = output {
                seen.push(format!("{number}:{}", records.len()));
            }
        }
        seen
    }

    #[test]
    fn nothing_behind_a_row_leaves_before_it_is_on_disk() {
        let mut outbox = Outbox::default();
        outbox.push(log("a"));
        assert_eq!(outbox.unwritten(), (0, 1));
        outbox.persist(row(1));
        outbox.push(log("b"));
        outbox.persist(row(2));
        outbox.push(log("c"));
        assert_eq!(outbox.unwritten(), (2, 1));
        assert_eq!(lines(&mut outbox), ["a", "1:2"]);
        assert_eq!(outbox.unwritten(), (0, 2));
        outbox.persisted(7);
        assert!(lines(&mut outbox).is_empty());
        outbox.persist(row(3));
        outbox.persisted(1);
        assert_eq!(lines(&mut outbox), ["b", "c", "2:1"]);
        assert!(!outbox.is_empty(), "a row is not on disk yet");
        outbox.persisted(2);
        assert!(lines(&mut outbox).is_empty() && outbox.is_empty());
    }
}
