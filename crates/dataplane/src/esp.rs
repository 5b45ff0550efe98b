//! RFC 4303 tunnel mode with header preservation: where every octet of an ESP packet stands.
//!
//! Decides layout, padding, and what of the inner header the outer one repeats. Encryption is the
//! engine's; whether a packet may be sealed or accepted at all is the pipeline's.
//!
//! The outer IPv4 header repeats source, destination, ToS (DSCP and ECN), DF and, for packets that
//! are no fragments, the identification (mission row 4, RFC 5374 section 3.1). Options are never
//! copied (RFC 4301 section 5.1.2.1).
//!
//! TTL: RFC 4301 says "constructed"; here the outer TTL repeats the inner one, which the kernel has
//! decremented when it forwarded the packet. So a packet that loops between members and core dies
//! as a plain one would. On receipt the inner TTL is left alone, as RFC 4301 has it: the outer one
//! is not authenticated.
//!
//! Identification: inner fragments of one datagram share theirs. Were it repeated, the core could
//! not tell fragments of two such ESP packets apart, so a fragment gets a fresh one.

use policy::{Encryption, Spi, Transform};

use wire::esp::{Esp, TRAILER_LEN, split_trailer, write_trailer};
use wire::ip::Protocol;

use crate::frame::FrameBuf;
use crate::packet::{IPV4_HEADER, Ipv4, header_checksum};

/// Octets of SPI and sequence number.
pub(crate) const ESP_HEADER: usize = Esp::HEADER_LEN;
/// Octets of the longest IV.
pub(crate) const IV_MAX: usize = 16;

/// An IV: its first and its last eight octets, big-endian.
///
/// A shorter IV is the first ones. Numbers are handed on in registers, an array through memory.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Iv(u64, u64);

impl Iv {
    /// Of a counter mode.
    #[inline]
    pub(crate) const fn counter(octets: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(octets), 0)
    }

    /// One block.
    #[inline]
    pub(crate) const fn block(octets: [u8; IV_MAX]) -> Self {
        let block = u128::from_be_bytes(octets);
        Self((block >> 64) as u64, block as u64)
    }

    /// Writes as much of it as `out` takes: 0, 8 or 16 octets.
    #[inline]
    fn write(self, out: &mut [u8]) {
        let (halves, _) = out.as_chunks_mut::<8>();
        for (out, half) in halves.iter_mut().zip([self.0, self.1]) {
            *out = half.to_be_bytes();
        }
    }
}

/// The lengths of a transform's fields, ready for every packet.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) iv_len: usize,
    pub(crate) icv_len: usize,
    /// Whether the IV is a counter that names its sender.
    pub(crate) is_counter_mode: bool,
    /// Whether the cipher's blocks have 64 bits, so that a key is good for few of them.
    pub(crate) is_64_bit_block: bool,
    /// What payload, padding and trailer fill, less one; the unit is a power of two.
    unit_mask: usize,
}

impl Layout {
    pub(crate) const fn of(transform: Transform) -> Self {
        assert!(transform.pad_unit().is_power_of_two());
        Self {
            iv_len: transform.iv_len(),
            icv_len: transform.icv_len(),
            is_counter_mode: transform.is_counter_mode(),
            is_64_bit_block: matches!(transform.encryption(), Encryption::TripleDes),
            unit_mask: transform.pad_unit() - 1,
        }
    }

    /// Octets that are put before an inner packet: outer header, ESP header, IV.
    const fn front(&self) -> usize {
        IPV4_HEADER + ESP_HEADER + self.iv_len
    }

    /// Octets that are added after an inner packet of `len` octets: padding, trailer, ICV.
    const fn back(&self, len: usize) -> usize {
        let filled = (len + TRAILER_LEN + self.unit_mask) & !self.unit_mask;
        filled - len + self.icv_len
    }

    /// Cipher blocks of 64 bits that an inner packet of `len` octets becomes.
    pub(crate) const fn blocks(&self, len: usize) -> u64 {
        ((len + TRAILER_LEN + self.unit_mask) / (self.unit_mask + 1)) as u64
    }

