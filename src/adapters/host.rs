//! The machine we run on: clocks, chance, locks between processes, signals, and who may read which file.
//!
//! The only room with clocks and file modes. It never speaks to another system.

#![expect(
    clippy::disallowed_methods,
    reason = "the one room that reads the clock and waits"
)]

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::time::ClockId;
use sha2::{Digest, Sha256};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::domain::ports::{Clock, Held, Locks, Rng};
use crate::domain::time::{BootId, BootTime, Moment};

/// How often a lock held by another process is tried again.
const LOCK_POLL: Duration = Duration::from_millis(50);
/// Locks whose name starts so belong to an ERP service, not to one state file.
const SHARED_PREFIX: &str = "erp-";

/// The machine's clocks.
#[derive(Debug, Clone)]
pub struct HostClock {
    boot_id: BootId,
}

impl HostClock {
    /// Reads the id of this boot.
    pub fn new() -> io::Result<Self> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self {
            boot_id: BootId(id.trim().to_owned()),
        })
    }
}

impl Clock for HostClock {
    fn now(&self) -> Moment {
        // A wall clock before 1970 is a broken one; 1970 is then as good as any other wrong time.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn boot(&self) -> BootTime {
        let time = rustix::time::clock_gettime(ClockId::Boottime);
        BootTime(
            time.tv_sec
                .saturating_mul(1000)
                .saturating_add(time.tv_nsec / 1_000_000),
        )
    }

    fn boot_id(&self) -> BootId {
        self.boot_id.clone()
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

/// Chance from the operating system's seed; for jitter only.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostRng;

impl Rng for HostRng {
    fn uniform(&self, max: u64) -> u64 {
        fastrand::u64(0..=max)
    }
}

/// Lock files that the kernel frees when their process dies. They are never deleted or renamed.
#[derive(Debug, Clone)]
pub struct FileLocks {
    state: PathBuf,
    shared: PathBuf,
}

impl FileLocks {
    /// Keeps locks beside the state file (`<state>.<name>.lock`), and those of ERP services in the folder `shared`.
    pub fn new(state: PathBuf, shared: PathBuf) -> Self {
        Self { state, shared }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.starts_with(SHARED_PREFIX) {
            return self.shared.join(format!("{name}.lock"));
        }
        let mut path = OsString::from(&self.state);
        path.push(format!(".{name}.lock"));
        PathBuf::from(path)
    }

    /// Opens the lock file, making it when it is not there.
    ///
    /// Opening comes before creating: in a sticky folder Linux refuses `O_CREAT` on another user's file
    /// (`fs.protected_regular`). Reading rights are enough to lock, so the shared files are 0644 and nobody but their
    /// maker can write into them.
    fn open(&self, path: &Path, shared: bool) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits();
        let flags = i32::try_from(flags).map_err(io::Error::other)?;
        let existing = OpenOptions::new().read(true).custom_flags(flags).open(path);
        match existing {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        if shared {
            self.make_shared_folder()?;
        }
        let made = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match made {
            Ok(file) => {
                if shared {
                    // Our umask would keep every other account out.
                    file.set_permissions(Permissions::from_mode(0o644))?;
                }
                Ok(file)
            }
            // Another process was quicker: its file is the lock.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().read(true).custom_flags(flags).open(path)
            }
            Err(err) => Err(err),
        }
    }

    /// Makes the folder of shared locks: like `/tmp`, every account may add a lock (two shops on one machine may run
    /// under two users and still share one ERP service), and the sticky bit lets nobody remove another's.
    fn make_shared_folder(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.shared) {
            Ok(()) => fs::set_permissions(&self.shared, Permissions::from_mode(0o1777)),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(err) => Err(err),
        }
    }
}

impl Locks for FileLocks {
    fn hold(&self, name: &str, wait: Duration) -> Result<Option<Box<dyn Held>>, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("lock name {name:?} is not plain"));
        }
        let shared = name.starts_with(SHARED_PREFIX);
        let path = self.path(name);
        let fail = |err: io::Error| format!("lock file {}: {err}", path.display());
        let started = Instant::now();
        loop {
            let waited = started.elapsed() >= wait;
            match self.open(&path, shared) {
                Ok(file) => {
                    let kind = file.metadata().map_err(fail)?;
                    if !kind.is_file() {
                        return Err(format!(
                            "lock file {} is not a regular file; hint: remove what stands in its place",
                            path.display()
                        ));
                    }
                    match file.try_lock() {
                        // A file that was replaced between opening and locking guards nothing.
                        Ok(()) if same_file(&file, &path) => {
                            return Ok(Some(Box::new(HeldFile(file))));
                        }
                        Ok(()) | Err(TryLockError::WouldBlock) => {}
                        Err(TryLockError::Error(err)) => return Err(fail(err)),
                    }
                }
                // Another account has just made it and not yet opened it to us.
                Err(err) if shared && !waited && err.kind() == io::ErrorKind::PermissionDenied => {}
                Err(err) => return Err(fail(err)),
            }
            if waited {
                return Ok(None);
            }
            thread::sleep(LOCK_POLL.min(wait));
        }
    }
}

