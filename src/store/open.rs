//! Opening the state file: prove that it is ours, then upgrade it in one transaction, then use it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::domain::time::Moment;
use crate::store::{Store, StoreError, StoreResult};

/// `STKB`, in the header of every state file.
const APPLICATION_ID: i32 = 0x5354_4b42;

/// One migration per number; append-only. The last number is the file's `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../../sql/migrations/0001_init.sql"),
    include_str!("../../sql/migrations/0002_recovery.sql"),
    include_str!("../../sql/migrations/0003_request_budget.sql"),
    include_str!("../../sql/migrations/0004_counter_owner.sql"),
    include_str!("../../sql/migrations/0005_channels.sql"),
    include_str!("../../sql/migrations/0006_products.sql"),
    include_str!("../../sql/migrations/0007_inbox.sql"),
    include_str!("../../sql/migrations/0008_notice_batch.sql"),
];

/// Free pages are given back when asked.
const INCREMENTAL: i32 = 2;

/// The oldest SQLite without the WAL-reset bug.
const SQLITE_FLOOR: i32 = 3_051_003;

/// Whose memory a state file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The storefront's account.
    pub account: String,
    /// The ERP, as kind and base in which sales are booked (`dragonfish WOO`).
    pub erp: String,
}

/// How to open a state file.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The file.
    pub path: PathBuf,
    /// False for a rollback journal instead of the write-ahead log.
    pub wal: bool,
    /// Whose memory it must be.
    pub identity: Identity,
    /// A fresh random id, used only when the file is created.
    pub instance_id: String,
    /// What tells this machine from others, where anything does.
    pub machine: Option<String>,
    /// Wall time, used only when the file is created.
    pub now: Moment,
}

impl Store {
    /// Opens the state file, creating or upgrading it as needed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Broken`] for a file that is foreign, newer, damaged or belongs to another account or ERP; such a
    /// file is left untouched.
    pub fn open(options: &OpenOptions) -> StoreResult<Self> {
        let store = Self::open_any(options)?;
        store.claim(options)?;
        Ok(store)
    }

