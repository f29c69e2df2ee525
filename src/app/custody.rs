//! What `doctor` says about a secret: where it lies and how old it is (the ERP's adapter tells when its token ends). Never a part of it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::config::load::Loaded;
use crate::config::secret::SecretSource;
use crate::domain::time::Moment;

/// What is said about a secret.
pub struct About {
    /// One line.
    pub detail: String,
    /// What to do better, where something can be.
    pub hint: Option<String>,
}

/// Describes where a secret comes from and how it stands.
pub fn describe(
    loaded: &Loaded,
    source: &SecretSource,
    value: &SecretString,
    now: Moment,
) -> About {
    let (mut detail, hint) = match source {
        SecretSource::Env(name) => (
            format!("from the variable {name}"),
            Some("children and unit files can see it; use a credential or a command".to_owned()),
        ),
        SecretSource::File(path) => {
            let path = loaded.folder.join(path);
            let found = file(&path, now);
            let hint = "it lies there unencrypted; use a systemd credential, age or sops";
            (found, Some(hint.to_owned()))
        }
        SecretSource::Credential(name) => {
            let folder = loaded.env.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
            let path = folder.unwrap_or_default().join(name);
            let found = file(&path, now);
            (format!("systemd credential {name}, {found}"), None)
        }
        SecretSource::Command(argv) => {
            let program = argv.first().map(String::as_str).unwrap_or_default();
            (format!("from the command {program}"), None)
        }
    };
    // Short enough to give nothing away, long enough to see whether a rotation has arrived.
    let hash = Sha256::digest(value.expose_secret().as_bytes());
    detail.push_str(&format!(", hash {:02x}{:02x}", hash[0], hash[1]));
    About { detail, hint }
}

fn file(path: &Path, now: Moment) -> String {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => {
            let days = now
                .0
                .div_euclid(1000)
                .saturating_sub(meta.mtime())
                .div_euclid(86_400);
            let mode = meta.mode() & 0o777;
            format!("file {}, mode {mode:03o}, {days} days old", path.display())
        }
        Err(err) => format!("file {}: {err}", path.display()),
    }
}
