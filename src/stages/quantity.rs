//! From a stock reading to the terms of one number: which bases count, which orders have a part, what is missing.

use std::collections::BTreeMap;

use crate::domain::ids::{BaseCode, ErpCode, OrderId, Seq, SkuId};
use crate::domain::qty::Qty;
use crate::domain::stock::{
    HeldOrder, NegativeShop, PackTerms, PackedLevel, QuantityTerms, Reading, VariantLevels,
};
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
    let terms = match reading.levels.variants.get(code) {
        Some(VariantLevels::Known(levels)) => Ok(of_bases(ctx, item, reading, levels)),
        Some(VariantLevels::Packed(levels)) => of_packs(item, code, reading, levels),
        Some(VariantLevels::Unreadable(reason)) => Err(Figure::Held(reason.clone(), false)),
        Some(VariantLevels::Absent) | None => absent(item, code, reading),
    };
    let terms = match terms {
        Ok(terms) => terms,
        Err(held) => return Ok(held),
    };
    let mut terms = QuantityTerms {
        safety: item.warehouse.safety + own_safety(ctx, &item.sku),
        ..terms
    };
    let out_open = count_orders(ctx, store, &item.row, reading.start_seq, &mut terms)?;
    Ok(Figure::Terms(Box::new(terms), out_open))
}

/// The terms before anything is in them.
fn bare(item: &Item<'_>, reading: &Reading) -> QuantityTerms {
    QuantityTerms {
        read_at: reading.t,
        road: reading.levels.road.clone(),
        bases: BTreeMap::new(),
        missing: Vec::new(),
        orders: Vec::new(),
        safety: item.warehouse.safety,
        vanished: false,
        packs: None,
    }
}

/// The stock of a variant, base by base.
fn of_bases(
    ctx: &Context<'_>,
    item: &Item<'_>,
    reading: &Reading,
    levels: &BTreeMap<BaseCode, Qty>,
) -> QuantityTerms {
    let mut terms = bare(item, reading);
    for base in &item.warehouse.counted {
        let Some(stock) = levels.get(base) else {
            terms.missing.push(base.clone());
            continue;
        };
        let is_shop = *base != ctx.settings.depot;
        let floor =
            is_shop && ctx.settings.negative_shop == NegativeShop::Zero && stock.is_negative();
        terms
            .bases
            .insert(base.clone(), if floor { Qty::ZERO } else { *stock });
    }
    terms
}

/// A variant that the warehouse's bases did not tell of: none of it, once a second complete reading says so too.
fn absent(item: &Item<'_>, code: &ErpCode, reading: &Reading) -> Result<QuantityTerms, Figure> {
    let missing = &reading.levels.missing;
    let unread = |base: &&BaseCode| missing.contains_key(*base);
    if let Some(base) = item.warehouse.counted.iter().find(unread) {
        let reason = format!("base {base} could not be read");
        return Err(Figure::Held(reason, false));
    }
    if item.row.absences == 0 {
        let bases: Vec<_> = item
            .warehouse
            .counted
            .iter()
            .map(BaseCode::as_str)
            .collect();
        let reason = format!("the ERP does not know {code} in {}", bases.join(", "));
        return Err(Figure::Held(reason, true));
    }
    Ok(QuantityTerms {
        vanished: true,
        ..bare(item, reading)
    })
}

/// The stock that a packaging shares; a warehouse of such an ERP offers one base.
fn of_packs(
    item: &Item<'_>,
    code: &ErpCode,
    reading: &Reading,
    levels: &BTreeMap<BaseCode, Box<PackedLevel>>,
) -> Result<QuantityTerms, Figure> {
    let mut counted = item.warehouse.counted.iter();
    let (Some(base), None) = (counted.next(), counted.next()) else {
        let reason = "the warehouse must offer exactly one base, since packagings share its stock";
        return Err(Figure::Held(reason.into(), false));
    };
    // In other branches only, it is as absent from this warehouse as what lies nowhere.
    let Some(level) = levels.get(base) else {
        return absent(item, code, reading);
    };
    let held = |(id, order): (&OrderId, &HeldOrder)| {
        let here =
            |(product, at, _): &&(ErpCode, BaseCode, Qty)| *product == level.product && at == base;
        let units = order.lines.iter().filter(here).map(|(_, _, units)| *units);
        let units: Qty = units.sum();
        (order.reserved && !units.is_zero()).then(|| (id.clone(), units))
    };
    let packs = PackTerms {
        code: code.clone(),
        packagings: level.packagings.clone(),
        unlimited: level.unlimited,
        held: reading.held.iter().filter_map(held).collect(),
        live: BTreeMap::new(),
    };
    Ok(QuantityTerms {
        bases: BTreeMap::from([(base.clone(), level.stock)]),
        packs: Some(packs),
        ..bare(item, reading)
    })
}

/// Fills in the orders with a part in a number, as the store knows them now; returns the units of outgoing movements
/// whose outcome is open.
pub fn count_orders(
    ctx: &Context<'_>,
    store: &Store,
    row: &PushRow,
    start_seq: Seq,
    terms: &mut QuantityTerms,
) -> StoreResult<i64> {
    let by_remito = ctx.settings.by_remito;
    let (orders, out_open) = store.terms(&row.sku, &row.warehouse, start_seq, by_remito)?;
    terms.orders = orders;
    let Some(packs) = &mut terms.packs else {
        return Ok(out_open);
    };
    packs.live.clear();
    for packaging in &packs.packagings {
        let Some(sku) = store.sku_of_code(&packaging.code)? else {
            continue;
        };
        let (orders, _) = store.terms(&sku.sku, &row.warehouse, start_seq, by_remito)?;
        for order in orders.iter().filter(|order| order.present > 0) {
            let units = packaging.factor.times(order.present);
            let live = packs.live.entry(order.order.clone()).or_default();
            *live = *live + units;
        }
    }
    let live = &packs.live;
    packs.held.retain(|order, _| live.contains_key(order));
    Ok(out_open)
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
