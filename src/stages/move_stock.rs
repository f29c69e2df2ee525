//! Books each order's movement in the ERP, exactly once, then starts its handling in the storefront.
//!
//! The ERP keeps no idempotency key, so a movement is sent only after its intent is durable (T4), and an attempt
//! without a certain answer is looked for, twice and apart, before anything else happens to it (T11, T13, T14). Each
//! function here is named after what it does to one row of the transition table in [`crate::domain::effect`].

use std::collections::BTreeMap;

use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::ids::{BaseCode, Seq};
use crate::domain::movement::{FoundMovement, Movement, Sighting, marker_order, sight};
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::order::OrderStage;
use crate::domain::ports::{Listing, PortError, Search};
use crate::domain::time::{BootTime, Moment};
use crate::stages::context::{BATCH, Context, Pace};
use crate::stages::listing::{SEARCHES_PER_CANARY, Verdict, search};
use crate::stages::report::{Halt, Report, StageResult};
use crate::stages::{handling, intake};
use crate::store::attempts::Effect;
use crate::store::orders::FoundBy;
use crate::store::{StoreError, StoreResult, Tx};

/// Runs the stage. Its lock proves that an effect found claimed belongs to a dead process.
pub fn run(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    let pace = Pace::new(ctx);
    adopt_orphans(ctx, report)?;
    decide_unknown(ctx, &pace, report)?;
    book_planned(ctx, &pace, report)?;
    handling::run(ctx, &pace, report)?;
    if ctx.settings.by_remito {
        look_for_remitos(ctx, &pace, report)?;
    }
    show_parked(ctx, report)
}

fn open_movements(ctx: &Context<'_>, state: EffectState) -> StageResult<Vec<Effect>> {
    let mut open = ctx.store.effects_open(EffectKind::Movement, BATCH)?;
    open.retain(|effect| effect.state == state && ctx.wants(&effect.order));
    Ok(open)
}

/// T9, T10: claims of dead processes become unknown; under another boot every wait starts again.
fn adopt_orphans(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    let boot_id = ctx.clock.boot_id();
    for kind in [EffectKind::Movement, EffectKind::Handling] {
        let row = if kind == EffectKind::Movement {
            "T9"
        } else {
            "H6"
        };
        for effect in ctx.store.effects_open(kind, BATCH)? {
            if effect.state == EffectState::Sending {
                ctx.store.write(|tx| {
                    if tx.shift(row, &effect, EffectState::Unknown, ctx.now)? {
                        tx.set_reason(
                            effect.id,
                            "the program ended while it was being sent",
                            false,
                            ctx.now,
                        )?;
                    }
                    Ok(())
                })?;
                report.count("orphans adopted");
            }
            let open = matches!(effect.state, EffectState::Sending | EffectState::Unknown);
            if open && effect.boot_id.as_ref() != Some(&boot_id) {
                ctx.store
                    .write(|tx| tx.set_rebooted(effect.id, ctx.clock.boot(), &boot_id))?;
            }
        }
    }
    Ok(())
}