    /// The largest inner packet whose ESP packet is not larger than `mtu`.
    #[inline]
    pub(crate) const fn plaintext_max(&self, mtu: usize) -> usize {
        let filled = mtu.saturating_sub(self.front() + self.icv_len) & !self.unit_mask;
        filled.saturating_sub(TRAILER_LEN)
    }

    /// Whether an ESP packet of `len` octets, without its outer header, can be one of this
    /// transform.
    #[inline]
    pub(crate) const fn is_plausible(&self, len: usize) -> bool {
        let fixed = ESP_HEADER + self.iv_len + self.icv_len;
        len >= fixed + TRAILER_LEN && (len - fixed) & self.unit_mask == 0
    }
}

/// What stands in the headers of a packet to be sealed.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Headers<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) spi: Spi,
    pub(crate) sequence: u32,
    pub(crate) iv: Iv,
    /// The outer identification.
    pub(crate) id: u16,
}

/// Turns a frame with an IPv4 packet at `l3` into one with an ESP packet, all but the encryption,
/// and says where the ESP header begins; none when the frame has no room to grow.
pub(crate) fn encapsulate<M: AsRef<[u8]> + AsMut<[u8]>>(
    frame: &mut FrameBuf<M>,
    l3: usize,
    inner: &Ipv4,
    headers: &Headers<'_>,
) -> Option<usize> {
    let layout = headers.layout;
    let inner_len = inner.total_len();
    let (front, back) = (layout.front(), layout.back(inner_len));
    let total = u16::try_from(front + inner_len + back).ok()?;
    frame.truncate(l3 + inner_len);
    if !frame.grow(front, back) {
        return None;
    }
    let octets = frame.octets_mut();
    octets.copy_within(front..front + l3, 0);
    let (before, after) = octets[l3..].split_at_mut(front);
    let (ip, esp) = before.split_at_mut(IPV4_HEADER);
    write_outer(ip, inner, total, headers.id);
    let (esp, iv) = esp.split_at_mut(ESP_HEADER);
    esp.copy_from_slice(&Esp::header(headers.spi.0, headers.sequence));
    headers.iv.write(iv);
    let trailer = inner_len..after.len() - layout.icv_len;
    write_trailer(&mut after[trailer], Protocol::IPV4.0);
    Some(l3 + IPV4_HEADER)
}

/// Writes the outer header of an ESP packet of `total` octets that carries `inner`.
#[inline]
fn write_outer(out: &mut [u8], inner: &Ipv4, total: u16, id: u16) {
    const VERSION_AND_LENGTH: u32 = 0x45;
    const DONT_FRAGMENT: u32 = 0x4000;
    let flags = if inner.dont_fragment() {
        DONT_FRAGMENT
    } else {
        0
    };
    let (source, destination) = inner.addresses();
    let mut words = [
        VERSION_AND_LENGTH << 24 | u32::from(inner.tos()) << 16 | u32::from(total),
        u32::from(id) << 16 | flags,
        u32::from(inner.ttl()) << 24 | u32::from(Protocol::ESP.0) << 16,
        source.to_bits(),
        destination.to_bits(),
    ];
    words[2] |= u32::from(header_checksum(words));
    let (out, _) = out.as_chunks_mut::<4>();
    for (out, word) in out.iter_mut().zip(words) {
        *out = word.to_be_bytes();
    }
}

/// What a decrypted payload holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// An IPv4 packet, perhaps followed by traffic flow confidentiality padding, `len` together.
    Ipv4 { len: usize },
    /// Nothing: dummy traffic.
    Dummy,
}

/// Looks at padding and next header of a decrypted payload; none when they are not in order.
#[inline]
pub(crate) fn payload_of(decrypted: &[u8]) -> Option<Payload> {
    //= RFC 4303 2.6
    //# A transmitter MUST be capable of
    //# generating dummy packets marked with this value in the next protocol
    //# field, and a receiver MUST be prepared to discard such packets,
    //# without indicating an error.
    if decrypted.len() >= TRAILER_LEN && decrypted.last() == Some(&Protocol::IPV6_NO_NEXT.0) {
        return Some(Payload::Dummy);
    }
    let (payload, next) = split_trailer(decrypted).ok()?;
    let len = payload.len();
    (next == Protocol::IPV4.0).then_some(Payload::Ipv4 { len })
}

