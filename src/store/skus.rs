//! SKUs: the shop's reference, and the ERP's code that follows from it. Also the snapshots and picks of reservations.

use std::collections::BTreeMap;

use rusqlite::{Row, named_params};

use crate::domain::ids::{BaseCode, ErpCode, OrderId, SkuId, SkuRef};
use crate::domain::qty::Qty;
use crate::domain::time::Moment;
use crate::store::{Store, StoreResult, Tx, text_as};

/// A SKU as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkuRow {
    /// The storefront's id.
    pub sku: SkuId,
    /// The reference in the catalogue.
    pub reference: Option<SkuRef>,
    /// The reference an operator gave instead.
    pub overridden: Option<SkuRef>,
    /// The ERP's code.
    pub code: Option<ErpCode>,
    /// Why it has no code.
    pub problem: Option<String>,
    /// What a person calls it.
    pub name: Option<String>,
    /// Whether it is a kit.
    pub kit: bool,
    /// When the catalogue was last asked.
    pub read_at: Moment,
    /// The ERP's product whose stock it shares with other packagings, once that was read.
    pub product: Option<ErpCode>,
}

impl SkuRow {
    /// Returns the reference that counts.
    pub fn effective(&self) -> Option<&SkuRef> {
        self.overridden.as_ref().or(self.reference.as_ref())
    }

    /// Returns what people call it: its reference, or its id.
    pub fn label(&self) -> String {
        self.effective()
            .map_or_else(|| self.sku.to_string(), ToString::to_string)
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let optional = |index: usize| row.get::<_, Option<String>>(index);
        Ok(Self {
            sku: text_as(row, 0)?,
            reference: optional(1)?.map(|_| text_as(row, 1)).transpose()?,
            overridden: optional(2)?.map(|_| text_as(row, 2)).transpose()?,
            code: optional(3)?.map(|_| text_as(row, 3)).transpose()?,
            problem: row.get(4)?,
            name: row.get(5)?,
            kit: row.get(6)?,
            read_at: Moment(row.get(7)?),
            product: optional(8)?.map(|_| text_as(row, 8)).transpose()?,
        })
    }
}

impl Store {
    /// Reads one SKU.
    pub fn sku(&self, sku: &SkuId) -> StoreResult<Option<SkuRow>> {
        self.maybe(
            include_str!("../../sql/store/sku_get.sql"),
            named_params! { ":sku": sku.as_str() },
            SkuRow::read,
        )
    }

    /// Finds the SKU of an ERP code.
    pub fn sku_of_code(&self, code: &ErpCode) -> StoreResult<Option<SkuRow>> {
        let sql = include_str!("../../sql/store/sku_by_code.sql");
        self.maybe(
            sql,
            named_params! { ":erp_code": code.as_str() },
            SkuRow::read,
        )
    }

    /// Finds a SKU by its reference, letter case ignored.
    pub fn sku_of_reference(&self, reference: &str) -> StoreResult<Option<SkuRow>> {
        let sql = include_str!("../../sql/store/sku_by_reference.sql");
        self.maybe(sql, named_params! { ":reference": reference }, SkuRow::read)
    }

    /// Lists all SKUs with an ERP code.
    pub fn skus_mapped(&self) -> StoreResult<Vec<SkuRow>> {
        self.many(
            include_str!("../../sql/store/skus_mapped.sql"),
            [],
            SkuRow::read,
        )
    }

    /// Lists all SKUs with a problem.
    pub fn skus_unmapped(&self) -> StoreResult<Vec<SkuRow>> {
        self.many(
            include_str!("../../sql/store/skus_unmapped.sql"),
            [],
            SkuRow::read,
        )
    }

    /// Lists SKUs whose catalogue entry was not read since `before`.
    pub fn skus_to_reread(
        &self,
        before: Moment,
        now: Moment,
        limit: u32,
    ) -> StoreResult<Vec<SkuRow>> {
        let sql = include_str!("../../sql/store/skus_to_reread.sql");
        self.many(
            sql,
            named_params! { ":before": before.0, ":now": now.0, ":limit": limit },
            SkuRow::read,
        )
    }

