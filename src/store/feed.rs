//! Feed events that were read and not yet taken off the feed, and input that was refused.

use rusqlite::named_params;

use crate::domain::time::Moment;
use crate::store::{Store, StoreResult, Tx};

/// Input that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// When, last.
    pub at: Moment,
    /// Where it came from.
    pub source: String,
    /// What it was about.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub times: i64,
}

impl Store {
    /// Lists refused input, newest first.
    pub fn rejects(&self, limit: u32) -> StoreResult<Vec<Reject>> {
        self.many(
            include_str!("../../sql/store/rejects_recent.sql"),
            named_params! { ":limit": limit },
            |row| {
                Ok(Reject {
                    at: Moment(row.get(0)?),
                    source: row.get(1)?,
                    subject: row.get(2)?,
                    reason: row.get(3)?,
                    times: row.get(4)?,
                })
            },
        )
    }
}

impl Tx<'_> {
    /// Records that an event was read; returns when it was first, and how often by now.
    pub fn feed_event(
        &self,
        handle: &str,
        order: &str,
        status: &str,
        now: Moment,
    ) -> StoreResult<(Moment, u32)> {
        self.one(
            include_str!("../../sql/store/feed_event_put.sql"),
            named_params! { ":handle": handle, ":order_text": order, ":status": status, ":now": now.0 },
            |row| Ok((Moment(row.get(0)?), row.get(1)?)),
        )
    }

    /// Records that an event was taken off the feed.
    pub fn feed_event_committed(&self, handle: &str, now: Moment) -> StoreResult<()> {
        let sql = include_str!("../../sql/store/feed_event_committed.sql");
        self.run(sql, named_params! { ":handle": handle, ":now": now.0 })?;
        Ok(())
    }

    /// Records input that was refused; the same again is counted.
    pub fn reject(
        &self,
        source: &str,
        subject: &str,
        reason: &str,
        now: Moment,
    ) -> StoreResult<()> {
        let subject: String = subject.chars().take(100).collect();
        self.run(
            include_str!("../../sql/store/reject_add.sql"),
            named_params! { ":now": now.0, ":source": source, ":subject": subject, ":reason": reason },
        )?;
        Ok(())
    }
}
