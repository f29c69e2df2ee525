//! Sends what is queued: at least once, and every copy after an unknown outcome marked as such.

use crate::domain::notice::{Notice, NoticeBody, NoticeKind};
use crate::domain::ports::PortError;
use crate::domain::time::Moment;
use crate::stages::context::{BATCH, Context, Pace};
use crate::stages::report::{Halt, Report, StageResult};
use crate::store::outbox::{NoticeState, OutboxRow};

/// Runs the stage.
pub fn run(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    queue_digest(ctx)?;
    let pace = Pace::new(ctx);
    for row in ctx.store.outbox_open(BATCH)? {
        let Some(row) = ready(ctx, row, report)? else {
            continue;
        };
        if !ctx.due().has(row.not_before) {
            report.waiting += 1;
            continue;
        }
        if !pace.next() {
            report.waiting += 1;
            continue;
        }
        send(ctx, row, report)?;
    }
    let stuck = ctx.store.outbox_quarantined(BATCH)?;
    for row in &stuck {
        let reason = row.reason.as_deref().unwrap_or("unknown outcome");
        report.person(
            &row.key,
            format!(
                "notice {} ({}) was not delivered: {reason}",
                row.key, row.subject
            ),
        );
    }
    Ok(())
}

/// Sums up alerts that came again, once per period.
fn queue_digest(ctx: &Context<'_>) -> StageResult {
    let last = ctx.store.mark_at("digest")?;
    if ctx.now.ms_since(last) < ctx.settings.notices.digest_every && last <= ctx.now {
        return Ok(());
    }
    ctx.store.write(|tx| {
        let repeats = tx.take_repeats()?;
        if !repeats.is_empty() {
            let body = NoticeBody {
                repeats,
                ..NoticeBody::default()
            };
            ctx.notify(tx, NoticeKind::Digest, "digest", &body)?;
        }
        tx.set_mark("digest", ctx.now.0)
    })?;
    Ok(())
}

/// Brings a notice of a dead process, or one with an unknown outcome, back to where it can be sent again; `None` when
/// a person must look at it instead.
fn ready(
    ctx: &Context<'_>,
    mut row: OutboxRow,
    report: &mut Report,
) -> StageResult<Option<OutboxRow>> {
    if row.state == NoticeState::Sending {
        row.state = NoticeState::Unknown;
        row.reason = Some("the program ended while it was being sent".into());
        ctx.store
            .write(|tx| tx.shift_notice(&row, NoticeState::Sending, ctx.now))?;
    }
    if row.state != NoticeState::Unknown {
        return Ok(Some(row));
    }
    if row.resends >= ctx.settings.notices.max_resends {
        row.state = NoticeState::Quarantined;
        ctx.store
            .write(|tx| tx.shift_notice(&row, NoticeState::Unknown, ctx.now))?;
        report.count("quarantined");
        return Ok(None);
    }
    row.state = NoticeState::Planned;
    row.resends += 1;
    row.maybe_duplicate = true;
    row.not_before = Moment(0);
    ctx.store
        .write(|tx| tx.shift_notice(&row, NoticeState::Unknown, ctx.now))?;
    Ok(Some(row))
}

fn send(ctx: &Context<'_>, mut row: OutboxRow, report: &mut Report) -> StageResult {
    row.state = NoticeState::Sending;
    row.attempt += 1;
    let claimed = ctx.store.write(|tx| {
        let claimed = tx.shift_notice(&row, NoticeState::Planned, ctx.now)?;
        Ok(if claimed { Some(tx.next_seq()?) } else { None })
    })?;
    let Some(seq) = claimed else { return Ok(()) };
    ctx.mark(seq)?;
    let notice = Notice {
        key: row.key.clone(),
        kind: row.kind,
        body: row.body.clone(),
        written: row.created_at,
        maybe_duplicate: row.maybe_duplicate,
    };
    let answer = ctx.notifier.send(&notice);
    let mut denied = None;
    (row.state, row.reason) = match answer {
        Ok(()) => (NoticeState::Sent, None),
        Err(PortError::Transient { reason, .. }) => (NoticeState::Planned, Some(reason)),
        Err(PortError::Uncertain { reason }) => (NoticeState::Unknown, Some(reason)),
        Err(PortError::Rejected { reason }) => (NoticeState::Quarantined, Some(reason)),
        Err(PortError::Denied { reason }) => {
            denied = Some(reason.clone());
            (NoticeState::Planned, Some(reason))
        }
    };
    if row.state == NoticeState::Planned {
        row.not_before = ctx.next_try(row.attempt - 1);
    }
    ctx.store
        .write(|tx| tx.shift_notice(&row, NoticeState::Sending, ctx.now))?;
    if let Some(reason) = denied {
        return Err(Halt::Denied(reason));
    }
    tell(&row, report);
    Ok(())
}

fn tell(row: &OutboxRow, report: &mut Report) {
    let (kind, subject) = (row.kind.as_str(), &row.subject);
    let reason = row.reason.as_deref().unwrap_or_default();
    match row.state {
        NoticeState::Sent => {
            report.reached += 1;
            report.count("sent");
            report.say(&row.key, format!("notice {kind} about {subject} was sent"));
        }
        NoticeState::Planned => {
            report.unreached += 1;
            report.wait(
                &row.key,
                format!("notice {kind} about {subject} waits: {reason}"),
            );
        }
        NoticeState::Unknown | NoticeState::Sending => {
            report.reached += 1;
            report.wait(
                &row.key,
                format!("notice {kind} about {subject} may or may not have arrived: {reason}"),
            );
        }
        // Counted with all quarantined notices at the end of the run.
        NoticeState::Quarantined => report.reached += 1,
    }
}
