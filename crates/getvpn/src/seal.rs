//! Rows of the state file under a key that does not lie beside them: whoever gets hold of the disk or
//! of a backup has no key of a group.
//!
//! Decides how one value is sealed. Which rows there are, and whether they are sealed at all, is
//! `storage`'s. A value is opened under the name of its own row only; that rows are of one time is not
//! seen to here, but by what other key servers and members remember (PROTOCOL P22).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use crypto::aead::{Gcm, NONCE_LEN, TAG_LEN};
use crypto::hash::Hash;
use crypto::{Rng, Secret, SeededRng, hmac};

/// Where systemd puts the credential `getvpn.seal` of the service.
const CREDENTIAL: &str = "getvpn.seal";
/// Octets that a key file has at least.
const KEY_LEN_MIN: usize = 32;
/// Octets that a key file has at most; more is another file.
const KEY_LEN_MAX: u64 = 4_096;
/// Every value has a key of its own, made with so many random octets, so that no nonce is counted.
const SALT_LEN: usize = 32;

/// Seals and opens values.
pub(crate) struct Sealer {
    master: hmac::Key,
    rng: SeededRng,
    /// The file that the key came from, for messages.
    pub(crate) file: PathBuf,
}

/// A value that was sealed under another key or another name, or changed since.
#[derive(Debug)]
pub(crate) struct NotOurs;

/// The key file of the service manager, if it gives one.
pub(crate) fn credential() -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    Some(Path::new(&folder).join(CREDENTIAL)).filter(|file| file.exists())
}

/// The permissions that a key file must not give. Those of a credential the service manager gives by an
/// access list, whose mask shows as the group's.
fn others_of(file: &Path) -> u32 {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
    match folder.is_some_and(|folder| file.starts_with(folder)) {
        true => 0o007,
        false => 0o077,
    }
}

impl Sealer {
    /// Reads the key file.
    ///
    /// # Errors
    /// It cannot be read, is too short or too long, or others may read it.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let context = || format!("cannot read the seal key {name}");
        let about = file.metadata().with_context(context)?;
        if about.permissions().mode() & others_of(file) != 0 {
            bail!("the seal key {name} may be read by others than its owner: chmod 600 {name}");
        }
        if about.len() > KEY_LEN_MAX {
            bail!("the seal key {name} has more than {KEY_LEN_MAX} octets");
        }
        let octets = Secret::new(std::fs::read(file).with_context(context)?);
        if octets.len() < KEY_LEN_MIN {
            bail!(
                "the seal key {name} has {} octets, and {KEY_LEN_MIN} random ones are the least: \
                 head -c 32 /dev/urandom > {name}",
                octets.len()
            );
        }
        let master = hmac::prf(Hash::Sha256, octets.expose(), &[b"getvpn state file"]);
        Ok(Self {
            master: hmac::Key::new(Hash::Sha256, master.expose()),
            rng: SeededRng::from_seed(crate::event_loop::seed()?),
            file: file.to_owned(),
        })
    }

    /// A value of the row of that name: salt, ciphertext, tag.
    pub(crate) fn seal(&mut self, name: &[u8], value: &Secret) -> Result<Secret> {
        let mut octets = vec![0; SALT_LEN + value.len() + TAG_LEN];
        let (salt, rest) = octets.split_at_mut(SALT_LEN);
        let (body, place) = rest.split_at_mut(value.len());
        self.rng.fill(salt);
        body.copy_from_slice(value.expose());
        let tag = self.key(salt)?.seal_in_place(&[0; NONCE_LEN], name, body);
        place.copy_from_slice(&tag);
        Ok(Secret::new(octets))
    }

    /// What `seal` sealed.
    pub(crate) fn open(&self, name: &[u8], sealed: &[u8]) -> Result<Secret, NotOurs> {
        let (salt, rest) = sealed.split_at_checked(SALT_LEN).ok_or(NotOurs)?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(NotOurs)?;
        let mut octets = body.to_vec();
        let key = self.key(salt).map_err(|_| NotOurs)?;
        let opened = key.open_in_place(&[0; NONCE_LEN], name, &mut octets, tag);
        let octets = Secret::new(octets);
        opened.map(|()| octets).map_err(|_| NotOurs)
    }

    fn key(&self, salt: &[u8]) -> Result<Gcm> {
        let key = self.master.prf(&[b"row", salt]);
        Gcm::new(key.expose()).map_err(|error| anyhow!("no seal: {error}"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key file of these octets, and its folder.
    pub(crate) fn key_file(name: &str, octets: &[u8]) -> PathBuf {
        let file = std::env::temp_dir().join(format!("getvpn-{name}-{}", std::process::id()));
        std::fs::write(&file, octets).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    #[test]
    fn a_value_opens_under_its_key_and_its_name_only() {
        let (one, other) = (key_file("seal-1", &[7; 32]), key_file("seal-2", &[8; 40]));
        let mut sealer = Sealer::read(&one).unwrap();
        let value = Secret::copy_of(b"what nobody may read");
        let sealed = sealer.seal(b"a", &value).unwrap();
        let again = sealer.seal(b"a", &value).unwrap();
        assert!(sealed != again, "two values under one key");
        let octets = sealed.expose();
        assert!(!octets.windows(6).any(|seen| seen == b"nobody"));
        assert!(sealer.open(b"a", octets).unwrap() == value);
        assert!(sealer.open(b"b", octets).is_err());
        assert!(Sealer::read(&other).unwrap().open(b"a", octets).is_err());
        for at in 0..octets.len() {
            let mut changed = octets.to_vec();
            changed[at] ^= 1;
            assert!(sealer.open(b"a", &changed).is_err(), "octet {at}");
            assert!(sealer.open(b"a", &octets[..at]).is_err(), "{at} octets");
        }
        for file in [one, other] {
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn a_key_file_that_is_short_or_open_to_others_is_refused_by_name() {
        let file = key_file("seal-short", &[7; 31]);
        let error = Sealer::read(&file).err().unwrap().to_string();
        assert!(error.contains("has 31 octets"), "{error}");
        std::fs::write(&file, [7; 32]).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Sealer::read(&file).err().unwrap().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        std::fs::remove_file(&file).unwrap();
        let error = Sealer::read(&file).err().unwrap().to_string();
        assert!(error.contains("getvpn-seal-short"), "{error}");
    }
}
