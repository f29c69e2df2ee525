//! Sends what is queued: at least once, and every copy after an unknown outcome marked as such.
//!
//! Every channel has its own queue and its own thread: one that is slow or down holds up neither the others nor the
//! stages. The store is touched by this thread alone; the others only send what was claimed for them.

mod batch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::domain::ids::OrderId;
use crate::domain::notice::{Notice, NoticeBody, NoticeKind, Repeat};
use crate::domain::ports::{Notifier, PortError, PortResult};
use crate::domain::time::Moment;
use crate::stages::context::{BATCH, Context, Pace};
use crate::stages::notify::batch::Parcel;
use crate::stages::report::{Halt, Report, StageResult};
use crate::store::outbox::{NoticeState, OutboxRow};

/// After so many failures in a row a channel is left alone for this run: each may have taken its whole time limit.
const MOST_FAILURES: u32 = 3;

/// A message that was claimed: its rows, and what is sent.
type Claimed = (Parcel, Notice);

/// A channel's answer, or the panic of the thread that waited for it.
type Answer = thread::Result<PortResult<()>>;

/// Runs the stage.
pub fn run(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    queue_digest(ctx)?;
    escalate(ctx, report)?;
    let pace = Pace::new(ctx);
    let mut queues = BTreeMap::new();
    for channel in ctx.store.outbox_channels()? {
        let queue = queue(ctx, &channel, report)?;
        if !queue.is_empty() {
            queues.insert(channel, queue);
        }
    }
    let denied = if queues.len() > 1 {
        send_side_by_side(ctx, &pace, queues, report)?
    } else {
        let mut denied = None;
        for (_, queue) in queues {
            denied = send_in_turn(ctx, &pace, queue, report)?;
        }
        denied
    };
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
    match denied {
        Some(reason) => Err(Halt::Denied(reason)),
        None => Ok(()),
    }
}

/// Returns the messages that a channel may send now, oldest first.
fn queue(ctx: &Context<'_>, channel: &str, report: &mut Report) -> StageResult<VecDeque<Parcel>> {
    let rule = ctx.settings.notices.channels.get(channel);
    let quiet = rule.and_then(|rule| rule.quiet);
    let silent = quiet.is_some_and(|hours| hours.hold(ctx.now)) && !ctx.ask.force;
    let mut rows = Vec::new();
    for row in ctx.store.outbox_open(channel, BATCH)? {
        let Some(row) = ready(ctx, row, report)? else {
            continue;
        };
        if silent {
            report.count("kept for after the quiet hours");
        } else if !ctx.due().has(row.not_before) {
            report.waiting += 1;
        } else {
            rows.push(row);
        }
    }
    Ok(batch::group(rows, rule.is_some_and(|rule| rule.batch)))
}

/// Tells the next people of orders that are still parked.
fn escalate(ctx: &Context<'_>, report: &mut Report) -> StageResult {
    for route in &ctx.settings.notices.routes {
        let takes = route.kinds.is_empty() || route.kinds.contains(&NoticeKind::Parked);
        let Some(after) = route.escalate_after.filter(|_| takes) else {
            continue;
        };
        for channel in &route.escalate_to {
            let before = ctx.now.plus_ms(-after);
            for row in ctx.store.outbox_overdue(channel, before, BATCH)? {
                ctx.store
                    .write(|tx| tx.escalate_notice(&row, channel, ctx.now))?;
                report.count("escalated");
            }
        }
    }
    Ok(())
}

/// Sends one channel's queue in this thread.
fn send_in_turn(
    ctx: &Context<'_>,
    pace: &Pace<'_>,
    mut queue: VecDeque<Parcel>,
    report: &mut Report,
) -> StageResult<Option<String>> {
    let mut failures = 0;
    while let Some(parcel) = queue.pop_front() {
        if !pace.next() {
            report.waiting += count(&parcel);
            continue;
        }
        let Some((parcel, notice)) = claim(ctx, &parcel)? else {
            continue;
        };
        let answer = ctx.notifier.send(&notice);
        let after = settle(ctx, parcel, answer, report)?;
        if after.stops(&mut failures) {
            leave(queue, report);
            return Ok(after.denied());
        }
    }
    Ok(None)
}

/// Sends every channel's queue in a thread of its own.
fn send_side_by_side(
    ctx: &Context<'_>,
    pace: &Pace<'_>,
    mut queues: BTreeMap<String, VecDeque<Parcel>>,
    report: &mut Report,
) -> StageResult<Option<String>> {
    let notifier = ctx.notifier;
    thread::scope(|scope| {
        let (answered, answers) = channel::<(String, Parcel, Answer)>();
        let mut workers = BTreeMap::new();
        let mut failures = BTreeMap::new();
        let mut denied = None;
        let mut busy = 0_usize;
        for name in queues.keys().cloned().collect::<Vec<_>>() {
            let (give, work) = channel::<Claimed>();
            let answered = answered.clone();
            scope.spawn(move || {
                for (parcel, notice) in work {
                    let answer = ask(notifier, &notice);
                    if answered.send((notice.channel, parcel, answer)).is_err() {
                        return;
                    }
                }
            });
            busy += usize::from(next(ctx, pace, &mut queues, &name, &give, report)?);
            workers.insert(name, give);
        }
        while busy > 0 {
            let Ok((name, parcel, answer)) = answers.recv() else {
                break;
            };
            busy -= 1;
            let answer = answer.unwrap_or_else(|panic| resume_unwind(panic));
            let after = settle(ctx, parcel, answer, report)?;
            if after.stops(failures.entry(name.clone()).or_insert(0)) {
                leave(queues.remove(&name).unwrap_or_default(), report);
                denied = denied.or(after.denied());
            } else if let Some(give) = workers.get(&name) {
                busy += usize::from(next(ctx, pace, &mut queues, &name, give, report)?);
            }
        }
        Ok(denied)
    })
}

