//! Searching the ERP's movements so that an absence can be believed.
//!
//! A listing that does not show a movement proves nothing by itself: the ERP answers "nothing" in the same way when it
//! looks in the wrong base or shows only a part. So every search stands between two looks, by the same form of request,
//! for a *canary*: a movement of ours that is known to be there, or, while there is none, any row listed there before.
//! Only while the canary is found before and after, an absence counts.

use std::collections::BTreeSet;

use crate::domain::ids::{BaseCode, OrderId};
use crate::domain::movement::{
    ErpDay, FoundMovement, Movement, MovementKey, Sighting, marker_order, sight,
};
use crate::domain::ports::{Listing, Search};
use crate::domain::suspects::{Claimed, suspicion};
use crate::stages::context::Context;
use crate::stages::report::{Report, StageResult};
use crate::store::attempts::Effect;

/// Searches between two looks at the canary.
pub const SEARCHES_PER_CANARY: usize = 20;
/// How many days back a stranger's row is looked for, to serve as a canary.
const CANARY_DAYS: i64 = 7;
const DAY_MS: i64 = 24 * 3_600_000;

/// What a search said about one movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Exactly one row is the movement, with a warning where it lost a mark.
    Booked(Box<FoundMovement>, Option<String>),
    /// The rows contradict each other or ours, or may be the same sale: a person must look at these rows.
    Conflict(String, Vec<String>),
    /// No row, and the listing can be believed.
    Absent,
    /// No row, and there is no canary in this base: believable only before a first attempt.
    AbsentUnproved,
    /// Nothing follows, with the reason; the flag tells whether the ERP answered at all.
    Inconclusive(String, bool),
}

/// How thoroughly is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// By the order's id: before a movement is sent.
    BeforeSending,
    /// Also by the key and by the day of the claim: when it may have been sent.
    AfterSending,
}

/// Searches a base for several movements at once, between two looks at the canary.
pub fn search(
    ctx: &Context<'_>,
    base: &BaseCode,
    wanted: &[(Effect, Movement)],
    depth: Depth,
    report: &mut Report,
) -> StageResult<Vec<Verdict>> {
    let forms: &[Form] = match depth {
        Depth::BeforeSending => &[Form::Text],
        Depth::AfterSending => &[Form::Text, Form::Day],
    };
    let never_sent = depth == Depth::BeforeSending
        && wanted.iter().all(|(e, _)| e.attempt == 0 || !e.doubted)
        && ctx.store.instance()?.generation == 1;
    let canary = Canary::choose(ctx, base, never_sent, report)?;
    let before = canary.look(ctx, base, forms, report)?;
    let mut verdicts = Vec::with_capacity(wanted.len());
    for (effect, movement) in wanted {
        verdicts.push(look(ctx, effect, movement, depth, report)?);
    }
    let doubt = match before {
        Ok(()) => canary.look(ctx, base, forms, report)?.err(),
        err => err.err(),
    };
    let unproved = matches!(canary, Canary::None);
    Ok(verdicts
        .into_iter()
        .map(|verdict| match (verdict, &doubt) {
            (Verdict::Absent, Some((reason, answered))) => {
                Verdict::Inconclusive(reason.clone(), *answered)
            }
            (Verdict::Absent, None) if unproved => Verdict::AbsentUnproved,
            (verdict, _) => verdict,
        })
        .collect())
}

/// Lists all movements of a base on one day, between two looks at the canary; the reason when it proves nothing.
pub fn day(
    ctx: &Context<'_>,
    base: &BaseCode,
    day: &ErpDay,
    report: &mut Report,
) -> StageResult<Result<Vec<FoundMovement>, String>> {
    let canary = Canary::choose(ctx, base, false, report)?;
    if let Err((reason, _)) = canary.look(ctx, base, &[Form::Day], report)? {
        return Ok(Err(reason));
    }
    let rows = match find(ctx, base, &Search::Day(day.clone()), report)? {
        Ok(rows) => rows,
        Err((reason, _)) => return Ok(Err(reason)),
    };
    if let Err((reason, _)) = canary.look(ctx, base, &[Form::Day], report)? {
        return Ok(Err(reason));
    }
    Ok(Ok(rows))
}

/// What the ERP holds that names an order.
pub enum About {
    /// All of it.
    Rows(Vec<FoundMovement>),
    /// The ERP cannot be believed for now, with the reason.
    Nothing(String),
    /// There is no canary in this base.
    Unproved,
}

