//! An ERP into which somebody else brings the storefront's orders: what it holds of them stands for a movement of ours.
//!
//! Such an ERP takes an order's units out of its available stock when it reserves them, so the order is in B from then
//! on. `move` looks whether the ERP holds the order and notes it (T2); it writes nothing there. `push-stock` does not
//! rely on that note: a person may cancel the order in the ERP, so what is held is asked again before every reading.

use std::collections::BTreeMap;

use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::ids::{OrderId, SkuId};
use crate::domain::movement::FoundMovement;
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::ports::{OrderBook, PortResult};
use crate::domain::stock::HeldOrder;
use crate::stages::context::{BATCH, Context, Pace, distinct};
use crate::stages::move_stock::confirm;
use crate::stages::report::{Report, StageResult};
use crate::store::StoreResult;
use crate::store::attempts::Effect;

/// Orders asked for in one call.
const ORDERS_A_CALL: usize = 500;

/// Asks what the ERP holds of every live order of these SKUs and of those that share their stock.
pub fn held_of(
    ctx: &Context<'_>,
    skus: &[SkuId],
) -> StageResult<PortResult<BTreeMap<OrderId, HeldOrder>>> {
    let Some(book) = ctx.order_book else {
        return Ok(Ok(BTreeMap::new()));
    };
    let live = ctx.store.read(|| {
        let of = |sku| ctx.store.orders_sharing(sku);
        skus.iter().map(of).collect::<StoreResult<Vec<_>>>()
    })?;
    Ok(held(book, &distinct(live.into_iter().flatten())))
}

fn held(book: &dyn OrderBook, orders: &[OrderId]) -> PortResult<BTreeMap<OrderId, HeldOrder>> {
    let mut found = BTreeMap::new();
    for chunk in orders.chunks(ORDERS_A_CALL) {
        found.extend(book.held(chunk)?);
    }
    Ok(found)
}

/// Looks whether the ERP holds the orders whose movements are planned.
pub fn look(
    ctx: &Context<'_>,
    book: &dyn OrderBook,
    pace: &Pace<'_>,
    report: &mut Report,
) -> StageResult {
    let mut planned = ctx.store.effects_open(EffectKind::Movement, BATCH)?;
    planned.retain(|effect| effect.state == EffectState::Planned && ctx.wants(&effect.order));
    if planned.is_empty() || !pace.next() {
        return Ok(());
    }
    let orders = distinct(planned.iter().map(|effect| effect.order.clone()));
    let held = match report.called(held(book, &orders))? {
        Ok(held) => held,
        Err(err) => {
            report.wait("move", format!("the ERP's orders cannot be read: {err}"));
            return Ok(());
        }
    };
    for effect in &planned {
        let order = held.get(&effect.order);
        match order {
            // What comes back is the ERP's own affair: it releases what it had reserved.
            _ if !effect.is_outgoing() => note(ctx, effect, "released", report)?,
            Some(order) if order.reserved => note(ctx, effect, &order.number, report)?,
            _ => missing(ctx, effect, order, report)?,
        }
    }
    Ok(())
}

/// T2: the ERP holds it.
fn note(ctx: &Context<'_>, effect: &Effect, number: &str, report: &mut Report) -> StageResult {
    let found = FoundMovement {
        id: number.to_owned(),
        number: Some(number.to_owned()),
        direction: None,
        base: None,
        note: String::new(),
        reference: String::new(),
        lines: None,
        day: None,
        created: None,
    };
    confirm(ctx, "T2", effect, &found, None, report)
}

/// The ERP does not hold it, or has not reserved it; people are told when that lasts.
fn missing(
    ctx: &Context<'_>,
    effect: &Effect,
    held: Option<&HeldOrder>,
    report: &mut Report,
) -> StageResult {
    let id = &effect.order;
    let state = match held {
        Some(order) => format!(
            "is in the ERP as {} and not reserved there yet",
            order.number
        ),
        None => "is not in the ERP yet".to_owned(),
    };
    let reserved = ctx.store.order(id)?.and_then(|order| order.facts.reserved);
    let waited = reserved.map_or(0, |since| ctx.now.ms_since(since));
    let limit = ctx.settings.order_deadline;
    if waited < limit {
        report.wait(id.as_str(), format!("order {id} {state}"));
        return Ok(());
    }
    let reason = format!("order {id} {state}, after {} minutes", limit / 60_000);
    let body = NoticeBody {
        order: Some(id.clone()),
        reason: Some(reason.clone()),
        action: Some("bring the order into the ERP, or cancel it in the store".into()),
        ..NoticeBody::default()
    };
    ctx.store
        .write(|tx| ctx.notify(tx, NoticeKind::Parked, id.as_str(), &body))?;
    report.person(id.as_str(), reason);
    Ok(())
}
