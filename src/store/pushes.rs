//! The number of each SKU in each warehouse: what it should be, what was confirmed, what may still be under way.

use rusqlite::{Row, named_params};

use crate::domain::ids::{Seq, SkuId, WarehouseId};
use crate::domain::stock::QuantityTerms;
use crate::domain::time::{BootId, BootTime, Moment};
use crate::store::{Due, Store, StoreError, StoreResult, Tx, text_as, to_json};

/// The row of one SKU in one warehouse; it is the attempt row of its stock writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRow {
    /// What.
    pub sku: SkuId,
    /// Where.
    pub warehouse: WarehouseId,
    /// The last number decided on.
    pub desired: Option<i64>,
    /// Rises with every new number, and when an acknowledged reservation waits to be cleared.
    pub ver: i64,
    /// The last number read back.
    pub published: Option<i64>,
    /// The version of the last number read back.
    pub published_ver: i64,
    /// The instant of the reading behind the last confirmed push, in the storefront's time.
    pub pushed_t: Moment,
    /// The instant of the last reading the number was compared with, in the storefront's time.
    pub checked_t: Moment,
    /// The counter when that reading began.
    pub checked_seq: Seq,
    /// When it was last compared, in wall time.
    pub checked_at: Moment,
    /// Whether it must be looked at.
    pub due: bool,
    /// The latest instant at which a reservation may have been acknowledged, in the storefront's time.
    pub ack_t: Moment,
    /// True when the number was raised to what is reserved, for one run.
    pub bound: bool,
    /// Until when the write under way may take effect; 0 when none is.
    pub inflight_until: BootTime,
    /// Until when an earlier write with unknown outcome may take effect; 0 when none may.
    pub uncertain_until: BootTime,
    /// Under which boot these times were taken.
    pub boot_id: BootId,
    /// Until when it waits.
    pub not_before: Moment,
    /// Tries in a row that did not end in a confirmation.
    pub failures: i64,
    /// How often in a row another number was read back.
    pub mismatches: i64,
    /// How often in a row a complete reading did not know the variant.
    pub absences: i64,
    /// Whether the store has promised more than exists.
    pub oversold: bool,
    /// What a person should know.
    pub note: Option<String>,
    /// The terms of the last number.
    pub terms: Option<QuantityTerms>,
}

impl PushRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let terms: Option<String> = row.get(24)?;
        Ok(Self {
            sku: text_as(row, 0)?,
            warehouse: text_as(row, 1)?,
            desired: row.get(2)?,
            ver: row.get(3)?,
            published: row.get(4)?,
            published_ver: row.get(5)?,
            pushed_t: Moment(row.get(6)?),
            checked_t: Moment(row.get(7)?),
            checked_seq: Seq(row.get(8)?),
            checked_at: Moment(row.get(9)?),
            due: row.get(10)?,
            ack_t: Moment(row.get(13)?),
            bound: row.get(14)?,
            inflight_until: BootTime(row.get(15)?),
            uncertain_until: BootTime(row.get(16)?),
            boot_id: BootId(row.get(17)?),
            not_before: Moment(row.get(18)?),
            failures: row.get(19)?,
            mismatches: row.get(20)?,
            absences: row.get(21)?,
            oversold: row.get(22)?,
            note: row.get(23)?,
            terms: terms.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }
}

/// The intent of one stock write (P3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The number to send.
    pub desired: i64,
    /// Its version.
    pub ver: i64,
    /// Whether it was raised to what is reserved.
    pub bound: bool,
    /// Until when this write may take effect.
    pub inflight_until: BootTime,
    /// Until when earlier ones may.
    pub uncertain_until: BootTime,
}

/// What a confirmed stock write leaves behind (P5).
#[derive(Debug, Clone)]
pub struct Confirmation<'a> {
    /// The number that was read back.
    pub published: i64,
    /// Its version.
    pub ver: i64,
    /// The instant that went out with it.
    pub pushed_t: Moment,
    /// The instant of the reading.
    pub checked_t: Moment,
    /// The counter when the reading began.
    pub checked_seq: Seq,
    /// Wall time.
    pub now: Moment,
    /// What is left of the uncertainty of earlier writes.
    pub uncertain_until: BootTime,
    /// Whether the number was raised to what is reserved, so that it is due again at once.
    pub bound: bool,
    /// Whether the store has promised more than exists.
    pub oversold: bool,
    /// The terms of the sum.
    pub terms: &'a QuantityTerms,
}

