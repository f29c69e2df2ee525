//! After an old copy of the memory was put back: takes in the movements that it has lost.
//!
//! An order placed before the copy came back may have been booked in the lost time. Before anything is planned for it,
//! the ERP is searched: every movement whose key is one of this order's is taken in as confirmed, so that only the
//! difference is planned. One that this memory remembers as planned was sent since, and counts as confirmed too.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::effect::EffectState;
use crate::domain::ids::{BaseCode, SkuId};
use crate::domain::movement::{FoundMovement, Movement};
use crate::domain::suspects::own;
use crate::stages::context::Context;
use crate::stages::listing::{About, about};
use crate::stages::report::{Report, StageResult};
use crate::store::attempts::Share;
use crate::store::orders::OrderRow;

/// What the search said about an order.
pub enum Adoption {
    /// Nothing was lost, or everything was taken in: it can be planned.
    Complete,
    /// The ERP cannot be believed for now, with the reason.
    Waits(String),
    /// A person must say what is booked, with the reason.
    Person(String),
}

/// Takes in an order's lost movements, once per generation of the memory.
pub fn adopt(ctx: &Context<'_>, order: &OrderRow, report: &mut Report) -> StageResult<Adoption> {
    let instance = ctx.store.instance()?;
    let known = order.searched_generation == instance.generation;
    if known {
        return Ok(Adoption::Complete);
    }
    // What an ERP with an order book holds is asked for before anything follows from it: nothing can be lost.
    let asked = ctx.order_book.is_some();
    if asked || order.facts.before_cutover || !ctx.may_be_lost(&instance, order) {
        ctx.store
            .write(|tx| tx.set_searched(&order.id, instance.generation))?;
        return Ok(Adoption::Complete);
    }
    if !ctx.settings.searchable {
        let reason = "it may have been booked in the time that this state file has lost, and the ERP cannot be \
                      searched; hint: stockbridge resolve";
        return Ok(Adoption::Person(reason.into()));
    }
    if ctx.held()? {
        let reason = "a movement of the time that this state file has lost may still be applied";
        return Ok(Adoption::Waits(reason.into()));
    }
    let bases: BTreeSet<_> = ctx
        .settings
        .warehouses
        .iter()
        .map(|w| w.movement_base.clone())
        .collect();
    let mut lost = Vec::new();
    for base in bases {
        let rows = match about(ctx, &base, &order.id, report)? {
            About::Rows(rows) => rows,
            About::Nothing(reason) => return Ok(Adoption::Waits(reason)),
            About::Unproved => {
                let reason = "nothing proves that the ERP's listing is complete, and it may have been booked in the \
                              time that this state file has lost; hint: stockbridge resolve";
                return Ok(Adoption::Person(reason.into()));
            }
        };
        match lost_of(ctx, order, &base, rows)? {
            Ok(found) => lost.extend(found),
            Err(reason) => return Ok(Adoption::Person(reason)),
        }
    }
    ctx.store.write(|tx| {
        for (movement, shares, found) in &lost {
            // One that was planned already was sent in the lost time; a new one is taken in as it stands.
            let known = tx.attempts_of(&order.id)?;
            let known = known.into_iter().find(|e| e.key == movement.key.as_str());
            let effect = match known {
                Some(effect) => Some(effect),
                None => tx.effect(tx.plan_movement(movement, shares, ctx.now)?)?,
            };
            let Some(effect) = effect.filter(|e| e.state == EffectState::Planned) else {
                continue;
            };
            tx.shift("T2", &effect, EffectState::Done, ctx.now)?;
            let seq = tx.next_seq()?;
            tx.set_done(effect.id, found, Some("found after a restore"), seq)?;
            let number = found.number.as_deref().unwrap_or(&found.id);
            let detail = format!("{} as movement {number}", movement.key);
            tx.audit(
                "stockbridge",
                "adoption",
                order.id.as_str(),
                &detail,
                ctx.now,
            )?;
            tx.order_pushes_due(&order.id, seq, ctx.store_time(), None)?;
        }
        tx.set_searched(&order.id, instance.generation)
    })?;
    report.add("movements adopted", lost.len());
    Ok(Adoption::Complete)
}

type Lost = (Movement, Vec<Share>, FoundMovement);

/// Picks the order's own movements that are not remembered; the error says why one cannot be taken in.
fn lost_of(
    ctx: &Context<'_>,
    order: &OrderRow,
    base: &BaseCode,
    rows: Vec<FoundMovement>,
) -> StageResult<Result<Vec<Lost>, String>> {
    let effects = ctx.store.attempts_of(&order.id)?;
    let mut lost: Vec<Lost> = Vec::new();
    for row in rows {
        let Some((operation, key)) = own(&ctx.settings.account, base, &order.id, &row) else {
            continue;
        };
        let known = effects.iter().find(|e| e.key == key.as_str());
        if known.is_some_and(|e| e.state != EffectState::Planned) {
            continue;
        }
        let number = row.number.clone().unwrap_or_else(|| row.id.clone());
        if lost.iter().any(|(movement, ..)| movement.key == key) {
            return Ok(Err(format!(
                "{key} stands in two movements, one is {number}"
            )));
        }
        let lines = row.lines.iter().flatten();
        let lines: BTreeMap<_, _> = lines
            .map(|(code, qty)| (code.clone(), u32::try_from(qty.floor_units()).unwrap_or(0)))
            .filter(|(_, units)| *units > 0)
            .collect();
        let movement = Movement {
            order: order.id.clone(),
            operation,
            base: base.clone(),
            key,
            lines,
        };
        let Some(shares) = shares_of(ctx, order, &movement)?.filter(|_| row.same_goods(&movement))
        else {
            return Ok(Err(format!(
                "movement {number} bears the order's key {} and cannot be understood",
                movement.key
            )));
        };
        lost.push((movement, shares, row));
    }
    Ok(Ok(lost))
}

/// Divides a movement's units among the SKUs and warehouses they were sold from; `None` when one has none.
fn shares_of(
    ctx: &Context<'_>,
    order: &OrderRow,
    movement: &Movement,
) -> StageResult<Option<Vec<Share>>> {
    let sold = ctx.store.lines(&order.id)?;
    let feeds = |id| {
        let warehouse = ctx.settings.warehouse(id);
        warehouse.is_some_and(|w| w.movement_base == movement.base)
    };
    let mut shares = Vec::new();
    for (code, units) in &movement.lines {
        let Some(sku): Option<SkuId> = ctx.store.sku_of_code(code)?.map(|row| row.sku) else {
            return Ok(None);
        };
        let mut left = *units;
        let of_sku = sold
            .iter()
            .filter(|line| line.sku == sku && feeds(&line.warehouse));
        let mut places: Vec<_> = of_sku.map(|l| (l.warehouse.clone(), l.units)).collect();
        let default = ctx.settings.warehouses.iter().find(|w| feeds(&w.id));
        places.extend(default.map(|w| (w.id.clone(), u32::MAX)));
        for (warehouse, most) in places {
            let take = left.min(most);
            left -= take;
            let known = shares
                .iter_mut()
                .find(|(s, w, _): &&mut Share| *s == sku && *w == warehouse);
            match known {
                Some((_, _, units)) => *units += take,
                None if take > 0 => shares.push((sku.clone(), warehouse, take)),
                None => {}
            }
        }
        if left > 0 {
            return Ok(None);
        }
    }
    Ok((!shares.is_empty()).then_some(shares))
}