    /// Lists the stock per base that was recorded when an order was reserved.
    pub fn snapshots(&self, id: &OrderId) -> StoreResult<Vec<(SkuId, BaseCode, Qty, Moment)>> {
        let sql = include_str!("../../sql/store/snapshots_of_order.sql");
        self.many(sql, named_params! { ":order_id": id.as_str() }, |row| {
            Ok((
                text_as(row, 0)?,
                text_as(row, 1)?,
                text_as(row, 2)?,
                Moment(row.get(3)?),
            ))
        })
    }

    /// Sums up what each base was asked to give of a SKU since `since`, for other orders than this one.
    pub fn picks_open(
        &self,
        sku: &SkuId,
        except: &OrderId,
        since: Moment,
    ) -> StoreResult<BTreeMap<BaseCode, i64>> {
        let sql = include_str!("../../sql/store/picks_open.sql");
        let params =
            named_params! { ":sku": sku.as_str(), ":order_id": except.as_str(), ":since": since.0 };
        Ok(self
            .many(sql, params, |row| Ok((text_as(row, 0)?, row.get(1)?)))?
            .into_iter()
            .collect())
    }
}

impl Tx<'_> {
    /// Writes a SKU; two SKUs on one ERP code is a problem of the second one.
    pub fn put_sku(&self, row: &SkuRow) -> StoreResult<SkuRow> {
        let mut row = row.clone();
        if let Some(code) = &row.code
            && let Some(first) = self.sku_of_code(code)?
            && first.sku != row.sku
        {
            row.problem = Some(format!(
                "ERP code {code} already belongs to SKU {}",
                first.sku
            ));
            row.code = None;
        }
        self.run(
            include_str!("../../sql/store/sku_put.sql"),
            named_params! { ":sku": row.sku.as_str(), ":reference": row.reference.as_ref().map(SkuRef::as_str),
                ":override": row.overridden.as_ref().map(SkuRef::as_str),
                ":erp_code": row.code.as_ref().map(ErpCode::as_str), ":problem": row.problem, ":name": row.name,
                ":kit": row.kit, ":read_at": row.read_at.0 },
        )?;
        Ok(row)
    }

    /// Records the product whose stock a SKU shares.
    pub fn set_product(&self, sku: &SkuId, product: &ErpCode) -> StoreResult<()> {
        let sql = include_str!("../../sql/store/sku_product.sql");
        let params = named_params! { ":sku": sku.as_str(), ":product": product.as_str() };
        self.run(sql, params)?;
        Ok(())
    }

    /// Makes `reserve` look again at the open orders of a SKU whose mapping changed.
    pub fn replan_orders_of(&self, sku: &SkuId) -> StoreResult<usize> {
        let seq = self.next_seq()?;
        self.run(
            include_str!("../../sql/store/sku_orders_replan.sql"),
            named_params! { ":sku": sku.as_str(), ":seq": seq.0 },
        )
    }

    /// Records the stock of a base as it was when an order was reserved.
    pub fn put_snapshot(
        &self,
        id: &OrderId,
        sku: &SkuId,
        base: &BaseCode,
        stock: Qty,
        now: Moment,
    ) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/snapshot_put.sql"),
            named_params! { ":order_id": id.as_str(), ":sku": sku.as_str(), ":base": base.as_str(),
            ":stock": stock.to_string(), ":now": now.0 },
        )?;
        Ok(())
    }

    /// Records what a base was asked to give for an order.
    pub fn put_pick(
        &self,
        id: &OrderId,
        sku: &SkuId,
        base: &BaseCode,
        units: i64,
        now: Moment,
    ) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/pick_put.sql"),
            named_params! { ":order_id": id.as_str(), ":sku": sku.as_str(), ":base": base.as_str(), ":units": units,
                ":now": now.0 },
        )?;
        Ok(())
    }

    /// Forgets what bases were asked to give for an order.
    pub fn close_picks(&self, id: &OrderId) -> StoreResult<()> {
        self.run(
            include_str!("../../sql/store/picks_close.sql"),
            named_params! { ":order_id": id.as_str() },
        )?;
        Ok(())
    }
}