impl Store {
    /// Reads one row.
    pub fn push(&self, sku: &SkuId, warehouse: &WarehouseId) -> StoreResult<Option<PushRow>> {
        let sql = include_str!("../../sql/store/push_get.sql");
        let params = named_params! { ":sku": sku.as_str(), ":warehouse": warehouse.as_str() };
        self.maybe(sql, params, PushRow::read)
    }

    /// Lists the rows of a SKU.
    pub fn pushes_of(&self, sku: &SkuId) -> StoreResult<Vec<PushRow>> {
        let sql = include_str!("../../sql/store/pushes_of_sku.sql");
        self.many(sql, named_params! { ":sku": sku.as_str() }, PushRow::read)
    }

    /// Lists every place of the SKUs with an ERP code, longest not compared first, of these the least often tried.
    pub fn push_places(&self) -> StoreResult<Vec<(SkuId, WarehouseId)>> {
        let sql = include_str!("../../sql/store/push_places.sql");
        self.many(sql, [], |row| Ok((text_as(row, 0)?, text_as(row, 1)?)))
    }

    /// Lists the rows of the SKUs that share a SKU's stock in a warehouse.
    pub fn pushes_sharing(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
    ) -> StoreResult<Vec<PushRow>> {
        let sql = include_str!("../../sql/store/pushes_sharing.sql");
        let params = named_params! { ":sku": sku.as_str(), ":warehouse": warehouse.as_str() };
        self.many(sql, params, PushRow::read)
    }

    /// Lists rows that must be looked at, longest unlooked first.
    pub fn pushes_due(&self, due: Due, limit: u32) -> StoreResult<Vec<PushRow>> {
        let sql = include_str!("../../sql/store/pushes_due.sql");
        self.many(
            sql,
            named_params! { ":by": due.by.0, ":absurd": due.absurd.0, ":limit": limit },
            PushRow::read,
        )
    }

    /// Lists published numbers that were not read back since `before`, longest ago first.
    pub fn pushes_to_read_back(
        &self,
        before: Moment,
        now: Moment,
        limit: u32,
    ) -> StoreResult<Vec<PushRow>> {
        let sql = include_str!("../../sql/store/pushes_to_read_back.sql");
        let params = named_params! { ":before": before.0, ":now": now.0, ":limit": limit };
        self.many(sql, params, PushRow::read)
    }

    /// Counts rows that must be looked at.
    pub fn pushes_due_count(&self) -> StoreResult<i64> {
        self.one(
            include_str!("../../sql/store/pushes_due_count.sql"),
            [],
            |row| row.get(0),
        )
    }

    /// Lists rows whose store has promised more than exists.
    pub fn pushes_oversold(&self, limit: u32) -> StoreResult<Vec<PushRow>> {
        let sql = include_str!("../../sql/store/pushes_oversold.sql");
        self.many(sql, named_params! { ":limit": limit }, PushRow::read)
    }
}