fn ask(notifier: &dyn Notifier, notice: &Notice) -> Answer {
    catch_unwind(AssertUnwindSafe(|| notifier.send(notice)))
}

/// Claims a channel's next message and gives it to the channel's thread; false when there is none.
fn next(
    ctx: &Context<'_>,
    pace: &Pace<'_>,
    queues: &mut BTreeMap<String, VecDeque<Parcel>>,
    name: &str,
    give: &Sender<Claimed>,
    report: &mut Report,
) -> StageResult<bool> {
    let Some(queue) = queues.get_mut(name) else {
        return Ok(false);
    };
    while let Some(parcel) = queue.pop_front() {
        if !pace.next() {
            report.waiting += count(&parcel);
            continue;
        }
        if let Some(claimed) = claim(ctx, &parcel)? {
            return Ok(give.send(claimed).is_ok());
        }
    }
    Ok(false)
}

/// Counts what a channel that fails is not asked for again in this run.
fn leave(queue: VecDeque<Parcel>, report: &mut Report) {
    report.waiting += queue.iter().map(count).sum::<u64>();
}

fn count(parcel: &Parcel) -> u64 {
    u64::try_from(parcel.len()).unwrap_or(u64::MAX)
}

/// Sums up alerts that came again, once per period; each channel hears of those that it was told.
fn queue_digest(ctx: &Context<'_>) -> StageResult {
    let last = ctx.store.mark_at("digest")?;
    if ctx.now.ms_since(last) < ctx.settings.notices.digest_every && last <= ctx.now {
        return Ok(());
    }
    let kind = NoticeKind::Digest;
    let targets = ctx.settings.notices.targets(kind, &NoticeBody::default());
    let readers: BTreeSet<_> = targets.iter().map(|t| t.channel.as_str()).collect();
    ctx.store.write(|tx| {
        let counted = tx.take_repeats()?;
        for target in &targets {
            let repeats = repeats_for(&target.channel, &readers, &counted);
            if !repeats.is_empty() {
                let body = NoticeBody {
                    repeats,
                    ..NoticeBody::default()
                };
                ctx.notify_by(tx, kind, "digest", &body, std::slice::from_ref(target))?;
            }
        }
        tx.set_mark("digest", ctx.now.0)
    })?;
    Ok(())
}

