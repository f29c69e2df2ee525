//! Opening the state file: prove that it is ours, then upgrade it in one transaction, then use it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::domain::time::Moment;
use crate::store::{Store, StoreError, StoreResult};

/// `STKB`, in the header of every state file.
const APPLICATION_ID: i32 = 0x5354_4b42;

/// One migration per number; append-only. The last number is the file's `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../../sql/migrations/0001_init.sql"),
    include_str!("../../sql/migrations/0002_recovery.sql"),
];

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
        inspect(&options.path)?;
        let conn = Connection::open(&options.path)?;
        set_up(&conn, options.wal)?;
        let store = Self::with(conn);
        store.upgrade(MIGRATIONS)?;
        Ok(store)
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

    /// Takes an open connection instead of a file, for tests.
    #[cfg(feature = "sandbox")]
    pub(super) fn over(conn: Connection, options: &OpenOptions) -> StoreResult<Self> {
        set_up(&conn, false)?;
        let store = Self::with(conn);
        store.upgrade(MIGRATIONS)?;
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
    fn claim(&self, options: &OpenOptions) -> StoreResult<()> {
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

/// Looks at an existing file without opening it for writing.
fn inspect(path: &Path) -> StoreResult<()> {
    let at = path.display();
    let size = match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => meta.len(),
        Ok(_) => {
            return Err(StoreError::Broken(format!(
                "the state file {at} is not a regular file"
            )));
        }
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(StoreError::Io(format!("{at}: {err}"))),
    };
    if size == 0 {
        return Err(StoreError::Broken(format!(
            "the state file {at} is empty; hint: restore a backup, or remove the file if this is a first start"
        )));
    }
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(Duration::from_secs(5))?;
    let pragma = |name| {
        conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .optional()
    };
    let application = pragma("application_id")?.unwrap_or(0);
    let version = pragma("user_version")?.unwrap_or(0);
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
    Ok(())
}

fn set_up(conn: &Connection, wal: bool) -> StoreResult<()> {
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(128);
    // Takes effect only while the file is still empty; gc then gives pages back step by step.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
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
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(
            Store::open(&options(path.clone())),
            Err(StoreError::Broken(_))
        ));
        std::fs::write(
            &path,
            b"not a database at all, only some text that is long enough",
        )
        .unwrap();
        assert!(matches!(
            Store::open(&options(path.clone())),
            Err(StoreError::Broken(_))
        ));
        for (application, version) in [(7, 1), (APPLICATION_ID, 99)] {
            std::fs::remove_file(&path).unwrap();
            let conn = Connection::open(&path).unwrap();
            conn.execute_batch("CREATE TABLE other (x)").unwrap();
            conn.pragma_update(None, "application_id", application)
                .unwrap();
            conn.pragma_update(None, "user_version", version).unwrap();
            drop(conn);
            let before = std::fs::read(&path).unwrap();
            assert!(matches!(
                Store::open(&options(path.clone())),
                Err(StoreError::Broken(_))
            ));
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn c10_a_file_of_another_account_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        drop(Store::open(&options(path.clone())).unwrap());
        drop(Store::open(&options(path.clone())).unwrap());
        let mut other = options(path);
        other.identity.account = "otra".into();
        assert!(matches!(Store::open(&other), Err(StoreError::Broken(_))));
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
