//! Mail as `.eml` files in a folder, for trials: whole or not there at all, readable by their owner only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::domain::ports::{PortError, PortResult};

/// Writes one mail; the same key again replaces the file, so that a repeated try leaves one.
pub(super) fn deliver(folder: &Path, key: &str, mail: &[u8]) -> PortResult<()> {
    let path = folder.join(format!("{key}.eml"));
    let draft = folder.join(format!(".{key}.{}.tmp", std::process::id()));
    let not_sent =
        |err: io::Error| PortError::transient(format!("write mail file {}: {err}", path.display()));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(not_sent)?;
    write_draft(&draft, mail)
        .and_then(|()| fs::rename(&draft, &path))
        .inspect_err(|_| {
            // Best effort: the draft is hidden, and an equal name is removed before the next try.
            let _ = fs::remove_file(&draft);
        })
        .map_err(not_sent)?;
    File::open(folder)
        .and_then(|dir| dir.sync_all())
        .map_err(|err| {
            PortError::uncertain(format!("sync mail folder {}: {err}", folder.display()))
        })
}

fn write_draft(draft: &Path, mail: &[u8]) -> io::Result<()> {
    match fs::remove_file(draft) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    file.write_all(mail)?;
    file.sync_all()
}