/// A locked file.
///
/// The lock (`flock`) belongs to the open file and not to our handle: between fork and exec a child has a copy of that
/// handle, whatever `O_CLOEXEC` says, and closing ours alone would leave the lock to the child for that instant. So it is
/// taken off explicitly, which frees it for all copies. When we die instead, the kernel frees it at the child's exec.
struct HeldFile(File);

impl Held for HeldFile {}

impl Drop for HeldFile {
    fn drop(&mut self) {
        // Closing follows and frees it too, at the latest when the last copy is closed.
        let _ = self.0.unlock();
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// Returns what tells this machine from others, not reversible to its id; `None` where the system keeps no id.
pub fn machine() -> Option<String> {
    let id = fs::read_to_string("/etc/machine-id").ok()?;
    let id = id.trim();
    let hash = Sha256::digest(format!("stockbridge state file\n{id}"));
    (id.len() >= 16).then(|| hash.iter().take(8).map(|b| format!("{b:02x}")).collect())
}

/// Keeps what we make and hold to ourselves: umask 077, no core dumps, no reading of our memory by other processes.
pub fn harden() -> io::Result<()> {
    rustix::process::umask(Mode::RWXG.union(Mode::RWXO));
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Returns a flag that the first SIGTERM or SIGINT sets; the second one ends the process at once.
///
/// Ending at once is safe: nothing is kept anywhere but in committed transactions.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // Registered first, so that the first signal finds the flag still unset.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Aborts the process when it is not dropped in time.
#[derive(Debug)]
pub struct Watchdog(#[expect(dead_code, reason = "held for its drop")] Sender<()>);

/// Starts a watchdog that aborts the process after this time.
pub fn watchdog(after: Duration) -> io::Result<Watchdog> {
    let (alive, ended) = channel();
    thread::Builder::new()
        .name("watchdog".into())
        .spawn(move || match ended.recv_timeout(after) {
            Err(RecvTimeoutError::Timeout) => {
                log::error!(
                    "the run outlasted its deadline and its longest call; aborting after {after:?}"
                );
                std::process::abort();
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
        })?;
    Ok(Watchdog(alive))
}

/// A file that others could read or replace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct FileRefused {
    /// Which file.
    pub path: PathBuf,
    /// Why it is not trusted, with a hint.
    pub reason: String,
}

/// Opens a file that holds a secret: regular, ours or root's, unreadable for others, in folders only we can change.
pub fn open_secret(path: &Path) -> Result<File, FileRefused> {
    let refuse = |reason: String| FileRefused {
        path: path.to_owned(),
        reason,
    };
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(|err| refuse(err.to_string()))?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|err| match rustix::io::Errno::from_io_error(&err) {
            Some(rustix::io::Errno::LOOP) => {
                refuse("is a symbolic link; hint: name the file itself".into())
            }
            Some(_) | None => refuse(err.to_string()),
        })?;
    // Asked of the open handle, so that nothing can be swapped between the check and the reading.
    let metadata = file.metadata().map_err(|err| refuse(err.to_string()))?;
    private(&metadata).map_err(refuse)?;
    guarded(path, 0o022).map_err(refuse)?;
    Ok(file)
}

/// File systems behind a network, by the kernel's magic number: NFS, SMB, CIFS, SMB2, 9P.
const NETWORK: [u32; 5] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];

/// Tells whether a file lies, or would lie, on a network file system, whose locks cannot be trusted.
pub fn on_network(path: &Path) -> bool {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let stat = rustix::fs::statfs(folder.unwrap_or(Path::new(".")));
    stat.is_ok_and(|stat| is_network(i128::from(stat.f_type)))
}

/// The magic number is signed on some machines and unsigned on others; only its 32 bits count.
fn is_network(magic: i128) -> bool {
    NETWORK
        .iter()
        .any(|known| i128::from(*known) == magic & 0xffff_ffff)
}

/// Checks the state file's mode, owner and folders without opening it; false when there is no such file.
///
/// Not opened, because closing any handle of a database that SQLite has open drops SQLite's locks.
pub fn check_state(path: &Path) -> Result<bool, FileRefused> {
    let refuse = |reason: String| FileRefused {
        path: path.to_owned(),
        reason,
    };
    let exists = match fs::symlink_metadata(path) {
        Ok(metadata) => {
            private(&metadata).map_err(refuse)?;
            true
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => false,
        Err(err) => return Err(refuse(err.to_string())),
    };
    guarded(path, 0o002).map_err(refuse)?;
    Ok(exists)
}

fn private(metadata: &fs::Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(format!("belongs to user {owner}; hint: chown it"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "mode {mode:04o} lets others at it; hint: chmod 600"
        ));
    }
    Ok(())
}

/// Checks that no folder above the file can be changed by those whose bits are in `others`, unless it is sticky.
fn guarded(path: &Path, others: u32) -> Result<(), String> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).map_err(|err| {
        format!(
            "its folder {}: {err}",
            folder.unwrap_or(Path::new(".")).display()
        )
    })?;
    for above in folder.ancestors() {
        let metadata =
            fs::metadata(above).map_err(|err| format!("its folder {}: {err}", above.display()))?;
        let mode = metadata.mode() & 0o7777;
        if mode & others != 0 && mode & 0o1000 == 0 {
            return Err(format!(
                "its folder {} has mode {mode:04o}, others could replace the file; hint: chmod go-w",
                above.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locks() -> (tempfile::TempDir, FileLocks) {
        let dir = tempfile::tempdir().unwrap();
        let locks = FileLocks::new(dir.path().join("state.sqlite"), dir.path().join("shared"));
        (dir, locks)
    }

    #[test]
    fn s10_network_file_systems_are_known_by_their_numbers() {
        assert!(is_network(0x6969) && is_network(0xff53_4d42) && is_network(-11_317_950));
        for local in [0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342] {
            assert!(!is_network(local));
        }
        assert!(!on_network(Path::new("/dev/null")));
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped_and_its_file_stays() {
        let (dir, locks) = locks();
        let held = locks.hold("move", Duration::ZERO).unwrap();
        assert!(held.is_some());
        let again = locks.hold("move", Duration::from_millis(60)).unwrap();
        assert!(again.is_none());
        assert!(locks.hold("poll", Duration::ZERO).unwrap().is_some());
        drop(held);
        assert!(locks.hold("move", Duration::ZERO).unwrap().is_some());
        let file = dir.path().join("state.sqlite.move.lock");
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_dropped_lock_is_free_at_once_whatever_children_are_being_started() {
        let (_dir, locks) = locks();
        let stop = AtomicBool::new(false);
        let refused = thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let child = std::process::Command::new("/bin/true").spawn();
                        child.and_then(|mut child| child.wait()).unwrap();
                    }
                });
            }
            let tries = 0..20_000;
            let refused = tries.filter(|_| locks.hold("move", Duration::ZERO).unwrap().is_none());
            let refused = refused.count();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            refused
        });
        assert_eq!(refused, 0);
    }

