//! The key log: a Wireshark configuration folder, so that `WIRESHARK_CONFIG_DIR=DIR tshark -r FILE`
//! reads a capture.
//!
//! For tests only: whoever reads the folder reads the traffic.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gdoi::machine::KeyLogLine;
use policy::{Encryption, Integrity};

const PREFERENCES: &str = "esp.enable_encryption_decode: TRUE\n";
const DECODE_AS: &str = "decode_as_entry: udp.port,848,(none),ISAKMP\n";

/// The open folder.
#[derive(Debug)]
pub(crate) struct KeyLog {
    folder: PathBuf,
    isakmp: File,
    esp: File,
}

impl KeyLog {
    /// Makes the folder, or goes on in one that is there.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        Self::open_in(folder).with_context(|| format!("cannot write keys to {}", folder.display()))
    }

    fn open_in(folder: &Path) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        append(&folder.join("preferences"))?.set_len(0)?;
        append(&folder.join("preferences"))?.write_all(PREFERENCES.as_bytes())?;
        append(&folder.join("decode_as_entries"))?.set_len(0)?;
        append(&folder.join("decode_as_entries"))?.write_all(DECODE_AS.as_bytes())?;
        Ok(Self {
            isakmp: append(&folder.join("ikev1_decryption_table"))?,
            esp: append(&folder.join("esp_sa"))?,
            folder: folder.to_owned(),
        })
    }

    /// Adds a key.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn write(&mut self, line: &KeyLogLine) -> Result<()> {
        let (file, row) = match line {
            KeyLogLine::Isakmp {
                initiator_cookie,
                key,
            } => {
                let row = format!("{},{}\n", hex(initiator_cookie), hex(key.expose()));
                (&mut self.isakmp, row)
            }
            KeyLogLine::Esp { tek, key } => {
                let (known, cipher) = cipher_name(tek.transform.encryption());
                let integrity = integrity_name(tek.transform.integrity());
                let spi = tek.spi.0;
                // Wireshark refuses the whole table for one name that it does not know.
                let mark = if known { "" } else { "# " };
                let [encryption, authentication] =
                    [&key.encryption, &key.integrity].map(|key| key_text(key.expose()));
                let row = format!(
                    "{mark}\"IPv4\",\"*\",\"*\",\"0x{spi:08x}\",\"{cipher}\",\"{encryption}\",\
                     \"{integrity}\",\"{authentication}\"\n"
                );
                (&mut self.esp, row)
            }
        };
        file.write_all(row.as_bytes())
            .with_context(|| format!("cannot write keys to {}", self.folder.display()))
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn key_text(key: &[u8]) -> String {
    if key.is_empty() {
        return String::new();
    }
    format!("0x{}", hex(key))
}

/// Wireshark's name of the cipher (packet-ipsec.c), and whether it is one: GMAC has none, and its
/// row is a comment for other readers. Keys of GCM and GMAC carry their salt.
const fn cipher_name(cipher: Encryption) -> (bool, &'static str) {
    match cipher {
        Encryption::Null => (true, "NULL"),
        Encryption::TripleDes => (true, "TripleDES-CBC [RFC2451]"),
        Encryption::AesCbc(_) => (true, "AES-CBC [RFC3602]"),
        Encryption::AesGcm(_) => (true, "AES-GCM with 16 octet ICV [RFC4106]"),
        Encryption::AesGmac(_) => (false, "AES-GMAC [RFC4543]"),
    }
}

/// Wireshark's name of the integrity (packet-ipsec.c).
const fn integrity_name(integrity: Integrity) -> &'static str {
    match integrity {
        Integrity::Combined => "NULL",
        Integrity::HmacSha1 => "HMAC-SHA-1-96 [RFC2404]",
        Integrity::HmacSha256 => "HMAC-SHA-256-128 [RFC4868]",
        Integrity::HmacSha384 => "HMAC-SHA-384-192 [RFC4868]",
        Integrity::HmacSha512 => "HMAC-SHA-512-256 [RFC4868]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::Secret;
    use gdoi::machine::TekKey;
    use policy::{KeyBits, Spi, Tek, Transform};

    fn esp(transform: Transform, encryption: &[u8], integrity: &[u8]) -> KeyLogLine {
        let tek = Tek {
            spi: Spi(0x8bf1_47ef),
            transform,
            activation: policy::PseudoTime::default(),
            expiry: policy::PseudoTime::default(),
            generation: policy::Generation::default(),
            ks_list_hash: [0; 8],
            minted_by: policy::KsIndex::default(),
            orig_lifetime_s: 3_600,
        };
        KeyLogLine::Esp {
            tek: Box::new(tek),
            key: TekKey {
                encryption: Secret::copy_of(encryption),
                integrity: Secret::copy_of(integrity),
            },
        }
    }

    #[test]
    fn the_folder_is_what_wireshark_reads_and_nobody_else() {
        let folder = std::env::temp_dir().join(format!("getvpn-keylog-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let gcm = Transform::new(Encryption::AesGcm(KeyBits::B128), Integrity::Combined).unwrap();
        let cbc = Transform::new(Encryption::AesCbc(KeyBits::B256), Integrity::HmacSha256).unwrap();
        let gmac = Transform::new(Encryption::AesGmac(KeyBits::B128), Integrity::Combined).unwrap();
        let mut log = KeyLog::open(&folder).unwrap();
        log.write(&esp(gcm, &[0xab; 20], &[])).unwrap();
        // Opened again after a restart, it goes on.
        let mut log = KeyLog::open(&folder).unwrap();
        log.write(&esp(cbc, &[1; 32], &[2; 32])).unwrap();
        log.write(&esp(gmac, &[1; 20], &[])).unwrap();
        log.write(&KeyLogLine::Isakmp {
            initiator_cookie: [1, 2, 3, 4, 5, 6, 7, 0xff],
            key: Secret::copy_of(&[0xcd; 32]),
        })
        .unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let esp_sa = read("esp_sa");
        let rows: Vec<&str> = esp_sa.lines().collect();
        let key = "ab".repeat(20);
        assert_eq!(
            rows[0],
            format!(
                "\"IPv4\",\"*\",\"*\",\"0x8bf147ef\",\"AES-GCM with 16 octet ICV [RFC4106]\",\"0x{key}\",\
                 \"NULL\",\"\""
            )
        );
        assert!(rows[1].contains("\"AES-CBC [RFC3602]\"") && rows[1].contains("[RFC4868]\""));
        assert!(rows[2].starts_with("# \"IPv4\"") && rows[2].contains("\"AES-GMAC [RFC4543]\""));
        assert_eq!(
            read("ikev1_decryption_table"),
            format!("01020304050607ff,{}\n", "cd".repeat(32))
        );
        assert_eq!(read("preferences"), PREFERENCES);
        assert_eq!(read("decode_as_entries"), DECODE_AS);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("esp_sa")), 0o600);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
