//! Forgets what is settled and old. Never open work, never a key: a key that is gone could be booked again.

use std::time::Duration;

use crate::domain::ports::Held;
use crate::stages::context::Context;
use crate::stages::report::{Halt, Report, StageResult};
use crate::store::gc::Dust;

/// Rows removed in one run, and in one transaction.
const MOST_ROWS: u32 = 5_000;
const BATCH_ROWS: u32 = 500;
/// How often a routine run removes anything.
const ROUTINE_MS: i64 = 3_600_000;
/// Beyond such a jump of the clock nothing is removed: one bad clock must not empty the memory.
const CLOCK_JUMP_MS: i64 = 48 * 3_600_000;

/// Runs the stage. It needs every stage's lock, since what it removes must not be in use.
pub fn run(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    let since = ctx.now.ms_since(ctx.store.mark_at("gc")?);
    if ctx.ask.routine && (0..ROUTINE_MS).contains(&since) {
        return Ok(());
    }
    let Some(_locks) = other_locks(ctx)? else {
        report.wait("gc", "another stage is running; gc runs another time");
        return Ok(());
    };
    if !clock_is_sane(ctx, report)? {
        return Ok(());
    }
    let mut left = MOST_ROWS;
    let old = ctx.now.plus_ms(-ctx.settings.gc.settled_after);
    let orders = ctx.store.orders_to_forget(old, left)?;
    for chunk in orders.chunks(100) {
        ctx.store
            .write(|tx| chunk.iter().try_for_each(|id| tx.forget_order(id)))?;
        left = left.saturating_sub(u32::try_from(chunk.len()).unwrap_or(left));
        report.add("orders forgotten", chunk.len());
    }
    for dust in Dust::ALL {
        left = left.saturating_sub(sweep(ctx, dust, left, report)?);
    }
    if left == 0 {
        log::warn!("gc removed {MOST_ROWS} rows and left the rest for the next run");
    }
    ctx.store.write(|tx| tx.set_mark("gc", ctx.now.0))?;
    ctx.store.compact()?;
    Ok(())
}

/// Takes the locks of the other stages in pipeline order, then the storefront's; `None` when one is held.
fn other_locks(ctx: &Context<'_>) -> StageResult<Option<Vec<Box<dyn Held>>>> {
    let mut held = Vec::new();
    for name in ["poll", "reserve", "move", "push-stock", "notify", "vtex"] {
        match ctx
            .locks
            .hold(name, ctx.ask.wait.max(Duration::from_millis(50)))
            .map_err(Halt::Lock)?
        {
            Some(lock) => held.push(lock),
            None => return Ok(None),
        }
    }
    Ok(Some(held))
}

fn clock_is_sane(ctx: &Context<'_>, report: &mut Report) -> StageResult<bool> {
    let last = ctx.store.mark_at("gc")?;
    let gap = ctx.now.ms_since(last);
    if last.0 != 0 && !(0..=CLOCK_JUMP_MS).contains(&gap) {
        report.say(
            "gc",
            format!(
                "the clock stands {} h from the last run of gc; only the time was noted",
                gap / 3_600_000
            ),
        );
        ctx.store.write(|tx| tx.set_mark("gc", ctx.now.0))?;
        return Ok(false);
    }
    Ok(true)
}

fn sweep(ctx: &Context<'_>, dust: Dust, left: u32, report: &mut Report) -> StageResult<u32> {
    let gc = &ctx.settings.gc;
    let age = match dust {
        Dust::PushLog | Dust::FeedEvents => gc.records_after,
        Dust::Notices => gc.notices_after,
        Dust::Rejects => gc.rejects_after,
    };
    let before = ctx.now.plus_ms(-age);
    let mut removed = 0;
    while removed < left {
        let n = ctx
            .store
            .write(|tx| tx.sweep(dust, before, BATCH_ROWS.min(left - removed)))?;
        if n == 0 {
            break;
        }
        removed += u32::try_from(n).unwrap_or(left);
    }
    report.add(
        &format!("{} removed", dust.as_str()),
        usize::try_from(removed).unwrap_or(0),
    );
    Ok(removed)
}
