//! Where a secret comes from, and the one way to get at it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use crate::config::child;

/// The largest secret.
const MOST_BYTES: u64 = 64 * 1024;
/// How long a command may take to print one and end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a command that has closed its output is asked whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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

/// What resolving a secret needs to know.
#[derive(Debug, Clone, Copy)]
pub struct SecretContext<'a> {
    /// The environment, with what an environment file added.
    pub env: &'a BTreeMap<String, String>,
    /// The folder from which relative paths count.
    pub folder: &'a Path,
    /// The folder of systemd's credentials.
    pub credentials_dir: Option<&'a Path>,
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    ///
    /// A sentence that says where the secret was looked for and what to do; never a part of its value.
    pub fn resolve(&self, context: &SecretContext<'_>) -> Result<SecretString, String> {
        match self {
            Self::Env(name) => {
                let value = context
                    .env
                    .get(name)
                    .ok_or_else(|| format!("the variable {name} is not set"))?;
                clean(value.as_bytes(), &format!("the variable {name}"))
            }
            Self::File(path) => read_private(&context.folder.join(path)),
            Self::Credential(name) => {
                let folder = context
                    .credentials_dir
                    .ok_or("no systemd credentials here (CREDENTIALS_DIRECTORY)")?;
                if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
                    return Err(format!("{name:?} is not the name of a credential"));
                }
                read_private(&folder.join(name))
            }
            Self::Command(argv) => run(argv, context.env, PATIENCE),
        }
    }
}

/// Reads a file that only its owner can read; everything is asked of the open handle, so nothing can be swapped.
pub fn read_private(path: &Path) -> Result<SecretString, String> {
    let at = path.display();
    let file = open_private(path)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|err| format!("{at}: {err}"))?;
    clean(&bytes, &format!("the file {at}"))
}

/// Opens a file that nobody else can read or replace: regular, ours or root's, no group or world rights, in folders that
/// others cannot write.
pub fn open_private(path: &Path) -> Result<File, String> {
    let at = path.display();
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(|err| err.to_string())?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|err| {
            if rustix::io::Errno::from_io_error(&err) == Some(rustix::io::Errno::LOOP) {
                return format!("{at} is a symbolic link; hint: name the file itself");
            }
            format!("{at}: {err}")
        })?;
    let meta = file.metadata().map_err(|err| format!("{at}: {err}"))?;
    let me = rustix::process::geteuid().as_raw();
    if !meta.is_file() {
        return Err(format!("{at} is not a regular file"));
    }
    if meta.uid() != me && meta.uid() != 0 {
        return Err(format!(
            "{at} belongs to another user; hint: chown it to the user that runs stockbridge"
        ));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(format!("{at} can be read by others; hint: chmod 600 {at}"));
    }
    let full = std::path::absolute(path).map_err(|err| format!("{at}: {err}"))?;
    for folder in full.ancestors().skip(1) {
        let meta =
            std::fs::metadata(folder).map_err(|err| format!("{}: {err}", folder.display()))?;
        let sticky = meta.mode() & 0o1000 != 0;
        if meta.mode() & 0o022 != 0 && !sticky {
            return Err(format!(
                "the folder {} can be changed by others; hint: chmod go-w it",
                folder.display()
            ));
        }
    }
    Ok(file)
}

/// Takes one newline from the end; what else does not belong into a secret is refused.
fn clean(bytes: &[u8], place: &str) -> Result<SecretString, String> {
    let refuse = |why: &str| Err(format!("{place} {why}"));
    if bytes.len() > usize::try_from(MOST_BYTES).unwrap_or(usize::MAX) {
        return refuse("holds more than 64 KiB");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refuse("is not UTF-8");
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.starts_with('\u{feff}') {
        return refuse("begins with a byte order mark");
    }
    if text.contains(char::is_control) {
        return refuse("holds a line break or another control character");
    }
    Ok(SecretString::from(text))
}

fn run(
    argv: &[String],
    env: &BTreeMap<String, String>,
    patience: Duration,
) -> Result<SecretString, String> {
    let [program, args @ ..] = argv else {
        return Err("the command is empty".into());
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for name in ["PATH", "HOME"] {
        if let Some(value) = env.get(name) {
            command.env(name, value);
        }
    }
    let until = Instant::now() + patience;
    let mut child = child::start(&mut command)
        .map_err(|err| format!("the command {program} cannot be started: {err}"))?;
    let ended = output(&mut child, until);
    if !matches!(ended, Ok(Some(_))) {
        child::kill(&mut child);
    }
    let (bytes, status) = ended
        .map_err(|err| format!("the command {program}: {err}"))?
        .ok_or_else(|| format!("the command {program} took longer than {patience:?}"))?;
    if !status.success() {
        return Err(format!("the command {program} ended with {status}"));
    }
    clean(&bytes, &format!("the output of {program}"))
}

/// Returns what a command prints and how it ends; nothing when the time is over first.
fn output(
    child: &mut Child,
    until: Instant,
) -> std::io::Result<Option<(Zeroizing<Vec<u8>>, ExitStatus)>> {
    let Some(out) = child.stdout.take() else {
        return Err(std::io::Error::other("has no output"));
    };
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = out
            .take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map(|_| bytes);
        // Nobody listens once the time is over.
        let _ = sender.send(read);
    });
    let left = || until.saturating_duration_since(Instant::now());
    let Ok(read) = receiver.recv_timeout(left()) else {
        return Ok(None);
    };
    let bytes = read?;
    // A closed output is not yet an end: the command may go on running, also for ever.
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some((bytes, status)));
        }
        if left().is_zero() {
            return Ok(None);
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn shell(line: &str, patience: Duration) -> Result<SecretString, String> {
        let argv = ["sh", "-c", line].map(str::to_owned);
        let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        run(&argv, &BTreeMap::from([path]), patience)
    }

    #[test]
    fn a_command_that_goes_on_running_is_stopped() {
        let started = Instant::now();
        for line in [
            "printf HUSH; exec sleep 60",
            "printf HUSH; exec sleep 60 >&-",
        ] {
            let err = shell(line, Duration::from_millis(300)).unwrap_err();
            assert!(err.contains("took longer than 300ms"), "{line}: {err}");
            assert!(!err.contains("HUSH"), "{err}");
        }
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_a_command_started_ends_with_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        // The grandchild holds the output open: without it the command would have ended in time.
        let line = format!("sleep 60 & echo $! >{}; printf HUSH", file.display());
        let err = shell(&line, Duration::from_millis(500)).unwrap_err();
        assert!(err.contains("took longer"), "{err}");
        let pid = std::fs::read_to_string(&file).unwrap();
        let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
        let until = Instant::now() + Duration::from_secs(5);
        // A killed process may stay as a zombie where nobody collects orphans.
        let runs = || std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z "));
        while runs() {
            assert!(Instant::now() < until, "the grandchild still runs");
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }

    #[test]
    fn a_command_may_end_a_little_after_its_output() {
        let secret = shell("printf HUSH; exec sleep 0.1 >&-", PATIENCE).unwrap();
        assert_eq!(secret.expose_secret(), "HUSH");
    }
}
