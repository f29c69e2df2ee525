//! What may be forgotten, in small batches. Keys of effects are never among it.

use rusqlite::named_params;

use crate::domain::ids::OrderId;
use crate::domain::time::Moment;
use crate::store::{Store, StoreResult, Tx, text_as};

/// A kind of row that gc removes by age alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dust {
    /// Numbers that were sent, with their terms.
    PushLog,
    /// Notices that were sent.
    Notices,
    /// Feed events that were taken off the feed.
    FeedEvents,
    /// Refused input.
    Rejects,
}

impl Dust {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::PushLog,
        Self::Notices,
        Self::FeedEvents,
        Self::Rejects,
    ];

    /// Returns the kind's name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PushLog => "push records",
            Self::Notices => "notices",
            Self::FeedEvents => "feed events",
            Self::Rejects => "rejects",
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::PushLog => include_str!("../../sql/store/gc_push_log.sql"),
            Self::Notices => include_str!("../../sql/store/gc_outbox.sql"),
            Self::FeedEvents => include_str!("../../sql/store/gc_feed_events.sql"),
            Self::Rejects => include_str!("../../sql/store/gc_rejects.sql"),
        }
    }
}

impl Store {
    /// Lists orders that were settled before `before`.
    pub fn orders_to_forget(&self, before: Moment, limit: u32) -> StoreResult<Vec<OrderId>> {
        let sql = include_str!("../../sql/store/gc_orders_due.sql");
        self.many(
            sql,
            named_params! { ":before": before.0, ":limit": limit },
            |row| text_as(row, 0),
        )
    }

    /// Gives the write-ahead log and free pages back to the disk.
    pub fn compact(&self) -> StoreResult<()> {
        self.conn.execute_batch("PRAGMA incremental_vacuum(1000)")?;
        self.maybe("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

impl Tx<'_> {
    /// Removes at most `limit` old rows of a kind; returns how many.
    pub fn sweep(&self, dust: Dust, before: Moment, limit: u32) -> StoreResult<usize> {
        self.run(
            dust.sql(),
            named_params! { ":before": before.0, ":limit": limit },
        )
    }

    /// Forgets a settled order, its ledger rows and the contents of its movements; their keys stay for ever.
    pub fn forget_order(&self, id: &OrderId) -> StoreResult<()> {
        for sql in [
            include_str!("../../sql/store/gc_snapshots.sql"),
            include_str!("../../sql/store/gc_picks.sql"),
            include_str!("../../sql/store/gc_lines.sql"),
            include_str!("../../sql/store/gc_attempt_lines.sql"),
            include_str!("../../sql/store/gc_payload.sql"),
            include_str!("../../sql/store/gc_order.sql"),
        ] {
            self.run(sql, named_params! { ":order_id": id.as_str() })?;
        }
        Ok(())
    }
}