/// Lists the movements of a base that name an order, between two looks at the canary.
pub fn about(
    ctx: &Context<'_>,
    base: &BaseCode,
    order: &OrderId,
    report: &mut Report,
) -> StageResult<About> {
    let canary = Canary::choose(ctx, base, false, report)?;
    if matches!(canary, Canary::None) {
        return Ok(About::Unproved);
    }
    if let Err((reason, _)) = canary.look(ctx, base, &[Form::Text], report)? {
        return Ok(About::Nothing(reason));
    }
    let rows = match find(ctx, base, &Search::Text(marker_order(order)), report)? {
        Ok(rows) => rows,
        Err((reason, _)) => return Ok(About::Nothing(reason)),
    };
    if let Err((reason, _)) = canary.look(ctx, base, &[Form::Text], report)? {
        return Ok(About::Nothing(reason));
    }
    Ok(About::Rows(rows))
}

/// A form of request: each must be vouched for by its own look at the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Day,
}

/// Why nothing follows from a search, and whether the ERP answered.
type Doubt = (String, bool);

enum Canary {
    /// The last movements of ours in this base, newest first: older ones stand in for one that a person removed.
    Ours(Vec<(Movement, Option<ErpDay>)>),
    /// A stranger's row that was listed in this base.
    Stranger(Box<FoundMovement>),
    /// Nothing is known to be there.
    None,
    /// The ERP could not be asked.
    Unreadable(Doubt),
}

impl Canary {
    /// Takes our own movements where there are any. A stranger's row is looked for only when it is needed: before a
    /// first attempt of a memory that was never an old copy, an absence is believed without.
    fn choose(
        ctx: &Context<'_>,
        base: &BaseCode,
        never_sent: bool,
        report: &mut Report,
    ) -> StageResult<Self> {
        let ours: Vec<_> = ctx
            .store
            .canaries(base)?
            .iter()
            .filter_map(|e| Some((e.movement().ok()?, day_of(ctx, e))))
            .collect();
        if !ours.is_empty() {
            return Ok(Self::Ours(ours));
        }
        if never_sent {
            return Ok(Self::None);
        }
        for back in 0..CANARY_DAYS {
            for day in ctx.movements.days(ctx.now.plus_ms(-back * DAY_MS)) {
                let rows = match find(ctx, base, &Search::Day(day), report)? {
                    Ok(rows) => rows,
                    Err(doubt) => return Ok(Self::Unreadable(doubt)),
                };
                let tellable = |row: &FoundMovement| row.day.is_some() && text_of(row).is_some();
                if let Some(row) = rows.into_iter().find(tellable) {
                    return Ok(Self::Stranger(Box::new(row)));
                }
            }
        }
        Ok(Self::None)
    }

    /// Looks for the canary by each form; the error says why nothing can be believed.
    fn look(
        &self,
        ctx: &Context<'_>,
        base: &BaseCode,
        forms: &[Form],
        report: &mut Report,
    ) -> StageResult<Result<(), Doubt>> {
        for form in forms {
            let seen = match self {
                Self::None => Ok(()),
                Self::Unreadable(doubt) => Err(doubt.clone()),
                Self::Ours(ours) => look_for_ours(ctx, base, ours, *form, report)?,
                Self::Stranger(row) => look_for_stranger(ctx, base, row, *form, report)?,
            };
            if seen.is_err() {
                return Ok(seen);
            }
        }
        Ok(Ok(()))
    }
}

fn look_for_ours(
    ctx: &Context<'_>,
    base: &BaseCode,
    ours: &[(Movement, Option<ErpDay>)],
    form: Form,
    report: &mut Report,
) -> StageResult<Result<(), Doubt>> {
    for (movement, day) in ours {
        let request = match (form, day) {
            (Form::Text, _) => Search::Text(marker_order(&movement.order)),
            (Form::Day, Some(day)) => Search::Day(day.clone()),
            (Form::Day, None) => continue,
        };
        match find(ctx, base, &request, report)? {
            Ok(rows) if sight(movement, &rows) != Sighting::Absent => return Ok(Ok(())),
            Ok(_) => {
                log::warn!(order = movement.order.as_str(); "movement {} of order {} is no longer listed by the ERP", movement.key, movement.order);
            }
            Err(doubt) => return Ok(Err(doubt)),
        }
    }
    Ok(Err((
        "none of our last movements is listed".to_owned(),
        true,
    )))
}

