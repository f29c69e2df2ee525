//! Steps P2–P5 for a handful of numbers: what the storefront holds, the intent, the write, the reading back.

use std::collections::BTreeMap;

use crate::domain::ids::Seq;
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::ports::{Permit, PortError, PortResult, StoreStock, Storefront};
use crate::domain::qty::Qty;
use crate::domain::stock::QuantityTerms;
use crate::domain::time::{BootTime, Moment};
use crate::stages::context::{Context, in_parallel};
use crate::stages::quantity::Item;
use crate::stages::report::{Report, StageResult};
use crate::stages::settings::duration;
use crate::store::pushes::{Confirmation, Intent};

/// Another number is read back so often in a row before people are told.
const MISMATCHES_TOLD: i64 = 3;

/// A number that must be sent.
pub struct Candidate<'a> {
    /// The SKU and its row.
    pub item: Item<'a>,
    /// The terms of its number.
    pub terms: QuantityTerms,
    /// The number to send.
    pub desired: i64,
    /// The instant that goes out with it.
    pub as_of: Moment,
    /// Whether it was raised to what is reserved.
    pub bound: bool,
    /// Units of outgoing movements whose outcome is open.
    pub out_open: i64,
    /// The counter when the reading began.
    pub start_seq: Seq,
}

/// How one write ended.
enum Sent {
    /// What was read back, and whether the write itself was answered with success.
    ReadBack(Vec<StoreStock>, bool),
    /// The storefront was locked and discarded it.
    Locked(String),
    /// Not confirmed; the next run goes on.
    Open(PortError),
}

/// Records why numbers could not be published; they stay due. The flag counts an absence from a complete reading.
pub fn hold(
    ctx: &Context<'_>,
    holds: &[(&Item<'_>, String, bool)],
    report: &mut Report,
) -> StageResult {
    ctx.store.write(|tx| {
        for (item, reason, absent) in holds {
            let mut row = item.row.clone();
            row.absences += i64::from(*absent);
            tx.hold_push(&row, reason, ctx.next_try(row.failures))?;
        }
        Ok(())
    })?;
    for (item, reason, _) in holds {
        let sku = &item.row.sku;
        report.wait(
            sku.as_str(),
            format!(
                "SKU {} in {} waits: {reason}",
                item.sku.label(),
                item.row.warehouse
            ),
        );
    }
    Ok(())
}

/// P2–P5 for a handful of numbers, under the storefront's lock; twice where one pass was not enough.
pub fn push_chunk<'a>(
    ctx: &Context<'_>,
    chunk: Vec<Candidate<'a>>,
    report: &mut Report,
) -> StageResult {
    let Some(_lock) = ctx.storefront_lock()? else {
        let reason = "the storefront's lock is held by another process";
        let holds: Vec<_> = chunk
            .iter()
            .map(|c| (&c.item, reason.to_owned(), false))
            .collect();
        return hold(ctx, &holds, report);
    };
    let again = pass(ctx, chunk, true, report)?;
    if !again.is_empty() {
        pass(ctx, again, false, report)?;
    }
    Ok(())
}

fn pass<'a>(
    ctx: &Context<'_>,
    chunk: Vec<Candidate<'a>>,
    may_repeat: bool,
    report: &mut Report,
) -> StageResult<Vec<Candidate<'a>>> {
    let workers = ctx.settings.workers;
    let held = in_parallel(&chunk, workers, |c| ctx.storefront.stock(&c.item.row.sku));
    let mut ready = Vec::with_capacity(chunk.len());
    for (candidate, held) in chunk.into_iter().zip(held) {
        let held = report.called(held)?;
        if let Some(candidate) = sellable(ctx, candidate, held, report)? {
            ready.push(candidate);
        }
    }
    let (intents, send_by) = prepare(ctx, &mut ready)?;
    let sent = {
        let (storefront, permit) = (ctx.storefront, ctx.permit(send_by));
        in_parallel(&ready, workers, |candidate| {
            send(storefront, candidate, permit)
        })
    };
    let mut again = Vec::new();
    let mut locked = false;
    for ((candidate, intent), sent) in ready.into_iter().zip(intents).zip(sent) {
        match sent {
            Sent::Locked(_) if may_repeat => {
                locked = true;
                again.push(candidate);
            }
            Sent::Locked(reason) => hold(ctx, &[(&candidate.item, reason, false)], report)?,
            Sent::Open(err) => {
                let err = report.called::<()>(Err(err))?;
                let reason = err.err().map_or_else(String::new, |e| e.to_string());
                hold(ctx, &[(&candidate.item, reason, false)], report)?;
            }
            // An equal number proves nothing about the reservations that this very write was to clear.
            Sent::ReadBack(_, false) if candidate.item.row.ack_t > candidate.item.row.pushed_t => {
                let reason =
                    "whether acknowledged reservations were cleared is not known".to_owned();
                hold(ctx, &[(&candidate.item, reason, false)], report)?;
            }
            Sent::ReadBack(stock, _) => {
                report.reached += 1;
                again.extend(judge(ctx, candidate, &intent, &stock, may_repeat, report)?);
            }
        }
    }
    if locked {
        // The storefront discards writes to a locked SKU and asks to come back after some seconds.
        ctx.clock.sleep(duration(
            2000 + i64::try_from(ctx.rng.uniform(3000)).unwrap_or(0),
        ));
    }
    Ok(again)
}

