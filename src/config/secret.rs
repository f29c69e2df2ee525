//! Where a secret comes from, and the one way to get at it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a secret comes from; exactly one of the forms. A literal value is not one of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SecretSource {
    /// A variable of the environment.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
    /// A systemd credential, by name.
    Credential(String),
    /// A command (argument list, no shell) that prints the secret.
    Command(Vec<String>),
}