fn look_for_stranger(
    ctx: &Context<'_>,
    base: &BaseCode,
    row: &FoundMovement,
    form: Form,
    report: &mut Report,
) -> StageResult<Result<(), Doubt>> {
    let request = match (form, text_of(row), &row.day) {
        (Form::Text, Some(text), _) => Search::Text(text),
        (Form::Day, _, Some(day)) => Search::Day(day.clone()),
        (Form::Text, None, _) | (Form::Day, _, None) => return Ok(Ok(())),
    };
    let listed = find(ctx, base, &request, report)?;
    Ok(listed.and_then(|rows| {
        if rows.iter().any(|r| r.id == row.id) {
            Ok(())
        } else {
            let reason = "a movement known to be there was not listed any more";
            Err((reason.to_owned(), true))
        }
    }))
}

/// A text by which a row can be asked for: of plain characters only, since the ERP takes some others for wildcards.
fn text_of(row: &FoundMovement) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-');
    [&row.note, &row.reference]
        .into_iter()
        .map(|text| text.trim())
        .find(|text| text.len() >= 3 && text.len() <= 60 && text.chars().all(plain))
        .map(str::to_owned)
}

/// The ERP's day of a confirmed movement: as it was read, else where the claim puts it.
fn day_of(ctx: &Context<'_>, effect: &Effect) -> Option<ErpDay> {
    let claimed = || {
        let claimed = effect.claimed_at.unwrap_or(effect.changed_at);
        ctx.movements.days(claimed).into_iter().next()
    };
    effect.erp_day.clone().or_else(claimed)
}

fn look(
    ctx: &Context<'_>,
    effect: &Effect,
    movement: &Movement,
    depth: Depth,
    report: &mut Report,
) -> StageResult<Verdict> {
    let mut requests = vec![Search::Text(marker_order(&movement.order))];
    if depth == Depth::AfterSending {
        requests.push(Search::Text(movement.key.to_string()));
        let claimed = effect.claimed_at.unwrap_or(effect.changed_at);
        requests.extend(ctx.movements.days(claimed).into_iter().map(Search::Day));
    }
    let mut rows: Vec<FoundMovement> = Vec::new();
    let fresh = |row: &FoundMovement, rows: &[FoundMovement]| {
        !effect.dismissed.contains(&row.id) && !rows.iter().any(|known| known.id == row.id)
    };
    for request in requests {
        match find(ctx, &movement.base, &request, report)? {
            Ok(found) => {
                for row in found {
                    if fresh(&row, &rows) {
                        rows.push(row);
                    }
                }
            }
            Err((reason, answered)) => return Ok(Verdict::Inconclusive(reason, answered)),
        }
    }
    judge(ctx, effect, movement, &rows, depth)
}

fn judge(
    ctx: &Context<'_>,
    effect: &Effect,
    movement: &Movement,
    rows: &[FoundMovement],
    depth: Depth,
) -> StageResult<Verdict> {
    let known: BTreeSet<_> = ctx
        .store
        .attempts_of(&movement.order)?
        .into_iter()
        .map(|e| MovementKey::from_store(e.key))
        .collect();
    let claimed = Claimed {
        at: effect
            .claimed_at
            .filter(|_| depth == Depth::AfterSending || effect.doubted),
        known: &known,
        dismissed: &effect.dismissed,
    };
    Ok(match sight(movement, rows) {
        Sighting::Booked(found, warning) => Verdict::Booked(found, warning),
        Sighting::Conflict(reason) => {
            let about = |row: &&FoundMovement| {
                sight(movement, std::slice::from_ref(*row)) != Sighting::Absent
            };
            let ids = rows.iter().filter(about).map(|row| row.id.clone());
            Verdict::Conflict(reason, ids.collect())
        }
        Sighting::Absent => match suspicion(&ctx.settings.account, movement, rows, claimed) {
            Some(suspicion) => Verdict::Conflict(suspicion.reason, suspicion.ids),
            None => Verdict::Absent,
        },
    })
}

/// One request; the error says why nothing follows, and whether the ERP answered.
fn find(
    ctx: &Context<'_>,
    base: &BaseCode,
    request: &Search,
    report: &mut Report,
) -> StageResult<Result<Vec<FoundMovement>, Doubt>> {
    Ok(match report.called(ctx.movements.find(base, request))? {
        Ok(Listing::Complete(rows)) => Ok(rows),
        Ok(Listing::Inconclusive(reason)) => Err((reason, true)),
        Err(err) => Err((err.to_string(), false)),
    })
}