/// P2: what the storefront holds. A SKU sold without limit is a person's decision and is left alone.
fn sellable<'a>(
    ctx: &Context<'_>,
    candidate: Candidate<'a>,
    held: PortResult<Vec<StoreStock>>,
    report: &mut Report,
) -> StageResult<Option<Candidate<'a>>> {
    let held = match held {
        Ok(held) => held,
        Err(err) => {
            hold(ctx, &[(&candidate.item, err.to_string(), false)], report)?;
            return Ok(None);
        }
    };
    let row = &candidate.item.row;
    match held.iter().find(|stock| stock.warehouse == row.warehouse) {
        Some(stock) if stock.unlimited => {
            let note = "sold without limit in the storefront";
            let seq = candidate.start_seq;
            ctx.store
                .write(|tx| tx.skip_push(row, note, ctx.now, seq))?;
            report.count("SKUs sold without limit");
            Ok(None)
        }
        Some(_) => Ok(Some(candidate)),
        None => {
            let note = "the storefront has no such warehouse for the SKU".to_owned();
            hold(ctx, &[(&candidate.item, note, false)], report)?;
            Ok(None)
        }
    }
}

/// P3: the terms once more under the lock, then the intent, durable before the call.
fn prepare<'a>(
    ctx: &Context<'_>,
    ready: &mut [Candidate<'a>],
) -> StageResult<(Vec<Intent>, BootTime)> {
    let protocol = &ctx.settings.protocol;
    let boot = ctx.clock.boot();
    let boot_id = ctx.clock.boot_id();
    let longest = protocol.gap + protocol.stock_limit + protocol.stock_settle;
    let (intents, seq) = ctx.store.write(|tx| {
        let mut intents = Vec::with_capacity(ready.len());
        for candidate in ready.iter_mut() {
            let row = tx.push(&candidate.item.row.sku, &candidate.item.row.warehouse)?;
            if let Some(row) = row {
                candidate.item.row = row;
            }
            let row = &candidate.item.row;
            if !candidate.bound {
                // `move` may have started handling, or confirmed a movement, since the numbers were compared.
                let (orders, open) = tx.terms(
                    &row.sku,
                    &row.warehouse,
                    candidate.start_seq,
                    ctx.settings.by_remito,
                )?;
                candidate.terms.orders = orders;
                candidate.out_open = open;
                candidate.desired = candidate.terms.desired();
            }
            let rebooted = row.boot_id != boot_id;
            let waits = |until: BootTime| match until.0 {
                0 => BootTime(0),
                _ if rebooted => boot.plus_ms(longest),
                _ => until,
            };
            let changed = row.desired != Some(candidate.desired) || row.ack_t > row.pushed_t;
            let intent = Intent {
                desired: candidate.desired,
                ver: row.ver + i64::from(changed),
                bound: candidate.bound,
                inflight_until: boot.plus_ms(longest),
                uncertain_until: waits(row.uncertain_until).max(waits(row.inflight_until)),
            };
            tx.prepare_push(row, &intent, &boot_id)?;
            intents.push(intent);
        }
        Ok((intents, tx.next_seq()?))
    })?;
    ctx.mark(seq)?;
    Ok((intents, boot.plus_ms(protocol.gap)))
}

