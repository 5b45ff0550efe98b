//! Classic pcap files, link type Ethernet, microseconds. Pure encoding; who captures what is not
//! its business.

use std::io::{Result, Write};
use std::time::Duration;

/// Magic number of the format with microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;

/// Writes the header of a file.
pub(crate) fn header(out: &mut impl Write, snaplen: u32) -> Result<()> {
    out.write_all(&MAGIC.to_le_bytes())?;
    out.write_all(&2_u16.to_le_bytes())?;
    out.write_all(&4_u16.to_le_bytes())?;
    out.write_all(&[0; 8])?;
    out.write_all(&snaplen.to_le_bytes())?;
    out.write_all(&ETHERNET.to_le_bytes())
}

/// Writes one packet, of which `bytes` is the part that is kept.
pub(crate) fn packet(
    out: &mut impl Write,
    at: Duration,
    bytes: &[u8],
    wire_len: u32,
) -> Result<()> {
    let kept = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    let seconds = u32::try_from(at.as_secs()).map_err(std::io::Error::other)?;
    for word in [seconds, at.subsec_micros(), kept, wire_len] {
        out.write_all(&word.to_le_bytes())?;
    }
    out.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_bytes_that_the_format_says() {
        let mut file = Vec::new();
        header(&mut file, 96).unwrap();
        packet(&mut file, Duration::new(7, 5_000), &[0xaa, 0xbb], 60).unwrap();
        let expected = "d4c3b2a1 0200 0400 00000000 00000000 60000000 01000000 \
                        07000000 05000000 02000000 3c000000 aabb";
        let shown: String = file.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(shown, expected.replace(' ', ""));
    }
}
