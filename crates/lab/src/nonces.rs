//! The proof that no key meets an IV twice: over captures and key logs, every ESP packet's (key,
//! IV) is looked up. Pure; decides what counts as one packet seen twice and what as one IV used
//! twice.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use wire::pcap::Capture;

/// Octets of the SPI and the sequence number.
const ESP_HEADER_LEN: usize = 8;
/// The protocol number of ESP.
const ESP: u8 = 50;

/// A traffic key as a key log names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    octets: String,
    iv_len: usize,
}

/// The keys of any number of key logs, by SPI.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_spi: BTreeMap<u32, usize>,
    keys: Vec<Key>,
    /// SPIs whose transform has no IV.
    without_iv: Vec<u32>,
}

impl Keys {
    /// Adds the rows of an `esp_sa` file.
    pub(crate) fn add(&mut self, rows: &str) -> Result<()> {
        for row in rows.lines() {
            let words: Vec<&str> = row.split('"').skip(1).step_by(2).collect();
            let [_, _, _, spi, cipher, key, ..] = words[..] else {
                continue;
            };
            let spi = spi
                .strip_prefix("0x")
                .and_then(|spi| u32::from_str_radix(spi, 16).ok());
            let spi = spi.with_context(|| format!("no SPI in the key log's row {row}"))?;
            let Some(iv_len) = iv_len(cipher) else {
                bail!("cipher `{cipher}` is not known")
            };
            if iv_len == 0 {
                self.without_iv.push(spi);
                continue;
            }
            let key = Key {
                octets: key.to_owned(),
                iv_len,
            };
            // Two SPIs under one key share its nonces: they count as one.
            let index = self
                .keys
                .iter()
                .position(|known| *known == key)
                .unwrap_or_else(|| {
                    self.keys.push(key);
                    self.keys.len() - 1
                });
            self.by_spi.insert(spi, index);
        }
        Ok(())
    }
}

/// Octets of IV in each packet, by Wireshark's name of the cipher.
fn iv_len(cipher: &str) -> Option<usize> {
    match cipher.split([' ', '-']).next()? {
        "NULL" => Some(0),
        "TripleDES" => Some(8),
        "AES" if cipher.starts_with("AES-CBC") => Some(16),
        "AES" if cipher.starts_with("AES-GCM") || cipher.starts_with("AES-GMAC") => Some(8),
        _ => None,
    }
}

/// One packet under one key: the IV, and a digest that tells it from another packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    key: u32,
    iv: u128,
    packet: u64,
}

/// What the captures showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Different ESP packets under known keys.
    pub(crate) packets: u64,
    /// Sightings of a packet beyond the first (two ports of the core see the same one).
    pub(crate) copies: u64,
    /// Different packets under one key and one IV.
    pub(crate) repeated: u64,
    /// The first of them, in words.
    pub(crate) examples: Vec<String>,
    /// Packets whose SPI no key log names.
    pub(crate) unknown: u64,
    /// Packets of transforms without IV.
    pub(crate) without_iv: u64,
    /// Keys that were used.
    pub(crate) keys: usize,
}

/// Packets collected from captures.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    uses: Vec<Use>,
    unknown: u64,
    without_iv: u64,
}

impl Uses {
    /// Adds the packets of a capture file.
    pub(crate) fn add(&mut self, keys: &Keys, capture: &[u8]) -> Result<()> {
        for record in Capture::parse(capture)? {
            let record = record?;
            if let Some(esp) = esp(record.data) {
                self.add_packet(keys, esp, record.original_len)?;
            }
        }
        Ok(())
    }

    fn add_packet(&mut self, keys: &Keys, esp: &[u8], wire_len: u32) -> Result<()> {
        let Some((spi, _)) = esp.split_first_chunk() else {
            bail!("a packet is cut off")
        };
        let spi = u32::from_be_bytes(*spi);
        let Some(index) = keys.by_spi.get(&spi) else {
            let known = keys.without_iv.contains(&spi);
            *(if known {
                &mut self.without_iv
            } else {
                &mut self.unknown
            }) += 1;
            return Ok(());
        };
        let iv_end = ESP_HEADER_LEN + keys.keys[*index].iv_len;
        let iv = esp
            .get(ESP_HEADER_LEN..iv_end)
            .context("a packet is cut off before its IV")?;
        let iv = iv
            .iter()
            .fold(0, |sum, octet| sum << 8 | u128::from(*octet));
        // Everything behind the IV that was kept, with the header and the length: two packets that
        // agree in all this are one packet seen twice.
        let packet = fnv(&[
            &esp[..ESP_HEADER_LEN],
            &esp[iv_end..],
            &wire_len.to_be_bytes(),
        ]);
        self.uses.push(Use {
            key: *index as u32,
            iv,
            packet,
        });
        Ok(())
    }

