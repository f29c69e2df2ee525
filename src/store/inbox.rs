//! Orders that the storefront's hook told of and that were not read since.
//!
//! A row is a hint and nothing more. It goes only when the order behind it was recorded, or turned out not to exist, and
//! only if nothing was told of it meanwhile.

use rusqlite::named_params;

use crate::domain::ids::OrderId;
use crate::domain::time::Moment;
use crate::store::{Due, Store, StoreResult, Tx, moment, text_as};

/// What was told of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Which order.
    pub order: OrderId,
    /// When, last; names this state of the row.
    pub heard: Moment,
    /// How often its order could not be read so far.
    pub tries: u32,
}

/// How full the inbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InboxDepth {
    /// Orders in it.
    pub orders: u64,
    /// When the oldest of them was first told.
    pub oldest: Option<Moment>,
    /// When the next of them may be read.
    pub next: Option<Moment>,
}

impl Store {
    /// Lists orders to read, those first that wait for longest.
    pub fn hints_due(&self, due: Due, limit: u32) -> StoreResult<Vec<Hint>> {
        self.many(
            include_str!("../../sql/store/inbox_due.sql"),
            named_params! { ":by": due.by.0, ":absurd": due.absurd.0, ":limit": limit },
            |row| {
                Ok(Hint {
                    order: text_as(row, 0)?,
                    heard: Moment(row.get(1)?),
                    tries: row.get(2)?,
                })
            },
        )
    }

    /// Returns how full the inbox is.
    pub fn inbox_depth(&self) -> StoreResult<InboxDepth> {
        self.one(include_str!("../../sql/store/inbox_depth.sql"), [], |row| {
            let orders: i64 = row.get(0)?;
            Ok(InboxDepth {
                orders: orders.unsigned_abs(),
                oldest: moment(row, 1)?,
                next: moment(row, 2)?,
            })
        })
    }
}

impl Tx<'_> {
    /// Puts an order into the inbox; one that is there already is told again.
    pub fn hint(&self, order: &OrderId, now: Moment) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/inbox_put.sql"),
            named_params! { ":order_id": order.as_str(), ":now": now.0 },
        )?;
        Ok(())
    }

    /// Takes an order out of the inbox, unless it was told of again since; returns whether it did.
    pub fn take_hint(&self, hint: &Hint) -> StoreResult<bool> {
        let n = self.run(
            include_str!("../../sql/store/inbox_take.sql"),
            named_params! { ":order_id": hint.order.as_str(), ":heard_at": hint.heard.0 },
        )?;
        Ok(n > 0)
    }

    /// Records that the order of a hint could not be read; returns when it was first told, and how often it was tried by
    /// now. `None` when the hint is gone.
    pub fn hint_tried(
        &self,
        hint: &Hint,
        not_before: Moment,
    ) -> StoreResult<Option<(Moment, u32)>> {
        self.maybe(
            include_str!("../../sql/store/inbox_tried.sql"),
            named_params! { ":order_id": hint.order.as_str(), ":heard_at": hint.heard.0, ":not_before": not_before.0 },
            |row| Ok((Moment(row.get(0)?), row.get(1)?)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Identity;

    fn store() -> Store {
        Store::open_in_memory(&Identity {
            account: "tienda".into(),
            erp: "dragonfish WOO".into(),
        })
        .unwrap()
    }

    fn due(store: &Store, by: i64) -> Vec<Hint> {
        let due = Due {
            by: Moment(by),
            absurd: Moment(by + 1_000_000),
        };
        store.hints_due(due, 10).unwrap()
    }

    #[test]
    fn what_is_told_again_while_it_is_read_stays() {
        let store = store();
        let id = OrderId::parse("1-01").unwrap();
        store.write(|tx| tx.hint(&id, Moment(5))).unwrap();
        let read = due(&store, 5).remove(0);
        // The clock may stand still, or fall back.
        store.write(|tx| tx.hint(&id, Moment(4))).unwrap();
        assert!(!store.write(|tx| tx.take_hint(&read)).unwrap());
        let again = due(&store, 5).remove(0);
        assert!(store.write(|tx| tx.take_hint(&again)).unwrap());
        assert_eq!(store.inbox_depth().unwrap(), InboxDepth::default());
    }

    #[test]
    fn an_order_that_cannot_be_read_waits_unless_it_is_told_again() {
        let store = store();
        let id = OrderId::parse("1-01").unwrap();
        store.write(|tx| tx.hint(&id, Moment(5))).unwrap();
        let hint = due(&store, 5).remove(0);
        let tried = |hint: &Hint| store.write(|tx| tx.hint_tried(hint, Moment(100))).unwrap();
        assert_eq!(tried(&hint), Some((Moment(5), 1)));
        assert!(due(&store, 99).is_empty());
        assert_eq!(store.inbox_depth().unwrap().next, Some(Moment(100)));
        store.write(|tx| tx.hint(&id, Moment(7))).unwrap();
        assert_eq!(due(&store, 7).len(), 1);
        // The try of what was told before does not put off what was told since.
        assert_eq!(tried(&hint), Some((Moment(5), 2)));
        assert_eq!(due(&store, 7).len(), 1);
    }
}