impl Tx<'_> {
    /// Makes sure a row exists; a new one is due.
    pub fn ensure_push(&self, sku: &SkuId, warehouse: &WarehouseId) -> StoreResult<()> {
        let sql = include_str!("../../sql/store/push_create.sql");
        self.run(
            sql,
            named_params! { ":sku": sku.as_str(), ":warehouse": warehouse.as_str() },
        )?;
        Ok(())
    }

    /// Makes sure that every SKU with an ERP code has a row in a warehouse; a new one is due.
    pub fn ensure_pushes(&self, warehouse: &WarehouseId) -> StoreResult<()> {
        let sql = include_str!("../../sql/store/pushes_create.sql");
        self.run(sql, named_params! { ":warehouse": warehouse.as_str() })?;
        Ok(())
    }

    /// Makes a row due because of a fact at this counter and instant (storefront's time).
    pub fn push_due(
        &self,
        sku: &SkuId,
        warehouse: &WarehouseId,
        seq: Seq,
        t: Moment,
        ack_t: Option<Moment>,
    ) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/push_due.sql"),
            named_params! { ":sku": sku.as_str(), ":warehouse": warehouse.as_str(), ":seq": seq.0, ":t": t.0,
                ":ack_t": ack_t.map_or(0, |m| m.0) },
        )?;
        self.run(
            include_str!("../../sql/store/push_siblings_due.sql"),
            named_params! { ":sku": sku.as_str(), ":warehouse": warehouse.as_str(), ":seq": seq.0, ":t": t.0 },
        )?;
        Ok(())
    }

    /// Writes the intent of a stock write (P3), before it is sent.
    pub fn prepare_push(
        &self,
        row: &PushRow,
        intent: &Intent,
        boot_id: &BootId,
    ) -> StoreResult<()> {
        let changed = self.run(
            include_str!("../../sql/store/push_prepare.sql"),
            named_params! { ":sku": row.sku.as_str(), ":warehouse": row.warehouse.as_str(),
                ":desired": intent.desired, ":ver": intent.ver, ":bound": intent.bound,
                ":inflight_until": intent.inflight_until.0, ":uncertain_until": intent.uncertain_until.0,
                ":boot_id": boot_id.0 },
        )?;
        if changed != 1 {
            return Err(StoreError::Bug(format!(
                "the row of SKU {} in {} has vanished",
                row.sku, row.warehouse
            )));
        }
        Ok(())
    }

    /// Records that the number was read back (P5), and its terms.
    pub fn confirm_push(&self, row: &PushRow, done: &Confirmation<'_>) -> StoreResult<()> {
        let terms = to_json(done.terms)?;
        self.run(
            include_str!("../../sql/store/push_confirmed.sql"),
            named_params! { ":sku": row.sku.as_str(), ":warehouse": row.warehouse.as_str(),
                ":published": done.published, ":ver": done.ver, ":pushed_t": done.pushed_t.0,
                ":checked_t": done.checked_t.0, ":checked_seq": done.checked_seq.0, ":now": done.now.0,
                ":uncertain_until": done.uncertain_until.0, ":bound": done.bound, ":oversold": done.oversold,
                ":terms": terms },
        )?;
        self.run(
            include_str!("../../sql/store/push_log_add.sql"),
            named_params! { ":now": done.now.0, ":sku": row.sku.as_str(), ":warehouse": row.warehouse.as_str(),
                ":quantity": done.published, ":terms": terms },
        )?;
        Ok(())
    }

    /// Records that the published number is still the right one.
    pub fn push_unchanged(
        &self,
        row: &PushRow,
        checked: (Moment, Seq),
        now: Moment,
        note: Option<&str>,
        terms: &QuantityTerms,
    ) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/push_unchanged.sql"),
            named_params! { ":sku": row.sku.as_str(), ":warehouse": row.warehouse.as_str(),
            ":checked_t": checked.0.0, ":checked_seq": checked.1.0, ":now": now.0, ":note": note,
            ":terms": to_json(terms)? },
        )?;
        Ok(())
    }

    /// Records that the storefront still holds the published number.
    pub fn push_read_back(&self, row: &PushRow, now: Moment) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/push_read_back.sql"),
            named_params! { ":sku": row.sku.as_str(), ":warehouse": row.warehouse.as_str(), ":now": now.0 },
        )?;
        Ok(())
    }

    /// Records that the storefront holds another number than the published one; false when the row had moved.
    pub fn push_drifted(
        &self,
        row: &PushRow,
        seen: i64,
        note: &str,
        now: Moment,
    ) -> StoreResult<bool> {
        let changed = self.run(
            include_str!("../../sql/store/push_drifted.sql"),
            named_params! { ":sku": row.sku.as_str(), ":warehouse": row.warehouse.as_str(),
            ":published": row.published, ":seen": seen, ":note": note, ":now": now.0 },
        )?;
        Ok(changed == 1)
    }

    /// Records why a number could not be published; the row stays due, from `not_before` on.
    pub fn hold_push(&self, row: &PushRow, note: &str, not_before: Moment) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/push_held.sql"),
            named_params! { ":sku": row.sku.as_str(), ":warehouse": row.warehouse.as_str(), ":note": note,
                ":not_before": not_before.0, ":absences": row.absences, ":mismatches": row.mismatches },
        )?;
        Ok(())
    }

    /// Records that there is nothing to publish for now.
    pub fn skip_push(&self, row: &PushRow, note: &str, now: Moment, seq: Seq) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/push_skipped.sql"),
            named_params! { ":sku": row.sku.as_str(), ":warehouse": row.warehouse.as_str(), ":note": note,
                ":now": now.0, ":seq": seq.0 },
        )?;
        Ok(())
    }
}
