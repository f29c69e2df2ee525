//! From a stock reading to the terms of one number: which bases count, which orders have a part, what is missing.

use std::collections::BTreeMap;

use crate::domain::ids::SkuId;
use crate::domain::qty::Qty;
use crate::domain::stock::{NegativeShop, QuantityTerms, Reading, VariantLevels};
use crate::stages::context::Context;
use crate::stages::settings::Warehouse;
use crate::store::pushes::PushRow;
use crate::store::skus::SkuRow;
use crate::store::{Store, StoreResult};

/// A SKU in a warehouse, with all that is needed to publish its number.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// Its row.
    pub row: PushRow,
    /// The SKU.
    pub sku: SkuRow,
    /// The warehouse.
    pub warehouse: &'a Warehouse,
}

/// What a reading says about one SKU in one warehouse.
#[derive(Debug, Clone)]
pub enum Figure {
    /// The terms of its number, perhaps from an incomplete reading; and units of outgoing movements with an open outcome.
    Terms(Box<QuantityTerms>, i64),
    /// Nothing can be said, with the reason. True when a complete reading did not know the variant for the first time.
    Held(String, bool),
}

/// Gathers the terms of one number.
pub fn figure(
    ctx: &Context<'_>,
    store: &Store,
    item: &Item<'_>,
    reading: &Reading,
) -> StoreResult<Figure> {
    let Some(code) = &item.sku.code else {
        return Ok(Figure::Held(
            item.sku
                .problem
                .clone()
                .unwrap_or_else(|| "no ERP code".into()),
            false,
        ));
    };
    let unread = || {
        item.warehouse
            .counted
            .iter()
            .find(|base| reading.levels.missing.contains_key(*base))
    };
    let (levels, vanished) = match reading.levels.variants.get(code) {
        Some(VariantLevels::Known(levels)) => (levels.clone(), false),
        // Packagings have their own rule; until it stands here, nothing is said.
        Some(VariantLevels::Packed(_)) => {
            let reason = "its packagings share one stock".to_owned();
            return Ok(Figure::Held(reason, false));
        }
        Some(VariantLevels::Unreadable(reason)) => return Ok(Figure::Held(reason.clone(), false)),
        Some(VariantLevels::Absent) | None => {
            if let Some(base) = unread() {
                return Ok(Figure::Held(
                    format!("base {base} could not be read"),
                    false,
                ));
            }
            if item.row.absences == 0 {
                return Ok(Figure::Held(format!("the ERP does not know {code}"), true));
            }
            // A second complete reading without it: it is gone, which is the same as none.
            (BTreeMap::new(), true)
        }
    };
    let mut bases = BTreeMap::new();
    let mut missing = Vec::new();
    for base in &item.warehouse.counted {
        match levels.get(base) {
            Some(stock) => {
                let is_shop = *base != ctx.settings.depot;
                let floor = is_shop
                    && ctx.settings.negative_shop == NegativeShop::Zero
                    && stock.is_negative();
                bases.insert(base.clone(), if floor { Qty::ZERO } else { *stock });
            }
            None if vanished => {}
            None => missing.push(base.clone()),
        }
    }
    let (orders, out_open) = store.terms(
        &item.row.sku,
        &item.row.warehouse,
        reading.start_seq,
        ctx.settings.by_remito,
    )?;
    let terms = QuantityTerms {
        read_at: reading.t,
        road: reading.levels.road.clone(),
        bases,
        missing,
        orders,
        safety: item.warehouse.safety + own_safety(ctx, &item.sku),
        vanished,
    };
    Ok(Figure::Terms(Box::new(terms), out_open))
}

fn own_safety(ctx: &Context<'_>, sku: &SkuRow) -> Qty {
    sku.effective()
        .and_then(|reference| ctx.settings.safety.get(reference))
        .copied()
        .unwrap_or(Qty::ZERO)
}

/// Rows that cannot be published, with the reason.
pub type LeftOut = Vec<(PushRow, String)>;

/// Builds the items of some rows; rows that cannot be published are returned apart, with the reason.
pub fn items<'a>(ctx: &Context<'a>, rows: Vec<PushRow>) -> StoreResult<(Vec<Item<'a>>, LeftOut)> {
    let mut skus: BTreeMap<SkuId, Option<SkuRow>> = BTreeMap::new();
    let mut items = Vec::with_capacity(rows.len());
    let mut left_out = Vec::new();
    for row in rows {
        if !skus.contains_key(&row.sku) {
            skus.insert(row.sku.clone(), ctx.store.sku(&row.sku)?);
        }
        let warehouse = ctx
            .settings
            .warehouses
            .iter()
            .find(|w| w.id == row.warehouse);
        match (skus.get(&row.sku).cloned().flatten(), warehouse) {
            (Some(sku), _) if sku.code.is_none() => {
                left_out.push((row, sku.problem.unwrap_or_else(|| "no ERP code".into())));
            }
            (Some(sku), Some(_)) if !sku.sku.pushable() => {
                left_out.push((
                    row,
                    "the storefront takes no stock for an id like this".into(),
                ));
            }
            (Some(sku), Some(warehouse)) => items.push(Item {
                row,
                sku,
                warehouse,
            }),
            (Some(_) | None, None) => {
                left_out.push((row, "the warehouse is not in the configuration".into()))
            }
            (None, Some(_)) => left_out.push((row, "the SKU was not read yet".into())),
        }
    }
    Ok((items, left_out))
}