/// Returns what one channel's digest tells: the alerts that it was told itself, and those of channels that get no digest.
fn repeats_for(
    channel: &str,
    readers: &BTreeSet<&str>,
    counted: &[(String, Repeat)],
) -> Vec<Repeat> {
    let mut told: Vec<_> = counted
        .iter()
        .filter(|(by, _)| by == channel)
        .map(|(_, repeat)| repeat.clone())
        .collect();
    for (by, repeat) in counted {
        let same = |other: &Repeat| other.kind == repeat.kind && other.subject == repeat.subject;
        if !readers.contains(by.as_str()) && !told.iter().any(same) {
            told.push(repeat.clone());
        }
    }
    told
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
    let notices = &ctx.settings.notices;
    let rule = notices.channels.get(&row.channel);
    if rule.is_some_and(|rule| rule.quarantine) || row.resends >= notices.max_resends {
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

/// Claims a message before it is sent, all its rows at once; `None` when somebody else did.
fn claim(ctx: &Context<'_>, parcel: &Parcel) -> StageResult<Option<Claimed>> {
    let claimed = ctx.store.write(|tx| {
        // What an operator has decided since goes its own way; the key follows from those that stay.
        let mut rows = Parcel::new();
        for row in parcel {
            let now = tx.notice(&row.key)?;
            if now.is_some_and(|now| now.state == row.state && now.attempt == row.attempt) {
                rows.push(row.clone());
            }
        }
        let Some(key) = batch::key(&rows) else {
            return Ok(None);
        };
        // A row that goes alone keeps its mark of a refused message.
        let together = (rows.len() > 1).then(|| key.clone());
        for row in &mut rows {
            let refused = row.batch.take().filter(|batch| *batch == row.key);
            row.batch = together.clone().or(refused);
            row.state = NoticeState::Sending;
            row.attempt += 1;
            tx.shift_notice(row, NoticeState::Planned, ctx.now)?;
        }
        Ok(Some((key, rows, tx.next_seq()?)))
    })?;
    let Some((key, rows, seq)) = claimed else {
        return Ok(None);
    };
    ctx.mark(seq)?;
    let [first, ..] = rows.as_slice() else {
        return Ok(None);
    };
    let notice = Notice {
        key,
        channel: first.channel.clone(),
        kind: first.kind,
        body: told_of_all(ctx, &rows)?,
        written: rows
            .iter()
            .map(|row| row.created_at)
            .max()
            .unwrap_or(first.created_at),
        maybe_duplicate: rows.iter().any(|row| row.maybe_duplicate),
    };
    Ok(Some((rows, notice)))
}

fn told_of_all(ctx: &Context<'_>, rows: &Parcel) -> StageResult<NoticeBody> {
    if let [row] = rows.as_slice() {
        return told(ctx, row);
    }
    let mut parts = Vec::new();
    for row in rows {
        parts.push((row.key.clone(), told(ctx, row)?));
    }
    Ok(NoticeBody::joined(parts))
}

/// Returns what is told: a base's own lines where the row is for one, and the movement's number where it is known by now.
fn told(ctx: &Context<'_>, row: &OutboxRow) -> StageResult<NoticeBody> {
    let mut body = match &row.base {
        None => row.body.clone(),
        Some(base) => row.body.only(base).unwrap_or_else(|| NoticeBody {
            items: Vec::new(),
            base: Some(base.clone()),
            ..row.body.clone()
        }),
    };
    if let (NoticeKind::Remito | NoticeKind::RemitoChanged, None, Some(order)) =
        (row.kind, &body.movement, &body.order)
    {
        body.movement = movement_number(ctx, order)?;
    }
    Ok(body)
}

fn movement_number(ctx: &Context<'_>, order: &OrderId) -> StageResult<Option<String>> {
    let effects = ctx.store.attempts_of(order)?;
    Ok(effects.into_iter().find_map(|effect| effect.erp_number))
}

/// What an answer means for the rest of a channel's queue.
enum After {
    /// The next notice may be sent.
    GoOn,
    /// The channel may be down: not again in this run, if it goes on like that.
    Failed,
    /// The channel does not let us in: not again in this run, and the run says so.
    Denied(String),
}

impl After {
    /// Tells whether the channel is left alone for this run; `failures` counts those in a row.
    fn stops(&self, failures: &mut u32) -> bool {
        match self {
            Self::GoOn => {
                *failures = 0;
                false
            }
            Self::Failed => {
                *failures += 1;
                *failures >= MOST_FAILURES
            }
            Self::Denied(_) => true,
        }
    }

    fn denied(self) -> Option<String> {
        match self {
            Self::GoOn | Self::Failed => None,
            Self::Denied(reason) => Some(reason),
        }
    }
}

/// Records how a message ended, for all its rows at once.
fn settle(
    ctx: &Context<'_>,
    mut parcel: Parcel,
    answer: PortResult<()>,
    report: &mut Report,
) -> StageResult<After> {
    let mut after = After::GoOn;
    let mut asked = 0;
    let mut apart = false;
    let (state, reason) = match answer {
        Ok(()) => (NoticeState::Sent, None),
        Err(PortError::Transient {
            reason,
            retry_after,
        }) => {
            asked = retry_after.map_or(0, |wait| {
                i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
            });
            after = After::Failed;
            (NoticeState::Planned, Some(reason))
        }
        Err(PortError::Uncertain { reason }) => {
            after = After::Failed;
            (NoticeState::Unknown, Some(reason))
        }
        // One order's text may be why: the others must not wait for a person because of it.
        Err(PortError::Rejected { reason }) if parcel.len() > 1 => {
            apart = true;
            (NoticeState::Planned, Some(reason))
        }
        Err(PortError::Rejected { reason }) => (NoticeState::Quarantined, Some(reason)),
        Err(PortError::Denied { reason }) => {
            after = After::Denied(reason.clone());
            (NoticeState::Planned, Some(reason))
        }
    };
    // Rows that were sent together wait together.
    let failures = parcel.iter().map(|row| row.attempt - 1).max().unwrap_or(0);
    let wait = (state == NoticeState::Planned && !apart).then(|| {
        let backoff = ctx.next_try(failures);
        Moment(backoff.0.max(ctx.now.plus_ms(asked).0))
    });
    for row in &mut parcel {
        row.state = state;
        row.reason.clone_from(&reason);
        row.not_before = wait.unwrap_or(row.not_before);
        if apart {
            row.batch = Some(row.key.clone());
        }
    }
    ctx.store.write(|tx| {
        for row in &parcel {
            tx.shift_notice(row, NoticeState::Sending, ctx.now)?;
        }
        Ok(())
    })?;
    for row in &parcel {
        if apart {
            report.reached += 1;
            let reason = row.reason.as_deref().unwrap_or_default();
            report.wait(
                &row.key,
                format!(
                    "notice {} was refused with others and goes alone: {reason}",
                    row.key
                ),
            );
        } else if !matches!(after, After::Denied(_)) {
            // Denied access is told once, as the run's end.
            tell(row, report);
        }
    }
    Ok(after)
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