    /// Opens a state file whoever it belongs to, for the operator's acts on it.
    pub fn open_any(options: &OpenOptions) -> StoreResult<Self> {
        if rusqlite::version_number() < SQLITE_FLOOR {
            return Err(StoreError::Bug(format!(
                "SQLite {} is too old",
                rusqlite::version()
            )));
        }
        if !inspect(&options.path)? {
            Self::create(options)?;
        }
        let conn = Connection::open_with_flags(
            &options.path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        set_up(&conn, options.wal)?;
        let store = Self::with(conn);
        store.keep_old_version(&options.path)?;
        store.upgrade(MIGRATIONS)?;
        let sql = include_str!("../../sql/store/counter_foreign.sql");
        let n_foreign: i64 = store.one(sql, [], |row| row.get(0))?;
        if n_foreign > 0 {
            return Err(StoreError::Broken(format!(
                "the log beside {} was that of another state file, and the two are mixed now; hint: stockbridge backup \
                 restore FILE, or move the file away and run stockbridge backup adopt",
                options.path.display()
            )));
        }
        Ok(store)
    }

    /// Makes a new file under another name and gives it its own name when it is whole, so that a first start that was
    /// killed leaves no half file: such a file is not told from a damaged memory.
    fn create(options: &OpenOptions) -> StoreResult<()> {
        let mut name = options.path.clone().into_os_string();
        name.push(format!(".new-{}", std::process::id()));
        let new = PathBuf::from(name);
        let failed = |err: std::io::Error| StoreError::Io(format!("{}: {err}", new.display()));
        match fs::remove_file(&new) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(failed(err)),
            _ => {}
        }
        let conn = Connection::open(&new)?;
        set_up(&conn, false)?;
        let store = Self::with(conn);
        store.upgrade(MIGRATIONS)?;
        store.claim(options)?;
        drop(store);
        // Another process may have made the file meanwhile: then theirs holds.
        match fs::hard_link(&new, &options.path) {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => return Err(failed(err)),
            _ => fs::remove_file(&new).map_err(failed)?,
        }
        let folder = options.path.parent().filter(|f| !f.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }

    /// Opens an empty memory that vanishes with the value; for tests and trials.
    pub fn open_in_memory(identity: &Identity) -> StoreResult<Self> {
        let conn = Connection::open_in_memory()?;
        set_up(&conn, false)?;
        let store = Self::with(conn);
        store.upgrade(MIGRATIONS)?;
        let options = OpenOptions {
            path: PathBuf::new(),
            wal: false,
            identity: identity.clone(),
            instance_id: "memory".into(),
            machine: None,
            now: Moment(0),
        };
        store.claim(&options)?;
        Ok(store)
    }

    pub(super) fn with(conn: Connection) -> Self {
        Self {
            conn,
            #[cfg(feature = "sandbox")]
            watch: None,
        }
    }

    /// Makes the tables over an open connection instead of a file, for tests.
    #[cfg(feature = "sandbox")]
    pub fn tables(conn: Connection) -> StoreResult<Connection> {
        set_up(&conn, false)?;
        let store = Self::with(conn);
        store.upgrade(MIGRATIONS)?;
        Ok(store.conn)
    }

    /// Takes an open connection instead of a file, for tests.
    #[cfg(feature = "sandbox")]
    pub(super) fn over(conn: Connection, options: &OpenOptions) -> StoreResult<Self> {
        let store = Self::with(Self::tables(conn)?);
        store.claim(options)?;
        Ok(store)
    }

    /// Writes a consistent copy of the file to `path`, which must not exist.
    pub fn copy_to(&self, path: &Path) -> StoreResult<()> {
        let text = path
            .to_str()
            .ok_or_else(|| StoreError::Io("the path of the copy is not UTF-8".into()))?;
        self.conn.execute("VACUUM INTO ?1", [text])?;
        Ok(())
    }

    /// Changes how long a call waits for another process's write; for a caller that must answer soon.
    pub fn wait_at_most(&self, wait: Duration) -> StoreResult<()> {
        Ok(self.conn.busy_timeout(wait)?)
    }

    /// Keeps a copy of a file of an older version beside it, `<state>.v1`, before it is upgraded.
    fn keep_old_version(&self, path: &Path) -> StoreResult<()> {
        let version: usize = self
            .conn
            .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))?
            .try_into()
            .unwrap_or(usize::MAX);
        let beside = |end: String| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let kept = beside(format!(".v{version}"));
        if version == 0 || version >= MIGRATIONS.len() || kept.exists() {
            return Ok(());
        }
        let failed = |err: std::io::Error| StoreError::Io(format!("{}: {err}", kept.display()));
        let copy = beside(format!(".v{version}.{}", std::process::id()));
        self.copy_to(&copy)?;
        let linked = fs::File::open(&copy)
            .and_then(|file| file.sync_all())
            // A link never replaces: another process may have kept its copy, and upgraded the file, before this one.
            .and_then(|()| fs::hard_link(&copy, &kept));
        fs::remove_file(&copy).map_err(failed)?;
        match linked {
            Err(err) if err.kind() != ErrorKind::AlreadyExists => Err(failed(err)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Applies the migrations the file has not seen, all in one transaction.
    fn upgrade(&self, migrations: &[&str]) -> StoreResult<()> {
        let version: i32 = self
            .conn
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
        let newest = i32::try_from(migrations.len()).unwrap_or(i32::MAX);
        if version == newest {
            return Ok(());
        }
        self.write(|tx| {
            // Another process may have upgraded the file while this one waited for the lock.
            let version: i32 = tx
                .conn
                .pragma_query_value(None, "user_version", |row| row.get(0))?;
            for migration in migrations
                .iter()
                .skip(usize::try_from(version).unwrap_or(0))
            {
                tx.conn.execute_batch(migration)?;
            }
            tx.conn
                .pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.conn.pragma_update(None, "user_version", newest)?;
            Ok(())
        })
    }

    /// Writes the identity into a new file, or compares it with the file's.
    pub(super) fn claim(&self, options: &OpenOptions) -> StoreResult<()> {
        let Some(found) = self.identity()? else {
            return self.write(|tx| {
                if tx.identity()?.is_none() {
                    let identity = &options.identity;
                    tx.run(
                        include_str!("../../sql/store/instance_create.sql"),
                        rusqlite::named_params! { ":instance_id": options.instance_id, ":account": identity.account,
                            ":erp": identity.erp, ":machine": options.machine, ":now": options.now.0 },
                    )?;
                }
                Ok(())
            });
        };
        if found != options.identity {
            return Err(StoreError::Broken(format!(
                "the state file {} belongs to account {} with {}, the configuration names account {} with {}; \
                 hint: give each account and ERP its own state file, or run stockbridge backup adopt",
                options.path.display(),
                found.account,
                found.erp,
                options.identity.account,
                options.identity.erp
            )));
        }
        Ok(())
    }

    fn identity(&self) -> StoreResult<Option<Identity>> {
        let sql = include_str!("../../sql/store/instance_get.sql");
        self.maybe(sql, [], |row| {
            Ok(Identity {
                account: row.get(1)?,
                erp: row.get(2)?,
            })
        })
    }

    /// Checks the whole file, for `doctor`; an empty list is a clean bill.
    pub fn integrity(&self) -> StoreResult<Vec<String>> {
        let mut found = self.many("PRAGMA integrity_check(20)", [], |row| {
            row.get::<_, String>(0)
        })?;
        found.retain(|line| line != "ok");
        let orphans = self.many("PRAGMA foreign_key_check", [], |row| {
            row.get::<_, String>(0)
        })?;
        found.extend(
            orphans
                .into_iter()
                .map(|table| format!("a row of {table} points to nothing")),
        );
        Ok(found)
    }
}

/// Looks at the file without changing it; false when there is none.
fn inspect(path: &Path) -> StoreResult<bool> {
    let at = path.display();
    let size = match fs::metadata(path) {
        Ok(meta) if meta.is_file() => meta.len(),
        Ok(_) => {
            return Err(StoreError::Broken(format!(
                "the state file {at} is not a regular file"
            )));
        }
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(StoreError::Io(format!("{at}: {err}"))),
    };
    if size == 0 {
        return Err(StoreError::Broken(format!(
            "the state file {at} is empty; hint: restore a backup, or remove the file if this is a first start"
        )));
    }
    let (application, version) = match marks(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        // A process that was killed left a journal, which only a writer may play back.
        Err(StoreError::Io(_)) => marks(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        read => read?,
    };
    let newest = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    if application != APPLICATION_ID {
        return Err(StoreError::Broken(format!(
            "{at} is not a state file of stockbridge; it was left untouched"
        )));
    }
    if version > newest {
        return Err(StoreError::Broken(format!(
            "the state file {at} was written by a newer program (version {version}, this one knows {newest})"
        )));
    }
    Ok(true)
}

/// Whose file it is, and its version.
fn marks(path: &Path, mode: OpenFlags) -> StoreResult<(i32, i32)> {
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    let mark = |name| conn.pragma_query_value(None, name, |row| row.get(0));
    Ok((mark("application_id")?, mark("user_version")?))
}

fn set_up(conn: &Connection, wal: bool) -> StoreResult<()> {
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(128);
    // Takes effect only while the file is still empty; gc then gives pages back step by step. Saying it again would
    // write the header at each start.
    let vacuum: i32 = conn.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if vacuum != INCREMENTAL {
        conn.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    }
    let (journal, synchronous) = if wal {
        ("wal", "FULL")
    } else {
        ("delete", "EXTRA")
    };
    let now: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if now != journal && now != "memory" {
        let got: String =
            conn.pragma_update_and_check(None, "journal_mode", journal, |row| row.get(0))?;
        if got != journal {
            return Err(StoreError::Broken(format!(
                "the file system refuses journal mode {journal} (got {got})"
            )));
        }
    }
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Without it a statement that may use a partial index is planned anew for every value bound to it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::TRANSITIONS;

    fn identity() -> Identity {
        Identity {
            account: "tienda".into(),
            erp: "dragonfish WOO".into(),
        }
    }

    fn options(path: PathBuf) -> OpenOptions {
        OpenOptions {
            path,
            wal: true,
            identity: identity(),
            instance_id: "i".into(),
            machine: None,
            now: Moment(1),
        }
    }

    #[test]
    fn the_transition_table_of_the_file_is_that_of_the_code() {
        let store = Store::open_in_memory(&identity()).unwrap();
        let mut in_file = store
            .many(
                "SELECT kind, from_state, to_state FROM transitions",
                [],
                |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, String>(2)?,
                    ))
                },
            )
            .unwrap();
        let mut in_code: Vec<_> = TRANSITIONS
            .iter()
            .map(|t| {
                (
                    t.1.as_str().to_owned(),
                    t.2.as_str().to_owned(),
                    t.3.as_str().to_owned(),
                )
            })
            .collect();
        in_code.sort();
        in_code.dedup();
        in_file.sort();
        assert_eq!(in_file, in_code);
    }

