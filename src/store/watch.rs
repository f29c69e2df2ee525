//! What a test may see of a store, and replace in it. Never part of a product build.

use std::borrow::Cow;

use rusqlite::Connection;

use crate::domain::effect::EffectKind;
use crate::store::{OpenOptions, Store, StoreResult};

/// Stands beside a store.
pub trait Watch: Send {
    /// Called within a write transaction, just before it is committed.
    fn before_commit(&self) {}
    /// Called when a write transaction is durable.
    fn after_commit(&self) {}
    /// Called for every row of the transition table that is taken, creation included.
    fn fired(&self, _row: &str, _kind: EffectKind) {}
    /// Returns another statement to run instead.
    fn statement(&self, _sql: &str) -> Option<String> {
        None
    }
}

impl Store {
    /// Opens a store over a connection that the test has made, with a watch beside it.
    pub fn watched_over(
        conn: Connection,
        options: &OpenOptions,
        watch: Box<dyn Watch>,
    ) -> StoreResult<Self> {
        let mut store = Self::over(conn, options)?;
        store.watch = Some(watch);
        Ok(store)
    }

    /// Writes the identity into a state whose tables a test has emptied, unseen by the watch as at the opening.
    pub fn claim_emptied(&mut self, options: &OpenOptions) -> StoreResult<()> {
        let watch = self.watch.take();
        let claimed = self.claim(options);
        self.watch = watch;
        claimed
    }

    pub(super) fn watched(&self, tell: impl FnOnce(&dyn Watch)) {
        if let Some(watch) = &self.watch {
            tell(watch.as_ref());
        }
    }

    /// Returns the statement to run.
    pub(super) fn statement<'s>(&self, sql: &'s str) -> Cow<'s, str> {
        let other = self.watch.as_ref().and_then(|watch| watch.statement(sql));
        other.map_or(Cow::Borrowed(sql), Cow::Owned)
    }
}
