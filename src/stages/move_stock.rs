//! Books each order's movement in the ERP, exactly once, then starts its handling in the storefront.
//!
//! The ERP keeps no idempotency key, so a movement is sent only after its intent is durable (T4), and an attempt
//! without a certain answer is looked for, twice and apart, before anything else happens to it (T11, T13, T14). Each
//! function here is named after what it does to one row of the transition table in [`crate::domain::effect`].

use std::collections::BTreeMap;

use crate::domain::effect::{EffectKind, EffectState};
use crate::domain::ids::{BaseCode, OrderId};
use crate::domain::movement::{FoundMovement, Movement, Sighting, marker_order, sight};
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::order::OrderStage;
use crate::domain::ports::{Listing, PortError, Search};
use crate::domain::time::BootTime;
use crate::stages::context::{BATCH, Context, Pace};
use crate::stages::listing::{Depth, SEARCHES_PER_CANARY, Verdict, search};
use crate::stages::report::{Halt, Report, StageResult};
use crate::stages::{handling, intake, order_book, reconcile};
use crate::store::attempts::Effect;
use crate::store::orders::FoundBy;
use crate::store::{StoreError, StoreResult, Tx};

/// The most that one look at the ERP adds to the time in which nothing was decided.
const LONGEST_LOOK_MS: i64 = 15 * 60_000;