/// P5: only an equal number confirms. Returns the candidate when one more pass is needed.
fn judge<'a>(
    ctx: &Context<'_>,
    candidate: Candidate<'a>,
    intent: &Intent,
    stock: &[StoreStock],
    may_repeat: bool,
    report: &mut Report,
) -> StageResult<Option<Candidate<'a>>> {
    let row = &candidate.item.row;
    let Some(held) = stock.iter().find(|s| s.warehouse == row.warehouse) else {
        hold(
            ctx,
            &[(
                &candidate.item,
                "the read-back does not show the warehouse".into(),
                false,
            )],
            report,
        )?;
        return Ok(None);
    };
    if held.total != intent.desired {
        mismatch(ctx, &candidate, held.total, report)?;
        return Ok(None);
    }
    let oversold = is_oversold(&candidate, held.reserved);
    let over = intent.uncertain_until.0 == 0 || intent.uncertain_until < ctx.clock.boot();
    ctx.store.write(|tx| {
        tx.confirm_push(
            row,
            &Confirmation {
                published: held.total,
                ver: intent.ver,
                pushed_t: candidate.as_of,
                checked_t: candidate.terms.read_at,
                checked_seq: candidate.start_seq,
                now: ctx.now,
                uncertain_until: if over {
                    BootTime(0)
                } else {
                    intent.uncertain_until
                },
                bound: intent.bound,
                oversold,
                terms: &candidate.terms,
            },
        )?;
        tell(ctx, tx, &candidate, held, oversold)
    })?;
    report.count("SKUs published");
    let label = candidate.item.sku.label();
    report.say(
        row.sku.as_str(),
        format!("SKU {label} in {}: {} published", row.warehouse, held.total),
    );
    let sells =
        |s: &StoreStock| s.warehouse != row.warehouse && (s.unlimited || s.total > s.reserved);
    // A negative available here would switch the SKU off where it can still be sold.
    if may_repeat && !intent.bound && held.total < held.reserved && stock.iter().any(sells) {
        let desired = held.reserved;
        return Ok(Some(Candidate {
            desired,
            bound: true,
            ..candidate
        }));
    }
    Ok(None)
}

fn mismatch(
    ctx: &Context<'_>,
    candidate: &Candidate<'_>,
    total: i64,
    report: &mut Report,
) -> StageResult {
    let mut row = candidate.item.row.clone();
    row.mismatches += 1;
    let reason = format!("{} was sent and {total} was read back", candidate.desired);
    ctx.store.write(|tx| {
        tx.hold_push(&row, &reason, ctx.next_try(row.failures))?;
        if row.mismatches >= MISMATCHES_TOLD {
            let figures = BTreeMap::from([
                ("sent".to_owned(), candidate.desired.to_string()),
                ("read back".to_owned(), total.to_string()),
            ]);
            let body = NoticeBody {
                sku: Some(row.sku.clone()),
                figures,
                ..NoticeBody::default()
            };
            ctx.notify(tx, NoticeKind::AnotherWriter, row.sku.as_str(), &body)?;
        }
        Ok(())
    })?;
    report.wait(
        row.sku.as_str(),
        format!("SKU {}: {reason}", candidate.item.sku.label()),
    );
    Ok(())
}

fn is_oversold(candidate: &Candidate<'_>, reserved: i64) -> bool {
    let promised = Qty::whole(reserved);
    let free = candidate.terms.quantity() + candidate.terms.safety + Qty::whole(candidate.out_open);
    free < promised
}

fn tell(
    ctx: &Context<'_>,
    tx: &crate::store::Tx<'_>,
    candidate: &Candidate<'_>,
    held: &StoreStock,
    oversold: bool,
) -> crate::store::StoreResult<()> {
    let row = &candidate.item.row;
    let label = candidate.item.sku.label();
    let figures = BTreeMap::from([
        ("stock".to_owned(), candidate.terms.stock().to_string()),
        ("published".to_owned(), held.total.to_string()),
        ("reserved".to_owned(), held.reserved.to_string()),
        ("warehouse".to_owned(), row.warehouse.to_string()),
    ]);
    let body = NoticeBody {
        sku: Some(row.sku.clone()),
        reason: Some(label),
        action: Some(format!("stockbridge explain {}", row.sku)),
        figures,
        ..NoticeBody::default()
    };
    if oversold {
        ctx.notify(tx, NoticeKind::Oversold, row.sku.as_str(), &body)?;
    }
    if candidate.terms.vanished {
        ctx.notify(tx, NoticeKind::Vanished, row.sku.as_str(), &body)?;
    }
    Ok(())
}

/// P4, and the reading back of P5. Runs on a worker thread, so it gets the doors and nothing else.
fn send(storefront: &dyn Storefront, candidate: &Candidate<'_>, permit: Permit<'_>) -> Sent {
    let row = &candidate.item.row;
    let answer = permit.check().and_then(|()| {
        storefront.set_quantity(
            &row.sku,
            &row.warehouse,
            candidate.desired,
            candidate.as_of,
            &permit,
        )
    });
    match answer {
        // Whatever the answer to an absolute write, the number read back decides.
        Ok(()) | Err(PortError::Uncertain { .. }) => match storefront.stock(&row.sku) {
            Ok(stock) => Sent::ReadBack(stock, answer.is_ok()),
            Err(err) => Sent::Open(err),
        },
        Err(PortError::Transient { reason, .. }) if reason.contains("locked") => {
            Sent::Locked(reason)
        }
        Err(err) => Sent::Open(err),
    }
}
