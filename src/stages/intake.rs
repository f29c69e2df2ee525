//! Taking an order in: read its document, learn its SKUs, record what it says. Shared by every stage that asks the
//! storefront for an order, so that one reading means the same everywhere.

use std::collections::BTreeSet;

use crate::domain::ids::{OrderId, SkuId, SkuRef};
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::order::{OrderDocument, OrderLine, OrderStage, ReservationLook};
use crate::domain::ports::{PortError, PortResult, ReservationState, SkuInfo};
use crate::stages::context::Context;
use crate::store::orders::{FoundBy, Observation, OrderRow, Recorded};
use crate::store::skus::SkuRow;
use crate::store::{StoreResult, Tx};

/// The mark of the first look at a reservation that told something: the key may look.
const LOOKED: &str = "reservations";

/// What one look at an order brought, not yet recorded.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The document, kits replaced by their components.
    pub document: OrderDocument,
    /// What a look at its reservations told.
    pub reservations: ReservationLook,
    /// What the catalogue said about SKUs that were not known.
    pub learned: Vec<(SkuId, Option<SkuInfo>)>,
}

impl Fetched {
    /// It was invoiced while the storefront still subtracts its reservation.
    pub fn stuck(&self) -> bool {
        self.document.stage == OrderStage::Invoiced && self.reservations == ReservationLook::Held
    }
}

/// Reads an order and all that is needed to record it; `None` when the storefront has no such order.
pub fn fetch(
    ctx: &Context<'_>,
    id: &OrderId,
    known: Option<&OrderRow>,
) -> PortResult<Option<Fetched>> {
    let Some(document) = ctx.storefront.order(id)? else {
        return Ok(None);
    };
    complete(ctx, document, known).map(Some)
}

/// Adds to a document what else must be known to record it.
pub fn complete(
    ctx: &Context<'_>,
    mut document: OrderDocument,
    known: Option<&OrderRow>,
) -> PortResult<Fetched> {
    replace_kits(ctx, &mut document)?;
    let learned = learn_unknown(ctx, &document)?;
    let mut fetched = Fetched {
        document,
        reservations: ReservationLook::Silent,
        learned,
    };
    let invoiced = matches!(
        fetched.document.stage,
        OrderStage::Invoicing | OrderStage::Invoiced
    );
    // In A since its handling was requested is not yet handled: an invoiced order may have gone past it.
    let in_a = known.is_some_and(|order| {
        order.facts.acknowledged.is_some() && (order.handling_seen.is_some() || !invoiced)
    });
    if !in_a {
        fetched.reservations = look_at_reservations(ctx, &fetched.document)?;
    }
    Ok(fetched)
}

/// Looks up what the storefront still subtracts for an order whose status does not tell.
fn look_at_reservations(
    ctx: &Context<'_>,
    document: &OrderDocument,
) -> PortResult<ReservationLook> {
    if !matches!(
        document.stage,
        OrderStage::Ready | OrderStage::Invoicing | OrderStage::Invoiced
    ) {
        return Ok(ReservationLook::Silent);
    }
    let mut states = BTreeSet::new();
    for id in &document.reservations {
        states.insert(match ctx.storefront.reservation(id) {
            Ok(Some(ReservationState::Held)) => ReservationLook::Held,
            Ok(Some(ReservationState::Acknowledged)) => ReservationLook::Acknowledged,
            Ok(Some(ReservationState::Gone)) => ReservationLook::Gone,
            Ok(None) => ReservationLook::Silent,
            Err(
                PortError::Rejected { .. } | PortError::Denied { .. } | PortError::Uncertain { .. },
            ) => ReservationLook::Refused,
            Err(err @ PortError::Transient { .. }) => return Err(err),
        });
    }
    Ok(ReservationLook::of(&states))
}

/// Tells whether a look at its reservations failed that could have told something, so that the status alone is a guess:
/// paid late, an order may have none. A key that has never been allowed to look has nothing better. Past handling the
/// status stands: a look that fails for ever would hold the SKUs for ever.
pub fn in_doubt(ctx: &Context<'_>, fetched: &Fetched) -> StoreResult<bool> {
    Ok(fetched.document.stage == OrderStage::Ready
        && fetched.reservations == ReservationLook::Refused
        && ctx.store.mark(LOOKED)?.is_some())
}