/// Runs the stage. Its lock proves that an effect found claimed belongs to a dead process.
pub fn run(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    let pace = Pace::new(ctx);
    adopt_orphans(ctx, report)?;
    if let Some(book) = ctx.order_book {
        order_book::look(ctx, book, &pace, report)?;
    } else {
        decide_unknown(ctx, &pace, report)?;
        book_planned(ctx, &pace, report)?;
    }
    handling::run(ctx, &pace, report)?;
    if ctx.settings.by_remito {
        look_for_remitos(ctx, &pace, report)?;
    }
    show_parked(ctx, report)?;
    reconcile::audit_daily(ctx, report)
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
                if let (EffectKind::Movement, Err(StoreError::Broken(reason))) =
                    (kind, effect.movement())
                {
                    quarantine(ctx, &effect, &Cause::rows(reason, vec![]), report)?;
                    continue;
                }
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
            let Some(effect) = ctx.store.effect(effect.id)? else {
                continue;
            };
            if effect.state == EffectState::Unknown && effect.boot_id.as_ref() != Some(&boot_id) {
                ctx.store.write(|tx| {
                    // A start of handling needs no row for it: H8 asks for the boot itself.
                    if kind == EffectKind::Movement
                        && tx.shift("T10", &effect, EffectState::Unknown, ctx.now)?
                    {
                        tx.set_rebooted(effect.id, ctx.clock.boot(), &boot_id)?;
                    }
                    Ok(())
                })?;
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
            Err(StoreError::Broken(reason)) => {
                quarantine(ctx, &effect, &Cause::rows(reason, vec![]), report)?
            }
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

/// T8, T11–T14: looks for the movements whose outcome is unknown, and for those that only time has quarantined.
fn decide_unknown(ctx: &Context<'_>, pace: &Pace<'_>, report: &mut Report) -> StageResult {
    let mut unknown = open_movements(ctx, EffectState::Unknown)?;
    let late = open_movements(ctx, EffectState::Quarantined)?;
    unknown.extend(late.into_iter().filter(|effect| effect.timed_out));
    for batch in batches(ctx, unknown, report)? {
        if !pace.next() {
            report.waiting += 1;
            continue;
        }
        let began = ctx.clock.boot();
        let verdicts = if ctx.settings.searchable {
            search(ctx, &batch[0].1.base, &batch, Depth::AfterSending, report)?
        } else {
            let reason = "its outcome is unknown and the ERP cannot be searched";
            vec![Verdict::Conflict(reason.into(), vec![]); batch.len()]
        };
        for ((effect, movement), verdict) in batch.iter().zip(verdicts) {
            match verdict {
                Verdict::Booked(found, warning) => {
                    confirm(ctx, "T11", effect, &found, warning, report)?
                }
                _ if effect.state == EffectState::Quarantined => {}
                verdict => decide(ctx, effect, movement, verdict, began, report)?,
            }
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
    let settle = ctx.settings.protocol.movement_settle;
    let over = effect.deadline.is_none_or(|d| began >= d.plus_ms(settle)) && !ctx.held()?;
    let (answered, open) = match verdict {
        Verdict::Booked(..) => return Ok(()),
        Verdict::Conflict(reason, ids) => {
            return quarantine(ctx, effect, &Cause::rows(reason, ids), report);
        }
        Verdict::Absent if over => return absent(ctx, effect, movement, began, report),
        Verdict::Absent => (true, "it may still be applied".to_owned()),
        Verdict::AbsentUnproved => (true, "nothing proves the listing yet".to_owned()),
        Verdict::Inconclusive(reason, answered) => (answered, reason),
    };
    let why = effect.reason.as_deref().unwrap_or("no answer");
    let undecided = format!("outcome of its movement unknown ({why}), {open}");
    undecided_for(ctx, effect, answered, &undecided, report)
}

/// Counts the time in which the ERP answered and nothing was decided; a person is called when it is too long.
fn undecided_for(
    ctx: &Context<'_>,
    effect: &Effect,
    answered: bool,
    undecided: &str,
    report: &mut Report,
) -> StageResult {
    let order = &effect.order;
    report.wait(order.as_str(), format!("order {order}: {undecided}"));
    if !answered {
        return Ok(());
    }
    let since = effect.looked_at.map_or(0, |last| ctx.now.ms_since(last));
    let total = effect.undecided_ms + since.clamp(0, LONGEST_LOOK_MS);
    ctx.store
        .write(|tx| tx.set_looked(effect.id, total, ctx.now))?;
    if total < ctx.settings.protocol.undecided_after {
        return Ok(());
    }
    let cause = Cause {
        reason: format!("undecided for too long: {undecided}"),
        suspects: vec![],
        timed_out: true,
    };
    quarantine(ctx, effect, &cause, report)
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
        ctx.store.write(|tx| {
            if tx.shift("T13", effect, EffectState::Unknown, ctx.now)? {
                tx.set_absent(effect.id, began)?;
            }
            Ok(())
        })?;
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
    let due = ctx.due();
    let (ready, later): (Vec<_>, Vec<_>) = open_movements(ctx, EffectState::Planned)?
        .into_iter()
        .partition(|effect| due.has(effect.not_before));
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
        let verdicts = if ctx.settings.searchable {
            search(ctx, &first.base, &fresh, Depth::BeforeSending, report)?
        } else {
            vec![Verdict::AbsentUnproved; fresh.len()]
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
    let held = ctx.held()?;
    let first = effect.attempt == 0 || !effect.doubted;
    let vouched = vouched(ctx, &effect.order)?;
    let (answered, why) = match verdict {
        Verdict::Booked(found, warning) => {
            return confirm(ctx, "T2", effect, &found, warning, report);
        }
        Verdict::Conflict(reason, ids) => {
            return quarantine(ctx, effect, &Cause::rows(reason, ids), report);
        }
        Verdict::Absent | Verdict::AbsentUnproved if held => {
            let sentence = format!(
                "order {order}: nothing is booked while a movement of the time that this state file has lost may \
                 still be applied"
            );
            report.wait(order.as_str(), sentence);
            return Ok(());
        }
        Verdict::Absent => return send(ctx, effect, movement, report),
        Verdict::AbsentUnproved if first && vouched => {
            return send(ctx, effect, movement, report);
        }
        Verdict::AbsentUnproved if !ctx.settings.searchable => {
            let reason = "it may have been booked, and the ERP cannot be searched";
            return quarantine(ctx, effect, &Cause::rows(reason.into(), vec![]), report);
        }
        Verdict::AbsentUnproved => (true, "nothing proves the ERP's listing yet".to_owned()),
        Verdict::Inconclusive(reason, answered) => (answered, reason),
    };
    if effect.attempt > 0 {
        return undecided_for(ctx, effect, answered, &why, report);
    }
    report.wait(order.as_str(), format!("order {order}: {why}"));
    Ok(())
}

/// Tells whether a movement that was never sent here can have been sent by nobody: this memory has lost nothing, or
/// nothing of this order, or what it lost was looked for.
fn vouched(ctx: &Context<'_>, id: &OrderId) -> StageResult<bool> {
    let instance = ctx.store.instance()?;
    let order = ctx.store.order(id)?;
    Ok(order.is_some_and(|order| {
        order.searched_generation == instance.generation || !ctx.may_be_lost(&instance, &order)
    }))
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
    let claimed = ctx
        .store
        .write(|tx| tx.claim(effect, send_by, deadline, &boot_id, ctx.now))?;
    let Some(seq) = claimed else { return Ok(()) };
    ctx.mark(seq)?;
    let claimed = effect.claimed();
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
pub fn confirm(
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
        tx.set_done(effect.id, found, warning.as_deref(), seq)?;
        tx.after_booking(&effect.order, seq, ctx.now, ctx.store_time())?;
        if effect.state.parks() {
            tx.unpark(&effect.order)?;
        }
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

/// Why a movement is quarantined.
struct Cause {
    reason: String,
    /// The ERP's rows behind it.
    suspects: Vec<String>,
    /// Only time calls the person: a later unique match still settles the movement.
    timed_out: bool,
}

impl Cause {
    fn rows(reason: String, suspects: Vec<String>) -> Self {
        Self {
            reason,
            suspects,
            timed_out: false,
        }
    }
}

/// T12: what the ERP holds contradicts ours, or decides nothing for too long; a person must look.
fn quarantine(
    ctx: &Context<'_>,
    effect: &Effect,
    cause: &Cause,
    report: &mut Report,
) -> StageResult {
    let done = ctx.store.write(|tx| {
        if !tx.shift("T12", effect, EffectState::Quarantined, ctx.now)? {
            return Ok(false);
        }
        tx.set_reason(effect.id, &cause.reason, false, ctx.now)?;
        tx.set_suspects(effect.id, &cause.suspects, cause.timed_out)?;
        park(ctx, tx, effect, &cause.reason)?;
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