    #[test]
    fn s2_s3_foreign_newer_and_empty_files_are_refused_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        fs::write(&path, b"").unwrap();
        assert!(matches!(
            Store::open(&options(path.clone())),
            Err(StoreError::Broken(_))
        ));
        fs::write(
            &path,
            b"not a database at all, only some text that is long enough",
        )
        .unwrap();
        assert!(matches!(
            Store::open(&options(path.clone())),
            Err(StoreError::Broken(_))
        ));
        for (application, version) in [(7, 1), (APPLICATION_ID, 99)] {
            fs::remove_file(&path).unwrap();
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch("CREATE TABLE other (x)").unwrap();
            conn.pragma_update(None, "application_id", application)
                .unwrap();
            conn.pragma_update(None, "user_version", version).unwrap();
            drop(conn);
            let before = fs::read(&path).unwrap();
            assert!(matches!(
                Store::open(&options(path.clone())),
                Err(StoreError::Broken(_))
            ));
            assert_eq!(fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn c10_a_file_of_another_account_or_base_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        drop(Store::open(&options(path.clone())).unwrap());
        drop(Store::open(&options(path.clone())).unwrap());
        let changes: [fn(&mut Identity); 2] = [
            |identity| identity.account = "otra".into(),
            |identity| identity.erp = "dragonfish OTRO".into(),
        ];
        for change in changes {
            let mut other = options(path.clone());
            change(&mut other.identity);
            assert!(matches!(Store::open(&other), Err(StoreError::Broken(_))));
        }
    }

    #[test]
    fn a_journal_that_a_killed_process_left_is_played_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let mut options = options(path.clone());
        options.wal = false;
        drop(Store::open(&options).unwrap());
        // The journal of a transaction that was never committed, as a killed process leaves it.
        let conn = Connection::open(&path).unwrap();
        conn.pragma_update(None, "cache_size", 1).unwrap();
        conn.pragma_update(None, "cache_spill", 1).unwrap();
        conn.execute_batch("BEGIN; CREATE TABLE big AS SELECT randomblob(100000) AS x;")
            .unwrap();
        let (torn, beside) = (
            folder.path().join("t.sqlite"),
            folder.path().join("t.sqlite-journal"),
        );
        fs::copy(&path, &torn).unwrap();
        fs::copy(folder.path().join("state.sqlite-journal"), &beside).unwrap();
        options.path = torn;
        assert!(beside.exists());
        let store = Store::open(&options).unwrap();
        assert!(store.integrity().unwrap().is_empty());
        assert!(!beside.exists(), "the journal was played back");
    }

    #[test]
    fn a_failed_transaction_leaves_nothing() {
        let store = Store::open_in_memory(&identity()).unwrap();
        let failed: StoreResult<()> = store.write(|tx| {
            tx.set_mark("x", 1)?;
            Err(StoreError::Bug("on purpose".into()))
        });
        assert!(failed.is_err());
        assert_eq!(store.mark("x").unwrap(), None);
    }
}