    #[test]
    fn no_program_keeps_a_lock_file_open() {
        let (_dir, locks) = locks();
        let file = locks.open(&locks.path("move"), false).unwrap();
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn locks_of_an_erp_service_are_shared_by_all_accounts() {
        let (dir, locks) = locks();
        let other = FileLocks::new(dir.path().join("other"), dir.path().join("shared"));
        let held = locks.hold("erp-0011", Duration::ZERO).unwrap();
        assert!(held.is_some());
        assert!(other.hold("erp-0011", Duration::ZERO).unwrap().is_none());
        let folder = fs::metadata(dir.path().join("shared")).unwrap();
        assert_eq!(folder.mode() & 0o7777, 0o1777);
        let file = fs::metadata(dir.path().join("shared/erp-0011.lock")).unwrap();
        assert_eq!(file.mode() & 0o777, 0o644);
    }

    #[test]
    fn s14_a_folder_in_a_locks_place_is_an_error_and_a_replaced_file_is_not_held() {
        let (dir, locks) = locks();
        fs::create_dir(dir.path().join("state.sqlite.gc.lock")).unwrap();
        let err = locks.hold("gc", Duration::ZERO).err().unwrap();
        assert!(err.contains("not a regular file"), "{err}");
        let path = dir.path().join("state.sqlite.x.lock");
        let file = File::create(&path).unwrap();
        assert!(same_file(&file, &path));
        fs::remove_file(&path).unwrap();
        assert!(!same_file(&file, &path));
        assert!(locks.hold("../x", Duration::ZERO).is_err());
    }

    #[test]
    fn c3_a_secret_others_could_read_or_replace_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "x").unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        set(&file, 0o600);
        assert!(open_secret(&file).is_ok());
        set(&file, 0o644);
        assert!(open_secret(&file).unwrap_err().reason.contains("0644"));
        set(&file, 0o600);
        std::os::unix::fs::symlink(&file, dir.path().join("link")).unwrap();
        let link = open_secret(&dir.path().join("link")).unwrap_err();
        assert!(link.reason.contains("symbolic link"), "{link}");
        assert!(open_secret(dir.path()).is_err());
        set(dir.path(), 0o770);
        assert!(open_secret(&file).unwrap_err().reason.contains("folder"));
        set(dir.path(), 0o700);
    }

    #[test]
    fn s9_an_open_state_file_or_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.sqlite");
        assert_eq!(check_state(&file), Ok(false));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        assert!(check_state(&file).is_err());
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(check_state(&file), Ok(true));
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(check_state(&file).is_err());
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn boot_time_never_falls_and_wall_time_is_of_this_century() {
        let clock = HostClock::new().unwrap();
        assert!(clock.boot() <= clock.boot());
        assert!(clock.now().0 > 1_600_000_000_000);
        assert!(!clock.boot_id().0.is_empty());
        assert!(HostRng.uniform(3) <= 3);
    }
}
