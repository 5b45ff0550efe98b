//! IPv4 fragmentation before encryption, so that the far member need not reassemble.
//!
//! Decides how a packet is cut (RFC 791 section 3.2). A fragment may be cut again. Whether a packet
//! is cut, and how large the pieces may be, is the pipeline's.

use crate::packet::{IPV4_HEADER, Ipv4, seal_ipv4_header};

/// Octets that IPv4 fragments are counted in.
const UNIT: usize = 8;
/// The longest header with options.
const HEADER_MAX: usize = 60;
/// Options with this bit are repeated in every fragment.
const COPIED: u8 = 0x80;
const OPTION_END: u8 = 0;
const OPTION_NOTHING: u8 = 1;

/// Cuts one packet, piece after piece.
pub(crate) struct Fragments<'a> {
    packet: &'a [u8],
    ip: Ipv4,
    /// The header of every piece but the first.
    later: [u8; HEADER_MAX],
    later_len: usize,
    len_max: usize,
    /// Octets of the payload that are out already.
    done: usize,
}

impl<'a> Fragments<'a> {
    /// The pieces of `packet`, none longer than `len_max`; none when no piece could carry anything.
    pub(crate) fn new(packet: &'a [u8], ip: Ipv4, len_max: usize) -> Option<Self> {
        let header = packet.get(..ip.header_len())?;
        let mut later = [OPTION_END; HEADER_MAX];
        later[..IPV4_HEADER].copy_from_slice(&header[..IPV4_HEADER]);
        let options = copied_options(&header[IPV4_HEADER..], &mut later[IPV4_HEADER..]);
        let later_len = IPV4_HEADER + options.next_multiple_of(4);
        later[0] = 0x40 | u8::try_from(later_len / 4).ok()?;
        (len_max >= ip.header_len() + UNIT).then_some(Self {
            packet: packet.get(..ip.total_len())?,
            ip,
            later,
            later_len,
            len_max,
            done: 0,
        })
    }

    /// Writes the next piece to the beginning of `out` and says how long it is; none after the last.
    pub(crate) fn next_into(&mut self, out: &mut [u8]) -> Option<usize> {
        let payload = &self.packet[self.ip.header_len()..];
        let left = payload.get(self.done..).filter(|left| !left.is_empty())?;
        let header = if self.done == 0 {
            &self.packet[..self.ip.header_len()]
        } else {
            &self.later[..self.later_len]
        };
        let room = self.len_max - header.len();
        let is_last = left.len() <= room;
        let taken = if is_last {
            left.len()
        } else {
            room / UNIT * UNIT
        };
        let len = header.len() + taken;
        let piece = out.get_mut(..len)?;
        piece[..header.len()].copy_from_slice(header);
        piece[header.len()..].copy_from_slice(&left[..taken]);
        piece[2..4].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
        let offset = u16::try_from((self.ip.fragment_offset() + self.done) / UNIT).ok()?;
        let more = if is_last && !self.ip.more_fragments() {
            0
        } else {
            0x2000
        };
        piece[6..8].copy_from_slice(&(offset | more).to_be_bytes());
        seal_ipv4_header(&mut piece[..header.len()]);
        self.done += taken;
        Some(len)
    }
}

/// Copies the options that every fragment repeats and says how many octets they are.
fn copied_options(mut options: &[u8], out: &mut [u8]) -> usize {
    let mut copied = 0;
    while let Some(&kind) = options.first() {
        let len = match kind {
            OPTION_END => break,
            OPTION_NOTHING => 1,
            // An option whose length cannot be right ends the list.
            _ => match options.get(1).copied().map(usize::from) {
                Some(len) if (2..=options.len()).contains(&len) => len,
                Some(_) | None => break,
            },
        };
        if kind & COPIED != 0 {
            out[copied..copied + len].copy_from_slice(&options[..len]);
            copied += len;
        }
        options = &options[len..];
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::ip;

    fn packet(options: &[u8], payload: usize, fragment: u16) -> Vec<u8> {
        let header_len = IPV4_HEADER + options.len();
        let mut octets = vec![0; header_len];
        octets[0] = 0x40 | (header_len / 4) as u8;
        octets[2..4].copy_from_slice(&((header_len + payload) as u16).to_be_bytes());
        octets[4..6].copy_from_slice(&[0xAB, 0xCD]);
        octets[6..8].copy_from_slice(&fragment.to_be_bytes());
        octets[8..10].copy_from_slice(&[64, 17]);
        octets[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        octets[IPV4_HEADER..].copy_from_slice(options);
        seal_ipv4_header(&mut octets);
        octets.extend((0..payload).map(|i| (i % 251) as u8));
        octets
    }

    fn cut(octets: &[u8], len_max: usize) -> Vec<Vec<u8>> {
        let ip = Ipv4::read(octets).unwrap();
        let mut fragments = Fragments::new(octets, ip, len_max).unwrap();
        let mut out = vec![0; 2_000];
        std::iter::from_fn(|| fragments.next_into(&mut out).map(|len| out[..len].to_vec()))
            .collect()
    }

    #[test]
    fn the_first_piece_keeps_all_options_and_the_others_those_marked() {
        // Record route (not copied), no-operation, loose source route (copied), end.
        let options = [7, 7, 4, 0, 0, 0, 0, 1, 0x83, 3, 4, 0];
        let pieces = cut(&packet(&options, 600, 0), 300);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[0][20..32], options);
        for piece in &pieces[1..] {
            assert_eq!(piece[0], 0x46);
            assert_eq!(piece[20..24], [0x83, 3, 4, 0]);
        }
    }

    #[test]
    fn a_fragment_that_is_cut_again_keeps_its_place_and_its_more_bit() {
        let pieces = cut(&packet(&[], 400, 0x2000 | 100), 220);
        let headers: Vec<_> = pieces
            .iter()
            .map(|piece| ip::Ipv4::parse(piece).unwrap())
            .map(|ip| (ip.fragment_offset(), ip.more_fragments(), ip.total_len()))
            .collect();
        assert_eq!(headers, [(800, true, 220), (1_000, true, 220)]);
    }

    proptest! {
        #[test]
        fn the_pieces_fit_and_make_the_packet_again(
            payload in 1_usize..5_000,
            len_max in 100_usize..1_500,
            words in 0_usize..=10,
        ) {
            let octets = packet(&vec![1; words * 4], payload, 0);
            let pieces = cut(&octets, len_max);
            let mut whole = Vec::new();
            for (place, piece) in pieces.iter().enumerate() {
                prop_assert!(piece.len() <= len_max);
                let ip = ip::Ipv4::parse(piece).unwrap();
                prop_assert!(ip.checksum_is_right());
                prop_assert_eq!(ip.fragment_offset(), whole.len());
                prop_assert_eq!(ip.identification(), 0xABCD);
                prop_assert_eq!(ip.more_fragments(), place + 1 < pieces.len());
                whole.extend_from_slice(ip.payload());
            }
            prop_assert_eq!(&whole[..], &octets[20 + words * 4..]);
        }
    }
}