/// The inner ToS after the outer one arrived with `outer`; none when the packet must be dropped.
//= RFC 6040 4.2
//# If the inner ECN field is Not-ECT and the outer ECN field is
//# CE, the decapsulator MUST drop the packet.
#[inline]
pub(crate) const fn decapsulated_tos(inner: u8, outer: u8) -> Option<u8> {
    const ECN: u8 = 0b11;
    const NOT_ECT: u8 = 0b00;
    const ECT_1: u8 = 0b01;
    const CE: u8 = 0b11;
    let ecn = match (inner & ECN, outer & ECN) {
        (NOT_ECT, CE) => return None,
        (NOT_ECT, _) => NOT_ECT,
        (CE, _) | (_, CE) => CE,
        (_, ECT_1) => ECT_1,
        (own, _) => own,
    };
    Some(inner & !ECN | ecn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Encryption, Integrity, KeyBits};

    fn sealed_len(layout: &Layout, len: usize) -> usize {
        layout.front() + len + layout.back(len)
    }

    fn transforms() -> Vec<Transform> {
        let pair = |e, i| Transform::new(e, i).expect("a transform");
        let mut all = vec![
            pair(Encryption::AesGcm(KeyBits::B128), Integrity::Combined),
            pair(Encryption::AesGmac(KeyBits::B256), Integrity::Combined),
        ];
        for integrity in [
            Integrity::HmacSha1,
            Integrity::HmacSha256,
            Integrity::HmacSha384,
            Integrity::HmacSha512,
        ] {
            for encryption in [
                Encryption::Null,
                Encryption::TripleDes,
                Encryption::AesCbc(KeyBits::B128),
            ] {
                all.push(pair(encryption, integrity));
            }
        }
        all
    }

    #[test]
    fn the_largest_plaintext_fits_and_one_octet_more_does_not() {
        for transform in transforms() {
            let layout = Layout::of(transform);
            for mtu in 576..1_600 {
                let largest = layout.plaintext_max(mtu);
                assert!(sealed_len(&layout, largest) <= mtu, "{transform} {mtu}");
                assert!(sealed_len(&layout, largest + 1) > mtu, "{transform} {mtu}");
            }
        }
    }

    #[test]
    fn every_sealed_length_is_plausible_and_its_neighbours_are_not() {
        for transform in transforms() {
            let layout = Layout::of(transform);
            for len in 20..100 {
                let esp = sealed_len(&layout, len) - IPV4_HEADER;
                assert!(layout.is_plausible(esp), "{transform} {len}");
                assert!(!layout.is_plausible(esp + 1), "{transform} {len}");
            }
            assert!(!layout.is_plausible(0));
        }
    }

    #[test]
    fn padding_is_counted_from_one_and_nothing_else_is_taken() {
        assert_eq!(
            payload_of(&[9, 9, 1, 2, 2, 4]),
            Some(Payload::Ipv4 { len: 2 })
        );
        assert_eq!(payload_of(&[9, 9, 0, 4]), Some(Payload::Ipv4 { len: 2 }));
        assert_eq!(payload_of(&[9, 9, 1, 3, 2, 4]), None);
        assert_eq!(payload_of(&[9, 9, 0, 0, 2, 4]), None);
        assert_eq!(payload_of(&[1, 2, 3, 4]), None);
        assert_eq!(payload_of(&[9, 9, 0, 41]), None);
        assert_eq!(payload_of(&[9, 9, 200, 59]), Some(Payload::Dummy));
        assert_eq!(payload_of(&[4]), None);
    }

    #[test]
    fn ecn_comes_out_as_the_table_of_rfc_6040_says() {
        const NOT_ECT: u8 = 0;
        const ECT_1: u8 = 1;
        const ECT_0: u8 = 2;
        const CE: u8 = 3;
        let table = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
            (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
        ];
        for (inner, row) in table {
            for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                let got = decapsulated_tos(0xA8 | inner, 0x10 | outer);
                assert_eq!(got, expected.map(|ecn| 0xA8 | ecn), "{inner} {outer}");
            }
        }
    }
}
