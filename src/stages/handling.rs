//! Tells the storefront that handling has begun, once an order's movements are booked (H2–H10).
//!
//! The storefront refuses a second start by itself, so after a read-back repeating is harmless. The claim (H3) puts the
//! order into A: from then on the quantity rule counts it, and it must not overlap a stock write, hence the lock.

use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::ids::OrderId;
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::order::OrderStage;
use crate::domain::ports::PortError;
use crate::domain::time::BootTime;
use crate::stages::context::{BATCH, Context, Pace};
use crate::stages::intake;
use crate::stages::report::{Halt, Report, StageResult};
use crate::store::attempts::Effect;
use crate::store::orders::{FoundBy, OrderRow};
use crate::store::{StoreResult, Tx};

/// Works through every start of handling that is open.
pub fn run(ctx: &Context<'_>, pace: &Pace<'_>, report: &mut Report) -> StageResult {
    for effect in ctx.store.effects_open(EffectKind::Handling, BATCH)? {
        let open = matches!(effect.state, EffectState::Planned | EffectState::Unknown);
        if !open || !ctx.wants(&effect.order) {
            continue;
        }
        if !ctx.due().has(effect.not_before) || !pace.next() {
            report.waiting += 1;
            continue;
        }
        let Some(_lock) = ctx.storefront_lock()? else {
            report.wait(
                effect.order.as_str(),
                "stock is being published; handling starts in the next run",
            );
            return Ok(());
        };
        settle(ctx, &effect, report)?;
    }
    Ok(())
}

/// Asks the storefront where the order stands, and acts on it.
fn settle(ctx: &Context<'_>, effect: &Effect, report: &mut Report) -> StageResult {
    let id = &effect.order;
    let known = ctx.store.order(id)?;
    let mut stuck = false;
    let order = match report.called(intake::fetch(ctx, id, known.as_ref()))? {
        Ok(Some(fetched)) => {
            stuck = fetched.stuck();
            ctx.store
                .write(|tx| intake::record(ctx, tx, &fetched, FoundBy::Feed))?;
            ctx.store.order(id)?
        }
        Ok(None) => None,
        Err(PortError::Rejected { reason }) => return quarantine(ctx, effect, &reason, report),
        Err(err) => {
            report.wait(id.as_str(), format!("order {id} cannot be read: {err}"));
            return Ok(());
        }
    };
    let Some(order) = order else {
        return quarantine(ctx, effect, "the storefront has no such order", report);
    };
    let only_asked = order.only_requested();
    match order.stage {
        OrderStage::Invoiced if stuck && only_asked => never_began(ctx, effect, report),
        // Its reservation says nothing for good yet, or could not be looked up: the status alone must not decide.
        OrderStage::Invoicing | OrderStage::Invoiced if only_asked => {
            let status = &order.status;
            let reason = format!(
                "order {id} is in status {status:?}; whether its handling began is not seen yet"
            );
            report.wait(id.as_str(), reason);
            give_up_if_stuck(ctx, effect, report)
        }
        OrderStage::HandlingRequested
        | OrderStage::Handling
        | OrderStage::Invoicing
        | OrderStage::Invoiced => done(ctx, "H7", effect, report),
        OrderStage::Canceled => {
            ctx.store
                .write(|tx| tx.shift("H9", effect, EffectState::Canceled, ctx.now))?;
            Ok(())
        }
        OrderStage::CancelRequested
        | OrderStage::Canceling
        | OrderStage::Unknown
        | OrderStage::Early => {
            report.wait(
                id.as_str(),
                format!("order {id} is in status {:?}; handling waits", order.status),
            );
            give_up_if_stuck(ctx, effect, report)
        }
        OrderStage::Ready if effect.state == EffectState::Unknown => ask_again(ctx, effect, report),
        OrderStage::Ready if !order.complete || order.workflow_in_error || order.replan => {
            report.wait(
                id.as_str(),
                format!("order {id} is not ready to be handled yet"),
            );
            give_up_if_stuck(ctx, effect, report)
        }
        OrderStage::Ready => send(ctx, effect, &order, report),
    }
}

/// H3, then the call, then H4, H5 or H6.
fn send(ctx: &Context<'_>, effect: &Effect, order: &OrderRow, report: &mut Report) -> StageResult {
    let id = &effect.order;
    let protocol = &ctx.settings.protocol;
    let send_by = ctx.clock.boot().plus_ms(protocol.gap);
    let deadline = send_by.plus_ms(protocol.handling_limit);
    let boot_id = ctx.clock.boot_id();
    let claimed = ctx.store.write(|tx| {
        let Some(seq) = tx.claim(effect, send_by, deadline, &boot_id, ctx.now)? else {
            return Ok(None);
        };
        tx.set_acknowledged(id, order.facts.acknowledged.or(Some(ctx.now)), seq)?;
        tx.order_pushes_due(id, seq, ctx.store_time(), None)?;
        Ok(Some(seq))
    })?;
    let Some(seq) = claimed else { return Ok(()) };
    ctx.mark(seq)?;
    let row = effect.claimed();
    let permit = ctx.permit(send_by);
    let answer = permit
        .check()
        .and_then(|()| ctx.storefront.start_handling(id, &permit));
    match answer {
        Ok(()) => {
            report.reached += 1;
            done(ctx, "H4", &row, report)
        }
        Err(PortError::Transient { reason, .. }) => {
            report.unreached += 1;
            not_sent(ctx, &row, &reason)?;
            report.wait(
                id.as_str(),
                format!("order {id}: the start of handling was not sent: {reason}"),
            );
            Ok(())
        }
        Err(PortError::Uncertain { reason } | PortError::Rejected { reason }) => {
            report.reached += 1;
            unknown(ctx, &row, &reason)?;
            report.wait(
                id.as_str(),
                format!("order {id}: the start of handling is unconfirmed: {reason}"),
            );
            Ok(())
        }
        Err(PortError::Denied { reason }) => {
            unknown(ctx, &row, &reason)?;
            Err(Halt::Denied(reason))
        }
    }
}

