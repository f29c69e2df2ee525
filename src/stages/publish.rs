//! Steps P2–P5 for a handful of numbers: what the storefront holds, the intent, the write, the reading back.

use std::collections::BTreeMap;

use crate::domain::ids::Seq;
use crate::domain::notice::{NoticeBody, NoticeKind};
use crate::domain::ports::{Permit, PortError, PortResult, StoreStock, Storefront};
use crate::domain::stock::{QuantityTerms, UNLIMITED, shown};
use crate::domain::time::{BootTime, Moment};
use crate::stages::context::{Context, in_parallel};
use crate::stages::quantity::{Item, count_orders};
use crate::stages::report::{Report, StageResult};
use crate::stages::settings::duration;
use crate::store::pushes::{Confirmation, Intent};
use crate::store::{StoreResult, Tx};

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
    /// What the storefront holds, once it was asked.
    pub held: Option<StoreStock>,
}

impl Candidate<'_> {
    /// Tells whether a later reading was looked at meanwhile, by a process that the lock should have kept out: what has
    /// settled since is missing from these terms, and not yet from this reading.
    fn overtaken(&self) -> bool {
        self.item.row.checked_seq > self.start_seq
    }

    /// Tells whether its number may go out: an incomplete reading must not raise what is offered.
    fn sound(&self) -> bool {
        let lowers = |held: &StoreStock| self.terms.lowers(held.total, held.reserved);
        self.terms.complete() || self.held.as_ref().is_some_and(lowers)
    }
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

/// Records for some numbers one reason why they could not be published.
pub fn hold_all<'i>(
    ctx: &Context<'_>,
    items: impl IntoIterator<Item = &'i Item<'i>>,
    reason: &str,
    report: &mut Report,
) -> StageResult {
    let holds = items
        .into_iter()
        .map(|item| (item, reason.to_owned(), false));
    hold(ctx, &holds.collect::<Vec<_>>(), report)
}

/// P2–P5 for a handful of numbers, under the storefront's lock; twice where one pass was not enough.
pub fn push_chunk<'a>(
    ctx: &Context<'_>,
    chunk: Vec<Candidate<'a>>,
    report: &mut Report,
) -> StageResult {
    let Some(_lock) = ctx.storefront_lock()? else {
        let reason = "the storefront's lock is held by another process";
        return hold_all(ctx, chunk.iter().map(|c| &c.item), reason, report);
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
    let (ready, send_by) = prepare(ctx, ready, report)?;
    let sent = {
        let (storefront, permit) = (ctx.storefront, ctx.permit(send_by));
        in_parallel(&ready, workers, |(candidate, _)| {
            send(storefront, candidate, permit)
        })
    };
    let mut again = Vec::new();
    let mut locked = false;
    for ((candidate, mut intent), sent) in ready.into_iter().zip(sent) {
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
            Sent::ReadBack(stock, answered) => {
                report.reached += 1;
                if !answered {
                    // The number may have stood there before: this write may still take effect, over a later one.
                    intent.uncertain_until = intent.inflight_until;
                }
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

/// P2: what the storefront holds. A SKU sold without limit is a person's decision and is left alone, unless it was ours.
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
        Some(stock) if stock.unlimited && !ours(&candidate) => {
            let note = "sold without limit in the storefront";
            let seq = candidate.start_seq;
            ctx.store
                .write(|tx| tx.skip_push(row, note, ctx.now, seq))?;
            report.count("SKUs sold without limit");
            Ok(None)
        }
        Some(stock) => Ok(Some(Candidate {
            held: Some(stock.clone()),
            ..candidate
        })),
        None => {
            let note = "the storefront has no such warehouse for the SKU".to_owned();
            hold(ctx, &[(&candidate.item, note, false)], report)?;
            Ok(None)
        }
    }
}

/// Tells whether selling without limit is what the ERP says, or said when this program last wrote.
fn ours(candidate: &Candidate<'_>) -> bool {
    let row = &candidate.item.row;
    [Some(candidate.desired), row.desired, row.published].contains(&Some(UNLIMITED))
}

/// P3: the terms once more under the lock, then the intent, durable before the call.
fn prepare<'a>(
    ctx: &Context<'_>,
    ready: Vec<Candidate<'a>>,
    report: &mut Report,
) -> StageResult<(Vec<(Candidate<'a>, Intent)>, BootTime)> {
    let boot = ctx.clock.boot();
    let send_by = boot.plus_ms(ctx.settings.protocol.gap);
    let (intended, unsound, seq) = ctx.store.write(|tx| {
        let mut intended = Vec::with_capacity(ready.len());
        let mut unsound = Vec::new();
        for candidate in ready {
            let candidate = look_again(ctx, tx, candidate)?;
            if candidate.overtaken() {
                let sku = candidate.item.sku.label();
                log::warn!(
                    sku = sku.as_str();
                    "SKU {sku} is not sent: another run has looked at a later reading, so the lock does not hold; hint: keep the state file and store.shared_locks on a local disk"
                );
            } else if candidate.sound() {
                let intent = intend(ctx, tx, &candidate, boot)?;
                intended.push((candidate, intent));
            } else {
                unsound.push(candidate);
            }
        }
        Ok((intended, unsound, tx.next_seq()?))
    })?;
    let why = |c: &Candidate<'_>| {
        let bases: Vec<_> = c.terms.missing.iter().map(ToString::to_string).collect();
        format!(
            "no stock from {}, and what is offered could rise",
            bases.join(", ")
        )
    };
    let holds: Vec<_> = unsound.iter().map(|c| (&c.item, why(c), false)).collect();
    hold(ctx, &holds, report)?;
    ctx.mark(seq)?;
    Ok((intended, send_by))
}

/// The number as it is under the lock: `move` may have started handling, or confirmed a movement, since the numbers were
/// compared.
fn look_again<'a>(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    mut candidate: Candidate<'a>,
) -> StoreResult<Candidate<'a>> {
    if let Some(row) = tx.push(&candidate.item.row.sku, &candidate.item.row.warehouse)? {
        candidate.item.row = row;
    }
    if !candidate.bound {
        let row = &candidate.item.row;
        candidate.out_open = count_orders(ctx, tx, row, candidate.start_seq, &mut candidate.terms)?;
        candidate.desired = candidate.terms.desired();
    }
    Ok(candidate)
}

