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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::EffectState;
    use crate::domain::order::{OrderDocument, OrderStage, ReservationLook};
    use crate::store::Identity;
    use crate::store::orders::{FoundBy, Observation};

    fn observe(store: &Store, document: &OrderDocument) {
        let seen = Observation {
            document,
            found_by: FoundBy::Feed,
            now: Moment(1_000_000_000_000),
            store_time: Moment(1_000_000_000_000),
            cutover: Moment(0),
            reservations: ReservationLook::Silent,
        };
        store.write(|tx| tx.observe(&seen)).unwrap();
    }

    #[test]
    fn a_forgotten_order_leaves_its_key_and_never_comes_back_to_life() {
        let identity = Identity {
            account: "tienda".into(),
            erp: "dragonfish WOO".into(),
        };
        let store = Store::open_in_memory(&identity).unwrap();
        let id = OrderId::parse("1-01").unwrap();
        let document = OrderDocument {
            id: id.clone(),
            status: "canceled".into(),
            stage: OrderStage::Canceled,
            created: Some(Moment(999_999_999_000)),
            last_change: None,
            complete: true,
            workflow_in_error: false,
            has_package: false,
            lines: vec![],
            foreign_lines: 0,
            reservations: vec![],
            delivery_date: None,
            pickup_point: None,
            problems: vec![],
        };
        observe(&store, &document);
        let now = Moment(1_000_000_000_000);
        store
            .write(|tx| tx.plan_handling(&id, EffectState::Planned, now))
            .unwrap();
        assert!(
            store.write(|tx| tx.settle(now, false)).unwrap().is_empty(),
            "its effect is open"
        );
        let effect = store.attempts_of(&id).unwrap().remove(0);
        store
            .write(|tx| tx.shift("H9", &effect, EffectState::Canceled, now))
            .unwrap();
        let order = store.order(&id).unwrap().unwrap();
        assert!(store.write(|tx| tx.looked_at(&order)).unwrap());
        assert_eq!(
            store.write(|tx| tx.settle(now, false)).unwrap(),
            std::slice::from_ref(&id)
        );
        assert_eq!(
            store.orders_to_forget(now.plus_ms(1), 10).unwrap(),
            std::slice::from_ref(&id)
        );
        store.write(|tx| tx.forget_order(&id)).unwrap();
        assert_eq!(store.order(&id).unwrap(), None);
        assert_eq!(store.attempts_of(&id).unwrap().len(), 1);
        observe(
            &store,
            &OrderDocument {
                stage: OrderStage::Ready,
                ..document
            },
        );
        let order = store.order(&id).unwrap().unwrap();
        assert!(order.facts.settled.is_some() && !order.replan);
    }

    #[test]
    fn keys_cannot_be_deleted_and_attempts_cannot_fall() {
        let identity = Identity {
            account: "tienda".into(),
            erp: "dragonfish WOO".into(),
        };
        let store = Store::open_in_memory(&identity).unwrap();
        let id = OrderId::parse("1-01").unwrap();
        store
            .write(|tx| tx.plan_handling(&id, EffectState::Planned, Moment(0)))
            .unwrap();
        for sql in [
            "DELETE FROM attempts",
            "UPDATE attempts SET state = 'REJECTED'",
            "UPDATE attempts SET attempt = 1",
            "UPDATE attempts SET key = 'other'",
        ] {
            assert!(store.conn.execute(sql, []).is_err(), "{sql}");
        }
    }
}
