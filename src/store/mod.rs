//! SQLite, the only memory: one file, opened and upgraded here, with one statement per file under `sql/store`.
//!
//! # Locking
//!
//! Every write goes through [`Store::write`], which begins an immediate transaction; a [`Tx`] is the proof that one is
//! open. No network call is made inside one.
//!
//! # Durability
//!
//! Write-ahead log with `synchronous = FULL` (or a rollback journal with `EXTRA`): a commit that returned survives a
//! power loss, which the crash protocol relies on. The bundled SQLite must be 3.51.3 or later, since earlier ones can
//! damage a write-ahead log that two processes use at once (sqlite.org, "WAL-reset bug").

mod open;

#[cfg(feature = "sandbox")]
pub mod watch;

pub mod attempts;
pub mod feed;
pub mod figures;
pub mod findings;
pub mod gate;
pub mod gc;
pub mod inbox;
pub mod instance;
pub mod orders;
pub mod outbox;
pub mod pushes;
pub mod runs;
pub mod skus;

use std::ops::Deref;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row};

use crate::domain::ids::Seq;
use crate::domain::time::Moment;

pub use open::{Identity, OpenOptions};

/// What went wrong with the memory; each variant is one decision of the caller.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is foreign, newer, damaged or somebody else's: touch nothing, call a person.
    #[error("{0}")]
    Broken(String),
    /// Another process held the file too long: try again next run.
    #[error("the state file is busy: {0}")]
    Busy(String),
    /// The disk is full, read-only or failing.
    #[error("the state file cannot be written: {0}")]
    Io(String),
    /// The program and its own data disagree: a bug.
    #[error("unexpected state: {0}")]
    Bug(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(err: rusqlite::Error) -> Self {
        match err.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy(err.to_string())
            }
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Io(err.to_string()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Broken(format!(
                "the state file is damaged: {err}; hint: stop cron, then stockbridge backup restore FILE, which keeps \
                     the damaged file beside"
            )),
            _ => Self::Bug(err.to_string()),
        }
    }
}

/// What a store call returns.
pub type StoreResult<T> = Result<T, StoreError>;

/// The open memory.
pub struct Store {
    conn: Connection,
    #[cfg(feature = "sandbox")]
    watch: Option<Box<dyn watch::Watch>>,
}

/// Which items may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// What waits until this instant, or an earlier one.
    pub by: Moment,
    /// What waits longer than anything is made to wait: the clock stood wrong when that was written.
    pub absurd: Moment,
}

impl Due {
    /// Tells whether an item that waits until `not_before` may be tried.
    pub fn has(self, not_before: Moment) -> bool {
        not_before <= self.by || not_before > self.absurd
    }
}

/// Proof that a write transaction is open; reads through it see its own writes.
pub struct Tx<'a> {
    store: &'a Store,
}

impl Deref for Tx<'_> {
    type Target = Store;
    fn deref(&self) -> &Store {
        self.store
    }
}

impl Store {
    /// Runs `work` in one immediate transaction: all of it is durable when this returns, or none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] after the busy time-out, and whatever `work` returns; both leave nothing written.
    pub fn write<T>(&self, work: impl FnOnce(&Tx<'_>) -> StoreResult<T>) -> StoreResult<T> {
        let open = rusqlite::Transaction::new_unchecked(
            &self.conn,
            rusqlite::TransactionBehavior::Immediate,
        )?;
        let value = work(&Tx { store: self })?;
        #[cfg(feature = "sandbox")]
        self.watched(|watch| watch.before_commit());
        open.commit()?;
        #[cfg(feature = "sandbox")]
        self.watched(|watch| watch.after_commit());
        Ok(value)
    }

    /// Reads many rows as they were at one instant. Outside of it every statement takes the file's locks anew.
    ///
    /// # Errors
    ///
    /// Whatever `work` returns.
    pub fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let deferred = rusqlite::TransactionBehavior::Deferred;
        let _open =
            rusqlite::Transaction::new_unchecked(&self.conn, deferred).map_err(StoreError::from)?;
        work()
    }

    /// Returns the local event counter as it stands.
    pub fn seq(&self) -> StoreResult<Seq> {
        self.one(include_str!("../../sql/store/seq_now.sql"), [], |row| {
            Ok(Seq(row.get(0)?))
        })
    }

    /// Returns a small fact by name, if it was ever recorded.
    pub fn mark(&self, name: &str) -> StoreResult<Option<i64>> {
        self.maybe(
            include_str!("../../sql/store/mark_get.sql"),
            &[(":name", &name)],
            |row| row.get(0),
        )
    }

    /// Returns the instant of a mark; the beginning of time where there is none.
    pub fn mark_at(&self, name: &str) -> StoreResult<Moment> {
        Ok(Moment(self.mark(name)?.unwrap_or(0)))
    }

    /// Returns the statement to run: as it stands in its file, unless a test replaces it.
    #[cfg(not(feature = "sandbox"))]
    fn statement<'s>(&self, sql: &'s str) -> std::borrow::Cow<'s, str> {
        sql.into()
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> StoreResult<T> {
        let sql = self.statement(sql);
        Ok(self.conn.prepare_cached(&sql)?.query_row(params, read)?)
    }

    fn maybe<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> StoreResult<Option<T>> {
        let sql = self.statement(sql);
        let mut statement = self.conn.prepare_cached(&sql)?;
        Ok(statement.query_row(params, read).optional()?)
    }

    fn many<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> StoreResult<Vec<T>> {
        let sql = self.statement(sql);
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?)
    }
}

impl Tx<'_> {
    /// Advances the event counter: every transaction that records a fact takes the next value.
    pub fn next_seq(&self) -> StoreResult<Seq> {
        self.one(include_str!("../../sql/store/seq_next.sql"), [], |row| {
            Ok(Seq(row.get(0)?))
        })
    }

    /// Records a small fact.
    pub fn set_mark(&self, name: &str, value: i64) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/mark_set.sql"),
            rusqlite::named_params! { ":name": name, ":value": value },
        )?;
        Ok(())
    }

    fn run(&self, sql: &str, params: impl Params) -> StoreResult<usize> {
        let sql = self.statement(sql);
        Ok(self.store.conn.prepare_cached(&sql)?.execute(params)?)
    }
}

/// Turns a text column into a value with its own parser; what the program wrote itself must parse.
fn parsed<T, E: std::fmt::Display>(
    index: usize,
    text: &str,
    value: Result<T, E>,
) -> rusqlite::Result<T> {
    value.map_err(|err| {
        let why = format!("{text:?}: {err}");
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, why.into())
    })
}

/// Reads a text column through [`parsed`].
fn text_as<T: TryFrom<String, Error = E>, E: std::fmt::Display>(
    row: &Row<'_>,
    index: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    parsed(index, &text, T::try_from(text.clone()))
}

/// Reads a JSON column.
fn json_as<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    parsed(index, &text, serde_json::from_str(&text))
}

/// Reads an instant that may be missing.
fn moment(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Moment>> {
    Ok(row.get::<_, Option<i64>>(index)?.map(Moment))
}

/// Writes a value of ours as JSON.
fn to_json(value: &impl serde::Serialize) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|err| StoreError::Bug(err.to_string()))
}