    /// Looks for IVs that a key met with two different packets.
    pub(crate) fn judge(mut self) -> Verdict {
        self.uses.sort_unstable();
        let seen = self.uses.len() as u64;
        self.uses.dedup();
        let packets = self.uses.len() as u64;
        let mut verdict = Verdict {
            packets,
            copies: seen - packets,
            unknown: self.unknown,
            without_iv: self.without_iv,
            ..Verdict::default()
        };
        let mut last_key = None;
        for pair in self.uses.windows(2) {
            if pair[0].key == pair[1].key && pair[0].iv == pair[1].iv {
                verdict.repeated += 1;
                if verdict.examples.len() < crate::limits::OFFENDERS_KEPT {
                    let Use { key, iv, .. } = pair[0];
                    verdict
                        .examples
                        .push(format!("key {key}: IV {iv:#x} on two packets"));
                }
            }
        }
        for used in &self.uses {
            if last_key.replace(used.key) != Some(used.key) {
                verdict.keys += 1;
            }
        }
        verdict
    }
}

/// The ESP part of an Ethernet frame, under VLAN tags, as far as it was captured.
fn esp(frame: &[u8]) -> Option<&[u8]> {
    let mut rest = frame.get(12..)?;
    while let [0x81, 0x00, ..] | [0x88, 0xa8, ..] = rest {
        rest = rest.get(4..)?;
    }
    let [0x08, 0x00, packet @ ..] = rest else {
        return None;
    };
    let header_len = usize::from(packet.first()? & 0x0f) * 4;
    (*packet.get(9)? == ESP).then(|| packet.get(header_len..))?
}

/// FNV-1a, 64 bits: two packets of one IV are told apart unless 64 bits collide.
fn fnv(parts: &[&[u8]]) -> u64 {
    let octets = parts.iter().flat_map(|part| part.iter());
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::pcap::{FileHeader, LinkType, Record};

    const GCM: &str = "AES-GCM with 16 octet ICV [RFC4106]";

    fn row(spi: u32, cipher: &str, key: &str) -> String {
        format!("\"IPv4\",\"*\",\"*\",\"0x{spi:08x}\",\"{cipher}\",\"{key}\",\"NULL\",\"\"\n")
    }

    fn keys(rows: &[String]) -> Keys {
        let mut keys = Keys::default();
        keys.add(&rows.concat()).unwrap();
        keys
    }

    fn frame(spi: u32, sequence: u32, iv: u64, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 50, 0, 0]);
        frame.extend([0; 8]);
        frame.extend(spi.to_be_bytes());
        frame.extend(sequence.to_be_bytes());
        frame.extend(iv.to_be_bytes());
        frame.extend(body);
        frame
    }

    fn verdict(keys: &Keys, frames: &[Vec<u8>]) -> Verdict {
        let header = FileHeader {
            snap_len: 96,
            link_type: LinkType::ETHERNET,
        };
        let mut file = header.encode().to_vec();
        for frame in frames {
            let record = Record::of(0, frame, 96);
            file.extend(record.header());
            file.extend(record.data);
        }
        let mut uses = Uses::default();
        uses.add(keys, &file).unwrap();
        uses.judge()
    }

    #[test]
    fn one_packet_on_two_ports_is_one_packet() {
        let keys = keys(&[row(0x1000, GCM, "0xaa")]);
        let packet = frame(0x1000, 1, 7, b"abcd");
        let found = verdict(
            &keys,
            &[packet.clone(), packet, frame(0x1000, 2, 8, b"abcd")],
        );
        assert_eq!(
            (found.packets, found.copies, found.repeated, found.keys),
            (2, 1, 0, 1)
        );
    }

    #[test]
    fn two_packets_under_one_key_and_iv_are_found() {
        let keys = keys(&[row(0x1000, GCM, "0xaa")]);
        let found = verdict(
            &keys,
            &[frame(0x1000, 1, 7, b"abcd"), frame(0x1000, 1, 7, b"abce")],
        );
        assert_eq!(found.repeated, 1);
        let found = verdict(
            &keys,
            &[frame(0x1000, 1, 7, b"abcd"), frame(0x1000, 2, 7, b"abcd")],
        );
        assert_eq!(found.repeated, 1);
    }

    #[test]
    fn one_iv_under_two_keys_is_fine_and_one_key_under_two_spis_is_not() {
        let frames = [frame(0x1000, 1, 7, b"abcd"), frame(0x2000, 1, 7, b"efgh")];
        let two = keys(&[row(0x1000, GCM, "0xaa"), row(0x2000, GCM, "0xbb")]);
        assert_eq!(verdict(&two, &frames).repeated, 0);
        let one = keys(&[row(0x1000, GCM, "0xaa"), row(0x2000, GCM, "0xaa")]);
        assert_eq!(verdict(&one, &frames).repeated, 1);
    }

    #[test]
    fn packets_without_key_and_without_iv_are_counted_apart() {
        let keys = keys(&[row(0x1000, "NULL", "")]);
        let found = verdict(
            &keys,
            &[frame(0x1000, 1, 7, b"a"), frame(0x3000, 1, 7, b"a")],
        );
        assert_eq!((found.packets, found.without_iv, found.unknown), (0, 1, 1));
    }

    #[test]
    fn a_row_in_a_comment_counts_and_an_unknown_cipher_is_an_error() {
        let text = format!("# {}", row(0x1000, "AES-GMAC [RFC4543]", "0xaa"));
        assert_eq!(keys(&[text]).by_spi.len(), 1);
        assert!(Keys::default().add(&row(1, "Blowfish", "0xaa")).is_err());
    }
}