/// Splits effects by base, in groups that share one pair of looks at the canary; damaged rows go to a person.
fn batches(
    ctx: &Context<'_>,
    effects: Vec<Effect>,
    report: &mut Report,
) -> StageResult<Vec<Vec<(Effect, Movement)>>> {
    let mut by_base: BTreeMap<BaseCode, Vec<(Effect, Movement)>> = BTreeMap::new();
    for effect in effects {
        match effect.movement() {
            Ok(movement) => by_base
                .entry(movement.base.clone())
                .or_default()
                .push((effect, movement)),
            Err(StoreError::Broken(reason)) => quarantine(ctx, &effect, &reason, report)?,
            Err(err) => return Err(err.into()),
        }
    }
    Ok(by_base
        .into_values()
        .flat_map(|all| {
            all.chunks(SEARCHES_PER_CANARY)
                .map(<[_]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect())
}

/// T8, T11–T14: looks for the movements whose outcome is unknown.
fn decide_unknown(ctx: &Context<'_>, pace: &Pace<'_>, report: &mut Report) -> StageResult {
    let unknown = open_movements(ctx, EffectState::Unknown)?;
    for batch in batches(ctx, unknown, report)? {
        if !pace.next() {
            report.waiting += 1;
            continue;
        }
        let began = ctx.clock.boot();
        let movements: Vec<_> = batch.iter().map(|(_, movement)| movement.clone()).collect();
        let verdicts = if ctx.settings.searchable {
            search(ctx, &movements[0].base, &movements, report)?
        } else {
            vec![
                Verdict::Conflict("its outcome is unknown and the ERP cannot be searched".into());
                movements.len()
            ]
        };
        for ((effect, movement), verdict) in batch.iter().zip(verdicts) {
            decide(ctx, effect, movement, verdict, began, report)?;
        }
    }
    Ok(())
}

fn decide(
    ctx: &Context<'_>,
    effect: &Effect,
    movement: &Movement,
    verdict: Verdict,
    began: BootTime,
    report: &mut Report,
) -> StageResult {
    let protocol = &ctx.settings.protocol;
    let order = &movement.order;
    let why = effect.reason.as_deref().unwrap_or("no answer");
    match verdict {
        Verdict::Booked(found, warning) => {
            return confirm(ctx, "T11", effect, &found, warning, report);
        }
        Verdict::Conflict(reason) => return quarantine(ctx, effect, &reason, report),
        Verdict::Absent
            if effect
                .deadline
                .is_none_or(|d| began >= d.plus_ms(protocol.movement_settle)) =>
        {
            return absent(ctx, effect, movement, began, report);
        }
        Verdict::Absent => {
            report.wait(order.as_str(), format!("order {order}: outcome of its movement unknown ({why}), it may still be applied"));
        }
        Verdict::AbsentUnproved => {
            report.wait(order.as_str(), format!("order {order}: outcome of its movement unknown ({why}), nothing proves the listing yet"));
        }
        Verdict::Inconclusive(reason) => {
            report.wait(
                order.as_str(),
                format!("order {order}: outcome of its movement unknown ({why}); {reason}"),
            );
            // Time in which the ERP did not answer does not count towards calling a person.
            return Ok(());
        }
    }
    let since = effect.undecided_since.unwrap_or(effect.changed_at);
    if ctx.now.ms_since(since) >= protocol.undecided_after {
        return quarantine(
            ctx,
            effect,
            &format!("undecided for too long: {why}"),
            report,
        );
    }
    Ok(())
}

/// T13, T14, T8: the first believable absence is only noted; the second, apart from it, is the verdict.
fn absent(
    ctx: &Context<'_>,
    effect: &Effect,
    movement: &Movement,
    began: BootTime,
    report: &mut Report,
) -> StageResult {
    let order = &movement.order;
    let Some(first) = effect.absent_at else {
        ctx.store.write(|tx| tx.set_absent(effect.id, began))?;
        report.wait(
            order.as_str(),
            format!("order {order}: its movement is not in the ERP; it is looked for once more"),
        );
        return Ok(());
    };
    if began < first.plus_ms(ctx.settings.protocol.absences_apart) {
        report.wait(
            order.as_str(),
            format!("order {order}: its movement is not in the ERP; it is looked for once more"),
        );
        return Ok(());
    }
    if effect.refused || effect.attempt >= ctx.settings.protocol.max_attempts {
        let reason = effect
            .reason
            .clone()
            .unwrap_or_else(|| "never applied".into());
        let parked = ctx.store.write(|tx| {
            if !tx.shift("T8", effect, EffectState::Rejected, ctx.now)? {
                return Ok(false);
            }
            park(
                ctx,
                tx,
                effect,
                &format!("the ERP refused the movement: {reason}"),
            )?;
            Ok(true)
        })?;
        if parked {
            report.count("movements rejected");
        }
        return Ok(());
    }
    let next = ctx.next_try(effect.attempt);
    ctx.store.write(|tx| {
        if tx.shift("T14", effect, EffectState::Planned, ctx.now)? {
            tx.set_backoff(effect.id, next, None)?;
        }
        Ok(())
    })?;
    report.wait(
        order.as_str(),
        format!("order {order}: its movement was not applied and will be sent again"),
    );
    Ok(())
}

/// T2–T7, T12: looks before it sends, claims, sends, records.
fn book_planned(ctx: &Context<'_>, pace: &Pace<'_>, report: &mut Report) -> StageResult {
    let horizon = ctx.backoff_horizon();
    let (ready, later): (Vec<_>, Vec<_>) = open_movements(ctx, EffectState::Planned)?
        .into_iter()
        .partition(|effect| effect.not_before <= horizon);
    for effect in later {
        report.wait(
            effect.order.as_str(),
            format!(
                "order {}: its movement waits before the next try",
                effect.order
            ),
        );
    }
    for batch in batches(ctx, ready, report)? {
        if !pace.next() {
            report.waiting += 1;
            continue;
        }
        let mut fresh = Vec::new();
        for (effect, movement) in batch {
            if still_wanted(ctx, &effect, &movement, report)? {
                fresh.push((effect, movement));
            }
        }
        let Some((_, first)) = fresh.first() else {
            continue;
        };
        let movements: Vec<_> = fresh.iter().map(|(_, movement)| movement.clone()).collect();
        let verdicts = if ctx.settings.searchable {
            search(ctx, &first.base, &movements, report)?
        } else {
            vec![Verdict::AbsentUnproved; movements.len()]
        };
        for (at, ((effect, movement), verdict)) in fresh.iter().zip(verdicts).enumerate() {
            if at > 0 && !pace.next() {
                report.waiting += 1;
                continue;
            }
            settle_planned(ctx, effect, movement, verdict, report)?;
        }
    }
    Ok(())
}

fn settle_planned(
    ctx: &Context<'_>,
    effect: &Effect,
    movement: &Movement,
    verdict: Verdict,
    report: &mut Report,
) -> StageResult {
    let order = &movement.order;
    match verdict {
        Verdict::Booked(found, warning) => confirm(ctx, "T2", effect, &found, warning, report),
        Verdict::Conflict(reason) => quarantine(ctx, effect, &reason, report),
        Verdict::Absent => send(ctx, effect, movement, report),
        // As long as nothing may have been sent nothing of ours can be there, and the search needs no proof.
        Verdict::AbsentUnproved if !effect.doubted => send(ctx, effect, movement, report),
        Verdict::AbsentUnproved => {
            report.wait(
                order.as_str(),
                format!("order {order}: nothing proves the ERP's listing yet"),
            );
            Ok(())
        }
        Verdict::Inconclusive(reason) => {
            report.wait(
                order.as_str(),
                format!("order {order}: the ERP's listing proves nothing: {reason}"),
            );
            Ok(())
        }
    }
}

/// Reads the order once more just before its movement: canceled or changed, it goes back to `reserve` (T3 there).
fn still_wanted(
    ctx: &Context<'_>,
    effect: &Effect,
    movement: &Movement,
    report: &mut Report,
) -> StageResult<bool> {
    let id = &movement.order;
    let known = ctx.store.order(id)?;
    let fetched = match report.called(intake::fetch(ctx, id, known.as_ref()))? {
        Ok(Some(fetched)) => fetched,
        Ok(None) => {
            report.wait(
                id.as_str(),
                format!("order {id} is not in the storefront any more"),
            );
            return Ok(false);
        }
        Err(err) => {
            report.wait(id.as_str(), format!("order {id} cannot be read: {err}"));
            return Ok(false);
        }
    };
    let outgoing = effect.is_outgoing();
    let document = &fetched.document;
    ctx.store
        .write(|tx| intake::record(ctx, tx, &fetched, FoundBy::Feed))?;
    let replan = ctx.store.order(id)?.is_some_and(|order| order.replan);
    if replan {
        report.wait(
            id.as_str(),
            format!("order {id} changed; it is planned again first"),
        );
        return Ok(false);
    }
    if outgoing && (!document.complete || document.workflow_in_error) {
        report.wait(
            id.as_str(),
            format!("order {id} is not fully paid or stuck in the storefront"),
        );
        return Ok(false);
    }
    if outgoing
        && matches!(
            document.stage,
            OrderStage::CancelRequested | OrderStage::Canceling | OrderStage::Canceled
        )
    {
        report.wait(id.as_str(), format!("order {id} is being canceled"));
        return Ok(false);
    }
    Ok(true)
}

/// T4, then the call, then T5, T6 or T7.
fn send(
    ctx: &Context<'_>,
    effect: &Effect,
    movement: &Movement,
    report: &mut Report,
) -> StageResult {
    let protocol = &ctx.settings.protocol;
    let send_by = ctx.clock.boot().plus_ms(protocol.gap);
    let deadline = send_by.plus_ms(protocol.movement_limit);
    let boot_id = ctx.clock.boot_id();
    if !ctx
        .store
        .write(|tx| tx.claim(effect, send_by, deadline, &boot_id, ctx.now))?
    {
        return Ok(());
    }
    let Some(claimed) = ctx.store.effect(effect.id)? else {
        return Ok(());
    };
    let permit = ctx.permit(send_by);
    let answer = permit
        .check()
        .and_then(|()| ctx.movements.book(movement, &permit));
    let order = &movement.order;
    match answer {
        Ok(found) => {
            report.reached += 1;
            match sight(movement, std::slice::from_ref(&found)) {
                Sighting::Booked(found, warning) => {
                    confirm(ctx, "T6", &claimed, &found, warning, report)
                }
                Sighting::Absent | Sighting::Conflict(_) => unknown(
                    ctx,
                    &claimed,
                    "the ERP answered with another movement",
                    false,
                    report,
                ),
            }
        }
        Err(PortError::Transient { reason, .. }) => {
            report.unreached += 1;
            let next = ctx.next_try(claimed.attempt - 1);
            ctx.store.write(|tx| {
                if tx.shift("T5", &claimed, EffectState::Planned, ctx.now)? {
                    tx.set_backoff(claimed.id, next, Some(&reason))?;
                }
                Ok(())
            })?;
            report.wait(
                order.as_str(),
                format!("order {order}: its movement was not sent: {reason}"),
            );
            Ok(())
        }
        Err(PortError::Uncertain { reason }) => unknown(ctx, &claimed, &reason, false, report),
        Err(PortError::Rejected { reason }) => unknown(ctx, &claimed, &reason, true, report),
        Err(PortError::Denied { reason }) => {
            unknown(ctx, &claimed, &reason, false, report)?;
            Err(Halt::Denied(reason))
        }
    }
}

/// T7: everything that is not certain is unknown, a refusal included, until the ERP was looked at.
fn unknown(
    ctx: &Context<'_>,
    effect: &Effect,
    reason: &str,
    refused: bool,
    report: &mut Report,
) -> StageResult {
    report.reached += 1;
    ctx.store.write(|tx| {
        if tx.shift("T7", effect, EffectState::Unknown, ctx.now)? {
            tx.set_reason(effect.id, reason, refused, ctx.now)?;
        }
        Ok(())
    })?;
    report.count("outcomes unknown");
    report.wait(
        effect.order.as_str(),
        format!(
            "order {}: outcome of its movement unknown: {reason}",
            effect.order
        ),
    );
    Ok(())
}

/// T2, T6, T11: the movement stands in the ERP. Records it, and frees what waited for it.
fn confirm(
    ctx: &Context<'_>,
    row: &str,
    effect: &Effect,
    found: &FoundMovement,
    warning: Option<String>,
    report: &mut Report,
) -> StageResult {
    let number = found.number.as_deref();
    let confirmed = ctx.store.write(|tx| {
        if !tx.shift(row, effect, EffectState::Done, ctx.now)? {
            return Ok(false);
        }
        let seq = tx.next_seq()?;
        tx.set_done(effect.id, &found.id, number, warning.as_deref(), seq)?;
        after_booking(ctx, tx, effect, seq)?;
        Ok(true)
    })?;
    if confirmed {
        report.count("movements booked");
        let number = number.unwrap_or(&found.id);
        let what = if effect.is_outgoing() {
            "out of"
        } else {
            "back into"
        };
        report.say(
            effect.order.as_str(),
            format!(
                "order {}: movement {number} {what} {} is booked",
                effect.order, effect.base
            ),
        );
    }
    if let Some(warning) = warning {
        log::warn!(order = effect.order.as_str(); "{warning}");
    }
    Ok(())
}

/// What follows from a confirmed movement: the order is in B, handling may start (H2), its SKUs are due.
fn after_booking(ctx: &Context<'_>, tx: &Tx<'_>, effect: &Effect, seq: Seq) -> StoreResult<()> {
    let effects = tx.attempts_of(&effect.order)?;
    let movements = || effects.iter().filter(|e| e.kind == EffectKind::Movement);
    let all_final = movements().all(|e| e.state.is_final());
    let some_out = movements().any(|e| e.state == EffectState::Done && e.is_outgoing());
    if all_final && some_out {
        tx.set_booked(&effect.order, Some(ctx.now), seq)?;
        let blocked = effects
            .iter()
            .find(|e| e.kind == EffectKind::Handling && e.state == EffectState::Blocked);
        if let Some(blocked) = blocked {
            tx.shift("H2", blocked, EffectState::Planned, ctx.now)?;
        }
    }
    tx.order_pushes_due(&effect.order, seq, ctx.store_time(), None)?;
    // A cancellation or change that waited for this outcome can be planned now.
    let order = tx.order(&effect.order)?;
    if order.is_some_and(|order| order.facts.canceled.is_some()) {
        tx.set_replan(&effect.order, true, Moment(0))?;
    }
    Ok(())
}

/// T12: what the ERP holds contradicts ours; a person must look.
fn quarantine(
    ctx: &Context<'_>,
    effect: &Effect,
    reason: &str,
    report: &mut Report,
) -> StageResult {
    let done = ctx.store.write(|tx| {
        if !tx.shift("T12", effect, EffectState::Quarantined, ctx.now)? {
            return Ok(false);
        }
        tx.set_reason(effect.id, reason, false, ctx.now)?;
        park(ctx, tx, effect, reason)?;
        Ok(true)
    })?;
    if done {
        report.count("movements quarantined");
    }
    Ok(())
}

fn park(ctx: &Context<'_>, tx: &Tx<'_>, effect: &Effect, reason: &str) -> StoreResult<()> {
    tx.park(&effect.order, reason, ctx.now)?;
    let body = NoticeBody {
        order: Some(effect.order.clone()),
        reason: Some(reason.to_owned()),
        action: Some(format!("stockbridge show {}", effect.order)),
        ..NoticeBody::default()
    };
    ctx.notify(tx, NoticeKind::Parked, effect.order.as_str(), &body)
}

/// In the reading without the depot: looks for the entry into the depot that names the order, made by a person.
fn look_for_remitos(ctx: &Context<'_>, pace: &Pace<'_>, report: &mut Report) -> StageResult {
    for effect in ctx.store.movements_without_remito(BATCH)? {
        if !ctx.wants(&effect.order) {
            continue;
        }
        if !pace.next() {
            return Ok(());
        }
        let text = marker_order(&effect.order);
        let rows = match report.called(
            ctx.movements
                .find(&ctx.settings.depot, &Search::Text(text.clone())),
        )? {
            Ok(Listing::Complete(rows)) => rows,
            Ok(Listing::Inconclusive(_)) | Err(_) => continue,
        };
        let is_remito = |row: &FoundMovement| {
            row.direction == Some(crate::domain::movement::Direction::In)
                && row.note.contains(&text)
                && !crate::domain::movement::MovementKey::looks_like(row.reference.trim())
        };
        if rows.iter().any(is_remito) {
            ctx.store.write(|tx| {
                let seq = tx.next_seq()?;
                tx.set_remito(&effect.order, seq)?;
                tx.close_picks(&effect.order)?;
                tx.order_pushes_due(&effect.order, seq, ctx.store_time(), None)
            })?;
            report.count("remitos seen");
            report.say(
                effect.order.as_str(),
                format!("order {}: its remito was made", effect.order),
            );
        }
    }
    Ok(())
}

/// Counts what waits for a person, on every run until it is resolved.
fn show_parked(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    for kind in [EffectKind::Movement, EffectKind::Handling] {
        for effect in ctx
            .store
            .effects_open(kind, BATCH)?
            .iter()
            .filter(|effect| effect.state.parks())
        {
            let reason = effect.reason.as_deref().unwrap_or("no reason was recorded");
            let order = &effect.order;
            let state = effect.state.as_str().to_lowercase();
            report.person(
                order.as_str(),
                format!("order {order}: {} is {state}: {reason}", kind.as_str()),
            );
        }
    }
    Ok(())
}