/// H5: certainly not sent. The order leaves A again, unless an earlier attempt was sent.
fn not_sent(ctx: &Context<'_>, row: &Effect, reason: &str) -> StageResult {
    let next = ctx.next_try(row.attempt - 1);
    ctx.store.write(|tx| {
        if !tx.shift("H5", row, EffectState::Planned, ctx.now)? {
            return Ok(());
        }
        tx.set_backoff(row.id, next, Some(reason))?;
        if row.doubted {
            return Ok(());
        }
        leave_a(ctx, tx, &row.order)
    })?;
    Ok(())
}

/// The order leaves A again: its handling was not begun by us. It stays if the storefront has shown meanwhile that it
/// began without us.
fn leave_a(ctx: &Context<'_>, tx: &Tx<'_>, id: &OrderId) -> StoreResult<()> {
    if tx.order(id)?.is_none_or(|order| !order.only_requested()) {
        return Ok(());
    }
    let seq = tx.next_seq()?;
    tx.set_acknowledged(id, None, seq)?;
    tx.order_pushes_due(id, seq, ctx.store_time(), None)
}

/// H6: anything that is not certain.
fn unknown(ctx: &Context<'_>, row: &Effect, reason: &str) -> StageResult {
    ctx.store.write(|tx| {
        if tx.shift("H6", row, EffectState::Unknown, ctx.now)? {
            tx.set_reason(row.id, reason, false, ctx.now)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// H4, H7: handling has begun. The acknowledgement is asynchronous, so the SKUs stay due until it can have happened.
fn done(ctx: &Context<'_>, row: &str, effect: &Effect, report: &mut Report) -> StageResult {
    let id = &effect.order;
    let changed = ctx.store.write(|tx| {
        if !tx.shift(row, effect, EffectState::Done, ctx.now)? {
            return Ok(false);
        }
        let seq = tx.next_seq()?;
        let acknowledged_by = ctx
            .store_time()
            .plus_ms(ctx.settings.protocol.handling_recheck);
        tx.order_pushes_due(id, seq, acknowledged_by, Some(acknowledged_by))?;
        Ok(true)
    })?;
    if changed {
        report.count("handling started");
        report.say(id.as_str(), format!("order {id}: handling has started"));
    }
    Ok(())
}

/// H7 of an order that was invoiced while its handling never began: its reservation is subtracted for good, so the order
/// is not in A. The acknowledgement is asynchronous, so this is believed only once the call must be over.
fn never_began(ctx: &Context<'_>, effect: &Effect, report: &mut Report) -> StageResult {
    let id = &effect.order;
    if !over(ctx, effect) {
        report.wait(
            id.as_str(),
            format!("order {id} is invoiced; whether its handling began is not seen yet"),
        );
        return Ok(());
    }
    ctx.store.write(|tx| {
        if tx.shift("H7", effect, EffectState::Done, ctx.now)? {
            leave_a(ctx, tx, id)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Tells whether the call of an unknown effect can no longer take effect.
fn over(ctx: &Context<'_>, effect: &Effect) -> bool {
    let rebooted = effect.boot_id.as_ref() != Some(&ctx.clock.boot_id());
    let recheck = ctx.settings.protocol.handling_recheck;
    let until = effect.deadline.unwrap_or(BootTime(0)).plus_ms(recheck);
    rebooted || ctx.clock.boot() >= until
}

/// H8: the order still waits for handling; once the call must be over, it may be sent again.
fn ask_again(ctx: &Context<'_>, effect: &Effect, report: &mut Report) -> StageResult {
    let id = &effect.order;
    let mut effect = effect.clone();
    if over(ctx, &effect) {
        let next = ctx.next_try(effect.attempt - 1);
        let planned = ctx.store.write(|tx| {
            let planned = tx.shift("H8", &effect, EffectState::Planned, ctx.now)?;
            if planned {
                tx.set_backoff(effect.id, next, None)?;
            }
            Ok(planned)
        })?;
        if planned {
            effect.state = EffectState::Planned;
        }
    }
    report.wait(
        id.as_str(),
        format!("order {id}: the start of handling had no effect yet"),
    );
    give_up_if_stuck(ctx, &effect, report)
}

fn give_up_if_stuck(ctx: &Context<'_>, effect: &Effect, report: &mut Report) -> StageResult {
    let since = effect.undecided_since.unwrap_or(effect.changed_at);
    if ctx.now.ms_since(since) < ctx.settings.protocol.undecided_after {
        return Ok(());
    }
    quarantine(
        ctx,
        effect,
        "the start of handling made no progress for too long",
        report,
    )
}

/// H10: a person must look.
fn quarantine(
    ctx: &Context<'_>,
    effect: &Effect,
    reason: &str,
    report: &mut Report,
) -> StageResult {
    let id: &OrderId = &effect.order;
    let body = NoticeBody {
        order: Some(id.clone()),
        reason: Some(reason.to_owned()),
        ..NoticeBody::default()
    };
    let done = ctx.store.write(|tx| {
        if !tx.shift("H10", effect, EffectState::Quarantined, ctx.now)? {
            return Ok(false);
        }
        tx.set_reason(effect.id, reason, false, ctx.now)?;
        tx.park(id, reason, ctx.now)?;
        ctx.notify(tx, NoticeKind::Parked, id.as_str(), &body)?;
        Ok(true)
    })?;
    if done {
        report.count("handling quarantined");
    }
    Ok(())
}