fn intend(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    candidate: &Candidate<'_>,
    boot: BootTime,
) -> StoreResult<Intent> {
    let protocol = &ctx.settings.protocol;
    let longest = protocol.gap + protocol.stock_limit + protocol.stock_settle;
    let boot_id = ctx.clock.boot_id();
    let row = &candidate.item.row;
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
    Ok(intent)
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
    if held.number() != intent.desired {
        mismatch(ctx, &candidate, held.number(), report)?;
        return Ok(None);
    }
    let oversold = !held.unlimited && candidate.terms.oversold(held.reserved, candidate.out_open);
    let over = intent.uncertain_until.0 == 0 || intent.uncertain_until < ctx.clock.boot();
    ctx.store.write(|tx| {
        tx.confirm_push(
            row,
            &Confirmation {
                published: held.number(),
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
        format!(
            "SKU {label} in {}: {} published",
            row.warehouse,
            shown(held.number())
        ),
    );
    let sells =
        |s: &StoreStock| s.warehouse != row.warehouse && (s.unlimited || s.total > s.reserved);
    // A negative available here would switch the SKU off where it can still be sold.
    if may_repeat && !intent.bound && held.number() < held.reserved && stock.iter().any(sells) {
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
    let (sent, read) = (shown(candidate.desired), shown(total));
    let reason = format!("{sent} was sent and {read} was read back");
    ctx.store.write(|tx| {
        tx.hold_push(&row, &reason, ctx.next_try(row.failures))?;
        if row.mismatches >= MISMATCHES_TOLD {
            let figures =
                BTreeMap::from([("sent".to_owned(), sent), ("read back".to_owned(), read)]);
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

fn tell(
    ctx: &Context<'_>,
    tx: &Tx<'_>,
    candidate: &Candidate<'_>,
    held: &StoreStock,
    oversold: bool,
) -> StoreResult<()> {
    let row = &candidate.item.row;
    let label = candidate.item.sku.label();
    let figures = BTreeMap::from([
        ("stock".to_owned(), candidate.terms.stock().to_string()),
        ("published".to_owned(), shown(held.number())),
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