/// Replaces each kit by its components, whose stock it is; a kit that cannot be taken apart makes the lines unusable.
fn replace_kits(ctx: &Context<'_>, document: &mut OrderDocument) -> PortResult<()> {
    let mut lines = Vec::with_capacity(document.lines.len());
    for line in document.lines.drain(..) {
        if !line.kit {
            lines.push(line);
            continue;
        }
        let parts = ctx.storefront.kit_parts(&line.sku)?;
        if parts.is_empty() {
            document.problems.push(format!(
                "the components of kit {} cannot be learned",
                line.sku
            ));
        }
        for (sku, per_kit) in parts {
            let Some(units) = line.units.checked_mul(per_kit) else {
                document
                    .problems
                    .push(format!("kit {} has too many units of {sku}", line.sku));
                continue;
            };
            let warehouse = line.warehouse.clone();
            lines.push(OrderLine {
                sku,
                reference: None,
                name: None,
                warehouse,
                units,
                kit: false,
            });
        }
    }
    document.lines = lines;
    Ok(())
}

/// Asks the catalogue about SKUs whose reference is not known, or differs from the one in the order.
fn learn_unknown(
    ctx: &Context<'_>,
    document: &OrderDocument,
) -> PortResult<Vec<(SkuId, Option<SkuInfo>)>> {
    let mut learned = Vec::new();
    let mut asked = BTreeSet::new();
    for line in &document.lines {
        let held = ctx.store.sku(&line.sku).ok().flatten();
        let same = held.as_ref().is_some_and(|row| {
            row.reference.is_some() && (line.reference.is_none() || row.reference == line.reference)
        });
        if !same && asked.insert(line.sku.clone()) {
            learned.push((line.sku.clone(), ctx.storefront.sku(&line.sku)?));
        }
    }
    Ok(learned)
}

/// Records what was fetched: SKUs first, then the order with its facts and lines.
pub fn record(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    fetched: &Fetched,
    found_by: FoundBy,
) -> StoreResult<Recorded> {
    for (sku, info) in &fetched.learned {
        let line = fetched.document.lines.iter().find(|line| line.sku == *sku);
        put_sku(ctx, tx, sku, info.as_ref(), line)?;
    }
    let recorded = tx.observe(&Observation {
        document: &fetched.document,
        found_by,
        now: ctx.now,
        store_time: ctx.store_time(),
        cutover: ctx.settings.cutover,
        reservations: fetched.reservations,
    })?;
    let looked = !matches!(
        fetched.reservations,
        ReservationLook::Silent | ReservationLook::Refused
    );
    if looked && tx.mark(LOOKED)?.is_none() {
        tx.set_mark(LOOKED, ctx.now.0)?;
    }
    if fetched.stuck() && recorded.changed {
        let body = NoticeBody {
            order: Some(fetched.document.id.clone()),
            ..NoticeBody::default()
        };
        ctx.notify(
            tx,
            NoticeKind::StuckReservation,
            fetched.document.id.as_str(),
            &body,
        )?;
    }
    Ok(recorded)
}

/// Writes what is known about a SKU: the catalogue's word, else the order's; an operator's override stays.
pub fn put_sku(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    sku: &SkuId,
    info: Option<&SkuInfo>,
    line: Option<&OrderLine>,
) -> StoreResult<SkuRow> {
    let held = tx.sku(sku)?;
    let reference = info
        .and_then(|i| i.reference.clone())
        .or_else(|| line.and_then(|l| l.reference.clone()));
    let name = info
        .and_then(|i| i.name.clone())
        .or_else(|| line.and_then(|l| l.name.clone()));
    let overridden = held.as_ref().and_then(|row| row.overridden.clone());
    let mut row = SkuRow {
        sku: sku.clone(),
        reference,
        overridden,
        code: None,
        problem: None,
        name,
        kit: info.is_some_and(|i| i.kit),
        read_at: ctx.now,
        product: None,
    };
    match map(ctx, &row, info) {
        Ok(code) => row.code = Some(code),
        Err(problem) => row.problem = Some(problem),
    }
    let row = tx.put_sku(&row)?;
    if held.is_some_and(|held| held.code != row.code) {
        tx.replan_orders_of(sku)?;
    }
    Ok(row)
}

/// Finds the ERP's code of a SKU, or says why it has none.
pub fn map(
    ctx: &Context<'_>,
    row: &SkuRow,
    info: Option<&SkuInfo>,
) -> Result<crate::domain::ids::ErpCode, String> {
    if row.kit {
        return Err("a kit: its stock is that of its components".into());
    }
    if info.is_some_and(|info| !info.unit_is_one) {
        return Err("its unit multiplier is not 1".into());
    }
    let reference: &SkuRef = row
        .effective()
        .ok_or("it has no reference in the catalogue")?;
    ctx.stock.code(reference)
}
