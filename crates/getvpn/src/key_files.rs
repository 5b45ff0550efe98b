//! Exported keys in files: `keys/` in the state folder, for the process's user alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use router::key_pairs::KEY_FOLDER;

/// The file of that name; the box has checked that it is a name alone.
fn place(state: &Path, name: &str) -> Result<PathBuf> {
    if Path::new(name).components().count() != 1 || name.starts_with('.') {
        bail!("{name} is no name of a file of keys");
    }
    Ok(state.join(KEY_FOLDER).join(name))
}

/// Writes a new file, which must not be there yet.
///
/// # Errors
/// It is there, or cannot be written.
pub(crate) fn write(state: &Path, name: &str, text: &str) -> Result<()> {
    let path = place(state, name)?;
    let context = || format!("cannot write {}", path.display());
    let folder = state.join(KEY_FOLDER);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(context)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let mut file = file.with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    file.sync_all().with_context(context)
}

/// The text of a file.
///
/// # Errors
/// It is not there, is no text, or is too long for a key.
pub(crate) fn read(state: &Path, name: &str) -> Result<String> {
    let path = place(state, name)?;
    let context = || format!("cannot read {}", path.display());
    let file = File::open(&path).with_context(context)?;
    let mut text = String::new();
    let most = u64::try_from(crypto::pem::LEN_MAX)? + 1;
    file.take(most)
        .read_to_string(&mut text)
        .with_context(context)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_of_keys_is_written_once_for_its_owner_and_read_back() {
        let state = std::env::temp_dir().join(format!("getvpn-keys-{}", std::process::id()));
        std::fs::create_dir_all(&state).unwrap();
        write(&state, "get.pem", "text\n").unwrap();
        assert_eq!(read(&state, "get.pem").unwrap(), "text\n");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.join("keys/get.pem")), 0o600);
        assert_eq!(mode(&state.join("keys")), 0o700);
        assert!(write(&state, "get.pem", "other").is_err(), "it is there");
        for name in ["../x", "a/b", ".", "..", "/etc/passwd", ""] {
            assert!(
                read(&state, name).is_err() && write(&state, name, "x").is_err(),
                "{name}"
            );
        }
        std::fs::remove_dir_all(&state).unwrap();
    }
}
