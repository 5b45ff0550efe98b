//! The input of a machine target, read as a script: what to send next, and how to bend it.

use wire::iana::PayloadType;
use wire::isakmp::{Builder, Built, Header};

/// Reads octets until there are none; then everything is 0.
pub(super) struct Script<'a> {
    bytes: &'a [u8],
}

/// A chain of payloads as it will be sent, however it looks.
pub(super) struct Payloads {
    /// Type of the first.
    pub(super) first: PayloadType,
    /// All of them.
    pub(super) octets: Vec<u8>,
}

impl<'a> Script<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// Up to as many octets as the next two say.
    pub(super) fn octets(&mut self) -> &'a [u8] {
        let length = usize::from(self.u16()).min(self.bytes.len());
        let (taken, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        taken
    }

    /// What becomes of a well-formed chain: it stays, is bent in places, loses or gains a payload,
    /// or is something else.
    pub(super) fn bend(&mut self, built: &Built) -> Payloads {
        let mut payloads = Payloads {
            first: built.first(),
            octets: built.payloads().to_vec(),
        };
        match self.u8() % 8 {
            0 | 1 => {}
            2..=4 => {
                for _ in 0..=self.u8() % 4 {
                    let place = usize::from(self.u16());
                    let value = self.u8();
                    let length = payloads.octets.len().max(1);
                    if let Some(octet) = payloads.octets.get_mut(place % length) {
                        *octet = value;
                    }
                }
            }
            5 => {
                let length = usize::from(self.u16()) % (payloads.octets.len() + 1);
                payloads.octets.truncate(length);
            }
            6 => payloads = self.with_another(payloads),
            _ => {
                payloads.first = PayloadType(self.u8());
                payloads.octets = self.octets().to_vec();
            }
        }
        payloads
    }

    /// The chain with one payload of the input's before it.
    fn with_another(&mut self, payloads: Payloads) -> Payloads {
        let mut builder = Builder::new();
        let first = PayloadType(self.u8());
        builder.push_raw(first, self.octets());
        let Ok(built) = builder.finish() else {
            return payloads;
        };
        let mut octets = built.payloads().to_vec();
        octets[0] = payloads.first.0;
        octets.extend_from_slice(&payloads.octets);
        Payloads { first, octets }
    }
}

/// A datagram: the header, its length and first payload set, and octets.
pub(super) fn datagram(header: Header, first: PayloadType, octets: &[u8]) -> Vec<u8> {
    let length = u32::try_from(Header::LEN + octets.len()).expect("inputs are small");
    let header = Header {
        next_payload: first,
        length,
        ..header
    };
    [&header.encode()[..], octets].concat()
}
